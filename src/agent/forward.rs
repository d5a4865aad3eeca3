//! The first hop of a partitioned group: fragments are packed by pipeline queue and published with pipelined confirms;
//! the originals are settled when everything they yielded is confirmed.

use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::mpsc;

use super::packet::{Fence, PacketBounds, PacketBuilder};
use super::route::Routes;
use super::sabotage::{self, Sabotage};
use super::written::Written;
use crate::cluster::Layout;
use crate::model::{Receipt, Verdict};
use crate::observe::Metrics;
use crate::transport::{Confirmation, Outgoing, Session, TransportError, topology};

/// Packets published and not confirmed yet, at most; the session bounds their bytes.
pub(super) const UNCONFIRMED_PACKETS_MAX: usize = 1_024;

/// What a packet says it is.
const CONTENT_TYPE: &str = "application/json";

/// Publishes what one main-queue listener converts. Bound to one session: a lost one ends the listener.
pub(super) struct Forwarder {
    session: Arc<dyn Session>,
    group: Arc<str>,
    member: Arc<str>,
    epoch: i64,
    bounds: PacketBounds,
    sabotage: Option<Sabotage>,
    sequences: HashMap<String, u64>,
    unconfirmed: mpsc::Sender<Sent>,
}

/// A published packet and what hangs on its confirm.
pub(super) struct Sent {
    queue: String,
    bytes: usize,
    confirmation: Confirmation,
    receipts: Vec<Receipt>,
}

/// What one listener says of itself in its packets.
pub(super) struct Sender {
    /// The group's name, part of the names of queues.
    pub group: Arc<str>,
    /// The member id.
    pub member: Arc<str>,
    /// The epoch of the main queue it owns.
    pub epoch: i64,
    /// What is done wrong on purpose.
    pub sabotage: Option<Sabotage>,
}

impl Forwarder {
    /// A forwarder, and the confirms that [`settle_confirmed`] must be run on.
    pub(super) fn new(session: Arc<dyn Session>, sender: Sender, bounds: PacketBounds) -> (Self, mpsc::Receiver<Sent>) {
        let (unconfirmed, confirms) = mpsc::channel(UNCONFIRMED_PACKETS_MAX);
        let Sender { group, member, epoch, sabotage } = sender;
        let sequences = HashMap::new();
        (Forwarder { session, group, member, epoch, bounds, sabotage, sequences, unconfirmed }, confirms)
    }

    /// Publishes what a batch of notifications yielded: one packet per pipeline queue, more where the bounds ask for it.
    ///
    /// An error means that the session is over; every receipt that is not confirmed goes back by itself.
    pub(super) async fn forward(
        &mut self,
        routes: &Routes,
        layout: &Layout,
        yielded: Vec<(usize, Written, Receipt)>,
    ) -> Result<(), TransportError> {
        let mut open: BTreeMap<(usize, u16), (PacketBuilder, Vec<Receipt>)> = BTreeMap::new();
        for (sink, written, receipt) in yielded {
            for (queue, records) in written.by_queue(&layout.table) {
                let queue = match self.sabotage {
                    Some(Sabotage::RandomHash) => sabotage::other_queue(&self.member, queue, layout.table.queues()),
                    _ => queue,
                };
                let name = || name(&self.group, &routes.sinks[sink].name, layout, queue);
                let (packet, receipts) = match open.entry((sink, queue)) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        let sequence = next(&mut self.sequences, name());
                        entry.insert((PacketBuilder::new(&self.member, self.epoch, sequence), Vec::new()))
                    }
                };
                packet.push_written(written.head(), &records);
                receipts.push(receipt.split());
                if packet.is_full(self.bounds)
                    && let Some(full) = open.remove(&(sink, queue))
                {
                    send(&*self.session, &self.unconfirmed, name(), full).await?;
                }
            }
            // The parts in the packets now carry the delivery.
            receipt.settle(Verdict::Kept);
        }
        for ((sink, queue), packet) in open {
            let name = name(&self.group, &routes.sinks[sink].name, layout, queue);
            send(&*self.session, &self.unconfirmed, name, packet).await?;
        }
        Ok(())
    }

    /// Tells the present queues of a sink that nothing more comes from this main queue, and waits until they know.
    pub(super) async fn fence(&mut self, queues: Vec<String>, fence: &Fence) -> Result<(), TransportError> {
        self.tell(queues, |member, epoch, sequence| PacketBuilder::fence(member, epoch, sequence, fence)).await
    }

    /// Tells queues that another listener consumes the same main queue, and waits until they know: before the first
    /// message of it is taken, or what the other one takes after that would be there first.
    pub(super) async fn overlap(&mut self, queues: Vec<String>) -> Result<(), TransportError> {
        self.tell(queues, PacketBuilder::overlap).await
    }

    async fn tell(
        &mut self,
        queues: Vec<String>,
        packet: impl Fn(&str, i64, u64) -> Vec<u8>,
    ) -> Result<(), TransportError> {
        let mut confirmations = Vec::with_capacity(queues.len());
        for queue in queues {
            let sequence = next(&mut self.sequences, queue.clone());
            let body = packet(&self.member, self.epoch, sequence).into();
            confirmations.push(self.session.publish(Outgoing::to_queue(&queue, body, CONTENT_TYPE)).await?);
        }
        for confirmation in confirmations {
            confirmation.wait().await?;
        }
        Ok(())
    }
}

/// The name of a sink's pipeline queue.
fn name(group: &str, sink: &str, layout: &Layout, queue: u16) -> String {
    topology::pipeline_queue_name(group, sink, layout.generation, queue.into())
}

fn next(sequences: &mut HashMap<String, u64>, queue: String) -> u64 {
    let sequence = sequences.entry(queue).or_default();
    *sequence += 1;
    *sequence
}

async fn send(
    session: &dyn Session,
    unconfirmed: &mpsc::Sender<Sent>,
    queue: String,
    (packet, receipts): (PacketBuilder, Vec<Receipt>),
) -> Result<(), TransportError> {
    let body = Bytes::from(packet.finish());
    let bytes = body.len();
    let confirmation = session.publish(Outgoing::to_queue(&queue, body, CONTENT_TYPE)).await?;
    // The receiver lives as long as the listener; if it is gone the receipts go back by being dropped.
    let _gone = unconfirmed.send(Sent { queue, bytes, confirmation, receipts }).await;
    Ok(())
}

/// Settles receipts as the broker confirms the packets they hang on; ends when the forwarder is gone and all is known.
pub(super) async fn settle_confirmed(mut confirms: mpsc::Receiver<Sent>, metrics: Metrics) {
    while let Some(Sent { queue, bytes, confirmation, receipts }) = confirms.recv().await {
        match confirmation.wait().await {
            Ok(()) => {
                metrics.packet_sent(&queue, receipts.len(), bytes);
                receipts.into_iter().for_each(|receipt| receipt.settle(Verdict::Kept));
            }
            // Dropping the receipts returns the originals, which ends the listener: nothing is acknowledged.
            Err(error) => metrics.packet_not_taken(&queue, &error.to_string()),
        }
    }
}
