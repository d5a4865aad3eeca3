//! What the owner of one queue settled and has not noted yet.

use std::collections::BTreeMap;

use super::note::{Entry, Kind, Offered, Packets, Sent, Work};
use crate::model::Verdict;

/// The first packets of an ownership are noted one by one: a former owner may have settled them and died before it, or the broker,
/// knew. It is more than any owner holds at once.
const SINGLE_PACKETS: u32 = 256;
/// Ranges of packets that are told apart, for each kind; what comes beyond is counted without numbers.
const RANGES_MAX: usize = 4_096;

/// What the owner of one queue settled and has not noted yet.
#[derive(Debug)]
pub struct Tally {
    entry: Entry,
    /// How many packets are still noted one by one.
    single_left: u32,
    /// As noted last.
    held: u64,
    prefetch: u64,
    /// Something was noted.
    begun: bool,
    sent: BTreeMap<String, Vec<Sent>>,
    ranges: usize,
}

/// A packet that was settled or sent.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'p> {
    /// As the packet names it.
    pub sender: &'p str,
    /// The epoch in the packet.
    pub epoch: i64,
    /// Its number.
    pub number: u64,
    /// What it holds.
    pub fragments: u64,
    /// Samples and events in it.
    pub records: u64,
}

impl Packet<'_> {
    fn alone(&self) -> Packets {
        let Packet { sender, epoch, number, fragments, records } = *self;
        Packets { sender: sender.to_owned(), epoch, from: number, to: number, fragments, records }
    }

    /// Whether it is the next one behind a range.
    fn follows(&self, range: &Packets) -> bool {
        range.to.checked_add(1) == Some(self.number) && range.epoch == self.epoch && range.sender == self.sender
    }

    fn join(&self, range: &mut Packets) {
        range.to = self.number;
        range.fragments += self.fragments;
        range.records += self.records;
    }
}

impl Tally {
    /// Of an ownership that has settled nothing yet.
    pub fn new(kind: Kind, queue: &str, sink: Option<&str>, epoch: i64) -> Tally {
        let (queue, sink) = (queue.to_owned(), sink.map(str::to_owned));
        let entry = Entry { queue, kind, sink, epoch, ..Entry::default() };
        Tally {
            entry,
            single_left: SINGLE_PACKETS,
            held: 0,
            prefetch: 0,
            begun: false,
            sent: BTreeMap::new(),
            ranges: 0,
        }
    }

    /// The broker lets the owner have so many messages unacknowledged.
    pub fn may_hold(&mut self, prefetch: u64) {
        self.prefetch = prefetch;
    }

    /// A message is settled, or goes back; `again`: the broker had delivered it before.
    pub fn message(&mut self, verdict: Verdict, again: bool) {
        match verdict {
            Verdict::Kept | Verdict::Parked => {
                self.entry.settled += 1;
                self.entry.again += u64::from(again);
            }
            Verdict::Returned => self.entry.returned += 1,
        }
    }

    /// A message that nobody can read is parked.
    pub fn unread(&mut self) {
        self.entry.unread += 1;
    }

    /// A notification gave nothing.
    pub fn nothing(&mut self) {
        self.entry.nothing += 1;
    }

