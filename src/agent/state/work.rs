//! One batch through the transformers of a stateful queue: what is new takes effect once, is committed, and only then
//! published and settled.

use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use super::keeper::Keeper;
use super::lost::Lost;
use crate::agent::packets::packet::Fragment;
use crate::agent::runtime::until::Until;
use crate::agent::sinks::deliver::SinkContext;
use crate::agent::sinks::offer::{OfferContext, PublisherFailed};
use crate::agent::sinks::sink::{Came, Parcel, SinkSlot};
use crate::agent::sinks::transform;
use crate::model::{Receipt, Sample, Verdict};
use crate::publish::Batch as Records;
use crate::state::{Batch, window};

/// What became of a batch.
#[derive(Debug)]
pub(in crate::agent) enum Done {
    /// Committed, published, settled.
    Published,
    /// Committed, but not published before waiting was ended: the next owner publishes it.
    Unpublished,
    /// The keeper is at its end; nothing of the batch is settled.
    Lost(Lost),
    /// A publisher is at its end.
    Failed(PublisherFailed),
}

/// What came of one parcel.
#[derive(Debug, Default)]
pub(super) struct Worked {
    /// What transformers made of it.
    pub(super) samples: Vec<Sample>,
    /// How many of its samples had taken effect before, and are left out.
    pub(super) repeated: usize,
}

impl Keeper {
    /// Takes parcels through the transformers, the log and the publishers, and settles them.
    pub(in crate::agent) async fn handle(
        &mut self,
        mut parcels: Vec<Parcel>,
        now: DateTime<Utc>,
        slot: &SinkSlot,
        context: &SinkContext,
    ) -> Done {
        match self.resume(slot, context).await {
            Done::Published => {}
            done => return done,
        }
        let (batch, outputs) = loop {
            match self.work(&parcels, now) {
                Ok(worked) => break worked,
                Err(at) => {
                    let Parcel { fragment, receipt, .. } = parcels.remove(at);
                    let Fragment { message_id, pipeline, batch: Records::Samples(samples) } = fragment else {
                        continue;
                    };
                    let of = (&*pipeline, &message_id, &*samples);
                    if !transform::park(of, receipt, &self.owner.sink, context).await {
                        return Done::Unpublished;
                    }
                }
            }
        };
        let came = |parcel: &Parcel, repeated| Came { of: parcel.fragment.batch.len(), repeated, transformed: true };
        let outputs: Vec<(Fragment, Came)> = parcels
            .iter()
            .zip(outputs)
            .map(|(parcel, Worked { samples, repeated })| {
                let output = Fragment {
                    message_id: parcel.fragment.message_id.clone(),
                    pipeline: Arc::clone(&parcel.fragment.pipeline),
                    batch: Records::Samples(samples),
                };
                (output, came(parcel, repeated))
            })
            .collect();
        // Where everything was there before, there is nothing to commit.
        if !batch.ids.is_empty() {
            let fragments = outputs.iter().map(|(fragment, _)| fragment);
            let some: Vec<&Fragment> = fragments.filter(|fragment| !fragment.batch.is_empty()).collect();
            if let Err(lost) = self.commit(batch, &some).await {
                return Done::Lost(lost);
            }
        }
        let parcel = |(parcel, (fragment, came)): (Parcel, _)| Parcel { fragment, receipt: parcel.receipt, came };
        self.publish(parcels.into_iter().zip(outputs).map(parcel).collect(), slot, context).await
    }

    /// Publishes what is committed and perhaps was not published: under the same ids, so that who gets it twice can tell.
    pub(in crate::agent) async fn resume(&mut self, slot: &SinkSlot, context: &SinkContext) -> Done {
        match self.pending() {
            None => Done::Published,
            Some(Err(lost)) => Done::Lost(lost),
            Some(Ok(pending)) => {
                // What they came of is settled, or comes again and is known by its ids.
                let came = Came { transformed: true, ..Came::default() };
                let parcel = |fragment| Parcel { fragment, receipt: Receipt::new(|_| {}), came };
                self.publish(pending.into_iter().map(parcel).collect(), slot, context).await
            }
        }
    }

