//! The main-queue listener: notifications in; samples and events to the pipelines, in this process or over their queues.

use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::source::MainQueue;
use super::way::Way;
use crate::agent::books::Account;
use crate::agent::packets::encoding::Part;
use crate::agent::packets::lane::Expected;
use crate::agent::parked::parking::Parking;
use crate::agent::runtime::task_group::TaskGroup;
use crate::agent::runtime::until::Until;
use crate::agent::stages::conversion::{Conversion, Converted, Read};
use crate::agent::stages::intake::{Ended, Intake, Taken};
use crate::agent::stages::route::Routes;
use crate::model::Verdict;
use crate::observe::Metrics;
use crate::transport::{Delivery, Why};

/// One listener on one main queue.
pub(in crate::agent) struct MainListener<W: Way> {
    /// Why the consumer is over, once it is, in the broker's words where it said something.
    pub why: Why,
    /// The queue.
    pub source: MainQueue,
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
    /// What is settled is counted here.
    pub account: Arc<Account>,
}

/// How a listener goes on that has worked for a while.
enum Next {
    /// Not at all.
    End(Ended),
    /// With so many unacknowledged messages. What was taken is settled.
    Consume(u16),
}

impl<W: Way> MainListener<W> {
    /// Runs until stopped or lost.
    pub(in crate::agent) async fn run(mut self, stop: &CancellationToken) -> Ended {
        let ended = loop {
            let until = self.intake.until(stop);
            let worked = until.over.run_until_cancelled(self.work(stop, &until)).await;
            let messages = match worked.unwrap_or(Next::End(Ended::Lost)) {
                Next::Consume(messages) => messages,
                Next::End(ended) => break ended,
            };
            self.intake = match self.source.consume_with(messages, self.intake, stop).await {
                Ok(intake) => intake,
                // Nothing of what was taken is on its way any more.
                Err(ended) => return ended,
            };
            if !self.way.is_current().await {
                break Ended::Lost;
            }
        };
        let MainListener { mut source, way, intake, why, .. } = self;
        let said = source.over(&intake).or_else(|| intake.why().get().cloned());
        if ended == Ended::Lost {
            way.abandon();
        }
        // The forwarder ends first: its confirms settle what is in flight.
        drop(way);
        if let Some(said) = said {
            // Nobody else sets it.
            let _never_set = why.set(said);
        }
        intake.end(ended).await
    }

    async fn work(&mut self, stop: &CancellationToken, until: &Until) -> Next {
        loop {
            tokio::select! {
                biased;
                converted = self.conversion.next(), if !self.conversion.is_idle() => {
                    if !self.go_on(converted, until).await {
                        return Next::End(Ended::Lost);
                    }
                }
                taken = self.intake.next(stop), if self.conversion.has_room() => match taken {
                    Taken::Batch(batch) => self.convert(batch),
                    Taken::Stopped => break,
                    Taken::Lost => return Next::End(Ended::Lost),
                },
            }
            if let Some(messages) = self.source.better(&self.intake) {
                if !self.finish(until).await {
                    return Next::End(Ended::Lost);
                }
                // While the group is silent nobody may let go of what he has.
                if self.intake.all_settled(stop).await && self.way.is_current().await {
                    return Next::Consume(messages);
                }
                self.source.not_now();
            }
        }
        let finished = self.finish(until).await;
        Next::End(if finished { Ended::Stopped } else { Ended::Lost })
    }

    /// Goes on with all that is in conversion; `false` when the session is over.
    async fn finish(&mut self, until: &Until) -> bool {
        while !self.conversion.is_idle() {
            let converted = self.conversion.next().await;
            if !self.go_on(converted, until).await {
                return false;
            }
        }
        true
    }

    fn convert(&mut self, batch: Vec<Delivery>) {
        if let Some(first) = batch.first() {
            let again = batch.iter().filter(|d| d.redelivered).count();
            self.metrics.notifications_received(&first.queue, batch.len() as u64, again as u64);
        }
        self.source.took(&batch);
        let routes = Arc::clone(&self.routes.borrow());
        self.conversion.begin(&routes, batch);
    }

    /// Takes a batch as far as this listener takes it; `false` when the session is over.
    async fn go_on(&mut self, converted: Option<Converted<W::Part>>, until: &Until) -> bool {
        let Some(Converted { routes, messages }) = converted else { return false };
        let mut yielded = Vec::with_capacity(2 * messages.len());
        for message in messages {
            match message {
                Read::Yields(parts, receipt) if parts.is_empty() => {
                    self.account.nothing();
                    receipt.settle(Verdict::Kept);
                }
                Read::Yields(parts, receipt) => {
                    let receipt = self.account.going_on(receipt, given(&routes, &parts));
                    yielded.extend(parts.into_iter().map(|(sink, part)| (sink, part, receipt.split())));
                    // The parts now carry the delivery.
                    receipt.settle(Verdict::Kept);
                }
                Read::Unfit(mut unfit) => {
                    unfit.receipt = self.account.unread(unfit.receipt);
                    self.parking.set_aside(unfit, until, &self.tasks).await;
                }
            }
        }
        let more = !self.conversion.is_idle() || self.intake.has_ready();
        self.way.take(&routes, yielded, Expected { more, at_once: self.source.messages() }).await
    }
}

/// How many records a notification gives for each sink.
fn given<P: Part>(routes: &Routes, parts: &[(usize, P)]) -> Vec<(Arc<str>, u64)> {
    let mut given: Vec<(Arc<str>, u64)> = Vec::with_capacity(parts.len());
    for (sink, part) in parts {
        let (sink, records) = (&routes.sinks[*sink].name, part.count() as u64);
        match given.iter_mut().find(|(known, _)| Arc::ptr_eq(known, sink)) {
            Some((_, known)) => *known += records,
            None => given.push((Arc::clone(sink), records)),
        }
    }
    given
}
