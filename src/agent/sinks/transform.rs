//! Transformers that keep nothing from one notification to the next: no log, no read-back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::deliver::SinkContext;
use super::sink::{Came, Parcel, SinkSlot};
use crate::agent::packets::packet::Fragment;
use crate::agent::parked::label::{Content, Whose};
use crate::agent::parked::parking::{Case, Reason};
use crate::books::Work;
use crate::model::{Receipt, Sample, Value, Verdict, json};
use crate::observe::ParkReason;
use crate::pipeline::transform::Chain;
use crate::publish::Batch;

/// The parcels as the sink's transformers leave them. `None` when one had to be parked and that failed.
pub(in crate::agent) async fn stateless(
    slot: &SinkSlot,
    parcels: Vec<Parcel>,
    context: &SinkContext,
) -> Option<Vec<Parcel>> {
    let sink = slot.current();
    if sink.transformers.is_empty() {
        return Some(parcels);
    }
    let new = || Chain::new(sink.transformers.clone(), &slot.name, context.chain.clone());
    let mut chain = new();
    let mut transformed = Vec::with_capacity(parcels.len());
    for Parcel { fragment: Fragment { message_id, pipeline, batch }, receipt, .. } in parcels {
        let Batch::Samples(samples) = batch else { continue };
        let came = Came { of: samples.len(), repeated: 0, transformed: true };
        let mut complaints = Vec::new();
        let now = context.clock.now();
        let worked = catch_unwind(AssertUnwindSafe(|| {
            chain.take(&pipeline, &message_id, samples.clone(), now, &mut complaints)
        }));
        complaints.iter().for_each(|complaint| context.offer.metrics.complained(complaint));
        match worked {
            Ok(made) if made.is_empty() => {
                context.account.worked(came.work(0), []);
                receipt.settle(Verdict::Kept);
            }
            Ok(made) => {
                let fragment = Fragment { message_id, pipeline, batch: Batch::Samples(made) };
                transformed.push(Parcel { fragment, receipt, came });
            }
            Err(_) => {
                chain = new();
                if !park((&pipeline, &message_id, &samples), receipt, &slot.name, context).await {
                    return None;
                }
            }
        }
    }
    Some(transformed)
}

/// Parks samples of a notification that a sink's transformers cannot bear, which is a mistake of ours; `false` if that failed and
/// they go back.
pub(in crate::agent) async fn park(
    (pipeline, message_id, samples): (&str, &Value, &[Sample]),
    receipt: Receipt,
    sink: &Arc<str>,
    context: &SinkContext,
) -> bool {
    let text = "a mistake in a transformer: please report it".to_owned();
    let reason = Reason { kind: ParkReason::InternalError, text };
    for sample in samples {
        let case = Case {
            origin: Arc::clone(sink),
            reason: reason.clone(),
            content: Content::Sample,
            attempts: 1,
            event_type: Some(sample.name.to_string()),
            whose: Whose {
                sink: sink.to_string(),
                pipeline: Some(pipeline.to_owned()),
                message_id: Some(json::to_string(message_id)),
                ..Whose::default()
            },
        };
        let mut body = Vec::new();
        sample.write_json(&mut body);
        if !context.parking.park(body.into(), &case, &context.offer.until).await {
            return false;
        }
    }
    let parked = samples.len() as u64;
    context.account.worked(Work { records: parked, parked, ..Work::default() }, []);
    receipt.settle(Verdict::Parked);
    true
}
