//! The in-process group: the same leases, compare-and-set and watch as etcd, on tokio's clock.
//!
//! Everything happens under one lock and at one instant, so a run on a paused clock repeats exactly. The hooks at the
//! end of [`MemoryGroup`] do to members what the world does: kill, cut off, and a backend that is away.

mod membership;

use self::membership::{Keeper, MemoryMembership};
use super::history::Move;
use super::{CoordinationError, Coordinator, Drained, Epoch, MemberRecord, Membership, Operation, View};
use crate::cluster::Spec;
use crate::coordination::lease::{CALL_TIMEOUT, Terms};
use crate::tasks;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The name of the backend in logs.
const NAME: &str = "memory";

/// A group inside this process. Clones are the same group.
#[derive(Clone)]
pub struct MemoryGroup {
    shared: Arc<Shared>,
}

struct Shared {
    terms: Terms,
    began: Instant,
    state: Mutex<State>,
    /// Wakes those who wait for a change, in the order in which they came (a `watch` wakes its receivers in a random
    /// one).
    changed: Notify,
}

#[derive(Default)]
struct State {
    revision: i64,
    next_lease: i64,
    /// Lease → when it expires.
    leases: BTreeMap<i64, Instant>,
    members: BTreeMap<String, (MemberRecord, i64)>,
    owners: BTreeMap<String, (String, Epoch, i64)>,
    paused: bool,
    spec: Option<(Spec, i64)>,
    marks: BTreeMap<String, String>,
    pins: BTreeMap<String, String>,
    drained: BTreeMap<String, Drained>,
    history: BTreeMap<String, Vec<Move>>,
    /// Leases whose holder cannot reach the backend.
    cut: BTreeMap<i64, String>,
    /// Leases whose holder is dead.
    killed: BTreeSet<i64>,
    away_since: Option<Instant>,
}

impl State {
    /// Drops what expired up to `now`. Nothing expires while the backend is away.
    fn expire(&mut self, now: Instant) {
        if self.away_since.is_some() {
            return;
        }
        let expired: Vec<i64> = self.leases.iter().filter(|(_, at)| **at <= now).map(|(lease, _)| *lease).collect();
        expired.into_iter().for_each(|lease| self.revoke(lease));
    }

    /// One revision, however much goes with the lease.
    fn revoke(&mut self, lease: i64) {
        if self.leases.remove(&lease).is_some() {
            self.members.retain(|_, (_, l)| *l != lease);
            self.owners.retain(|_, (_, _, l)| *l != lease);
            self.revision += 1;
        }
    }

    fn view(&self) -> View {
        View {
            revision: self.revision,
            members: self.members.iter().map(|(id, (record, _))| (id.clone(), record.clone())).collect(),
            owners: self.owners.iter().map(|(queue, (id, epoch, _))| (queue.clone(), (id.clone(), *epoch))).collect(),
            paused: self.paused,
            spec: self.spec.clone(),
            marks: self.marks.clone(),
            pins: self.pins.clone(),
            drained: self.drained.clone(),
        }
    }

    fn operate(&mut self, operation: &Operation) {
        match operation {
            Operation::Pause => self.paused = true,
            Operation::Resume => self.paused = false,
            Operation::Pin { queue, member } => drop(self.pins.insert(queue.clone(), member.clone())),
            Operation::Unpin { queue } => drop(self.pins.remove(queue)),
            Operation::Drain { member, note } => drop(self.drained.insert(member.clone(), note.clone())),
            Operation::Undrain { member } => drop(self.drained.remove(member)),
        }
        self.revision += 1;
    }

    fn put_spec(&mut self, spec: &Spec, expected: Option<i64>) -> bool {
        if self.spec.as_ref().map(|(_, revision)| *revision) != expected {
            return self.spec.as_ref().is_some_and(|(present, _)| present == spec);
        }
        self.revision += 1;
        self.spec = Some((spec.clone(), self.revision));
        true
    }
}

impl MemoryGroup {
    /// An empty group whose leases last `ttl`.
    pub fn new(ttl: Duration) -> Self {
        MemoryGroup::with_silence_limit(ttl, None)
    }

    /// The same; its members leave when the backend has been silent for `limit` past their deadline.
    pub fn with_silence_limit(ttl: Duration, limit: Option<Duration>) -> Self {
        let terms = Terms { silence_limit: limit, ..Terms::new(ttl) };
        let state = Mutex::new(State { revision: 1, next_lease: 1, ..State::default() });
        let shared = Shared { terms, began: Instant::now(), state, changed: Notify::new() };
        MemoryGroup { shared: Arc::new(shared) }
    }

    /// Pauses or resumes moving, as an operator does.
    pub fn set_paused(&self, paused: bool) {
        self.shared.with(|state| state.operate(if paused { &Operation::Pause } else { &Operation::Resume }));
    }

    /// The process of this member dies: its lease is kept alive no longer and expires in its time.
    pub fn kill(&self, member: &str) {
        self.shared.with(|state| {
            if let Some((_, lease)) = state.members.get(member) {
                state.killed.insert(*lease);
            }
        });
    }

