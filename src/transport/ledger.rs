//! The settled deliveries of one consumer, and the tag up to which they may be acknowledged.
//!
//! An acknowledgement covers the longest settled run from the oldest open delivery on. What is settled behind an open delivery
//! waits for it, because one acknowledgement for many is cheap; where that takes long it is acknowledged tag by tag
//! ([`Ledger::take_scattered`]), so that a delivery that is held keeps no other one in the prefetch. One ledger belongs to one
//! channel; its tags mean nothing elsewhere.

use std::collections::VecDeque;

/// The open deliveries of one channel, in the order of their tags. As long as the prefetch at most.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: VecDeque<(u64, bool)>,
    run: Option<Run>,
    /// How many of the open ones are settled, behind one that is not.
    scattered: usize,
}

/// A settled run that is not acknowledged yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The tag to acknowledge with `multiple`.
    pub(super) last_tag: u64,
    /// How many deliveries that covers.
    pub(super) messages: usize,
}

impl Ledger {
    /// Notes a delivery. Tags rise.
    pub(super) fn delivered(&mut self, tag: u64) {
        debug_assert!(self.open.back().is_none_or(|(last, _)| *last < tag), "the broker counts tags up");
        self.open.push_back((tag, false));
    }

    /// Notes a settled delivery; the run that may be acknowledged now. A tag that is not open changes nothing.
    pub(super) fn settled(&mut self, tag: u64) -> Option<Run> {
        if let Ok(at) = self.open.binary_search_by_key(&tag, |(tag, _)| *tag)
            && !std::mem::replace(&mut self.open[at].1, true)
        {
            self.scattered += 1;
        }
        while let Some((last_tag, true)) = self.open.front().copied() {
            self.open.pop_front();
            self.scattered -= 1;
            let messages = self.run.map_or(0, |run| run.messages) + 1;
            self.run = Some(Run { last_tag, messages });
        }
        self.run
    }

    /// Takes what may be acknowledged; the caller sends it.
    pub(super) fn take_run(&mut self) -> Option<Run> {
        self.run.take()
    }

    /// How many deliveries are settled behind one that is open.
    pub(super) fn scattered(&self) -> usize {
        self.scattered
    }

    /// Takes the tags that are settled behind an open delivery; the caller acknowledges each of them alone, after the run.
    pub(super) fn take_scattered(&mut self) -> Vec<u64> {
        if self.scattered == 0 {
            return Vec::new();
        }
        self.scattered = 0;
        let scattered = self.open.iter().filter(|(_, settled)| *settled).map(|(tag, _)| *tag).collect();
        self.open.retain(|(_, settled)| !settled);
        scattered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gap_holds_back_what_is_settled_behind_it() {
        let mut ledger = Ledger::default();
        (1..=4).for_each(|tag| ledger.delivered(tag));
        assert_eq!(ledger.settled(3), None);
        assert_eq!(ledger.settled(1), Some(Run { last_tag: 1, messages: 1 }));
        assert_eq!(ledger.settled(2), Some(Run { last_tag: 3, messages: 3 }));
        assert_eq!(ledger.take_run(), Some(Run { last_tag: 3, messages: 3 }));
        assert_eq!(ledger.settled(3), None, "a tag that is acknowledged already changes nothing");
        assert_eq!(ledger.settled(99), None);
    }

    proptest! {
        /// In any order of settling, with acknowledgements of runs and of single tags taken at any time: every tag is
        /// acknowledged once, none before it is settled.
        #[test]
        fn every_settled_tag_is_acknowledged_once(
            order in Just((1u64..=40).collect::<Vec<_>>()).prop_shuffle(),
            takes in any::<u64>(),
            scattered in any::<u64>(),
        ) {
            let mut ledger = Ledger::default();
            (1..=40).for_each(|tag| ledger.delivered(tag));
            let mut settled = std::collections::BTreeSet::new();
            let mut acknowledged = std::collections::BTreeSet::new();
            let mut take = |ledger: &mut Ledger, settled: &std::collections::BTreeSet<u64>, single: bool| {
                if let Some(run) = ledger.take_run() {
                    let covered: Vec<u64> = (1..=run.last_tag).filter(|tag| acknowledged.insert(*tag)).collect();
                    prop_assert_eq!(covered.len(), run.messages);
                    prop_assert!(covered.iter().all(|tag| settled.contains(tag)));
                }
                for tag in if single { ledger.take_scattered() } else { Vec::new() } {
                    prop_assert!(settled.contains(&tag) && acknowledged.insert(tag));
                }
                Ok(())
            };
            for (n, tag) in order.iter().enumerate() {
                settled.insert(*tag);
                ledger.settled(*tag);
                if takes >> n & 1 == 1 {
                    take(&mut ledger, &settled, scattered >> n & 1 == 1)?;
                }
            }
            take(&mut ledger, &settled, true)?;
            prop_assert_eq!(acknowledged.len(), 40);
        }
    }
}
