//! Why a keeper of state is at its end.

use crate::agent::packets::packet;
use crate::state::{FoldError, RecordError};
use crate::transport::TransportError;
use std::time::Duration;

/// For so long the log may be silent while something is waited for that must come.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why a keeper is at its end.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum Lost {
    /// A later owner has begun: nothing of this one counts any more, its connection is to be cut.
    #[error("cannot go on: another owner has begun with epoch {0}")]
    Fenced(i64),
    /// The broker does not take or show a record.
    #[error("cannot use the state log: {0}")]
    Transport(#[from] TransportError),
    /// The stream ended.
    #[error("cannot use the state log: it cannot be followed any more")]
    Over,
    /// Nothing came.
    #[error("cannot use the state log: nothing came within {SILENCE_MAX:?}")]
    Slow,
    /// Somebody else writes into the log.
    #[error("cannot use the record at offset {0} of the state log: {1}")]
    Foreign(u64, RecordError),
    /// The outputs in a batch are in no format of ours.
    #[error("cannot use the outputs in the state log: {0}")]
    Outputs(packet::NotAPacket),
    /// What is in the log cannot be used.
    #[error(transparent)]
    Unusable(#[from] FoldError),
}

impl Lost {
    /// Whether a log that somebody has deleted looks like this.
    pub(super) fn may_be_deleted(&self) -> bool {
        matches!(self, Lost::Over | Lost::Transport(TransportError::NotTaken { .. } | TransportError::NoQueue(_)))
    }
}