    /// The member cannot reach the backend any more; its calls fail after their time limit.
    pub fn cut(&self, member: &str) {
        self.shared.with(|state| {
            if let Some((_, lease)) = state.members.get(member) {
                state.cut.insert(*lease, member.to_owned());
            }
        });
    }

    /// The member reaches the backend again, whether its lease lasts or not.
    pub fn mend(&self, member: &str) {
        self.shared.with(|state| state.cut.retain(|_, cut| cut != member));
    }

    /// All who were cut off reach the backend again.
    pub fn heal(&self) {
        self.shared.with(|state| state.cut.clear());
    }

    /// The backend goes away, or comes back with every lease at its full time again, as a restarted etcd does.
    pub fn set_away(&self, away: bool) {
        let ttl = self.shared.terms.ttl;
        self.shared.with(|state| {
            if away {
                state.away_since = state.away_since.or(Some(Instant::now()));
            } else if state.away_since.take().is_some() {
                state.leases.values_mut().for_each(|at| *at = Instant::now() + ttl);
                state.revision += 1;
            }
        });
    }
}

impl Shared {
    /// Does something at one instant, and wakes who waits if it changed anything.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state: MutexGuard<'_, State> = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.revision;
        state.expire(Instant::now());
        let result = act(&mut state);
        let changed = state.revision != before;
        drop(state);
        if changed {
            self.changed.notify_waiters();
        }
        result
    }

    /// The same, as a call over a network that may be cut.
    async fn call<T>(&self, lease: Option<i64>, act: impl FnOnce(&mut State) -> T) -> Result<T, CoordinationError> {
        let answer = self.with(|state| {
            let cut = lease.is_some_and(|lease| state.cut.contains_key(&lease) || state.killed.contains(&lease));
            if cut || state.away_since.is_some() { None } else { Some(act(state)) }
        });
        if let Some(answer) = answer {
            Ok(answer)
        } else {
            tokio::time::sleep(CALL_TIMEOUT).await;
            Err(CoordinationError::Away { backend: NAME.to_owned(), cause: "no answer".to_owned() })
        }
    }

    /// The time that members note: on tokio's clock, from 1970 when the group began, so that a run repeats exactly.
    fn time(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + self.began.elapsed()
    }

    fn revision_and_expiry(&self) -> (i64, Option<Instant>) {
        self.with(|state| {
            let expiry = if state.away_since.is_some() { None } else { state.leases.values().min().copied() };
            (state.revision, expiry)
        })
    }
}

#[async_trait]
impl Coordinator for MemoryGroup {
    async fn join(&self, record: MemberRecord) -> Result<Arc<dyn Membership>, CoordinationError> {
        let sent = Instant::now();
        let id = record.id.clone();
        let ttl = self.shared.terms.ttl;
        let (lease, joined) = self
            .shared
            .call(None, |state| {
                match state.members.get(&record.id) {
                    Some((there, lease)) if there.is_of_the_dead() => state.revoke(*lease),
                    Some(_) => return Err(CoordinationError::IdTaken(record.id.clone())),
                    None => {}
                }
                let lease = state.next_lease;
                state.next_lease += 1;
                state.revision += 1;
                state.leases.insert(lease, sent + ttl);
                state.members.insert(record.id.clone(), (record.clone(), lease));
                Ok((lease, state.revision))
            })
            .await??;
        let lost = CancellationToken::new();
        let kept = CancellationToken::new();
        let deadline = watch::Sender::new(self.shared.terms.deadline(sent));
        let keeper = Keeper {
            shared: self.shared.clone(),
            lease,
            deadline: deadline.clone(),
            lost: lost.clone(),
            kept: kept.clone(),
        };
        tasks::spawn(keeper.run());
        let seen = AtomicI64::new(self.shared.with(|state| state.revision));
        Ok(Arc::new(MemoryMembership {
            shared: self.shared.clone(),
            id,
            lease,
            joined,
            deadline,
            lost,
            seen,
            _kept: kept.drop_guard(),
        }))
    }

    async fn view(&self) -> Result<View, CoordinationError> {
        self.shared.call(None, |state| state.view()).await
    }

    async fn history(&self, queue: Option<&str>) -> Result<BTreeMap<String, Vec<Move>>, CoordinationError> {
        let wanted = |name: &String| queue.is_none_or(|queue| queue == name);
        let found = |(name, moves): (&String, &Vec<Move>)| wanted(name).then(|| (name.clone(), moves.clone()));
        self.shared.call(None, |state| state.history.iter().filter_map(found).collect()).await
    }

    async fn put_spec(&self, spec: &Spec, expected: Option<i64>) -> Result<bool, CoordinationError> {
        self.shared.call(None, |state| state.put_spec(spec, expected)).await
    }

    async fn operate(&self, operation: &Operation) -> Result<(), CoordinationError> {
        self.shared.call(None, |state| state.operate(operation)).await
    }

    fn ttl(&self) -> Duration {
        self.shared.terms.ttl
    }

    fn name(&self) -> &str {
        NAME
    }
}
