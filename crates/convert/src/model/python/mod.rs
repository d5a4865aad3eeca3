//! What Python does to values: `str()`, `repr()`, `int()`, `float()`, `==`, `<`, `+ - * / // % **`, `sorted()`, `re`,
//! and the exceptions all that raises.
//!
//! Never here: anything about paths, definitions or notifications.

mod characters;
mod division;
mod number;
mod order;
mod pattern;
mod reader;
mod substitution;
mod text;
mod translate;

pub(crate) use crate::model::number::{decimal_digit, is_space};

pub use division::{bounded, divide, floor_divide, modulo, negate, power};
pub(crate) use number::repetitions;
pub use number::{Operator, arithmetic, float, int};
pub use order::{Comparison, compare, equal, sort};
pub use pattern::Pattern;
pub use substitution::Substitution;
pub use text::{casefold, repr, split, str, text, write_float, write_quoted};

use crate::model::Value;
use std::borrow::Cow;

/// An exception that Ceilometer would raise while it looks at one message: a definition that raises gives a
/// complaint for that message, and nothing else suffers.
///
/// Two classes are our own bounds: `MemoryError` where a result or the way to it grows past all use, `RecursionError`
/// where a regular expression backtracks without end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{class}: {text}")]
pub struct Raised {
    /// Python's exception class: `TypeError`, `KeyError`, `error` (the one of `re`) …
    pub class: &'static str,
    /// What was wrong.
    pub text: Cow<'static, str>,
}

impl Raised {
    /// An exception of a class.
    pub fn new(class: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Raised { class, text: text.into() }
    }
}

/// Python's name for the type of a value: `NoneType`, `bool`, `int`, `float`, `str`, `list`, `dict`.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Big(_) => "int",
        Value::Float(_) => "float",
        Value::Str(_) => "str",
        Value::List(_) => "list",
        Value::Dict(_) => "dict",
    }
}
