//! The assembled machine. Read it in this order, and you have followed one notification from queue to publisher:
//!
//! 1. `intake` takes deliveries from a queue, as much as is there; `rescue` first moves what came back often out of reach of the
//!    broker's delivery limit.
//! 2. `main_listener` has them opened, converted and routed (`conversion`, `route`) and parks what cannot be read
//!    (`parking`); `parked` is for who looks at that from outside.
//! 3. Alone: `direct` hands fragments to the sinks of this process. In a group: `forward` puts them (`written`) into the lane to
//!    their pipeline queue (`lanes`), which sends one `packet` at a time. `pipeline_listener` takes them up where the queue's
//!    owner runs, in the order of their numbers (`arrivals`).
//! 4. `transform` makes of samples what the sink's transformers say; where they keep state, `stateful_listener` commits
//!    each batch to the queue's state log first (`state`).
//! 5. `sink` offers batches to the publishers (`offer`); what all of them accepted is settled, and the acknowledgement follows.
//!    What one of several does not take goes into its `overflow` queue meanwhile.
//!
//! What cannot go on is held `until` its listener ends; `troubles` says what stands still, and `standing` how the links are.
//! `predecessor` has an opening wait until nobody else consumes its queue.
//! While the number of pipeline queues changes, `shape` says how far that is, `fences` tells when an old queue is empty for
//! good, and `straggler` sends on what comes to it all the same.
//!
//! Around it: `unit` opens one queue, `readiness` asks publishers before a member counts, `supervisor` decides with the group which ones, `ground` is what they share,
//! `nursery` knows who is still there, and this file starts, reloads, drains and kills the whole.
//!
//! Never here: what a definition means, what a broker or a group does. Those are rooms below.

mod alias;
mod arrivals;
mod clearing;
mod clock;
mod conversion;
mod direct;
mod fences;
mod forward;
mod ground;
mod intake;
mod lanes;
mod main_listener;
mod nursery;
mod offer;
mod overflow;
pub mod packet;
pub mod parked;
mod parking;
mod pipeline_listener;
mod posted;
mod predecessor;
mod readiness;
mod rescue;
mod route;
mod sabotage;
mod shape;
mod sink;
mod standing;
mod state;
mod stateful_listener;
mod straggler;
mod supervisor;
mod transform;
mod troubles;
mod unit;
mod until;
mod written;

pub mod assembly;
pub mod outside;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::config::Settings;
use crate::coordination::{Coordinator, MemberRecord};
use crate::model::Complaint;
use crate::observe::{Board, Metrics};
use crate::publish;
use alias::Aliases;
use direct::DirectSinks;
use nursery::Nursery;
use overflow::{Answers, Found};
use parking::{Parking, ParkingQueue};
use posted::Posted;
use state::QueueMemory;
use supervisor::{Control, Supervisor};
use troubles::Troubles;

pub use assembly::Blueprint;
pub use clock::Clock;
pub use ground::{AgentOptions, BrokerPlace};
pub use intake::IntakeBounds;
pub use overflow::OverflowOptions;
pub use packet::PacketBounds;
pub use route::dropped;
pub use sabotage::Sabotage;
pub use state::StateOptions;

use ground::Ground;

/// How often a drain says who is still busy.
const BUSY_REPORT: Duration = Duration::from_secs(5);

/// What an agent is made of.
pub struct Parts {
    /// The group's name, part of the names of its queues.
    pub group: String,
    /// What it says of itself in the group.
    pub record: MemberRecord,
    /// The brokers; pipeline queues and the parking queue are on the first.
    pub brokers: Vec<BrokerPlace>,
    /// Where members meet; the in-process one for an agent alone.
    pub coordinator: Arc<dyn Coordinator>,
    /// Definitions, pipelines and publishers.
    pub blueprint: Blueprint,
    /// Bounds and waits.
    pub options: AgentOptions,
    /// Counters.
    pub metrics: Metrics,
    /// Where it says what it does.
    pub board: Board,
}

/// A running agent. Dropping it kills it.
pub struct Agent {
    ground: Arc<Ground>,
    control: mpsc::Sender<Control>,
    blueprint: Mutex<Blueprint>,
    outcome: watch::Receiver<Option<Outcome>>,
    give_up: tokio_util::sync::CancellationToken,
}

/// How an agent came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was drained.
    Drained,
    /// It cannot go on; the sentence says why and what to do.
    Failed(String),
}

/// A drain that was not done by its deadline: what is not settled goes back to the broker.
#[derive(Debug, thiserror::Error)]
#[error("not drained in {0:?}, still busy: {1}")]
pub struct NotDrained(Duration, String);

