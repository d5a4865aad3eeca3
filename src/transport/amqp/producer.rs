//! The publishing channels of a session: one with pipelined confirms in a window bounded in messages and bytes, and one on which
//! a message is alone.
//!
//! RabbitMQ refuses a message that is too large, or for which the user has no right, by closing the channel. That is an answer to
//! this message, and to those that were on their way with it: each is said to be rejected, the next one goes over a new channel,
//! and nothing else of the session is touched. Who offers such a message again asks to have it [alone](Outgoing::alone), so that
//! it takes no others with it a second time.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, PublisherConfirm};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::super::{Confirmation, NACKED, Outgoing, TransportError, UNROUTABLE};
use super::fields::short;
use super::reply::{self, Line, Refusal};

/// Unconfirmed messages at most.
pub const WINDOW_MESSAGES: usize = 1_000;
/// Unconfirmed bytes at most; a larger message goes alone.
pub const WINDOW_BYTES: usize = 16 << 20;

/// `delivery_mode` of a message that survives a restart.
const PERSISTENT: u8 = 2;

pub(super) struct Producer {
    line: Line,
    over: CancellationToken,
    /// For all messages but those that go alone.
    together: Lane,
    /// Held until the message on it is confirmed.
    alone: Arc<Mutex<Lane>>,
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    unconfirmed: mpsc::Sender<Unconfirmed>,
}

/// A channel that is made again when the broker has closed it.
struct Lane {
    line: Line,
    connection: Arc<Connection>,
    channel: Mutex<Option<Channel>>,
}

/// A message on its way. Its permits are its place in the window.
struct Unconfirmed {
    confirm: PublisherConfirm,
    to: String,
    known: oneshot::Sender<Result<(), TransportError>>,
    _places: Places,
}

type Places = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Producer {
    pub(super) async fn begin(
        line: Line,
        connection: Arc<Connection>,
        over: CancellationToken,
    ) -> Result<Self, TransportError> {
        let lane = || Lane { line: line.clone(), connection: Arc::clone(&connection), channel: Mutex::default() };
        let (together, alone) = (lane(), Arc::new(Mutex::new(lane())));
        together.channel().await?;
        let (unconfirmed, arriving) = mpsc::channel(WINDOW_MESSAGES);
        tokio::spawn(confirm_all(line.clone(), arriving, over.clone()));
        let (messages, bytes) = (Semaphore::new(WINDOW_MESSAGES), Semaphore::new(WINDOW_BYTES));
        Ok(Producer { line, over, together, alone, messages: messages.into(), bytes: bytes.into(), unconfirmed })
    }

    pub(super) async fn publish(&self, message: Outgoing) -> Result<Confirmation, TransportError> {
        let places = tokio::select! {
            biased;
            () = self.over.cancelled() => return Err(self.line.ended()),
            places = self.places(message.body.len()) => places?,
        };
        if message.alone {
            return Ok(self.publish_alone(message, places));
        }
        let confirm = self.together.send(&message).await?;
        let (known, answer) = oneshot::channel();
        let unconfirmed = Unconfirmed { confirm, to: message.routing_key, known, _places: places };
        // There is room: the window is as long. It fails only when the session is over, and then the answer says so.
        let _handed = self.unconfirmed.send(unconfirmed).await;
        Ok(self.confirmation(answer))
    }

    /// Publishes a message when no other is on its way on that channel.
    fn publish_alone(&self, message: Outgoing, places: Places) -> Confirmation {
        let (known, answer) = oneshot::channel();
        let (line, lane, over) = (self.line.clone(), Arc::clone(&self.alone), self.over.clone());
        // A task, because the next one waits for it also where nobody waits for this answer.
        tokio::spawn(over.clone().run_until_cancelled_owned(async move {
            let lane = lane.lock().await;
            match lane.send(&message).await {
                Err(error) => drop(known.send(Err(error))),
                Ok(confirm) => {
                    let to = message.routing_key;
                    if confirm_one(line, Unconfirmed { confirm, to, known, _places: places }).await {
                        over.cancel();
                    }
                }
            }
        }));
        self.confirmation(answer)
    }

    fn confirmation(&self, answer: oneshot::Receiver<Result<(), TransportError>>) -> Confirmation {
        let line = self.line.clone();
        Confirmation::new(async move { answer.await.unwrap_or_else(|_| Err(line.ended())) })
    }

    async fn places(&self, bytes: usize) -> Result<Places, TransportError> {
        let bytes = u32::try_from(bytes.clamp(1, WINDOW_BYTES)).unwrap_or(u32::MAX);
        let message = self.messages.clone().acquire_owned().await;
        let bytes = self.bytes.clone().acquire_many_owned(bytes).await;
        match (message, bytes) {
            (Ok(message), Ok(bytes)) => Ok((message, bytes)),
            _ => Err(self.line.ended()),
        }
    }

    /// Waits for the confirms of what was sent, then closes the channels.
    pub(super) async fn close(&self) {
        let all = u32::try_from(WINDOW_MESSAGES).unwrap_or(u32::MAX);
        let settled = tokio::time::timeout(reply::ANSWER_TIMEOUT, self.messages.acquire_many(all));
        tokio::select! {
            biased;
            () = self.over.cancelled() => return,
            _settled = settled => {}
        }
        self.messages.close();
        self.together.close().await;
        self.alone.lock().await.close().await;
    }
}

