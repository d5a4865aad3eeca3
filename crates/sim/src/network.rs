//! The network between one agent and the broker: late, in order, and cut where it hurts.
//!
//! A session is two lanes. What the agent sends travels up and happens at the broker when it arrives; deliveries and
//! answers travel down. Either lane can stall (a cut network loses nothing of a TCP stream before someone gives up) until
//! each side, at its own time, takes the other for dead. What was on its way then has or has not happened, and nobody
//! knows: requests lost, or answers lost.
//!
//! The lanes belong to the world, not to the agent: what a killed agent had written may still arrive, and what the broker
//! delivers to a frozen one waits in its socket.

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::trace::Trace;
use crate::wire::{Wire, WireSession};
use nephoscope::transport::{Broker, MemoryBroker, Session, TransportError};

/// How long an agent tries to connect before it gives the attempt up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The way from one process to the broker. A new process has a new one.
pub(crate) struct Network {
    /// The agent's id.
    pub(crate) agent: Arc<str>,
    /// What happened.
    pub(crate) trace: Trace,
    /// What is looked at.
    pub(crate) witness: crate::witness::Witness,
    broker: MemoryBroker,
    state: Mutex<State>,
    /// Wakes lanes when they are stalled no longer.
    pub(crate) flows: Notify,
}

struct State {
    rng: StdRng,
    stall: Stall,
    /// How often the network was cut; a heartbeat missed in an earlier cut means nothing.
    cuts: u32,
    extra: Duration,
    dead: bool,
    wires: Vec<Arc<Wire>>,
}

/// Which lanes carry nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stall {
    /// From the agent to the broker: requests are lost.
    pub(crate) up: bool,
    /// From the broker to the agent: answers are lost.
    pub(crate) down: bool,
}

impl Network {
    /// A network that works.
    pub(crate) fn new(
        agent: Arc<str>,
        broker: MemoryBroker,
        seed: u64,
        trace: Trace,
        witness: crate::witness::Witness,
    ) -> Arc<Self> {
        let rng = StdRng::seed_from_u64(seed);
        let stall = Stall::default();
        let state = State { rng, stall, cuts: 0, extra: Duration::ZERO, dead: false, wires: Vec::new() };
        Arc::new(Network { agent, trace, witness, broker, state: Mutex::new(state), flows: Notify::new() })
    }

    /// Stalls lanes. Each side of each session gives the other up after a time of its own, if nothing flows by then.
    pub(crate) fn cut(self: &Arc<Self>, stall: Stall) {
        let wires = {
            let mut state = self.state();
            state.stall = stall;
            state.cuts += 1;
            state.wires.retain(|wire| !wire.is_gone());
            state.wires.clone()
        };
        for wire in wires {
            self.give_up_later(wire);
        }
    }

    /// Lets everything flow again.
    pub(crate) fn heal(&self) {
        {
            let mut state = self.state();
            state.stall = Stall::default();
            state.extra = Duration::ZERO;
        }
        self.flows.notify_waiters();
    }

    /// Everything takes so much longer.
    pub(crate) fn slow_down(&self, extra: Duration) {
        self.state().extra = extra;
    }

    /// Ends every session from the middle, as a proxy or an operator does: both sides learn of it.
    pub(crate) fn reset(&self) {
        for wire in self.wires() {
            wire.lose("the connection was reset");
            wire.hang_up(false);
        }
    }

    /// The broker takes a silent client for dead.
    pub(crate) fn dropped_by_broker(&self) {
        for wire in self.wires() {
            wire.end_at_broker("the broker dropped a client without heartbeat");
        }
    }

    /// The broker's queues take all that it consumes for abandoned, and go on without it.
    pub(crate) fn overlooked_by_queues(&self) {
        for wire in self.wires() {
            self.broker.overlook(wire.number);
        }
    }

    /// The process is dead: what it had written arrives or not, and then its connections close.
    pub(crate) fn die(&self) {
        self.state().dead = true;
        for wire in self.wires() {
            let discard = self.chance(0.5);
            wire.abandon();
            wire.hang_up(discard);
        }
    }

    /// How long the next thing travels.
    pub(crate) fn latency(&self) -> Duration {
        let mut state = self.state();
        let micros = match state.rng.random_range(0..100) {
            0..80 => state.rng.random_range(100..1_500),
            80..98 => state.rng.random_range(1_500..12_000),
            _ => state.rng.random_range(12_000..150_000),
        };
        Duration::from_micros(micros) + state.extra
    }

