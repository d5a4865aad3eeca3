//! How long to wait before what failed is tried again: exponential, up to the longest wait, and spread by jitter.
//!
//! Never here: the waiting itself, what is tried, how often it may be. The ownership machine has its own arithmetic, because
//! the pure floor knows no randomness (decision 0041).

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

use crate::cluster::hash;

/// How waits grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
    /// Each further wait is this many times the one before; below 1 counts as 1.
    pub factor: f64,
    /// Where the jitter begins: the same waits for the same seed. None: another one each time.
    pub seed: Option<u64>,
}

impl Backoff {
    /// Waits that double, with another jitter each time.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Backoff { first, longest, factor: 2.0, seed: None }
    }

    /// The same with the jitter of whoever waits: many who fail together do not come again together, and the same run waits
    /// the same.
    #[must_use]
    pub fn of(self, who: &str) -> Self {
        Backoff { seed: Some(hash::stable(who.as_bytes())), ..self }
    }

    /// The waits, from the first on.
    pub fn waits(self) -> Waits {
        Waits { backoff: self, waits: self.build() }
    }

    /// Of each wait a half to the whole: half of it, and jitter of as much as that.
    #[expect(clippy::cast_possible_truncation, reason = "a factor needs no more digits")]
    fn build(self) -> ExponentialBackoff {
        let longest = self.longest / 2;
        let builder = ExponentialBuilder::new()
            .with_min_delay((self.first / 2).min(longest))
            .with_max_delay(longest)
            .with_factor(self.factor.max(1.0) as f32)
            .with_jitter()
            .without_max_times();
        match self.seed {
            Some(seed) => builder.with_jitter_seed(seed).build(),
            None => builder.build(),
        }
    }
}

/// The waits of one who tries again and again.
#[derive(Debug)]
pub struct Waits {
    backoff: Backoff,
    waits: ExponentialBackoff,
}

impl Waits {
    /// The wait after one more failure.
    pub fn again(&mut self) -> Duration {
        self.waits.next().unwrap_or(self.backoff.longest)
    }

    /// It has worked: the next wait is a first one.
    pub fn reset(&mut self) {
        self.waits = self.backoff.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

    proptest! {
        #[test]
        fn waits_grow_to_the_longest_and_are_jittered_by_half(failures in 1..100_i32, seed: u64) {
            let mut waits = Backoff { seed: Some(seed), ..BACKOFF }.waits();
            let wait = (0..failures).map(|_| waits.again()).last().unwrap_or_default();
            let whole = 2f64.powi(failures - 1).min(30.0);
            prop_assert!((whole * 0.499..=whole * 1.001).contains(&wait.as_secs_f64()), "{wait:?}");
            prop_assert!(wait <= BACKOFF.longest);
        }

        #[test]
        fn no_wait_is_longer_than_the_longest(first in 1..10_000_u64, longest in 1..10_000_u64, factor in 0.0..1e9, seed: u64) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_millis(longest));
            let mut waits = Backoff { first, longest, factor, seed: Some(seed) }.waits();
            for _ in 0..100 {
                let wait = waits.again();
                prop_assert!(wait <= longest && wait >= first.min(longest).mul_f64(0.49), "{wait:?}");
            }
        }
    }

    #[test]
    fn the_same_who_waits_the_same_and_begins_anew() {
        let (mut one, mut other) = (BACKOFF.of("member-1").waits(), BACKOFF.of("member-1").waits());
        let waits: Vec<Duration> = (0..10).map(|_| one.again()).collect();
        assert_eq!(waits, (0..10).map(|_| other.again()).collect::<Vec<_>>());
        one.reset();
        assert_eq!(waits[0], one.again());
    }

    #[test]
    fn members_that_fail_together_do_not_come_again_together() {
        let waits = (0..100).map(|n| BACKOFF.of(&format!("member-{n}")).waits().again().as_secs_f64());
        let waits: Vec<f64> = waits.collect();
        let (low, high) = (waits.iter().filter(|w| **w < 0.65).count(), waits.iter().filter(|w| **w > 0.85).count());
        assert!(low > 10 && high > 10, "{waits:?}");
    }
}
