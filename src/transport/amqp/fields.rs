//! What is said to a broker in the terms of AMQP: names, arguments, the beginning of a consumer.

use futures_util::future::try_join;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Consumer as Consumed};
use std::collections::BTreeMap;

use super::super::{Argument, Subscription, TransportError};
use super::reply::{Line, Refusal};

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

/// Declares the queue of a subscription, and binds it.
pub(super) async fn declare_own(
    line: &Line,
    channel: &Channel,
    subscription: &Subscription,
) -> Result<(), TransportError> {
    let Subscription { queue, exchange, routing_key, .. } = subscription;
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let declared = line.within(channel.queue_declare(short(queue)?, options, table(&subscription.arguments()))).await;
    declared.map_err(|refusal| refusal.about_queue(queue))?;
    let (key, options, none) = (short(routing_key)?, QueueBindOptions::default(), FieldTable::default());
    let bound = line.within(channel.queue_bind(short(queue)?, short(exchange)?, key, options, none)).await;
    bound.map_err(Refusal::plain)
}
