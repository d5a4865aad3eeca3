//! What all listeners of an agent use: the brokers, the parking queue, the group, and what is remembered of queues.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::mpsc;

use crate::agent::books::{Account, Books};
use crate::agent::parked::parking::Parking;
use crate::agent::resize::Layouts;
use crate::agent::runtime::alias::Aliases;
use crate::agent::runtime::until::Until;
use crate::agent::runtime::{BrokerPlace, Context};
use crate::agent::sinks::deliver::SinkContext;
use crate::agent::sinks::offer::{OfferContext, PublisherFailed};
use crate::agent::sinks::overflow::{Detours, Overflow};
use crate::agent::stages::forward::Forwarder;
use crate::agent::stages::route::Routes;
use crate::agent::state::QueueMemory;
use crate::transport::{Queue, Session, TransportError, topology};

/// What all listeners of an agent use.
pub(in crate::agent) struct AgentContext {
    /// Names, options, counters, tasks.
    pub context: Arc<Context>,
    /// The brokers; pipeline queues and the parking queue are on the first.
    pub brokers: Vec<Arc<BrokerPlace>>,
    /// Where to park.
    pub parking: Parking,
    /// What is known of queues from earlier openings.
    pub memory: QueueMemory,
    /// Which brokers are one.
    pub aliases: Aliases,
    /// The overflow queues.
    pub overflow: Arc<Overflow>,
    /// What is counted, and noted for the group.
    pub books: Arc<Books>,
    /// The layout of the group's pipeline queues.
    pub layouts: Arc<Layouts>,
    /// Takes the first publisher that is at its end: the agent must stop.
    pub publisher_failures: mpsc::Sender<PublisherFailed>,
}

impl Deref for AgentContext {
    type Target = Arc<Context>;

    fn deref(&self) -> &Arc<Context> {
        &self.context
    }
}

impl AgentContext {
    /// A publisher is at its end.
    pub(in crate::agent) fn publisher_failed(&self, failed: PublisherFailed) {
        // One is enough to stop the agent; a second finds no room and needs none.
        let _full_or_gone = self.publisher_failures.try_send(failed);
    }

    /// The broker with the pipeline queues.
    pub(in crate::agent) fn first_broker(&self) -> &Arc<BrokerPlace> {
        &self.brokers[0]
    }

    /// The present session of a broker, with everything declared in it that the routes need.
    pub(in crate::agent) async fn prepared(
        &self,
        broker: usize,
        routes: &Routes,
    ) -> Result<Arc<dyn Session>, TransportError> {
        self.brokers[broker].prepared(|declared| self.own_queues(broker, routes, declared)).await
    }

    /// The same for a listener of a main queue: that is declared too, or it is said why not.
    pub(in crate::agent) async fn prepared_for(
        &self,
        broker: usize,
        queue: &str,
        routes: &Routes,
    ) -> Result<Arc<dyn Session>, TransportError> {
        self.brokers[broker].prepared_for(queue, |declared| self.own_queues(broker, routes, declared)).await
    }

    /// The queue where messages are parked.
    pub(in crate::agent) fn parking_queue(&self) -> Queue {
        topology::parking_queue(&self.group, self.options.queue_kind, self.options.parked_messages_max)
    }

    /// Of the first broker: the parking queue, the overflow queues and, with partitioning, the pipeline queues.
    fn own_queues<'a>(
        &'a self,
        broker: usize,
        routes: &'a Routes,
        declared: &BTreeSet<String>,
    ) -> impl Future<Output = Vec<Queue>> + Send + use<'a> {
        let first = broker == 0;
        let mut pipeline = if first { self.layouts.queues(&routes.sinks) } else { Vec::new() };
        let are_declared = pipeline.iter().all(|queue| declared.contains(&queue.name));
        async move {
            if !first {
                return Vec::new();
            }
            if !are_declared {
                // By the layout as it is now: a queue of a former one may have been deleted, and nobody would do so again.
                pipeline = match self.layouts.fresh().await {
                    Ok(_) => self.layouts.queues(&routes.sinks),
                    Err(_) => Vec::new(),
                };
            }
            let mut own = vec![self.parking_queue()];
            own.extend(self.overflow.needed(&routes.sinks));
            own.extend(pipeline);
            own
        }
    }

    /// The way to the pipeline queues, for a listener of a queue in an epoch of its ownership.
    pub(in crate::agent) fn forwarder(
        &self,
        session: Arc<dyn Session>,
        ownership: (&str, i64),
        account: &Arc<Account>,
    ) -> Forwarder {
        let queues = Arc::clone(&self.layouts);
        Forwarder::new(&self.context, session, queues, ownership, account)
    }

    /// What a sink needs: until when it may wait, which listener of the sink waits, and where what is not taken goes.
    pub(in crate::agent) fn sink_context(
        &self,
        until: Until,
        listener: u64,
        detours: Option<Arc<Detours>>,
        account: &Arc<Account>,
    ) -> SinkContext {
        SinkContext {
            offer: OfferContext {
                member: Arc::clone(&self.member),
                metrics: self.metrics.clone(),
                backoff: self.options.backoff,
                troubles: Arc::clone(&self.troubles),
                listener,
                until,
            },
            parking: self.parking.clone(),
            chain: self.options.state.chain.clone(),
            clock: self.options.clock,
            detours,
            account: Arc::clone(account),
        }
    }
}
