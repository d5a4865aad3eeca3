//! One consumer on its own channel, and the task that acknowledges for it.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as AmqpDelivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer as AmqpStream};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::compression::{self, COMPRESSION_HEADER};
use super::super::ledger::Ledger;
use super::super::{ConsumeOptions, Consumer, Delivery, TransportError, prefetch_bound};
use super::reply::{ANSWER_TIMEOUT, Line};
use super::session::subscribe;
use crate::model::{Receipt, Verdict};

/// A settled run of this many messages is acknowledged at once; with a small prefetch, half of that.
const ACK_RUN_MESSAGES: usize = 64;
/// A shorter run is acknowledged after this.
const ACK_DELAY: Duration = Duration::from_millis(5);

pub(super) struct AmqpConsumer {
    stream: AmqpStream,
    queue: Arc<str>,
    accounts: Arc<Accounts>,
    /// Cancelled when the channel is closed, whatever the reason.
    closed: CancellationToken,
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
}

impl Accounts {
    fn with<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        // A panic elsewhere leaves the ledger whole.
        change(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
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
        match self.with(|ledger| ledger.settled(tag)) {
            Some(run) if run.messages >= self.run_max => self.full.notify_one(),
            Some(_) => self.settled.notify_one(),
            None => {}
        }
    }
}

impl AmqpConsumer {
    pub(super) async fn begin(
        line: Line,
        channel: Channel,
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
        });
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
        let consume = BasicConsumeOptions { exclusive: options.exclusive, ..BasicConsumeOptions::default() };
        let stream = subscribe(&line, &channel, queue, prefetch, consume, &options.arguments).await?;
        let closed = CancellationToken::new();
        tasks.spawn(acknowledge(line, channel, accounts.clone(), closed.clone()));
        Ok(AmqpConsumer { stream, queue: queue.into(), accounts, closed })
    }

    /// What came off lapin's stream: a delivery, or the end, in which case the channel closes too.
    fn taken(&self, item: Option<lapin::Result<AmqpDelivery>>) -> Option<Delivery> {
        match item {
            // Buffered deliveries come out before the bad news does: they are not ours any more.
            Some(Ok(delivery)) if !self.accounts.ending.is_cancelled() => Some(self.delivery(delivery)),
            _ => {
                self.accounts.ending.cancel();
                None
            }
        }
    }

    fn delivery(&self, delivery: AmqpDelivery) -> Delivery {
        let tag = delivery.delivery_tag;
        self.accounts.with(|ledger| ledger.delivered(tag));
        let accounts = self.accounts.clone();
        let receipt = Receipt::new(move |verdict| accounts.settle(tag, verdict));
        let headers = delivery.properties.headers().as_ref().map(strings).unwrap_or_default();
        let method = headers.get(COMPRESSION_HEADER).map(String::as_str);
        let (body, packed) = compression::unpack(method, Bytes::from(delivery.data));
        Delivery {
            queue: self.queue.clone(),
            body,
            packed,
            content_type: delivery.properties.content_type().as_ref().map(ToString::to_string),
            headers,
            redelivered: delivery.redelivered,
            receipt,
        }
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let item = tokio::select! {
            biased;
            () = self.accounts.ending.cancelled() => None,
            item = self.stream.next() => item,
        };
        self.taken(item)
    }

    fn ready(&mut self) -> Option<Delivery> {
        if self.accounts.ending.is_cancelled() {
            return None;
        }
        let item = self.stream.next().now_or_never()?;
        self.taken(item)
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        self.accounts.ending.cancel();
        let closed = tokio::time::timeout(ANSWER_TIMEOUT, self.closed.cancelled()).await;
        closed.map_err(|_| TransportError::Slow(ANSWER_TIMEOUT))
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        self.accounts.ending.cancel();
    }
}

/// Acknowledges settled runs until the consumer ends; then sends the last run and closes the channel, which gives back
/// everything else in order. Tags live and die with this channel.
async fn acknowledge(line: Line, channel: Channel, accounts: Arc<Accounts>, closed: CancellationToken) {
    let _closed = closed.drop_guard();
    let flush = async || {
        if let Some(run) = accounts.with(Ledger::take_run) {
            // It fails when the channel is gone, and with it every tag.
            let _sent = channel.basic_ack(run.last_tag, BasicAckOptions { multiple: true }).await;
        }
    };
    loop {
        tokio::select! {
            biased;
            () = accounts.ending.cancelled() => break,
            () = accounts.full.notified() => {}
            () = accounts.settled.notified() => tokio::select! {
                biased;
                () = accounts.ending.cancelled() => break,
                () = accounts.full.notified() => {}
                () = tokio::time::sleep(ACK_DELAY) => {}
            },
        }
        flush().await;
    }
    if line.gone.is_cancelled() {
        return;
    }
    flush().await;
    let _closed_in_order = line.within(channel.close(200, "OK".into())).await;
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