    /// Whether it happens this time.
    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.state().rng.random_bool(probability)
    }

    /// Which lanes carry nothing now.
    pub(crate) fn stall(&self) -> Stall {
        self.state().stall
    }

    /// Heartbeats: each side notices for itself that nothing comes any more.
    fn give_up_later(self: &Arc<Self>, wire: Arc<Wire>) {
        let (agent_notices, broker_notices, cut) = {
            let mut state = self.state();
            (state.rng.random_range(1_500..8_000), state.rng.random_range(1_500..12_000), state.cuts)
        };
        let network = Arc::clone(self);
        tokio::spawn(async move {
            let began = Instant::now();
            let mut notices = [(agent_notices, true), (broker_notices, false)];
            notices.sort_unstable();
            for (ms, is_agent) in notices {
                tokio::time::sleep_until(began + Duration::from_millis(ms)).await;
                let state = network.state();
                let on = state.cuts == cut && state.stall != Stall::default();
                drop(state);
                match (on, is_agent) {
                    (false, _) => return,
                    (true, true) => {
                        wire.lose("the agent heard no heartbeat");
                        wire.hang_up(network.chance(0.5));
                    }
                    (true, false) => wire.end_at_broker("the broker heard no heartbeat"),
                }
            }
        });
    }

    fn wires(&self) -> Vec<Arc<Wire>> {
        let mut state = self.state();
        state.wires.retain(|wire| !wire.is_gone());
        state.wires.clone()
    }

    fn away(&self, cause: &str) -> TransportError {
        TransportError::Away { broker: self.broker.name().to_owned(), cause: cause.to_owned() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The broker as one agent reaches it.
pub(crate) struct Reached(pub(crate) Arc<Network>);

#[async_trait]
impl Broker for Reached {
    async fn connect(&self) -> Result<Arc<dyn Session>, TransportError> {
        let Reached(network) = self;
        tokio::time::sleep(network.latency()).await;
        if network.stall() != Stall::default() {
            tokio::time::sleep(CONNECT_TIMEOUT).await;
            return Err(network.away("no answer"));
        }
        if network.state().dead {
            return Err(network.away("the process is dead"));
        }
        let wire = Wire::start(Arc::clone(network), network.broker.open()?);
        network.state().wires.push(Arc::clone(&wire));
        let session = Arc::new(WireSession::new(wire));
        tokio::time::sleep(network.latency()).await;
        Ok(session)
    }

    fn name(&self) -> &str {
        self.0.broker.name()
    }
}

/// Things on their way, in the order in which they were sent.
pub(crate) struct Lane<T> {
    under_way: Mutex<UnderWay<T>>,
    came: Notify,
}

struct UnderWay<T> {
    /// Each with its arrival.
    items: VecDeque<(Instant, T)>,
    /// The last arrival so far: nothing arrives before what was sent before it.
    last: Option<Instant>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Lane { under_way: Mutex::new(UnderWay { items: VecDeque::new(), last: None }), came: Notify::new() }
    }
}

impl<T> Lane<T> {
    /// Sends something that arrives after `latency`, or later where something sent before is later.
    pub(crate) fn send(&self, latency: Duration, item: T) {
        let mut under_way = self.under_way();
        let arrives = Instant::now() + latency;
        let arrives = under_way.last.map_or(arrives, |last| last.max(arrives));
        under_way.last = Some(arrives);
        under_way.items.push_back((arrives, item));
        drop(under_way);
        self.came.notify_one();
    }

    /// The next thing that has arrived, once it has and nothing stalls the lane; `None` when `end` comes first.
    pub(crate) async fn next(
        &self,
        end: &CancellationToken,
        flows: &Notify,
        is_stalled: impl Fn() -> bool,
    ) -> Option<T> {
        loop {
            if end.is_cancelled() {
                return None;
            }
            let first = self.under_way().items.front().map(|(arrives, _)| *arrives);
            let flowing = flows.notified();
            match first {
                None => tokio::select! {
                    biased;
                    () = end.cancelled() => return None,
                    () = self.came.notified() => {}
                },
                Some(arrives) if arrives > Instant::now() => tokio::select! {
                    biased;
                    () = end.cancelled() => return None,
                    () = tokio::time::sleep_until(arrives) => {}
                },
                Some(_) if is_stalled() => tokio::select! {
                    biased;
                    () = end.cancelled() => return None,
                    () = flowing => {}
                },
                Some(_) => return self.under_way().items.pop_front().map(|(_, item)| item),
            }
        }
    }

    /// Takes everything off the lane.
    pub(crate) fn clear(&self) -> Vec<T> {
        self.under_way().items.drain(..).map(|(_, item)| item).collect()
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay<T>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer on its way.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, TransportError>>;
