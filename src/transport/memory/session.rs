//! A connection to the in-process broker, and its consumers.

use async_trait::async_trait;
use std::sync::{Arc, Weak};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::compression::{self, COMPRESSION_HEADER};
use super::super::{
    Binding, Confirmation, ConsumeOptions, Consumer, Delivery, Follower, Outgoing, Queue, QueueState, Session,
    StreamRecord, StreamStart, Subscription, Topology, TransportError, Why, fallback,
};
use super::state::{Message, Read, Taken};
use super::{MemoryBroker, Shared};
use crate::model::{Receipt, Verdict};

pub(super) struct MemorySession {
    broker: MemoryBroker,
    id: u64,
    over: CancellationToken,
    why: Why,
}

impl MemorySession {
    pub(super) fn new(broker: MemoryBroker, id: u64, over: CancellationToken, why: Why) -> Self {
        MemorySession { broker, id, over, why }
    }

    fn check(&self) -> Result<(), TransportError> {
        if self.over.is_cancelled() { Err(self.broker.away("the session is over")) } else { Ok(()) }
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.cut();
    }
}

#[async_trait]
impl Session for MemorySession {
    async fn declare(&self, topology: &Topology) -> Result<(), TransportError> {
        self.check()?;
        let mut state = self.broker.state();
        let mut transient = fallback::Fallen::default();
        for exchange in &topology.exchanges {
            for durable in fallback::Fallen::exchange_attempts(exchange) {
                match state.declare_exchange(exchange, durable) {
                    Ok(()) => break,
                    Err(unequal) => transient.exchange_refused(exchange, durable, unequal)?,
                }
            }
        }
        for queue in &topology.queues {
            for durable in transient.queue_attempts(queue, topology) {
                state.refuse_foreign(self.id, &queue.name)?;
                match state.declare_queue(queue, durable, queue.exclusive.then_some(self.id)) {
                    Ok(()) => break,
                    Err(unequal) => transient.queue_refused(queue, topology, durable, unequal)?,
                }
            }
        }
        topology.bindings.iter().try_for_each(|binding| state.bind(binding))
    }

    async fn consume(&self, queue: &str, options: ConsumeOptions) -> Result<Box<dyn Consumer>, TransportError> {
        self.check()?;
        let mut state = self.broker.state();
        state.refuse_foreign(self.id, queue)?;
        let (id, wake, over) = state.consume(self.id, queue, &options)?;
        drop(state);
        let shared = Arc::downgrade(&self.broker.shared);
        Ok(Box::new(MemoryConsumer { shared, id, queue: queue.into(), wake, over }))
    }

    async fn follow(&self, stream: &str, start: StreamStart) -> Result<Box<dyn Follower>, TransportError> {
        self.check()?;
        let (id, wake) = self.broker.state().follow(self.id, stream, start)?;
        Ok(Box::new(MemoryFollower { shared: Arc::downgrade(&self.broker.shared), id, wake }))
    }

    async fn subscribe(&self, subscription: &Subscription) -> Result<Box<dyn Consumer>, TransportError> {
        let Subscription { queue, exchange, routing_key, .. } = subscription.clone();
        let own = Queue {
            name: queue.clone(),
            durable: false,
            auto_delete: true,
            exclusive: true,
            arguments: subscription.arguments(),
            fallback_transient: false,
        };
        let binding = Binding { exchange, queue: queue.clone(), routing_key };
        self.declare(&Topology { queues: vec![own], bindings: vec![binding], ..Topology::default() }).await?;
        self.consume(&queue, subscription.consume_options()).await
    }

    async fn publish(&self, message: Outgoing) -> Result<Confirmation, TransportError> {
        self.check()?;
        let mut state = self.broker.state();
        if !state.has_exchange(&message.exchange) {
            // 404 closes the publishing channel, and that ends the session.
            state.end_session(self.id);
            return Err(self.broker.away("the exchange is gone"));
        }
        let taken = state.publish(message);
        let (over, broker) = (self.over.clone(), self.broker.clone());
        Ok(Confirmation::new(async move {
            // The word comes later than the message; a session that ends in between leaves its fate unknown.
            tokio::task::yield_now().await;
            if over.is_cancelled() { Err(broker.away("the session ended before the confirm")) } else { taken }
        }))
    }

