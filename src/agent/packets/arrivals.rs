//! Packets in the order in which their senders made them. Each packet has a number in its sender's epoch; one that comes
//! before an earlier one is held until that has come, within a bound, so that "missing" is said only of what is missing.
//!
//! What comes behind a held packet is held too, whoever sent it: a later epoch goes on with the same resources, and asks
//! whether all that is in front of its question is published.
//!
//! A sender that gives a packet up says so by ending: its successor sends everything again, in a later epoch.
//!
//! An end marker ends the queue. What was held is due then, because nothing that it waits for comes any more; what stands
//! behind the marker is held, with the marker, until the listener has ended: a receipt that is dropped ends the consumer, and
//! a successor would begin while the state is still being released.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

use super::packet::Packet;
use crate::model::{Receipt, Verdict};

/// A late packet is waited for so long …
const LATE_MAX: Duration = Duration::from_secs(10);
/// … or until so many are held: half of what the broker gives to one listener.
const HELD_PACKETS_MAX: usize = 10;
/// Senders that are remembered. One that was not heard of for longest is forgotten first.
const SENDERS_MAX: usize = 1_000;
/// Numbers that were given up and are remembered, for each sender.
const MISSING_MAX: usize = 1_000;

/// What one listener of a pipeline queue knows of those who send to it.
#[derive(Default)]
pub(in crate::agent) struct Arrivals {
    senders: BTreeMap<SenderKey, Sender>,
    /// In the order of coming: a packet that came before its turn, and what came behind it.
    held: VecDeque<Held>,
    /// Counts packets, to know which sender was heard of last.
    heard: u64,
    /// The end marker and what stands behind it, since it came.
    behind: Vec<Receipt>,
}

/// The member and the epoch.
type SenderKey = (String, i64);

/// A packet that is not due.
struct Held {
    since: Instant,
    packet: Packet,
    receipt: Receipt,
}

/// One epoch of one main-queue listener.
struct Sender {
    /// From this number on it is known what was passed on; a smaller one is taken whenever it comes.
    first: u64,
    /// The last number that was passed on.
    last: u64,
    /// Numbers from `first` to `last` that never came.
    missing: BTreeSet<u64>,
    heard: u64,
}

/// Packets that never came.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::agent) struct Missing {
    /// Whose.
    pub member: String,
    /// How many.
    pub packets: u64,
}

/// What may be worked on now.
#[derive(Default)]
pub(in crate::agent) struct Turn {
    /// In order.
    pub packets: Vec<(Packet, Receipt)>,
    /// What was given up to get there.
    pub missing: Vec<Missing>,
    /// Packets that came twice to this listener: a broker that is not sure takes one again.
    pub repeated: u64,
    /// This is all of the queue: it ends for the queues of this generation.
    pub end: Option<u64>,
}

impl Arrivals {
    /// Takes what came, in the order in which it came; gives what is due. `last` is what is known of a sender from earlier
    /// listeners: the last number that took effect.
    pub(in crate::agent) fn take(
        &mut self,
        packets: Vec<(Packet, Receipt)>,
        last: impl Fn(&str, i64) -> Option<u64>,
    ) -> Turn {
        let mut turn = Turn::default();
        for (packet, receipt) in packets {
            if packet.end.is_some() || !self.behind.is_empty() {
                turn.end = turn.end.or(packet.end);
                self.behind.push(receipt);
                continue;
            }
            self.heard += 1;
            let (key, sequence) = (packet.sender(), packet.sequence);
            let is_held = self.held.iter().any(|held| held.packet.sequence == sequence && held.packet.sender() == key);
            let sender = self.senders.entry(key).or_insert_with(|| {
                // Of a sender that is new to the queue the first to come is taken for the first.
                let last = last(&packet.member, packet.epoch).unwrap_or(sequence.saturating_sub(1));
                Sender { first: last.saturating_add(1), last, missing: BTreeSet::new(), heard: 0 }
            });
            sender.heard = self.heard;
            if is_held || sender.has_passed_on(sequence) {
                turn.repeated += 1;
                receipt.settle(Verdict::Kept);
            } else {
                self.held.push_back(Held { since: Instant::now(), packet, receipt });
                self.pass_on(&mut turn);
                while self.held.len() >= HELD_PACKETS_MAX {
                    self.give_up(&mut turn);
                }
            }
        }
        while turn.end.is_some() && !self.held.is_empty() {
            self.give_up(&mut turn);
        }
        self.forget();
        turn
    }

    /// Gives up what is late for too long; what comes after it is due.
    pub(in crate::agent) fn give_up_late(&mut self) -> Turn {
        let mut turn = Turn::default();
        let now = Instant::now();
        while self.held.front().is_some_and(|held| now - held.since >= LATE_MAX) {
            self.give_up(&mut turn);
        }
        turn
    }

