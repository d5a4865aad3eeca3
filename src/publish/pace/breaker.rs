//! The circuit breaker of a publisher: after repeated failures it leaves the destination alone for a while, then tries it
//! with a few records.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use crate::observe::{self, Metrics};
use crate::publish::outcome::{Left, Partly, PublishError};

/// The longest time that a destination is left alone.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest time that a destination can ask for itself.
const AFTER_MAX: Duration = Duration::from_mins(5);
/// When those come again who came while another tries.
const PROBED_IN: Duration = Duration::from_secs(1);

/// The breaker of one publisher, for all its callers.
pub(super) struct Breaker {
    failures_max: u32,
    first_pause: Duration,
    shown: String,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Failures in a row.
    failures: u32,
    /// It is left alone.
    closed: Option<Closed>,
}

struct Closed {
    until: Instant,
    pause: Duration,
    cause: String,
    /// Somebody tries it now.
    probing: bool,
}

/// What a caller may do.
pub(super) enum Admission<'b> {
    /// Publish.
    Open,
    /// Try with a few records, and say what came of it.
    Probe(Probe<'b>),
    /// Come again later.
    Closed {
        /// Why the destination failed last.
        cause: String,
        /// When.
        after: Duration,
    },
}

/// The one that tries. Dropped without a word, another may.
pub(super) struct Probe<'b>(&'b Breaker);

impl Breaker {
    /// Of a publisher that is left alone after so many failures; after 0 never.
    pub(super) fn new(failures_max: u32, first_pause: Duration, shown: &str, metrics: &Metrics) -> Self {
        let (shown, metrics) = (shown.to_owned(), metrics.clone());
        Breaker { failures_max, first_pause, shown, metrics, state: Mutex::default() }
    }

    /// What a caller may do now.
    pub(super) fn admit(&self) -> Admission<'_> {
        let mut state = self.state();
        let Some(closed) = &mut state.closed else { return Admission::Open };
        if let Some(after) = closed.after() {
            return Admission::Closed { cause: closed.cause.clone(), after };
        }
        closed.probing = true;
        self.metrics.breaker(&self.shown, observe::Breaker::HalfOpen);
        Admission::Probe(Probe(self))
    }

    /// Why the destination is left alone, and for how long, where it is and nobody may try it yet.
    pub(super) fn left_alone(&self) -> Option<PublishError> {
        let state = self.state();
        let closed = state.closed.as_ref()?;
        let after = Some(closed.after()?);
        Some(PublishError::Retry { cause: closed.cause.clone(), after })
    }

    /// Notes what came of a batch of so many records. What was under way when the destination was given up on changes nothing,
    /// unless it succeeds. What is left is to be offered again when the destination is tried again, and no later.
    pub(super) fn told(&self, outcome: Result<(), PublishError>, records: usize) -> Result<(), PublishError> {
        let mut state = self.state();
        match failure(&outcome, records) {
            None => {
                if state.closed.take().is_some() {
                    self.metrics.breaker(&self.shown, observe::Breaker::Closed);
                }
                state.failures = 0;
            }
            Some((cause, after)) => {
                state.failures = state.failures.saturating_add(1);
                if self.failures_max > 0 && state.failures >= self.failures_max && state.closed.is_none() {
                    self.leave_alone(&mut state, self.first_pause, cause, after);
                }
            }
        }
        state.wait_for(outcome)
    }

    fn leave_alone(&self, state: &mut State, pause: Duration, cause: &str, after: Option<Duration>) {
        // The destination may say how long itself; the agent asks again after its own longest wait at the latest.
        let until = Instant::now() + pause.max(after.unwrap_or_default().min(AFTER_MAX));
        state.closed = Some(Closed { until, pause, cause: cause.to_owned(), probing: false });
        self.metrics.breaker(&self.shown, observe::Breaker::Open);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Closed {
    /// When to come again; nothing where the destination may be tried now.
    fn after(&self) -> Option<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { self.probing.then_some(PROBED_IN) } else { Some(left) }
    }
}

impl State {
    /// The same outcome; what is left waits until the destination may be tried.
    fn wait_for(&self, mut outcome: Result<(), PublishError>) -> Result<(), PublishError> {
        let open = self.closed.as_ref().and_then(Closed::after);
        if let Err(
            PublishError::Retry { after, .. } | PublishError::Partly(Partly { left: Some(Left { after, .. }), .. }),
        ) = &mut outcome
        {
            *after = (*after).max(open);
        }
        outcome
    }
}

impl Probe<'_> {
    /// Notes what came of it: one that failed leaves the destination alone for twice as long.
    pub(super) fn told(self, outcome: Result<(), PublishError>, records: usize) -> Result<(), PublishError> {
        let breaker = self.0;
        let Some((cause, after)) = failure(&outcome, records) else { return breaker.told(outcome, records) };
        let mut state = breaker.state();
        let pause = state.closed.as_ref().map_or(breaker.first_pause, |closed| (closed.pause * 2).min(PAUSE_MAX));
        breaker.leave_alone(&mut state, pause, cause, after);
        state.wait_for(outcome)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if let Some(closed) = &mut self.0.state().closed {
            closed.probing = false;
        }
    }
}

/// Why nothing at all was taken, and how long the destination asks to wait; nothing where something was.
fn failure(outcome: &Result<(), PublishError>, records: usize) -> Option<(&str, Option<Duration>)> {
    match outcome {
        Ok(()) => None,
        Err(PublishError::Retry { cause, after }) => Some((cause, *after)),
        Err(PublishError::Stop { cause }) => Some((cause, None)),
        Err(PublishError::Partly(Partly { refused, left })) => {
            let left = left.as_ref()?;
            (refused.is_empty() && left.records.len() >= records).then_some((&*left.cause, left.after))
        }
    }
}
