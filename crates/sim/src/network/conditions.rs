//! How the network of one process does: what a session needs to know of it.

use rand::Rng;
use rand::rngs::StdRng;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

use crate::trace::Trace;
use crate::witness::Witness;

/// How the way from one process to the broker is now.
pub(crate) struct Conditions {
    /// The agent's id.
    pub(crate) agent: Arc<str>,
    /// What happened.
    pub(crate) trace: Trace,
    /// What is looked at.
    pub(crate) witness: Witness,
    state: Mutex<State>,
    /// Wakes lanes when they are stalled no longer.
    pub(crate) flows: Notify,
}

struct State {
    rng: StdRng,
    stall: Stall,
    extra: Duration,
}

/// Which lanes carry nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stall {
    /// From the agent to the broker: requests are lost.
    pub(crate) up: bool,
    /// From the broker to the agent: answers are lost.
    pub(crate) down: bool,
}

impl Conditions {
    /// A network that works.
    pub(crate) fn new(agent: Arc<str>, rng: StdRng, trace: Trace, witness: Witness) -> Self {
        let state = State { rng, stall: Stall::default(), extra: Duration::ZERO };
        Conditions { agent, trace, witness, state: Mutex::new(state), flows: Notify::new() }
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

    /// Draws something of the network's own numbers.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.state().rng)
    }

    /// Stalls lanes.
    pub(crate) fn cut(&self, stall: Stall) {
        self.state().stall = stall;
    }

    /// Lets everything flow again.
    pub(crate) fn heal(&self) {
        {
            let mut state = self.state();
            (state.stall, state.extra) = (Stall::default(), Duration::ZERO);
        }
        self.flows.notify_waiters();
    }

    /// Everything takes so much longer.
    pub(crate) fn slow_down(&self, extra: Duration) {
        self.state().extra = extra;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
