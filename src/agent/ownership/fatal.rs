//! How the supervisor comes to its end when nobody asked it to.

use crate::coordination::CoordinationError;

/// How the supervisor came to its end.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum Fatal {
    /// Another live process goes by this member's id.
    #[error("cannot join the group: {0}")]
    Join(CoordinationError),
}
