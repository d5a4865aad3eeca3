//! One consumer on its own channel, and the task that acknowledges for it.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Consumer as AmqpStream};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::compression::{self, COMPRESSION_HEADER};
use super::super::ledger::Ledger;
use super::super::{ConsumeOptions, Consumer, Delivery, TransportError, Why, prefetch_bound};
use super::fields::subscribe;
use super::reply::{self, ANSWER_TIMEOUT, Line};
use super::request::RequestChannel;
use crate::model::{Receipt, Verdict};

/// A settled run of this many messages is acknowledged at once; with a small prefetch, half of that.
const ACK_RUN_MESSAGES: usize = 64;
/// A shorter run is acknowledged after this.
const ACK_DELAY: Duration = Duration::from_millis(5);
/// What is settled behind a delivery that is held is acknowledged after this, tag by tag.
const SCATTERED_DELAY: Duration = Duration::from_secs(1);
/// The header in which a quorum queue counts how often a message came back.
const RETURNS_HEADER: &str = "x-delivery-count";

pub(super) struct AmqpConsumer {
    incoming: mpsc::Receiver<AmqpDelivery>,
    queue: Arc<str>,
    accounts: Arc<Accounts>,
    /// Cancelled when the channel is closed, whatever the reason.
    closed: CancellationToken,
    /// To cancel with: the line, the channel, and the consumer's tag.
    subscription: (Line, Channel, ShortString),
}

/// What the receipts, the consumer and the acknowledging task share.
struct Accounts {
    ledger: Mutex<Ledger>,
    /// Something is settled.
    settled: Notify,
    /// So much is settled that it goes now.
    full: Notify,
    run_max: usize,
    /// Nothing is handed out any more, and nothing settled counts.
    ending: CancellationToken,
    /// We have cancelled the consumer: the broker delivers nothing more, and everything else goes on.
    cancelled: AtomicBool,
    /// What the broker said when it ended the consumer.
    why: Why,
}

impl Accounts {
    fn with<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        // A panic elsewhere leaves the ledger whole.
        change(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The broker has ended the consumer.
    fn end(&self, why: String) {
        // The first word counts: what comes after it is its consequence.
        let _said_before = self.why.set(why);
        self.ending.cancel();
    }

    /// One delivery is done with. Never blocks.
    fn settle(&self, tag: u64, verdict: Verdict) {
        if self.ending.is_cancelled() {
            return;
        }
        if verdict == Verdict::Returned {
            // What is unsettled goes back in order when the channel closes; a nack would reorder it.
            self.ending.cancel();
            return;
        }
        match self.with(|ledger| (ledger.settled(tag), ledger.scattered())) {
            (Some(run), _) if run.messages >= self.run_max => self.full.notify_one(),
            // One that is settled behind an open delivery starts the clock after which it is acknowledged alone.
            (Some(_), _) | (None, 1) => self.settled.notify_one(),
            (None, _) => {}
        }
    }
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
        let prefetch = prefetch_bound(options.prefetch_messages);
        let accounts = Arc::new(Accounts {
            ledger: Mutex::new(Ledger::default()),
            settled: Notify::new(),
            full: Notify::new(),
            run_max: (prefetch / 2).clamp(1, ACK_RUN_MESSAGES),
            // A child: the session's end is this consumer's end.
            ending: session_over.child_token(),
            cancelled: AtomicBool::new(false),
            why: Why::default(),
        });
        let (deliveries, incoming) = mpsc::channel(prefetch);
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
        let consume = BasicConsumeOptions { exclusive: options.exclusive, ..BasicConsumeOptions::default() };
        let stream = subscribe(&line, &channel, queue, prefetch, consume, &options.arguments).await?;
        let closed = CancellationToken::new();
        let (tag, channel) = (stream.tag(), channel.answered());
        let subscription = (line.clone(), channel.clone(), tag);
        tasks.spawn(receive(stream, deliveries, accounts.clone(), closed.clone()));
        tasks.spawn(acknowledge(line, channel, accounts.clone(), closed.clone()));
        Ok(AmqpConsumer { incoming, queue: queue.into(), accounts, closed, subscription })
    }

