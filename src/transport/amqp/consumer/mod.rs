//! One consumer on its own channel: what it takes from there, and what becomes of its deliveries (`accounts`, `acknowledge`).

mod accounts;
mod acknowledge;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use lapin::Consumer as AmqpStream;
use lapin::message::Delivery as AmqpDelivery;
use lapin::types::{AMQPValue, FieldTable};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::accounts::Accounts;
use self::acknowledge::{Subscription, acknowledge};
use super::super::compression::{self, COMPRESSION_HEADER};
use super::super::window::Window;
use super::super::{ConsumeOptions, Consumer, Delivery, TransportError, Why, prefetch_bound};
use super::fields::subscribe;
use super::reply::{self, ANSWER_TIMEOUT, Line};
use super::request::RequestChannel;
use crate::model::Receipt;

/// The header in which a quorum queue counts how often a message came back.
const RETURNS_HEADER: &str = "x-delivery-count";

pub(super) struct AmqpConsumer {
    incoming: mpsc::Receiver<AmqpDelivery>,
    queue: Arc<str>,
    accounts: Arc<Accounts>,
    /// Cancelled when the channel is closed, whatever the reason.
    closed: CancellationToken,
    subscription: Arc<Subscription>,
}

impl AmqpConsumer {
    pub(super) async fn begin(
        line: Line,
        channel: RequestChannel,
        queue: &str,
        options: &ConsumeOptions,
        session_over: CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Self, TransportError> {
        let messages_max = prefetch_bound(options.prefetch_messages);
        let window = Window::new(messages_max, options.prefetch_bytes);
        let messages = window.messages();
        // A child: the session's end is this consumer's end.
        let accounts = Arc::new(Accounts::new(window, session_over.child_token()));
        let (deliveries, incoming) = mpsc::channel(usize::from(messages_max));
        let stream = subscribe(&line, &channel, queue, messages, options).await?;
        let (closed, queue): (_, Arc<str>) = (CancellationToken::new(), queue.into());
        let (channel, options, tag) = (channel.answered(), options.clone(), Mutex::new(stream.tag()));
        let subscription = Arc::new(Subscription { line, channel, queue: Arc::clone(&queue), options, tag });
        let (successor, successors) = mpsc::channel(1);
        tasks.spawn(receive((stream, successors), deliveries, accounts.clone(), closed.clone()));
        tasks.spawn(acknowledge(Arc::clone(&subscription), accounts.clone(), successor, closed.clone()));
        Ok(AmqpConsumer { incoming, queue, accounts, closed, subscription })
    }

    fn delivery(&self, delivery: AmqpDelivery) -> Delivery {
        let tag = delivery.delivery_tag;
        self.accounts.with(|books| {
            books.ledger.delivered(tag);
            books.window.came(delivery.data.len());
        });
        let accounts = self.accounts.clone();
        let receipt = Receipt::new(move |verdict| accounts.settle(tag, verdict));
        let headers = delivery.properties.headers().as_ref().map(strings).unwrap_or_default();
        let method = headers.get(COMPRESSION_HEADER).map(String::as_str);
        let raw = Bytes::from(delivery.data);
        let (body, packed) = compression::unpack(method, raw.clone());
        Delivery {
            queue: self.queue.clone(),
            body,
            raw,
            packed,
            content_type: delivery.properties.content_type().as_ref().map(ToString::to_string),
            headers,
            redelivered: delivery.redelivered,
            returns: delivery.properties.headers().as_ref().map(returns).unwrap_or_default(),
            receipt,
        }
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        // What is buffered is not ours any more once the consumer is over.
        let delivery = tokio::select! {
            biased;
            () = self.accounts.ending.cancelled() => None,
            delivery = self.incoming.recv() => delivery,
        };
        delivery.map(|delivery| self.delivery(delivery))
    }

    fn ready(&mut self) -> Option<Delivery> {
        if self.accounts.ending.is_cancelled() {
            return None;
        }
        let delivery = self.incoming.try_recv().ok()?;
        Some(self.delivery(delivery))
    }

    fn over(&self) -> CancellationToken {
        self.accounts.ending.clone()
    }

    fn why(&self) -> Why {
        Arc::clone(&self.accounts.why)
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        self.accounts.ending.cancel();
        let closed = tokio::time::timeout(ANSWER_TIMEOUT, self.closed.cancelled()).await;
        closed.map_err(|_| TransportError::Slow(ANSWER_TIMEOUT))
    }

    async fn cancel(&mut self) {
        self.accounts.cancelled.store(true, Ordering::Relaxed);
        self.subscription.cancel().await;
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        self.accounts.ending.cancel();
    }
}

/// Takes what the broker delivers, also while the listener is busy: the end of the consumer must not wait for it.
async fn receive(
    (mut stream, mut successors): (AmqpStream, mpsc::Receiver<AmqpStream>),
    deliveries: mpsc::Sender<AmqpDelivery>,
    accounts: Arc<Accounts>,
    closed: CancellationToken,
) {
    loop {
        let item = tokio::select! {
            biased;
            () = accounts.ending.cancelled() => break,
            item = stream.next() => item,
        };
        // Looked at first: once it is no more, the successor is here.
        let changing = accounts.changing.load(Ordering::Acquire);
        match item {
            // There is room: the broker delivers no more than the prefetch. The receiver goes only when the consumer ends.
            Some(Ok(delivery)) => drop(deliveries.send(delivery).await),
            Some(Err(error)) => match reply::about_channel(&error) {
                Some(why) => accounts.end(why),
                // The connection is over, and the link says so once for all.
                None => accounts.ending.cancel(),
            },
            None if accounts.cancelled.load(Ordering::Relaxed) => break,
            None => match successors.try_recv() {
                Ok(successor) => stream = successor,
                Err(_) if changing => match accounts.ending.run_until_cancelled(successors.recv()).await {
                    Some(Some(successor)) => stream = successor,
                    _ => break,
                },
                Err(_) => accounts.end(
                    "the broker cancelled the consumer: its queue was deleted, or the node that holds it is down"
                        .to_owned(),
                ),
            },
        }
    }
    // A stream that is dropped before its channel is closed sends `basic.cancel`, which reorders.
    closed.cancelled().await;
}

/// The headers that are strings.
fn strings(table: &FieldTable) -> BTreeMap<String, String> {
    let text = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    };
    table.inner().iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
}

/// How often a message came back, if the broker counts.
fn returns(table: &FieldTable) -> u32 {
    let count = match table.inner().get(RETURNS_HEADER) {
        Some(AMQPValue::LongLongInt(count)) => u32::try_from(*count).ok(),
        Some(AMQPValue::LongInt(count)) => u32::try_from(*count).ok(),
        Some(AMQPValue::LongUInt(count)) => Some(*count),
        _ => None,
    };
    count.unwrap_or_default()
}
