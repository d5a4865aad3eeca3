//! Spreads waits over those who wait: by who waits and for which time, so that the same run waits the same.

use std::time::Duration;

use crate::cluster::hash;

/// What [`factor`] is at most.
const FACTOR_MAX: f64 = 1.25;

/// A factor from 0.75 to 1.25 for the `attempt`th wait of `who`.
pub(in crate::agent) fn factor(who: &str, attempt: u32) -> f64 {
    let spread = hash::stable(format!("{who}\n{attempt}").as_bytes());
    0.75 + 0.5 * (spread as f64 / u64::MAX as f64)
}

/// The `attempt`th wait of `who`: [`factor`] times the wait; where that could be more than the longest, waits are spread over what
/// is below it instead.
pub(in crate::agent) fn at_most(wait: Duration, longest: Duration, who: &str, attempt: u32) -> Duration {
    wait.mul_f64(FACTOR_MAX).min(longest).mul_f64(factor(who, attempt) / FACTOR_MAX).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_is_never_far_off(who in ".*", attempt: u32) {
            prop_assert!((0.75..=FACTOR_MAX).contains(&factor(&who, attempt)));
        }

        #[test]
        fn no_wait_is_longer_than_the_longest(who in ".*", attempt: u32, wait in 1..=60_u32) {
            let longest = Duration::from_mins(1);
            let waits = at_most(Duration::from_secs(wait.into()), longest, &who, attempt);
            prop_assert!(waits <= longest && waits.as_secs_f64() >= 0.6 * f64::from(wait));
        }
    }

    #[test]
    fn members_that_fail_together_do_not_come_again_together() {
        let factors: Vec<f64> = (0..100).map(|n| factor(&format!("member-{n}"), 1)).collect();
        let (low, high) = (factors.iter().filter(|f| **f < 0.9).count(), factors.iter().filter(|f| **f > 1.1).count());
        assert!(low > 10 && high > 10, "{factors:?}");
        assert!((factor("member-1", 1) - factor("member-1", 2)).abs() > 0.001);
    }
}
