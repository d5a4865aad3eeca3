//! The last hour of a member, minute by minute, in its own memory.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use super::latency::{BUCKETS, Buckets, quantile_us, since};

/// Minutes that are kept.
pub const MINUTES_MAX: usize = 60;
/// So many minutes two clocks may differ. What is further ahead is of a clock that was wrong.
pub const MINUTES_AHEAD_MAX: u64 = 2;

/// One minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Minute {
    /// Minutes since 1970, UTC.
    pub minute: u64,
    /// Notifications taken from main queues.
    pub received: u64,
    /// Samples and events that publishers accepted.
    pub published: u64,
    /// The time that half of the messages did not exceed, from taking to settling, in microseconds.
    pub p50_us: Option<u64>,
    /// The time that 99 of 100 did not exceed.
    pub p99_us: Option<u64>,
}

/// The last hour, oldest minute first.
#[derive(Debug, Default)]
pub struct Minutes {
    done: VecDeque<Minute>,
    now: Option<Open>,
}

/// The minute that has not ended, and the counters when it began.
#[derive(Debug)]
struct Open {
    minute: u64,
    began: Totals,
    last: Totals,
}

/// Counters since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Notifications taken from main queues.
    pub received: u64,
    /// Samples and events that publishers accepted.
    pub published: u64,
    /// Times from taking to settling.
    pub latency: Buckets,
}

impl Minutes {
    /// The counters at a time, in seconds since 1970; asked for about once a second.
    pub fn note(&mut self, seconds: u64, totals: Totals) {
        let minute = seconds / 60;
        let begin = match self.now.take() {
            // A clock that was far ahead: until that minute nothing else would come, and what it called those minutes is wrong.
            Some(open) if open.minute > minute.saturating_add(MINUTES_AHEAD_MAX) => {
                self.done.retain(|done| done.minute < minute);
                open.began
            }
            // A clock that was set back a little goes on in the minute that it was in.
            Some(open) if open.minute >= minute => {
                self.now = Some(Open { last: totals, ..open });
                return;
            }
            Some(open) => {
                self.done.push_back(open.minute_to(&totals));
                if self.done.len() >= MINUTES_MAX {
                    self.done.pop_front();
                }
                totals
            }
            // What was counted before the first look belongs to the first minute.
            None => Totals { latency: [0; BUCKETS], ..Totals::default() },
        };
        self.now = Some(Open { minute, began: begin, last: totals });
    }

    /// The last hour, oldest minute first, the present one as far as it has come.
    pub fn read(&self) -> Vec<Minute> {
        let open = self.now.as_ref().map(|open| open.minute_to(&open.last));
        self.done.iter().copied().chain(open).collect()
    }
}

impl Open {
    fn minute_to(&self, totals: &Totals) -> Minute {
        let latency = since(&totals.latency, &self.began.latency);
        Minute {
            minute: self.minute,
            received: totals.received.saturating_sub(self.began.received),
            published: totals.published.saturating_sub(self.began.published),
            p50_us: quantile_us(&latency, 50),
            p99_us: quantile_us(&latency, 99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(received: u64) -> Totals {
        let mut latency = [0; BUCKETS];
        latency[2] = received;
        Totals { received, published: 2 * received, latency }
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut minutes = Minutes::default();
        // Ten each second for two hours.
        for second in 0..7_200 {
            minutes.note(60_000 + second, totals(10 * (second + 1)));
        }
        let hour = minutes.read();
        assert_eq!(hour.len(), MINUTES_MAX);
        assert_eq!((hour[0].minute, hour[59].minute), (1_060, 1_119));
        assert!(hour[..59].iter().all(|minute| (minute.received, minute.published) == (600, 1_200)), "{hour:?}");
        assert_eq!((hour[5].p50_us, hour[5].p99_us), (Some(2_000), Some(2_000)));
    }

    #[test]
    fn a_clock_is_set_back_and_a_minute_is_idle() {
        let mut minutes = Minutes::default();
        minutes.note(120, totals(5));
        minutes.note(60, totals(6));
        minutes.note(180, totals(6));
        let told: Vec<_> = minutes.read().iter().map(|m| (m.minute, m.received, m.p50_us)).collect();
        assert_eq!(told, [(2, 6, Some(2_000)), (3, 0, None)]);
    }

    #[test]
    fn a_clock_that_was_a_day_ahead_is_set_right() {
        let mut minutes = Minutes::default();
        minutes.note(600, totals(5));
        minutes.note(600 + 86_400, totals(6));
        minutes.note(660 + 86_400, totals(8));
        minutes.note(660, totals(9));
        minutes.note(720, totals(10));
        let told: Vec<_> = minutes.read().iter().map(|m| (m.minute, m.received)).collect();
        assert_eq!(told, [(10, 6), (11, 2), (12, 0)]);
    }
}
