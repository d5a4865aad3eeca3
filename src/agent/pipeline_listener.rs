//! The pipeline listener of a sink without state: packets of one pipeline queue in, batches to the publishers of its
//! sink.

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::arrivals::{Arrivals, Turn};
use super::intake::{Intake, Taken};
use super::main_listener::Ended;
use super::nursery::Nursery;
use super::offer::Dead;
use super::packet::{self, Fragment, Packet};
use super::parking::{Reason, Unfit};
use super::resize::EndMarker;
use super::sabotage::{self, Sabotage};
use super::sink::{Parcel, SinkContext, SinkSlot};
use super::transform;
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
    /// How the queue ends.
    pub end_marker: EndMarker,
    /// What comes before its turn.
    pub arrivals: Arrivals,
    /// For what cannot be parked at once.
    pub nursery: Nursery,
    /// What is done wrong on purpose.
    pub sabotage: Option<Sabotage>,
}

impl PipelineListener {
    /// Runs until stopped or lost, until its queue is sealed, or until a publisher says that it is at its end.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Ended, Dead> {
        let ended = self.work(stop).await?;
        let PipelineListener { intake, arrivals, .. } = self;
        // What they hold goes back.
        drop(arrivals);
        Ok(intake.end(ended).await)
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<Ended, Dead> {
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.intake.next(stop) => taken,
                () = self.arrivals.late() => Taken::Batch(Vec::new()),
            };
            let batch = match taken {
                Taken::Batch(batch) => batch,
                Taken::Stopped => return Ok(Ended::Stopped),
                Taken::Lost => return Ok(Ended::Lost),
            };
            if self.slot.is_stateful() {
                // A reload gave the sink a state: another kind of listener opens the queue.
                return Ok(Ended::Lost);
            }
            let read = read(&self.context, &self.nursery, batch).await;
            let turn =
                if read.is_empty() { self.arrivals.give_up_late() } else { self.arrivals.take(read, |_, _| None) };
            let end = turn.end;
            let packets = in_turn(turn, self.end_marker.queue(), &self.context);
            let mut parcels: Vec<Parcel> =
                packets.into_iter().flat_map(|(packet, receipt)| split(packet.fragments, receipt)).collect();
            if self.sabotage == Some(Sabotage::AckBeforePublish) {
                parcels.iter_mut().for_each(|parcel| sabotage::settle_early(&mut parcel.receipt));
            }
            let Some(parcels) = transform::stateless(&self.slot, parcels, &self.context).await else {
                return Ok(Ended::Lost);
            };
            if !self.slot.deliver(parcels, &self.context).await? {
                return Ok(if stop.is_cancelled() { Ended::Stopped } else { Ended::Lost });
            }
            if let Some(generation) = end {
                return Ok(if self.end_marker.sealed(generation).await { Ended::Sealed } else { Ended::Lost });
            }
        }
    }
}

/// What is due of what came, with a word about what is missing.
pub(super) fn in_turn(turn: Turn, queue: &str, context: &SinkContext) -> Vec<(Packet, Receipt)> {
    for missing in &turn.missing {
        context.metrics.packets_missing(queue, &missing.member, missing.packets);
    }
    context.metrics.packets_repeated(queue, turn.repeated);
    turn.packets
}

/// The packets, as they came; what is no packet is parked.
pub(super) async fn read(context: &SinkContext, nursery: &Nursery, batch: Vec<Delivery>) -> Vec<(Packet, Receipt)> {
    let mut packets = Vec::with_capacity(batch.len());
    for delivery in batch {
        match packet::read(&delivery.body) {
            Ok(packet) => {
                context.metrics.packet_received(&delivery.queue, &delivery.queue, delivery.redelivered);
                packets.push((packet, delivery.receipt));
            }
            Err(error) => {
                let reason = Reason { kind: ParkReason::ForeignPacket, text: error.to_string() };
                context.parking.set_aside(Unfit::of(delivery, reason), &context.until, nursery).await;
            }
        }
    }
    packets
}

/// Every fragment with its part of the packet's receipt. An empty packet is settled at once.
pub(super) fn split(fragments: Vec<Fragment>, receipt: Receipt) -> Vec<Parcel> {
    let parcels = fragments.into_iter().map(|fragment| Parcel { fragment, receipt: receipt.split() }).collect();
    receipt.settle(Verdict::Kept);
    parcels
}
