//! The broker as one process reaches it, and everything that can happen to its connections.

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use super::conditions::{Conditions, Stall};
use super::session::WireSession;
use super::wire::Wire;
use crate::trace::Trace;
use crate::witness::Witness;
use nephoscope::transport::{Broker, MemoryBroker, Session, TransportError};

/// How long an agent tries to connect before it gives the attempt up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The way from one process to the broker. A new process has a new one.
pub(crate) struct Network {
    conditions: Arc<Conditions>,
    broker: MemoryBroker,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often the network was cut; a heartbeat missed in an earlier cut means nothing.
    cuts: u32,
    dead: bool,
    wires: Vec<Arc<Wire>>,
}

impl Network {
    /// A network that works.
    pub(crate) fn new(agent: Arc<str>, broker: MemoryBroker, seed: u64, trace: Trace, witness: Witness) -> Arc<Self> {
        let conditions = Arc::new(Conditions::new(agent, StdRng::seed_from_u64(seed), trace, witness));
        Arc::new(Network { conditions, broker, state: Mutex::default() })
    }

    /// Stalls lanes. Each side of each session gives the other up after a time of its own, if nothing flows by then.
    pub(crate) fn cut(self: &Arc<Self>, stall: Stall) {
        let wires = {
            let mut state = self.state();
            self.conditions.cut(stall);
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
        self.conditions.heal();
    }

    /// Everything takes so much longer.
    pub(crate) fn slow_down(&self, extra: Duration) {
        self.conditions.slow_down(extra);
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
            let discard = self.conditions.chance(0.5);
            wire.abandon();
            wire.hang_up(discard);
        }
    }

    /// Heartbeats: each side notices for itself that nothing comes any more.
    fn give_up_later(self: &Arc<Self>, wire: Arc<Wire>) {
        let (agent_notices, broker_notices) =
            self.conditions.draw(|rng| (rng.random_range(1_500..8_000), rng.random_range(1_500..12_000)));
        let cut = self.state().cuts;
        let network = Arc::clone(self);
        tokio::spawn(async move {
            let began = Instant::now();
            let mut notices = [(agent_notices, true), (broker_notices, false)];
            notices.sort_unstable();
            for (ms, is_agent) in notices {
                tokio::time::sleep_until(began + Duration::from_millis(ms)).await;
                let on = network.state().cuts == cut && network.conditions.stall() != Stall::default();
                match (on, is_agent) {
                    (false, _) => return,
                    (true, true) => {
                        wire.lose("the agent heard no heartbeat");
                        wire.hang_up(network.conditions.chance(0.5));
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
        tokio::time::sleep(network.conditions.latency()).await;
        if network.conditions.stall() != Stall::default() {
            tokio::time::sleep(CONNECT_TIMEOUT).await;
            return Err(network.away("no answer"));
        }
        if network.state().dead {
            return Err(network.away("the process is dead"));
        }
        let wire = Wire::start(Arc::clone(&network.conditions), network.broker.open()?);
        network.state().wires.push(Arc::clone(&wire));
        let session = Arc::new(WireSession::new(wire));
        tokio::time::sleep(network.conditions.latency()).await;
        Ok(session)
    }

    fn name(&self) -> &str {
        self.0.broker.name()
    }
}