impl Lane {
    /// The channel, a new one where there is none or the broker has closed it.
    async fn channel(&self) -> Result<Channel, TransportError> {
        let mut open = self.channel.lock().await;
        if let Some(channel) = open.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = self.line.within(self.connection.create_channel()).await.map_err(Refusal::plain)?;
        let selected = self.line.within(channel.confirm_select(ConfirmSelectOptions::default())).await;
        selected.map_err(|refusal| refusal.about_queue(""))?;
        *open = Some(channel.clone());
        Ok(channel)
    }

    async fn send(&self, message: &Outgoing) -> Result<PublisherConfirm, TransportError> {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let mut again = true;
        loop {
            let channel = self.channel().await?;
            let (exchange, key) = (short(&message.exchange)?, short(&message.routing_key)?);
            match channel.basic_publish(exchange, key, options, &message.body, properties(message)).await {
                // It was closed in this moment, and nothing of this message was sent.
                Err(_) if again && self.connection.status().connected() && !channel.status().connected() => {
                    again = false;
                }
                sent => return sent.map_err(|error| self.line.away(&error)),
            }
        }
    }

    async fn close(&self) {
        if let Some(channel) = self.channel.lock().await.take() {
            let _closed = self.line.within(channel.close(200, "OK".into())).await;
        }
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

/// Takes the broker's word for every message, whether somebody waits for it or not. A channel that the broker closes because
/// an exchange is gone ends the session: the next one declares everything again.
async fn confirm_all(line: Line, mut arriving: mpsc::Receiver<Unconfirmed>, over: CancellationToken) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = over.cancelled() => return,
            Some(lost) = open.next() => if lost { over.cancel() },
            Some(unconfirmed) = arriving.recv() => open.push(confirm_one(line.clone(), unconfirmed)),
            else => return,
        }
    }
}

/// Waits for one confirm and passes it on; whether the session is lost.
async fn confirm_one(line: Line, unconfirmed: Unconfirmed) -> bool {
    let Unconfirmed { confirm, to, known, _places } = unconfirmed;
    let (answer, lost) = match confirm.await {
        Ok(lapin::Confirmation::Ack(None)) => (Ok(()), false),
        Ok(lapin::Confirmation::Ack(Some(_))) => (Err(TransportError::NotTaken { to, why: UNROUTABLE }), false),
        Ok(_) => (Err(TransportError::NotTaken { to, why: NACKED }), false),
        Err(error) => match reply::about_message(&error) {
            Some((why, too_large)) => (Err(TransportError::Rejected { to, why, too_large }), false),
            None => (Err(line.away(&error)), true),
        },
    };
    // Nobody may be waiting.
    let _heard = known.send(answer);
    lost
}
