//! A sink at work: everything it is given reaches all of its publishers, in order, or is parked, or goes back.

use futures_util::future::join_all;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

use super::clock::Clock;
use super::jitter;
use super::packet::Fragment;
use super::parking::{Parking, Reason};
use super::troubles::{Trouble, Troubles};
use super::until::Until;
use crate::model::{Receipt, Verdict, json};
use crate::observe::{Metrics, ParkReason};
use crate::pipeline::transform::{ChainOptions, Transformers};
use crate::publish::{Batch, Left, Partly, PublishError, Publisher, Refused};

/// The publishers of one sink of `pipeline.yaml` or `event_pipeline.yaml`.
pub(super) struct Sink {
    /// Its publishers, each with its URL (no secrets) for logs.
    pub publishers: Vec<(Arc<str>, Arc<dyn Publisher>)>,
    /// What its samples go through first.
    pub transformers: Arc<Transformers>,
    /// What was written about it: a reload that changes nothing here keeps this very sink.
    pub written: String,
}

/// The place of a sink: its name stays, what stands behind it can be replaced at a reload.
pub(super) struct SinkSlot {
    /// `meter_sink`, or `event:event_sink` for one of `event_pipeline.yaml`.
    pub name: Arc<str>,
    current: watch::Sender<Arc<Sink>>,
}

/// The first wait before a batch is offered again, and the longest.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// First wait.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
}

/// One fragment with the part of its delivery's receipt that hangs on it.
pub(super) struct Parcel {
    /// What is to be published.
    pub fragment: Fragment,
    /// Settled when it is.
    pub receipt: Receipt,
}

/// What a sink needs to do its work beside its publishers.
#[derive(Clone)]
pub(super) struct SinkContext {
    /// The member; waits are spread over members.
    pub member: Arc<str>,
    /// For records that a publisher refuses.
    pub parking: Parking,
    /// Counters.
    pub metrics: Metrics,
    /// Waits between offers.
    pub backoff: Backoff,
    /// What transformers may hold, and how they work.
    pub chain: ChainOptions,
    /// The time that transformers are told.
    pub clock: Clock,
    /// What stands still.
    pub troubles: Arc<Troubles>,
    /// Tells the listeners of one sink apart.
    pub listener: u64,
    /// Ends waiting: what is not accepted by then goes back.
    pub until: Until,
}

/// A publisher says that nothing can be published any more: the agent must stop.
#[derive(Debug, thiserror::Error)]
#[error("{publisher} cannot publish any more: {cause}")]
pub(super) struct Dead {
    publisher: Arc<str>,
    cause: String,
}

impl SinkSlot {
    /// A slot with its first sink.
    pub(super) fn new(name: &str, sink: Sink) -> Self {
        SinkSlot { name: name.into(), current: watch::Sender::new(Arc::new(sink)) }
    }

    /// The sink as configured now. Taken once per batch, so that a reload never splits one.
    pub(super) fn current(&self) -> Arc<Sink> {
        Arc::clone(&self.current.borrow())
    }

    /// Whether its transformers keep state, as configured now.
    pub(super) fn is_stateful(&self) -> bool {
        self.current().transformers.is_stateful()
    }

    /// Puts another sink in the place; the former one is returned to be closed.
    pub(super) fn replace(&self, sink: Sink) -> Arc<Sink> {
        self.current.send_replace(Arc::new(sink))
    }

