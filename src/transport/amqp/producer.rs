//! The publishing channel of a session: pipelined confirms in a window bounded in messages and bytes.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, PublisherConfirm};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::super::{Confirmation, NACKED, Outgoing, TransportError, UNROUTABLE};
use super::reply::{self, Line};
use super::session::short;

/// Unconfirmed messages at most.
pub const WINDOW_MESSAGES: usize = 1_000;
/// Unconfirmed bytes at most; a larger message goes alone.
pub const WINDOW_BYTES: usize = 16 << 20;

/// `delivery_mode` of a message that survives a restart.
const PERSISTENT: u8 = 2;

pub(super) struct Producer {
    line: Line,
    channel: Channel,
    over: CancellationToken,
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    unconfirmed: mpsc::Sender<Unconfirmed>,
}

/// A message on its way. Its permits are its place in the window.
struct Unconfirmed {
    confirm: PublisherConfirm,
    to: String,
    known: oneshot::Sender<Result<(), TransportError>>,
    _places: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Producer {
    pub(super) async fn begin(line: Line, channel: Channel, over: CancellationToken) -> Result<Self, TransportError> {
        let selected = line.within(channel.confirm_select(ConfirmSelectOptions::default())).await;
        selected.map_err(|refusal| refusal.about_queue(""))?;
        let (unconfirmed, arriving) = mpsc::channel(WINDOW_MESSAGES);
        tokio::spawn(confirm_all(line.clone(), arriving, over.clone()));
        let (messages, bytes) = (Semaphore::new(WINDOW_MESSAGES), Semaphore::new(WINDOW_BYTES));
        Ok(Producer { line, channel, over, messages: messages.into(), bytes: bytes.into(), unconfirmed })
    }

    pub(super) async fn publish(&self, message: Outgoing) -> Result<Confirmation, TransportError> {
        let (exchange, key) = (short(&message.exchange)?, short(&message.routing_key)?);
        let places = tokio::select! {
            biased;
            () = self.over.cancelled() => return Err(self.line.ended()),
            places = self.places(message.body.len()) => places?,
        };
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let sent = self.channel.basic_publish(exchange, key, options, &message.body, properties(&message)).await;
        let confirm = sent.map_err(|error| self.line.away(&error))?;
        let (known, answer) = oneshot::channel();
        let unconfirmed = Unconfirmed { confirm, to: message.routing_key, known, _places: places };
        // There is room: the window is as long. It fails only when the session is over, and then the answer says so.
        let _handed = self.unconfirmed.send(unconfirmed).await;
        let line = self.line.clone();
        Ok(Confirmation::new(async move { answer.await.unwrap_or_else(|_| Err(line.ended())) }))
    }

    async fn places(&self, bytes: usize) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), TransportError> {
        let bytes = u32::try_from(bytes.clamp(1, WINDOW_BYTES)).unwrap_or(u32::MAX);
        let message = self.messages.clone().acquire_owned().await;
        let bytes = self.bytes.clone().acquire_many_owned(bytes).await;
        match (message, bytes) {
            (Ok(message), Ok(bytes)) => Ok((message, bytes)),
            _ => Err(self.line.ended()),
        }
    }

    /// Waits for the confirms of what was sent, then closes the channel.
    pub(super) async fn close(&self) {
        let all = u32::try_from(WINDOW_MESSAGES).unwrap_or(u32::MAX);
        let settled = tokio::time::timeout(reply::ANSWER_TIMEOUT, self.messages.acquire_many(all));
        tokio::select! {
            biased;
            () = self.over.cancelled() => return,
            _settled = settled => {}
        }
        self.messages.close();
        let _closed = self.line.within(self.channel.close(200, "OK".into())).await;
    }
}

fn properties(message: &Outgoing) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        headers.insert(name.as_str().into(), AMQPValue::LongString(value.as_str().into()));
    }
    // As oslo.messaging sends them (Ceilometer reference §3.2).
    BasicProperties::default()
        .with_content_type(message.content_type.into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(PERSISTENT)
        .with_priority(0)
        .with_headers(headers)
}

/// Takes the broker's word for every message, whether somebody waits for it or not. A channel that the broker closes
/// (its exchange is gone) ends the session: the next one declares everything again.
async fn confirm_all(line: Line, mut arriving: mpsc::Receiver<Unconfirmed>, over: CancellationToken) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = over.cancelled() => return,
            Some(failed) = open.next() => if failed { over.cancel() },
            Some(unconfirmed) = arriving.recv() => open.push(confirm(line.clone(), unconfirmed)),
            else => return,
        }
    }
}

/// Waits for one confirm and passes it on; whether the channel is lost.
async fn confirm(line: Line, unconfirmed: Unconfirmed) -> bool {
    let Unconfirmed { confirm, to, known, _places } = unconfirmed;
    let (answer, lost) = match confirm.await {
        Ok(lapin::Confirmation::Ack(None)) => (Ok(()), false),
        Ok(lapin::Confirmation::Ack(Some(_))) => (Err(TransportError::NotTaken { to, why: UNROUTABLE }), false),
        Ok(_) => (Err(TransportError::NotTaken { to, why: NACKED }), false),
        Err(error) => (Err(line.away(&error)), true),
    };
    // Nobody may be waiting.
    let _heard = known.send(answer);
    lost
}
