//! What Python does to values: `str()`, `int()`, `float()`, `re.match`, and the exceptions it raises.
//!
//! Never here: anything about paths or definitions.

use crate::model::Value;
use std::borrow::Cow;

/// An exception that the original would raise while it looks at one message: a definition that raises gives a
/// complaint for that message, and nothing else suffers.
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

/// Python's `str(value)`. A `ValueError` for an integer of more than 4,300 digits.
pub fn str(value: &Value) -> Result<Cow<'_, str>, Raised> {
    let _ = value;
    Err(Raised::new("NotImplementedError", "coming"))
}

/// Python's `repr(value)`. Raises as [`str`] does.
pub fn repr(value: &Value) -> Result<String, Raised> {
    let _ = value;
    Err(Raised::new("NotImplementedError", "coming"))
}

/// Python's `int(value)`: [`Value::Int`] or [`Value::Big`]. `ValueError` for text that is no integer and for NaN,
/// `OverflowError` for infinities, `TypeError` for null, lists and objects.
pub fn int(value: &Value) -> Result<Value, Raised> {
    let _ = value;
    Err(Raised::new("NotImplementedError", "coming"))
}

/// Python's `float(value)`. `ValueError` for text that is no number, `OverflowError` for an integer too large,
/// `TypeError` for null, lists and objects.
pub fn float(value: &Value) -> Result<f64, Raised> {
    let _ = value;
    Err(Raised::new("NotImplementedError", "coming"))
}

/// Python's `a == b`: `True == 1 == 1.0`, order of keys does not matter.
pub fn equal(a: &Value, b: &Value) -> bool {
    a == b
}

/// A compiled regular expression of Python's `re`.
#[derive(Debug, Clone)]
pub struct Pattern(fancy_regex::Regex);

impl Pattern {
    /// `re.compile(text)`; an `error` where Python has one.
    pub fn new(text: &str) -> Result<Pattern, Raised> {
        fancy_regex::Regex::new(text).map(Pattern).map_err(|e| Raised::new("error", e.to_string()))
    }

    /// `re.match(pattern, text) is not None`: anchored at the start, not at the end. Backtracking is bounded: beyond
    /// the bound it is a `RecursionError`.
    pub fn matches(&self, text: &str) -> Result<bool, Raised> {
        match self.0.find(text) {
            Ok(found) => Ok(found.is_some_and(|m| m.start() == 0)),
            Err(e) => Err(Raised::new("RecursionError", e.to_string())),
        }
    }
}
