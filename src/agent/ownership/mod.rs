//! The supervisor: what happens goes into the ownership machine, what it orders is carried out.
//!
//! `look` brings what the group says, `silence` what to do while it says nothing, `work` runs what was ordered, `show` writes
//! down what an operator may ask for.
//!
//! One task. It never waits for a unit: orders are handed to tasks of their own, whose answers come back as happenings.

mod look;
mod readiness;
mod show;
mod silence;
mod work;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::agent::listeners::ground::Ground;
use crate::agent::listeners::main_queue::direct::DirectSinks;
use crate::agent::listeners::open::Opening;
use crate::agent::listeners::queues::{self, Kind};
use crate::agent::resize::Quiet;
use crate::agent::stages::route::Routes;
use crate::backoff::Backoff;
use crate::cluster::{Happening, Order, Ownership, OwnershipOptions};
use crate::coordination::{CoordinationError, Coordinator, MemberRecord, Membership};
use crate::observe::{Board, Closed, Repeats};
use crate::transport::Why;
use work::{Work, describe};

/// Happenings that wait for the supervisor, at most; it never waits for those who send them.
const HAPPENINGS_MAX: usize = 4_096;
/// How often links, lease and machine are looked at even if nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// The machine is not woken sooner than that for what it waits for.
const WAKE_MIN: Duration = Duration::from_millis(50);
/// Waits between two attempts to join.
const JOIN_AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// For so long what is in flight may take when the lease is gone: a destination that does not answer must not keep others
/// from the queue.
const END_MAX: Duration = Duration::from_secs(5);
/// For so long, beyond two lives of a lease, a taken member id may be that of a process that died: a backend that was
/// restarted, or has another leader, gives every lease its full life again.
const TAKEN_ID_PATIENCE: Duration = Duration::from_secs(5);

/// What the supervisor is told from above.
pub(in crate::agent) enum Control {
    /// Work by these routes from now on.
    Reload(Arc<Routes>, oneshot::Sender<()>),
    /// Give up everything in order, then end.
    Drain,
}

/// How the supervisor came to its end.
#[derive(Debug, thiserror::Error)]
pub(in crate::agent) enum Fatal {
    /// Another live process goes by this member's id.
    #[error("cannot join the group: {0}")]
    Join(CoordinationError),
}

/// Whether only a person can change what keeps the group from being joined: then it is tried at the longest interval.
fn must_wait_for_a_person(error: &CoordinationError) -> bool {
    match error {
        CoordinationError::Refused { .. } | CoordinationError::TooLong { .. } | CoordinationError::Foreign { .. } => {
            true
        }
        CoordinationError::Away { .. } | CoordinationError::Lost(_) | CoordinationError::IdTaken(_) => false,
    }
}

/// The supervisor of one agent.
pub(in crate::agent) struct Supervisor {
    ground: Arc<Ground>,
    coordinator: Arc<dyn Coordinator>,
    record: MemberRecord,
    routes: watch::Sender<Arc<Routes>>,
    direct: Arc<DirectSinks>,
    control: mpsc::Receiver<Control>,
    board: Board,
    units: BTreeMap<String, Kind>,
    began: Instant,
    /// Why the session with the first broker is over, once it is.
    broker_why: Why,
    /// What this member does for a change of the number of pipeline queues.
    quiet: Quiet,
    /// Whether the publishers have been asked whether they can be reached: once in this process, and not by an agent alone.
    publishers_asked: bool,
    /// The numbers of queues, of the configuration and of the group, that were last told apart in the log.
    told_apart: Option<(u16, u16)>,
}

/// One membership and what is done in its name.
struct Term {
    membership: Arc<dyn Membership>,
    machine: Ownership,
    running: HashMap<String, Running>,
    answers: mpsc::Sender<Happening>,
    /// What the group is told of this member.
    record: watch::Sender<MemberRecord>,
    /// The ids last seen, for the log.
    members: String,
    /// Held by the task that looks for other consumers of the main queues.
    looking: Arc<Semaphore>,
}

