//! The eight attributes of a sample that a definition finds by paths, and the user's own metadata.

use super::fault::{LoadFault, compile};
use crate::convert::field::Field;
use crate::convert::metadata::copy_reserved;
use crate::convert::options::{ConvertOptions, Reserved};
use crate::convert::sampling::{Draft, Sampling, shown};
use crate::model::python::Raised;
use crate::model::{Complaint, Data, Dict, Node, OnDemand, SampleType, Value, json};
use std::borrow::Cow;

/// The attributes in Ceilometer's order, which decides what raises first.
pub(super) const KEYS: [&str; 8] =
    ["name", "type", "volume", "unit", "timestamp", "user_id", "project_id", "resource_id"];
const NAME: usize = 0;
const TYPE: usize = 1;
const UNIT: usize = 3;
const TIMESTAMP: usize = 4;
const USER: usize = 5;
const PROJECT: usize = 6;

/// What Ceilometer evaluates for a sample without its own path. In its dialect `|` binds tighter than `.`, so that
/// these find next to nothing (Ceilometer reference §4.1.3).
const USER_FALLBACK: &str = "ctxt.user_id|ctxt.user";
const PROJECT_FALLBACK: &str = "ctxt.project_id|ctxt.tenant_id";
/// What it meant.
const USER_FALLBACK_REPAIRED: &str = "(ctxt.user_id)|(ctxt.user)";
const PROJECT_FALLBACK_REPAIRED: &str = "(ctxt.project_id)|(ctxt.tenant_id)|(ctxt.tenant)";

/// Where each attribute is found, by its place in [`KEYS`], and what it is where nothing is found.
pub(super) struct Attributes {
    fields: [Option<Field>; 8],
    /// Which of them [stand for themselves](Field::is_literal).
    literal: [bool; 8],
    /// What is written for name, type and unit.
    written: [Value; 8],
    user_fallback: Field,
    project_fallback: Field,
}

/// One value for each attribute.
pub(super) struct Values<'v>(pub(super) [Cow<'v, Value>; 8]);

