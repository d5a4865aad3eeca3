//! The parking queue: messages, samples and events that cannot be used.

use tracing::{debug, error, warn};

use super::families::{Metrics, Step};

/// Why something was parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkReason {
    /// The body is no notification.
    Unreadable,
    /// The body names a priority that does not exist.
    UnknownPriority,
    /// What the notification gives does not fit into one message to a pipeline queue.
    TooLarge,
    /// A packet on a pipeline queue is not in the agent's format.
    ForeignPacket,
    /// A publisher will never accept it.
    Refused,
    /// The agent's own code failed on it (a caught panic).
    InternalError,
}

impl ParkReason {
    /// The value of the label `reason`, and of the header of a parked message.
    pub fn name(self) -> &'static str {
        match self {
            ParkReason::Unreadable => "unreadable",
            ParkReason::UnknownPriority => "unknown_priority",
            ParkReason::TooLarge => "too_large",
            ParkReason::ForeignPacket => "foreign_packet",
            ParkReason::Refused => "refused",
            ParkReason::InternalError => "internal_error",
        }
    }
}

impl Metrics {
    /// A message of the queue `origin`, or a sample or event of the sink `origin`, was parked, because of that publisher, if
    /// any. `detail` is what a person needs to know. Each reason is logged once, and again after minutes with how often it
    /// was; counted always.
    pub fn message_parked(&self, origin: &str, reason: ParkReason, publisher: Option<&str>, detail: &str) {
        const SAID: &str =
            "parked; look at it with nephoscope parked list, and put it back with nephoscope parked requeue";
        let name = reason.name();
        if let Some(times) = self.0.repeats.note(&format!("{origin}\n{name}\n{}", publisher.unwrap_or_default())) {
            warn!(event = "agent.message.parked", origin, reason = name, times, detail, "{SAID}");
        } else {
            debug!(event = "agent.message.parked", origin, reason = name, detail, "parked");
        }
        self.0.parked.of([origin, name]).inc();
    }

    /// A message could not be parked: the agent holds it, and tries again. `cause` says what to do; `said` is how often that
    /// happened, where it is news.
    pub fn parking_failed(&self, origin: &str, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            error!(
                event = "agent.message.not_parked",
                origin, times, cause, "cannot park a message; holding it and trying again"
            );
        } else {
            debug!(event = "agent.message.not_parked", origin, cause, "still cannot park a message");
        }
        self.trouble(Step::Park);
    }
}
