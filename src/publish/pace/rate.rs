//! The rate limit of a publisher: a maximum of records in any second, for all its callers together.
//!
//! A record counts from the moment that a caller gets its turn until a second after the call has ended: it may reach the
//! destination at any time in between. So what hangs on a destination that is away still counts when the destination is back,
//! and a slow network cannot push two seconds' worth into one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A call gets as much as is free, but waits until that is this part of the rate: many small requests cost more than a few.
const LEAST_PART: usize = 4;
/// The window is remembered in at most so many steps, whatever the number of calls.
const STEPS: u32 = 64;

/// The rate of one publisher.
#[derive(Debug)]
pub(super) struct Rate {
    /// Records at most in one window.
    most: usize,
    /// A second; longer where the rate is no whole number, so that the average is right.
    window: Duration,
    /// Callers get their turn in the order in which they came.
    line: tokio::sync::Mutex<()>,
    /// A call has ended.
    ended: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Records of calls that have not ended.
    under_way: usize,
    /// Those of calls that have, the oldest first.
    gone: VecDeque<Gone>,
}

/// Records of calls that ended at about the same time.
#[derive(Debug)]
struct Gone {
    first: Instant,
    last: Instant,
    records: usize,
}

/// How many records of a batch may be published now: the first ones. Keep it until the call has ended.
#[derive(Debug)]
pub struct Turn {
    /// Records.
    pub records: usize,
    rate: Option<Arc<Rate>>,
}

impl Turn {
    /// The turn for so many records at a publisher without a rate.
    pub fn free(records: usize) -> Self {
        Turn { records, rate: None }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(rate) = &self.rate {
            rate.over(self.records);
        }
    }
}

