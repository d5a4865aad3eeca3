//! State logs: what the transformers of a queue know, restored, committed and lost.

use std::time::Duration;
use tracing::{debug, error, info, trace, warn};

use super::families::{Metrics, Step, whole_ms};

impl Metrics {
    /// A queue's state is restored from its log.
    pub fn state_restored(&self, queue: &str, epoch: i64, cells: usize, took: Duration) {
        info!(event = "state.log.restored", queue, epoch, cells, took = ?whole_ms(took), "restored the state from its log");
        self.0.restored.observe(took.as_secs_f64());
    }

    /// A batch is in the log.
    pub fn state_committed(&self, queue: &str, bytes: usize, took: Duration) {
        trace!(event = "state.batch.committed", queue, bytes, ?took);
        self.0.committed.observe(took.as_secs_f64());
        self.0.log_bytes.inc_by(bytes as u64);
        self.0.tallies.of(queue).logged(bytes);
    }

    /// A snapshot of a queue's state is in the log.
    pub fn state_snapshot(&self, queue: &str, cells: usize, bytes: usize) {
        debug!(event = "state.snapshot.written", queue, cells, bytes);
        self.0.log_bytes.inc_by(bytes as u64);
        self.0.tallies.of(queue).logged(bytes);
    }

    /// A log was created with another bound than the configuration has now.
    pub fn state_log_otherwise(&self, queue: &str, configured: usize) {
        warn!(
            event = "state.log.bound_differs",
            queue,
            configured,
            "the state log was created with another bound than [nephoscope] state_log_bytes_max and keeps it; a policy of \
             the broker (max-length-bytes) can change it"
        );
    }

    /// A snapshot takes more than a third of what its log may hold: the next one may push the last one out.
    pub fn state_log_small(&self, queue: &str, bytes: usize, bound: usize) {
        error!(
            event = "state.log.too_small",
            queue,
            bytes,
            bound,
            "the state takes more than a third of its log, and may be lost; raise the log's bound with a policy of the broker \
             (max-length-bytes); [nephoscope] state_log_bytes_max applies to newly created logs only"
        );
        self.trouble(Step::BoundLog);
    }

    /// The group had no books yet.
    pub fn books_created(&self, stream: &str) {
        info!(event = "agent.books.created", stream, "the group had no books; created the stream that keeps them");
    }

    /// The stream with the group's books does not accept a note, or cannot be created.
    pub fn books_not_written(&self, stream: &str, cause: &str) {
        warn!(
            event = "agent.books.held",
            stream,
            cause,
            "cannot write into the books of the group; deliveries go on, and the agent tries again every second; give the agent's \
             user the right to configure and write this stream"
        );
    }

    /// The stream with the group's books cannot be created: the agent works on without books.
    pub fn books_given_up(&self, stream: &str, cause: &str) {
        warn!(
            event = "agent.books.absent",
            stream,
            cause,
            "the broker cannot keep the books of the group; the agent works on without them, and nephoscope audit has nothing to \
             read from it; enable streams on the broker and restart the agent, or set [nephoscope] books_max_bytes = 0"
        );
    }

    /// A queue's state log cannot be used although its session lives: the queue is opened again, by this member or another.
    pub fn state_lost(&self, queue: &str, cause: &str) {
        warn!(
            event = "state.log.lost",
            queue, cause, "cannot use the queue's state log; closing the queue and opening it again"
        );
        self.trouble(Step::UseLog);
    }

    /// Somebody deleted a state log: the agent creates it again, with all that the state holds.
    pub fn state_log_made_again(&self, queue: &str, cells: usize) {
        warn!(
            event = "state.log.recreated",
            queue, cells, "the state log was deleted; created it again with the state that is in memory"
        );
    }

    /// There was no state log: it is created by the first owner of a queue, or by a later owner that finds it deleted.
    pub fn state_log_made(&self, queue: &str) {
        info!(event = "state.log.created", queue, "the queue had no state log; created it with empty state");
    }

    /// The log of an old queue is gone when a new queue needs its state.
    pub fn state_log_gone(&self, queue: &str, old: &str) {
        error!(
            event = "state.log.gone",
            queue,
            old,
            "the state log of an old queue was deleted before the new queue read it; resources of the old queue begin with \
             empty state, and their rates have a gap"
        );
        self.trouble(Step::ReadLog);
    }

    /// A state log is gone and could not be created again yet.
    pub fn state_log_missing(&self, queue: &str, cause: &str) {
        warn!(
            event = "state.log.missing",
            queue,
            cause,
            "the state log is gone and cannot be created again; the queue waits, and the agent tries every second"
        );
    }

    /// `batches` that this process saw committed are not in the log any more.
    pub fn state_regressed(&self, queue: &str, batches: u64) {
        error!(
            event = "state.log.regressed",
            queue,
            batches,
            "the state log lacks batches that this agent saw committed: it was deleted, or the broker lost its end; going on \
             with what is there; rates have a gap"
        );
        self.trouble(Step::ReadLog);
    }

    /// `samples` had taken effect before and were left out.
    pub fn samples_again(&self, queue: &str, samples: usize) {
        if samples > 0 {
            debug!(event = "state.samples.repeated", queue, samples);
            self.0.samples_again.of([queue]).inc_by(samples as u64);
        }
    }
}
