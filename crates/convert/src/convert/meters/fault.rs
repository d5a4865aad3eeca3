//! Why a meter definition is not in force.

use crate::convert::field::{Field, FieldError};
use crate::model::{Node, Place};

/// Why a definition is not in force, and where that is written.
pub(super) enum LoadFault {
    /// Ceilometer skips it and goes on.
    Skipped(Place, String),
    /// Ceilometer loses all meters; we refuse to start.
    Refused(Place, String),
}

/// Compiles a field of a definition.
pub(super) fn compile(key: &str, node: &Node) -> Result<Field, LoadFault> {
    Field::compile(node).map_err(|error| match error {
        FieldError::Definition(why) => LoadFault::Skipped(node.place.clone(), format!("{key}: {why}")),
        FieldError::Plugin(raised) => LoadFault::Refused(node.place.clone(), format!("{key}: {raised}")),
    })
}
