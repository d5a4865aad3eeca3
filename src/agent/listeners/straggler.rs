//! The listener of a sealed pipeline queue: what still comes here, from a sender that did not know, goes on to the queues
//! of the next generation. Who gets it there knows by its ids what took effect before.

use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::unpack::read;
use crate::agent::packets::written::Written;
use crate::agent::resize::shape::Shape;
use crate::agent::runtime::nursery::Nursery;
use crate::agent::runtime::posted::Reader;
use crate::agent::sinks::deliver::SinkContext;
use crate::agent::stages::forward::Forwarder;
use crate::agent::stages::intake::{Ended, Intake, Taken};
use crate::agent::stages::route::Routes;
use crate::model::Verdict;

/// One listener on one sealed queue.
pub(in crate::agent) struct Straggler {
    /// Deliveries.
    pub intake: Intake,
    /// The name of the queue's sink.
    pub sink: Arc<str>,
    /// The configuration.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// Where the next queues are.
    pub shape: Reader<Option<Arc<Shape>>>,
    /// The way there.
    pub forwarder: Forwarder,
    /// For what is no packet.
    pub context: SinkContext,
    /// For what cannot be parked at once.
    pub nursery: Nursery,
}

impl Straggler {
    /// Runs until stopped or lost.
    pub(in crate::agent) async fn run(mut self, stop: &CancellationToken) -> Ended {
        let ended = self.work(stop).await;
        let Straggler { forwarder, intake, .. } = self;
        if ended == Ended::Lost {
            forwarder.abandon();
        }
        drop(forwarder);
        intake.end(ended).await
    }

    async fn work(&mut self, stop: &CancellationToken) -> Ended {
        loop {
            let batch = match self.intake.next(stop).await {
                Taken::Batch(batch) => batch,
                Taken::Stopped => return Ended::Stopped,
                Taken::Lost => return Ended::Lost,
            };
            let packets = read(&self.context, &self.nursery, batch).await;
            let routes = Arc::clone(&self.routes.borrow());
            let Some(shape) = self.shape.read() else { return Ended::Lost };
            let sink = routes.sinks.iter().position(|slot| slot.name == self.sink);
            let mut yielded = Vec::new();
            for (packet, receipt) in packets {
                self.context.offer.metrics.packet_straggled(&self.sink, packet.fragments.len());
                for fragment in packet.fragments {
                    // A sink that is configured no more has nobody to take it: it stays until one has.
                    let Some(sink) = sink else { return Ended::Lost };
                    yielded.push((sink, Written::from(fragment), receipt.split()));
                }
                receipt.settle(Verdict::Kept);
            }
            self.forwarder.forward(&routes, shape.routing(), yielded);
        }
    }
}
