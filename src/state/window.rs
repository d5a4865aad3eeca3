//! Which samples have taken effect already: what comes again changes nothing.

use std::collections::VecDeque;
use std::iter::repeat_n;

use crate::cluster::hash;
use crate::model::{Sample, grouping_bytes, json};

/// How long an id is remembered: until it is older than the newest `ids_kept` *and* than `age_ms`, and never when there
/// are `ids_max` newer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowBounds {
    /// Newest ids that are kept whatever their age. What was unacknowledged at a crash comes again: four times what the
    /// pipeline listener holds, and twice what a main listener holds.
    pub ids_kept: usize,
    /// Age in milliseconds up to which ids are kept.
    pub age_ms: i64,
    /// Ids at most: 16 bytes of memory each.
    pub ids_max: usize,
}

impl WindowBounds {
    /// Five minutes.
    pub const AGE_MS: i64 = 5 * 60 * 1_000;
    /// 16 MB a queue, at worst.
    pub const IDS_MAX: usize = 1_000_000;
}

/// Ids in one piece of a window. Small enough that putting one in its place moves little, large enough that there are few
/// pieces to look into.
const PIECE_IDS: usize = 8_192;

/// The ids of the samples that took effect, oldest first.
#[derive(Debug, Clone)]
pub struct Window {
    bounds: WindowBounds,
    /// None of them is empty.
    pieces: VecDeque<Piece>,
    len: usize,
}

/// Some ids that came one after the other.
#[derive(Debug, Clone, Default)]
struct Piece {
    order: VecDeque<u64>,
    sorted: Vec<u64>,
    /// When they took effect: a batch's ids all at the same time.
    times: VecDeque<(i64, u32)>,
}

impl Piece {
    fn insert(&mut self, id: u64, at: i64) {
        self.sorted.insert(self.sorted.partition_point(|other| *other < id), id);
        self.note(id, at);
    }

    /// Many at once: sorted once, where each in its place would have to move those behind it.
    fn extend(&mut self, entries: impl Iterator<Item = (u64, i64)>) {
        for (id, at) in entries {
            self.sorted.push(id);
            self.note(id, at);
        }
        self.sorted.sort_unstable();
    }

    fn note(&mut self, id: u64, at: i64) {
        self.order.push_back(id);
        match self.times.back_mut() {
            Some((time, count)) if *time == at => *count += 1,
            _ => self.times.push_back((at, 1)),
        }
    }

    fn forget_oldest(&mut self) {
        let Some(id) = self.order.pop_front() else { return };
        if let Ok(place) = self.sorted.binary_search(&id) {
            self.sorted.remove(place);
        }
        if let Some((_, count)) = self.times.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.times.pop_front();
            }
        }
    }
}

/// Bits of an id that are not its slot.
const HASH_BITS: u32 = u64::BITS - hash::SLOTS.ilog2();
const _: () = assert!(hash::SLOTS.is_power_of_two());

/// The id of a sample that a pipeline takes: its [slot](hash::slot), and the highest bits that then fit in of the [stable
/// hash](hash::stable) of compact JSON of what makes it this sample.
///
/// The sample's own `id` is not enough: a sender that gives all of its samples the same would have them dropped. The slot
/// is there so that a new queue need not remember what other queues will see.
pub fn id(pipeline: &str, sample: &Sample) -> u64 {
    let mut text = Vec::with_capacity(200);
    for part in [pipeline, &sample.id, &sample.name, &sample.timestamp] {
        json::write_str(part, &mut text);
    }
    json::write(&sample.resource_id, &mut text);
    text.push(b' ');
    json::write(&sample.volume, &mut text);
    let slot = hash::slot(&grouping_bytes(&sample.resource_id));
    u64::from(slot) << HASH_BITS | hash::stable(&text) >> (u64::BITS - HASH_BITS)
}

/// The slot of an id's sample: which queue it comes to.
pub fn slot(id: u64) -> u16 {
    // As many bits as slots have.
    (id >> HASH_BITS) as u16
}

/// Ids with the time of each, from times that say how many ids they are of.
pub(super) fn timed(
    ids: impl Iterator<Item = u64>,
    times: impl Iterator<Item = (i64, u32)>,
) -> impl Iterator<Item = (u64, i64)> {
    ids.zip(times.flat_map(|(at, count)| repeat_n(at, count as usize)))
}

impl Window {
    /// An empty one.
    pub fn new(bounds: WindowBounds) -> Self {
        Window { bounds, pieces: VecDeque::new(), len: 0 }
    }

    /// Whether a sample has taken effect.
    pub fn contains(&self, id: u64) -> bool {
        // What comes again came not long ago.
        self.pieces.iter().rev().any(|piece| piece.sorted.binary_search(&id).is_ok())
    }

    /// A sample takes effect at `now_ms`.
    pub fn insert(&mut self, id: u64, now_ms: i64) {
        self.add(|piece| piece.insert(id, now_ms));
    }

