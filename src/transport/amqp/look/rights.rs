//! Asks a broker for rights by requests that it answers with "refused" where a right is missing, and that change nothing where
//! none is: RabbitMQ looks at the rights first.
//!
//! - **Read a queue**: to consume it with an argument of a wrong type (`x-priority` as a text). RabbitMQ refuses the argument
//!   (406) before there is a consumer, or says that there is no such queue (404).
//! - **Write a queue, read an exchange**: to remove a binding whose key was never bound. There is nothing to remove.
//!
//! No request asks for the right to configure: each that needs it could make or delete something.

use futures_util::future::join_all;
use lapin::options::BasicConsumeOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind};

use super::super::dial;
use super::super::fields::short;
use super::super::options::{AmqpHost, AmqpOptions};
use super::super::reply::{self, ANSWER_TIMEOUT};
use crate::transport::TransportError;

/// Channels that are open at once for asking.
const ASKED_AT_ONCE: usize = 16;
/// AMQP's code for a right that is missing.
const ACCESS_REFUSED: u16 = 403;

/// A host, with how it is connected to.
pub(in crate::transport::amqp) type HostAsked<'h> = (&'h AmqpOptions, &'h AmqpHost);

/// What a user wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Consume a queue: it needs the right to read it.
    Consume {
        /// The queue, which need not be there.
        queue: String,
    },
    /// Bind a queue to an exchange: it needs the right to write the queue, and the right to read the exchange.
    Bind {
        /// The queue, which need not be there.
        queue: String,
        /// The exchange, which need not be there.
        exchange: String,
    },
}

/// A right that is missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// `read` or `write`.
    pub right: &'static str,
    /// `queue` or `exchange`.
    pub on: &'static str,
    /// The name of the queue or exchange.
    pub name: String,
    /// What the broker said.
    pub said: String,
}

/// Asks for everything over one connection; the rights that are missing, each once.
pub(in crate::transport::amqp) async fn denied(
    (options, host): HostAsked<'_>,
    asks: &[Ask],
) -> Result<Vec<Denied>, TransportError> {
    let (connection, wire) = dial::dial(options, host).await?;
    // A key that nobody has bound.
    let key = format!("nephoscope-doctor-{}", uuid::Uuid::new_v4());
    let mut all = Vec::new();
    for some in asks.chunks(ASKED_AT_ONCE) {
        for answer in join_all(some.iter().map(|ask| answer(&connection, ask, &key))).await {
            all.extend(answer?);
        }
    }
    let _closed = tokio::time::timeout(ANSWER_TIMEOUT, connection.close(200, "OK".into())).await;
    wire.cut();
    all.sort();
    all.dedup_by(|one, other| (one.right, one.on, &one.name) == (other.right, other.on, &other.name));
    Ok(all)
}

/// The right that is missing for one wish.
async fn answer(connection: &Connection, ask: &Ask, key: &str) -> Result<Option<Denied>, TransportError> {
    let asked = async {
        let channel = connection.create_channel().await?;
        let answer = request(&channel, ask, key).await;
        if channel.status().connected() {
            let _closed = channel.close(200, "OK".into()).await;
        }
        answer
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
    let Err(error) = answer.map_err(|_| TransportError::Slow(ANSWER_TIMEOUT))? else { return Ok(None) };
    let ErrorKind::ProtocolError(said) = error.kind() else { return Err(reply::plain("of these rights", &error)) };
    Ok((said.get_id() == ACCESS_REFUSED).then(|| of(ask, said.get_message().as_str())).flatten())
}

async fn request(channel: &Channel, ask: &Ask, key: &str) -> lapin::Result<()> {
    // A name that is too long for AMQP is nobody's; the configuration complains of it.
    match ask {
        Ask::Consume { queue } => {
            let Ok(queue) = short(queue) else { return Ok(()) };
            let mut arguments = FieldTable::default();
            arguments.insert("x-priority".into(), AMQPValue::LongString("nobody's".into()));
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue, "".into(), options, arguments).await.map(drop)
        }
        Ask::Bind { queue, exchange } => {
            let (Ok(queue), Ok(exchange), Ok(key)) = (short(queue), short(exchange), short(key)) else { return Ok(()) };
            channel.queue_unbind(queue, exchange, key, FieldTable::default()).await
        }
    }
}

/// The right that a refusal is about: `… access to queue 'q' in vhost …`, `… access to exchange 'e' in vhost …`. Another refusal
/// (a queue in exclusive use has a code of its own, but RabbitMQ 3.10 says 403 there too) is about no right.
fn of(ask: &Ask, said: &str) -> Option<Denied> {
    if !said.contains("access to") {
        return None;
    }
    let (right, on, name) = match ask {
        Ask::Consume { queue } => ("read", "queue", queue),
        Ask::Bind { exchange, .. } if said.contains("exchange '") => ("read", "exchange", exchange),
        Ask::Bind { queue, .. } => ("write", "queue", queue),
    };
    Some(Denied { right, on, name: name.clone(), said: said.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_which_right_is_missing() {
        let bind = Ask::Bind { queue: "q".to_owned(), exchange: "e".to_owned() };
        let said = |said: &str| of(&bind, said).map(|denied| (denied.right, denied.on, denied.name));
        let write = said("ACCESS_REFUSED - write access to queue 'q' in vhost '/' refused for user 'u'");
        assert_eq!(write, Some(("write", "queue", "q".to_owned())));
        let read = said("ACCESS_REFUSED - access to exchange 'e' in vhost '/' refused for user 'u'");
        assert_eq!(read, Some(("read", "exchange", "e".to_owned())));
        assert_eq!(said("ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"), None);
    }
}
