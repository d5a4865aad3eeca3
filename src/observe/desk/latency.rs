//! A compact histogram of times, and the quantiles of what came between two looks at it.

use std::time::Duration;

/// Buckets; each is twice as wide as the one before it, and the last one has no end.
pub const BUCKETS: usize = 18;
/// What the first bucket ends at, in microseconds.
const FIRST_US: u64 = 500;

/// Times since start, by bucket: up to 0.5 ms, 1 ms, 2 ms … 33 s, and longer.
pub type Buckets = [u64; BUCKETS];

/// The bucket of a time.
pub fn bucket_of(time: Duration) -> usize {
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    (0..BUCKETS - 1).find(|n| us <= FIRST_US << n).unwrap_or(BUCKETS - 1)
}

/// What was added since an earlier look; an earlier look that says more is of another process, and counts for nothing.
pub fn since(now: &[u64], before: &[u64]) -> Buckets {
    std::array::from_fn(|n| {
        let (now, before) = (now.get(n).copied().unwrap_or(0), before.get(n).copied().unwrap_or(0));
        now.checked_sub(before).unwrap_or(now)
    })
}

/// The time, in microseconds, that so many of a hundred do not exceed: the end of their bucket. Nothing where there is none.
pub fn quantile_us(buckets: &Buckets, of_hundred: u64) -> Option<u64> {
    let all = buckets.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    if all == 0 {
        return None;
    }
    let wanted = all.saturating_mul(of_hundred).div_ceil(100).max(1);
    let mut seen = 0u64;
    for (n, count) in buckets.iter().enumerate() {
        seen = seen.saturating_add(*count);
        if seen >= wanted {
            return Some(FIRST_US << n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_bucket_that_ends_at_it() {
        for (us, bucket) in [(0, 0), (500, 0), (501, 1), (1_000, 1), (1_001, 2), (32_768_000, 16), (u64::MAX, 17)] {
            assert_eq!(bucket_of(Duration::from_micros(us)), bucket, "{us}");
        }
    }

    #[test]
    fn quantiles_are_the_ends_of_buckets() {
        let mut buckets = [0; BUCKETS];
        assert_eq!(quantile_us(&buckets, 50), None);
        (buckets[0], buckets[3]) = (98, 2);
        assert_eq!((quantile_us(&buckets, 50), quantile_us(&buckets, 99)), (Some(500), Some(4_000)));
        buckets = [u64::MAX; BUCKETS];
        assert_eq!(quantile_us(&buckets, 50), Some(500), "hostile numbers do not overflow");
    }

    #[test]
    fn a_process_that_started_anew_begins_at_zero() {
        assert_eq!(since(&[5, 1], &[3, 4])[..3], [2, 1, 0]);
    }
}
