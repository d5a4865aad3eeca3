//! Without partitioning the middle hop is skipped: one worker per sink in this process, fed over a bounded channel, so
//! that a slow publisher slows only its own sink until the prefetch is used up.
//!
//! What a worker cannot finish goes back to the queue, and comes again behind all that its listener had handed over meanwhile. So
//! nothing of that listener is worked on any more: it ends, and all it took comes again in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::way::{Way, Yielded};
use crate::agent::listeners::agent_context::AgentContext;
use crate::agent::listeners::worker::Worker;
use crate::agent::packets::lane::Expected;
use crate::agent::packets::packet::Fragment;
use crate::agent::runtime::until::Until;
use crate::agent::sinks::sink::{Parcel, SinkSlot};
use crate::agent::stages::route::Routes;
use crate::agent::state::{Done, Keeper, Lost, MemoryLog, Owner};
use crate::books;

/// Batches that wait at a sink, at most; each is bounded by the intake.
const WAITING_BATCHES_MAX: usize = 4;
/// Parcels handed to the publishers at once, at most.
const PARCELS_AT_ONCE_MAX: usize = 1_000;

/// One main listener's way to the sinks.
pub(in crate::agent) struct DirectWay {
    sinks: Arc<DirectSinks>,
    /// Something that it handed over goes back, or all of it is back already.
    broken: Arc<CancellationToken>,
}

impl DirectWay {
    /// Of a listener that has handed over nothing yet.
    pub(in crate::agent) fn new(sinks: &Arc<DirectSinks>) -> Self {
        DirectWay { sinks: Arc::clone(sinks), broken: Arc::default() }
    }

    /// What was handed over and is not published yet is back in the queue: nobody publishes it from here.
    pub(in crate::agent) fn abandon(&self) {
        self.broken.cancel();
    }

    /// Hands parcels to a sink and waits for room; `false` when this listener is to hand over nothing more.
    pub(in crate::agent) async fn hand_over(&self, slot: &Arc<SinkSlot>, parcels: Vec<Parcel>) -> bool {
        let handed = Handed { parcels, broken: Arc::clone(&self.broken) };
        !self.broken.is_cancelled() && self.sinks.worker(slot).send(handed).await.is_ok()
    }
}

/// To the sinks of this process.
impl Way for DirectWay {
    type Part = Fragment;

    async fn is_current(&self) -> bool {
        true
    }

    fn abandon(&self) {
        DirectWay::abandon(self);
    }

    /// Groups by sink, in order, and waits for room at each.
    async fn take(&mut self, routes: &Routes, yielded: Yielded<Fragment>, _: Expected) -> bool {
        let mut by_sink: Vec<Vec<Parcel>> = routes.sinks.iter().map(|_| Vec::new()).collect();
        for (sink, fragment, receipt) in yielded {
            by_sink[sink].push(Parcel::new(fragment, receipt));
        }
        for (slot, parcels) in routes.sinks.iter().zip(by_sink) {
            if !parcels.is_empty() && !self.hand_over(slot, parcels).await {
                return false;
            }
        }
        true
    }
}

/// What a listener handed over at once.
struct Handed {
    parcels: Vec<Parcel>,
    broken: Arc<CancellationToken>,
}

/// The workers of the sinks, by name; made when something first comes for them.
pub(in crate::agent) struct DirectSinks {
    workers: Mutex<BTreeMap<Arc<str>, mpsc::Sender<Handed>>>,
    agent: Arc<AgentContext>,
    give_up: CancellationToken,
}

impl DirectSinks {
    /// No workers yet; `give_up` ends the waiting for publishers that are away.
    pub(in crate::agent) fn new(agent: Arc<AgentContext>, give_up: CancellationToken) -> Self {
        DirectSinks { workers: Mutex::default(), give_up, agent }
    }

    fn worker(&self, slot: &Arc<SinkSlot>) -> mpsc::Sender<Handed> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers
            .entry(Arc::clone(&slot.name))
            .or_insert_with(|| {
                let (sender, receiver) = mpsc::channel(WAITING_BATCHES_MAX);
                let name = format!("sink {}", slot.name);
                let work = work(Arc::clone(&self.agent), Arc::clone(slot), receiver, self.give_up.clone());
                self.agent.tasks.spawn(&name, work);
                sender
            })
            .clone()
    }
}

async fn work(
    agent: Arc<AgentContext>,
    slot: Arc<SinkSlot>,
    mut receiver: mpsc::Receiver<Handed>,
    give_up: CancellationToken,
) {
    let mut kept: Option<Worker> = None;
    let mut next = None;
    let account = agent.books.open(books::Kind::Sink, &slot.name, Some(&slot.name), 0);
    let detours = agent.overflow.detours((&slot.name, 0), None, &account);
    loop {
        let handed = match next.take() {
            Some(handed) => Some(handed),
            None => receiver.recv().await,
        };
        let Some(Handed { mut parcels, broken }) = handed else { return };
        // The other tasks run once first, so that more is here: a write costs much more than a record in it.
        tokio::task::yield_now().await;
        // Of one listener only: what comes back of one must not keep back what another handed over.
        while parcels.len() < PARCELS_AT_ONCE_MAX
            && let Ok(more) = receiver.try_recv()
        {
            if !Arc::ptr_eq(&more.broken, &broken) {
                next = Some(more);
                break;
            }
            parcels.extend(more.parcels);
        }
        if broken.is_cancelled() {
            continue;
        }
        let until = Until { stop: give_up.clone(), over: CancellationToken::clone(&broken) };
        let context = agent.sink_context(until, 0, detours.clone(), &account);
        let mut worker = match kept.take() {
            Some(worker) if Worker::fits(&worker, &slot) => worker,
            _ => match worker_of(&agent, &slot).await {
                Ok(worker) => worker,
                // A log in this process has nothing that could fail; the parcels go back all the same.
                Err(lost) => return agent.metrics.state_lost(&slot.name, &lost.to_string()),
            },
        };
        let done = worker.handle(parcels, &slot, &context).await;
        kept = Some(worker);
        match done {
            Done::Published => {}
            Done::Unpublished => broken.cancel(),
            Done::Lost(lost) => return agent.metrics.state_lost(&slot.name, &lost.to_string()),
            Done::Failed(failed) => return agent.publisher_failed(failed),
        }
    }
}

/// The worker of a sink in an agent alone: its state lives as long as the process.
async fn worker_of(agent: &AgentContext, slot: &SinkSlot) -> Result<Worker, Lost> {
    let transformers = Arc::clone(&slot.current().transformers);
    if !transformers.is_stateful() {
        return Ok(Worker::Stateless);
    }
    let owner = Owner {
        queue: Arc::clone(&slot.name),
        sink: Arc::clone(&slot.name),
        epoch: 1,
        member: Arc::clone(&agent.member),
        nonce: 0,
    };
    let told = (agent.metrics.clone(), Arc::clone(&agent.troubles));
    let log = Box::new(MemoryLog::default());
    let keeper = Keeper::open(log, owner, transformers, agent.options.state.clone(), told).await?;
    Ok(Worker::Stateful(Box::new(keeper)))
}
