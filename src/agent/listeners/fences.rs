//! Fences in an old pipeline queue, while the number of queues changes: when those of all main queues have passed,
//! nothing can come any more and the queue is sealed.

use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use crate::agent::listeners::ground::Ground;
use crate::agent::packets::packet::{Fence, Packet};
use crate::agent::resize::shape::{self, Shape};
use crate::agent::runtime::posted::Reader;
use crate::model::{Receipt, Verdict};

/// What the listener of one pipeline queue knows of fences.
pub(in crate::agent) struct Fences {
    ground: Arc<Ground>,
    queue: Arc<str>,
    generation: u64,
    shape: Reader<Option<Arc<Shape>>>,
    /// Fences that came to this listener, perhaps before the shape shows their marks.
    passed: BTreeSet<(u64, String)>,
    /// What goes back when the listener has ended, and never before: a receipt that is dropped ends the consumer, and a successor
    /// would begin while the state is still being released.
    returned: Vec<Receipt>,
    over: CancellationToken,
    stop: CancellationToken,
}

impl Fences {
    /// Of a queue of a generation, until the session is over or the listener is to stop.
    pub(in crate::agent) fn new(
        ground: &Arc<Ground>,
        queue: &str,
        generation: u64,
        (over, stop): (CancellationToken, CancellationToken),
    ) -> Self {
        let (ground, shape) = (Arc::clone(ground), ground.shape.reader());
        Fences {
            ground,
            queue: queue.into(),
            generation,
            shape,
            passed: BTreeSet::new(),
            returned: Vec::new(),
            over,
            stop,
        }
    }

    /// Takes away what comes behind the last fence: it is not of this queue any more. It goes back when the listener ends, and
    /// the next one sends it on. (A listener that was cut off from the group, and shared its main queue, may have sent it.)
    pub(in crate::agent) fn take_behind(&mut self, packets: &mut Vec<(Packet, Receipt)>) {
        let Some((next, mut missing)) = self.missing() else { return };
        let mut before = 0;
        while let Some((packet, _)) = packets.get(before).filter(|_| !missing.is_empty()) {
            if let Some(fence) = packet.fence.as_ref().filter(|fence| fence.generation == next) {
                missing.remove(&fence.unit);
            }
            before += 1;
        }
        self.returned.extend(packets.drain(before..).map(|(_, receipt)| receipt));
    }

    /// Fences behind which everything is published: noted for the whole group, then settled. `false` when there was no
    /// time for it: the next owner gets them again.
    pub(in crate::agent) async fn pass(&mut self, fences: Vec<(Fence, Receipt)>) -> bool {
        let mut fences = fences.into_iter();
        while let Some((fence, receipt)) = fences.next() {
            let name = shape::fence_mark(&self.queue, &fence.unit);
            if !self.mark(fence.generation, &name).await {
                self.returned.push(receipt);
                self.returned.extend(fences.map(|(_, receipt)| receipt));
                return false;
            }
            self.passed.insert((fence.generation, fence.unit));
            receipt.settle(Verdict::Kept);
        }
        true
    }

    /// The generation to seal this queue for: every main queue's fence has passed it.
    pub(in crate::agent) fn due(&mut self) -> Option<u64> {
        let (next, missing) = self.missing()?;
        missing.is_empty().then_some(next)
    }

    /// The generation that this queue is to be sealed for, and the main queues whose fences have not passed it.
    fn missing(&mut self) -> Option<(u64, BTreeSet<String>)> {
        let shape = self.shape.read().filter(|shape| shape.spec.present.generation == self.generation)?;
        let next = shape.spec.next.as_ref()?.generation;
        let passed = |unit: &String| {
            self.passed.contains(&(next, unit.clone())) || shape.has(&shape::fence_mark(&self.queue, unit))
        };
        Some((next, self.ground.main_units().into_iter().filter(|unit| !passed(unit)).collect()))
    }

    /// Waits until the shape is another: marks of a former owner may show only now.
    pub(in crate::agent) async fn changed(&mut self) {
        self.shape.changed().await;
    }

    /// Notes that the queue is sealed; `false` when there was no time for it: the next owner does it.
    pub(in crate::agent) async fn sealed(&self, generation: u64) -> bool {
        self.mark(generation, &shape::sealed_mark(&self.queue)).await
    }

    async fn mark(&self, generation: u64, name: &str) -> bool {
        let marked = self.stop.run_until_cancelled(self.ground.mark(generation, name, &self.over)).await;
        marked.unwrap_or(false)
    }
}
