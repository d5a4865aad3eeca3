//! The seams at which mistakes are made: a broker and its sessions that go through a mistake.

use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use nephoscope::transport::{
    Broker, Confirmation, ConsumeOptions, Consumer, Delivery, Follower, Outgoing, QueueState, Session, StreamRecord,
    StreamStart, Topology, TransportError, Why, topology,
};

/// What one agent does otherwise in all its sessions. What a mistake says nothing of goes through as it is.
pub(super) trait Otherwise: Send + Sync + 'static {
    /// The agent declares this.
    fn declares(&self, _: &Topology) {}
    /// The agent consumes a queue.
    fn consumes(self: &Arc<Self>, _queue: &str, consumer: Box<dyn Consumer>) -> Box<dyn Consumer> {
        consumer
    }
    /// The agent follows a stream.
    fn follows(self: &Arc<Self>, _stream: &str, follower: Box<dyn Follower>) -> Box<dyn Follower> {
        follower
    }
    /// The agent publishes a message.
    fn publishes(&self, message: Outgoing) -> Outgoing {
        message
    }
}

/// The broker as an agent reaches it that makes this mistake.
pub(super) fn broker(inner: Arc<dyn Broker>, mistake: impl Otherwise) -> Arc<dyn Broker> {
    Arc::new(MistakenBroker { inner, mistake: Arc::new(mistake) })
}

struct MistakenBroker<M> {
    inner: Arc<dyn Broker>,
    mistake: Arc<M>,
}

#[async_trait]
impl<M: Otherwise> Broker for MistakenBroker<M> {
    async fn connect(&self) -> Result<Arc<dyn Session>, TransportError> {
        let inner = self.inner.connect().await?;
        Ok(Arc::new(MistakenSession { inner, mistake: Arc::clone(&self.mistake) }))
    }

    async fn version(&self) -> Option<String> {
        self.inner.version().await
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn virtual_host(&self) -> String {
        self.inner.virtual_host()
    }
}

struct MistakenSession<M> {
    inner: Arc<dyn Session>,
    mistake: Arc<M>,
}

#[async_trait]
impl<M: Otherwise> Session for MistakenSession<M> {
    async fn declare(&self, topology: &Topology) -> Result<(), TransportError> {
        self.mistake.declares(topology);
        self.inner.declare(topology).await
    }

    async fn consume(&self, queue: &str, options: ConsumeOptions) -> Result<Box<dyn Consumer>, TransportError> {
        Ok(self.mistake.consumes(queue, self.inner.consume(queue, options).await?))
    }

    async fn follow(&self, stream: &str, start: StreamStart) -> Result<Box<dyn Follower>, TransportError> {
        Ok(self.mistake.follows(stream, self.inner.follow(stream, start).await?))
    }

    async fn publish(&self, message: Outgoing) -> Result<Confirmation, TransportError> {
        self.inner.publish(self.mistake.publishes(message)).await
    }

    async fn inspect(&self, queue: &str) -> Result<QueueState, TransportError> {
        self.inner.inspect(queue).await
    }

    async fn until_alone(&self, queue: &str, beside: u32) -> Result<u32, TransportError> {
        self.inner.until_alone(queue, beside).await
    }

    async fn delete_if_idle(&self, queue: &str) -> Result<bool, TransportError> {
        self.inner.delete_if_idle(queue).await
    }

    async fn delete(&self, queue: &str) -> Result<(), TransportError> {
        self.inner.delete(queue).await
    }

    async fn purge(&self, queue: &str) -> Result<u32, TransportError> {
        self.inner.purge(queue).await
    }

    fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.inner.blocked()
    }

    fn refused(&self) -> Option<String> {
        self.inner.refused()
    }

    fn why(&self) -> Why {
        self.inner.why()
    }

    fn over(&self) -> CancellationToken {
        self.inner.over()
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    fn cut(&self) {
        self.inner.cut();
    }
}

/// A consumer whose deliveries go through a function.
pub(super) struct Handed<F> {
    pub(super) inner: Box<dyn Consumer>,
    pub(super) change: F,
}

#[async_trait]
impl<F: FnMut(Delivery) -> Delivery + Send + 'static> Consumer for Handed<F> {
    async fn next(&mut self) -> Option<Delivery> {
        self.inner.next().await.map(&mut self.change)
    }

    fn ready(&mut self) -> Option<Delivery> {
        self.inner.ready().map(&mut self.change)
    }

    fn over(&self) -> CancellationToken {
        self.inner.over()
    }

    fn why(&self) -> Why {
        self.inner.why()
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        self.inner.close().await
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

/// A follower whose records go through a function, which leaves some out.
pub(super) struct Shown<F> {
    pub(super) inner: Box<dyn Follower>,
    pub(super) change: F,
}

#[async_trait]
impl<F: FnMut(StreamRecord) -> Option<StreamRecord> + Send + 'static> Follower for Shown<F> {
    async fn next(&mut self) -> Option<StreamRecord> {
        loop {
            let record = self.inner.next().await?;
            if let Some(record) = (self.change)(record) {
                return Some(record);
            }
        }
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        self.inner.close().await
    }
}

/// The pipeline queue that a queue is, or is the rescue queue of.
pub(super) fn pipeline_queue(name: &str) -> Option<&str> {
    let queue = name.strip_prefix(&topology::rescue_queue_name("")).unwrap_or(name);
    numbered(queue).map(|_| queue)
}

/// What the pipeline queues of one generation of a sink have in common, and the number of this one.
pub(super) fn numbered(queue: &str) -> Option<(&str, usize)> {
    let (generation, number) = queue.rsplit_once('.')?;
    let digits = generation.rsplit_once('.')?.1.strip_prefix('g')?;
    digits.parse::<u64>().ok()?;
    Some((generation, number.parse().ok()?))
}
