//! A field of a definition: where in a notification a value is found (Ceilometer reference §4.0).

pub use super::python::Raised;
use crate::model::{Node, Value};
use std::borrow::Cow;

/// A field as the operator wrote it, compiled once: a constant, or paths and perhaps a trait plugin.
#[derive(Debug, Clone)]
pub struct Field {
    constant: Option<Value>,
    text: Box<str>,
}

/// Why a field cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The original skips the definition and goes on (its `DefinitionException`).
    #[error("{0}")]
    Definition(String),
    /// The original loses the whole file here, because a plugin refuses its parameters; we refuse to start.
    #[error("{0}")]
    Plugin(Raised),
}

impl Field {
    /// Compiles what stands at a key of a definition.
    pub fn compile(node: &Node) -> Result<Field, FieldError> {
        Err(FieldError::Definition(format!("{}: coming", node.place)))
    }

    /// Compiles one path, for the defaults that stand in code.
    pub fn path(text: &str) -> Result<Field, FieldError> {
        Err(FieldError::Definition(format!("{text}: coming")))
    }

    /// The first value found that is not null ("first" mode).
    pub fn first<'a>(&self, root: &'a Value) -> Result<Option<Cow<'a, Value>>, Raised> {
        let _ = root;
        Ok(self.constant.clone().map(Cow::Owned))
    }

    /// Every value found, nulls included ("all" mode). A constant is one value here; the original returns it bare,
    /// so ask [`constant`](Field::constant) first where that matters.
    pub fn all<'a>(&self, root: &'a Value) -> Result<Vec<Cow<'a, Value>>, Raised> {
        let _ = root;
        Ok(self.constant.clone().map(Cow::Owned).into_iter().collect())
    }

    /// The constant, if this is one: an integer or boolean, which is returned as it is, also where a list is expected.
    pub fn constant(&self) -> Option<&Value> {
        self.constant.as_ref()
    }

    /// Whether this is a constant.
    pub fn is_constant(&self) -> bool {
        self.constant.is_some()
    }

    /// The path as compiled (a list of paths is the union `(a)|(b)`); a constant as Python writes it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this is a bare dotted name that no notification has a member for, so that a meter's name, unit or type
    /// can only be the literal text: evaluating it is needless.
    pub fn is_literal(&self) -> bool {
        false
    }
}
