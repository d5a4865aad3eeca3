//! One connection to RabbitMQ.

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use futures_util::{Stream, StreamExt};
use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionStatus, Event, ExchangeKind};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::{
    Binding, Confirmation, ConsumeOptions, Consumer, Exchange, Follower, Outgoing, Queue, QueueState, Session,
    StreamStart, Subscription, Topology, TransportError, Why, fallback,
};
use super::AmqpBroker;
use super::consumer::AmqpConsumer;
use super::dial::Wire;
use super::fields::{declare_own, short, table};
use super::follower::AmqpFollower;
use super::passive::Looks;
use super::producer::Producer;
use super::reply::{self, Line, Refusal};
use super::request::RequestChannel;

pub(super) struct AmqpSession {
    line: Line,
    connection: Arc<Connection>,
    wire: Wire,
    over: CancellationToken,
    blocked: watch::Receiver<Option<String>>,
    producer: Producer,
    consumers: TaskTracker,
    /// Which exchanges and queues are there as transient ones: what is declared again is asked for so at once.
    transient: StdMutex<BTreeSet<String>>,
    looks: Looks,
}

impl AmqpSession {
    pub(super) async fn begin(broker: AmqpBroker, connection: Connection, wire: Wire) -> Result<Self, TransportError> {
        let over = CancellationToken::new();
        let connection = Arc::new(connection);
        let line = Line {
            broker: broker.shared_name(),
            gone: wire.gone(),
            refused: Arc::default(),
            why: Arc::default(),
            transient_denied: broker.transient_denied(),
            falling_back: Arc::default(),
        };
        let (block, blocked) = watch::channel(None);
        tokio::spawn(watch_connection(
            connection.events_listener(),
            connection.status().clone(),
            over.clone(),
            wire.clone(),
            line.clone(),
            block,
        ));
        let producer = Producer::begin(line.clone(), Arc::clone(&connection), over.clone()).await?;
        Ok(AmqpSession {
            line,
            connection,
            wire,
            over,
            blocked,
            producer,
            consumers: TaskTracker::new(),
            transient: StdMutex::default(),
            looks: Looks::default(),
        })
    }

    /// A channel for requests that may be refused: a refusal closes it.
    async fn channel(&self) -> Result<RequestChannel, TransportError> {
        if self.over.is_cancelled() {
            return Err(self.line.ended());
        }
        let channel = self.line.within(self.connection.create_channel()).await.map_err(Refusal::plain)?;
        Ok(RequestChannel::new(channel, self.line.gone.clone()))
    }

    /// What is there as transient. Never held while something is asked: other declarations would wait for the answer.
    fn transient(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.transient.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether something is there as transient.
    fn note_transient(&self, name: &str, transient: bool) {
        let mut known = self.transient();
        if transient {
            known.insert(name.to_owned());
        } else {
            known.remove(name);
        }
    }

    /// With which `durable` to try something, in order.
    fn in_order(&self, name: &str, mut attempts: Vec<bool>) -> Vec<bool> {
        if attempts.len() > 1 && self.transient().contains(name) {
            attempts.sort_unstable();
        }
        attempts
    }

    async fn declare_exchange(&self, channel: &Channel, exchange: &Exchange, durable: bool) -> Result<(), Refusal> {
        let options = ExchangeDeclareOptions { durable, auto_delete: exchange.auto_delete, ..Default::default() };
        let name = short(&exchange.name).map_err(Refusal::Other)?;
        self.line.within(channel.exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default())).await
    }

    async fn declare_queue(&self, channel: &Channel, queue: &Queue, durable: bool) -> Result<(), Refusal> {
        let options = QueueDeclareOptions {
            durable,
            auto_delete: queue.auto_delete,
            exclusive: queue.exclusive,
            ..Default::default()
        };
        let name = short(&queue.name).map_err(Refusal::Other)?;
        let declaring = channel.queue_declare(name, options, table(&queue.arguments));
        self.line.declared(queue.durable && !durable, declaring).await.map(drop)
    }

