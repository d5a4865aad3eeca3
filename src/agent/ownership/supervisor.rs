//! The supervisor: what happens goes into the ownership machine, what it orders is carried out.
//!
//! One task. It never waits for a queue: orders are handed to tasks of their own, whose answers come back as happenings.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fatal::Fatal;
use super::work::{TICK, describe};
use crate::agent::listeners::agent_context::AgentContext;
use crate::agent::listeners::main_queue::direct::DirectSinks;
use crate::agent::listeners::queues::{self, Kind};
use crate::agent::resize::Quiet;
use crate::agent::stages::route::Routes;
use crate::cluster::{Happening, Ownership, OwnershipOptions};
use crate::coordination::{Coordinator, MemberRecord, Membership};
use crate::observe::Board;
use crate::transport::Why;

/// Happenings that wait for the supervisor, at most; it never waits for those who send them.
const HAPPENINGS_MAX: usize = 4_096;
/// The machine is not woken sooner than that for what it waits for.
const WAKE_MIN: Duration = Duration::from_millis(50);
/// For so long what is in flight may take when the lease is gone: a destination that does not answer must not keep others
/// from the queue.
const END_MAX: Duration = Duration::from_secs(5);

/// What the supervisor is told from above.
pub(in crate::agent) enum Control {
    /// Work by these routes from now on.
    Reload(Arc<Routes>, oneshot::Sender<()>),
    /// Give up everything in order, then end.
    Drain,
}

/// The supervisor of one agent.
pub(in crate::agent) struct Supervisor {
    pub(super) agent: Arc<AgentContext>,
    pub(super) coordinator: Arc<dyn Coordinator>,
    pub(super) record: MemberRecord,
    pub(super) routes: watch::Sender<Arc<Routes>>,
    pub(super) direct: Arc<DirectSinks>,
    pub(super) control: mpsc::Receiver<Control>,
    pub(super) board: Board,
    pub(super) queues: BTreeMap<String, Kind>,
    pub(super) began: Instant,
    /// Why the session with the first broker is over, once it is.
    pub(super) broker_why: Why,
    /// What this member does for a change of the number of pipeline queues.
    pub(super) quiet: Quiet,
    /// Whether the publishers have been asked whether they can be reached: once in this process, and not by an agent alone.
    pub(super) publishers_asked: bool,
    /// The numbers of queues, of the configuration and of the group, that were last told apart in the log.
    pub(super) told_apart: Option<(u16, u16)>,
}

/// One membership and what is done in its name.
pub(super) struct Term {
    pub(super) membership: Arc<dyn Membership>,
    pub(super) machine: Ownership,
    pub(super) running: HashMap<String, Running>,
    pub(super) answers: mpsc::Sender<Happening>,
    /// What the group is told of this member.
    pub(super) record: watch::Sender<MemberRecord>,
    /// The ids last seen, for the log.
    pub(super) members: String,
    /// Held by the task that looks for other consumers of the main queues.
    pub(super) looking: Arc<Semaphore>,
}

/// The handles of a queue that is opening, open or closing.
pub(super) struct Running {
    pub(super) epoch: i64,
    pub(super) stop: CancellationToken,
    pub(super) cut: CancellationToken,
    /// Whether its end was said, or need not be: what is cut may have said so itself, and what was never open does not close.
    pub(super) end_said: Arc<AtomicBool>,
}

impl Supervisor {
    /// A supervisor that has not joined yet.
    pub(in crate::agent) fn new(
        agent: Arc<AgentContext>,
        coordinator: Arc<dyn Coordinator>,
        record: MemberRecord,
        routes: Arc<Routes>,
        direct: Arc<DirectSinks>,
        control: mpsc::Receiver<Control>,
        board: Board,
    ) -> Self {
        let queues = queues::all(&agent, &routes).into_iter().collect();
        let mut supervisor = Supervisor {
            agent,
            coordinator,
            record,
            routes: watch::Sender::new(routes),
            direct,
            control,
            board,
            queues,
            began: Instant::now(),
            broker_why: Why::default(),
            quiet: Quiet::default(),
            publishers_asked: false,
            told_apart: None,
        };
        supervisor.show_pipelines();
        // Alone, nobody waits for this member to count.
        supervisor.publishers_asked = !supervisor.agent.options.partitioned;
        supervisor.record.config_digest = supervisor.digest();
        supervisor
    }

    /// Joins, works, joins again when the membership is lost; ends when drained.
    pub(in crate::agent) async fn run(mut self) -> Result<(), Fatal> {
        let looking = Arc::clone(&self.agent.overflow).look(self.routes.subscribe());
        self.agent.tasks.spawn("overflow queues that somebody made", looking);
        while let Some(membership) = self.join().await? {
            if self.serve(membership).await {
                break;
            }
        }
        Ok(())
    }

