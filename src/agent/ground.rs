//! What every listener of an agent stands on: the brokers, the options, the parking queue, the counters.

use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::alias::Aliases;
use super::clock::Clock;
use super::intake::IntakeBounds;
use super::nursery::Nursery;
use super::offer::Dead;
use super::overflow::{Answers, Detours, Found, OverflowOptions};
use super::packet::PacketBounds;
use super::parking::Parking;
use super::posted::Posted;
use super::route::Routes;
use super::sabotage::Sabotage;
use super::shape::Shape;
use super::sink::{SinkContext, SinkSlot};
use super::state::{QueueMemory, StateOptions};
use super::troubles::{Trouble, Troubles};
use super::until::Until;
use crate::backoff::Backoff;
use crate::coordination::{CoordinationError, Membership, View};
use crate::observe::Metrics;
use crate::transport::link::Link;
use crate::transport::topology::{self, QueueKind};
use crate::transport::{Argument, Queue, Session, Topology, TransportError};

/// How long to wait before something is noted in a silent group again.
const MARK_AGAIN: Duration = Duration::from_millis(500);
/// Main queues that are not declared within this time are declared one by one, and those that then take as long are away for
/// now: nobody waits for a queue that RabbitMQ 4 looks for on a killed node for a minute.
const DECLARED_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether exchanges, bindings and queues are still there.
const GUARD_PERIOD: Duration = Duration::from_secs(3);

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
    /// How destinations are kept from waiting for each other.
    pub overflow: OverflowOptions,
    /// How the state of transformers is kept.
    pub state: StateOptions,
    /// The time that transformers are told.
    pub clock: Clock,
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
    /// After this time it has noticed the end of any connection.
    pub notices_within: Duration,
    /// Where and what was declared.
    prepared: Mutex<Option<Prepared>>,
    /// The main queues that are consumed now, with the listener's end.
    consumed: StdMutex<BTreeMap<String, Until>>,
}

/// What was declared on a broker.
struct Prepared {
    /// In this session.
    session: Arc<dyn Session>,
    /// The main queues that could not be: one that is there already and differs, or a classic queue of a cluster, which is on
    /// one node, and that is down. They keep nobody from the others.
    away: BTreeSet<String>,
    /// The queues of ours that were.
    own: BTreeSet<String>,
}

impl BrokerPlace {
    /// A broker on which nothing is declared yet.
    pub fn new(
        link: Link,
        topology: Topology,
        main_queues: Vec<String>,
        consume_arguments: BTreeMap<String, Argument>,
        notices_within: Duration,
    ) -> Self {
        BrokerPlace {
            link,
            topology,
            main_queues,
            consume_arguments,
            notices_within,
            prepared: Mutex::new(None),
            consumed: StdMutex::default(),
        }
    }

    /// Something that was declared is not there any more: everything is declared again before it is next used.
    pub(super) async fn forget_declared(&self) {
        *self.prepared.lock().await = None;
    }

    /// Sees to it that a main queue stays declared and bound while it is consumed.
    pub(super) fn guard(&self, queue: &str, until: &Until) {
        self.consumed().insert(queue.to_owned(), until.clone());
    }

    /// What must be there of the main queues that are consumed.
    pub(super) fn guarded(&self) -> Topology {
        let mut consumed = self.consumed();
        consumed.retain(|_, until| !until.is_reached());
        let (mut queues, mut bindings) = (self.topology.queues.clone(), self.topology.bindings.clone());
        queues.retain(|queue| consumed.contains_key(&queue.name));
        bindings.retain(|binding| consumed.contains_key(&binding.queue));
        let exchanges = if queues.is_empty() { Vec::new() } else { self.topology.exchanges.clone() };
        Topology { exchanges, queues, bindings }
    }