    /// All bindings at once, as with queues: one way there and back instead of a hundred.
    async fn bind(&self, channel: &Channel, bindings: &[Binding]) -> Result<(), TransportError> {
        let bind = async |binding: &Binding| {
            let (queue, exchange) = (short(&binding.queue)?, short(&binding.exchange)?);
            let (key, options) = (short(&binding.routing_key)?, QueueBindOptions::default());
            let done = self.line.within(channel.queue_bind(queue, exchange, key, options, FieldTable::default()));
            done.await.map_err(|refusal| match refusal {
                Refusal::NotFound(text) => TransportError::Refused(text),
                other => other.about_queue(&binding.queue),
            })
        };
        // A refused one closes the channel, and so fails its neighbours: what the broker said of it is the reason.
        let failed = join_all(bindings.iter().map(bind)).await.into_iter().filter_map(Result::err);
        failed.min_by_key(|error| matches!(error, TransportError::Away { .. })).map_or(Ok(()), Err)
    }

    /// Passive declaration.
    async fn look(&self, queue: &str) -> Result<QueueState, TransportError> {
        self.looks.look(&self.line, self.channel(), queue).await
    }

    async fn done_with(&self, channel: RequestChannel) {
        // What it was for is done; a channel that closes badly is closed too.
        let _closed = self.line.within(channel.answered().close(200, "OK".into())).await;
    }
}

#[async_trait]
impl Session for AmqpSession {
    async fn declare(&self, topology: &Topology) -> Result<(), TransportError> {
        let mut channel = self.channel().await?;
        let mut fallen = fallback::Fallen::new(self.line.transient_denied.load(Ordering::Relaxed));
        for exchange in &topology.exchanges {
            for durable in self.in_order(&exchange.name, fallback::Fallen::exchange_attempts(exchange)) {
                match self.declare_exchange(&channel, exchange, durable).await {
                    Ok(()) => {
                        let fell = exchange.durable && !durable;
                        if fell {
                            fallen.exchange_is_transient(exchange);
                        }
                        self.note_transient(&exchange.name, fell);
                        break;
                    }
                    Err(Refusal::Unequal(text)) => {
                        let unequal = fallback::Unequal::from_reply(&exchange.name, &text);
                        fallen.exchange_refused(exchange, durable, unequal)?;
                    }
                    Err(other) => return Err(other.plain()),
                }
                channel = self.channel().await?;
            }
        }
        // Whether it is declared; else the next attempt may help, on another channel.
        let declare =
            async |channel: &Channel, queue: &Queue, durable| match self.declare_queue(channel, queue, durable).await {
                Ok(()) => Ok(true),
                Err(Refusal::Unequal(text)) => {
                    let unequal = fallback::Unequal::from_reply(&queue.name, &text);
                    fallen.queue_refused(queue, topology, durable, unequal).map(|()| false)
                }
                Err(other) => Err(other.about_queue(&queue.name)),
            };
        let (tried, sure): (Vec<&Queue>, Vec<&Queue>) =
            topology.queues.iter().partition(|queue| fallen.queue_attempts(queue, topology).len() > 1);
        for queue in tried {
            for durable in self.in_order(&queue.name, fallen.queue_attempts(queue, topology)) {
                if declare(&channel, queue, durable).await? {
                    self.note_transient(&queue.name, !durable);
                    break;
                }
                channel = self.channel().await?;
            }
        }
        try_join_all(sure.into_iter().map(|queue| declare(&channel, queue, queue.durable))).await?;
        self.bind(&channel, &topology.bindings).await?;
        self.done_with(channel).await;
        Ok(())
    }

    async fn consume(&self, queue: &str, options: ConsumeOptions) -> Result<Box<dyn Consumer>, TransportError> {
        if options.exclusive {
            // A classic queue refuses a second consumer by itself; a quorum queue ignores `exclusive`.
            self.until_alone(queue, 0).await?;
        }
        let (channel, over) = (self.channel().await?, self.over.clone());
        Ok(Box::new(AmqpConsumer::begin(self.line.clone(), channel, queue, &options, over, &self.consumers).await?))
    }