    /// Works in the name of one membership until it is lost or everything is given up; whether it was told to drain.
    async fn serve(&mut self, membership: Arc<dyn Membership>) -> bool {
        let (answers, mut happenings) = mpsc::channel(HAPPENINGS_MAX);
        let options =
            OwnershipOptions { moves_at_once: self.agent.options.moves_at_once, ..OwnershipOptions::default() };
        let machine = Ownership::new(self.record.id.clone(), options);
        let (record, told) = watch::channel(self.record.clone());
        let describing = describe(Arc::clone(&membership), told, self.agent.metrics.clone());
        self.agent.tasks.spawn("the group", describing);
        let mut term = Term {
            membership: Arc::clone(&membership),
            machine,
            running: HashMap::new(),
            answers,
            record,
            members: String::new(),
            looking: Arc::new(Semaphore::new(1)),
        };
        self.agent.layouts.membership.send_replace(Some(Arc::clone(&membership)));
        let lost = membership.lost();
        let link = self.agent.first_broker().link.clone();
        let mut over = CancellationToken::new();
        let mut tick = tokio::time::interval(TICK);
        let mut next_view = Instant::now();
        let mut done = self.step(&mut term, Happening::Queues(self.queues.keys().cloned().collect()));
        while !done {
            self.board.beat();
            let (connected, silent) = (term.machine.session_up(), term.machine.is_silent());
            let wake = term.machine.wake_at().map(|at| (self.began + at).max(Instant::now() + WAKE_MIN));
            done = tokio::select! {
                biased;
                () = lost.cancelled() => {
                    self.agent.metrics.membership_lost(&self.record.id, "the lease is gone");
                    self.end(&mut term, &mut happenings).await;
                    true
                }
                told = self.control.recv() => match told {
                    Some(Control::Reload(routes, answer)) => {
                        self.reload(routes, answer);
                        term.record.send_replace(self.record.clone());
                        if term.machine.is_ready() {
                            // What is new is declared before it moves to anybody.
                            self.prepare(&term);
                        }
                        self.step(&mut term, Happening::Queues(self.queues.keys().cloned().collect()))
                    }
                    Some(Control::Drain) | None => self.step(&mut term, Happening::Drain),
                },
                // Before what queues say of it: they are all cut, and none is to blame.
                () = over.cancelled(), if connected => self.step(&mut term, Happening::BrokerLost),
                Some(happening) = happenings.recv() => self.step(&mut term, happening),
                Ok(session) = link.session(), if !connected => {
                    (over, self.broker_why) = (session.over(), session.why());
                    self.step(&mut term, Happening::BrokerBack)
                }
                () = tokio::time::sleep_until(wake.unwrap_or(next_view)), if wake.is_some() => {
                    self.step(&mut term, Happening::Tick)
                }
                // Timers before the group: a group that never rests must not keep them from being looked at.
                () = tokio::time::sleep_until(membership.deadline()), if !silent => self.listen(&mut term),
                _ = tick.tick() => {
                    self.agent.metrics.lease_margin(membership.deadline().saturating_duration_since(Instant::now()));
                    let was_silent = term.machine.is_silent();
                    self.listen(&mut term);
                    if was_silent && !term.machine.is_silent() {
                        next_view = Instant::now();
                    }
                    self.look_around(&term);
                    self.step(&mut term, Happening::Tick)
                }
                // A group that is silent is not asked: who waits for its answer hears nothing else meanwhile.
                () = tokio::time::sleep_until(next_view), if !silent => self.look(&mut term, &mut next_view).await,
                () = membership.changed(), if !silent => self.look(&mut term, &mut next_view).await,
            };
        }
        self.agent.layouts.membership.send_replace(None);
        membership.leave().await;
        term.machine.is_draining()
    }

    /// Ends in order what is open without a lease: whoever has the queues now waits at the broker until nobody consumes them.
    async fn end(&mut self, term: &mut Term, happenings: &mut mpsc::Receiver<Happening>) {
        let until = Instant::now() + END_MAX;
        let mut done = self.step(term, Happening::LeaseLost);
        while !done {
            done = tokio::select! {
                biased;
                Some(happening) = happenings.recv() => self.step(term, happening),
                () = tokio::time::sleep_until(until) => {
                    self.step(term, Happening::LeaseLost);
                    // What cannot end is given back with its connection, in its old order.
                    self.agent.brokers.iter().filter_map(|b| b.link.current()).for_each(|session| session.cut());
                    true
                }
            };
        }
    }

    /// One step of the machine; whether it is done.
    pub(super) fn step(&mut self, term: &mut Term, happening: Happening) -> bool {
        if let Happening::Closed { queue, epoch } | Happening::OpenFailed { queue, epoch } = &happening
            && term.running.get(queue).is_some_and(|running| running.epoch == *epoch)
        {
            term.running.remove(queue);
        }
        self.publishers_asked |= happening == Happening::Prepared;
        let now = self.began.elapsed();
        let mut done = false;
        for order in term.machine.step(happening, now) {
            done |= self.carry_out(term, order);
        }
        self.agent.metrics.queues_owned(term.running.len());
        self.show(term);
        done
    }
}
