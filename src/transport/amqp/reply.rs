//! Turns the errors of lapin and the replies of the broker into [`TransportError`].

use lapin::ErrorKind;
use lapin::protocol::AMQPErrorKind;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::super::{TransportError, Why, shell};

/// The longest wait for the answer to one request.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Reply codes of AMQP 0-9-1 that mean something to us.
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const RESOURCE_LOCKED: u16 = 405;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;
const INTERNAL_ERROR: u16 = 541;

/// The deprecated feature of RabbitMQ that are queues neither durable nor exclusive.
const TRANSIENT_QUEUES: &str = "transient_nonexcl_queues";

/// `EMFILE` and `ENFILE`: this process, or the machine, has no descriptor left.
const OUT_OF_DESCRIPTORS: [i32; 2] = [24, 23];

/// What became of one request.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 404.
    NotFound(String),
    /// 403 with "exclusive use", or 405.
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
            RESOURCE_LOCKED => return Refusal::Exclusive,
            ACCESS_REFUSED if text.contains("exclusive") => return Refusal::Exclusive,
            PRECONDITION_FAILED => return Refusal::Unequal(text),
            ACCESS_REFUSED | NOT_ALLOWED => {
                return Refusal::Other(TransportError::Refused(format!("{broker}: {}", about_right(&text))));
            }
            INTERNAL_ERROR => {
                if let Some(why) = about_deprecated(&text) {
                    return Refusal::Other(TransportError::Refused(format!("{broker}: {why}")));
                }
            }
            _ => {}
        }
    }
    Refusal::Other(match error.kind() {
        ErrorKind::IOError(cause) => system(broker, cause),
        _ => TransportError::Away { broker: broker.to_owned(), cause: error.to_string() },
    })
}

/// What the system says: no session, and what to do where the fault is on this machine.
pub(super) fn system(broker: &str, error: &io::Error) -> TransportError {
    let cause = match error.raw_os_error() {
        Some(code) if OUT_OF_DESCRIPTORS.contains(&code) => {
            format!("{error}; raise the limit of open files of this process (LimitNOFILE= of its unit, ulimit -n)")
        }
        _ => error.to_string(),
    };
    TransportError::Away { broker: broker.to_owned(), cause }
}

/// What the refusal of a login means; `None` if it is none.
pub(super) fn about_login(code: u16, text: &str, user: &str, vhost: &str) -> Option<String> {
    match code {
        ACCESS_REFUSED if text.contains("EXTERNAL") => Some(format!(
            "the broker knows no user of the client certificate's name ({text}); make one (rabbitmqctl add_user), or set \
             [oslo_messaging_rabbit] rabbit_login_method"
        )),
        ACCESS_REFUSED => Some(format!(
            "user {user} may not log in: wrong user or password ({text}); correct user:password in transport_url (guest logs \
             in on the broker's own machine only)"
        )),
        NOT_ALLOWED if text.contains("not found") => Some(format!(
            "there is no virtual host {vhost} ({text}); make it (rabbitmqctl add_vhost {}), or correct the end of \
             transport_url",
            shell::word(vhost)
        )),
        NOT_ALLOWED if text.contains("access to vhost") && !text.contains("limit") => {
            Some(format!("user {user} may not use the virtual host {vhost} ({text}); let it: {}", permit(vhost, user)))
        }
        _ => None,
    }
}

/// The refusal of a request, with what to do where a right is missing.
fn about_right(text: &str) -> String {
    match (quoted(text, "vhost '"), quoted(text, "user '")) {
        (Some(vhost), Some(user)) => {
            format!("the user has no right to do that ({text}); let it: {}", permit(vhost, user))
        }
        _ => text.to_owned(),
    }
}

/// What an internal error means that RabbitMQ 4 says where it denies something deprecated; `None` if it is another one.
fn about_deprecated(text: &str) -> Option<String> {
    let feature = text.split_once('`').filter(|_| text.contains("is deprecated"))?.1.split('`').next()?;
    Some(match feature {
        TRANSIENT_QUEUES => "the broker denies queues that are not durable; set [oslo_messaging_rabbit] \
                             amqp_durable_queues or rabbit_quorum_queue, as all services of the cloud have it"
            .to_owned(),
        feature => format!(
            "the broker denies the deprecated feature {feature}; let it: deprecated_features.permit.{feature} = true in \
             rabbitmq.conf"
        ),
    })
}

/// The command that gives a user every right in a virtual host.
fn permit(vhost: &str, user: &str) -> String {
    format!("rabbitmqctl set_permissions -p {} {} '.*' '.*' '.*'", shell::word(vhost), shell::word(user))
}

/// What stands between `before` and the next quote.
fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once('\'').map(|(inside, _)| inside)
}

