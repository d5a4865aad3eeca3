//! Where samples and events go. The only room that names the HTTP client.
//!
//! Every publisher has the same five parts: options, build, work, tests, page (`docs/publishers.md`). A publisher
//! says what became of a batch; it never retries for ever by itself and never swallows a failure.
//!
//! [`schemes`](crate::publish::schemes) is the table of what there is; [`build`] makes one publisher of one URL. Never
//! here: which sample goes where, holding and repeating a batch, parking what is refused: that is the agent's.

use async_trait::async_trait;
use std::time::Duration;

use crate::model::{Event, Sample};

mod certificates;
pub mod context;
mod file;
mod http;
pub mod message;
mod notifier;
mod python;
mod record;
pub mod schemes;
pub mod signature;
mod target;
pub mod test;

pub use crate::config::shown;
pub use context::{Amqp, Context};
pub use schemes::{BuildError, Kind, LookAtBroker, build, check};
pub use test::Shelf;

/// A destination, built from one URL of a sink.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Hands over a batch in its order. `Ok` means that the destination has taken responsibility for all of it.
    ///
    /// May be called from several pipelines at once; each call is one batch, whole or (see [`PublishError`]) not.
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError>;
    /// Whether the destination can be reached now, as far as that can be told without publishing anything; else why not,
    /// in words. Asked before a member counts in its group; it has to bear being cut short.
    async fn reach(&self) -> Result<(), String> {
        Ok(())
    }
    /// Finishes what is buffered; at stop and at reload.
    async fn close(&self) {}
}

/// What one pipeline hands to its publishers at once: never empty, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Batch {
    /// Of a pipeline of `pipeline.yaml`.
    Samples(Vec<Sample>),
    /// Of a pipeline of `event_pipeline.yaml`.
    Events(Vec<Event>),
}

impl Batch {
    /// How many samples or events.
    pub fn len(&self) -> usize {
        match self {
            Batch::Samples(samples) => samples.len(),
            Batch::Events(events) => events.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a batch was not taken, and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// The destination is away or busy: hold the pipeline, offer the same batch again.
    #[error("cannot publish now: {cause}")]
    Retry {
        /// What the destination said.
        cause: String,
        /// How long it asks to wait, if it says.
        after: Option<Duration>,
    },
    /// The destination will never take these (positions in the batch): park them with the reason; the others are taken.
    #[error("the destination refuses {} records: {cause}", which.len())]
    Refuse {
        /// Positions in the batch.
        which: Vec<usize>,
        /// What the destination said.
        cause: String,
    },
    /// Nothing can be published any more: the agent must stop.
    #[error("cannot publish any more: {cause}")]
    Stop {
        /// What happened.
        cause: String,
    },
}

impl PublishError {
    /// [`PublishError::Retry`] without a wish for when.
    pub(crate) fn retry(cause: impl std::fmt::Display) -> Self {
        PublishError::Retry { cause: cause.to_string(), after: None }
    }
}
