//! Where two listeners consume one main queue for a moment, what they send to a pipeline queue is put in the order of its
//! own time before anything is made of it.
//!
//! Only where main queues are shared (`main_queue_exclusive = false`), and a listener begins beside another. It may be the
//! former owner, which cannot hear of its end; it sees the new one within half a second and leaves, and what it had taken
//! comes to the new one after later messages. (Or a Ceilometer, whose listeners stay: nothing puts that in order.)

use chrono::NaiveDateTime;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

use super::packet::Packet;
use super::route;
use super::sabotage::Sabotage;
use super::sink::Parcel;
use crate::cluster::hash;
use crate::model::{Receipt, time};
use crate::publish::Batch;

/// How long all that comes is held after the packet that says so.
pub(super) const OVERLAP: Duration = Duration::from_secs(2);

/// What a pipeline listener holds while two main listeners may send to it: nothing, nearly always. The prefetch of the
/// queue bounds it.
pub(super) struct Overlap {
    held: Vec<(Packet, Receipt)>,
    until: Option<Instant>,
    sabotage: Option<Sabotage>,
}

/// Packets whose turn it is.
pub(super) struct Due {
    /// In the order in which they came.
    pub packets: Vec<(Packet, Receipt)>,
    /// Whether what is in them is to be put [in order](in_order) first.
    pub overlapped: bool,
}

impl Overlap {
    /// Nothing is held.
    pub(super) fn new(sabotage: Option<Sabotage>) -> Self {
        Overlap { held: Vec::new(), until: None, sabotage }
    }

    /// Takes what came, which may be nothing; gives what is to be worked on now.
    pub(super) fn take(&mut self, packets: Vec<(Packet, Receipt)>) -> Due {
        let now = Instant::now();
        if self.until.is_none() && packets.iter().any(|(packet, _)| packet.overlap) {
            self.until = (self.sabotage != Some(Sabotage::ArrivalOrder)).then_some(now + OVERLAP);
        }
        let Some(until) = self.until else { return Due { packets, overlapped: false } };
        self.held.extend(packets);
        if now < until {
            return Due { packets: Vec::new(), overlapped: true };
        }
        self.until = None;
        Due { packets: std::mem::take(&mut self.held), overlapped: true }
    }

    /// Waits until what is held is due; for ever while nothing is.
    pub(super) async fn over(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

/// Puts parcels in an order in which the records of each resource are in the order of their own time; of one time, and
/// where there is none, in the order in which they came. A parcel stays whole: where two of them disagree about two
/// resources, the first to come stays the first.
pub(super) fn in_order(parcels: &mut Vec<Parcel>) {
    let mut before = vec![BTreeSet::new(); parcels.len()];
    for mut places in by_resource(parcels).into_values() {
        // Stable, and so the places of one time stay as they came.
        places.sort_by_key(|(moment, _)| *moment);
        for pair in places.windows(2) {
            if pair[0].1 != pair[1].1 {
                before[pair[1].1].insert(pair[0].1);
            }
        }
    }
    let mut waiting: BTreeMap<usize, Parcel> = parcels.drain(..).enumerate().collect();
    while let Some(first) = waiting.keys().next().copied() {
        let free = |at: &usize| before[*at].iter().all(|earlier| !waiting.contains_key(earlier));
        // None is free only where parcels disagree.
        let next = waiting.keys().copied().find(free).unwrap_or(first);
        parcels.extend(waiting.remove(&next));
    }
}

/// Where the records of each resource are, with their times; one without a time has that of the one before it.
fn by_resource(parcels: &[Parcel]) -> BTreeMap<Vec<u8>, Vec<(Option<NaiveDateTime>, usize)>> {
    let mut resources: BTreeMap<Vec<u8>, Vec<(Option<NaiveDateTime>, usize)>> = BTreeMap::new();
    let mut note = |resource: Vec<u8>, moment: Option<NaiveDateTime>, at: usize| {
        let places = resources.entry(resource).or_default();
        let last = places.last().and_then(|(moment, _)| *moment);
        places.push((moment.or(last), at));
    };
    for (at, parcel) in parcels.iter().enumerate() {
        match &parcel.fragment.batch {
            Batch::Samples(samples) => samples.iter().for_each(|sample| {
                let moment = time::parse(&sample.timestamp).map(|moment| moment.naive_utc());
                note(hash::grouping_bytes(&sample.resource_id).to_vec(), moment, at);
            }),
            Batch::Events(events) => {
                events.iter().for_each(|event| note(route::event_key(event).to_vec(), Some(event.generated), at));
            }
        }
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::packet::Fragment;
    use crate::model::{Dict, Event, Value};

    /// A fragment of events: `a5` is one of resource `a` at second 5.
    fn parcel(n: usize, events: &str) -> Parcel {
        let event = |text: &str| Event {
            message_id: Value::Null,
            event_type: text[..1].to_owned(),
            generated: time::parse("2026-01-01").unwrap().naive_utc() + Duration::from_secs(text[1..].parse().unwrap()),
            traits: Vec::new(),
            raw: Dict::default(),
        };
        let batch = Batch::Events(events.split_whitespace().map(event).collect());
        let fragment = Fragment { message_id: Value::from(n.to_string().as_str()), pipeline: "p".into(), batch };
        Parcel { fragment, receipt: Receipt::new(|_| {}) }
    }

    #[rstest::rstest]
    #[case::one_resource("a5 | a2 | a2 | a1", "3 1 2 0")]
    #[case::nobody_else_moves("a5 | b1 | | a2", "1 2 3 0")]
    #[case::a_fragment_stays_whole("a5 b5 | b9 | a2 c1", "2 0 1")]
    #[case::two_disagree("a5 b1 | a2 b9", "0 1")]
    fn the_records_of_each_resource_are_put_in_the_order_of_their_time(#[case] came: &str, #[case] order: &str) {
        let mut parcels: Vec<Parcel> = came.split('|').enumerate().map(|(n, events)| parcel(n, events)).collect();
        in_order(&mut parcels);
        let order_now: Vec<&str> = parcels.iter().filter_map(|parcel| parcel.fragment.message_id.as_str()).collect();
        assert_eq!(order_now.join(" "), order);
    }

    fn packet(sequence: u64, overlap: bool) -> (Packet, Receipt) {
        let (member, fragments, fence, question) = ("m".to_owned(), Vec::new(), None, None);
        let packet = Packet { member, epoch: 7, sequence, fragments, fence, overlap, question };
        (packet, Receipt::new(|_| {}))
    }

    #[tokio::test(start_paused = true)]
    async fn packets_are_held_for_two_seconds_after_one_that_says_that_two_listeners_send() {
        let mut overlap = Overlap::new(None);
        let due = overlap.take(vec![packet(1, false)]);
        assert!(due.packets.len() == 1 && !due.overlapped);
        let began = Instant::now();
        assert!(overlap.take(vec![packet(2, true)]).packets.is_empty());
        tokio::time::sleep(OVERLAP / 2).await;
        assert!(overlap.take(vec![packet(3, true)]).packets.is_empty(), "a second one makes it no longer");
        overlap.over().await;
        assert_eq!(began.elapsed(), OVERLAP);
        let due = overlap.take(Vec::new());
        assert_eq!(due.packets.iter().map(|(packet, _)| packet.sequence).collect::<Vec<_>>(), [2, 3]);
        assert!(due.overlapped);
        assert!(!overlap.take(vec![packet(4, false)]).overlapped);
    }
}
