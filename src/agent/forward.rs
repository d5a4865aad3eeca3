//! The first hop of a partitioned group: what a batch of notifications yields is put into the lanes to the pipeline queues;
//! the originals are settled when everything they yielded is confirmed.

use std::sync::Arc;

use super::ground::Ground;
use super::lanes::{self, Lanes};
use super::packet::{Fence, PacketBuilder};
use super::route::Routes;
use super::written::Written;
use crate::cluster::Layout;
use crate::model::{Receipt, Verdict};
use crate::transport::{Session, TransportError, topology};

/// Forwards what one listener converts. Bound to one session: a lost one ends the listener.
pub(super) struct Forwarder {
    group: Arc<str>,
    lanes: Lanes,
}

impl Forwarder {
    /// A forwarder of the listener of a queue, in an epoch of its ownership.
    pub(super) fn new(ground: &Arc<Ground>, session: Arc<dyn Session>, queue: &str, epoch: i64) -> Self {
        let group = Arc::clone(&ground.group);
        let lanes = Lanes::new(&ground.member, epoch, ground.options.packet);
        let carry = lanes::carry(lanes.clone(), session, Arc::clone(ground));
        ground.nursery.spawn(&format!("packets of {queue}"), carry);
        Forwarder { group, lanes }
    }

    /// Puts what a batch of notifications yielded into the lanes. Every receipt that is not confirmed when the session is over
    /// goes back by itself.
    pub(super) fn forward(&self, routes: &Routes, layout: &Layout, yielded: Vec<(usize, Written, Receipt)>) {
        for (sink, written, receipt) in yielded {
            for (queue, records) in written.by_queue(&layout.table) {
                let sink = &routes.sinks[sink].name;
                let name = topology::pipeline_queue_name(&self.group, sink, layout.generation, queue.into());
                self.lanes.push(name, written.head(), &records, receipt.split());
            }
            // The parts in the packets now carry the delivery.
            receipt.settle(Verdict::Kept);
        }
        self.lanes.send();
    }

    /// Tells the present queues of a sink that nothing more comes from this main queue, and waits until they know.
    pub(super) async fn fence(&self, queues: Vec<String>, fence: &Fence) -> Result<(), TransportError> {
        let packet = |member: &str, epoch, sequence| PacketBuilder::fence(member, epoch, sequence, fence);
        self.lanes.tell(queues, packet).await
    }

    /// The listener is over, and what it took is back in its queue: nothing more of it is sent.
    pub(super) fn abandon(&self) {
        self.lanes.abandon();
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.lanes.close();
    }
}
