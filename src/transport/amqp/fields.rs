//! What is said to a broker in the terms of AMQP: names, arguments, the beginning of a consumer.

use futures_util::future::try_join;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Consumer as Consumed};
use std::collections::BTreeMap;

use super::super::{Argument, TransportError};
use super::reply::Line;

/// A name on the wire: 255 bytes at most.
pub(super) fn short(name: &str) -> Result<ShortString, TransportError> {
    if name.len() > usize::from(u8::MAX) {
        return Err(TransportError::Refused(format!("{name:?} is longer than the 255 bytes AMQP has for a name")));
    }
    Ok(name.into())
}

/// Arguments as RabbitMQ wants them.
pub(super) fn table(arguments: &BTreeMap<String, Argument>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Argument::Integer(number) => AMQPValue::LongLongInt(*number),
            Argument::Bool(flag) => AMQPValue::Boolean(*flag),
        };
        table.insert(name.as_str().into(), value);
    }
    table
}

/// Starts a consumer that holds so many deliveries at most.
pub(super) async fn subscribe(
    line: &Line,
    channel: &Channel,
    queue: &str,
    prefetch: u16,
    options: BasicConsumeOptions,
    arguments: &BTreeMap<String, Argument>,
) -> Result<Consumed, TransportError> {
    // Both at once, in this order: one way there and back less. global: false, for this consumer alone: RabbitMQ 4 has no
    // other.
    let begin = try_join(
        channel.basic_qos(prefetch, BasicQosOptions { global: false }),
        channel.basic_consume(short(queue)?, "".into(), options, table(arguments)),
    );
    let begun = line.within(begin).await.map_err(|refusal| refusal.about_queue(queue));
    begun.map(|((), consumed)| consumed)
}