    async fn follow(&self, stream: &str, start: StreamStart) -> Result<Box<dyn Follower>, TransportError> {
        let (channel, over) = (self.channel().await?, self.over.clone());
        Ok(Box::new(AmqpFollower::begin(self.line.clone(), channel, stream, start, over, &self.consumers).await?))
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, TransportError> {
        let channel = self.channel().await?;
        declare_own(&self.line, &channel, subscription).await?;
        let (queue, options, over) = (&subscription.queue, subscription.consume_options(), self.over.clone());
        Ok(Box::new(AmqpConsumer::begin(self.line.clone(), channel, queue, &options, over, &self.consumers).await?))
    }

    async fn publish(&self, message: Outgoing) -> Result<Confirmation, TransportError> {
        self.producer.publish(message).await
    }

    async fn inspect(&self, queue: &str) -> Result<QueueState, TransportError> {
        self.look(queue).await
    }

    async fn delete_if_idle(&self, queue: &str) -> Result<bool, TransportError> {
        match self.look(queue).await {
            Ok(QueueState { messages: 0, consumers: 0 }) => {}
            Ok(_) => return Ok(false),
            Err(TransportError::NoQueue(_)) => return Ok(true),
            Err(error) => return Err(error),
        }
        // Quorum queues know no `if-unused`, `if-empty`: RabbitMQ answers 540, which closes the whole connection. So
        // that condition was the look above, and who calls this knows that nobody sends there any more.
        let channel = self.channel().await?;
        let deleted = self.line.within(channel.queue_delete(short(queue)?, QueueDeleteOptions::default())).await;
        deleted.map_err(|refusal| refusal.about_queue(queue))?;
        self.done_with(channel).await;
        Ok(true)
    }

    async fn delete(&self, queue: &str) -> Result<(), TransportError> {
        let channel = self.channel().await?;
        let deleted = self.line.within(channel.queue_delete(short(queue)?, QueueDeleteOptions::default())).await;
        match deleted.map_err(|refusal| refusal.about_queue(queue)) {
            Ok(_) => self.done_with(channel).await,
            // RabbitMQ has answered a deletion of nothing with "ok" since 3.2; AMQP itself wants 404.
            Err(TransportError::NoQueue(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn purge(&self, queue: &str) -> Result<u32, TransportError> {
        let channel = self.channel().await?;
        let purged = self.line.within(channel.queue_purge(short(queue)?, QueuePurgeOptions::default())).await;
        let count = purged.map_err(|refusal| refusal.about_queue(queue))?;
        self.done_with(channel).await;
        Ok(count)
    }

    fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.blocked.clone()
    }

    fn refused(&self) -> Option<String> {
        self.line.refused.get().cloned()
    }

    fn why(&self) -> Why {
        Arc::clone(&self.line.why)
    }

    fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    async fn close(&self) {
        self.producer.close().await;
        self.over.cancel();
        // The consumers see the token, send what is settled and close their channels.
        self.consumers.close();
        let _in_time = timeout(reply::ANSWER_TIMEOUT, self.consumers.wait()).await;
        let _closed = self.line.within(self.connection.close(200, "OK".into())).await;
        self.wire.cut();
    }

    fn cut(&self) {
        // The wire first: not even an acknowledgement may go out of a fenced owner.
        self.wire.cut();
        self.over.cancel();
    }
}

impl Drop for AmqpSession {
    fn drop(&mut self) {
        self.cut();
    }
}

/// How often the connection is looked at, should lapin report its end to nobody.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// For so long the end of a connection waits for its reason.
const LAST_WORD_MAX: Duration = Duration::from_millis(250);

/// Watches the connection: its end ends the session. (Errors of single channels come by here too, and mean nothing.)
async fn watch_connection(
    events: impl Stream<Item = Event> + Send,
    status: ConnectionStatus,
    over: CancellationToken,
    wire: Wire,
    line: Line,
    block: watch::Sender<Option<String>>,
) {
    tokio::pin!(events);
    let broker = &*line.broker;
    while status.connected() {
        let event = tokio::select! {
            () = over.cancelled() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => continue,
            event = events.next() => event,
        };
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                tracing::warn!(
                    event = "transport.broker.blocked",
                    broker,
                    reason,
                    "an alarm of the broker blocks this connection: what is sent over it waits; free the broker's memory or disk"
                );
                block.send_replace(Some(reason));
            }
            Some(Event::ConnectionUnblocked) => {
                tracing::info!(
                    event = "transport.broker.unblocked",
                    broker,
                    "the alarm of the broker is over; sending again"
                );
                block.send_replace(None);
            }
            Some(Event::Error(error)) => line.note(&error),
            Some(_) => {}
            None => break,
        }
    }
    // What the broker said last: the link must know before it hears that the session is over. lapin leaves the connected state
    // a moment before it says why.
    let _said = timeout(LAST_WORD_MAX, async {
        while line.why.get().is_none()
            && let Some(event) = events.next().await
        {
            if let Event::Error(error) = event {
                line.note(&error);
            }
        }
    })
    .await;
    wire.cut();
    over.cancel();
}
