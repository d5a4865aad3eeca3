//! The main-queue listener: notifications in; samples and events to the pipelines, in this process or over their queues.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::direct::DirectSinks;
use super::forward::Forwarder;
use super::intake::{Intake, Taken};
use super::packet::{Fence, Fragment};
use super::parking::{Parking, Reason};
use super::posted::Reader;
use super::route::Routes;
use super::shape::Shape;
use super::sink::Parcel;
use crate::cluster::Layout;
use crate::model::envelope::{self, Unreadable};
use crate::model::{Receipt, Verdict};
use crate::observe::{Metrics, ParkReason};
use crate::transport::dispatch::Route;
use crate::transport::{Delivery, TransportError};

/// Where what is converted goes: the one switch between one agent and a group.
pub(super) enum Way {
    /// Without partitioning: to the sinks of this process.
    Direct(Arc<DirectSinks>),
    /// With it: to the pipeline queues, where the listener of the queue's owner takes it up.
    Queues(Box<Queues>),
}

/// The way over the pipeline queues.
pub(super) struct Queues {
    /// Publishes packets.
    pub forwarder: Forwarder,
    /// Which queues there are.
    pub shape: Reader<Option<Arc<Shape>>>,
    /// The unit of this main queue.
    pub unit: String,
    /// The sinks whose old queues know that this main queue sends to those of a generation now.
    pub fenced: BTreeSet<(u64, Arc<str>)>,
}

/// How a listener came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was asked to; everything it took is settled and its channel is closed.
    Stopped,
    /// Its session or its queue is gone, or something had to go back.
    Lost,
    /// Its queue is sealed: what it holds goes on to the next generation, and another kind of listener opens it.
    Sealed,
}

/// One listener on one main queue.
pub(super) struct MainListener {
    /// Deliveries.
    pub intake: Intake,
    /// The configuration; looked at once per batch, so that a reload needs no restart.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// Where it all goes.
    pub way: Way,
    /// For what cannot be read.
    pub parking: Parking,
    /// Counters.
    pub metrics: Metrics,
}

impl MainListener {
    /// Puts the fences that are due: before anything is taken, and whenever the shape is another.
    pub(super) async fn begin(&mut self) -> Result<(), TransportError> {
        let routes = Arc::clone(&self.routes.borrow());
        match &mut self.way {
            Way::Queues(queues) => queues.layout(&routes).await.map(drop),
            Way::Direct(_) => Ok(()),
        }
    }

    /// Runs until stopped or lost.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Ended {
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.intake.next(stop) => taken,
                // An idle main queue has to put its fences as well.
                () = self.way.changed() => {
                    if self.begin().await.is_err() {
                        self.intake.abandon().await;
                        return Ended::Lost;
                    }
                    continue;
                }
            };
            let batch = match taken {
                Taken::Batch(batch) => batch,
                Taken::Stopped => break,
                Taken::Lost => return Ended::Lost,
            };
            if !self.handle(batch).await {
                self.intake.abandon().await;
                return Ended::Lost;
            }
        }
        // The forwarder ends first: its confirms settle what is in flight.
        drop(self.way);
        match self.intake.finish().await {
            Ok(()) => Ended::Stopped,
            Err(_) => Ended::Lost,
        }
    }

    /// Takes a batch as far as this listener takes it; `false` when the session is over.
    async fn handle(&mut self, batch: Vec<Delivery>) -> bool {
        let routes = Arc::clone(&self.routes.borrow());
        let mut yielded = Vec::new();
        if let Some(first) = batch.first() {
            let again = batch.iter().filter(|d| d.redelivered).count();
            self.metrics.notifications_received(&first.queue, batch.len() as u64, again as u64);
        }
        for delivery in batch {
            match read(&routes, &delivery, &self.metrics) {
                Ok(fragments) if fragments.is_empty() => delivery.receipt.settle(Verdict::Kept),
                Ok(fragments) => {
                    for (sink, fragment) in fragments {
                        yielded.push((sink, fragment, delivery.receipt.split()));
                    }
                    // The parts in the fragments now carry the delivery.
                    delivery.receipt.settle(Verdict::Kept);
                }
                Err(reason) => {
                    let Delivery { queue, body, receipt, .. } = delivery;
                    if let Err(error) = self.parking.park(&queue, body, &reason).await {
                        self.metrics.parking_failed(&queue, &error.to_string());
                        return false;
                    }
                    receipt.settle(Verdict::Parked);
                }
            }
        }
        match &mut self.way {
            Way::Direct(sinks) => hand_over(sinks, &routes, yielded).await,
            Way::Queues(queues) => queues.forward(&routes, yielded).await.is_ok(),
        }
    }
}

