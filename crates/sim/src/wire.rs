//! One session over the network: see `network`.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::network::{Answer, Lane, Network};
use nephoscope::model::{Receipt, Verdict};
use nephoscope::transport::{
    Confirmation, ConsumeOptions, Consumer, Delivery, Follower, Outgoing, QueueState, Session, StreamRecord,
    StreamStart, Topology, TransportError, Why,
};

/// What travels from the agent to the broker.
enum Up {
    /// An acknowledgement, and what it is of.
    Settle(Receipt, Verdict, Taken),
    /// Anything else: what happens when it arrives.
    Do(Box<dyn FnOnce(Arc<Wire>) -> BoxFuture<'static, ()> + Send>),
}

/// The queue and the body of a delivery.
type Taken = (Arc<str>, Bytes);

/// What travels from the broker to the agent.
enum Down {
    /// A delivery to one of the consumers.
    Delivery(Arc<Inbox>, Delivery),
    /// The end of one of the consumers.
    End(Arc<Inbox>),
    /// An answer.
    Answer(Box<dyn FnOnce() + Send>),
}

/// One session: the agent's view of it, the broker's view of it, and what is between them.
pub(crate) struct Wire {
    network: Arc<Network>,
    /// The session's number at the broker.
    pub(crate) number: u64,
    inner: Arc<dyn Session>,
    /// The broker's view: the session is over.
    ended: CancellationToken,
    /// The agent's view.
    over: CancellationToken,
    up: Lane<Up>,
    down: Lane<Down>,
    /// Receipts that say nothing any more. Dropped at once they would return their deliveries at a broker that knows of
    /// nothing; dropped with the session they do no harm.
    limbo: Mutex<Vec<Receipt>>,
}

impl Wire {
    /// The wire of a session that the broker has opened.
    pub(crate) fn start(network: Arc<Network>, (number, inner): (u64, Arc<dyn Session>)) -> Arc<Self> {
        let wire = Arc::new(Wire {
            network,
            number,
            ended: inner.over(),
            inner,
            over: CancellationToken::new(),
            up: Lane::default(),
            down: Lane::default(),
            limbo: Mutex::default(),
        });
        tokio::spawn(Arc::clone(&wire).carry_up());
        tokio::spawn(Arc::clone(&wire).carry_down());
        tokio::spawn(Arc::clone(&wire).tell_the_agent());
        wire
    }

    /// Whether neither side knows of it any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.ended.is_cancelled() && self.over.is_cancelled()
    }

    /// The agent learns that the session is over.
    pub(crate) fn lose(&self, why: &str) {
        if !self.over.is_cancelled() {
            self.network.trace.say(&self.network.agent, format_args!("session lost: {why}"));
            self.over.cancel();
        }
    }

    /// The agent's side is over without anybody to learn of it.
    pub(crate) fn abandon(&self) {
        self.over.cancel();
    }

    /// The broker ends the session.
    pub(crate) fn end_at_broker(&self, why: &str) {
        if !self.ended.is_cancelled() {
            self.network.trace.say("broker", format_args!("session of {} ended: {why}", self.network.agent));
            self.inner.cut();
        }
    }

