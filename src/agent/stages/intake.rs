//! Taking deliveries from a queue: as much as is there, never waiting for more, and an orderly end.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::rescue::Rescue;
use super::trace;
use crate::agent::books::Account;
use crate::agent::runtime::Context;
use crate::agent::runtime::until::Until;
use crate::model::Receipt;
use crate::observe::desk::tally::Tally;
use crate::transport::{ConsumeOptions, Delivery, Session, TransportError, Why};

/// Who wants everything taken to be settled waits no longer than this.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// What the next look at the queue gave.
pub(in crate::agent) enum Taken {
    /// At least one delivery, in order.
    Batch(Vec<Delivery>),
    /// The listener was asked to stop.
    Stopped,
    /// The consumer is over: session lost, queue deleted, or something was returned.
    Lost,
}

/// How a listener came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) enum Ended {
    /// It was asked to; everything it took is settled and its channel is closed.
    Stopped,
    /// Its session or its queue is gone, or something had to go back.
    Lost,
    /// Its queue is sealed: what it holds goes on to the next generation, and another kind of listener opens it.
    Sealed,
    /// Its queue is deleted.
    Deleted,
}

/// A consumer and the count of what it gave that is not settled yet.
pub(in crate::agent) struct Intake {
    deliveries: Rescue,
    in_flight: TaskTracker,
    /// Cancelled when it gives nothing more, also while nobody asks.
    over: CancellationToken,
    why: Why,
    context: Arc<Context>,
    account: Arc<Account>,
    /// Of the queue. What comes from its rescue queue is counted as of the queue, too.
    tally: Arc<Tally>,
}

impl Intake {
    /// Begins to consume a queue in whose rescue queue so many messages wait: those come first.
    pub(in crate::agent) async fn open(
        context: &Arc<Context>,
        session: &Arc<dyn Session>,
        queue: &str,
        options: ConsumeOptions,
        (rescued, account): (u32, &Arc<Account>),
    ) -> Result<Intake, TransportError> {
        let consumer = session.consume(queue, options.clone()).await?;
        let prefetch = options.prefetch_messages;
        let (over, why) = (consumer.over().child_token(), consumer.why());
        let queue: Arc<str> = queue.into();
        let deliveries = Rescue::open(context, session, &queue, (consumer, options), rescued, over.clone()).await?;
        let (in_flight, context, account) = (TaskTracker::new(), Arc::clone(context), Arc::clone(account));
        account.holds(&in_flight, prefetch);
        let tally = context.metrics.tally(&queue);
        Ok(Intake { deliveries, in_flight, over, why, context, account, tally })
    }

    /// Until when the listener may hold what it took.
    pub(in crate::agent) fn until(&self, stop: &CancellationToken) -> Until {
        Until { stop: stop.clone(), over: self.over.clone() }
    }

    /// Why it gives nothing more, in the broker's words where it said something.
    pub(in crate::agent) fn why(&self) -> Why {
        Arc::clone(&self.why)
    }

    /// Waits for a delivery and takes what else is already here.
    pub(in crate::agent) async fn next(&mut self, stop: &CancellationToken) -> Taken {
        // The other tasks run once first, so that more is here: each batch costs wake-ups and a write at its end.
        tokio::task::yield_now().await;
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => return Taken::Stopped,
            () = self.over.cancelled() => return Taken::Lost,
            delivery = self.deliveries.next() => match delivery {
                Some(delivery) => delivery,
                None => return Taken::Lost,
            },
        };
        let bounds = self.context.options.intake;
        let mut bytes = first.body.len();
        let mut batch = vec![self.counted(first)];
        while batch.len() < bounds.messages_max && bytes < bounds.bytes_max {
            let Some(delivery) = self.deliveries.ready() else { break };
            bytes += delivery.body.len();
            batch.push(self.counted(delivery));
        }
        Taken::Batch(batch)
    }

    /// How many deliveries are taken and not settled.
    pub(in crate::agent) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Waits until everything taken is settled; `false` where something is held for longer than [`SETTLED_WITHIN`], or the
    /// listener is to stop. It owns what it waits for: threads cannot share a consumer.
    pub(in crate::agent) fn all_settled(&self, stop: &CancellationToken) -> impl Future<Output = bool> + Send + use<> {
        let (in_flight, stop) = (self.in_flight.clone(), stop.clone());
        async move {
            in_flight.close();
            let settled = tokio::select! {
                biased;
                () = stop.cancelled() => false,
                () = in_flight.wait() => true,
                () = tokio::time::sleep(SETTLED_WITHIN) => false,
            };
            in_flight.reopen();
            settled
        }
    }

    /// From now on no more than so many bytes of bodies wait to be taken: the consumer ends, and they go back, if more come.
    pub(in crate::agent) fn hold_at_most(&self, bytes: usize) {
        self.deliveries.hold_at_most(bytes);
    }

    /// Whether it gives nothing more because more came than may wait.
    pub(in crate::agent) fn is_overfull(&self) -> bool {
        self.deliveries.is_overfull()
    }

    /// Whether there is something to take already.
    pub(in crate::agent) fn has_ready(&self) -> bool {
        self.deliveries.has_ready()
    }

    /// Closes the channel, however the listener came to its end, and says how that is. What was not settled is back in
    /// its queue when this returns. The queue may be given up only then: its next owner would be given later messages first.
    pub(in crate::agent) async fn end(self, ended: Ended) -> Ended {
        let Intake { deliveries, in_flight, over, .. } = self;
        if ended != Ended::Lost {
            // Everything taken is settled, or it is known that it never will be.
            in_flight.close();
            tokio::select! {
                biased;
                () = in_flight.wait() => {}
                () = over.cancelled() => {}
            }
        }
        // Where the session is over, so are the channels.
        let Some(consumer) = deliveries.close().await else { return Ended::Lost };
        match consumer.close().await {
            Ok(()) => ended,
            Err(_) => Ended::Lost,
        }
    }

    /// A receipt that counts as in flight until it is settled.
    fn counted(&self, mut delivery: Delivery) -> Delivery {
        let (token, metrics) = (self.in_flight.token(), self.context.metrics.clone());
        let (queue, again) = (Arc::clone(&delivery.queue), delivery.redelivered);
        let (account, tally) = (Arc::clone(&self.account), Arc::clone(&self.tally));
        let (inner, came) = (delivery.receipt, Instant::now());
        // Parsed once more when it is settled: one message a second, if it is small.
        let is_traced = tally.taken(came) && trace::reads(&delivery.body);
        let traced = is_traced.then(|| delivery.body.clone());
        delivery.receipt = Receipt::new(move |verdict| {
            account.message(verdict, again);
            inner.settle(verdict);
            let took = came.elapsed();
            tally.settled(came, took);
            metrics.delivery_settled(&queue, verdict, took, traced.map(|body| trace::of(&body)));
            drop(token);
        });
        delivery
    }
}
