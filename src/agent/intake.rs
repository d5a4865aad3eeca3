//! Taking deliveries from a queue: as much as is there, never waiting for more, and an orderly end.

use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ground::AgentOptions;
use super::main_listener::Ended;
use super::nursery::Nursery;
use super::sabotage::{self, Sabotage};
use crate::model::Receipt;
use crate::observe::Metrics;
use crate::transport::{Consumer, Delivery, TransportError};

/// How much is taken at once.
#[derive(Debug, Clone, Copy)]
pub struct IntakeBounds {
    /// Messages at most.
    pub messages_max: usize,
    /// Bytes of bodies after which no further message is taken.
    pub bytes_max: usize,
}

/// What the next look at the queue gave.
pub(super) enum Taken {
    /// At least one delivery, in order.
    Batch(Vec<Delivery>),
    /// The listener was asked to stop.
    Stopped,
    /// The consumer is over: session lost, queue deleted, or something was returned.
    Lost,
}

/// A consumer and the count of what it gave that is not settled yet.
pub(super) struct Intake {
    consumer: Box<dyn Consumer>,
    bounds: IntakeBounds,
    in_flight: TaskTracker,
    metrics: Metrics,
    nursery: Nursery,
    sabotage: Option<Sabotage>,
}

impl Intake {
    /// An intake from a consumer.
    pub(super) fn new(
        consumer: Box<dyn Consumer>,
        options: &AgentOptions,
        metrics: &Metrics,
        nursery: &Nursery,
    ) -> Self {
        Intake {
            consumer,
            bounds: options.intake,
            in_flight: TaskTracker::new(),
            metrics: metrics.clone(),
            nursery: nursery.clone(),
            sabotage: options.sabotage,
        }
    }

    /// Waits for a delivery and takes what else is already here.
    pub(super) async fn next(&mut self, stop: &CancellationToken) -> Taken {
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => return Taken::Stopped,
            delivery = self.consumer.next() => match delivery {
                Some(delivery) => delivery,
                None => return Taken::Lost,
            },
        };
        let mut bytes = first.body.len();
        let mut batch = vec![self.counted(first)];
        while batch.len() < self.bounds.messages_max && bytes < self.bounds.bytes_max {
            let Some(delivery) = self.consumer.ready() else { break };
            bytes += delivery.body.len();
            batch.push(self.counted(delivery));
        }
        Taken::Batch(batch)
    }

    /// Waits until everything taken is settled, then closes the channel: what was delivered but not taken is back in
    /// its queue, in order, when this returns.
    async fn finish(self) -> Result<(), TransportError> {
        self.in_flight.close();
        self.in_flight.wait().await;
        if self.sabotage == Some(Sabotage::CancelHandover) {
            self.nursery.spawn("a cancelled consumer", sabotage::cancel(self.consumer));
            return Ok(());
        }
        self.consumer.close().await
    }

    /// Closes the channel, however the listener came to its end, and says how that is. What was not settled is back in
    /// its queue when this returns. The unit may be given up only then: its next owner would be given later messages first.
    pub(super) async fn end(self, ended: Ended) -> Ended {
        if ended == Ended::Lost {
            // Nothing in flight is waited for. Where the session is over, so is the channel.
            let _over = self.consumer.close().await;
            return ended;
        }
        match self.finish().await {
            Ok(()) => ended,
            Err(_) => Ended::Lost,
        }
    }

    /// A receipt that counts as in flight until it is settled.
    fn counted(&self, mut delivery: Delivery) -> Delivery {
        let (token, metrics, queue) = (self.in_flight.token(), self.metrics.clone(), Arc::clone(&delivery.queue));
        let (inner, came) = (delivery.receipt, Instant::now());
        delivery.receipt = Receipt::new(move |verdict| {
            inner.settle(verdict);
            metrics.delivery_settled(&queue, verdict, came.elapsed());
            drop(token);
        });
        delivery
    }
}
