//! From a resource to the number of its pipeline queue, the same in every process and build.
//!
//! The hash is SipHash-2-4 with zero keys over bytes that are spelled out here, never over anything's layout in
//! memory. A grouping key falls on one of [`SLOTS`] slots for ever; which queue has the slot says a [`SlotTable`],
//! so that the number of queues can change without touching the hash.

use siphasher::sip::SipHasher24;

pub use crate::model::grouping_bytes;

/// The number of slots; a constant of the format, never an option.
pub const SLOTS: u16 = 1024;

/// The stable hash of bytes: SipHash-2-4, both keys zero.
///
/// | grouping key | bytes | hash | slot |
/// |---|---|---|---|
/// | `null`, `""` | | `0x1e924b9d737700d7` | 215 |
/// | `"foo"` | `foo` | `0xdde38bd48eae7414` | 20 |
/// | `"instance-00000001"` | `instance-00000001` | `0xe629caa69f0b5d29` | 297 |
/// | `"é"` | `c3 a9` | `0x57e141910cde6118` | 280 |
/// | `42`, `"42"` | `42` | `0x9b99de905fb2cefd` | 765 |
/// | `true` | `true` | `0xc9d6f433f26db176` | 374 |
/// | `{"a": [1, 2.5]}` | `{"a":[1,2.5]}` | `0x30465569352bb9ed` | 493 |
pub fn stable(bytes: &[u8]) -> u64 {
    SipHasher24::new().hash(bytes)
}

/// The slot of a grouping key.
pub fn slot(key: &[u8]) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "a remainder below 1,024")]
    let slot = (stable(key) % u64::from(SLOTS)) as u16;
    slot
}

/// Which queue has which slot. Written down as part of a [`Spec`](super::Spec), and read back only if it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotTable {
    queues: u16,
    queue_of: Vec<u16>,
}

/// Why a table cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotTableError {
    /// More queues than slots would leave some without work for ever.
    #[error("cannot spread {SLOTS} slots over {0} queues, expected 1 to {SLOTS}")]
    Queues(u64),
    /// Not one queue per slot.
    #[error("cannot use a slot table of {slots} slots up to queue {highest}, expected {SLOTS} slots below {queues}")]
    Shape {
        /// How many slots it has.
        slots: usize,
        /// The highest queue in it.
        highest: u16,
        /// How many queues it says there are.
        queues: u16,
    },
}

impl SlotTable {
    /// The table with which a pipeline begins: slot s belongs to queue s mod `queues`.
    pub fn even(queues: u16) -> Result<Self, SlotTableError> {
        if !(1..=SLOTS).contains(&queues) {
            return Err(SlotTableError::Queues(queues.into()));
        }
        Ok(SlotTable { queues, queue_of: (0..SLOTS).map(|slot| slot % queues).collect() })
    }

    /// The table with these queues of slots 0, 1, 2 …, if it is whole.
    pub fn from_slots(queues: u16, slots: Vec<u16>) -> Result<Self, SlotTableError> {
        if !(1..=SLOTS).contains(&queues) {
            return Err(SlotTableError::Queues(queues.into()));
        }
        let highest = slots.iter().copied().max().unwrap_or(0);
        if slots.len() != usize::from(SLOTS) || highest >= queues {
            return Err(SlotTableError::Shape { slots: slots.len(), highest, queues });
        }
        Ok(SlotTable { queues, queue_of: slots })
    }

    /// The queue of each slot, in the order of the slots.
    pub fn slots(&self) -> &[u16] {
        &self.queue_of
    }

    /// The table for another number of queues: even again, and no slot moves that need not.
    pub fn resized(&self, queues: u16) -> Result<Self, SlotTableError> {
        if !(1..=SLOTS).contains(&queues) {
            return Err(SlotTableError::Queues(queues.into()));
        }
        let mut has = vec![0u16; usize::from(queues)];
        for queue in self.queue_of.iter().filter(|queue| **queue < queues) {
            has[usize::from(*queue)] += 1;
        }
        // The seats above the floor go to queues that would otherwise give a slot away, then to the first.
        let floor = SLOTS / queues;
        let mut by_need: Vec<usize> = (0..usize::from(queues)).collect();
        by_need.sort_by_key(|queue| has[*queue] <= floor);
        let mut room = vec![floor; usize::from(queues)];
        for queue in by_need.into_iter().take(usize::from(SLOTS % queues)) {
            room[queue] += 1;
        }
        let mut kept = Vec::with_capacity(self.queue_of.len());
        for queue in &self.queue_of {
            let place = room.get_mut(usize::from(*queue)).filter(|place| **place > 0);
            kept.push(place.map(|place| {
                *place -= 1;
                *queue
            }));
        }
        let mut free = (0..queues).flat_map(|queue| (0..room[usize::from(queue)]).map(move |_| queue));
        let queue_of = kept.into_iter().map(|queue| queue.or_else(|| free.next()).unwrap_or(0)).collect();
        Ok(SlotTable { queues, queue_of })
    }

