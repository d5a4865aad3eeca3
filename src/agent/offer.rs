//! One destination of a sink: a batch is offered to it until it is taken, refused for good, or nobody waits any more.
//!
//! A reload is seen while a batch waits: the next offer goes to the publisher that stands in the destination's place then.

use std::borrow::Cow;
use std::sync::Arc;
use tokio::time::Instant;

use super::jitter;
use super::sink::{SinkContext, SinkSlot};
use super::troubles::Trouble;
use crate::publish::{Batch, Left, Partly, PublishError, Publisher, Refused};

/// One publisher of a sink.
#[derive(Clone)]
pub(super) struct Destination {
    /// Its URL without secrets, for logs.
    pub url: Arc<str>,
    /// What tells it from the sink's others, also where their URLs look alike: part of the name of its overflow queue.
    pub key: Arc<str>,
    /// The publisher.
    pub publisher: Arc<dyn Publisher>,
}

/// A publisher says that nothing can be published any more: the agent must stop.
#[derive(Debug, thiserror::Error)]
#[error("{publisher} cannot publish any more: {cause}")]
pub(super) struct Dead {
    publisher: Arc<str>,
    cause: String,
}

/// A record that a destination will never take.
pub(super) struct Unwanted {
    /// Which of the batch, and why.
    pub refused: Refused,
    /// How often it was offered.
    pub attempts: u32,
}

/// What became of a batch at one destination.
pub(super) enum Outcome {
    /// Taken.
    Accepted,
    /// Taken but for these.
    Refused(Vec<Unwanted>),
    /// Not all of it is taken.
    Halted(Halt),
}

/// Why a batch is not offered any more, though not all of it is taken.
pub(super) enum Halt {
    /// The wait was ended.
    Ended,
    /// A reload took the destination out of its sink.
    Gone,
    /// The publisher is at its end.
    Dead(Dead),
}

/// A batch on its way to one destination: what is still to be taken of it, and what was refused.
pub(super) struct Offering<'b> {
    batch: Cow<'b, Batch>,
    /// Where each record that is still to be taken stands in the whole batch.
    positions: Vec<usize>,
    refused: Vec<Unwanted>,
    /// How often what is still to be taken was offered.
    offers: u32,
}

impl<'b> Offering<'b> {
    /// Of a batch of which nothing is taken yet.
    pub(super) fn new(batch: &'b Batch) -> Self {
        let positions = (0..batch.len()).collect();
        Offering { batch: Cow::Borrowed(batch), positions, refused: Vec::new(), offers: 0 }
    }

    /// Positions in the whole batch of what is still to be taken.
    pub(super) fn rest(&self) -> &[usize] {
        &self.positions
    }

    /// The outcome, now that the rest is taken, here or elsewhere.
    pub(super) fn taken(self) -> Outcome {
        if self.refused.is_empty() { Outcome::Accepted } else { Outcome::Refused(self.refused) }
    }

    /// Only these, by their positions in the rest, are still to be taken.
    fn keep(&mut self, left: &[usize]) {
        self.positions = left.iter().filter_map(|n| self.positions.get(*n).copied()).collect();
        self.batch = Cow::Owned(self.batch.only(left));
    }

    /// Notes what is refused of the rest; what is none of it is a publisher's mistake.
    fn refuse(&mut self, refused: Vec<Refused>) {
        let attempts = self.offers;
        let place = |refused: Refused| {
            let refused = Refused { record: *self.positions.get(refused.record)?, ..refused };
            Some(Unwanted { refused, attempts })
        };
        self.refused.extend(refused.into_iter().filter_map(place));
    }
}

/// Offers a batch until it is accepted or refused, or the wait is ended.
pub(super) async fn offer(slot: &SinkSlot, destination: &Destination, batch: &Batch, context: &SinkContext) -> Outcome {
    let mut offering = Offering::new(batch);
    match offer_rest(slot, destination, &mut offering, context).await {
        Ok(()) => offering.taken(),
        Err(halt) => Outcome::Halted(halt),
    }
}

/// Offers what is still to be taken of a batch until it is, or the wait is ended. Dropping the future leaves in `offering` what is
/// not known to be taken.
pub(super) async fn offer_rest(
    slot: &SinkSlot,
    destination: &Destination,
    offering: &mut Offering<'_>,
    context: &SinkContext,
) -> Result<(), Halt> {
    let (sink, publisher) = (slot.name.to_string(), destination.url.to_string());
    let standing = Standing { trouble: Trouble::Publisher { sink, publisher, listener: context.listener }, context };
    offer_on(slot, destination, offering, context, &standing.trouble).await?;
    if let Some(lasted) = context.troubles.over(&standing.trouble) {
        context.metrics.publish_resumed(&slot.name, &destination.url, lasted);
    }
    Ok(())
}

/// What stands still here, until nobody waits any more.
struct Standing<'c> {
    trouble: Trouble,
    context: &'c SinkContext,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.context.troubles.over(&self.trouble);
    }
}

async fn offer_on(
    slot: &SinkSlot,
    Destination { url, key, .. }: &Destination,
    offering: &mut Offering<'_>,
    context: &SinkContext,
    trouble: &Trouble,
) -> Result<(), Halt> {
    let (metrics, sink) = (&context.metrics, &*slot.name);
    let mut present = slot.watch();
    let mut wait = context.backoff.first;
    let who = format!("{} {sink} {url}", context.member);
    for attempt in 1.. {
        let publisher = present.borrow_and_update().publisher(key).ok_or(Halt::Gone)?;
        let (offered, records) = (Instant::now(), offering.positions.len());
        offering.offers = offering.offers.saturating_add(1);
        let (cause, after) = match publisher.publish(&offering.batch).await {
            Ok(()) => {
                metrics.published(sink, url, records, offered.elapsed());
                return Ok(());
            }
            Err(PublishError::Stop { cause }) => {
                return Err(Halt::Dead(Dead { publisher: Arc::clone(url), cause }));
            }
            Err(PublishError::Retry { cause, after }) => (cause, after),
            Err(PublishError::Partly(Partly { refused, left })) => {
                if let Some(first) = refused.first() {
                    metrics.publish_refused(sink, url, refused.len(), &first.cause);
                }
                let others = refused.len() + left.as_ref().map_or(0, |left| left.records.len());
                if others < records {
                    metrics.published(sink, url, records - others, offered.elapsed());
                }
                offering.refuse(refused);
                let Some(Left { records: left, cause, after }) = left else { return Ok(()) };
                // It goes on: the next wait is a first one.
                wait = if left.len() < records { context.backoff.first } else { wait };
                offering.keep(&left);
                (cause, after)
            }
        };
        let pause = after.unwrap_or(wait).min(context.backoff.longest).mul_f64(jitter::factor(&who, attempt));
        let said = context.troubles.note(trouble, &cause, offering.positions.len());
        metrics.publish_held(sink, url, pause, &cause, said);
        wait = (wait * 2).min(context.backoff.longest);
        tokio::select! {
            biased;
            () = context.until.reached() => return Err(Halt::Ended),
            () = tokio::time::sleep(pause) => {}
            // Another publisher has not failed yet.
            Ok(()) = present.changed() => wait = context.backoff.first,
        }
    }
    Err(Halt::Ended)
}
