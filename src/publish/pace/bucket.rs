//! So many records a second, in any second.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What goes within this part of a window is remembered as one: so many are remembered at most.
const GRAINS: u32 = 100;

/// What went in the last second is remembered, and no more goes than `rate` leaves of it. (Tokens that gather meanwhile would let
/// twice the rate through in the first second.)
pub(super) struct Bucket {
    /// At most so many records in a window: the rate, rounded up.
    most: usize,
    /// A second, or as much longer as was rounded up.
    window: Duration,
    /// Oldest first.
    went: Mutex<VecDeque<Went>>,
}

/// Records that went.
struct Went {
    first: Instant,
    last: Instant,
    records: usize,
}

impl Bucket {
    /// Of so many records a second, more than none.
    pub(super) fn new(rate: f64) -> Self {
        // More than a machine can send is no limit, and below it the cast is exact.
        let most = rate.ceil().min(1e12);
        Bucket { most: most as usize, window: Duration::from_secs_f64(most / rate.min(1e12)), went: Mutex::default() }
    }

    /// How many of these records may go now, which counts as their going; else when to come again, so that it is worth it.
    pub(super) fn take(&self, records: usize) -> Result<usize, Duration> {
        let now = Instant::now();
        let mut went = self.went();
        while went.front().is_some_and(|oldest| now - oldest.last >= self.window) {
            went.pop_front();
        }
        let free = self.most - went.iter().map(|went| went.records).sum::<usize>();
        // A quarter of it at once, so that a batch does not go in requests of one record.
        let wanted = records.min(self.most.div_ceil(4)).max(1);
        if free < wanted {
            let mut free = free;
            let enough = went.iter().find(|went| {
                free += went.records;
                free >= wanted
            });
            return Err(enough.map_or(self.window, |went| went.last + self.window - now));
        }
        let some = records.min(free);
        match went.back_mut() {
            Some(youngest) if now - youngest.first < self.window / GRAINS => {
                youngest.last = now;
                youngest.records += some;
            }
            _ => went.push_back(Went { first: now, last: now, records: some }),
        }
        Ok(some)
    }

    fn went(&self) -> MutexGuard<'_, VecDeque<Went>> {
        self.went.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// Batches of a size, one after the other for a minute: no second has more than the rate, and no more time goes by than must.
    #[rstest]
    #[case(50.0, 586)]
    #[case(100.0, 20)]
    #[case(200.0, 1)]
    #[case(1.0, 3)]
    #[case(2.5, 10)]
    #[case(0.2, 2)]
    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_than_the_rate_and_all_of_it_is_used(#[case] rate: f64, #[case] batch: usize) {
        let bucket = Bucket::new(rate);
        let began = Instant::now();
        let mut went: Vec<(Instant, usize)> = Vec::new();
        while began.elapsed() < Duration::from_mins(1) {
            let mut left = batch;
            while left > 0 {
                match bucket.take(left) {
                    Ok(some) => {
                        left -= some;
                        went.push((Instant::now(), some));
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                    Err(after) => tokio::time::sleep(after).await,
                }
            }
        }
        for (n, (at, _)) in went.iter().enumerate() {
            let second = went[n..].iter().take_while(|(other, _)| *other - *at < Duration::from_secs(1));
            let records: usize = second.map(|(_, some)| some).sum();
            assert!(records <= rate.ceil() as usize, "{records} in a second");
        }
        let (all, seconds) = (went.iter().map(|(_, some)| *some as f64).sum::<f64>(), began.elapsed().as_secs_f64());
        let used = all / seconds / rate;
        assert!((0.9..1.1).contains(&used) || all < 20.0, "{used} of the rate");
        assert!(bucket.went().len() <= GRAINS as usize + 1);
    }
}
