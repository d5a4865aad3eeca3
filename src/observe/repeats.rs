//! Happenings that repeat: logged once, and again after minutes with their number.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A happening that repeats is logged again after this time; one that has not come for this time is new.
pub const SAY_AGAIN: Duration = Duration::from_mins(5);

/// Maximum number of different happenings: texts that differ each time must not fill the memory.
const KNOWN_MAX: usize = 64;

/// The number of each happening, and the time of its last log line.
#[derive(Debug, Default)]
pub struct Repeats(Mutex<BTreeMap<String, Known>>);

#[derive(Debug)]
struct Known {
    said: Instant,
    last: Instant,
    times: u64,
}

impl Repeats {
    /// It happened (again). If it must be logged: how often so far.
    pub fn note(&self, what: &str) -> Option<u64> {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, known| now - known.last < SAY_AGAIN);
        if let Some(known) = all.get_mut(what) {
            known.last = now;
            known.times += 1;
            if now - known.said < SAY_AGAIN {
                return None;
            }
            known.said = now;
            return Some(known.times);
        }
        if all.len() >= KNOWN_MAX {
            all.clear();
        }
        all.insert(what.to_owned(), Known { said: now, last: now, times: 1 });
        Some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::captured::Captured;
    use crate::observe::{Metrics, ParkReason};

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_said_once_and_again_after_minutes_with_its_count() {
        let repeats = Repeats::default();
        let mut said = Vec::new();
        for second in 0..=600 {
            said.extend(repeats.note("away").map(|times| (second, times)));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(said, [(0, 1), (300, 301), (600, 601)]);
        assert_eq!(repeats.note("refused"), Some(1), "another thing is news");
        tokio::time::advance(SAY_AGAIN).await;
        assert_eq!(repeats.note("away"), Some(1), "what has not come for minutes is new");
    }

    #[tokio::test(start_paused = true)]
    async fn texts_that_differ_each_time_are_not_all_remembered() {
        let repeats = Repeats::default();
        for n in 0..10 * KNOWN_MAX {
            assert_eq!(repeats.note(&format!("port {n}")), Some(1));
        }
        assert!(repeats.0.lock().unwrap().len() <= KNOWN_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_parked_or_refused_again_and_again_is_one_line_in_minutes() {
        let log = Captured::begin();
        let metrics = Metrics::new();
        for second in 0..600 {
            for publisher in ["http://one/", "http://other/"] {
                let detail = format!("{publisher} refused r-{second}");
                metrics.publish_refused("sink", publisher, 1, &detail);
                metrics.message_parked("sink", ParkReason::Refused, Some(publisher), &detail);
            }
            metrics.message_parked("notifications.info", ParkReason::Unreadable, None, &format!("byte {second}"));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(log.count(&["WARN", "agent.message.parked", "refused"]), 2 * 2);
        assert_eq!(log.count(&["WARN", "agent.message.parked", "unreadable", "times=301"]), 1);
        assert_eq!(log.count(&["WARN", "agent.message.parked"]), 2 * 2 + 2);
        assert_eq!(log.count(&["WARN", "publish.records.refused"]), 2 * 2);
        let line = r#"nephoscope_parked_total{origin="sink",reason="refused"} 1200"#;
        assert!(metrics.page().lines().any(|l| l == line), "all are counted");
    }
}
