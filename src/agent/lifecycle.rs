//! An agent from its start to its end: it is started, reloaded, drained, killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::books::Books;
use super::listeners::agent_context::AgentContext;
use super::listeners::main_queue::direct::DirectSinks;
use super::ownership::{Control, Supervisor};
use super::parked::parking::{Parking, ParkingQueue};
use super::resize::Layouts;
use super::runtime::alias::Aliases;
use super::runtime::task_group::TaskGroup;
use super::runtime::troubles::Troubles;
use super::runtime::{BrokerPlace, Context, link_status};
use super::setup::{Blueprint, DeskParts, Parts};
use super::sinks::offer;
use super::sinks::overflow::{Overflow, OverflowQueue};
use super::state::QueueMemory;
use crate::config::Settings;
use crate::coordination::{Coordinator, MemberRecord};
use crate::desk::speaker::CLOSED_WITHIN;
use crate::desk::{Speaker, Watcher, watcher};
use crate::model::Complaint;
use crate::observe::Board;
use crate::publish;

/// How often a drain says who is still busy.
const BUSY_REPORT: Duration = Duration::from_secs(5);

/// A running agent. Dropping it kills it.
pub struct Agent {
    context: Arc<AgentContext>,
    control: mpsc::Sender<Control>,
    blueprint: Mutex<Blueprint>,
    outcome: watch::Receiver<Option<Outcome>>,
    give_up: CancellationToken,
    /// Ends what is told to those who watch, and says when that has ended.
    silence: (CancellationToken, CancellationToken),
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
#[error("cannot drain in {0:?}: still busy: {1}; raise [DEFAULT] graceful_shutdown_timeout if they need longer")]
pub struct NotDrained(Duration, String);

impl Agent {
    /// Starts an agent: downstream first (publishers are built already), then the group, then the queues.
    pub fn start(parts: Parts) -> Agent {
        let Parts { group, record, brokers, coordinator, blueprint, options, metrics, board, desk } = parts;
        let member: Arc<str> = record.id.as_str().into();
        let (publisher_failures, failures) = mpsc::channel(1);
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
        let context =
            Arc::new(Context { group, member, options, troubles, metrics: metrics.clone(), tasks: TaskGroup::new() });
        let books = Books::new(&context, brokers[0].link.clone(), &brokers[0].main_queues);
        context.tasks.spawn("the books", Arc::clone(&books).run());
        let overflow = Overflow::new(&context, &brokers[0]);
        let layouts = Layouts::new(&context);
        let agent = Arc::new(AgentContext {
            context,
            brokers,
            parking,
            memory: QueueMemory::default(),
            aliases: Aliases::default(),
            overflow,
            books,
            layouts,
            publisher_failures,
        });
        // Not in the task group: they end with their links, and hold nothing up.
        for place in &agent.brokers {
            tokio::spawn(link_status::follow(place.link.clone(), board.clone(), metrics.clone()));
        }
        for place in &agent.brokers {
            agent.tasks.spawn("limits", link_status::warn_of_limits(Arc::clone(place), metrics.clone()));
        }
        for (broker, place) in agent.brokers.iter().enumerate() {
            let own = (broker == 0).then(|| agent.parking_queue());
            let guard = Arc::clone(place).keep_declared(own, Arc::clone(&agent.context));
            agent.tasks.spawn("what is declared", guard);
        }
        let silence = if let Some(desk) = desk {
            tell(desk, &agent, (&record, &coordinator), &board)
        } else {
            let ended = CancellationToken::new();
            ended.cancel();
            (CancellationToken::new(), ended)
        };
        let give_up = CancellationToken::new();
        let direct = Arc::new(DirectSinks::new(Arc::clone(&agent), give_up.clone()));
        let (control, controlled) = mpsc::channel(4);
        let routes = Arc::clone(blueprint.routes());
        let supervisor =
            Supervisor::new(Arc::clone(&agent), coordinator, record, routes, Arc::clone(&direct), controlled, board);
        let (outcome, known) = watch::channel(None);
        agent.tasks.spawn("the supervisor", oversee(supervisor, failures, outcome));
        Agent { context: agent, control, blueprint: Mutex::new(blueprint), outcome: known, give_up, silence }
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
        let queues = self.context.overflow.queues(&present.routes().sinks);
        let before: Vec<(String, Arc<str>)> = queues.map(|OverflowQueue { name, key, .. }| (name, key)).collect();
        let changed = next.take_over();
        self.context.overflow.keep(&next.routes().sinks, &before);
        let (done, taken) = oneshot::channel();
        if self.control.send(Control::Reload(Arc::clone(next.routes()), done)).await.is_ok() {
            let _ended = taken.await;
        }
        let former = std::mem::replace(&mut *present, next);
        former.close(Some(&*present)).await;
        let now: BTreeSet<String> =
            self.context.overflow.queues(&present.routes().sinks).map(|queue| queue.name).collect();
        for (queue, key) in before.into_iter().filter(|(queue, _)| !now.contains(queue)) {
            let left = Arc::clone(&self.context.overflow).say_what_is_left(queue, key);
            self.context.tasks.spawn("what an overflow queue has", left);
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
            self.context.books.finish().await;
            self.silence.0.cancel();
            for place in &self.context.brokers {
                place.link.stop().await;
            }
            let _in_time = timeout(CLOSED_WITHIN, self.silence.1.cancelled()).await;
            self.blueprint.lock().await.close(None).await;
        };
        tokio::pin!(drained);
        let mut report = began + BUSY_REPORT;
        loop {
            tokio::select! {
                biased;
                () = &mut drained => {
                    self.context.tasks.kill();
                    self.context.metrics.drained(began.elapsed());
                    return Ok(());
                }
                () = tokio::time::sleep_until(until) => {
                    let busy = self.context.tasks.busy().join(", ");
                    self.kill();
                    return Err(NotDrained(deadline, busy));
                }
                () = tokio::time::sleep_until(report) => {
                    let waited = began.elapsed();
                    self.context.metrics.drain_waits(waited, &self.context.tasks.busy().join(", "));
                    // Ever more rarely: what keeps it for long keeps it for longer.
                    report += waited;
                }
            }
        }
    }