    /// The broker's side closes when everything sent before has arrived, or without it where that is discarded.
    pub(crate) fn hang_up(self: &Arc<Self>, discard: bool) {
        if discard {
            let voided = self.up.clear();
            self.forget(voided);
        }
        let hang_up = |wire: Arc<Wire>| -> BoxFuture<'static, ()> {
            Box::pin(async move { wire.end_at_broker("the connection was closed") })
        };
        self.up.send(self.network.latency(), Up::Do(Box::new(hang_up)));
    }

    async fn carry_up(self: Arc<Self>) {
        let stalled = || self.network.stall().up;
        while let Some(up) = self.up.next(&self.ended, &self.network.flows, stalled).await {
            match up {
                Up::Settle(receipt, verdict, (queue, body)) => {
                    if verdict == Verdict::Kept {
                        self.network.witness.acknowledged(&self.network.agent, &queue, &body);
                    }
                    receipt.settle(verdict);
                }
                Up::Do(act) => act(Arc::clone(&self)).await,
            }
        }
        // What comes too late happens nowhere; its sender learns that the session is over.
        drop(self.up.clear());
    }

    async fn carry_down(self: Arc<Self>) {
        let stalled = || self.network.stall().down;
        while let Some(down) = self.down.next(&self.over, &self.network.flows, stalled).await {
            match down {
                Down::Delivery(inbox, delivery) => inbox.put(delivery, &self),
                Down::End(inbox) => inbox.end(),
                Down::Answer(tell) => tell(),
            }
        }
        for down in self.down.clear() {
            if let Down::Delivery(_, delivery) = down {
                self.limbo().push(delivery.receipt);
            }
        }
    }

    /// A session that the broker has ended is over for the agent a little later, if it can hear of it.
    async fn tell_the_agent(self: Arc<Self>) {
        self.ended.cancelled().await;
        tokio::time::sleep(self.network.latency()).await;
        while self.network.stall().down {
            tokio::select! {
                biased;
                () = self.over.cancelled() => return,
                () = self.network.flows.notified() => {}
            }
        }
        self.lose("the broker closed it");
    }

    fn send_up(&self, up: Up) {
        if self.over.is_cancelled() || self.ended.is_cancelled() {
            return self.forget(vec![up]);
        }
        self.up.send(self.network.latency(), up);
    }

    fn send_down(&self, down: Down) {
        if self.over.is_cancelled() {
            if let Down::Delivery(_, delivery) = down {
                self.limbo().push(delivery.receipt);
            }
            return;
        }
        self.down.send(self.network.latency(), down);
    }

    fn forget(&self, voided: Vec<Up>) {
        let receipts = voided.into_iter().filter_map(|up| match up {
            Up::Settle(receipt, ..) => Some(receipt),
            Up::Do(_) => None,
        });
        self.limbo().extend(receipts);
    }

    fn check(&self) -> Result<(), TransportError> {
        if self.over.is_cancelled() { Err(away()) } else { Ok(()) }
    }

    /// Sends a request; the answer comes back, or the session is over.
    fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(Arc<Wire>) -> BoxFuture<'static, Result<T, TransportError>> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, TransportError>> {
        let (answer, answered): (Answer<T>, _) = oneshot::channel();
        self.send_up(Up::Do(Box::new(move |wire| {
            Box::pin(async move {
                let result = act(Arc::clone(&wire)).await;
                // Nobody waits any more: what was made for them is dropped.
                wire.send_down(Down::Answer(Box::new(move || drop(answer.send(result)))));
            })
        })));
        answered
    }

    /// Waits for an answer as long as the session is not over.
    async fn answer<T>(&self, answered: oneshot::Receiver<Result<T, TransportError>>) -> Result<T, TransportError> {
        let answered = async {
            match answered.await {
                Ok(result) => result,
                Err(_lost) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.over.cancelled() => Err(away()),
            result = answered => result,
        }
    }

    fn limbo(&self) -> MutexGuard<'_, Vec<Receipt>> {
        self.limbo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn away() -> TransportError {
    TransportError::Away { broker: "simulated".to_owned(), cause: "the session is over".to_owned() }
}

/// The agent's side of a session.
pub(crate) struct WireSession {
    wire: Arc<Wire>,
}

impl WireSession {
    /// The agent's side of a wire.
    pub(crate) fn new(wire: Arc<Wire>) -> Self {
        WireSession { wire }
    }
}

impl Drop for WireSession {
    fn drop(&mut self) {
        self.cut();
    }
}

#[async_trait]
impl Session for WireSession {
    async fn declare(&self, topology: &Topology) -> Result<(), TransportError> {
        self.wire.check()?;
        let topology = topology.clone();
        let ask = self.wire.ask(move |wire| Box::pin(async move { wire.inner.declare(&topology).await }));
        self.wire.answer(ask).await
    }

    async fn consume(&self, queue: &str, options: ConsumeOptions) -> Result<Box<dyn Consumer>, TransportError> {
        self.wire.check()?;
        let queue: Arc<str> = queue.into();
        let ask = self.wire.ask(move |wire| {
            Box::pin(async move {
                let consumer = wire.inner.consume(&queue, options).await?;
                Ok(Box::new(WireConsumer::start(wire, queue, consumer)) as Box<dyn Consumer>)
            })
        });
        self.wire.answer(ask).await
    }

    async fn follow(&self, stream: &str, start: StreamStart) -> Result<Box<dyn Follower>, TransportError> {
        self.wire.check()?;
        let stream = stream.to_owned();
        let ask = self.wire.ask(move |wire| {
            Box::pin(async move {
                let follower = wire.inner.follow(&stream, start).await?;
                Ok(Box::new(WireFollower::start(wire, follower)) as Box<dyn Follower>)
            })
        });
        self.wire.answer(ask).await
    }

    async fn publish(&self, message: Outgoing) -> Result<Confirmation, TransportError> {
        self.wire.check()?;
        let ask = self.wire.ask(move |wire| {
            Box::pin(async move {
                let (witness, agent) = (&wire.network.witness, &wire.network.agent);
                witness.sent(agent, &message);
                let (to, body) = (message.routing_key.clone(), message.body.clone());
                let confirmation = wire.inner.publish(message).await?;
                witness.grown(agent, &to);
                confirmation.wait().await?;
                witness.rescued(&to, body);
                Ok(())
            })
        });
        let wire = Arc::clone(&self.wire);
        Ok(Confirmation::new(async move { wire.answer(ask).await }))
    }

    async fn inspect(&self, queue: &str) -> Result<QueueState, TransportError> {
        self.wire.check()?;
        let queue = queue.to_owned();
        let ask = self.wire.ask(move |wire| Box::pin(async move { wire.inner.inspect(&queue).await }));
        self.wire.answer(ask).await
    }

    async fn delete_if_idle(&self, queue: &str) -> Result<bool, TransportError> {
        self.wire.check()?;
        let queue = queue.to_owned();
        let ask = self.wire.ask(move |wire| Box::pin(async move { wire.inner.delete_if_idle(&queue).await }));
        self.wire.answer(ask).await
    }

    async fn delete(&self, queue: &str) -> Result<(), TransportError> {
        self.wire.check()?;
        let queue = queue.to_owned();
        let ask = self.wire.ask(move |wire| {
            Box::pin(async move {
                wire.inner.delete(&queue).await?;
                wire.network.witness.deleted(&wire.network.agent, &queue);
                Ok(())
            })
        });
        self.wire.answer(ask).await
    }

    fn over(&self) -> CancellationToken {
        self.wire.over.clone()
    }

    async fn close(&self) {
        let ask = self.wire.ask(|wire| {
            Box::pin(async move {
                wire.end_at_broker("closed in order");
                Ok(())
            })
        });
        let _closed = self.wire.answer(ask).await;
        self.wire.abandon();
    }

    fn cut(&self) {
        if !self.wire.over.is_cancelled() {
            self.wire.network.trace.say(&self.wire.network.agent, "cuts its session");
            let discard = self.wire.network.chance(0.5);
            self.wire.abandon();
            self.wire.hang_up(discard);
        }
    }
}

/// What has arrived at one follower of the agent.
#[derive(Default)]
struct Records {
    items: Mutex<VecDeque<StreamRecord>>,
    ended: AtomicBool,
    came: Notify,
}

impl Records {
    fn items(&self) -> MutexGuard<'_, VecDeque<StreamRecord>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agent's side of a follower.
struct WireFollower {
    wire: Arc<Wire>,
    records: Arc<Records>,
    close: CancellationToken,
}

impl WireFollower {
    /// Begins to carry what a follower at the broker reads.
    fn start(wire: Arc<Wire>, mut follower: Box<dyn Follower>) -> Self {
        let (records, close): (Arc<Records>, CancellationToken) = (Arc::default(), CancellationToken::new());
        let (there, sent, closed) = (Arc::clone(&wire), Arc::clone(&records), close.clone());
        tokio::spawn(async move {
            while let Some(Some(record)) = closed.run_until_cancelled(follower.next()).await {
                let sent = Arc::clone(&sent);
                there.send_down(Down::Answer(Box::new(move || {
                    sent.items().push_back(record);
                    sent.came.notify_one();
                })));
            }
            there.send_down(Down::Answer(Box::new(move || {
                sent.ended.store(true, Ordering::Relaxed);
                sent.came.notify_one();
            })));
        });
        WireFollower { wire, records, close }
    }
}

impl Drop for WireFollower {
    fn drop(&mut self) {
        let close = self.close.clone();
        self.wire.send_up(Up::Do(Box::new(move |_| {
            close.cancel();
            Box::pin(std::future::ready(()))
        })));
    }
}

#[async_trait]
impl Follower for WireFollower {
    async fn next(&mut self) -> Option<StreamRecord> {
        loop {
            if self.wire.over.is_cancelled() {
                return None;
            }
            if let Some(record) = self.records.items().pop_front() {
                return Some(record);
            }
            if self.records.ended.load(Ordering::Relaxed) {
                return None;
            }
            tokio::select! {
                biased;
                () = self.wire.over.cancelled() => {}
                () = self.records.came.notified() => {}
            }
        }
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        Ok(())
    }
}

/// What has arrived at one consumer of the agent.
#[derive(Default)]
struct Inbox {
    items: Mutex<VecDeque<Delivery>>,
    /// Nothing further is taken: closed by the agent, or over.
    closed: AtomicBool,
    ended: AtomicBool,
    came: Notify,
    /// Over, as far as the agent knows; with its session too.
    over: CancellationToken,
}

impl Inbox {
    fn of(wire: &Wire) -> Arc<Self> {
        Arc::new(Inbox { over: wire.over.child_token(), ..Inbox::default() })
    }

    fn put(&self, delivery: Delivery, wire: &Wire) {
        if self.closed.load(Ordering::Relaxed) {
            return wire.limbo().push(delivery.receipt);
        }
        self.items().push_back(delivery);
        self.came.notify_one();
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.over.cancel();
        self.came.notify_one();
    }

    fn close(&self, wire: &Wire) {
        self.closed.store(true, Ordering::Relaxed);
        self.over.cancel();
        let left: Vec<Receipt> = self.items().drain(..).map(|delivery| delivery.receipt).collect();
        wire.limbo().extend(left);
        self.came.notify_one();
    }

    fn items(&self) -> MutexGuard<'_, VecDeque<Delivery>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the agent says to the broker's side of one consumer.
#[derive(Clone, Default)]
struct Channel {
    close: CancellationToken,
    cancel: CancellationToken,
    closed: CancellationToken,
}

impl Channel {
    /// Closes it when this arrives, and waits until it is.
    fn closing(&self) -> Up {
        let channel = self.clone();
        Up::Do(Box::new(move |_| {
            Box::pin(async move {
                channel.close.cancel();
                channel.closed.cancelled().await;
            })
        }))
    }
}

/// The agent's side of a consumer.
struct WireConsumer {
    wire: Arc<Wire>,
    inbox: Arc<Inbox>,
    channel: Channel,
}

impl WireConsumer {
    /// Begins to carry what a consumer at the broker is given.
    fn start(wire: Arc<Wire>, queue: Arc<str>, consumer: Box<dyn Consumer>) -> Self {
        let (inbox, channel) = (Inbox::of(&wire), Channel::default());
        tokio::spawn(deliver(Arc::clone(&wire), queue, consumer, Arc::clone(&inbox), channel.clone()));
        WireConsumer { wire, inbox, channel }
    }

    /// A delivery whose receipt travels.
    fn taken(&self, mut delivery: Delivery) -> Delivery {
        let (wire, inbox, channel) = (Arc::clone(&self.wire), Arc::clone(&self.inbox), self.channel.clone());
        let inner = delivery.receipt;
        let taken = (Arc::clone(&delivery.queue), delivery.body.clone());
        delivery.receipt = Receipt::new(move |verdict| match verdict {
            Verdict::Kept | Verdict::Parked => wire.send_up(Up::Settle(inner, verdict, taken)),
            Verdict::Returned => {
                inbox.close(&wire);
                wire.limbo().push(inner);
                wire.send_up(channel.closing());
            }
        });
        delivery
    }

    fn is_over(&self) -> bool {
        self.wire.over.is_cancelled() || self.inbox.closed.load(Ordering::Relaxed)
    }
}

impl Drop for WireConsumer {
    fn drop(&mut self) {
        self.inbox.close(&self.wire);
        if !self.channel.close.is_cancelled() {
            self.wire.send_up(self.channel.closing());
        }
    }
}

#[async_trait]
impl Consumer for WireConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.ready() {
                return Some(delivery);
            }
            if self.is_over() || self.inbox.ended.load(Ordering::Relaxed) {
                return None;
            }
            tokio::select! {
                biased;
                () = self.wire.over.cancelled() => {}
                () = self.inbox.came.notified() => {}
            }
        }
    }

    fn ready(&mut self) -> Option<Delivery> {
        let delivery = if self.is_over() { None } else { self.inbox.items().pop_front() };
        delivery.map(|delivery| self.taken(delivery))
    }

    fn over(&self) -> CancellationToken {
        self.inbox.over.clone()
    }

    fn why(&self) -> Why {
        Why::default()
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        self.inbox.close(&self.wire);
        let channel = self.channel.clone();
        let ask = self.wire.ask(move |_| {
            Box::pin(async move {
                channel.close.cancel();
                channel.closed.cancelled().await;
                Ok(())
            })
        });
        self.wire.answer(ask).await
    }

    async fn cancel(&mut self) {
        let channel = self.channel.clone();
        let ask = self.wire.ask(move |_| {
            channel.cancel.cancel();
            Box::pin(async { Ok(()) })
        });
        let _answered = self.wire.answer(ask).await;
    }
}

/// The broker's side of a consumer: sends down what it is given until it is over or its channel is closed.
async fn deliver(
    wire: Arc<Wire>,
    queue: Arc<str>,
    mut consumer: Box<dyn Consumer>,
    inbox: Arc<Inbox>,
    channel: Channel,
) {
    let agent = Arc::clone(&wire.network.agent);
    wire.network.witness.consumes(&agent, &queue, &wire.over);
    let mut cancelled = false;
    loop {
        tokio::select! {
            biased;
            () = channel.close.cancelled() => {
                let _closed = consumer.close().await;
                break;
            }
            () = channel.cancel.cancelled(), if !cancelled => {
                consumer.cancel().await;
                cancelled = true;
            }
            next = consumer.next() => {
                let Some(delivery) = next else {
                    wire.send_down(Down::End(Arc::clone(&inbox)));
                    break;
                };
                wire.send_down(Down::Delivery(Arc::clone(&inbox), delivery));
            }
        }
    }
    wire.network.witness.consumes_no_more(&agent, &queue);
    channel.closed.cancel();
}
