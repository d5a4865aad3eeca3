//! What came from a pipeline queue or an overflow queue, as packets in the order of their making.

use std::sync::Arc;

use crate::agent::books::Account;
use crate::agent::packets::arrivals::Arrivals;
use crate::agent::packets::packet::{self, Fragment, Packet};
use crate::agent::parked::parking::{Reason, Unfit};
use crate::agent::runtime::task_group::TaskGroup;
use crate::agent::sinks::deliver::SinkContext;
use crate::agent::sinks::sink::Parcel;
use crate::books::Work;
use crate::model::{Event, Receipt, Sample, Verdict};
use crate::observe::tap::{Passing, Taps};
use crate::observe::{Metrics, ParkReason};
use crate::publish::Batch;
use crate::transport::Delivery;

/// The packets whose turn it is, in order, and the generation that the queue ends for if that is all. Where nothing came, what is
/// late for too long is given up. `last` is what is known of a sender from earlier listeners.
pub(super) fn in_turn(
    arrivals: &mut Arrivals,
    queue: &str,
    came: Vec<(Packet, Receipt)>,
    last: impl Fn(&str, i64) -> Option<u64>,
    metrics: &Metrics,
) -> (Vec<(Packet, Receipt)>, Option<u64>) {
    let turn = if came.is_empty() { arrivals.give_up_late() } else { arrivals.take(came, last) };
    for missing in &turn.missing {
        metrics.packets_missing(queue, &missing.member, missing.packets);
    }
    metrics.packets_repeated(queue, turn.repeated);
    (turn.packets, turn.end)
}

/// The packets, as they came; what is no packet is parked.
pub(super) async fn read(context: &SinkContext, tasks: &TaskGroup, batch: Vec<Delivery>) -> Vec<(Packet, Receipt)> {
    let mut packets = Vec::with_capacity(batch.len());
    for mut delivery in batch {
        match packet::read_body(std::mem::take(&mut delivery.body)) {
            Ok(packet) => {
                context.offer.metrics.packet_received(&delivery.queue, delivery.redelivered);
                packets.push((packet, delivery.receipt));
            }
            Err((error, body)) => {
                delivery.body = body;
                let reason = Reason { kind: ParkReason::ForeignPacket, text: error.to_string() };
                let mut unfit = Unfit::of(delivery, reason);
                unfit.receipt = context.account.unread(unfit.receipt);
                context.parking.set_aside(unfit, &context.offer.until, tasks).await;
            }
        }
    }
    packets
}

/// The packet's receipt: the packet is counted when all of it is settled, and `work` is what is known to become of it then.
pub(super) fn counted(account: &Arc<Account>, packet: &Packet, receipt: Receipt, work: Option<Work>) -> Receipt {
    let number = (packet.member.clone(), packet.epoch, packet.sequence);
    account.packet(receipt, number, (packet.fragments.len(), records(packet)), work)
}

/// Samples and events in a packet.
pub(super) fn records(packet: &Packet) -> usize {
    packet.fragments.iter().map(|fragment| fragment.batch.len()).sum()
}

/// Every fragment with its part of the packet's receipt. An empty packet is settled at once.
pub(super) fn split(fragments: Vec<Fragment>, receipt: Receipt) -> Vec<Parcel> {
    let parcels = fragments.into_iter().map(|fragment| Parcel::new(fragment, receipt.split())).collect();
    receipt.settle(Verdict::Kept);
    parcels
}

/// Shows those who tap this queue what came from it.
pub(super) fn show(taps: &Taps, queue: &str, parcels: &[Parcel]) {
    if !taps.is_open() {
        return;
    }
    for parcel in parcels {
        let (samples, events): (&[Sample], &[Event]) = match &parcel.fragment.batch {
            Batch::Samples(samples) => (samples, &[]),
            Batch::Events(events) => (&[], events),
        };
        taps.pass(&Passing { queue, notification: None, samples, events });
    }
}
