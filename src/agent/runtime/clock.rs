//! The time of day that transformers are told, and that state records carry; and how old an answer may be.

use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;
use tokio::time::Instant;

/// What was answered longer ago may be overtaken. An agent that was frozen meanwhile would declare what is another's by now, and
/// deleted for good.
pub(in crate::agent) const NEWS: Duration = Duration::from_secs(5);

/// Where the time of day comes from.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine's clock.
    Machine,
    /// It was `at` when tokio's clock, which tests advance, showed `began`.
    Since {
        /// A moment …
        at: DateTime<Utc>,
        /// … and when it was.
        began: Instant,
    },
}

impl Clock {
    /// The time now. Public for the simulator, which tells its own transformers the same time.
    pub fn now(self) -> DateTime<Utc> {
        match self {
            Clock::Machine => Utc::now(),
            Clock::Since { at, began } => {
                let passed = TimeDelta::from_std(began.elapsed()).unwrap_or(TimeDelta::MAX);
                at.checked_add_signed(passed).unwrap_or(DateTime::<Utc>::MAX_UTC)
            }
        }
    }
}