impl Rate {
    /// So many records a second.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number; the cast saturates"
    )]
    pub(super) fn new(rate: f64) -> Self {
        let most = rate.ceil().max(1.0);
        Rate {
            most: most as usize,
            window: Duration::from_secs_f64(most / rate),
            line: tokio::sync::Mutex::default(),
            ended: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// Waits for a turn, behind those who came before; `left_alone` says that there is nothing to wait for, and why.
    pub(super) async fn turn<E>(
        self: &Arc<Self>,
        records: usize,
        left_alone: impl Fn() -> Option<E>,
    ) -> Result<Turn, E> {
        let _first_in_line = self.line.lock().await;
        loop {
            if let Some(why) = left_alone() {
                return Err(why);
            }
            let free_at = match self.take(records) {
                Ok(records) => return Ok(Turn { records, rate: Some(Arc::clone(self)) }),
                Err(free_at) => free_at,
            };
            let free = async {
                match free_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = free => {}
                () = self.ended.notified() => {}
            }
        }
    }

    /// Takes what is free, if it is enough; else when it will be, unless calls that are under way must end first.
    fn take(&self, wanted: usize) -> Result<usize, Option<Instant>> {
        let mut state = self.state();
        let now = Instant::now();
        while state.gone.front().is_some_and(|gone| gone.last + self.window <= now) {
            state.gone.pop_front();
        }
        let used = state.gone.iter().map(|gone| gone.records).sum::<usize>() + state.under_way;
        let free = self.most.saturating_sub(used);
        let least = wanted.min((self.most / LEAST_PART).max(1));
        if free >= least {
            let records = wanted.min(free);
            state.under_way += records;
            return Ok(records);
        }
        let mut missing = least - free;
        for gone in &state.gone {
            if gone.records >= missing {
                return Err(Some(gone.last + self.window));
            }
            missing -= gone.records;
        }
        Err(None)
    }

    /// A call with so many records has ended.
    fn over(&self, records: usize) {
        let mut state = self.state();
        let now = Instant::now();
        state.under_way -= records;
        match state.gone.back_mut() {
            Some(gone) if now - gone.first < self.window / STEPS => {
                gone.last = now;
                gone.records += records;
            }
            _ => state.gone.push_back(Gone { first: now, last: now, records }),
        }
        drop(state);
        self.ended.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::convert::Infallible;

    async fn turn(rate: &Arc<Rate>, records: usize) -> Turn {
        match rate.turn(records, || None::<Infallible>).await {
            Ok(turn) => turn,
            Err(never) => match never {},
        }
    }

    /// Publishes batches of so many records, one after the other; each call lasts. When what arrived, at the end of a call.
    async fn publish(rate: Arc<Rate>, batches: usize, records: usize, lasts: Duration) -> Vec<(Instant, usize)> {
        let mut arrived = Vec::new();
        for _ in 0..batches {
            let mut left = records;
            while left > 0 {
                let turn = turn(&rate, left).await;
                tokio::time::sleep(lasts).await;
                arrived.push((Instant::now(), turn.records));
                left -= turn.records;
            }
        }
        arrived
    }

    /// The most that arrives within a second, wherever it begins.
    fn most_in_a_second(arrived: &[(Instant, usize)]) -> usize {
        let second = Duration::from_secs(1);
        let from = |begin: Instant| {
            let within = arrived.iter().filter(|(at, _)| *at >= begin && *at < begin + second);
            within.map(|(_, records)| records).sum()
        };
        arrived.iter().map(|(at, _)| from(*at)).max().unwrap_or_default()
    }

    #[rstest]
    #[case::larger_batches(50.0, 1, 4, 500, 0, 38..=41)]
    #[case::smaller_batches(50.0, 1, 200, 10, 0, 38..=41)]
    #[case::single_records(50.0, 1, 1_000, 1, 0, 19..=21)]
    #[case::several_callers(50.0, 8, 5, 50, 0, 38..=41)]
    #[case::several_callers_of_a_slow_one(50.0, 8, 5, 50, 700, 60..=75)]
    #[case::one_record(1.0, 2, 2, 3, 0, 11..=12)]
    #[case::no_whole_number(2.5, 1, 1, 50, 0, 18..=20)]
    #[case::less_than_one(0.5, 1, 1, 5, 0, 8..=8)]
    #[tokio::test(start_paused = true)]
    async fn in_no_second_does_more_than_the_rate_go_and_not_much_less(
        #[case] rate: f64,
        #[case] callers: usize,
        #[case] batches: usize,
        #[case] records: usize,
        #[case] lasts_ms: u64,
        #[case] seconds: std::ops::RangeInclusive<u64>,
    ) {
        let (shared, began) = (Arc::new(Rate::new(rate)), Instant::now());
        let lasts = |n: usize| Duration::from_millis(lasts_ms * (n as u64 % 3));
        let all = (0..callers).map(|n| publish(Arc::clone(&shared), batches, records, lasts(n)));
        let mut arrived = futures_util::future::join_all(all).await.concat();
        arrived.sort();
        assert_eq!(arrived.iter().map(|(_, records)| records).sum::<usize>(), callers * batches * records);
        let most = most_in_a_second(&arrived);
        assert!(most as f64 <= rate.ceil(), "{most} in a second");
        let took = began.elapsed().as_secs();
        assert!(seconds.contains(&took), "{took} s");
        assert!(shared.state().gone.len() <= STEPS as usize + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_hung_on_a_destination_that_was_away_counts_when_it_is_back() {
        let rate = Arc::new(Rate::new(50.0));
        let hung = [turn(&rate, 30).await, turn(&rate, 30).await];
        assert_eq!((hung[0].records, hung[1].records), (30, 20));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let next = Arc::clone(&rate);
        let next = tokio::spawn(async move { (turn(&next, 50).await.records, Instant::now()) });
        tokio::time::sleep(Duration::from_secs(60)).await;
        let back = Instant::now();
        drop(hung);
        assert_eq!(next.await.unwrap(), (50, back + Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_holds_nobody_up() {
        let rate = Arc::new(Rate::new(1.0));
        drop(turn(&rate, 1).await);
        {
            let mut gone = std::pin::pin!(turn(&rate, 1));
            assert!(futures_util::poll!(&mut gone).is_pending());
        }
        let began = Instant::now();
        assert_eq!(turn(&rate, 1).await.records, 1);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }
}
