//! The outcome of a publish call, record by record.

mod parts;

pub(super) use self::parts::Parts;
use std::time::Duration;

/// Why a batch was not taken whole, and what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// The destination is away or busy, and took nothing: offer the same batch again.
    #[error("cannot publish now: {cause}")]
    Retry {
        /// What the destination said.
        cause: String,
        /// How long it asks to wait, if it says.
        after: Option<Duration>,
    },
    /// Some records are taken, others not.
    #[error("{0}")]
    Partly(Partly),
    /// Nothing can be published any more: the agent must stop.
    #[error("cannot publish any more: {cause}")]
    Stop {
        /// What happened.
        cause: String,
    },
}

impl PublishError {
    /// [`PublishError::Retry`] without a wish for when.
    pub fn retry(cause: impl std::fmt::Display) -> Self {
        PublishError::Retry { cause: cause.to_string(), after: None }
    }

    /// These records of the batch are refused, for one cause; all others are taken.
    pub fn refuse(records: impl IntoIterator<Item = usize>, cause: &str) -> Self {
        let refused = records.into_iter().map(|record| Refused { record, cause: cause.to_owned() }).collect();
        PublishError::Partly(Partly { refused, left: None })
    }
}

/// A batch of which some records are taken: those that are named nowhere in here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partly {
    /// Will never be taken: park them, each with its cause.
    pub refused: Vec<Refused>,
    /// Are not taken yet: offer these, and only these, again.
    pub left: Option<Left>,
}

impl std::fmt::Display for Partly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(first) = self.refused.first() {
            write!(f, "the destination refuses {} records: {}", self.refused.len(), first.cause)?;
        }
        match &self.left {
            None => Ok(()),
            Some(left) => {
                let between = if self.refused.is_empty() { "" } else { "; " };
                write!(f, "{between}{} records cannot be published now: {}", left.records.len(), left.cause)
            }
        }
    }
}

/// One record that the destination will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its position in the batch.
    pub record: usize,
    /// What the destination said.
    pub cause: String,
}

/// Records that the destination does not take now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Their positions in the batch, rising.
    pub records: Vec<usize>,
    /// What the destination said.
    pub cause: String,
    /// How long it asks to wait, if it says.
    pub after: Option<Duration>,
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The destination has taken responsibility.
    Taken,
    /// Not now.
    Later {
        /// What it said.
        cause: String,
        /// How long it asks to wait.
        after: Option<Duration>,
    },
    /// Not these records together; fewer of them may do.
    NotThese {
        /// What it said.
        cause: String,
    },
    /// None of these, ever.
    Never {
        /// What it said.
        cause: String,
    },
    /// So many of these never, the others are taken; it does not say which.
    Some {
        /// How many are refused.
        refused: usize,
        /// What it said.
        cause: String,
    },
}

impl Answer {
    /// Why the records are not taken; nothing where they are.
    pub(super) fn cause(&self) -> Option<&str> {
        match self {
            Answer::Taken => None,
            Answer::Later { cause, .. }
            | Answer::NotThese { cause }
            | Answer::Never { cause }
            | Answer::Some { cause, .. } => Some(cause),
        }
    }
}

impl Partly {
    /// As a publisher says it.
    pub(super) fn outcome(self) -> Result<(), PublishError> {
        if self.refused.is_empty() && self.left.is_none() { Ok(()) } else { Err(PublishError::Partly(self)) }
    }
}