    /// Waits until something is late for too long; for ever while nothing is waited for.
    pub(in crate::agent) async fn late(&self) {
        match self.held.front() {
            Some(held) => tokio::time::sleep_until(held.since + LATE_MAX).await,
            None => std::future::pending().await,
        }
    }

    /// Passes on what is in order: for as long as the sender of the first held packet has its next one here.
    fn pass_on(&mut self, turn: &mut Turn) {
        while let Some(first) = self.held.front() {
            let key = first.packet.sender();
            let Some(sender) = self.senders.get_mut(&key) else { return };
            // Or one that came late, or to an earlier listener that did not acknowledge it.
            let is_next = |held: &Held| held.packet.sequence <= sender.last + 1 && held.packet.sender() == key;
            let Some(Held { packet, receipt, .. }) =
                self.held.iter().position(is_next).and_then(|at| self.held.remove(at))
            else {
                return;
            };
            sender.last = sender.last.max(packet.sequence);
            sender.missing.remove(&packet.sequence);
            turn.packets.push((packet, receipt));
        }
    }

    /// What the first held packet waits for never came.
    fn give_up(&mut self, turn: &mut Turn) {
        let Some(key) = self.held.front().map(|held| held.packet.sender()) else { return };
        let of_sender = self.held.iter().filter(|held| held.packet.sender() == key);
        let next = of_sender.map(|held| held.packet.sequence).min();
        let (Some(sender), Some(next)) = (self.senders.get_mut(&key), next) else {
            // A sender of held packets is never forgotten; were it, they are due.
            turn.packets.extend(self.held.pop_front().map(|held| (held.packet, held.receipt)));
            return;
        };
        let packets = sender.give_up_before(next);
        turn.missing.push(Missing { member: key.0, packets });
        self.pass_on(turn);
    }

    fn forget(&mut self) {
        while self.senders.len() > SENDERS_MAX {
            let idle =
                self.senders.iter().filter(|(key, _)| !self.held.iter().any(|held| held.packet.sender() == **key));
            let Some(key) = idle.min_by_key(|(_, sender)| sender.heard).map(|(key, _)| key.clone()) else { return };
            self.senders.remove(&key);
        }
    }
}

impl Packet {
    fn sender(&self) -> SenderKey {
        (self.member.clone(), self.epoch)
    }
}

impl Sender {
    /// Whether this listener has passed this packet on before.
    fn has_passed_on(&self, sequence: u64) -> bool {
        (self.first..=self.last).contains(&sequence) && !self.missing.contains(&sequence)
    }

