//! The agent's side of a session.

use async_trait::async_trait;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::consumer::WireConsumer;
use super::follower::WireFollower;
use super::wire::Wire;
use nephoscope::transport::{
    Confirmation, ConsumeOptions, Consumer, Follower, Outgoing, QueueState, Session, StreamStart, Topology,
    TransportError,
};

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
                let (witness, agent) = (&wire.conditions.witness, &wire.conditions.agent);
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
                wire.conditions.witness.deleted(&wire.conditions.agent, &queue);
                Ok(())
            })
        });
        self.wire.answer(ask).await
    }

    async fn purge(&self, queue: &str) -> Result<u32, TransportError> {
        self.wire.check()?;
        let queue = queue.to_owned();
        let ask = self.wire.ask(move |wire| Box::pin(async move { wire.inner.purge(&queue).await }));
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
            self.wire.conditions.trace.say(&self.wire.conditions.agent, "cuts its session");
            let discard = self.wire.conditions.chance(0.5);
            self.wire.abandon();
            self.wire.hang_up(discard);
        }
    }
}
