//! What every listener of an agent stands on: the brokers, the parking queue, the group, and what is remembered.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::former::Former;
use crate::agent::parked::parking::Parking;
use crate::agent::resize::shape::Shape;
use crate::agent::runtime::alias::Aliases;
use crate::agent::runtime::posted::Posted;
use crate::agent::runtime::until::Until;
use crate::agent::runtime::{BrokerPlace, Context};
use crate::agent::sinks::deliver::SinkContext;
use crate::agent::sinks::offer::{Dead, OfferContext};
use crate::agent::sinks::overflow::{Detours, Overflow};
use crate::agent::stages::route::Routes;
use crate::agent::state::Recall;
use crate::coordination::{CoordinationError, Membership, View};
use crate::transport::{Queue, Session, TransportError, topology};

/// How long to wait before something is noted in a silent group again.
const MARK_AGAIN: Duration = Duration::from_millis(500);

/// The ground.
pub(in crate::agent) struct Ground {
    /// Names, options, counters, tasks.
    pub context: Arc<Context>,
    /// The brokers; pipeline queues and the parking queue are on the first.
    pub brokers: Vec<Arc<BrokerPlace>>,
    /// Where to park.
    pub parking: Parking,
    /// What is known of state logs from earlier openings.
    pub recall: Recall,
    /// What an agent alone knows of its main queues from earlier openings.
    pub former: Former,
    /// Which brokers are one.
    pub aliases: Aliases,
    /// The overflow queues.
    pub overflow: Arc<Overflow>,
    /// The shape of the group's pipeline queues, once it is known.
    pub shape: Arc<Posted<Option<Arc<Shape>>>>,
    /// The present membership.
    pub membership: watch::Sender<Option<Arc<dyn Membership>>>,
    /// Takes the first publisher that is at its end: the agent must stop.
    pub deaths: mpsc::Sender<Dead>,
}

impl Deref for Ground {
    type Target = Arc<Context>;

    fn deref(&self) -> &Arc<Context> {
        &self.context
    }
}

impl Ground {
    /// A publisher is at its end.
    pub(in crate::agent) fn died(&self, dead: Dead) {
        // One is enough to stop the agent; a second finds no room and needs none.
        let _full_or_gone = self.deaths.try_send(dead);
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
        self.brokers[broker].prepared(self.own_queues(broker, routes)).await
    }

    /// The same for a listener of a main queue: that is declared too, or it is said why not.
    pub(in crate::agent) async fn prepared_for(
        &self,
        broker: usize,
        queue: &str,
        routes: &Routes,
    ) -> Result<Arc<dyn Session>, TransportError> {
        self.brokers[broker].prepared_for(queue, self.own_queues(broker, routes)).await
    }

    /// The queue where messages are parked.
    pub(in crate::agent) fn parking_queue(&self) -> Queue {
        topology::parking_queue(&self.group, self.options.queue_kind, self.options.parked_messages_max)
    }

    /// Of the first broker: the parking queue, the overflow queues and, with partitioning, the pipeline queues, which are noted as
    /// declared by this process.
    fn own_queues(&self, broker: usize, routes: &Routes) -> Vec<Queue> {
        if broker != 0 {
            return Vec::new();
        }
        let mut own = vec![self.parking_queue()];
        own.extend(self.overflow.needed(&routes.sinks));
        if let Some(shape) = self.shape.get() {
            for (queue, generation) in routes.sinks.iter().flat_map(|slot| shape.queues(slot)) {
                self.declared().insert(queue.clone(), generation);
                own.push(topology::pipeline_queue(queue, self.options.queue_kind));
            }
        }
        own
    }

    /// Pipeline queues of earlier generations that this process has declared. One may have been deleted by another member
    /// before: then it was made again, by a member that learned late.
    pub(in crate::agent) fn outlived(&self, shape: &Shape) -> Vec<String> {
        let outlived = |(_, generation): &(&String, &u64)| **generation < shape.spec.present.generation;
        self.declared().iter().filter(outlived).map(|(queue, _)| queue.clone()).collect()
    }

    /// A queue is gone.
    pub(in crate::agent) fn forget_queue(&self, queue: &str) {
        self.declared().remove(queue);
    }

    /// The shape as the group has it now, not as it was last looked at.
    pub(in crate::agent) async fn fresh_shape(&self) -> Result<Arc<Shape>, CoordinationError> {
        let not_joined = || CoordinationError::Lost(self.member.to_string());
        let membership = self.membership.borrow().clone().ok_or_else(not_joined)?;
        let view = membership.view().await?;
        self.take_shape(&view);
        self.shape.get().ok_or_else(not_joined)
    }

    /// Takes over the shape of a view; whether it is another.
    pub(in crate::agent) fn take_shape(&self, view: &View) -> bool {
        let Some(shape) = Shape::of(&self.group, view) else { return false };
        self.shape.change(|known| match known {
            Some(known) if !known.is_older_than(&shape) => false,
            known => {
                let other = known.as_ref().is_none_or(|known| !known.is_like(&shape));
                *known = Some(Arc::new(shape));
                other
            }
        })
    }

    /// Notes something for the whole group, as often as it takes; `false` when the session was over before.
    pub(in crate::agent) async fn mark(&self, generation: u64, name: &str, over: &CancellationToken) -> bool {
        let noted = over.run_until_cancelled(async {
            loop {
                let membership = self.membership.borrow().clone();
                if let Some(membership) = membership {
                    match membership.mark(generation, name, &self.member).await {
                        Ok(()) => return,
                        Err(error) => self.metrics.group_silent(&error.to_string()),
                    }
                }
                tokio::time::sleep(MARK_AGAIN).await;
            }
        });
        noted.await.is_some()
    }

    /// What a sink needs: until when it may wait, which listener of the sink waits, and where what is not taken goes.
    pub(in crate::agent) fn sink_context(
        &self,
        until: Until,
        listener: u64,
        detours: Option<Arc<Detours>>,
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
        }
    }
}
