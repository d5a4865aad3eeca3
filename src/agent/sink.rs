//! A sink at work: everything it is given reaches all of its publishers, in order, or is parked, or goes back.

use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

use super::clock::Clock;
use super::offer::{self, Dead, Destination, Halt, Outcome, Unwanted};
use super::overflow::Detours;
use super::packet::Fragment;
use super::parked::label::{Content, Label, Whose};
use super::parking::{Case, Parking, Reason};
use super::troubles::Troubles;
use super::until::Until;
use crate::backoff::Backoff;
use crate::model::{Receipt, Value, Verdict, json};
use crate::observe::{Metrics, ParkReason};
use crate::pipeline::transform::{ChainOptions, Transformers};
use crate::publish::{Batch, Publisher, Refused};

/// One sink of `pipeline.yaml` or `event_pipeline.yaml`.
pub(super) struct Sink {
    /// Where it publishes to.
    pub destinations: Vec<Destination>,
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
    /// Where what one of several destinations does not take goes meanwhile; nothing where all wait for all.
    pub detours: Option<Arc<Detours>>,
}

/// A batch for the destinations of a sink, and what it consists of.
pub(super) struct Load {
    /// All records, in order.
    pub batch: Batch,
    /// The fragments that they came in, in order: where each ends in the batch.
    pub origins: Vec<Origin>,
}

/// The fragment that some records of a batch came in.
pub(super) struct Origin {
    /// The notification's message id.
    pub message_id: Value,
    /// The pipeline that took it.
    pub pipeline: Arc<str>,
    /// The position behind its last record.
    pub end: usize,
}

impl Load {
    /// The position of the fragment that a record came in.
    fn origin(&self, record: usize) -> usize {
        self.origins.partition_point(|origin| origin.end <= record)
    }

    /// A record that a destination refused, to be parked; `None` for a position that is not in the batch (a publisher's mistake).
    fn refused(&self, unwanted: Unwanted, sink: &Arc<str>, destination: &Destination) -> Option<(Vec<u8>, Case)> {
        let Unwanted { refused: Refused { record, cause }, attempts } = unwanted;
        let origin = self.origins.get(self.origin(record))?;
        let mut body = Vec::new();
        let (content, event_type) = match &self.batch {
            Batch::Samples(samples) => {
                let sample = samples.get(record)?;
                sample.write_json(&mut body);
                (Content::Sample, &sample.name)
            }
            Batch::Events(events) => {
                let event = events.get(record)?;
                event.write_json(&mut body);
                (Content::Event, &event.event_type)
            }
        };
        let text = Label::refused(&destination.url, &cause);
        let case = Case {
            origin: Arc::clone(sink),
            reason: Reason { kind: ParkReason::Refused, text },
            content,
            attempts,
            event_type: Some(event_type.clone()),
            whose: Whose {
                sink: sink.to_string(),
                publisher: Some(destination.url.to_string()),
                destination: Some(destination.key.to_string()),
                pipeline: Some(origin.pipeline.to_string()),
                message_id: Some(json::to_string(&origin.message_id)),
            },
        };
        Some((body, case))
    }

    /// Some of the records, in the fragments that they came in.
    pub(super) fn fragments(&self, records: &[usize]) -> Vec<Fragment> {
        let fragment = |some: &[usize]| {
            let Origin { message_id, pipeline, .. } = self.origins.get(self.origin(*some.first()?))?;
            let (message_id, pipeline) = (message_id.clone(), Arc::clone(pipeline));
            Some(Fragment { message_id, pipeline, batch: self.batch.only(some) })
        };
        records.chunk_by(|one, other| self.origin(*one) == self.origin(*other)).filter_map(fragment).collect()
    }
}

impl SinkSlot {
    /// A slot with its first sink.
    pub(super) fn new(name: &str, sink: Sink) -> Self {
        SinkSlot { name: name.into(), current: watch::Sender::new(Arc::new(sink)) }
    }

    /// The sink as configured now.
    pub(super) fn current(&self) -> Arc<Sink> {
        Arc::clone(&self.current.borrow())
    }

    /// The same, for who waits for a reload.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Sink>> {
        self.current.subscribe()
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
    ///
    /// What a publisher has not taken when a reload takes it out of the sink goes to those that the reload put in.
    pub(super) async fn deliver(&self, parcels: Vec<Parcel>, context: &SinkContext) -> Result<bool, Dead> {
        self.deliver_all(None, parcels, context).await
    }

