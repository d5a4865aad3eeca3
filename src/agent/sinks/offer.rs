//! One destination of a sink: a batch is offered to it until it is taken, refused for good, or nobody waits any more.
//!
//! A reload is seen while a batch waits: the next offer goes to the publisher that stands in the destination's place then.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use super::sink::{Destination, SinkSlot};
use crate::agent::runtime::troubles::{Trouble, Troubles};
use crate::agent::runtime::until::Until;
use crate::backoff::Backoff;
use crate::observe::Metrics;
use crate::publish::{Batch, Left, Partly, PublishError, Refused};

/// How long a listener that is asked to stop goes on with a batch of which its publisher's `rate` let only some out: what goes
/// back with it is published twice.
const TURNS_AT_STOP: Duration = Duration::from_secs(5);

/// What is needed to offer batches, beside the publisher.
#[derive(Clone)]
pub(in crate::agent) struct OfferContext {
    /// The member; waits are spread over members.
    pub member: Arc<str>,
    /// Counters.
    pub metrics: Metrics,
    /// Waits between offers.
    pub backoff: Backoff,
    /// What the agent waits for.
    pub troubles: Arc<Troubles>,
    /// Tells the listeners of one sink apart.
    pub listener: u64,
    /// Ends waiting: what is not accepted by then goes back.
    pub until: Until,
}

/// A publisher says that nothing can be published any more: the agent must stop.
#[derive(Debug, thiserror::Error)]
#[error("cannot publish to {publisher} any more: {cause}")]
pub(in crate::agent) struct PublisherFailed {
    publisher: Arc<str>,
    cause: String,
}

/// A record that a destination will never take.
pub(in crate::agent) struct Unwanted {
    /// Which of the batch, and why.
    pub refused: Refused,
    /// How often it was offered.
    pub attempts: u32,
}

/// What became of a batch at one destination.
pub(in crate::agent) enum Outcome {
    /// Taken, but for what is refused.
    Taken(Taken),
    /// Not all of it is taken.
    Halted(Halt),
}

/// What became of a batch that is taken: each record is in one of these.
pub(in crate::agent) struct Taken {
    /// So many records the destination accepted.
    pub published: usize,
    /// So many its overflow queue has.
    pub overflow: usize,
    /// These it refused for good.
    pub refused: Vec<Unwanted>,
}

/// Why a batch is not offered any more, though not all of it is taken.
pub(in crate::agent) enum Halt {
    /// The wait was ended.
    Ended,
    /// It has waited for its turns for as long as it may ([`Offering::wait_for_turns`]).
    OutOfPatience,
    /// A reload took the destination out of its sink.
    Gone,
    /// The publisher is at its end.
    Failed(PublisherFailed),
}

/// A batch on its way to one destination: what is still to be taken of it, and what was refused.
pub(in crate::agent) struct Offering<'b> {
    batch: Cow<'b, Batch>,
    /// Where each record that is still to be taken stands in the whole batch.
    positions: Vec<usize>,
    refused: Vec<Unwanted>,
    /// How many the destination accepted.
    published: usize,
    /// How often what is still to be taken was offered.
    offers: u32,
    /// How long it waited for turns.
    waited: Duration,
    /// How long it may; nothing where it has all the time.
    patience: Option<Duration>,
}

impl<'b> Offering<'b> {
    /// Of a batch of which nothing is taken yet.
    pub(in crate::agent) fn new(batch: &'b Batch) -> Self {
        let positions = (0..batch.len()).collect();
        let batch = Cow::Borrowed(batch);
        let (refused, waited) = (Vec::new(), Duration::ZERO);
        Offering { batch, positions, refused, published: 0, offers: 0, waited, patience: None }
    }

    /// Waits for turns no longer than this altogether: past it the offer is halted. Nothing: as long as it takes.
    pub(in crate::agent) fn wait_for_turns(&mut self, patience: Option<Duration>) {
        (self.waited, self.patience) = (Duration::ZERO, patience);
    }

    /// How long it has waited for turns.
    pub(in crate::agent) fn waited(&self) -> Duration {
        self.waited
    }

    /// Positions in the whole batch of what is still to be taken.
    pub(in crate::agent) fn rest(&self) -> &[usize] {
        &self.positions
    }

    /// The outcome, now that the destination has taken all of it.
    pub(in crate::agent) fn taken(self) -> Outcome {
        let Offering { published, refused, .. } = self;
        Outcome::Taken(Taken { published, overflow: 0, refused })
    }

    /// The outcome, now that the overflow queue has the rest.
    pub(in crate::agent) fn overflowed(self) -> Outcome {
        let Offering { published, refused, positions, .. } = self;
        Outcome::Taken(Taken { published, overflow: positions.len(), refused })
    }

