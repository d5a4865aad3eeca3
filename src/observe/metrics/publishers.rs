//! Publishers: batches go out. `publisher` is a URL without its secrets, `sink` the sink that it is in.

use std::time::Duration;
use tracing::{debug, info, trace, warn};

use super::families::{Metrics, Step, whole_ms};

/// How a publisher's circuit breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// The publisher is asked as ever.
    Closed,
    /// It is tried with a few records.
    HalfOpen,
    /// It failed again and again, and is left alone.
    Open,
}

impl Breaker {
    /// The word of the log line, and the value of the gauge.
    pub(super) fn shown(self) -> (&'static str, i64) {
        match self {
            Breaker::Closed => ("closed", 0),
            Breaker::HalfOpen => ("half-open", 1),
            Breaker::Open => ("open", 2),
        }
    }

    /// The one with this value of the gauge.
    pub(super) fn of_level(level: i64) -> Breaker {
        [Breaker::HalfOpen, Breaker::Open].into_iter().find(|one| one.shown().1 == level).unwrap_or(Breaker::Closed)
    }
}

impl Metrics {
    /// A publisher could not be reached before this member joined its group.
    pub fn publisher_unreachable(&self, publisher: &str, cause: &str) {
        warn!(
            event = "publish.publisher.unreachable",
            publisher, cause, "cannot reach the publisher; the member joins all the same, and its batches wait"
        );
        self.trouble(Step::ReachPublisher);
    }

    /// A publisher accepted `records` samples or events of a sink.
    pub fn published(&self, sink: &str, publisher: &str, records: usize, took: Duration) {
        trace!(event = "publish.batch.accepted", sink, publisher, records, ?took);
        self.0.published.of([sink, publisher]).inc_by(records as u64);
        self.0.publishing.of([publisher]).observe(took.as_secs_f64());
    }

    /// A publisher is away or busy: the sink waits for `wait` and offers the same batch again. `said` is how often that
    /// happened, where it is news.
    pub fn publish_held(&self, sink: &str, publisher: &str, wait: Duration, cause: &str, said: Option<u64>) {
        let wait = whole_ms(wait);
        if let Some(times) = said {
            warn!(
                event = "publish.batch.held",
                sink,
                publisher,
                times,
                ?wait,
                cause,
                "the publisher does not accept a batch; holding it and offering it again"
            );
        } else {
            debug!(event = "publish.batch.held", sink, publisher, ?wait, cause, "still holding the batch");
        }
        self.0.retries.of([sink, publisher]).inc();
    }

    /// A publisher accepts again, `away` after it stopped.
    pub fn publish_resumed(&self, sink: &str, publisher: &str, away: Duration) {
        let away = whole_ms(away);
        info!(event = "publish.batch.resumed", sink, publisher, ?away, "the publisher accepts again");
    }

    /// A publisher will never accept these `records`. Logged once, and again after minutes; counted always.
    pub fn publish_refused(&self, sink: &str, publisher: &str, records: usize, cause: &str) {
        if let Some(times) = self.0.repeats.note(&format!("refused\n{sink}\n{publisher}")) {
            warn!(
                event = "publish.records.refused",
                sink, publisher, times, records, cause, "the publisher refuses records for good; parking them"
            );
        } else {
            debug!(event = "publish.records.refused", sink, publisher, records, cause, "parking refused records");
        }
        self.0.refused.of([sink, publisher]).inc_by(records as u64);
    }

    /// A publisher lost `records` because its own options say so (`policy=drop`, a full `policy=queue`).
    pub fn records_shed(&self, publisher: &str, records: usize, cause: &str) {
        warn!(
            event = "publish.records.shed",
            publisher,
            records,
            cause,
            "records are lost: the publisher's own options or protocol say so; look at its page in docs/publishers"
        );
        self.0.shed.of([publisher]).inc_by(records as u64);
    }

    /// A publisher's circuit breaker opened, half-opened or closed.
    pub fn breaker(&self, publisher: &str, breaker: Breaker) {
        let (state, level) = breaker.shown();
        debug!(event = "publish.breaker.changed", publisher, state, "the circuit breaker changed");
        self.0.breaker.of([publisher]).set(level);
    }

    /// A publisher was removed from the configuration while a batch was offered to it.
    pub fn publisher_gone(&self, sink: &str, publisher: &str) {
        info!(
            event = "publish.publisher.removed",
            sink,
            publisher,
            "the publisher is not configured any more; offering what it did not accept to the publishers that replace it"
        );
    }

    // --- overflow queues ---

    /// One of several publishers accepts nothing for too long: what it does not accept goes to its overflow queue.
    pub fn overflow_begun(&self, sink: &str, publisher: &str, queue: &str) {
        warn!(
            event = "publish.overflow.begun",
            sink,
            publisher,
            queue,
            "one of several publishers did not accept a batch in time; its records wait in its overflow queue, and the \
             other publishers go on"
        );
    }

    /// `records` went to a publisher's overflow queue.
    pub fn overflowed(&self, sink: &str, publisher: &str, records: usize) {
        trace!(event = "publish.overflow.filled", sink, publisher, records);
        self.0.overflowed.of([sink, publisher]).inc_by(records as u64);
    }

    /// A publisher was removed from the configuration, and its overflow queue is not empty.
    pub fn overflow_forsaken(&self, queue: &str, key: &str) {
        warn!(
            event = "publish.overflow.orphaned",
            queue,
            overflow_queue = key,
            "the publisher of an overflow queue is not configured any more, and records wait there; write overflow_queue= \
             with this value into the URL that replaces it, or configure the publisher again, or delete the queue"
        );
    }

    /// Somebody put records back for a publisher that is alone in its sink.
    pub fn overflow_found(&self, queue: &str) {
        info!(
            event = "publish.overflow.found",
            queue, "records were put back for the only publisher of a sink; consuming its overflow queue"
        );
    }

    /// A publisher's overflow queue is empty, and the sink offers to the publisher itself again.
    pub fn overflow_over(&self, sink: &str, publisher: &str) {
        info!(
            event = "publish.overflow.ended",
            sink, publisher, "the overflow queue is empty; offering to the publisher itself again"
        );
    }
}