/// The handles of a unit that is opening, open or closing.
struct Running {
    epoch: i64,
    stop: CancellationToken,
    cut: CancellationToken,
    /// Whether its end was said, or need not be: what is cut may have said so itself, and what was never open does not close.
    end_said: Arc<AtomicBool>,
}

impl Supervisor {
    /// A supervisor that has not joined yet.
    pub(in crate::agent) fn new(
        ground: Arc<Ground>,
        coordinator: Arc<dyn Coordinator>,
        record: MemberRecord,
        routes: Arc<Routes>,
        direct: Arc<DirectSinks>,
        control: mpsc::Receiver<Control>,
        board: Board,
    ) -> Self {
        let units = queues::all(&ground, &routes).into_iter().collect();
        let mut supervisor = Supervisor {
            ground,
            coordinator,
            record,
            routes: watch::Sender::new(routes),
            direct,
            control,
            board,
            units,
            began: Instant::now(),
            broker_why: Why::default(),
            quiet: Quiet::default(),
            publishers_asked: false,
            told_apart: None,
        };
        supervisor.show_pipelines();
        // Alone, nobody waits for this member to count.
        supervisor.publishers_asked = !supervisor.ground.options.partitioned;
        supervisor.record.config_digest = supervisor.digest();
        supervisor
    }

    /// Joins, works, joins again when the membership is lost; ends when drained.
    pub(in crate::agent) async fn run(mut self) -> Result<(), Fatal> {
        let looking = Arc::clone(&self.ground.overflow).look(self.routes.subscribe());
        self.ground.nursery.spawn("overflow queues that somebody made", looking);
        while let Some(membership) = self.join().await? {
            if self.serve(membership).await {
                break;
            }
        }
        Ok(())
    }

    /// Joins the group, trying until it is let in; `None` when told to drain meanwhile.
    async fn join(&mut self) -> Result<Option<Arc<dyn Membership>>, Fatal> {
        let metrics = self.ground.metrics.clone();
        // When it was last asked, and for how long it has said so without having been silent meanwhile: while it is away no lease
        // runs out. Of the time in which we did not ask, being frozen, we know nothing.
        let mut taken_for: Option<(Instant, Duration)> = None;
        let patience = 2 * self.coordinator.ttl() + TAKEN_ID_PATIENCE;
        let again = JOIN_AGAIN.of(&self.record.id);
        let (mut waits, mut long_waits) = (again.waits(), Backoff { first: again.longest, ..again }.waits());
        let mut wait = Duration::ZERO;
        let repeats = Repeats::default();
        self.board.change(|s| s.waiting_for = vec![format!("the group at {}", self.coordinator.name())]);
        loop {
            self.record.ready = false;
            let asked = Instant::now();
            match self.coordinator.join(self.record.clone()).await {
                Ok(membership) => {
                    metrics.member_joined(&self.record.id, self.coordinator.name());
                    return Ok(Some(membership));
                }
                Err(taken @ CoordinationError::IdTaken(_)) => {
                    let since = |(last, before): (Instant, Duration)| before + (asked - last).min(2 * wait);
                    let so_long = taken_for.map_or(Duration::ZERO, since);
                    if so_long > patience {
                        return Err(Fatal::Join(taken));
                    }
                    taken_for = Some((asked, so_long));
                    wait = waits.again();
                    let cause = taken.to_string();
                    metrics.join_failed(&cause, wait, repeats.note(&cause));
                }
                Err(error) => {
                    taken_for = None;
                    wait = if must_wait_for_a_person(&error) { long_waits.again() } else { waits.again() };
                    let cause = error.to_string();
                    metrics.join_failed(&cause, wait, repeats.note(&cause));
                }
            }
            let again = Instant::now() + wait;
            loop {
                tokio::select! {
                    biased;
                    told = self.control.recv() => match told {
                        Some(Control::Reload(routes, done)) => self.reload(routes, done),
                        Some(Control::Drain) | None => return Ok(None),
                    },
                    () = tokio::time::sleep_until(again) => break,
                }
            }
        }
    }