    /// Publishes what is committed and settles what it came of.
    async fn publish(&mut self, outputs: Vec<Parcel>, slot: &SinkSlot, context: &SinkContext) -> Done {
        let (parcels, empty): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|parcel| !parcel.fragment.batch.is_empty());
        for Parcel { receipt, came, .. } in empty {
            context.account.worked(came.work(0), []);
            receipt.settle(Verdict::Kept);
        }
        match self.deliver(parcels, slot, context).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Done::Unpublished,
            Ok(Err(lost)) => return Done::Lost(lost),
            Err(failed) => return Done::Failed(failed),
        }
        match self.published().await {
            Ok(()) => Done::Published,
            Err(lost) => Done::Lost(lost),
        }
    }

    /// Offers parcels for as long as this keeper is not at its end, which may come while a publisher is away for hours: a log
    /// that is deleted meanwhile is made again, and a later owner ends the wait.
    async fn deliver(
        &mut self,
        parcels: Vec<Parcel>,
        slot: &SinkSlot,
        context: &SinkContext,
    ) -> Result<Result<bool, Lost>, PublisherFailed> {
        let over = context.offer.until.over.child_token();
        let until = Until { over: over.clone(), ..context.offer.until.clone() };
        let context = SinkContext { offer: OfferContext { until, ..context.offer.clone() }, ..context.clone() };
        let mut delivered = pin!(slot.deliver(parcels, &context));
        let mut end = None;
        loop {
            tokio::select! {
                biased;
                lost = self.fenced(), if end.is_none() => {
                    end = self.mend(lost).await.err();
                    if end.is_some() {
                        over.cancel();
                    }
                }
                delivered = &mut delivered => {
                    let delivered = delivered?;
                    return Ok(end.map_or(Ok(delivered), Err));
                }
            }
        }
    }

    /// Runs what is new through the transformers; what comes out, parcel by parcel. The position of a parcel that they
    /// cannot bear (a mistake of ours) comes back as an error; their state is then as it was committed.
    pub(super) fn work(&mut self, parcels: &[Parcel], now: DateTime<Utc>) -> Result<(Batch, Vec<Worked>), usize> {
        let mut batch = Batch {
            epoch: self.owner.epoch,
            number: self.state.number + 1,
            published: self.state.published,
            now_ms: now.timestamp_millis(),
            ..Batch::default()
        };
        let (mut taken, mut again) = (BTreeSet::<u64>::new(), 0);
        let mut outputs = Vec::with_capacity(parcels.len());
        let mut complaints = Vec::new();
        for (at, Parcel { fragment, .. }) in parcels.iter().enumerate() {
            let Records::Samples(samples) = &fragment.batch else {
                // Sinks of events have no transformers.
                outputs.push(Worked::default());
                continue;
            };
            let mut fresh = Vec::with_capacity(samples.len());
            let already = batch.ids.len();
            for sample in samples {
                let id = window::id(&fragment.pipeline, sample);
                if !self.state.window.contains(id) && !taken.contains(&id) {
                    batch.ids.push(id);
                    fresh.push(sample.clone());
                }
            }
            // The same sample twice in one notification is what the notification says.
            taken.extend(&batch.ids[already..]);
            let repeated = samples.len() - fresh.len();
            again += repeated;
            if fresh.is_empty() {
                outputs.push(Worked { repeated, ..Worked::default() });
                continue;
            }
            let chain = &mut self.chain;
            let worked = catch_unwind(AssertUnwindSafe(|| {
                chain.take(&fragment.pipeline, &fragment.message_id, fresh, now, &mut complaints)
            }));
            let Ok(samples) = worked else {
                self.restore();
                return Err(at);
            };
            outputs.push(Worked { samples, repeated });
        }
        complaints.iter().for_each(|complaint| self.metrics.complained(complaint));
        self.metrics.samples_again(&self.owner.queue, again);
        batch.changes = self.chain.changes();
        Ok((batch, outputs))
    }
}
