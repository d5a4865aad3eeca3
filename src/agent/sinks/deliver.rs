//! A sink at work: everything it is given reaches all of its publishers, in order, or is parked, or goes back.

use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::load::{Load, Origin};
use super::offer::{self, Halt, OfferContext, Outcome, PublisherFailed};
use super::overflow::Detours;
use super::sink::{Destination, Parcel, SinkSlot};
use crate::agent::books::Account;
use crate::agent::packets::packet::Fragment;
use crate::agent::parked::parking::Parking;
use crate::agent::runtime::clock::Clock;
use crate::books::{Offered, Work};
use crate::model::{Receipt, Verdict};
use crate::pipeline::transform::ChainOptions;
use crate::publish::Batch;

/// What a sink needs to do its work beside its publishers.
#[derive(Clone)]
pub(in crate::agent) struct SinkContext {
    /// For offers.
    pub offer: OfferContext,
    /// For records that a publisher refuses.
    pub parking: Parking,
    /// What transformers may hold, and how they work.
    pub chain: ChainOptions,
    /// The time that transformers are told.
    pub clock: Clock,
    /// Where what one of several destinations does not take goes meanwhile; nothing where all wait for all.
    pub detours: Option<Arc<Detours>>,
    /// What is settled is counted here.
    pub account: Arc<Account>,
}

impl SinkSlot {
    /// Publishes the parcels in their order and settles each: kept when every publisher accepted it, parked when one
    /// refused it for good, returned when the wait was ended. Whether nothing is returned.
    ///
    /// What a publisher has not taken when a reload takes it out of the sink goes to those that the reload put in.
    pub(in crate::agent) async fn deliver(
        &self,
        parcels: Vec<Parcel>,
        context: &SinkContext,
    ) -> Result<bool, PublisherFailed> {
        self.deliver_all(None, parcels, context).await
    }

    /// The same for one of its destinations, and no other. Nothing is delivered where a reload has taken it away.
    pub(in crate::agent) async fn deliver_to(
        &self,
        key: &str,
        parcels: Vec<Parcel>,
        context: &SinkContext,
    ) -> Result<bool, PublisherFailed> {
        self.deliver_all(Some(key), parcels, context).await
    }

    async fn deliver_all(
        &self,
        only: Option<&str>,
        parcels: Vec<Parcel>,
        context: &SinkContext,
    ) -> Result<bool, PublisherFailed> {
        if context.offer.until.over.is_cancelled() {
            // The deliveries are back in their queue, and another may have published them.
            return Ok(false);
        }
        let records: usize = parcels.iter().map(|parcel| parcel.fragment.batch.len()).sum();
        let mut parcels = parcels.into_iter().peekable();
        // One batch holds samples or events; a sink of one file is given one kind only, so this runs once.
        while let Some(Parcel { fragment, receipt, came }) = parcels.next() {
            let Fragment { message_id, pipeline, mut batch } = fragment;
            reserve(&mut batch, records);
            let mut origins = vec![Origin { message_id, pipeline, end: batch.len() }];
            let mut receipts = vec![receipt];
            let mut work = came.work(batch.len());
            while let Some(Parcel { fragment, receipt, came }) =
                parcels.next_if(|p| same_kind(&p.fragment.batch, &batch))
            {
                let Fragment { message_id, pipeline, batch: more } = fragment;
                work += came.work(more.len());
                append(&mut batch, more);
                origins.push(Origin { message_id, pipeline, end: batch.len() });
                receipts.push(receipt);
            }
            if !self.deliver_batch(only, &Load { batch, origins }, (receipts, work), context).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn deliver_batch(
        &self,
        only: Option<&str>,
        load: &Load,
        (receipts, work): (Vec<Receipt>, Work),
        context: &SinkContext,
    ) -> Result<bool, PublisherFailed> {
        let mut refused = vec![false; receipts.len()];
        let mut offered_to: Vec<(Arc<str>, Offered)> = Vec::new();
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
                Some(detours) => detours.offer(self, destination, load, &context.offer).await,
                None => offer::offer(self, destination, &load.batch, &context.offer).await,
            });
            let outcomes = join_all(offers).await;
            let mut gone = false;
            for (outcome, destination) in outcomes.into_iter().zip(due) {
                let taken = match outcome {
                    Outcome::Taken(taken) => taken,
                    Outcome::Halted(Halt::Gone) if only.is_none() => {
                        context.offer.metrics.publisher_gone(&self.name, &destination.url);
                        gone = true;
                        continue;
                    }
                    Outcome::Halted(Halt::Gone | Halt::Ended | Halt::OutOfPatience) => return Ok(false),
                    Outcome::Halted(Halt::Failed(failed)) => return Err(failed),
                };
                let mut parked = 0;
                for unwanted in taken.refused {
                    let record = unwanted.refused.record;
                    let Some((body, case)) = load.refused(unwanted, &self.name, destination) else { continue };
                    if !context.parking.park(body.into(), &case, &context.offer.until).await {
                        // Held as long as it can be: dropping the receipts gives the deliveries back.
                        return Ok(false);
                    }
                    refused[load.origin(record)] = true;
                    parked += 1;
                }
                let [offered, published, overflow] =
                    [load.batch.len(), taken.published, taken.overflow].map(|count| count as u64);
                offered_to.push((Arc::clone(&destination.key), Offered { offered, published, overflow, parked }));
            }
            if !gone {
                break;
            }
        }
        context.account.worked(work, offered_to.iter().map(|(key, offered)| (&**key, *offered)));
        for (receipt, refused) in receipts.into_iter().zip(refused) {
            receipt.settle(if refused { Verdict::Parked } else { Verdict::Kept });
        }
        Ok(true)
    }
}

fn same_kind(one: &Batch, other: &Batch) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

fn reserve(batch: &mut Batch, records: usize) {
    match batch {
        Batch::Samples(samples) => samples.reserve(records),
        Batch::Events(events) => events.reserve(records),
    }
}

fn append(batch: &mut Batch, more: Batch) {
    match (batch, more) {
        (Batch::Samples(all), Batch::Samples(more)) => all.extend(more),
        (Batch::Events(all), Batch::Events(more)) => all.extend(more),
        _ => debug_assert!(false, "a batch holds one kind"),
    }
}