    /// Publishes the parcels in their order and settles each: kept when every publisher accepted it, parked when one
    /// refused it for good, returned when the wait was ended. Whether nothing is returned.
    pub(super) async fn deliver(&self, parcels: Vec<Parcel>, context: &SinkContext) -> Result<bool, Dead> {
        let sink = self.current();
        if context.until.over.is_cancelled() {
            // The deliveries are back in their queue, and another may have published them.
            return Ok(false);
        }
        let mut parcels = parcels.into_iter().peekable();
        // One batch holds samples or events; a sink of one file is given one kind only, so this runs once.
        while let Some(first) = parcels.next() {
            let mut batch = first.fragment.batch;
            let mut ends = vec![batch.len()];
            let mut receipts = vec![first.receipt];
            while let Some(next) = parcels.next_if(|p| same_kind(&p.fragment.batch, &batch)) {
                append(&mut batch, next.fragment.batch);
                ends.push(batch.len());
                receipts.push(next.receipt);
            }
            if !sink.deliver_batch(&self.name, batch, &ends, receipts, context).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Sink {
    async fn deliver_batch(
        &self,
        name: &str,
        batch: Batch,
        ends: &[usize],
        receipts: Vec<Receipt>,
        context: &SinkContext,
    ) -> Result<bool, Dead> {
        let offers = self.publishers.iter().map(|(url, publisher)| offer(name, url, publisher, &batch, context));
        let mut refused = vec![false; receipts.len()];
        for (outcome, (url, _)) in join_all(offers).await.into_iter().zip(&self.publishers) {
            match outcome {
                Outcome::Accepted => {}
                Outcome::Refused(which) => {
                    for Refused { record, cause } in which {
                        let text = format!("{url} refused it: {cause}");
                        let reason = Reason { kind: ParkReason::Refused, text };
                        let Some(body) = record_json(&batch, record) else { continue };
                        if !context.parking.park(name, body.into(), &reason, &context.until).await {
                            // Held as long as it can be: dropping the receipts gives the deliveries back.
                            return Ok(false);
                        }
                        refused[ends.partition_point(|end| *end <= record)] = true;
                    }
                }
                Outcome::Ended => return Ok(false),
                Outcome::Dead(dead) => return Err(dead),
            }
        }
        for (receipt, refused) in receipts.into_iter().zip(refused) {
            receipt.settle(if refused { Verdict::Parked } else { Verdict::Kept });
        }
        Ok(true)
    }
}

enum Outcome {
    Accepted,
    /// Taken but for these.
    Refused(Vec<Refused>),
    /// The wait was ended before the publisher accepted.
    Ended,
    Dead(Dead),
}

/// Offers a batch until it is accepted or refused, or the wait is ended.
async fn offer(
    sink: &str,
    url: &Arc<str>,
    publisher: &Arc<dyn Publisher>,
    batch: &Batch,
    context: &SinkContext,
) -> Outcome {
    let trouble = Trouble::Publisher { sink: sink.to_owned(), publisher: url.to_string(), listener: context.listener };
    let outcome = offer_on(sink, url, publisher, batch, context, &trouble).await;
    if let Some(lasted) = context.troubles.over(&trouble)
        && matches!(outcome, Outcome::Accepted)
    {
        context.metrics.publish_resumed(sink, url, lasted);
    }
    outcome
}

async fn offer_on(
    sink: &str,
    url: &Arc<str>,
    publisher: &Arc<dyn Publisher>,
    batch: &Batch,
    context: &SinkContext,
    trouble: &Trouble,
) -> Outcome {
    let metrics = &context.metrics;
    let mut wait = context.backoff.first;
    let who = format!("{} {sink} {url}", context.member);
    // What is still to be taken, and where it stands in the batch.
    let mut rest = Rest { batch: Cow::Borrowed(batch), positions: (0..batch.len()).collect() };
    let mut refused = Vec::new();
    for attempt in 1.. {
        let offered = Instant::now();
        let error = publisher.publish(&rest.batch).await.err();
        let (cause, after, left) = match error {
            None => (String::new(), None, Vec::new()),
            Some(PublishError::Stop { cause }) => {
                return Outcome::Dead(Dead { publisher: Arc::clone(url), cause });
            }
            Some(PublishError::Retry { cause, after }) => (cause, after, (0..rest.positions.len()).collect()),
            Some(PublishError::Partly(Partly { refused: more, left })) => {
                if let Some(first) = more.first() {
                    metrics.publish_refused(sink, url, more.len(), &first.cause);
                }
                let taken = rest.positions.len() - more.len();
                refused.extend(more.into_iter().filter_map(|refused| rest.in_the_batch(refused)));
                match left {
                    None => {
                        metrics.published(sink, url, taken, offered.elapsed());
                        return Outcome::Refused(refused);
                    }
                    Some(Left { records, cause, after }) => {
                        metrics.published(sink, url, taken.saturating_sub(records.len()), offered.elapsed());
                        (cause, after, records)
                    }
                }
            }
        };
        if left.is_empty() {
            metrics.published(sink, url, rest.positions.len(), offered.elapsed());
            return if refused.is_empty() { Outcome::Accepted } else { Outcome::Refused(refused) };
        }
        if left.len() < rest.positions.len() {
            // It goes on: the next wait is a first one.
            wait = context.backoff.first;
            rest = rest.only(&left);
        }
        let pause = after.unwrap_or(wait).min(context.backoff.longest).mul_f64(jitter::factor(&who, attempt));
        let said = context.troubles.note(trouble, &cause, rest.positions.len());
        metrics.publish_held(sink, url, pause, &cause, said);
        wait = (wait * 2).min(context.backoff.longest);
        tokio::select! {
            biased;
            () = context.until.reached() => return Outcome::Ended,
            () = tokio::time::sleep(pause) => {}
        }
    }
    Outcome::Ended
}

/// The part of a batch that is still to be taken.
struct Rest<'b> {
    batch: Cow<'b, Batch>,
    /// Where each of its records stands in the whole batch.
    positions: Vec<usize>,
}

impl Rest<'_> {
    /// What stays of it, by positions in this rest.
    fn only(&self, left: &[usize]) -> Rest<'static> {
        let positions = left.iter().filter_map(|n| self.positions.get(*n).copied()).collect();
        Rest { batch: Cow::Owned(self.batch.only(left)), positions }
    }

    /// What is said of a record of this rest, with its place in the whole batch; nothing if it is none of it (a publisher's
    /// mistake).
    fn in_the_batch(&self, refused: Refused) -> Option<Refused> {
        Some(Refused { record: *self.positions.get(refused.record)?, ..refused })
    }
}

fn same_kind(one: &Batch, other: &Batch) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

fn append(batch: &mut Batch, more: Batch) {
    match (batch, more) {
        (Batch::Samples(all), Batch::Samples(more)) => all.extend(more),
        (Batch::Events(all), Batch::Events(more)) => all.extend(more),
        _ => debug_assert!(false, "a batch holds one kind"),
    }
}

/// One record as JSON; `None` for a position that is not in the batch (a publisher's mistake).
fn record_json(batch: &Batch, record: usize) -> Option<Vec<u8>> {
    let dict = match batch {
        Batch::Samples(samples) => samples.get(record)?.as_dict(),
        Batch::Events(events) => events.get(record)?.serialize(),
    };
    let mut body = Vec::new();
    json::write_dict(&dict, &mut body);
    Some(body)
}
