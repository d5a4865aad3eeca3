//! Which deliveries of one consumer are settled, and up to which tag they may be acknowledged.
//!
//! An acknowledgement covers the longest settled run from the oldest open delivery on, never a gap: what is settled
//! behind an open delivery waits for it. One ledger belongs to one channel; its tags mean nothing elsewhere.

use std::collections::VecDeque;

/// The open deliveries of one channel, in the order of their tags. As long as the prefetch at most.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: VecDeque<(u64, bool)>,
    run: Option<Run>,
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
        if let Ok(at) = self.open.binary_search_by_key(&tag, |(tag, _)| *tag) {
            self.open[at].1 = true;
        }
        while let Some((last_tag, true)) = self.open.front().copied() {
            self.open.pop_front();
            let messages = self.run.map_or(0, |run| run.messages) + 1;
            self.run = Some(Run { last_tag, messages });
        }
        self.run
    }

    /// Takes what may be acknowledged; the caller sends it.
    pub(super) fn take_run(&mut self) -> Option<Run> {
        self.run.take()
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
        /// In any order of settling, with acknowledgements taken at any time: every tag is covered once, none early.
        #[test]
        fn runs_cover_every_settled_tag_once(order in Just((1u64..=40).collect::<Vec<_>>()).prop_shuffle(), takes in any::<u64>()) {
            let mut ledger = Ledger::default();
            (1..=40).for_each(|tag| ledger.delivered(tag));
            let mut done = std::collections::BTreeSet::new();
            let (mut acked, mut covered) = (0, 0);
            for (n, tag) in order.iter().enumerate() {
                done.insert(*tag);
                ledger.settled(*tag);
                if takes >> n & 1 == 1 && let Some(run) = ledger.take_run() {
                    prop_assert!((acked + 1..=run.last_tag).all(|t| done.contains(&t)));
                    prop_assert_eq!(run.last_tag - acked, run.messages as u64);
                    acked = run.last_tag;
                    covered += run.messages;
                }
            }
            covered += ledger.take_run().map_or(0, |run| run.messages);
            prop_assert_eq!(covered, 40);
        }
    }
}