    fn delivery(&self, delivery: AmqpDelivery) -> Delivery {
        let tag = delivery.delivery_tag;
        self.accounts.with(|ledger| ledger.delivered(tag));
        let accounts = self.accounts.clone();
        let receipt = Receipt::new(move |verdict| accounts.settle(tag, verdict));
        let headers = delivery.properties.headers().as_ref().map(strings).unwrap_or_default();
        let method = headers.get(COMPRESSION_HEADER).map(String::as_str);
        let body = Bytes::from(delivery.data);
        let raw = method.map(|_| body.clone());
        let (body, packed) = compression::unpack(method, body);
        Delivery {
            queue: self.queue.clone(),
            exchange: delivery.exchange.into(),
            routing_key: delivery.routing_key.into(),
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
        let (line, channel, tag) = &self.subscription;
        // It fails when the channel is gone, and with it the consumer.
        let _gone = line.within(channel.basic_cancel(tag.clone(), BasicCancelOptions { nowait: false })).await;
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        self.accounts.ending.cancel();
    }
}

/// Takes what the broker delivers, also while the listener is busy: the end of the consumer must not wait for it.
async fn receive(
    mut stream: AmqpStream,
    deliveries: mpsc::Sender<AmqpDelivery>,
    accounts: Arc<Accounts>,
    closed: CancellationToken,
) {
    loop {
        let instead = tokio::select! {
            biased;
            () = accounts.ending.cancelled() => break,
            instead = pass_on(&mut stream, &deliveries) => instead,
        };
        match instead {
            Some(error) => match reply::about_channel(&error) {
                Some(why) => accounts.end(why),
                // The connection is over, and the link says so once for all.
                None => accounts.ending.cancel(),
            },
            None if accounts.cancelled.load(Ordering::Relaxed) => break,
            None => accounts.end(
                "the broker cancelled the consumer: its queue was deleted, or the node that holds it is down"
                    .to_owned(),
            ),
        }
    }
    // A stream that is dropped before its channel is closed sends `basic.cancel`, which reorders.
    closed.cancelled().await;
}

/// Passes deliveries on until something else comes: an error, or nothing where the consumer is over. One future for many
/// deliveries: to watch for the end anew with each costs more than to pass it on.
async fn pass_on(stream: &mut AmqpStream, deliveries: &mpsc::Sender<AmqpDelivery>) -> Option<lapin::Error> {
    while let Some(next) = stream.next().await {
        match next {
            // There is room: the broker delivers no more than the prefetch. The receiver goes only when the consumer ends.
            Ok(delivery) => drop(deliveries.send(delivery).await),
            Err(error) => return Some(error),
        }
    }
    None
}

/// Acknowledges settled runs until the consumer ends; then sends what is settled and closes the channel, which gives back
/// everything else in order. Tags live and die with this channel.
async fn acknowledge(line: Line, channel: Channel, accounts: Arc<Accounts>, closed: CancellationToken) {
    let _closed = closed.drop_guard();
    let flush = async || {
        if let Some(run) = accounts.with(Ledger::take_run) {
            // It fails when the channel is gone, and with it every tag.
            let _sent = channel.basic_ack(run.last_tag, BasicAckOptions { multiple: true }).await;
        }
    };
    let flush_all = async || {
        flush().await;
        for tag in accounts.with(Ledger::take_scattered) {
            let _sent = channel.basic_ack(tag, BasicAckOptions { multiple: false }).await;
        }
    };
    let mut scattered_since = None;
    loop {
        tokio::select! {
            biased;
            () = accounts.ending.cancelled() => break,
            () = accounts.full.notified() => {}
            () = long_enough(scattered_since) => {}
            () = accounts.settled.notified() => tokio::select! {
                biased;
                () = accounts.ending.cancelled() => break,
                () = accounts.full.notified() => {}
                () = tokio::time::sleep(ACK_DELAY) => {}
            },
        }
        if scattered_since.is_some_and(|since: Instant| since.elapsed() >= SCATTERED_DELAY) {
            flush_all().await;
        } else {
            flush().await;
        }
        scattered_since = match accounts.with(|ledger| ledger.scattered()) {
            0 => None,
            _ => scattered_since.filter(|since| since.elapsed() < SCATTERED_DELAY).or_else(|| Some(Instant::now())),
        };
    }
    if line.gone.is_cancelled() {
        return;
    }
    flush_all().await;
    let _closed_in_order = line.within(channel.close(200, "OK".into())).await;
}

/// Waits until what is settled behind an open delivery has waited long enough; for ever where there is nothing.
async fn long_enough(since: Option<Instant>) {
    match since {
        Some(since) => tokio::time::sleep_until(since + SCATTERED_DELAY).await,
        None => std::future::pending().await,
    }
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
