//! What every listener of an agent stands on: the brokers, the options, the parking queue, the counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::intake::IntakeBounds;
use super::nursery::Nursery;
use super::packet::PacketBounds;
use super::parking::Parking;
use super::route::Routes;
use super::sabotage::Sabotage;
use super::sink::{Backoff, Dead, SinkContext};
use crate::observe::Metrics;
use crate::transport::link::Link;
use crate::transport::topology::{self, QueueKind};
use crate::transport::{Argument, Session, Topology, TransportError};

/// The generation of the pipeline queues; it will rise when their number changes while running.
const GENERATION: u64 = 1;

/// The name of a sink's `n`th pipeline queue.
pub(super) fn pipeline_queue(group: &str, sink: &str, n: u16) -> String {
    topology::pipeline_queue_name(group, sink, GENERATION, u32::from(n))
}

/// How an agent works. Every bound has its unit in its name or type.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Whether notifications go over pipeline queues that the group shares.
    pub partitioned: bool,
    /// Whether the owner of a main queue asks the broker to be its only consumer.
    pub main_queue_exclusive: bool,
    /// Unacknowledged messages per main queue.
    pub main_prefetch: u16,
    /// Unacknowledged packets per pipeline queue.
    pub pipeline_prefetch: u16,
    /// What is taken from a queue at once.
    pub intake: IntakeBounds,
    /// What goes into one packet.
    pub packet: PacketBounds,
    /// Waits before a publisher is offered the same batch again.
    pub backoff: Backoff,
    /// Hand-overs away from this member at once.
    pub moves_at_once: usize,
    /// Kind of the pipeline queues and of the parking queue.
    pub queue_kind: QueueKind,
    /// Messages that the parking queue holds before it takes no more.
    pub parked_messages_max: i64,
    /// Time between two reads of the whole group, if nothing wakes it before.
    pub view_period: Duration,
    /// What is done wrong on purpose.
    pub sabotage: Option<Sabotage>,
}

/// One broker with what is consumed from it.
pub struct BrokerPlace {
    /// The connection that keeps itself up.
    pub link: Link,
    /// Exchanges, main queues and bindings.
    pub topology: Topology,
    /// The main queues.
    pub main_queues: Vec<String>,
    /// Arguments of consumers on it.
    pub consume_arguments: BTreeMap<String, Argument>,
    /// The session in which everything was declared, for these sinks.
    prepared: Mutex<Option<Prepared>>,
}

/// A session, and the sinks whose queues were declared in it.
type Prepared = (Arc<dyn Session>, Vec<Arc<str>>);

impl BrokerPlace {
    /// A broker on which nothing is declared yet.
    pub fn new(
        link: Link,
        topology: Topology,
        main_queues: Vec<String>,
        consume_arguments: BTreeMap<String, Argument>,
    ) -> Self {
        BrokerPlace { link, topology, main_queues, consume_arguments, prepared: Mutex::new(None) }
    }
}

/// The ground.
pub(super) struct Ground {
    /// The group's name.
    pub group: Arc<str>,
    /// This member's id.
    pub member: Arc<str>,
    /// The brokers; pipeline queues and the parking queue are on the first.
    pub brokers: Vec<Arc<BrokerPlace>>,
    /// How to work.
    pub options: AgentOptions,
    /// Where to park.
    pub parking: Parking,
    /// Counters.
    pub metrics: Metrics,
    /// The agent's tasks.
    pub nursery: Nursery,
    /// Takes the first publisher that is at its end: the agent must stop.
    pub deaths: mpsc::Sender<Dead>,
}

impl Ground {
    /// A publisher is at its end.
    pub(super) fn died(&self, dead: Dead) {
        // One is enough to stop the agent; a second finds no room and needs none.
        let _full_or_gone = self.deaths.try_send(dead);
    }

    /// The broker with the pipeline queues.
    pub(super) fn first_broker(&self) -> &BrokerPlace {
        &self.brokers[0]
    }

    /// The present session of a broker, with everything declared in it that the routes need.
    pub(super) async fn prepared(
        &self,
        place: &BrokerPlace,
        routes: &Routes,
    ) -> Result<Arc<dyn Session>, TransportError> {
        let session = place.link.current().ok_or_else(|| TransportError::Away {
            broker: place.link.name().to_owned(),
            cause: "not connected".to_owned(),
        })?;
        let sinks: Vec<Arc<str>> = routes.sinks.iter().map(|slot| Arc::clone(&slot.name)).collect();
        let mut prepared = place.prepared.lock().await;
        if let Some((former, declared)) = &*prepared
            && Arc::ptr_eq(former, &session)
            && *declared == sinks
        {
            return Ok(session);
        }
        session.declare(&place.topology).await?;
        if std::ptr::eq(place, self.first_broker()) {
            session.declare(&self.own_queues(routes)).await?;
        }
        *prepared = Some((Arc::clone(&session), sinks));
        Ok(session)
    }

    /// The parking queue and, with partitioning, the pipeline queues.
    fn own_queues(&self, routes: &Routes) -> Topology {
        let mut own = Topology::default();
        own.queues.push(topology::parking_queue(&self.group, self.options.parked_messages_max));
        if self.options.partitioned {
            for slot in &routes.sinks {
                for n in 0..routes.queues_per_sink() {
                    let queue = pipeline_queue(&self.group, &slot.name, n);
                    own.queues.push(topology::pipeline_queue(queue, self.options.queue_kind));
                }
            }
        }
        own
    }

    /// What a sink needs, with a token that ends its waiting.
    pub(super) fn sink_context(&self, stop: CancellationToken) -> SinkContext {
        SinkContext {
            member: Arc::clone(&self.member),
            parking: self.parking.clone(),
            metrics: self.metrics.clone(),
            backoff: self.options.backoff,
            stop,
        }
    }
}
