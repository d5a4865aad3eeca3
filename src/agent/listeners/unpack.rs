//! What came from a pipeline queue or an overflow queue, as packets in the order of their making.

use crate::agent::packets::arrivals::Turn;
use crate::agent::packets::packet::{self, Fragment, Packet};
use crate::agent::parked::parking::{Reason, Unfit};
use crate::agent::runtime::nursery::Nursery;
use crate::agent::sinks::deliver::SinkContext;
use crate::agent::sinks::sink::Parcel;
use crate::model::{Receipt, Verdict};
use crate::observe::ParkReason;
use crate::transport::Delivery;

/// What is due of what came, with a word about what is missing.
pub(in crate::agent) fn in_turn(turn: Turn, queue: &str, context: &SinkContext) -> Vec<(Packet, Receipt)> {
    for missing in &turn.missing {
        context.offer.metrics.packets_missing(queue, &missing.member, missing.packets);
    }
    context.offer.metrics.packets_repeated(queue, turn.repeated);
    turn.packets
}

/// The packets, as they came; what is no packet is parked.
pub(in crate::agent) async fn read(
    context: &SinkContext,
    nursery: &Nursery,
    batch: Vec<Delivery>,
) -> Vec<(Packet, Receipt)> {
    let mut packets = Vec::with_capacity(batch.len());
    for delivery in batch {
        match packet::read(&delivery.body) {
            Ok(packet) => {
                context.offer.metrics.packet_received(&delivery.queue, delivery.redelivered);
                packets.push((packet, delivery.receipt));
            }
            Err(error) => {
                let reason = Reason { kind: ParkReason::ForeignPacket, text: error.to_string() };
                context.parking.set_aside(Unfit::of(delivery, reason), &context.offer.until, nursery).await;
            }
        }
    }
    packets
}

/// Every fragment with its part of the packet's receipt. An empty packet is settled at once.
pub(in crate::agent) fn split(fragments: Vec<Fragment>, receipt: Receipt) -> Vec<Parcel> {
    let parcels = fragments.into_iter().map(|fragment| Parcel { fragment, receipt: receipt.split() }).collect();
    receipt.settle(Verdict::Kept);
    parcels
}
