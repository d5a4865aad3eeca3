//! Without partitioning the middle hop is skipped: one worker per sink in this process, fed over a bounded channel, so
//! that a slow publisher slows only its own sink until the prefetch is used up.
//!
//! What a worker cannot finish goes back to the queue, and comes again behind all that its listener had handed over meanwhile. So
//! nothing of that listener is worked on any more: it ends, and all it took comes again in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use super::overflow::Detours;
use super::sink::{Parcel, SinkSlot};
use super::state::{Done, Keeper, Lost, MemoryLog, Owner};
use super::transform;
use super::until::Until;
use crate::pipeline::transform::Transformers;

/// Batches that wait at a sink, at most; each is bounded by the intake.
const WAITING_BATCHES_MAX: usize = 4;
/// Parcels handed to the publishers at once, at most.
const PARCELS_AT_ONCE_MAX: usize = 1_000;

/// One main listener's way to the sinks.
pub(super) struct DirectWay {
    sinks: Arc<DirectSinks>,
    /// Something that it handed over goes back, or all of it is back already.
    broken: Arc<CancellationToken>,
}

impl DirectWay {
    /// Of a listener that has handed over nothing yet.
    pub(super) fn new(sinks: &Arc<DirectSinks>) -> Self {
        DirectWay { sinks: Arc::clone(sinks), broken: Arc::default() }
    }

    /// What was handed over and is not published yet is back in the queue: nobody publishes it from here.
    pub(super) fn abandon(&self) {
        self.broken.cancel();
    }

    /// Hands parcels to a sink and waits for room; `false` when this listener is to hand over nothing more.
    pub(super) async fn hand_over(&self, slot: &Arc<SinkSlot>, parcels: Vec<Parcel>) -> bool {
        let handed = Handed { parcels, broken: Arc::clone(&self.broken) };
        !self.broken.is_cancelled() && self.sinks.worker(slot).send(handed).await.is_ok()
    }
}

/// What a listener handed over at once.
struct Handed {
    parcels: Vec<Parcel>,
    broken: Arc<CancellationToken>,
}

/// The workers of the sinks, by name; made when something first comes for them.
pub(super) struct DirectSinks {
    workers: Mutex<BTreeMap<Arc<str>, mpsc::Sender<Handed>>>,
    ground: Arc<Ground>,
    give_up: CancellationToken,
}

impl DirectSinks {
    /// No workers yet; `give_up` ends the waiting for publishers that are away.
    pub(super) fn new(ground: Arc<Ground>, give_up: CancellationToken) -> Self {
        DirectSinks { workers: Mutex::default(), give_up, ground }
    }

    fn worker(&self, slot: &Arc<SinkSlot>) -> mpsc::Sender<Handed> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers
            .entry(Arc::clone(&slot.name))
            .or_insert_with(|| {
                let (sender, receiver) = mpsc::channel(WAITING_BATCHES_MAX);
                let name = format!("sink {}", slot.name);
                let work = work(Arc::clone(&self.ground), Arc::clone(slot), receiver, self.give_up.clone());
                self.ground.nursery.spawn(&name, work);
                sender
            })
            .clone()
    }
}

async fn work(
    ground: Arc<Ground>,
    slot: Arc<SinkSlot>,
    mut receiver: mpsc::Receiver<Handed>,
    give_up: CancellationToken,
) {
    let mut keeper: Option<Keeper> = None;
    let mut next = None;
    let detours = Detours::new(&ground, &slot.name, 0, None);
    loop {
        let handed = match next.take() {
            Some(handed) => Some(handed),
            None => receiver.recv().await,
        };
        let Some(Handed { mut parcels, broken }) = handed else { return };
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
        let context = ground.sink_context(until, 0, detours.clone());
        let transformers = Arc::clone(&slot.current().transformers);
        let done = if transformers.is_stateful() {
            let keeper = match &mut keeper {
                Some(keeper) => keeper,
                None => match alone(&ground, &slot, &transformers).await {
                    Ok(opened) => keeper.insert(opened),
                    // A log in this process has nothing that could fail; the parcels go back all the same.
                    Err(lost) => return ground.metrics.state_lost(&slot.name, &lost.to_string()),
                },
            };
            keeper.use_transformers(&transformers);
            keeper.handle(parcels, ground.options.clock.now(), &slot, &context).await
        } else {
            keeper = None;
            match transform::stateless(&slot, parcels, &context).await {
                None => Done::Unpublished,
                Some(parcels) => match slot.deliver(parcels, &context).await {
                    Ok(true) => Done::Published,
                    Ok(false) => Done::Unpublished,
                    Err(dead) => Done::Dead(dead),
                },
            }
        };
        match done {
            Done::Published => {}
            Done::Unpublished => broken.cancel(),
            Done::Lost(lost) => return ground.metrics.state_lost(&slot.name, &lost.to_string()),
            Done::Dead(dead) => return ground.died(dead),
        }
    }
}

/// The state of a sink in an agent alone: it lives as long as the process.
async fn alone(ground: &Ground, slot: &SinkSlot, transformers: &Arc<Transformers>) -> Result<Keeper, Lost> {
    let owner = Owner {
        queue: Arc::clone(&slot.name),
        sink: Arc::clone(&slot.name),
        epoch: 1,
        member: Arc::clone(&ground.member),
        nonce: 0,
    };
    let told = (ground.metrics.clone(), Arc::clone(&ground.troubles));
    let log = Box::new(MemoryLog::default());
    Keeper::open(log, owner, Arc::clone(transformers), ground.options.state.clone(), told).await
}