    /// The first records of the rest.
    fn first(&self, records: usize) -> Cow<'_, Batch> {
        if records >= self.positions.len() {
            return Cow::Borrowed(&self.batch);
        }
        Cow::Owned(self.batch.only(&(0..records).collect::<Vec<_>>()))
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
pub(in crate::agent) async fn offer(
    slot: &SinkSlot,
    destination: &Destination,
    batch: &Batch,
    context: &OfferContext,
) -> Outcome {
    let mut offering = Offering::new(batch);
    match offer_rest(slot, destination, &mut offering, context).await {
        Ok(()) => offering.taken(),
        Err(halt) => Outcome::Halted(halt),
    }
}

/// Offers what is still to be taken of a batch until it is, or the wait is ended. Dropping the future leaves in `offering` what is
/// not known to be taken.
pub(in crate::agent) async fn offer_rest(
    slot: &SinkSlot,
    destination: &Destination,
    offering: &mut Offering<'_>,
    context: &OfferContext,
) -> Result<(), Halt> {
    let (sink, publisher) = (slot.name.to_string(), destination.url.to_string());
    let open = OpenTrouble { trouble: Trouble::Publisher { sink, publisher, listener: context.listener }, context };
    offer_on(slot, destination, offering, context, &open.trouble).await?;
    resumed(&slot.name, &destination.url, context, &open.trouble);
    Ok(())
}

fn resumed(sink: &str, url: &str, context: &OfferContext, trouble: &Trouble) {
    if let Some(lasted) = context.troubles.over(trouble) {
        context.metrics.publish_resumed(sink, url, lasted);
    }
}

/// What the agent waits for here, until it waits no more.
struct OpenTrouble<'c> {
    trouble: Trouble,
    context: &'c OfferContext,
}

impl Drop for OpenTrouble<'_> {
    fn drop(&mut self) {
        self.context.troubles.over(&self.trouble);
    }
}

async fn offer_on(
    slot: &SinkSlot,
    Destination { url, key, .. }: &Destination,
    offering: &mut Offering<'_>,
    context: &OfferContext,
    trouble: &Trouble,
) -> Result<(), Halt> {
    let (metrics, sink) = (&context.metrics, &*slot.name);
    let mut present = slot.watch();
    let mut waits = context.backoff.of(&format!("{} {sink} {url}", context.member)).waits();
    let mut begun = false;
    let mut stopped = pin!(stopped(context));
    loop {
        let publisher = present.borrow_and_update().publisher(key).ok_or(Halt::Gone)?;
        let records = offering.positions.len();
        let asked = Instant::now();
        let turn = tokio::select! {
            biased;
            turn = publisher.turn(records) => turn,
            () = out_of_patience(offering) => return Err(Halt::OutOfPatience),
            () = context.until.reached(), if !begun => return Err(Halt::Ended),
            () = &mut stopped => return Err(Halt::Ended),
            Ok(()) = present.changed() => continue,
        };
        offering.waited += asked.elapsed();
        offering.offers = offering.offers.saturating_add(1);
        let offered = Instant::now();
        let (sent, outcome) = match turn {
            Ok(turn) => (turn.records, publisher.publish(&offering.first(turn.records)).await),
            Err(left_alone) => (records, Err(left_alone)),
        };
        let (refused, left) = match outcome {
            Ok(()) => (Vec::new(), None),
            Err(PublishError::Partly(Partly { refused, left })) => (refused, left),
            Err(PublishError::Retry { cause, after }) => {
                (Vec::new(), Some(Left { records: (0..sent).collect(), cause, after }))
            }
            Err(PublishError::Stop { cause }) => {
                return Err(Halt::Failed(PublisherFailed { publisher: Arc::clone(url), cause }));
            }
        };
        if let Some(first) = refused.first() {
            metrics.publish_refused(sink, url, refused.len(), &first.cause);
        }
        let others = refused.len() + left.as_ref().map_or(0, |left| left.records.len());
        if others < sent {
            metrics.published(sink, url, sent - others, offered.elapsed());
            offering.published += sent - others;
        }
        offering.refuse(refused);
        let rest = sent..records;
        let Some(Left { records: mut left, cause, after }) = left else {
            if rest.is_empty() {
                return Ok(());
            }
            // What waits for its turn was not offered yet, and nothing is wrong.
            offering.keep(&rest.collect::<Vec<_>>());
            (offering.offers, begun) = (0, true);
            waits.reset();
            resumed(sink, url, context, trouble);
            continue;
        };
        left.extend(rest);
        if left.len() < records {
            // It goes on: the next wait is a first one.
            offering.keep(&left);
            begun = true;
            waits.reset();
        }
        let own = waits.again();
        let pause = match after.filter(|after| !after.is_zero()) {
            // As it is asked for: earlier is in vain, and whoever comes later finds the destination left alone for longer.
            Some(after) => after.min(context.backoff.longest),
            None => own,
        };
        let said = context.troubles.note(trouble, &cause, offering.positions.len());
        metrics.publish_held(sink, url, pause, &cause, said);
        tokio::select! {
            biased;
            () = context.until.reached() => return Err(Halt::Ended),
            () = tokio::time::sleep(pause) => {}
            // Another publisher has not failed yet.
            Ok(()) = present.changed() => waits.reset(),
        }
    }
}

async fn out_of_patience(offering: &Offering<'_>) {
    match offering.patience {
        Some(patience) => tokio::time::sleep(patience.saturating_sub(offering.waited)).await,
        None => std::future::pending().await,
    }
}

/// Waits until a batch of which some went out waits no more for its turn: what it has to repeat, it had better finish.
async fn stopped(context: &OfferContext) {
    context.until.reached().await;
    tokio::select! {
        biased;
        () = context.until.over.cancelled() => {}
        () = tokio::time::sleep(TURNS_AT_STOP) => {}
    }
}