    fn consumed(&self) -> MutexGuard<'_, BTreeMap<String, Until>> {
        self.consumed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares what is consumed from it; the main queues that are away.
    async fn declare(&self, session: &dyn Session) -> Result<BTreeSet<String>, TransportError> {
        let mut away = BTreeSet::new();
        let declare = async |topology: &Topology| match timeout(DECLARED_WITHIN, session.declare(topology)).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) if session.over().is_cancelled() => Err(error),
            Ok(Err(TransportError::QueueAway { .. } | TransportError::Differs { .. } | TransportError::Refused(_)))
            | Err(_) => Ok(false),
            Ok(Err(error)) => Err(error),
        };
        if declare(&self.topology).await? {
            return Ok(away);
        }
        let each = self.main_queues.iter().map(async |queue| (queue, declare(&self.topology.of_queue(queue)).await));
        for (queue, declared) in join_all(each).await {
            if !declared? {
                away.insert(queue.clone());
            }
        }
        Ok(away)
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
    /// What stands still, and why.
    pub troubles: Arc<Troubles>,
    /// Counters.
    pub metrics: Metrics,
    /// The agent's tasks.
    pub nursery: Nursery,
    /// What is known of queues from earlier openings.
    pub memory: QueueMemory,
    /// Which brokers are one.
    pub aliases: Aliases,
    /// What this process has asked about overflow queues.
    pub answers: Answers,
    /// Overflow queues of destinations that are alone in their sink.
    pub found: Found,
    /// The shape of the group's pipeline queues, once it is known.
    pub shape: Arc<Posted<Option<Arc<Shape>>>>,
    /// The pipeline queues that were declared, with their generations.
    pub declared: StdMutex<BTreeMap<String, u64>>,
    /// The present membership.
    pub membership: watch::Sender<Option<Arc<dyn Membership>>>,
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
        let session = place.link.current().ok_or_else(|| place.link.absence())?;
        let mut prepared = place.prepared.lock().await;
        let mut now = match prepared.take() {
            Some(former) if Arc::ptr_eq(&former.session, &session) => former,
            _ => {
                let away = place.declare(&*session).await?;
                Prepared { session: Arc::clone(&session), away, own: BTreeSet::new() }
            }
        };
        if std::ptr::eq(place, self.first_broker()) {
            let mut queues = self.own_queues(routes);
            let wanted = queues.iter().map(|queue| queue.name.clone()).collect();
            queues.retain(|queue| !now.own.contains(&queue.name));
            if !queues.is_empty() {
                session.declare(&Topology { queues, ..Topology::default() }).await?;
            }
            now.own = wanted;
        }
        *prepared = Some(now);
        Ok(session)
    }

    /// The same for who consumes a main queue: that is declared too, or it is said why not.
    pub(super) async fn prepared_for(
        &self,
        place: &BrokerPlace,
        queue: &str,
        routes: &Routes,
    ) -> Result<Arc<dyn Session>, TransportError> {
        let session = self.prepared(place, routes).await?;
        let of_session = |now: &&mut Prepared| Arc::ptr_eq(&now.session, &session);
        let is_away =
            place.prepared.lock().await.as_mut().filter(of_session).is_some_and(|now| now.away.contains(queue));
        if is_away {
            // Nobody else waits for it.
            session.declare(&place.topology.of_queue(queue)).await?;
            if let Some(now) = place.prepared.lock().await.as_mut().filter(of_session) {
                now.away.remove(queue);
            }
        }
        Ok(session)
    }

    /// The overflow queues, each with its sink and the key of its destination: of a sink with several destinations all, of one with
    /// a single destination that which somebody made and this process has found.
    pub(super) fn overflow_queues<'r>(
        &self,
        routes: &'r Routes,
    ) -> impl Iterator<Item = (String, &'r Arc<SinkSlot>, Arc<str>)> + use<'_, 'r> {
        let (group, none) = (Arc::clone(&self.group), self.options.overflow.bytes_max == 0);
        let slots = routes.sinks.iter().filter(move |_| !none);
        slots.flat_map(move |slot| {
            let sink = slot.current();
            let keys: Vec<Arc<str>> = sink.destinations.iter().map(|d| Arc::clone(&d.key)).collect();
            let (group, alone) = (Arc::clone(&group), sink.with_overflow().is_empty());
            let queues =
                keys.into_iter().map(move |key| (topology::overflow_queue_name(&group, &slot.name, &key), slot, key));
            queues.filter(move |(queue, ..)| !alone || self.found.has(queue))
        })
    }

    /// Those that must be there before anything is consumed: where a destination is alone, only `nephoscope parked requeue` makes one.
    fn needed_overflow_queues(&self, routes: &Routes) -> Vec<String> {
        let of_several = |slot: &SinkSlot| !slot.current().with_overflow().is_empty();
        self.overflow_queues(routes).filter(|(_, slot, _)| of_several(slot)).map(|(queue, ..)| queue).collect()
    }

    /// The parking queue, the overflow queues and, with partitioning, the pipeline queues, which are noted as declared by this
    /// process.
    fn own_queues(&self, routes: &Routes) -> Vec<Queue> {
        let (kind, parked_max) = (self.options.queue_kind, self.options.parked_messages_max);
        let mut own = vec![topology::parking_queue(&self.group, kind, parked_max)];
        let bytes_max = self.options.overflow.bytes_max;
        let overflow = self.needed_overflow_queues(routes).into_iter();
        own.extend(overflow.map(|queue| topology::overflow_queue(queue, bytes_max)));
        if let Some(shape) = self.shape.get() {
            for (queue, generation) in routes.sinks.iter().flat_map(|slot| shape.queues(slot)) {
                self.declared().insert(queue.clone(), generation);
                own.push(topology::pipeline_queue(queue, kind));
            }
        }
        own
    }

    /// Pipeline queues of earlier generations that this process has declared. One may have been deleted by another member
    /// before: then it was made again, by a member that learned late.
    pub(super) fn outlived(&self, shape: &Shape) -> Vec<String> {
        let outlived = |(_, generation): &(&String, &u64)| **generation < shape.spec.present.generation;
        self.declared().iter().filter(outlived).map(|(queue, _)| queue.clone()).collect()
    }

    /// Makes a queue again that packets go to and that somebody has deleted. A pipeline queue of another generation than the
    /// present one is deleted again when it is empty.
    pub(super) async fn declare_packet_queue(&self, session: &dyn Session, queue: &str) -> Result<(), TransportError> {
        self.metrics.queue_gone(queue);
        let queues = if topology::is_overflow_queue(queue) {
            vec![topology::overflow_queue(queue.to_owned(), self.options.overflow.bytes_max)]
        } else {
            self.declared().entry(queue.to_owned()).or_default();
            vec![topology::pipeline_queue(queue.to_owned(), self.options.queue_kind)]
        };
        session.declare(&Topology { queues, ..Topology::default() }).await
    }

    /// Looks every few seconds whether what is consumed from a broker is still declared and bound: an exchange or a binding
    /// that an operator deletes says nothing. On the first broker that is the parking queue too.
    pub(super) async fn guard(self: Arc<Self>, broker: usize) {
        let place = &self.brokers[broker];
        loop {
            tokio::time::sleep(GUARD_PERIOD).await;
            let Some(session) = place.link.current() else { continue };
            let mut wanted = place.guarded();
            if wanted.queues.is_empty() {
                continue;
            }
            if broker == 0 {
                let (kind, parked_max) = (self.options.queue_kind, self.options.parked_messages_max);
                wanted.queues.push(topology::parking_queue(&self.group, kind, parked_max));
            }
            let trouble = Trouble::Declared(place.link.name().to_owned());
            match session.declare(&wanted).await {
                Ok(()) => drop(self.troubles.over(&trouble)),
                // It hinders only when the queue is next opened, and that may be weeks after its cause.
                Err(error @ TransportError::Differs { .. }) => {
                    let said = self.troubles.note(&trouble, &error.to_string(), 0);
                    self.metrics.not_guarded(place.link.name(), &error.to_string(), said);
                }
                Err(error) => self.metrics.not_guarded(place.link.name(), &error.to_string(), None),
            }
        }
    }

    /// A queue is gone.
    pub(super) fn forget_queue(&self, queue: &str) {
        self.declared().remove(queue);
    }

    fn declared(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shape as the group has it now, not as it was last looked at.
    pub(super) async fn fresh_shape(&self) -> Result<Arc<Shape>, CoordinationError> {
        let not_joined = || CoordinationError::Lost(self.member.to_string());
        let membership = self.membership.borrow().clone().ok_or_else(not_joined)?;
        let view = membership.view().await?;
        self.take_shape(&view);
        self.shape.get().ok_or_else(not_joined)
    }

    /// Takes over the shape of a view; whether it is another.
    pub(super) fn take_shape(&self, view: &View) -> bool {
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
    pub(super) async fn mark(&self, generation: u64, name: &str, over: &CancellationToken) -> bool {
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
    pub(super) fn sink_context(&self, until: Until, listener: u64, detours: Option<Arc<Detours>>) -> SinkContext {
        SinkContext {
            member: Arc::clone(&self.member),
            parking: self.parking.clone(),
            metrics: self.metrics.clone(),
            backoff: self.options.backoff,
            chain: self.options.state.chain.clone(),
            clock: self.options.clock,
            troubles: Arc::clone(&self.troubles),
            listener,
            until,
            detours,
        }
    }
}
