//! The network between one agent and the group: late, cut on either side, and a watch that goes deaf.
//!
//! Requests lost: nothing happens and the call times out. Answers lost: it happens, and the call times out all the same.
//! A deaf watch stands for one that was compacted away or lost its events: it says nothing of what changes meanwhile.

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::conditions::Stall;
use crate::trace::Trace;
use crate::witness::Witness;
use nephoscope::cluster::Spec;
use nephoscope::coordination::lease::CALL_TIMEOUT;
use nephoscope::coordination::{
    CoordinationError, Coordinator, Epoch, MemberRecord, Membership, MemoryGroup, Move, Operation, View,
};

/// The way from one process to the group.
pub(crate) struct GroupLine {
    agent: Arc<str>,
    group: MemoryGroup,
    trace: Trace,
    witness: Witness,
    state: Mutex<State>,
}

struct State {
    rng: StdRng,
    lost: Stall,
    deaf: bool,
}

impl GroupLine {
    /// A way that is open.
    pub(crate) fn new(agent: Arc<str>, group: MemoryGroup, seed: u64, trace: Trace, witness: Witness) -> Arc<Self> {
        let state = State { rng: StdRng::seed_from_u64(seed), lost: Stall::default(), deaf: false };
        Arc::new(GroupLine { agent, group, trace, witness, state: Mutex::new(state) })
    }

    /// From now on requests, answers or both are lost. Keepalives are lost with either.
    pub(crate) fn cut(&self, lost: Stall) {
        self.state().lost = lost;
        self.group.cut(&self.agent);
    }

    /// Everything arrives again.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        (state.lost, state.deaf) = (Stall::default(), false);
        drop(state);
        self.group.mend(&self.agent);
    }

    /// The watch hears nothing any more.
    pub(crate) fn deafen(&self) {
        self.state().deaf = true;
    }

    async fn call<T>(&self, act: impl Future<Output = Result<T, CoordinationError>>) -> Result<T, CoordinationError> {
        if self.leg(|lost| lost.up).await {
            return Err(away());
        }
        let result = act.await;
        if self.leg(|lost| lost.down).await { Err(away()) } else { result }
    }

    /// One way; whether it is lost.
    async fn leg(&self, lost: impl Fn(Stall) -> bool) -> bool {
        let latency = {
            let mut state = self.state();
            let ms = if state.rng.random_bool(0.05) { 20.0..300.0 } else { 0.2..8.0 };
            Duration::from_secs_f64(state.rng.random_range(ms) / 1000.0)
        };
        tokio::time::sleep(latency).await;
        let is_lost = lost(self.state().lost);
        if is_lost {
            tokio::time::sleep(CALL_TIMEOUT).await;
        }
        is_lost
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn away() -> CoordinationError {
    CoordinationError::Away { backend: "simulated".to_owned(), cause: "no answer".to_owned() }
}

/// The group as one agent reaches it.
pub(crate) struct ReachedGroup(pub(crate) Arc<GroupLine>);

#[async_trait]
impl Coordinator for ReachedGroup {
    async fn join(&self, record: MemberRecord) -> Result<Arc<dyn Membership>, CoordinationError> {
        let ReachedGroup(line) = self;
        let joined = line.call(line.group.join(record)).await;
        match &joined {
            Ok(_) => line.trace.say(&line.agent, "joined the group"),
            Err(error) => line.trace.say(&line.agent, format_args!("did not join: {error}")),
        }
        let inner = joined?;
        let lost = inner.lost();
        let (trace, agent) = (line.trace.clone(), Arc::clone(&line.agent));
        tokio::spawn(async move {
            lost.cancelled().await;
            trace.say(&agent, "membership over");
        });
        Ok(Arc::new(Place { line: Arc::clone(line), inner, heard: AtomicBool::new(false) }))
    }

    async fn view(&self) -> Result<View, CoordinationError> {
        self.0.call(self.0.group.view()).await
    }

    async fn history(&self, queue: Option<&str>) -> Result<BTreeMap<String, Vec<Move>>, CoordinationError> {
        self.0.call(self.0.group.history(queue)).await
    }

    async fn put_spec(&self, spec: &Spec, expected: Option<i64>) -> Result<bool, CoordinationError> {
        self.0.call(self.0.group.put_spec(spec, expected)).await
    }

    async fn operate(&self, operation: &Operation) -> Result<(), CoordinationError> {
        self.0.call(self.0.group.operate(operation)).await
    }

    fn ttl(&self) -> Duration {
        self.0.group.ttl()
    }

    fn name(&self) -> &'static str {
        "simulated"
    }
}

struct Place {
    line: Arc<GroupLine>,
    inner: Arc<dyn Membership>,
    /// A change was heard of and not told yet.
    heard: AtomicBool,
}

#[async_trait]
impl Membership for Place {
    async fn view(&self) -> Result<View, CoordinationError> {
        self.line.call(self.inner.view()).await
    }

    async fn changed(&self) {
        loop {
            if !self.heard.load(Ordering::Relaxed) {
                self.inner.changed().await;
                if self.line.state().deaf {
                    continue;
                }
                self.heard.store(true, Ordering::Relaxed);
            }
            self.line.leg(|_| false).await;
            self.heard.store(false, Ordering::Relaxed);
            return;
        }
    }

    async fn describe(&self, record: MemberRecord) -> Result<(), CoordinationError> {
        self.line.call(self.inner.describe(record)).await
    }

    async fn claim(&self, queue: &str) -> Result<Option<Epoch>, CoordinationError> {
        let claim = async {
            let claimed = self.inner.claim(queue).await;
            if let Ok(Some(epoch)) = &claimed {
                self.line.trace.say(&self.line.agent, format_args!("owns {queue} (epoch {epoch})"));
                self.line.witness.claimed(&self.line.agent, queue, *epoch);
            }
            claimed
        };
        self.line.call(claim).await
    }

    async fn release(&self, queue: &str, epoch: Epoch) -> Result<bool, CoordinationError> {
        let release = async {
            let released = self.inner.release(queue, epoch).await;
            if let Ok(true) = &released {
                self.line.trace.say(&self.line.agent, format_args!("gives up {queue}"));
                self.line.witness.released(&self.line.agent, queue);
            }
            released
        };
        self.line.call(release).await
    }

    async fn put_spec(&self, spec: &Spec, expected: Option<i64>) -> Result<bool, CoordinationError> {
        self.line.call(self.inner.put_spec(spec, expected)).await
    }

    async fn mark(&self, generation: u64, name: &str, value: &str) -> Result<(), CoordinationError> {
        self.line.call(self.inner.mark(generation, name, value)).await
    }

    async fn forget(&self, generation: u64, mark: &str, queue: &str) -> Result<(), CoordinationError> {
        self.line.call(self.inner.forget(generation, mark, queue)).await
    }

    async fn clear_marks(&self, generation: u64) -> Result<(), CoordinationError> {
        self.line.call(self.inner.clear_marks(generation)).await
    }

    fn deadline(&self) -> Instant {
        self.inner.deadline()
    }

    fn lost(&self) -> CancellationToken {
        self.inner.lost()
    }

    async fn leave(&self) {
        if !self.line.leg(|lost| lost.up).await {
            self.inner.leave().await;
        }
    }
}
