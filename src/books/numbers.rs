//! Sets of packet numbers, as ranges: a sender's numbers are nearly always one range.

use std::collections::BTreeMap;

/// Numbers, as ranges that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Numbers(BTreeMap<u64, u64>);

impl Numbers {
    /// Adds all numbers of a range; how many were there before.
    pub(super) fn add(&mut self, from: u64, to: u64) -> u64 {
        let known = self.count_in(from, to);
        let (mut first, mut last) = (from, to);
        let touched: Vec<(u64, u64)> = self
            .0
            .range(..=to.saturating_add(1))
            .rev()
            .map(|(a, b)| (*a, *b))
            .take_while(|(_, b)| b.saturating_add(1) >= from)
            .collect();
        for (a, b) in touched {
            self.0.remove(&a);
            (first, last) = (first.min(a), last.max(b));
        }
        self.0.insert(first, last);
        known
    }

    /// How many numbers of a range are in the set.
    pub(super) fn count_in(&self, from: u64, to: u64) -> u64 {
        let before = self.0.range(..from).next_back();
        let inside = self.0.range(from..=to.max(from)).filter(|_| to >= from);
        let overlap = |(a, b): (&u64, &u64)| {
            let (a, b) = ((*a).max(from), (*b).min(to));
            if b < a { 0 } else { (b - a).saturating_add(1) }
        };
        before.into_iter().chain(inside).map(overlap).fold(0, u64::saturating_add)
    }

    /// The ranges of numbers between two numbers that are not in the set, in order.
    pub(super) fn holes(&self, from: u64, to: u64) -> Vec<(u64, u64)> {
        let mut holes = Vec::new();
        let mut next = from;
        let before = self.0.range(..from).next_back();
        for (a, b) in before.into_iter().chain(self.0.range(from..)) {
            if *a > to {
                break;
            }
            if *a > next {
                holes.push((next, a - 1));
            }
            let Some(behind) = b.checked_add(1) else { return holes };
            next = next.max(behind);
        }
        if next <= to {
            holes.push((next, to));
        }
        holes
    }

    /// The highest number.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.values().next_back().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// As a set of single numbers would have it.
        #[test]
        fn ranges_are_as_good_as_single_numbers(ranges in prop::collection::vec((1u64..40, 0u64..8), 0..12)) {
            let (mut numbers, mut single) = (Numbers::default(), BTreeSet::new());
            for (from, length) in ranges {
                let to = from + length;
                let known = (from..=to).filter(|n| single.contains(n)).count() as u64;
                prop_assert_eq!(numbers.count_in(from, to), known);
                prop_assert_eq!(numbers.add(from, to), known);
                single.extend(from..=to);
                prop_assert_eq!(numbers.last(), single.last().copied());
                let holes: Vec<u64> = numbers.holes(3, 45).into_iter().flat_map(|(a, b)| a..=b).collect();
                let missing: Vec<u64> = (3..=45).filter(|n| !single.contains(n)).collect();
                prop_assert_eq!(holes, missing);
            }
        }
    }

    #[test]
    fn the_largest_number_is_a_number() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.add(u64::MAX - 1, u64::MAX), 0);
        assert_eq!(numbers.holes(u64::MAX - 2, u64::MAX), [(u64::MAX - 2, u64::MAX - 2)]);
    }
}
