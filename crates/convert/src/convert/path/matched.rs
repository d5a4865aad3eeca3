//! What a path finds: values with where they were found.

use crate::model::python::{Raised, type_name};
use crate::model::{Dict, Value};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;

/// The bytes of text that count as one unit of work.
pub(super) const WORK_BYTES: usize = 64;

/// A value found: borrowed from the message wherever it is there.
#[derive(Debug, Clone)]
pub(super) enum Found<'a> {
    /// In the message.
    There(&'a Value),
    /// Computed; never a list or an object.
    Made(Rc<Value>),
    /// A list that was put together from what was found.
    Gathered(Rc<[Found<'a>]>),
}

impl<'a> Found<'a> {
    pub(super) fn made(value: impl Into<Value>) -> Self {
        Found::Made(Rc::new(value.into()))
    }

    pub(super) fn dict(&self) -> Option<&'a Dict> {
        match self {
            Found::There(value) => value.as_dict(),
            _ => None,
        }
    }

    /// A value that is not a gathered list.
    fn value(&self) -> Option<&Value> {
        match self {
            Found::There(value) => Some(value),
            Found::Made(value) => Some(value),
            Found::Gathered(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        self.value().and_then(Value::as_str)
    }

    pub(super) fn is_null(&self) -> bool {
        self.value().is_some_and(Value::is_null)
    }

    pub(super) fn list_len(&self) -> Option<usize> {
        match self {
            Found::Gathered(items) => Some(items.len()),
            other => other.value().and_then(Value::as_list).map(<[Value]>::len),
        }
    }

    pub(super) fn list_item(&self, at: usize) -> Option<Found<'a>> {
        match self {
            Found::There(value) => value.as_list()?.get(at).map(Found::There),
            Found::Made(_) => None,
            Found::Gathered(items) => items.get(at).cloned(),
        }
    }

    /// The items, if this is a list.
    pub(super) fn list(&self) -> Option<impl Iterator<Item = Found<'a>> + use<'a, '_>> {
        let len = self.list_len()?;
        Some((0..len).filter_map(|at| self.list_item(at)))
    }

    /// Python's `len(value)`, characters of a string; `None` if it has none.
    pub(super) fn len(&self) -> Option<usize> {
        match self.list_len() {
            Some(len) => Some(len),
            None => match self.value()? {
                Value::Str(text) => Some(text.chars().count()),
                Value::Dict(dict) => Some(dict.len()),
                _ => None,
            },
        }
    }

    pub(super) fn type_name(&self) -> &'static str {
        self.value().map_or("list", type_name)
    }

    /// As a plain value. A gathered list is copied together, and `spend` is told of every value in it before.
    pub(super) fn to_value(&self, spend: Spend<'_>) -> Result<Cow<'_, Value>, Raised> {
        match self {
            Found::There(value) => Ok(Cow::Borrowed(value)),
            Found::Made(value) => Ok(Cow::Borrowed(value)),
            Found::Gathered(items) => copied(items, spend).map(Cow::Owned),
        }
    }

    /// The same, as a result.
    pub(super) fn into_cow(self, spend: Spend<'_>) -> Result<Cow<'a, Value>, Raised> {
        match self {
            Found::There(value) => Ok(Cow::Borrowed(value)),
            Found::Made(value) => Ok(Cow::Owned(Rc::unwrap_or_clone(value))),
            Found::Gathered(items) => copied(&items, spend).map(Cow::Owned),
        }
    }
}

/// Is told of units of work, and may end it.
pub(super) type Spend<'s> = &'s dyn Fn(usize) -> Result<(), Raised>;

fn copied(items: &[Found<'_>], spend: Spend<'_>) -> Result<Value, Raised> {
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        spend(item.value().map_or(1, weight))?;
        list.push(item.to_value(spend)?.into_owned());
    }
    Ok(Value::List(list))
}

/// The number of values inside a value, itself included, text by the piece.
fn weight(value: &Value) -> usize {
    match value {
        Value::Str(text) => 1 + text.len() / WORK_BYTES,
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Dict(dict) => {
            1 + dict.iter().map(|(key, value)| 1 + key.len() / WORK_BYTES + weight(value)).sum::<usize>()
        }
        _ => 1,
    }
}

/// The step from what contains a match to the match.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// None: a root, or a computed value.
    None,
    /// None, and not even wrapped as a match: what the whole path starts from.
    Bare,
    /// A member.
    Member(&'a str),
    /// An item of a list.
    Item(i64),
}

/// A match: a value, and how to climb from it.
#[derive(Debug, Clone)]
pub(super) struct Match<'a> {
    pub(super) value: Found<'a>,
    pub(super) step: Step<'a>,
    /// What contains it, where matches of this path climb; a computed value has nothing around it.
    pub(super) container: Option<Rc<Match<'a>>>,
}

impl<'a> Match<'a> {
    pub(super) fn alone(value: Found<'a>) -> Self {
        Match { value, step: Step::None, container: None }
    }

    /// The outermost match around this one.
    pub(super) fn outermost(&self) -> &Match<'a> {
        let mut outer = self;
        while let Some(container) = &outer.container {
            outer = container;
        }
        outer
    }

    /// The steps from the outermost to this, as the trait plugins see them: `payload.list.[0].name`.
    pub(super) fn path(&self) -> String {
        let mut steps = Vec::new();
        let mut at = self;
        while let Some(container) = &at.container {
            steps.push(at.step);
            at = container;
        }
        let mut path = String::new();
        for (n, step) in steps.iter().rev().enumerate() {
            path.push_str(if n > 0 { "." } else { "" });
            match step {
                Step::Member(name) => path.push_str(name),
                Step::Item(at) => {
                    let written = write!(path, "[{at}]");
                    debug_assert!(written.is_ok(), "a string takes every text");
                }
                Step::None | Step::Bare => path.push_str("`this`"),
            }
        }
        path
    }
}

/// A match, or the `None` that `` `parent` `` of a root gives and that most things then stumble over.
pub(super) type Maybe<'a> = Option<Match<'a>>;

/// What stumbling over it raises.
pub(super) fn no_attribute() -> Raised {
    Raised::new("AttributeError", "'NoneType' object has no attribute 'value': there is no parent here")
}
