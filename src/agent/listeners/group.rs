//! The way of a group: over the pipeline queues, where the listener of the queue's owner takes it up.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ground::Ground;
use super::way::{Way, Yielded};
use crate::agent::packets::packet::Fence;
use crate::agent::packets::written::Written;
use crate::agent::resize::shape::Shape;
use crate::agent::runtime::posted::Reader;
use crate::agent::stages::forward::Forwarder;
use crate::agent::stages::route::Routes;
use crate::transport::TransportError;

/// The way over the pipeline queues, where the listener of the queue's owner takes it up.
pub(in crate::agent) struct Queues {
    /// What listeners stand on.
    pub ground: Arc<Ground>,
    /// Publishes packets.
    pub forwarder: Forwarder,
    /// Which queues there are.
    pub shape: Reader<Option<Arc<Shape>>>,
    /// The unit of this main queue.
    pub unit: String,
    /// The sinks whose old queues know that this main queue sends to those of a generation now.
    pub fenced: BTreeSet<(u64, Arc<str>)>,
}

impl Way for Queues {
    type Part = Written;

    async fn begin(&mut self, routes: &Routes) -> Result<(), TransportError> {
        self.fenced_shape(routes).await.map(drop)
    }

    async fn changed(&mut self) {
        self.shape.changed().await;
    }

    fn abandon(&self) {
        self.forwarder.abandon();
    }

    async fn take(&mut self, routes: &Routes, yielded: Yielded<Written>) -> bool {
        let Ok(shape) = self.fenced_shape(routes).await else { return false };
        self.forwarder.forward(routes, shape.routing(), yielded);
        true
    }
}

impl Queues {
    /// The shape whose layout is to be routed by. Where that is another than the present one, the old queues are told first.
    async fn fenced_shape(&mut self, routes: &Routes) -> Result<Arc<Shape>, TransportError> {
        let shape = self.shape.read();
        let shape = shape.ok_or_else(|| TransportError::Refused("the group has no specification yet".to_owned()))?;
        if let Some(next) = &shape.spec.next {
            for slot in &routes.sinks {
                let known = (next.generation, Arc::clone(&slot.name));
                if !self.fenced.contains(&known) {
                    // What is sent there next must not be the first to find out that there are no such queues.
                    self.ground.prepared(0, routes).await?;
                    let fence = Fence { generation: next.generation, unit: self.unit.clone() };
                    self.forwarder.fence(shape.present(slot), &fence).await?;
                    self.fenced.insert(known);
                }
            }
        }
        Ok(shape)
    }
}
