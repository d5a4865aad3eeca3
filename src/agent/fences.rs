//! Fences in an old pipeline queue, while the number of queues changes: when those of all main queues have passed,
//! nothing can come any more and the queue is sealed.

use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use super::packet::Fence;
use super::posted::Reader;
use super::shape::{self, Shape};
use crate::model::{Receipt, Verdict};

/// What the listener of one pipeline queue knows of fences.
pub(super) struct Fences {
    ground: Arc<Ground>,
    queue: Arc<str>,
    generation: u64,
    shape: Reader<Option<Arc<Shape>>>,
    /// Fences that came to this listener, perhaps before the shape shows their marks.
    passed: BTreeSet<(u64, String)>,
    over: CancellationToken,
}

impl Fences {
    /// Of a queue of a generation, until the session is over.
    pub(super) fn new(ground: &Arc<Ground>, queue: &str, generation: u64, over: CancellationToken) -> Self {
        let (ground, shape) = (Arc::clone(ground), ground.shape.reader());
        Fences { ground, queue: queue.into(), generation, shape, passed: BTreeSet::new(), over }
    }

    /// Fences behind which everything is published: noted for the whole group, then settled. `false` when the session
    /// was over before.
    pub(super) async fn pass(&mut self, fences: Vec<(Fence, Receipt)>) -> bool {
        for (fence, receipt) in fences {
            let name = shape::fence_mark(&self.queue, &fence.unit);
            if !self.ground.mark(fence.generation, &name, &self.over).await {
                return false;
            }
            self.passed.insert((fence.generation, fence.unit));
            receipt.settle(Verdict::Kept);
        }
        true
    }

    /// The generation to seal this queue for: every main queue's fence has passed it.
    pub(super) fn due(&mut self) -> Option<u64> {
        let shape = self.shape.read()?;
        let next = shape.spec.next.as_ref()?.generation;
        let passed = |unit: &String| {
            self.passed.contains(&(next, unit.clone())) || shape.has(&shape::fence_mark(&self.queue, unit))
        };
        let all = shape.spec.present.generation == self.generation && self.ground.main_units().iter().all(passed);
        all.then_some(next)
    }

    /// Waits until the shape is another: marks of a former owner may show only now.
    pub(super) async fn changed(&mut self) {
        self.shape.changed().await;
    }

    /// Notes that the queue is sealed; `false` when the session was over before.
    pub(super) async fn sealed(&self, generation: u64) -> bool {
        self.ground.mark(generation, &shape::sealed_mark(&self.queue), &self.over).await
    }
}
