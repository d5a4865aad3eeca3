//! What this member did with each queue: counted where a message is taken and where it is settled.
//!
//! One lock for each queue, held for a few instructions. The number of queues is bounded; what comes later is counted under
//! [`OTHER`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

use super::latency::{BUCKETS, Buckets, bucket_of};

/// Queues that are counted apart, at most.
const QUEUES_MAX: usize = 500;
/// What is counted for all other queues.
pub const OTHER: &str = "other";

/// Counters by queue.
#[derive(Debug, Default)]
pub struct Tallies(RwLock<HashMap<Box<str>, Arc<Tally>>>);

/// The counters of one queue.
#[derive(Debug)]
pub struct Tally {
    began: Instant,
    counts: Mutex<Counts>,
}

/// What was counted of one queue since start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages taken from it.
    pub taken: u64,
    /// Messages settled.
    pub settled: u64,
    /// Bytes written to its state log.
    pub log_bytes: u64,
    /// Times from taking to settling.
    pub latency: Buckets,
    /// Messages that are taken and not settled, by the second in which they came, oldest first.
    held: VecDeque<(u64, u32)>,
    /// The second of the last message that was traced, from 1.
    traced: u64,
}

impl Counts {
    /// Messages that are taken and not settled.
    pub fn held(&self) -> u64 {
        self.taken.saturating_sub(self.settled)
    }
}

impl Tallies {
    /// The counters of a queue. Only a queue that is new and finds a place is waited for by all others.
    pub fn of(&self, queue: &str) -> Arc<Tally> {
        {
            let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let other = || all.get(OTHER).filter(|_| all.len() >= QUEUES_MAX);
            if let Some(tally) = all.get(queue).or_else(other) {
                return Arc::clone(tally);
            }
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = if all.len() < QUEUES_MAX { queue } else { OTHER };
        Arc::clone(all.entry(name.into()).or_insert_with(|| Arc::new(Tally::new())))
    }

    /// The counters of a queue, if anything was counted.
    pub fn find(&self, queue: &str) -> Option<Arc<Tally>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(queue).cloned()
    }

    /// The times of all queues whose name passes.
    pub fn latency(&self, passes: impl Fn(&str) -> bool) -> Buckets {
        let mut sum = [0u64; BUCKETS];
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (_, tally) in all.iter().filter(|(queue, _)| passes(queue)) {
            let counts = tally.counts();
            sum.iter_mut().zip(counts.latency).for_each(|(sum, n)| *sum += n);
        }
        sum
    }
}

impl Tally {
    fn new() -> Tally {
        Tally { began: Instant::now(), counts: Mutex::default() }
    }

    /// A message was taken at that time. Whether it is the one of its second that is traced.
    pub fn taken(&self, came: Instant) -> bool {
        let second = self.second(came);
        let mut counts = self.counts();
        counts.taken += 1;
        match counts.held.back_mut() {
            Some((last, held)) if *last >= second => *held += 1,
            _ => counts.held.push_back((second, 1)),
        }
        let traced = second >= counts.traced;
        if traced {
            counts.traced = second + 1;
        }
        traced
    }

    /// A message that came at that time is settled.
    pub fn settled(&self, came: Instant, took: Duration) {
        let second = self.second(came);
        let mut counts = self.counts();
        counts.settled += 1;
        counts.latency[bucket_of(took)] += 1;
        // One that came while a later one was counted stands with that.
        let at = counts.held.partition_point(|(of, _)| *of < second);
        let counted = counts.held.range_mut(at..).find(|(_, held)| *held > 0);
        if let Some((_, held)) = counted {
            *held -= 1;
        } else if let Some((_, held)) = counts.held.iter_mut().rev().find(|(_, held)| *held > 0) {
            *held -= 1;
        }
        while counts.held.front().is_some_and(|(_, held)| *held == 0) {
            counts.held.pop_front();
        }
    }

    /// So many bytes were written to the state log of the queue.
    pub fn logged(&self, bytes: usize) {
        self.counts().log_bytes += bytes as u64;
    }

    /// What was counted, and how long the oldest message is held; whole seconds, nothing where none is.
    pub fn read(&self) -> (Counts, Option<u64>) {
        let counts = self.counts().clone();
        let now = self.second(Instant::now());
        let oldest = counts.held.front().map(|(second, _)| now.saturating_sub(*second));
        (counts, oldest)
    }

    fn second(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_secs()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_that_is_held_is_known_whatever_the_order_of_settling() {
        let tallies = Tallies::default();
        let tally = tallies.of("notifications.info");
        let mut came = Vec::new();
        for _ in 0..5 {
            came.push(Instant::now());
            tally.taken(Instant::now());
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        let look = || {
            let (counts, oldest) = tallies.of("notifications.info").read();
            (counts.held(), oldest)
        };
        assert_eq!(look(), (5, Some(10)));
        tally.settled(came[1], Duration::from_millis(3));
        assert_eq!(look(), (4, Some(10)));
        tally.settled(came[0], Duration::from_millis(3));
        assert_eq!(look(), (3, Some(6)));
        for came in &came[2..] {
            tally.settled(*came, Duration::from_secs(60));
        }
        assert_eq!(look(), (0, None));
        let latency = tallies.latency(|queue| queue.starts_with("notifications."));
        assert_eq!((latency[3], latency[BUCKETS - 1]), (2, 3));
    }

    #[test]
    fn queues_past_the_bound_are_counted_together() {
        let tallies = Tallies::default();
        for n in 0..QUEUES_MAX + 30 {
            tallies.of(&format!("q{n}")).taken(Instant::now());
        }
        assert_eq!(tallies.of(OTHER).read().0.taken, 30);
        // Nobody waits for one that finds no place.
        let all = tallies.0.read().unwrap();
        assert!(Arc::ptr_eq(&tallies.of("one more"), &all[OTHER]));
        drop(all);
        assert_eq!(tallies.of("q0").read().0.taken, 1);
        assert!(tallies.find("q529").is_none());
    }
}
