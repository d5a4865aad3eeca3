//! One line: the packets of one sender to one queue, as the sender and the owners of the queue noted them.

use std::collections::BTreeMap;

use super::note::Packets;
use super::numbers::Numbers;

/// Single packets that are remembered, to know what is in them when they come again. The oldest are forgotten.
const SINGLE_MAX: usize = 4_096;

/// The packets of one sender to one queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    /// Numbers up to this are not looked at: they are from before the books begin.
    pub(super) floor: u64,
    /// The first and the last number that the sender noted.
    pub(super) sent: Option<(u64, u64)>,
    /// Records in what the sender noted.
    pub(super) sent_records: u64,
    /// The queue's owners noted these, each once.
    pub(super) settled: Numbers,
    /// Records in them.
    pub(super) records: u64,
    /// Packets that were settled again, and the records in them.
    pub(super) again: (u64, u64),
    /// Of these, packets of which nobody can tell how many records they held.
    pub(super) again_unsplit: u64,
    /// Where the sender is noted: the ownership that it worked for.
    pub(super) ownership: Option<Ownership>,
    /// The earliest that the sender can have sent something.
    pub(super) sent_ms: i64,
    /// When something was last noted of it.
    pub(super) last_ms: i64,
    single: BTreeMap<u64, u64>,
}

/// A queue, the epoch, and the member that owned it.
pub(super) type Ownership = (String, i64, String);

impl Line {
    /// The sender noted packets that it sent at this time or later.
    pub(super) fn sent(&mut self, packets: &Packets, since_ms: i64) {
        self.sent_ms = if self.sent.is_some() { self.sent_ms.min(since_ms) } else { since_ms };
        let (from, to) = self.sent.unwrap_or((packets.from, packets.to));
        self.sent = Some((from.min(packets.from), to.max(packets.to)));
        self.sent_records = self.sent_records.saturating_add(packets.records);
    }

    /// An owner of the queue noted packets.
    pub(super) fn settled(&mut self, packets: &Packets) {
        let Packets { from, to, records, .. } = *packets;
        let known = self.settled.add(from, to);
        let mut again = 0;
        if known > 0 {
            // What came again is known where it was noted alone, here or before.
            let single: Vec<u64> = if from == to {
                vec![records]
            } else {
                self.single.range(from..=to).map(|(_, records)| *records).collect()
            };
            again = single.iter().copied().fold(0, u64::saturating_add).min(records);
            self.again_unsplit = self.again_unsplit.saturating_add(known.saturating_sub(single.len() as u64));
        }
        self.again = (self.again.0.saturating_add(known), self.again.1.saturating_add(again));
        self.records = self.records.saturating_add(records - again);
        if from == to {
            self.single.insert(from, records);
            while self.single.len() > SINGLE_MAX {
                self.single.pop_first();
            }
        }
    }

    /// Numbers that were sent by then, and are not settled in `all`, which is this line or the same later.
    pub(super) fn missing_in(&self, all: &Line) -> Vec<(u64, u64)> {
        let Some((from, to)) = self.sent else { return Vec::new() };
        let from = from.max(all.floor.saturating_add(1));
        if from > to { Vec::new() } else { all.settled.holes(from, to) }
    }

    /// How many packets were settled by then that no note of the sender tells of in `all`, which is this line or the same later.
    pub(super) fn extra_in(&self, all: &Line) -> u64 {
        let from = all.sent.map_or(0, |(_, to)| to).max(all.floor).saturating_add(1);
        self.settled.last().map_or(0, |last| self.settled.count_in(from, last))
    }

    /// Whether all that was sent is settled, nothing else is, and both sides could tell what was in it.
    pub(super) fn is_whole(&self) -> bool {
        let last = self.settled.last();
        self.floor == 0
            && self.again_unsplit == 0
            && self.sent.is_some_and(|(from, to)| from == 1 && last == Some(to) && self.settled.count_in(1, to) == to)
    }
}