impl Way {
    /// Waits until the pipeline queues are to be others.
    async fn changed(&mut self) {
        match self {
            Way::Queues(queues) => queues.shape.changed().await,
            Way::Direct(_) => std::future::pending().await,
        }
    }
}

impl Queues {
    async fn forward(
        &mut self,
        routes: &Routes,
        yielded: Vec<(usize, Fragment, Receipt)>,
    ) -> Result<(), TransportError> {
        let layout = self.layout(routes).await?;
        self.forwarder.forward(routes, &layout, yielded).await
    }

    /// The layout to route by. Where it is another than the present one, the old queues are told first.
    async fn layout(&mut self, routes: &Routes) -> Result<Layout, TransportError> {
        let shape = self.shape.read();
        let shape = shape.ok_or_else(|| TransportError::Refused("the group has no specification yet".to_owned()))?;
        if let Some(next) = &shape.spec.next {
            for slot in &routes.sinks {
                let known = (next.generation, Arc::clone(&slot.name));
                if !self.fenced.contains(&known) {
                    let fence = Fence { generation: next.generation, unit: self.unit.clone() };
                    self.forwarder.fence(shape.present(slot), &fence).await?;
                    self.fenced.insert(known);
                }
            }
        }
        Ok(shape.routing().clone())
    }
}

/// Groups by sink, in order, and waits for room at each.
async fn hand_over(sinks: &DirectSinks, routes: &Routes, yielded: Vec<(usize, Fragment, Receipt)>) -> bool {
    let mut by_sink: Vec<Vec<Parcel>> = routes.sinks.iter().map(|_| Vec::new()).collect();
    for (sink, fragment, receipt) in yielded {
        by_sink[sink].push(Parcel { fragment, receipt });
    }
    for (slot, parcels) in routes.sinks.iter().zip(by_sink) {
        if !parcels.is_empty() && !sinks.hand_over(slot, parcels).await {
            return false;
        }
    }
    true
}

/// What a message yields for the sinks, or why it has to be parked.
fn read(routes: &Routes, delivery: &Delivery, metrics: &Metrics) -> Result<Vec<(usize, Fragment)>, Reason> {
    if let Some(packed) = &delivery.packed {
        return Err(Reason { kind: ParkReason::Unreadable, text: packed.to_string() });
    }
    let notification = envelope::open(&delivery.body).map_err(|unreadable| Reason {
        kind: match unreadable {
            Unreadable::Priority(_) => ParkReason::UnknownPriority,
            _ => ParkReason::Unreadable,
        },
        text: unreadable.to_string(),
    })?;
    if routes.dispatcher.route(&notification) == Route::Nobody {
        metrics.notification_unwanted(notification.priority());
        return Ok(Vec::new());
    }
    // The converter is total; should a mistake of ours panic all the same, one message is parked and nothing loops.
    let converted = catch_unwind(AssertUnwindSafe(|| routes.converter.convert(&notification))).map_err(|_| Reason {
        kind: ParkReason::Poison,
        text: "a mistake in the converter: please report it".to_owned(),
    })?;
    metrics.converted(&converted.samples, &converted.events);
    converted.complaints.iter().for_each(|complaint| metrics.complained(complaint));
    let mut complaints = Vec::new();
    let fragments = routes.fragments(&notification, converted, &mut complaints);
    complaints.iter().for_each(|complaint| metrics.complained(complaint));
    Ok(fragments)
}
