//! What names mean: Ceilometer's `Namespace`, in which anything missing is there, empty and false.

use crate::model::{Dict, Sample, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What an expression begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seed<'a> {
    /// The fields of a sample are names.
    Fields(&'a Sample),
    /// Identifiers are samples.
    Samples(&'a [(&'a str, &'a Sample)]),
}

/// What an expression finds or makes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object<'a> {
    Value(Cow<'a, Value>),
    /// A namespace; two are equal if they are the same one.
    Space(SpaceId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpaceId(usize);

/// The namespaces of one evaluation. They come into being as they are looked at, and looking for what is missing puts
/// it there, as in Ceilometer: afterwards the namespace is not empty any more.
pub(super) struct Scope<'a> {
    spaces: Vec<Space<'a>>,
}

struct Space<'a> {
    seed: Content<'a>,
    /// The namespaces below this one that were looked at.
    below: BTreeMap<Box<str>, SpaceId>,
}

#[derive(Clone, Copy)]
enum Content<'a> {
    Empty,
    Dict(&'a Dict),
    Sample(&'a Sample),
    Samples(&'a [(&'a str, &'a Sample)]),
}

impl<'a> Scope<'a> {
    /// The root. The expression's own names are looked up in it.
    pub(super) const ROOT: SpaceId = SpaceId(0);

    pub(super) fn new(seed: Seed<'a>) -> Scope<'a> {
        let seed = match seed {
            Seed::Fields(sample) => Content::Sample(sample),
            Seed::Samples(samples) => Content::Samples(samples),
        };
        Scope { spaces: vec![Space { seed, below: BTreeMap::new() }] }
    }

    /// The member of a namespace.
    pub(super) fn get(&mut self, space: SpaceId, name: &str) -> Object<'a> {
        let Some(parent) = self.spaces.get(space.0) else { return Object::Value(Cow::Owned(Value::Null)) };
        if let Some(id) = parent.below.get(name) {
            return Object::Space(*id);
        }
        let seed = match member(parent.seed, name) {
            Member::Value(value) => return Object::Value(value),
            Member::Space(content) => content,
        };
        let id = SpaceId(self.spaces.len());
        self.spaces.push(Space { seed, below: BTreeMap::new() });
        self.spaces[space.0].below.insert(name.into(), id);
        Object::Space(id)
    }

    /// A namespace that nothing else leads to.
    pub(super) fn nowhere(&mut self) -> Object<'a> {
        self.spaces.push(Space { seed: Content::Empty, below: BTreeMap::new() });
        Object::Space(SpaceId(self.spaces.len() - 1))
    }

    /// Whether there is anything in a namespace.
    pub(super) fn is_truthy(&self, space: SpaceId) -> bool {
        self.spaces.get(space.0).is_some_and(|space| {
            let seeded = match space.seed {
                Content::Empty => false,
                Content::Dict(dict) => !dict.is_empty(),
                Content::Sample(_) => true,
                Content::Samples(samples) => !samples.is_empty(),
            };
            seeded || !space.below.is_empty()
        })
    }
}

enum Member<'a> {
    Value(Cow<'a, Value>),
    Space(Content<'a>),
}

fn member<'a>(content: Content<'a>, name: &str) -> Member<'a> {
    match content {
        Content::Empty => Member::Space(Content::Empty),
        Content::Dict(dict) => match dict.get(name) {
            Some(Value::Dict(dict)) => Member::Space(Content::Dict(dict)),
            Some(value) => Member::Value(Cow::Borrowed(value)),
            None => Member::Space(Content::Empty),
        },
        Content::Samples(samples) => match samples.iter().find(|(known, _)| *known == name) {
            Some((_, sample)) => Member::Space(Content::Sample(sample)),
            None => Member::Space(Content::Empty),
        },
        Content::Sample(sample) => field(sample, name),
    }
}

/// A field of a sample, by the name that it has in Ceilometer.
fn field<'a>(sample: &'a Sample, name: &str) -> Member<'a> {
    let text = |text: &str| Member::Value(Cow::Owned(Value::from(text)));
    let value = match name {
        "name" => return text(&sample.name),
        "type" => return text(sample.kind.name()),
        "timestamp" => return text(&sample.timestamp),
        "source" => return text(&sample.source),
        "id" => return text(&sample.id),
        "resource_metadata" => return Member::Space(Content::Dict(&sample.resource_metadata)),
        "unit" => &sample.unit,
        "volume" => &sample.volume,
        "user_id" => &sample.user_id,
        "user_name" => &sample.user_name,
        "project_id" => &sample.project_id,
        "project_name" => &sample.project_name,
        "resource_id" => &sample.resource_id,
        "monotonic_time" => &sample.monotonic_time,
        _ => return Member::Space(Content::Empty),
    };
    match value {
        Value::Dict(dict) => Member::Space(Content::Dict(dict)),
        value => Member::Value(Cow::Borrowed(value)),
    }
}
