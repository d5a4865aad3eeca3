//! The pipeline listener: packets of one pipeline queue in, batches to the publishers of its sink.

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::intake::{Intake, Taken};
use super::main_listener::Ended;
use super::packet;
use super::parking::Reason;
use super::sabotage::{self, Sabotage};
use super::sink::{Dead, Parcel, SinkContext, SinkSlot};
use crate::model::{Receipt, Verdict};
use crate::observe::ParkReason;
use crate::transport::Delivery;

/// One listener on one pipeline queue. The queue has a single active consumer, and this member owns it.
pub(super) struct PipelineListener {
    /// Deliveries.
    pub intake: Intake,
    /// The sink of the queue.
    pub slot: Arc<SinkSlot>,
    /// What the sink needs; its `stop` is this listener's.
    pub context: SinkContext,
    /// What is done wrong on purpose.
    pub sabotage: Option<Sabotage>,
}

impl PipelineListener {
    /// Runs until stopped or lost, or until a publisher says that it is at its end.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Ended, Dead> {
        loop {
            let batch = match self.intake.next(stop).await {
                Taken::Batch(batch) => batch,
                Taken::Stopped => break,
                Taken::Lost => return Ok(Ended::Lost),
            };
            let Some(mut parcels) = open(&self.context, batch).await else { return Ok(Ended::Lost) };
            if self.sabotage == Some(Sabotage::AckBeforePublish) {
                parcels.iter_mut().for_each(|parcel| sabotage::settle_early(&mut parcel.receipt));
            }
            self.slot.deliver(parcels, &self.context).await?;
        }
        Ok(match self.intake.finish().await {
            Ok(()) => Ended::Stopped,
            Err(_) => Ended::Lost,
        })
    }
}

/// The parcels of the packets, in order; what is no packet is parked. `None` when that failed.
async fn open(context: &SinkContext, batch: Vec<Delivery>) -> Option<Vec<Parcel>> {
    let mut parcels = Vec::new();
    for delivery in batch {
        let Delivery { queue, body, receipt, redelivered, .. } = delivery;
        match packet::read(&body) {
            Ok(fragments) => {
                context.metrics.packet_received(&queue, &queue, redelivered);
                parcels.extend(split(fragments, receipt));
            }
            Err(error) => {
                let reason = Reason { kind: ParkReason::ForeignPacket, text: error.to_string() };
                if let Err(error) = context.parking.park(&queue, body, &reason).await {
                    context.metrics.parking_failed(&queue, &error.to_string());
                    return None;
                }
                receipt.settle(Verdict::Parked);
            }
        }
    }
    Some(parcels)
}

/// Every fragment with its part of the packet's receipt. An empty packet is settled at once.
fn split(fragments: Vec<packet::Fragment>, receipt: Receipt) -> Vec<Parcel> {
    let parcels = fragments.into_iter().map(|fragment| Parcel { fragment, receipt: receipt.split() }).collect();
    receipt.settle(Verdict::Kept);
    parcels
}