    async fn inspect(&self, queue: &str) -> Result<QueueState, TransportError> {
        self.check()?;
        let state = self.broker.state();
        state.refuse_foreign(self.id, queue)?;
        state.inspect(queue).ok_or_else(|| TransportError::NoQueue(queue.to_owned()))
    }

    async fn delete_if_idle(&self, queue: &str) -> Result<bool, TransportError> {
        self.check()?;
        let mut state = self.broker.state();
        let idle = state.is_unused_and_empty(queue);
        if idle {
            state.delete_queue(queue);
        }
        Ok(idle)
    }

    async fn delete(&self, queue: &str) -> Result<(), TransportError> {
        self.check()?;
        self.broker.state().delete_queue(queue);
        Ok(())
    }

    async fn purge(&self, queue: &str) -> Result<u32, TransportError> {
        self.check()?;
        let mut state = self.broker.state();
        state.refuse_foreign(self.id, queue)?;
        if state.inspect(queue).is_none() {
            return Err(TransportError::NoQueue(queue.to_owned()));
        }
        Ok(u32::try_from(state.purge(queue)).unwrap_or(u32::MAX))
    }

    fn why(&self) -> Why {
        Arc::clone(&self.why)
    }

    fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    async fn close(&self) {
        self.cut();
    }

    fn cut(&self) {
        self.broker.state().end_session(self.id);
    }
}

struct MemoryFollower {
    shared: Weak<Shared>,
    id: u64,
    wake: Arc<Notify>,
}

impl Drop for MemoryFollower {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.state().end_follower(self.id);
        }
    }
}

#[async_trait]
impl Follower for MemoryFollower {
    async fn next(&mut self) -> Option<StreamRecord> {
        loop {
            match self.shared.upgrade().map_or(Read::Over, |shared| shared.state().read(self.id)) {
                Read::Record(record) => return Some(record),
                Read::Over => return None,
                Read::Nothing => self.wake.notified().await,
            }
        }
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        Ok(())
    }
}

struct MemoryConsumer {
    shared: Weak<Shared>,
    id: u64,
    queue: Arc<str>,
    wake: Arc<Notify>,
    over: CancellationToken,
}

impl MemoryConsumer {
    fn take(&self) -> Taken {
        self.shared.upgrade().map_or(Taken::Over, |shared| shared.state().take(self.id))
    }

    fn delivery(&self, tag: u64, message: Message) -> Delivery {
        let method = message.headers.get(COMPRESSION_HEADER).map(String::as_str);
        let (body, packed) = compression::unpack(method, message.body.clone());
        let (shared, id) = (self.shared.clone(), self.id);
        let receipt = Receipt::new(move |verdict| {
            let Some(shared) = shared.upgrade() else { return };
            match verdict {
                Verdict::Kept | Verdict::Parked => shared.state().settled(id, tag),
                Verdict::Returned => shared.state().end_consumer(id),
            }
        });
        Delivery {
            queue: self.queue.clone(),
            exchange: message.exchange,
            routing_key: message.routing_key,
            body,
            raw: method.is_some().then_some(message.body),
            packed,
            content_type: Some(message.content_type.to_owned()),
            headers: message.headers,
            redelivered: message.redelivered,
            returns: message.returns,
            receipt,
        }
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.state().end_consumer(self.id);
        }
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            match self.take() {
                Taken::Message(tag, message) => return Some(self.delivery(tag, message)),
                Taken::Over => return None,
                Taken::Nothing => self.wake.notified().await,
            }
        }
    }

    fn ready(&mut self) -> Option<Delivery> {
        match self.take() {
            Taken::Message(tag, message) => Some(self.delivery(tag, message)),
            Taken::Over | Taken::Nothing => None,
        }
    }

    fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    fn why(&self) -> Why {
        Why::default()
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        Ok(())
    }

    async fn cancel(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.state().cancel_consumer(self.id);
        }
    }
}
