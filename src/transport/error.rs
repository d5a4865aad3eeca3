//! What the broker or the way to it would not do.

use std::time::Duration;

/// Why a message was not taken: there is no queue that it could go to.
pub const UNROUTABLE: &str = "unroutable";
/// Why a message was not taken: its queue refuses it, because it is full or cannot keep it now.
pub const NACKED: &str = "nacked";

impl TransportError {
    /// What is said to who waits for something in a session that is over.
    pub(crate) fn over() -> Self {
        TransportError::Away { broker: "of this session".to_owned(), cause: "the session is over".to_owned() }
    }
}

/// What the broker or the way to it would not do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// No session, or not any more: connect again.
    #[error("cannot reach the broker {broker}: {cause}")]
    Away {
        /// The broker, without secrets.
        broker: String,
        /// What the system said.
        cause: String,
    },
    /// The broker refuses for good: wrong credentials, vhost, or a right that is missing. A person must act.
    #[error("cannot use the broker: {0}")]
    Refused(String),
    /// The broker has an exchange or queue of this name with other properties. A person must act.
    #[error("cannot declare {name}: it exists and differs from the configuration: {why}")]
    Differs {
        /// The exchange or queue.
        name: String,
        /// What the broker said, and what to do about it.
        why: String,
    },
    /// Another consumer has the queue, and there may be only one.
    #[error("cannot consume queue {0}: it has a consumer already, and allows only one")]
    Occupied(String),
    /// There is no such queue.
    #[error("cannot use queue {0}: it does not exist")]
    NoQueue(String),
    /// The queue is there, and what holds it is not: a node of the cluster that is down.
    #[error("cannot use queue {queue} now: {why}; start that node of the cluster")]
    QueueAway {
        /// The queue.
        queue: String,
        /// What the broker said.
        why: String,
    },
    /// The broker did not take a message: no route, or a full queue with `reject-publish`.
    #[error("cannot send to {to}: the broker did not accept the message: {why}")]
    NotTaken {
        /// The routing key.
        to: String,
        /// [`UNROUTABLE`] or [`NACKED`].
        why: &'static str,
    },
    /// The broker refuses a message, or one that was on its way with it: it is too large, or the user has no right. Nothing of it
    /// is known to be taken. Offered again, it goes [alone](super::Outgoing::alone).
    #[error("cannot send to {to}: the broker refuses the message: {why}")]
    Rejected {
        /// The routing key.
        to: String,
        /// What the broker said, and what to do about it.
        why: String,
        /// Whether it is larger than the broker takes.
        too_large: bool,
    },
    /// No answer within the limit.
    #[error("cannot use the broker: it did not answer within {0:?}")]
    Slow(Duration),
}
