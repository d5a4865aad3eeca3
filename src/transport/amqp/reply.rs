//! What lapin and the broker say when they do not do something, in our words.

use lapin::ErrorKind;
use lapin::protocol::AMQPErrorKind;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::super::TransportError;

/// The longest wait for the answer to one request.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Reply codes of AMQP 0-9-1 that mean something to us.
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// What became of one request.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 404.
    NotFound(String),
    /// 403 with "exclusive use".
    Exclusive,
    /// 406.
    Unequal(String),
    /// Anything else, already in the room's words.
    Other(TransportError),
}

/// Sorts an error of lapin.
pub(super) fn sort(broker: &str, error: &lapin::Error) -> Refusal {
    if let ErrorKind::ProtocolError(reply) = error.kind() {
        let text = reply.get_message().to_string();
        match reply.get_id() {
            NOT_FOUND => return Refusal::NotFound(text),
            ACCESS_REFUSED if text.contains("exclusive") => return Refusal::Exclusive,
            PRECONDITION_FAILED => return Refusal::Unequal(text),
            ACCESS_REFUSED | NOT_ALLOWED => return Refusal::Other(TransportError::Refused(text)),
            _ => {}
        }
    }
    Refusal::Other(TransportError::Away { broker: broker.to_owned(), cause: error.to_string() })
}

/// An error of lapin where no particular refusal is expected.
pub(super) fn plain(broker: &str, error: &lapin::Error) -> TransportError {
    match sort(broker, error) {
        Refusal::Other(error) => error,
        Refusal::NotFound(text) | Refusal::Unequal(text) => TransportError::Refused(text),
        Refusal::Exclusive => TransportError::Refused("it is in exclusive use".to_owned()),
    }
}

/// What the broker says when it closes one channel, and not the connection.
pub(super) fn about_channel(error: &lapin::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::ProtocolError(reply) if matches!(reply.kind(), AMQPErrorKind::Soft(_)) => {
            Some(reply.get_message().to_string())
        }
        _ => None,
    }
}

/// One connection as those see it who ask something over it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// The broker's name.
    pub(super) broker: Arc<str>,
    /// Cancelled when the connection is gone: lapin does not always tell those who wait.
    pub(super) gone: CancellationToken,
}

impl Line {
    /// Waits for an answer, within [`ANSWER_TIMEOUT`] and no longer than the connection lives.
    pub(super) async fn within<T>(&self, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|error| sort(&self.broker, &error)),
            () = self.gone.cancelled() => Err(Refusal::Other(self.ended())),
            () = tokio::time::sleep(ANSWER_TIMEOUT) => Err(Refusal::Other(TransportError::Slow(ANSWER_TIMEOUT))),
        }
    }

    /// What is said to who comes too late.
    pub(super) fn ended(&self) -> TransportError {
        TransportError::Away { broker: self.broker.to_string(), cause: "the session is over".to_owned() }
    }

    /// An error after which the connection or its publishing channel is gone, whatever it says.
    pub(super) fn away(&self, error: &lapin::Error) -> TransportError {
        TransportError::Away { broker: self.broker.to_string(), cause: error.to_string() }
    }
}

impl Refusal {
    /// For requests that may find no queue.
    pub(super) fn about_queue(self, queue: &str) -> TransportError {
        match self {
            // RabbitMQ answers 404 to both; a queue taken for gone because its node is would be done with, with all that is in it.
            Refusal::NotFound(text) if !text.contains("no queue") => {
                TransportError::QueueAway { queue: queue.to_owned(), why: text }
            }
            Refusal::NotFound(_) => TransportError::NoQueue(queue.to_owned()),
            Refusal::Exclusive => TransportError::Occupied(queue.to_owned()),
            Refusal::Unequal(text) => TransportError::Refused(text),
            Refusal::Other(error) => error,
        }
    }
}