    /// Samples took effect, one after the other.
    pub fn extend(&mut self, entries: impl IntoIterator<Item = (u64, i64)>) {
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            self.add(|piece| piece.extend(entries.by_ref().take(PIECE_IDS - piece.order.len())));
        }
    }

    /// Adds ids to the newest piece, for which it has room, or to a new one.
    fn add(&mut self, put: impl FnOnce(&mut Piece)) {
        if self.pieces.back().is_none_or(|piece| piece.order.len() >= PIECE_IDS) {
            self.pieces.push_back(Piece::default());
        }
        if let Some(piece) = self.pieces.back_mut() {
            let before = piece.order.len();
            put(piece);
            self.len += piece.order.len() - before;
        }
        while self.len > self.bounds.ids_max {
            self.forget_oldest();
        }
    }

    /// Forgets what is beyond the bounds at `now_ms`.
    pub fn trim(&mut self, now_ms: i64) {
        let oldest = |window: &Window| window.pieces.front().and_then(|piece| piece.times.front()).map(|(at, _)| *at);
        while self.len > self.bounds.ids_kept
            && oldest(self).is_some_and(|at| now_ms.saturating_sub(at) > self.bounds.age_ms)
        {
            self.forget_oldest();
        }
    }

    /// The ids, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.pieces.iter().flat_map(|piece| piece.order.iter().copied())
    }

    /// When they took effect, and how many one after the other at that time.
    pub fn times(&self) -> impl Iterator<Item = (i64, u32)> {
        self.pieces.iter().flat_map(|piece| piece.times.iter().copied())
    }

    /// Ids and when they took effect, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (u64, i64)> {
        timed(self.ids(), self.times())
    }

    /// Remembers what other windows remember as well.
    pub fn join(&mut self, entries: impl IntoIterator<Item = (u64, i64)>) {
        let mut all: Vec<(u64, i64)> = self.entries().chain(entries).collect();
        all.sort_by_key(|(id, at)| (*at, *id));
        *self = Window::new(self.bounds);
        self.extend(all);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn forget_oldest(&mut self) {
        let Some(piece) = self.pieces.front_mut() else { return };
        piece.forget_oldest();
        self.len -= 1;
        if piece.order.is_empty() {
            self.pieces.pop_front();
        }
    }
}

/// Windows are equal that remember the same, however they came to it.
impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.bounds == other.bounds && self.len == other.len && self.entries().eq(other.entries())
    }
}

impl Eq for Window {}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(ids_kept: usize, age_ms: i64, ids_max: usize) -> Window {
        Window::new(WindowBounds { ids_kept, age_ms, ids_max })
    }

    #[test]
    fn an_id_is_forgotten_when_it_is_old_and_there_are_enough_newer_ones() {
        let mut window = window(2, 100, 10);
        (1..=4).for_each(|id| window.insert(id, i64::try_from(id).unwrap()));
        window.trim(102);
        assert_eq!(window.len(), 3, "id 1 alone is older than 100 ms");
        window.trim(10_000);
        assert_eq!(window.entries().map(|(id, _)| id).collect::<Vec<_>>(), [3, 4]);
        assert!(!window.contains(1) && window.contains(3));
    }

    #[test]
    fn no_clock_makes_it_grow_without_end() {
        let mut window = window(2, 100, 10);
        (0..100).for_each(|id| window.insert(id, i64::MAX));
        window.trim(i64::MIN);
        assert_eq!((window.len(), window.entries().count()), (10, 10));
    }

    #[test]
    fn pieces_of_it_are_forgotten_whole_and_nothing_else_is() {
        let (most, step) = (3 * u64::try_from(PIECE_IDS).unwrap(), 0x9e37_79b9_7f4a_7c15_u64);
        let mut window = window(10, 1_000, usize::MAX);
        (0..most).for_each(|n| window.insert(n.wrapping_mul(step), i64::try_from(n / 100).unwrap()));
        assert_eq!(window.pieces.len(), 3);
        window.trim(1_000 + i64::try_from(most / 200).unwrap());
        let first = most / 200 * 100;
        assert_eq!(window.len(), usize::try_from(most - first).unwrap());
        assert!((0..most).all(|n| window.contains(n.wrapping_mul(step)) == (n >= first)));
        let times = window.entries().map(|(_, at)| at);
        assert!(times.eq((first..most).map(|n| i64::try_from(n / 100).unwrap())));
        assert_eq!(window.pieces.len(), 2);
    }

    #[test]
    fn joined_windows_remember_in_the_order_of_time() {
        let (mut one, mut other) = (window(1, 10, 10), window(1, 10, 10));
        [(1, 5), (2, 30)].into_iter().for_each(|(id, at)| one.insert(id, at));
        [(3, 7), (4, 29)].into_iter().for_each(|(id, at)| other.insert(id, at));
        one.join(other.entries());
        assert_eq!(one.entries().map(|(id, _)| id).collect::<Vec<_>>(), [1, 3, 4, 2]);
        one.trim(40);
        assert!(!one.contains(1) && !one.contains(3) && one.contains(2) && one.len() == 1, "{one:?}");
    }

    #[test]
    fn many_at_once_are_as_one_after_the_other() {
        let entries = |from: u64, to: u64| {
            (from..to).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15), i64::try_from(n / 3).unwrap()))
        };
        for (first, ids_max) in [(0, 100_000), (5, 100_000), (PIECE_IDS as u64, 100_000), (5, 10_000)] {
            let (mut one, mut many) = (window(1, 10, ids_max), window(1, 10, ids_max));
            for window in [&mut one, &mut many] {
                entries(0, first).for_each(|(id, at)| window.insert(id, at));
            }
            entries(first, 20_000).for_each(|(id, at)| one.insert(id, at));
            many.extend(entries(first, 20_000));
            assert_eq!(one, many);
            assert!(entries(0, 20_000).all(|(id, _)| one.contains(id) == many.contains(id)));
        }
    }

    #[test]
    fn an_id_that_took_effect_twice_is_known_until_both_are_forgotten() {
        let mut window = window(1, 0, 10);
        window.insert(7, 0);
        window.insert(7, 1);
        window.trim(5);
        assert!(window.contains(7));
    }
}
