//! Which samples have taken effect already: what comes again changes nothing.

use std::collections::{BTreeMap, VecDeque};

use crate::cluster::hash;
use crate::model::{Sample, json};

/// How long an id is remembered: until it is older than the newest `ids_kept` *and* than `age_ms`, and never when there
/// are `ids_max` newer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowBounds {
    /// Newest ids that are kept whatever their age. What was unacknowledged at a crash comes again: four times what the
    /// pipeline listener holds, and twice what a main listener holds.
    pub ids_kept: usize,
    /// Age in milliseconds up to which ids are kept.
    pub age_ms: i64,
    /// Ids at most: about 40 bytes of memory each.
    pub ids_max: usize,
}

impl WindowBounds {
    /// Five minutes.
    pub const AGE_MS: i64 = 5 * 60 * 1_000;
    /// About 40 MB a queue, at worst.
    pub const IDS_MAX: usize = 1_000_000;
}

/// The ids of the samples that took effect, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    bounds: WindowBounds,
    order: VecDeque<(u64, i64)>,
    known: BTreeMap<u64, u32>,
}

/// The id of a sample that a pipeline takes: the [stable hash](hash::stable) of compact JSON of what makes it this sample.
///
/// The sample's own `id` is not enough: a sender that gives all of its samples the same would have them dropped.
pub fn id(pipeline: &str, sample: &Sample) -> u64 {
    let mut text = Vec::with_capacity(200);
    for part in [pipeline, &sample.id, &sample.name, &sample.timestamp] {
        json::write_str(part, &mut text);
    }
    json::write(&sample.resource_id, &mut text);
    text.push(b' ');
    json::write(&sample.volume, &mut text);
    hash::stable(&text)
}

impl Window {
    /// An empty one.
    pub fn new(bounds: WindowBounds) -> Self {
        Window { bounds, order: VecDeque::new(), known: BTreeMap::new() }
    }

    /// Whether a sample has taken effect.
    pub fn contains(&self, id: u64) -> bool {
        self.known.contains_key(&id)
    }

    /// A sample takes effect at `now_ms`.
    pub fn insert(&mut self, id: u64, now_ms: i64) {
        self.order.push_back((id, now_ms));
        *self.known.entry(id).or_default() += 1;
        while self.order.len() > self.bounds.ids_max {
            self.forget_oldest();
        }
    }

    /// Forgets what is beyond the bounds at `now_ms`.
    pub fn trim(&mut self, now_ms: i64) {
        while self.order.len() > self.bounds.ids_kept
            && self.order.front().is_some_and(|(_, at)| now_ms.saturating_sub(*at) > self.bounds.age_ms)
        {
            self.forget_oldest();
        }
    }

    /// Ids and when they took effect, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (u64, i64)> {
        self.order.iter().copied()
    }

    /// Remembers what other windows remember as well.
    pub fn join(&mut self, entries: impl IntoIterator<Item = (u64, i64)>) {
        let mut all: Vec<(u64, i64)> = std::mem::take(&mut self.order).into_iter().chain(entries).collect();
        all.sort_by_key(|(id, at)| (*at, *id));
        self.known.clear();
        all.into_iter().for_each(|(id, at)| self.insert(id, at));
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn forget_oldest(&mut self) {
        let Some((id, _)) = self.order.pop_front() else { return };
        if let Some(times) = self.known.get_mut(&id) {
            *times -= 1;
            if *times == 0 {
                self.known.remove(&id);
            }
        }
    }
}

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
        assert_eq!((window.len(), window.known.len()), (10, 10));
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
    fn an_id_that_took_effect_twice_is_known_until_both_are_forgotten() {
        let mut window = window(1, 0, 10);
        window.insert(7, 0);
        window.insert(7, 1);
        window.trim(5);
        assert!(window.contains(7));
    }
}
