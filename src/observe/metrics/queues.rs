//! Queues of this member: opened, closed, waited for, declared again.

use tracing::{debug, info, warn};

use super::families::{Metrics, Step, gauge_value};

/// Why a queue was closed: the values of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Another member should have it, or this one drains.
    HandedOver,
    /// The consumer, the connection or the ownership ended.
    Lost,
    /// The number of queues changed, and this old queue is done.
    Sealed,
    /// Nothing came to this old queue any more, and it is deleted.
    Deleted,
}

impl Closed {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Closed::HandedOver => "handed_over",
            Closed::Lost => "lost",
            Closed::Sealed => "sealed",
            Closed::Deleted => "deleted",
        }
    }
}

impl Metrics {
    /// A main or pipeline queue was taken over.
    pub fn queue_opened(&self, queue: &str, epoch: i64) {
        info!(event = "agent.queue.opened", queue, epoch, "opened the queue");
        self.0.opened.inc();
    }

    /// A main or pipeline queue was closed; `cause` is what the broker said if it ended the session.
    pub fn queue_closed(&self, queue: &str, reason: Closed, cause: Option<&str>) {
        let reason = reason.name();
        info!(event = "agent.queue.closed", queue, reason, cause, "closed the queue");
        self.0.closed.of([reason]).inc();
    }

    /// The broker ended the consumer of a queue, with these words. The queue is opened again.
    pub fn queue_lost(&self, queue: &str, cause: &str) {
        let reason = Closed::Lost.name();
        warn!(event = "agent.queue.closed", queue, reason, cause, "the consumer is over; opening the queue again");
        self.0.closed.of([reason]).inc();
    }

    /// `owned` queues are owned now: opening, open or closing.
    pub fn queues_owned(&self, owned: usize) {
        self.0.owned.set(gauge_value(owned));
    }

    /// Whether a queue that this member owns is consumed; `None` when another member owns it.
    pub fn queue_up(&self, queue: &str, up: Option<bool>) {
        match up {
            Some(up) => drop(self.0.queue_up.of([queue]).set(i64::from(up))),
            None => self.0.queue_up.forget([queue]),
        }
    }

    /// A queue that is being opened still has another consumer, which is waited for.
    pub fn queue_occupied(&self, queue: &str) {
        warn!(
            event = "agent.queue.occupied",
            queue,
            "waiting for the previous consumer of this queue to disconnect (it may have lost etcd, or its connection may be dead); \
             asking again every second"
        );
        self.trouble(Step::AwaitConsumer);
    }

    /// While etcd is unreachable another member has begun to consume a main queue: it is left to that member.
    pub fn main_queue_yielded(&self, queue: &str) {
        warn!(
            event = "agent.queue.released",
            queue, "etcd is unreachable and another member consumes this main queue; releasing it"
        );
    }

    /// A queue could not be opened; it is released and claimed again later. `said` is how often, where it is news.
    pub fn queue_not_opened(&self, queue: &str, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            warn!(
                event = "agent.queue.not_opened",
                queue, times, cause, "cannot open the queue; releasing it and trying again"
            );
        } else {
            debug!(event = "agent.queue.not_opened", queue, cause, "still cannot open the queue");
        }
        self.trouble(Step::OpenQueue);
    }

    /// A queue that was declared is gone: somebody has deleted it, and the agent declares it again.
    pub fn queue_gone(&self, queue: &str) {
        warn!(event = "agent.queue.gone", queue, "the queue was deleted; declaring it again with its bindings");
        self.trouble(Step::FindQueue);
    }

    /// A pipeline queue that was deleted could not be declared again.
    pub fn queue_not_declared(&self, queue: &str, cause: &str) {
        warn!(event = "agent.queue.not_declared", queue, cause, "cannot declare the deleted queue; trying again");
        self.trouble(Step::Declare);
    }

    /// The queues, exchanges or bindings that are consumed from a broker could not be declared again. `said` is how often,
    /// where it is news.
    pub fn not_guarded(&self, broker: &str, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            warn!(
                event = "agent.queue.replaced",
                broker,
                times,
                cause,
                "somebody has replaced what the agent consumes by something else of that name; the agent consumes it until the \
                 next connection, and cannot open it after that: create it again as it is configured"
            );
        } else {
            debug!(event = "agent.queue.replaced", broker, cause, "still cannot declare what the agent consumes");
        }
        self.trouble(Step::Declare);
    }
}
