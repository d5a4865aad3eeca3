//! The main-queue listener: notifications in; samples and events to the pipelines, in this process or over their queues.

use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::conversion::{Conversion, Converted, Part, Read};
use super::direct::DirectWay;
use super::forward::Forwarder;
use super::intake::{Intake, Taken};
use super::nursery::Nursery;
use super::packet::Fragment;
use super::parking::Parking;
use super::route::Routes;
use super::sink::Parcel;
use super::until::Until;
use super::written::Written;
use crate::cluster::Layout;
use crate::model::{Receipt, Verdict};
use crate::observe::Metrics;
use crate::transport::Delivery;

/// Where what is converted goes: the one difference between an agent alone and a group.
pub(super) trait Way: Send {
    /// What a fragment is made into where it is converted.
    type Part: Part;

    /// The listener is over, and what it took is back in its queue: nothing of it is sent or published from here.
    fn abandon(&self);
    /// Takes what a batch yielded, by sink; `false` when nothing can be taken any more.
    fn take(&mut self, routes: &Routes, yielded: Yielded<Self::Part>) -> impl Future<Output = bool> + Send;
}

/// What a batch yielded, in order: the sink, the part, and its share of the receipt.
pub(super) type Yielded<T> = Vec<(usize, T, Receipt)>;

/// The way over the pipeline queues, where the listener of the queue's owner takes it up.
pub(super) struct Queues {
    /// Publishes packets.
    pub forwarder: Forwarder,
    /// Which queues there are: another layout is used by another listener.
    pub layout: Layout,
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
    /// Its queue is deleted.
    Deleted,
}

/// One listener on one main queue.
pub(super) struct MainListener<W: Way> {
    /// Deliveries.
    pub intake: Intake,
    /// The configuration; looked at once per batch, so that a reload needs no restart.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// What is taken and not gone on yet.
    pub conversion: Conversion<W::Part>,
    /// Where it all goes.
    pub way: W,
    /// For what cannot be read.
    pub parking: Parking,
    /// For what cannot be parked at once.
    pub nursery: Nursery,
    /// Counters.
    pub metrics: Metrics,
}

impl<W: Way> MainListener<W> {
    /// Runs until stopped or lost.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Ended {
        let until = self.intake.until(stop);
        let worked = until.over.run_until_cancelled(self.work(stop, &until)).await;
        let ended = worked.unwrap_or(Ended::Lost);
        let MainListener { way, intake, .. } = self;
        if ended == Ended::Lost {
            way.abandon();
        }
        // The forwarder ends first: its confirms settle what is in flight.
        drop(way);
        intake.end(ended).await
    }

    async fn work(&mut self, stop: &CancellationToken, until: &Until) -> Ended {
        loop {
            tokio::select! {
                biased;
                converted = self.conversion.next(), if !self.conversion.is_idle() => {
                    if !self.go_on(converted, until).await {
                        return Ended::Lost;
                    }
                }
                taken = self.intake.next(stop), if self.conversion.has_room() => match taken {
                    Taken::Batch(batch) => self.convert(batch),
                    Taken::Stopped => break,
                    Taken::Lost => return Ended::Lost,
                },
            }
        }
        while !self.conversion.is_idle() {
            let converted = self.conversion.next().await;
            if !self.go_on(converted, until).await {
                return Ended::Lost;
            }
        }
        Ended::Stopped
    }

    fn convert(&mut self, batch: Vec<Delivery>) {
        if let Some(first) = batch.first() {
            let again = batch.iter().filter(|d| d.redelivered).count();
            self.metrics.notifications_received(&first.queue, batch.len() as u64, again as u64);
        }
        let routes = Arc::clone(&self.routes.borrow());
        self.conversion.begin(&routes, batch);
    }

    /// Takes a batch as far as this listener takes it; `false` when the session is over.
    async fn go_on(&mut self, converted: Option<Converted<W::Part>>, until: &Until) -> bool {
        let Some(Converted { routes, messages }) = converted else { return false };
        let mut yielded = Vec::with_capacity(2 * messages.len());
        for message in messages {
            match message {
                Read::Yields(parts, receipt) => {
                    yielded.extend(parts.into_iter().map(|(sink, part)| (sink, part, receipt.split())));
                    // The parts now carry the delivery; where there are none, it is done with.
                    receipt.settle(Verdict::Kept);
                }
                Read::Unfit(unfit) => self.parking.set_aside(unfit, until, &self.nursery).await,
            }
        }
        self.way.take(&routes, yielded).await
    }
}

impl Way for Queues {
    type Part = Written;

    fn abandon(&self) {
        self.forwarder.abandon();
    }

    async fn take(&mut self, routes: &Routes, yielded: Yielded<Written>) -> bool {
        self.forwarder.forward(routes, &self.layout, yielded);
        true
    }
}

/// To the sinks of this process.
impl Way for DirectWay {
    type Part = Fragment;

    fn abandon(&self) {
        DirectWay::abandon(self);
    }

    /// Groups by sink, in order, and waits for room at each.
    async fn take(&mut self, routes: &Routes, yielded: Yielded<Fragment>) -> bool {
        let mut by_sink: Vec<Vec<Parcel>> = routes.sinks.iter().map(|_| Vec::new()).collect();
        for (sink, fragment, receipt) in yielded {
            by_sink[sink].push(Parcel { fragment, receipt });
        }
        for (slot, parcels) in routes.sinks.iter().zip(by_sink) {
            if !parcels.is_empty() && !self.hand_over(slot, parcels).await {
                return false;
            }
        }
        true
    }
}