    /// All that a notification gave has gone on: so many records for each of these sinks.
    pub fn went_on<'s>(&mut self, given: impl IntoIterator<Item = (&'s str, u64)>) {
        self.entry.went_on += 1;
        for (sink, records) in given {
            match self.entry.given.get_mut(sink) {
                Some(known) => *known += records,
                None => drop(self.entry.given.insert(sink.to_owned(), records)),
            }
        }
    }

    /// A packet is settled.
    pub fn packet(&mut self, packet: Packet<'_>) {
        if self.single_left > 0 {
            self.single_left -= 1;
        } else if let Some(range) = self.entry.packets.iter_mut().rev().find(|range| packet.follows(range)) {
            return packet.join(range);
        }
        if self.entry.packets.len() < RANGES_MAX {
            self.entry.packets.push(packet.alone());
        } else {
            self.entry.unnumbered += 1;
        }
    }

    /// Something became of records.
    pub fn worked(&mut self, work: Work) {
        self.entry.work += work;
    }

    /// A publisher did something with records.
    pub fn offered(&mut self, publisher: &str, offered: Offered) {
        match self.entry.publishers.get_mut(publisher) {
            Some(known) => *known += offered,
            None => drop(self.entry.publishers.insert(publisher.to_owned(), offered)),
        }
    }

    /// A queue confirmed a packet. What that queue is, `place` says: its sink, and the publisher of an overflow queue.
    pub fn sent(&mut self, queue: &str, packet: Packet<'_>, place: impl FnOnce() -> Option<(String, Option<String>)>) {
        if let Some(known) = self.sent.get_mut(queue)
            && let Some(range) = known.iter_mut().rev().find(|range| packet.follows(&range.packets))
        {
            return packet.join(&mut range.packets);
        }
        if self.ranges >= RANGES_MAX {
            // It shows as a packet of which no note tells: as if this process had died.
            return;
        }
        self.ranges += 1;
        let (sink, publisher) = place().map_or((None, None), |(sink, publisher)| (Some(sink), publisher));
        let sent = Sent { queue: queue.to_owned(), sink, publisher, packets: packet.alone() };
        self.sent.entry(queue.to_owned()).or_default().push(sent);
    }

    /// Takes what was added since the last time; nothing where nothing was. The first time tells that the ownership has begun. The owner holds so many messages; `over`: nothing more
    /// comes.
    pub fn take(&mut self, held: u64, over: bool) -> Option<Entry> {
        let Entry { queue, kind, sink, epoch, .. } = &self.entry;
        let empty = Entry { queue: queue.clone(), kind: *kind, sink: sink.clone(), epoch: *epoch, ..Entry::default() };
        if over && !self.begun && self.entry == empty && self.sent.is_empty() {
            // It never came to anything.
            return None;
        }
        let is_news = !self.begun || over || held != self.held || self.entry != empty || !self.sent.is_empty();
        if !is_news {
            return None;
        }
        let mut taken = std::mem::replace(&mut self.entry, empty);
        taken.sent = std::mem::take(&mut self.sent).into_values().flatten().collect();
        (taken.held, taken.over) = (held, over);
        taken.prefetch = if held > 0 { self.prefetch } else { 0 };
        taken.begun = !std::mem::replace(&mut self.begun, true);
        (self.held, self.ranges) = (held, 0);
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: u64) -> Packet<'static> {
        Packet { sender: "a", epoch: 7, number, fragments: 2, records: 3 }
    }

    #[test]
    fn what_was_taken_is_not_taken_again() {
        let mut tally = Tally::new(Kind::Main, "q", None, 7);
        assert!(tally.take(0, false).unwrap().begun);
        assert_eq!(tally.take(0, false), None);
        tally.message(Verdict::Kept, false);
        tally.message(Verdict::Parked, true);
        tally.message(Verdict::Returned, false);
        let entry = tally.take(3, false).unwrap();
        assert_eq!((entry.settled, entry.again, entry.returned, entry.held), (2, 1, 1, 3));
        assert_eq!(tally.take(3, false), None);
        assert!(tally.take(0, false).is_some(), "what it holds is news");
        assert!(tally.take(0, true).unwrap().over);
    }

    #[test]
    fn the_first_packets_are_noted_one_by_one_and_the_others_as_ranges() {
        let mut tally = Tally::new(Kind::Pipeline, "q", Some("s"), 7);
        let last = u64::from(SINGLE_PACKETS) + 10;
        (1..=last).for_each(|number| tally.packet(packet(number)));
        let entry = tally.take(0, false).unwrap();
        assert_eq!(entry.packets.len(), SINGLE_PACKETS as usize, "the ten join the last one");
        let range = entry.packets.last().unwrap();
        assert_eq!((range.from, range.to, range.records), (u64::from(SINGLE_PACKETS), last, 33));
    }

    #[test]
    fn more_ranges_than_may_be_are_counted_without_numbers() {
        let mut tally = Tally::new(Kind::Pipeline, "q", Some("s"), 7);
        (1..=RANGES_MAX as u64 + 5).for_each(|number| tally.packet(packet(2 * number)));
        let entry = tally.take(0, false).unwrap();
        assert_eq!((entry.packets.len(), entry.unnumbered), (RANGES_MAX, 5));
    }

    #[test]
    fn packets_that_were_sent_are_ranges_by_queue_and_sender() {
        let mut tally = Tally::new(Kind::Main, "m", None, 7);
        let place = || Some(("sink".to_owned(), None));
        for (queue, number) in [("q1", 1), ("q2", 1), ("q1", 2), ("q1", 4)] {
            tally.sent(queue, packet(number), place);
        }
        let entry = tally.take(0, false).unwrap();
        let ranges: Vec<_> = entry.sent.iter().map(|sent| (&*sent.queue, sent.packets.from, sent.packets.to)).collect();
        assert_eq!(ranges, [("q1", 1, 2), ("q1", 4, 4), ("q2", 1, 1)]);
    }
}
