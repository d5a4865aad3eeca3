//! What lapin and the broker say when they do not do something, in our words.

use lapin::ErrorKind;
use std::future::Future;
use std::time::Duration;

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

/// Waits for an answer, within [`ANSWER_TIMEOUT`].
pub(super) async fn within<T>(
    broker: &str,
    answer: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, Refusal> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(sort(broker, &error)),
        Err(_) => Err(Refusal::Other(TransportError::Slow(ANSWER_TIMEOUT))),
    }
}

impl Refusal {
    /// For requests that may find no queue.
    pub(super) fn about_queue(self, queue: &str) -> TransportError {
        match self {
            Refusal::NotFound(_) => TransportError::NoQueue(queue.to_owned()),
            Refusal::Exclusive => TransportError::Occupied(queue.to_owned()),
            Refusal::Unequal(text) => TransportError::Refused(text),
            Refusal::Other(error) => error,
        }
    }
}