    /// What comes before this number, and did not come, never does; how many packets.
    fn give_up_before(&mut self, next: u64) -> u64 {
        let packets = next.saturating_sub(self.last + 1);
        if usize::try_from(packets).is_ok_and(|packets| packets + self.missing.len() <= MISSING_MAX) {
            self.missing.extend(self.last + 1..next);
        } else {
            // Too many to remember: should one of them come, it is taken.
            self.missing.clear();
            self.first = next;
        }
        self.last = next - 1;
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(member: &str, sequence: u64) -> (Packet, Receipt) {
        let member = member.to_owned();
        let (fragments, end, question) = (Vec::new(), None, None);
        let packet = Packet { member, epoch: 7, sequence, fragments, end, question };
        (packet, Receipt::new(|_| {}))
    }

    fn end_marker() -> (Packet, Receipt) {
        let (mut marker, receipt) = packet("owner", 0);
        marker.end = Some(2);
        (marker, receipt)
    }

    fn numbers(turn: &Turn) -> Vec<u64> {
        turn.packets.iter().map(|(packet, _)| packet.sequence).collect()
    }

    fn came(arrivals: &mut Arrivals, sequences: &[u64]) -> Turn {
        arrivals.take(sequences.iter().map(|n| packet("a", *n)).collect(), |_, _| None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_packet_is_waited_for_by_all_behind_it() {
        let mut arrivals = Arrivals::default();
        assert_eq!(numbers(&came(&mut arrivals, &[1, 3, 4])), [1]);
        let other = arrivals.take(vec![packet("b", 9)], |_, _| None);
        assert_eq!(numbers(&other), Vec::<u64>::new(), "it may be the same main queue in a later epoch");
        assert_eq!(numbers(&came(&mut arrivals, &[2])), [2, 3, 4, 9]);
        assert!(tokio::time::timeout(LATE_MAX * 2, arrivals.late()).await.is_err(), "nothing is waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_missing_after_a_while_and_taken_when_it_comes_all_the_same() {
        let mut arrivals = Arrivals::default();
        came(&mut arrivals, &[1, 5]);
        let began = Instant::now();
        arrivals.late().await;
        assert_eq!(began.elapsed(), LATE_MAX);
        let turn = arrivals.give_up_late();
        assert_eq!((numbers(&turn), turn.missing), (vec![5], vec![Missing { member: "a".to_owned(), packets: 3 }]));
        assert_eq!(numbers(&came(&mut arrivals, &[3, 6])), [3, 6], "late is better than never");
        let again = came(&mut arrivals, &[3, 5, 6]);
        assert_eq!((numbers(&again), again.repeated), (vec![], 3));
    }

    /// Simulator, seeds 203533 and 219476 of 62c7562: a killed owner of an overflow queue had acknowledged packet 3 and not the
    /// question 2. Its successor was asked, behind 4, whether all was published, and said yes while it held 4.
    #[tokio::test(start_paused = true)]
    async fn a_question_of_a_later_epoch_is_not_answered_before_what_is_held_in_front_of_it() {
        let mut arrivals = Arrivals::default();
        let in_epoch = |epoch, sequence| {
            let (packet, receipt) = packet("a", sequence);
            (Packet { epoch, ..packet }, receipt)
        };
        let turn = arrivals.take(vec![in_epoch(10, 2), in_epoch(10, 4), in_epoch(23, 1)], |_, _| None);
        assert_eq!(numbers(&turn), [2]);
        let began = Instant::now();
        arrivals.late().await;
        assert_eq!(began.elapsed(), LATE_MAX);
        assert_eq!(numbers(&arrivals.give_up_late()), [4, 1]);
    }

    /// Neither does one that came late.
    #[tokio::test(start_paused = true)]
    async fn a_late_packet_of_another_sender_overtakes_nothing_that_is_held() {
        let mut arrivals = Arrivals::default();
        assert_eq!(numbers(&came(&mut arrivals, &[2, 4])), [2]);
        let other = arrivals.take(vec![packet("b", 12), packet("b", 11)], |_, _| None);
        assert_eq!(numbers(&other), Vec::<u64>::new());
        assert_eq!(numbers(&came(&mut arrivals, &[1])), [1], "of the same sender, and older");
        assert_eq!(numbers(&came(&mut arrivals, &[3])), [3, 4, 12, 11]);
    }

    #[tokio::test(start_paused = true)]
    async fn many_later_packets_say_that_one_is_missing() {
        let mut arrivals = Arrivals::default();
        let sequences: Vec<u64> = [1].into_iter().chain(3..).take(HELD_PACKETS_MAX + 1).collect();
        let turn = came(&mut arrivals, &sequences);
        assert_eq!((numbers(&turn), turn.missing.len()), (sequences, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_earlier_listener_did_not_acknowledge_comes_again() {
        let mut arrivals = Arrivals::default();
        let known = |_: &str, _: i64| Some(7);
        let turn = arrivals.take([6, 7, 8, 10].map(|n| packet("a", n)).into(), known);
        assert_eq!(numbers(&turn), [6, 7, 8], "9 is waited for");
        let turn = arrivals.take([5, 9].map(|n| packet("a", n)).into(), known);
        assert_eq!(numbers(&turn), [5, 9, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_marker_what_was_held_is_due_and_what_stands_behind_it_is_not() {
        let mut arrivals = Arrivals::default();
        assert_eq!(numbers(&came(&mut arrivals, &[1, 3])), [1]);
        let packets = vec![packet("b", 1), end_marker(), packet("b", 2), end_marker(), packet("a", 2)];
        let turn = arrivals.take(packets, |_, _| None);
        assert_eq!((numbers(&turn), turn.end), (vec![3, 1], Some(2)), "in the order of coming");
        let turn = came(&mut arrivals, &[4]);
        assert_eq!((numbers(&turn), turn.end), (vec![], None), "it is behind the marker, too");
        assert_eq!(arrivals.behind.len(), 5);
    }

    proptest! {
        /// In any order of coming, with repeats: each is passed on once, and all in order.
        #[test]
        fn packets_come_out_once_and_in_order(
            order in Just((2u64..12).collect::<Vec<_>>()).prop_shuffle(),
            repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let clock = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let _entered = clock.enter();
            let mut arrivals = Arrivals::default();
            let mut out = numbers(&came(&mut arrivals, &[1]));
            for (n, sequence) in order.iter().enumerate() {
                out.extend(numbers(&came(&mut arrivals, &[*sequence])));
                for repeat in &repeats {
                    out.extend(numbers(&came(&mut arrivals, &[order[repeat.index(n + 1)]])));
                }
            }
            prop_assert_eq!(out, (1..12).collect::<Vec<_>>());
        }
    }
}