impl Attributes {
    pub(super) fn load(
        entry: &Node,
        options: &ConvertOptions,
        complaints: &mut Vec<Complaint>,
    ) -> Result<Self, LoadFault> {
        let mut fields: [Option<Field>; 8] = Default::default();
        let mut written: [Value; 8] = Default::default();
        for (at, key) in KEYS.iter().enumerate() {
            let Some(node) = entry.get(key) else { continue };
            if matches!(at, NAME | TYPE | UNIT) {
                written[at] = node.to_value();
            }
            if !node.is_truthy() {
                continue;
            }
            match compile(key, node) {
                Ok(field) => {
                    let field = if matches!(at, NAME | TYPE | UNIT) { field.into_word() } else { field };
                    warn_of_surprises(at, node, &field, complaints);
                    fields[at] = Some(field);
                }
                Err(LoadFault::Skipped(place, why)) if matches!(at, NAME | UNIT) && node.as_str().is_some() => {
                    if !options.repairs.unparsable_literals {
                        let hint = "names and units are read as paths first; without the blank or sign it would work, \
                                    or switch on the repair unparsable_literals";
                        return Err(LoadFault::Skipped(place, format!("{why} ({hint})")));
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        let [user, project] = if options.repairs.context_fallback {
            [USER_FALLBACK_REPAIRED, PROJECT_FALLBACK_REPAIRED]
        } else {
            [USER_FALLBACK, PROJECT_FALLBACK]
        };
        let fallback = |text: &str| {
            Field::path(text).map_err(|error| LoadFault::Refused(entry.place.clone(), format!("{text}: {error}")))
        };
        let literal = fields.each_ref().map(|field| field.as_ref().is_some_and(Field::is_literal));
        Ok(Attributes {
            fields,
            literal,
            written,
            user_fallback: fallback(user)?,
            project_fallback: fallback(project)?,
        })
    }

    /// The field of an attribute.
    pub(super) fn field(&self, at: usize) -> Option<&Field> {
        self.fields[at].as_ref()
    }

    /// Every attribute with a path.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &Field)> {
        KEYS.into_iter().zip(&self.fields).filter_map(|(key, field)| field.as_ref().map(|field| (key, field)))
    }

    /// What is evaluated where an attribute has no path of its own.
    pub(super) fn fallbacks(&self) -> [&Field; 2] {
        [&self.user_fallback, &self.project_fallback]
    }

    /// What an attribute is where its path finds nothing.
    pub(super) fn default<'v>(&'v self, at: usize, root: &'v Value) -> Result<Cow<'v, Value>, Raised> {
        let fallback = match at {
            USER => &self.user_fallback,
            PROJECT => &self.project_fallback,
            _ => return Ok(Cow::Borrowed(&self.written[at])),
        };
        Ok(fallback.first(root)?.unwrap_or(Cow::Owned(Value::Null)))
    }

    /// The first value of each attribute that is not null, else its default.
    pub(super) fn first<'v>(&'v self, root: &'v Value) -> Result<Values<'v>, Raised> {
        let mut found: [Cow<'v, Value>; 8] = std::array::from_fn(|_| Cow::Owned(Value::Null));
        for (at, slot) in found.iter_mut().enumerate() {
            let value = match &self.fields[at] {
                Some(field) if !self.literal[at] => field.first(root)?,
                _ => None,
            };
            *slot = match value {
                Some(value) => value,
                None => self.default(at, root)?,
            };
        }
        Ok(Values(found))
    }
}

impl Values<'_> {
    /// The sample of these values.
    pub(super) fn draft(self, metadata: OnDemand<Dict>, sampling: &Sampling<'_>) -> Result<Draft, Raised> {
        let values = self.0;
        let timestamp = sampling.timestamp(&values[TIMESTAMP])?;
        let name = match &*values[NAME] {
            Value::Str(name) => name.clone(),
            other => return Err(Raised::new("TypeError", format!("the name is no text but {}", shown(other)))),
        };
        let kind = values[TYPE].as_str().and_then(SampleType::from_name).ok_or_else(|| {
            let text = format!("the type is {}, not gauge, delta or cumulative", shown(&values[TYPE]));
            Raised::new("ValueError", text)
        })?;
        let metadata = if metadata.is_empty() { sampling.payload_copy() } else { metadata };
        let [_, _, volume, unit, _, user_id, project_id, resource_id] = values;
        Ok(Draft {
            name,
            kind,
            unit: unit.into_owned(),
            volume: volume.into_owned(),
            user_id: user_id.into_owned(),
            project_id: project_id.into_owned(),
            resource_id: resource_id.into_owned(),
            timestamp,
            metadata,
        })
    }
}

/// The user's own metadata: a path that finds a dictionary, and what of it travels.
pub(super) struct UserMetadata {
    pub(super) field: Field,
    pub(super) reserved: Reserved,
}

impl UserMetadata {
    pub(super) fn copy(&self, root: &Value, dest: &mut Dict) -> Result<(), Raised> {
        match self.field.first(root)?.filter(|found| found.is_truthy()) {
            Some(found) => copy_reserved(&self.reserved, &found, dest),
            None => Ok(()),
        }
    }
}

/// What the operator probably did not mean: a literal that is read as a path, a path that is only a word.
fn warn_of_surprises(at: usize, node: &Node, field: &Field, complaints: &mut Vec<Complaint>) {
    let (key, Some(text)) = (KEYS[at], node.as_str()) else { return };
    let warning = if matches!(at, NAME | TYPE | UNIT) {
        if MEMBERS.contains(&text) {
            format!("{key}: \"{text}\" is read as a path: the notification's own {text} takes its place")
        } else if let Ok(Some(value)) = field.first(&Value::Dict(Dict::new())) {
            format!("{key}: \"{text}\" is read as an expression: its value is {}", json::to_string(&value))
        } else {
            return;
        }
    } else if field.is_literal() {
        format!("{key}: \"{text}\" is read as a path, and no notification has such a member: it never finds anything")
    } else {
        return;
    };
    complaints.push(Complaint::warning(&node.place, warning));
}

/// The members that every notification has.
const MEMBERS: [&str; 5] = ["ctxt", "publisher_id", "event_type", "payload", "metadata"];

/// Whether what is written for a key can only be a constant.
pub(super) fn is_constant(entry: &Node, key: &str) -> bool {
    match entry.get(key).map(|node| &node.data) {
        Some(Data::Scalar(Value::Int(_) | Value::Bool(_) | Value::Big(_))) => true,
        Some(Data::Map(_)) => entry.get(key).is_some_and(|node| is_constant(node, "fields")),
        _ => false,
    }
}
