//! Where samples and events go. The only room that names the HTTP client.
//!
//! Every publisher has the same five parts: options, build, work, tests, page (`docs/publishers.md`). A publisher
//! says what became of a batch; it never retries for ever by itself and never swallows a failure.
//!
//! [`schemes`](crate::publish::schemes) is the table of what there is; [`build`] makes one publisher of one URL. Never
//! here: which sample goes where, holding and repeating a batch, parking what is refused: that is the agent's.

use async_trait::async_trait;

use crate::model::{Event, Sample};

mod beside;
mod cloudevents;
pub mod context;
mod exposition;
mod file;
mod gnocchi;
mod http;
pub mod identity;
mod kind;
mod measure;
pub mod message;
mod notifier;
mod opentelemetryhttp;
mod otlp;
mod outcome;
mod pace;
mod prometheus;
mod python;
pub mod reader;
mod record;
mod remote_write;
pub mod schemes;
mod scrape;
pub mod signature;
mod socket;
mod target;
mod tcp;
pub mod test;
mod udp;
mod web;
mod zaqar;

pub use crate::config::shown;
pub use beside::{files, stamp};
pub use context::{Amqp, Context};
pub use gnocchi::{Archive as GnocchiArchive, Measure as GnocchiMeasure};
pub use gnocchi::{Created as GnocchiCreated, Plan as GnocchiPlan, Setup as GnocchiSetup, Step as GnocchiStep};
pub use identity::{Identity, Login};
pub use kind::{AskBroker, Kind, Look};
pub use outcome::{Left, Partly, PublishError, Refused};
pub use pace::{Turn, overflow_queue};
pub use schemes::{BuildError, build, check, check_with, common_options_page, names, options_page};
pub use scrape::Listeners;
pub use test::Shelf;

/// A destination, built from one URL of a sink.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Waits until the destination may be given records, and says how many of so many: the first ones of a batch, at least one.
    /// The turn is kept until [`Publisher::publish`] has ended. To wait for it is no failure; dropping the future gives up the
    /// place in the line, and nothing else.
    async fn turn(&self, records: usize) -> Result<Turn, PublishError> {
        Ok(Turn::free(records))
    }
    /// Hands over a batch in its order. `Ok` means that the destination has taken responsibility for all of it.
    ///
    /// May be called from several pipelines at once; each call is one batch. What is not taken, and why, is said for each
    /// record. Dropping the future is no fault; the destination may have taken some of it all the same.
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

    /// The records at these positions, in the order in which they are named; a position that is not there is left out.
    #[must_use]
    pub fn only(&self, positions: &[usize]) -> Batch {
        match self {
            Batch::Samples(all) => Batch::Samples(positions.iter().filter_map(|n| all.get(*n).cloned()).collect()),
            Batch::Events(all) => Batch::Events(positions.iter().filter_map(|n| all.get(*n).cloned()).collect()),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
