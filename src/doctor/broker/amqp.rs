//! What AMQP tells with the agent's own login: whether the hosts answer, the version, queues, rights, alarms.
//!
//! Never here: a declaration that is not passive.

use bytes::Bytes;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

use super::queues::names;
use super::rights::denied;
use super::{Seen, Subject};
use crate::agent::wiring;
use crate::config::broker::host::Host;
use crate::doctor::finding::Finding;
use crate::doctor::kinds;
use crate::doctor::needs::Role;
use crate::transport::{AmqpBroker, Broker, Denied, Outgoing, Session, TransportError};

/// How long a broker may take for everything.
const LOOK_WITHIN: Duration = Duration::from_secs(45);
/// How long a broker may take to say what becomes of one message; one with an alarm says nothing.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// How long after a message a broker with an alarm says so.
const ALARM_WAIT: Duration = Duration::from_millis(300);

/// A host that answers.
pub(super) struct Reached {
    pub host: Host,
    broker: AmqpBroker,
    session: Arc<dyn Session>,
}

/// Tries every host; the first that answers. What the others say is a finding each.
pub(super) async fn reach(subject: &Subject<'_>, findings: &mut Vec<Finding>) -> Option<Reached> {
    let attempts = subject.url.hosts.iter().map(async |host| {
        let mut alone = subject.url.clone();
        alone.hosts = vec![host.clone()];
        let broker = wiring::broker(&alone);
        let session = broker.connect().await;
        (host, broker, session)
    });
    let (mut reached, mut away) = (None, Vec::new());
    for (host, broker, session) in join_all(attempts).await {
        match session {
            Ok(session) if reached.is_none() => reached = Some(Reached { host: host.clone(), broker, session }),
            Ok(session) => session.close().await,
            Err(TransportError::Refused(why)) => {
                findings.push(Finding::new(&kinds::RABBITMQ_REFUSED, host.to_string(), why));
            }
            Err(error) => away.push((host.to_string(), error.to_string())),
        }
    }
    let is_refused = findings.iter().any(|finding| finding.id == kinds::RABBITMQ_REFUSED.id);
    let kind =
        if reached.is_some() || is_refused { &kinds::RABBITMQ_HOST_UNREACHABLE } else { &kinds::RABBITMQ_UNREACHABLE };
    findings.extend(away.into_iter().map(|(host, why)| Finding::new(kind, host, why)));
    reached
}

/// Looks at the queues, asks for rights, and ends the connection.
pub(super) async fn look(subject: &Subject<'_>, reached: &Reached, findings: &mut Vec<Finding>) -> Seen {
    let mut seen = Seen { version: reached.broker.version().await, ..Seen::default() };
    let asked = timeout(LOOK_WITHIN, ask(subject, reached, &mut seen, findings)).await;
    if asked.is_err() {
        let found = format!("it did not answer everything within {LOOK_WITHIN:?}");
        findings.push(Finding::new(&kinds::RABBITMQ_UNREACHABLE, reached.host.to_string(), found));
    }
    // A broker with an alarm reads nothing more of this connection, so it would not answer to an orderly end either.
    let session = &reached.session;
    if asked.is_err() || session.blocked().borrow().is_some() {
        session.cut();
    } else {
        session.close().await;
    }
    seen
}

async fn ask(subject: &Subject<'_>, reached: &Reached, seen: &mut Seen, findings: &mut Vec<Finding>) {
    let Reached { broker, session, host } = reached;
    let mut missing = Vec::new();
    for need in &subject.needs.queues {
        let name = &need.queue.name;
        match session.inspect(name).await {
            Ok(state) => drop(seen.states.insert(name.clone(), state)),
            Err(TransportError::NoQueue(_)) if need.role == Role::Main => missing.push(name.clone()),
            Err(TransportError::QueueAway { why, .. }) => {
                findings.push(Finding::new(&kinds::QUEUE_AWAY, name, why));
            }
            Err(_) => {}
        }
    }
    if !missing.is_empty() {
        findings.push(Finding::new(&kinds::QUEUE_MISSING, names(&missing), "not there"));
    }
    match rights(subject, broker).await {
        Ok(denied) => findings.extend(of_rights(subject, &denied)),
        Err(error) => findings.push(Finding::new(&kinds::RABBITMQ_REFUSED, host.to_string(), error.to_string())),
    }
    findings.extend(may_publish(subject, &**session).await);
}

/// The rights to read and write that are missing.
async fn rights(subject: &Subject<'_>, broker: &AmqpBroker) -> Result<Vec<Denied>, TransportError> {
    let mut denied = broker.denied(&subject.needs.asks()).await?;
    denied.extend(broker.denied(&subject.needs.exchange_asks(&denied)).await?);
    denied.sort();
    denied.dedup();
    Ok(denied)
}

/// One finding for each right on queues or on exchanges.
fn of_rights(subject: &Subject<'_>, all: &[Denied]) -> Vec<Finding> {
    let alike = all.chunk_by(|one, other| (one.right, one.on) == (other.right, other.on));
    let finding = |some: &[Denied]| {
        let first = some.first()?;
        let names = some.iter().map(|right| right.name.as_str()).collect::<Vec<_>>().join(", ");
        let object = format!("{} {} {names}", first.right, first.on);
        Some(denied(&object, &first.said, subject.user(), &subject.url.vhost))
    };
    alike.filter_map(finding).collect()
}

/// Sends a message that no queue can take to the default exchange: RabbitMQ returns it, or says that the user may not write there,
/// or that it has an alarm.
async fn may_publish(subject: &Subject<'_>, session: &dyn Session) -> Option<Finding> {
    let nowhere = format!("nephoscope-doctor-{}", uuid::Uuid::new_v4());
    let message = Outgoing::to_queue(&nowhere, Bytes::new(), "text/plain").alone();
    let answer = timeout(ANSWER_WAIT, async { session.publish(message).await?.wait().await }).await;
    let mut blocked = session.blocked();
    // Dropped at once: what it gives holds the value.
    drop(timeout(ALARM_WAIT, blocked.wait_for(Option::is_some)).await);
    if let Some(reason) = blocked.borrow().clone() {
        return Some(Finding::new(&kinds::RABBITMQ_ALARM, subject.url.to_string(), reason));
    }
    match answer {
        Ok(Err(TransportError::Rejected { why, .. } | TransportError::Refused(why))) => {
            Some(denied("write exchange amq.default", &why, subject.user(), &subject.url.vhost))
        }
        _ => None,
    }
}
