//! The main-queue listener: notifications in; samples and events to the pipelines, in this process or over their queues.

use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::way::Way;
use crate::agent::parked::parking::Parking;
use crate::agent::runtime::task_group::TaskGroup;
use crate::agent::runtime::until::Until;
use crate::agent::stages::conversion::{Conversion, Converted, Read};
use crate::agent::stages::intake::{Ended, Intake, Taken};
use crate::agent::stages::route::Routes;
use crate::model::Verdict;
use crate::observe::Metrics;
use crate::transport::Delivery;

/// One listener on one main queue.
pub(in crate::agent) struct MainListener<W: Way> {
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
    pub tasks: TaskGroup,
    /// Counters.
    pub metrics: Metrics,
}

impl<W: Way> MainListener<W> {
    /// Runs until stopped or lost.
    pub(in crate::agent) async fn run(mut self, stop: &CancellationToken) -> Ended {
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
                Read::Unfit(unfit) => self.parking.set_aside(unfit, until, &self.tasks).await,
            }
        }
        let more = !self.conversion.is_idle() || self.intake.has_ready();
        self.way.take(&routes, yielded, more).await
    }
}