/// An error of lapin where no particular refusal is expected.
pub(super) fn plain(broker: &str, error: &lapin::Error) -> TransportError {
    sort(broker, error).plain()
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

/// What the broker says when it closes a publishing channel because of one message, and whether that is too large for it.
/// `None` where it is about something else: the connection, or an exchange that is gone.
pub(super) fn about_message(error: &lapin::Error) -> Option<(String, bool)> {
    let ErrorKind::ProtocolError(reply) = error.kind() else { return None };
    if reply.get_id() == NOT_FOUND || !matches!(reply.kind(), AMQPErrorKind::Soft(_)) {
        return None;
    }
    let text = reply.get_message().to_string();
    if text.contains("larger than") {
        return Some((format!("{text}; raise max_message_size in rabbitmq.conf"), true));
    }
    Some((about_right(&text), false))
}

/// What an error says of the end of a connection or channel, in the broker's or the system's own words; `None` where it only
/// says that there was an end.
fn words(error: &lapin::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::ProtocolError(reply) => Some(reply.get_message().to_string()),
        ErrorKind::IOError(cause) | ErrorKind::RuntimeShutdownError(cause) => Some(cause.to_string()),
        ErrorKind::MissingHeartbeatError | ErrorKind::ParsingError(_) | ErrorKind::SerialisationError(_) => {
            Some(error.to_string())
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
    /// Why the broker ended the connection, where a person must act.
    pub(super) refused: Arc<OnceLock<String>>,
    /// Why the connection is over.
    pub(super) why: Why,
    /// Whether the broker has denied queues that are not durable: known to all connections to it.
    pub(super) transient_denied: Arc<AtomicBool>,
    /// Declarations under way of queues that are configured as durable and now tried otherwise.
    pub(super) falling_back: Arc<AtomicUsize>,
}

impl Line {
    /// Waits for an answer, within [`ANSWER_TIMEOUT`] and no longer than the connection lives.
    pub(super) async fn within<T>(&self, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|error| self.sort(&error)),
            () = self.gone.cancelled() => Err(Refusal::Other(self.ended())),
            () = tokio::time::sleep(ANSWER_TIMEOUT) => Err(Refusal::Other(TransportError::Slow(ANSWER_TIMEOUT))),
        }
    }

    /// Remembers an error that ends the connection, whoever hears of it first.
    pub(super) fn note(&self, error: &lapin::Error) {
        let _sorted = self.sort(error);
    }

    /// Sorts an error, and remembers one that ends the connection.
    fn sort(&self, error: &lapin::Error) -> Refusal {
        if self.denies_fallback(error) {
            // What the operator has written is still to be tried: at the next connection, and no person must act.
            self.transient_denied.store(true, Ordering::Relaxed);
            self.ended_by(error);
            return Refusal::Other(self.ended());
        }
        let refusal = sort(&self.broker, error);
        if about_channel(error).is_none() {
            if let Refusal::Other(TransportError::Refused(why)) = &refusal {
                // The first word counts.
                let _said_before = self.refused.set(why.clone());
            }
            self.ended_by(error);
        }
        refusal
    }

    /// Whether the broker denies queues that are not durable while one that is configured as durable is tried so.
    fn denies_fallback(&self, error: &lapin::Error) -> bool {
        let ErrorKind::ProtocolError(reply) = error.kind() else { return false };
        reply.get_id() == INTERNAL_ERROR
            && reply.get_message().as_str().contains(TRANSIENT_QUEUES)
            && (self.falling_back.load(Ordering::Relaxed) > 0 || self.transient_denied.load(Ordering::Relaxed))
    }

    /// Waits for the answer to a declaration of a queue; `falls_back` where it is configured as durable and tried otherwise.
    pub(super) async fn declared<T>(
        &self,
        falls_back: bool,
        answer: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Refusal> {
        if !falls_back {
            return self.within(answer).await;
        }
        self.falling_back.fetch_add(1, Ordering::Relaxed);
        let answer = self.within(answer).await;
        self.falling_back.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    /// Remembers what ends the session; the first word counts.
    fn ended_by(&self, error: &lapin::Error) {
        if let Some(words) = words(error) {
            let _said_before = self.why.set(words);
        }
    }

    /// What is said to who comes too late.
    pub(super) fn ended(&self) -> TransportError {
        if let Some(why) = self.refused.get() {
            return TransportError::Refused(why.clone());
        }
        let cause = match self.why.get() {
            Some(why) => format!("the session is over: {why}"),
            None => "the session is over".to_owned(),
        };
        TransportError::Away { broker: self.broker.to_string(), cause }
    }

    /// An error after which the connection or its publishing channel is gone, and so the session; refused where a right is
    /// missing.
    pub(super) fn away(&self, error: &lapin::Error) -> TransportError {
        self.ended_by(error);
        match self.sort(error) {
            Refusal::Other(error) => error,
            _ => TransportError::Away { broker: self.broker.to_string(), cause: error.to_string() },
        }
    }
}

impl Refusal {
    /// For requests that are about no queue.
    pub(super) fn plain(self) -> TransportError {
        match self {
            Refusal::Other(error) => error,
            Refusal::NotFound(text) | Refusal::Unequal(text) => TransportError::Refused(text),
            Refusal::Exclusive => TransportError::Refused("it is in exclusive use".to_owned()),
        }
    }

    /// For requests that may find no queue.
    pub(super) fn about_queue(self, queue: &str) -> TransportError {
        match self {
            // RabbitMQ 4 looks for a classic queue on a node that was killed for a minute before it says so.
            Refusal::Other(TransportError::Slow(within)) => TransportError::QueueAway {
                queue: queue.to_owned(),
                why: format!("no answer within {within:?}; the node that holds it may be down"),
            },
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