    /// The same for one of its destinations, and no other. Nothing is delivered where a reload has taken it away.
    pub(super) async fn deliver_to(
        &self,
        key: &str,
        parcels: Vec<Parcel>,
        context: &SinkContext,
    ) -> Result<bool, Dead> {
        self.deliver_all(Some(key), parcels, context).await
    }

    async fn deliver_all(&self, only: Option<&str>, parcels: Vec<Parcel>, context: &SinkContext) -> Result<bool, Dead> {
        if context.until.over.is_cancelled() {
            // The deliveries are back in their queue, and another may have published them.
            return Ok(false);
        }
        let mut parcels = parcels.into_iter().peekable();
        // One batch holds samples or events; a sink of one file is given one kind only, so this runs once.
        while let Some(Parcel { fragment, receipt }) = parcels.next() {
            let Fragment { message_id, pipeline, mut batch } = fragment;
            let mut origins = vec![Origin { message_id, pipeline, end: batch.len() }];
            let mut receipts = vec![receipt];
            while let Some(Parcel { fragment, receipt }) = parcels.next_if(|p| same_kind(&p.fragment.batch, &batch)) {
                let Fragment { message_id, pipeline, batch: more } = fragment;
                append(&mut batch, more);
                origins.push(Origin { message_id, pipeline, end: batch.len() });
                receipts.push(receipt);
            }
            if !self.deliver_batch(only, &Load { batch, origins }, receipts, context).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn deliver_batch(
        &self,
        only: Option<&str>,
        load: &Load,
        receipts: Vec<Receipt>,
        context: &SinkContext,
    ) -> Result<bool, Dead> {
        let mut refused = vec![false; receipts.len()];
        // Each destination is offered a batch once, whatever is configured meanwhile.
        let mut offered = BTreeSet::new();
        loop {
            let sink = self.current();
            let is_due = |destination: &&Destination| {
                only.is_none_or(|key| *destination.key == *key) && offered.insert(Arc::clone(&destination.key))
            };
            let due: Vec<&Destination> = sink.destinations.iter().filter(is_due).collect();
            if due.is_empty() && only.is_some() {
                return Ok(false);
            }
            // With an overflow queue each has its own progress; what comes out of one goes straight.
            let detours = context.detours.as_deref().filter(|_| only.is_none());
            let offers = due.iter().map(async |destination| match detours {
                Some(detours) => detours.offer(self, destination, load, context).await,
                None => offer::offer(self, destination, &load.batch, context).await,
            });
            let outcomes = join_all(offers).await;
            let mut gone = false;
            for (outcome, destination) in outcomes.into_iter().zip(due) {
                let which = match outcome {
                    Outcome::Accepted => continue,
                    Outcome::Refused(which) => which,
                    Outcome::Halted(Halt::Gone) if only.is_none() => {
                        context.metrics.publisher_gone(&self.name, &destination.url);
                        gone = true;
                        continue;
                    }
                    Outcome::Halted(Halt::Gone | Halt::Ended | Halt::OutOfPatience) => return Ok(false),
                    Outcome::Halted(Halt::Dead(dead)) => return Err(dead),
                };
                for unwanted in which {
                    let record = unwanted.refused.record;
                    let Some((body, case)) = load.refused(unwanted, &self.name, destination) else { continue };
                    if !context.parking.park(body.into(), &case, &context.until).await {
                        // Held as long as it can be: dropping the receipts gives the deliveries back.
                        return Ok(false);
                    }
                    refused[load.origin(record)] = true;
                }
            }
            if !gone {
                break;
            }
        }
        for (receipt, refused) in receipts.into_iter().zip(refused) {
            receipt.settle(if refused { Verdict::Parked } else { Verdict::Kept });
        }
        Ok(true)
    }
}

impl Sink {
    /// The publisher of a destination.
    pub(super) fn publisher(&self, key: &str) -> Option<Arc<dyn Publisher>> {
        let destination = self.destinations.iter().find(|destination| *destination.key == *key)?;
        Some(Arc::clone(&destination.publisher))
    }

    /// Its destinations that have overflow queues: one alone needs none, it has the pipeline queue to itself.
    pub(super) fn with_overflow(&self) -> &[Destination] {
        if self.destinations.len() > 1 { &self.destinations } else { &[] }
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