    /// Works in the name of one membership until it is lost or everything is given up; whether it was told to drain.
    async fn serve(&mut self, membership: Arc<dyn Membership>) -> bool {
        let (answers, mut happenings) = mpsc::channel(HAPPENINGS_MAX);
        let options =
            OwnershipOptions { moves_at_once: self.ground.options.moves_at_once, ..OwnershipOptions::default() };
        let machine = Ownership::new(self.record.id.clone(), options);
        let (record, told) = watch::channel(self.record.clone());
        let describing = describe(Arc::clone(&membership), told, self.ground.metrics.clone());
        self.ground.nursery.spawn("the group", describing);
        let mut term = Term {
            membership: Arc::clone(&membership),
            machine,
            running: HashMap::new(),
            answers,
            record,
            members: String::new(),
            looking: Arc::new(Semaphore::new(1)),
        };
        self.ground.layouts.membership.send_replace(Some(Arc::clone(&membership)));
        let lost = membership.lost();
        let link = self.ground.first_broker().link.clone();
        let mut over = CancellationToken::new();
        let mut tick = tokio::time::interval(TICK);
        let mut next_view = Instant::now();
        let mut done = self.step(&mut term, Happening::Units(self.units.keys().cloned().collect()));
        while !done {
            let (connected, silent) = (term.machine.session_up(), term.machine.is_silent());
            let wake = term.machine.wake_at().map(|at| (self.began + at).max(Instant::now() + WAKE_MIN));
            done = tokio::select! {
                biased;
                () = lost.cancelled() => {
                    self.ground.metrics.membership_lost(&self.record.id, "the lease is gone");
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
                        self.step(&mut term, Happening::Units(self.units.keys().cloned().collect()))
                    }
                    Some(Control::Drain) | None => self.step(&mut term, Happening::Drain),
                },
                // Before what units say of it: they are all cut, and none is to blame.
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
                    self.ground.metrics.lease_margin(membership.deadline().saturating_duration_since(Instant::now()));
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
        self.ground.layouts.membership.send_replace(None);
        membership.leave().await;
        term.machine.is_draining()
    }

    /// Ends in order what is open without a lease: whoever has the units now waits at the broker until nobody consumes them.
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
                    self.ground.brokers.iter().filter_map(|b| b.link.current()).for_each(|session| session.cut());
                    true
                }
            };
        }
    }

    /// One step of the machine; whether it is done.
    fn step(&mut self, term: &mut Term, happening: Happening) -> bool {
        if let Happening::Opened { unit, epoch } = &happening {
            self.ground.metrics.queue_opened(unit, *epoch);
        }
        if let Happening::Closed { unit, epoch } | Happening::OpenFailed { unit, epoch } = &happening
            && term.running.get(unit).is_some_and(|running| running.epoch == *epoch)
        {
            term.running.remove(unit);
        }
        self.publishers_asked |= happening == Happening::Prepared;
        let now = self.began.elapsed();
        let mut done = false;
        for order in term.machine.step(happening, now) {
            done |= self.carry_out(term, order);
        }
        self.ground.metrics.queues_owned(term.running.len());
        self.show(term);
        done
    }

    fn carry_out(&mut self, term: &mut Term, order: Order) -> bool {
        match order {
            Order::Prepare => self.prepare(term),
            Order::Ready { ready } => {
                self.record.ready = ready;
                term.record.send_replace(self.record.clone());
            }
            Order::Claim { unit } => {
                let (membership, answers) = (Arc::clone(&term.membership), term.answers.clone());
                let metrics = self.ground.metrics.clone();
                self.ground.nursery.spawn("the group", async move {
                    let happening = match membership.claim(&unit).await {
                        Ok(Some(epoch)) => Happening::Claimed { unit, epoch },
                        Ok(None) => Happening::ClaimRefused { unit },
                        Err(error) => {
                            metrics.group_silent(&error.to_string());
                            Happening::ClaimRefused { unit }
                        }
                    };
                    let _over = answers.send(happening).await;
                });
            }
            Order::Open { unit, epoch } => self.open(term, unit, epoch),
            Order::Close { unit, .. } => {
                if let Some(running) = term.running.get(&unit) {
                    running.stop.cancel();
                }
            }
            Order::Cut { unit } => {
                if let Some(running) = term.running.remove(&unit) {
                    running.cut.cancel();
                    if !running.end_said.swap(true, Ordering::Relaxed) {
                        self.ground.metrics.queue_closed(
                            &unit,
                            Closed::Lost,
                            self.broker_why.get().map(String::as_str),
                        );
                    }
                }
            }
            Order::Release { unit, epoch } => {
                let (membership, answers) = (Arc::clone(&term.membership), term.answers.clone());
                self.ground.nursery.spawn("the group", async move {
                    let happening = match membership.release(&unit, epoch).await {
                        Ok(_) => Happening::Released { unit, epoch },
                        Err(_) => Happening::ReleaseFailed { unit, epoch },
                    };
                    let _over = answers.send(happening).await;
                });
            }
            Order::Done => return true,
        }
        false
    }

    /// Sees to it that this member can take work; answered as [`Happening::Prepared`].
    fn prepare(&self, term: &Term) {
        let (ground, routes) = (Arc::clone(&self.ground), Arc::clone(&self.routes.borrow()));
        let (lost, answers, ask) = (term.membership.lost(), term.answers.clone(), !self.publishers_asked);
        self.ground.nursery.spawn("readiness", async move {
            let preparing = async {
                readiness::queues_declared(&ground, &routes).await;
                if ask {
                    readiness::publishers_reached(&routes, &ground.metrics).await;
                }
            };
            if lost.run_until_cancelled(preparing).await.is_some() {
                let _over = answers.send(Happening::Prepared).await;
            }
        });
    }

    /// Starts the task of a unit.
    fn open(&mut self, term: &mut Term, unit: String, epoch: i64) {
        let Some(kind) = self.units.get(&unit).cloned() else {
            // Ordered before a reload took the unit away: answered as if it had not opened.
            let answers = term.answers.clone();
            self.ground.nursery.spawn("the group", async move {
                let _over = answers.send(Happening::OpenFailed { unit, epoch }).await;
            });
            return;
        };
        let running = Running {
            epoch,
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            end_said: Arc::new(AtomicBool::new(true)),
        };
        let (stop, cut, end_said) = (running.stop.clone(), running.cut.clone(), Arc::clone(&running.end_said));
        term.running.insert(unit.clone(), running);
        let name = match &kind {
            Kind::Main { queue, .. } => format!("main queue {queue}"),
            Kind::Pipeline { queue, .. } | Kind::Old { queue, .. } => format!("pipeline queue {queue}"),
            Kind::Overflow { queue, .. } => format!("overflow queue {queue}"),
        };
        let work = Work {
            opening: Opening {
                ground: Arc::clone(&self.ground),
                unit,
                kind,
                epoch,
                routes: self.routes.subscribe(),
                direct: Arc::clone(&self.direct),
                stop,
            },
            answers: term.answers.clone(),
            end_said,
        };
        self.ground.nursery.spawn(&name, async move {
            cut.run_until_cancelled_owned(work.run()).await;
        });
    }

    /// Takes over other routes: units that are gone are closed by the machine, new ones are claimed, all others go on.
    fn reload(&mut self, routes: Arc<Routes>, done: oneshot::Sender<()>) {
        self.units = queues::all(&self.ground, &routes).into_iter().collect();
        self.routes.send_replace(routes);
        self.show_pipelines();
        self.record.config_digest = self.digest();
        let _nobody_waits = done.send(());
    }
}