    /// The number of queues.
    pub fn queues(&self) -> u16 {
        self.queues
    }

    /// The queue of a slot.
    pub fn queue(&self, slot: u16) -> u16 {
        self.queue_of[usize::from(slot % SLOTS)]
    }

    /// The queue of a grouping key (see [`grouping_bytes`]).
    pub fn queue_of(&self, key: &[u8]) -> u16 {
        self.queue(slot(key))
    }

    /// The slots that are another queue's in `next`: slot, old queue, new queue.
    pub fn moved<'a>(&'a self, next: &'a SlotTable) -> impl Iterator<Item = (u16, u16, u16)> + 'a {
        (0..SLOTS).map(|slot| (slot, self.queue(slot), next.queue(slot))).filter(|(_, old, new)| old != new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("null", 0x1e92_4b9d_7377_00d7, 215)]
    #[case(r#""""#, 0x1e92_4b9d_7377_00d7, 215)]
    #[case(r#""foo""#, 0xdde3_8bd4_8eae_7414, 20)]
    #[case(r#""instance-00000001""#, 0xe629_caa6_9f0b_5d29, 297)]
    #[case(r#""é""#, 0x57e1_4191_0cde_6118, 280)]
    #[case("42", 0x9b99_de90_5fb2_cefd, 765)]
    #[case(r#""42""#, 0x9b99_de90_5fb2_cefd, 765)]
    #[case("true", 0xc9d6_f433_f26d_b176, 374)]
    #[case(r#"{"a": [1, 2.5]}"#, 0x3046_5569_352b_b9ed, 493)]
    fn the_published_vectors_hold(#[case] key: &str, #[case] hash: u64, #[case] at: u16) {
        let key = json::read(key.as_bytes()).unwrap();
        assert_eq!((stable(&grouping_bytes(&key)), slot(&grouping_bytes(&key))), (hash, at));
    }

    fn sizes(table: &SlotTable) -> Vec<usize> {
        let mut sizes = vec![0; usize::from(table.queues())];
        (0..SLOTS).for_each(|slot| sizes[usize::from(table.queue(slot))] += 1);
        sizes
    }

    proptest! {
        #[test]
        fn a_resized_table_is_even_and_moves_the_least(steps in prop::collection::vec(1..=SLOTS, 1..6)) {
            let mut table = SlotTable::even(steps[0]).unwrap();
            for queues in &steps[1..] {
                let next = table.resized(*queues).unwrap();
                let (old, new) = (sizes(&table), sizes(&next));
                prop_assert_eq!(new.iter().sum::<usize>(), usize::from(SLOTS));
                prop_assert!(new.iter().max().unwrap() - new.iter().min().unwrap() <= 1);
                // What every new size must take in, beyond what its queue had.
                let least: usize = new.iter().enumerate().map(|(n, s)| s.saturating_sub(*old.get(n).unwrap_or(&0))).sum();
                prop_assert_eq!(table.moved(&next).count(), least);
                table = next;
            }
        }
    }

    proptest! {
        /// Going up, only new queues take; going down, only vanishing ones give.
        #[test]
        fn only_new_queues_take_and_only_vanishing_ones_give(from in 1..=SLOTS, to in 1..=SLOTS) {
            let table = SlotTable::even(from).unwrap();
            let next = table.resized(to).unwrap();
            for (slot, old, new) in table.moved(&next) {
                prop_assert!(if to > from { new >= from } else { old >= to }, "slot {} went from {} to {}", slot, old, new);
            }
            prop_assert_eq!(&SlotTable::from_slots(to, next.slots().to_vec()).unwrap(), &next);
        }
    }

    #[rstest]
    #[case::no_queues(0, vec![], "over 0 queues")]
    #[case::too_short(1, vec![0], "a slot table of 1 slots")]
    #[case::a_queue_too_many(2, vec![2; 1024], "1024 slots up to queue 2")]
    fn a_table_that_is_not_whole_is_refused(#[case] queues: u16, #[case] slots: Vec<u16>, #[case] complaint: &str) {
        let error = SlotTable::from_slots(queues, slots).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
}
