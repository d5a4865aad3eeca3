//! So many records a second, on average over a second.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A token bucket that may go into debt: a batch goes as a whole, and the next one waits until it is paid for.
pub(super) struct Bucket {
    /// Records a second.
    rate: f64,
    state: Mutex<State>,
}

struct State {
    tokens: f64,
    since: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: f64) -> Self {
        Bucket { rate, state: Mutex::new(State { tokens: rate.max(1.0), since: Instant::now() }) }
    }

    /// Waits for a turn and takes it; where that would take longer than `patience`, nothing is taken: the time to wait.
    pub(super) async fn turn(&self, records: usize, patience: Duration) -> Result<(), Duration> {
        let give_up = Instant::now() + patience;
        loop {
            let wait = match self.take(records) {
                Ok(()) => return Ok(()),
                Err(wait) => wait,
            };
            if Instant::now() + wait > give_up {
                return Err(wait);
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn take(&self, records: usize) -> Result<(), Duration> {
        let mut state = self.state();
        let now = Instant::now();
        let earned = (now - state.since).as_secs_f64() * self.rate;
        state.tokens = (state.tokens + earned).min(self.rate.max(1.0));
        state.since = now;
        if state.tokens >= 1.0 {
            state.tokens -= records as f64;
            return Ok(());
        }
        // Rounded up, or the last wait would be one of nothing.
        Err(Duration::from_secs_f64((1.0 - state.tokens) / self.rate) + Duration::from_millis(1))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_rate_goes_through_and_no_less() {
        let bucket = Bucket::new(100.0);
        let began = Instant::now();
        for _ in 0..50 {
            while let Err(after) = bucket.turn(20, Duration::from_secs(1)).await {
                tokio::time::sleep(after).await;
            }
        }
        // The first second's worth is there at once, and the last batch is a debt.
        let seconds = began.elapsed().as_secs_f64();
        assert!((8.7..9.3).contains(&seconds), "{seconds} s for 1,000 records at 100 a second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_has_to_wait_too_long_is_told_how_long() {
        let bucket = Bucket::new(10.0);
        assert_eq!(bucket.turn(100, Duration::from_secs(1)).await, Ok(()));
        let wait = bucket.turn(1, Duration::from_secs(1)).await.unwrap_err();
        assert!((9.0..9.2).contains(&wait.as_secs_f64()), "{wait:?}");
    }
}
