//! The pipeline listener of a sink without state: packets of one pipeline queue in, batches to the publishers of its
//! sink.

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::arrivals::{Arrivals, Turn};
use super::fences::Fences;
use super::intake::{Intake, Taken};
use super::main_listener::Ended;
use super::nursery::Nursery;
use super::offer::Dead;
use super::packet::{self, Fragment, Packet};
use super::parking::{Reason, Unfit};
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
    /// When the queue is sealed.
    pub fences: Fences,
    /// What comes before its turn.
    pub arrivals: Arrivals,
    /// For what cannot be parked at once.
    pub nursery: Nursery,
}

impl PipelineListener {
    /// Runs until stopped or lost, until its queue is sealed, or until a publisher says that it is at its end.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Ended, Dead> {
        let ended = self.work(stop).await?;
        let PipelineListener { intake, arrivals, fences, .. } = self;
        // What they hold goes back.
        drop((arrivals, fences));
        Ok(intake.end(ended).await)
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<Ended, Dead> {
        loop {
            if let Some(generation) = self.fences.due() {
                return Ok(if self.fences.sealed(generation).await { Ended::Sealed } else { Ended::Lost });
            }
            let taken = tokio::select! {
                biased;
                taken = self.intake.next(stop) => taken,
                () = self.arrivals.late() => Taken::Batch(Vec::new()),
                () = self.fences.changed() => continue,
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
            let mut packets = in_turn(turn, self.fences.queue(), &self.context);
            self.fences.take_behind(&mut packets);
            let (mut parcels, mut fences) = (Vec::new(), Vec::new());
            for (packet, receipt) in packets {
                match packet.fence {
                    Some(fence) => fences.push((fence, receipt)),
                    None => parcels.extend(split(packet.fragments, receipt)),
                }
            }
            let Some(parcels) = transform::stateless(&self.slot, parcels, &self.context).await else {
                return Ok(Ended::Lost);
            };
            if !self.slot.deliver(parcels, &self.context).await? {
                return Ok(if stop.is_cancelled() { Ended::Stopped } else { Ended::Lost });
            }
            if !self.fences.pass(fences).await {
                return Ok(Ended::Lost);
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