    /// Ends everything where it stands, as a crash would: nothing is settled, connections are cut.
    pub fn kill(&self) {
        self.context.tasks.kill();
        for place in &self.context.brokers {
            place.link.cut();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Tells those who watch what this agent does, and shows on its page what all do. What ends that, and what says that it has ended.
fn tell(
    DeskParts { broker, feed }: DeskParts,
    agent: &Arc<AgentContext>,
    (record, coordinator): (&MemberRecord, &Arc<dyn Coordinator>),
    board: &Board,
) -> (CancellationToken, CancellationToken) {
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    let speaker = Speaker {
        broker: Arc::clone(&broker),
        group: agent.group.to_string(),
        member: record.id.clone(),
        host: record.host.clone(),
        has_lease: agent.options.partitioned,
        metrics: agent.metrics.clone(),
        board: board.clone(),
    };
    let group = agent.group.to_string();
    let seen = agent.options.partitioned.then(|| Arc::clone(coordinator));
    let watcher = move || Watcher::new(Arc::clone(&broker), &group, seen.clone());
    let (stopping, guard) = (stop.clone(), ended.clone().drop_guard());
    agent.tasks.spawn("what is told to those who watch", async move {
        let _ended = guard;
        tokio::join!(speaker.speak(stopping.clone()), watcher::serve(watcher, feed, stopping));
    });
    (stop, ended)
}

/// Runs the supervisor and makes known how it ended, or that a publisher is at its end.
async fn oversee(
    supervisor: Supervisor,
    mut failures: mpsc::Receiver<offer::PublisherFailed>,
    outcome: watch::Sender<Option<Outcome>>,
) {
    let ended = tokio::select! {
        biased;
        Some(failed) = failures.recv() => Outcome::Failed(failed.to_string()),
        ended = supervisor.run() => match ended {
            Ok(()) => Outcome::Drained,
            Err(fatal) => Outcome::Failed(fatal.to_string()),
        },
    };
    outcome.send_replace(Some(ended));
}