impl Agent {
    /// Starts an agent: downstream first (publishers are built already), then the group, then the queues.
    pub fn start(parts: Parts) -> Agent {
        let Parts { group, record, brokers, coordinator, blueprint, options, metrics, board } = parts;
        let nursery = Nursery::new();
        let member: Arc<str> = record.id.as_str().into();
        let (deaths, died) = mpsc::channel(1);
        let brokers: Vec<Arc<BrokerPlace>> = brokers.into_iter().map(Arc::new).collect();
        let link = brokers[0].link.clone();
        let group: Arc<str> = group.into();
        let troubles = Arc::new(Troubles::new(board.clone(), options.clock));
        let parked = ParkingQueue {
            group: Arc::clone(&group),
            kind: options.queue_kind,
            messages_max: options.parked_messages_max,
        };
        let parking = Parking::new(link, parked, &member, &metrics, (&troubles, options.clock));
        let ground = Arc::new(Ground {
            group,
            troubles,
            member,
            brokers,
            options,
            parking,
            metrics: metrics.clone(),
            nursery,
            memory: QueueMemory::default(),
            aliases: Aliases::default(),
            answers: Answers::default(),
            found: Found::default(),
            shape: Posted::new(None),
            declared: std::sync::Mutex::default(),
            membership: watch::Sender::new(None),
            deaths,
        });
        // No tasks of the nursery: they end with their links, and hold nothing up.
        for place in &ground.brokers {
            tokio::spawn(standing::follow(place.link.clone(), board.clone(), metrics.clone()));
        }
        for place in &ground.brokers {
            ground.nursery.spawn("limits", standing::warn_of_limits(Arc::clone(place), metrics.clone()));
        }
        for broker in 0..ground.brokers.len() {
            let guard = Arc::clone(&ground).guard(broker);
            ground.nursery.spawn("what is declared", guard);
        }
        let give_up = tokio_util::sync::CancellationToken::new();
        let direct = Arc::new(DirectSinks::new(Arc::clone(&ground), give_up.clone()));
        let (control, controlled) = mpsc::channel(4);
        let routes = Arc::clone(blueprint.routes());
        let supervisor =
            Supervisor::new(Arc::clone(&ground), coordinator, record, routes, Arc::clone(&direct), controlled, board);
        let (outcome, known) = watch::channel(None);
        ground.nursery.spawn("the supervisor", oversee(supervisor, died, outcome));
        Agent { ground, control, blueprint: Mutex::new(blueprint), outcome: known, give_up }
    }

    /// Waits until it comes to its end.
    pub async fn ended(&self) -> Outcome {
        let mut outcome = self.outcome.clone();
        match outcome.wait_for(Option::is_some).await {
            Ok(known) => known.clone().unwrap_or(Outcome::Drained),
            Err(_) => Outcome::Failed("cannot go on: it was killed".to_owned()),
        }
    }

    /// Reads another configuration for this agent; nothing changes yet.
    pub async fn prepare(
        &self,
        settings: &Settings,
        context: &publish::Context,
    ) -> (Option<Blueprint>, Vec<Complaint>) {
        Blueprint::build(settings, context, Some(&*self.blueprint.lock().await))
    }

    /// Takes over a prepared configuration: sinks that did not change keep their publishers, queues that did not
    /// change keep their listeners. How many sinks are others now.
    pub async fn reload(&self, mut next: Blueprint) -> usize {
        let mut present = self.blueprint.lock().await;
        let queues = self.ground.overflow_queues(present.routes());
        let before: Vec<(String, Arc<str>)> = queues.map(|(queue, _, key)| (queue, key)).collect();
        let changed = next.take_over();
        self.ground.found.keep(&self.ground, next.routes(), &before);
        let (done, taken) = oneshot::channel();
        if self.control.send(Control::Reload(Arc::clone(next.routes()), done)).await.is_ok() {
            let _ended = taken.await;
        }
        let former = std::mem::replace(&mut *present, next);
        former.close(Some(&*present)).await;
        let now: BTreeSet<String> = self.ground.overflow_queues(present.routes()).map(|(queue, ..)| queue).collect();
        for (queue, key) in before.into_iter().filter(|(queue, _)| !now.contains(queue)) {
            let left = overflow::say_what_is_left(Arc::clone(&self.ground), queue, key);
            self.ground.nursery.spawn("what an overflow queue has", left);
        }
        changed
    }

    /// Stops in order, upstream first: no queue is taken from any more, what is in flight is finished and settled,
    /// queues are given up, publishers are closed. Past the deadline everything left goes back to the broker.
    pub async fn drain(&self, deadline: Duration) -> Result<(), NotDrained> {
        let began = Instant::now();
        let until = began + deadline;
        self.give_up.cancel();
        let _ended = self.control.send(Control::Drain).await;
        let drained = async {
            self.ended().await;
            for place in &self.ground.brokers {
                place.link.stop().await;
            }
            self.blueprint.lock().await.close(None).await;
        };
        tokio::pin!(drained);
        let mut report = began + BUSY_REPORT;
        loop {
            tokio::select! {
                biased;
                () = &mut drained => {
                    self.ground.nursery.kill();
                    self.ground.metrics.drained(began.elapsed());
                    return Ok(());
                }
                () = tokio::time::sleep_until(until) => {
                    let busy = self.ground.nursery.busy().join(", ");
                    self.kill();
                    return Err(NotDrained(deadline, busy));
                }
                () = tokio::time::sleep_until(report) => {
                    let waited = began.elapsed();
                    self.ground.metrics.drain_waits(waited, &self.ground.nursery.busy().join(", "));
                    // Ever more rarely: what keeps it for long keeps it for longer.
                    report += waited;
                }
            }
        }
    }

    /// Ends everything where it stands, as a crash would: nothing is settled, connections are cut.
    pub fn kill(&self) {
        self.ground.nursery.kill();
        for place in &self.ground.brokers {
            place.link.cut();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs the supervisor and makes known how it ended, or that a publisher is at its end.
async fn oversee(
    supervisor: Supervisor,
    mut died: mpsc::Receiver<offer::Dead>,
    outcome: watch::Sender<Option<Outcome>>,
) {
    let ended = tokio::select! {
        biased;
        Some(dead) = died.recv() => Outcome::Failed(dead.to_string()),
        ended = supervisor.run() => match ended {
            Ok(()) => Outcome::Drained,
            Err(fatal) => Outcome::Failed(fatal.to_string()),
        },
    };
    outcome.send_replace(Some(ended));
}
