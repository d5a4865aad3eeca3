//! One member of the in-process group, and what keeps its lease alive.

use super::{NAME, Shared, State};
use crate::cluster::Spec;
use crate::coordination::history::{self, Claimer};
use crate::coordination::lease::{self, Terms, UNCONFIRMED};
use crate::coordination::{CoordinationError, Epoch, MemberRecord, Membership, View, check_mark};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Keeps one lease alive, and says when that fails.
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) lease: i64,
    pub(super) deadline: watch::Sender<Instant>,
    pub(super) lost: CancellationToken,
    /// Cancelled when nobody holds the membership any more.
    pub(super) kept: CancellationToken,
}

impl Keeper {
    pub(super) async fn run(self) {
        let Keeper { shared, lease, deadline, lost, kept } = self;
        let terms = shared.terms;
        let keep = async {
            loop {
                tokio::time::sleep(terms.keepalive_every()).await;
                let sent = Instant::now();
                let renew = |state: &mut State| {
                    state.leases.get_mut(&lease).map(|expires| *expires = sent + terms.ttl).is_some()
                };
                match shared.call(Some(lease), renew).await {
                    Ok(true) => drop(deadline.send_replace(terms.deadline(sent))),
                    Ok(false) => return,
                    Err(_) => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = kept.cancelled() => return,
            () = lease::silent_too_long(deadline.subscribe(), terms.silence_limit) => {}
            () = keep => {}
        }
        lost.cancel();
        // So that this process may join again without waiting for its own former lease.
        for _ in 0..Terms::GIVING_BACK_TRIES {
            if shared.call(Some(lease), |state| state.revoke(lease)).await.is_ok() {
                return;
            }
            tokio::time::sleep(terms.keepalive_every()).await;
        }
    }
}

pub(super) struct MemoryMembership {
    pub(super) shared: Arc<Shared>,
    pub(super) id: String,
    pub(super) lease: i64,
    /// The revision of its joining.
    pub(super) joined: i64,
    pub(super) deadline: watch::Sender<Instant>,
    pub(super) lost: CancellationToken,
    /// The revision at the last change that was told.
    pub(super) seen: AtomicI64,
    pub(super) _kept: DropGuard,
}

impl MemoryMembership {
    /// A write in the member's name: refused when its lease is gone.
    async fn write<T>(&self, act: impl FnOnce(&mut State) -> T + Send) -> Result<T, CoordinationError> {
        if self.lost.is_cancelled() {
            return Err(CoordinationError::Lost(self.id.clone()));
        }
        if Instant::now() >= self.deadline() {
            return Err(CoordinationError::Away { backend: NAME.to_owned(), cause: UNCONFIRMED.to_owned() });
        }
        let lease = self.lease;
        let wrote = |state: &mut State| state.leases.contains_key(&lease).then(|| act(state));
        self.shared.call(Some(lease), wrote).await?.ok_or_else(|| CoordinationError::Lost(self.id.clone()))
    }
}

#[async_trait]
impl Membership for MemoryMembership {
    async fn view(&self) -> Result<View, CoordinationError> {
        self.shared.call(Some(self.lease), |state| state.view()).await
    }

    async fn changed(&self) {
        loop {
            let changed = self.shared.changed.notified();
            // Reading the next expiry drops what is due, which is a change.
            let (revision, expiry) = self.shared.revision_and_expiry();
            if self.seen.swap(revision, Ordering::Relaxed) != revision {
                return;
            }
            let expire = async {
                match expiry {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = expire => {}
            }
        }
    }

    async fn describe(&self, record: MemberRecord) -> Result<(), CoordinationError> {
        self.write(|state| {
            if let Some((present, _)) = state.members.get_mut(&self.id) {
                *present = record;
                state.revision += 1;
            }
        })
        .await
    }

    async fn claim(&self, queue: &str) -> Result<Option<Epoch>, CoordinationError> {
        self.write(|state| {
            if state.owners.get(queue).is_some_and(|(_, _, lease)| *lease != self.lease) {
                return None;
            }
            state.revision += 1;
            let epoch = state.revision;
            state.owners.insert(queue.to_owned(), (self.id.clone(), epoch, self.lease));
            let claimer = Claimer { member: &self.id, joined: self.joined, epoch, now: self.shared.time() };
            let moves = state.history.remove(queue).unwrap_or_default();
            let moves = history::add(moves, &claimer, |id| state.members.contains_key(id));
            state.history.insert(queue.to_owned(), moves);
            Some(epoch)
        })
        .await
    }

    async fn release(&self, queue: &str, epoch: Epoch) -> Result<bool, CoordinationError> {
        self.write(|state| {
            let mine = state.owners.get(queue).is_some_and(|(_, e, lease)| *e == epoch && *lease == self.lease);
            if mine {
                state.owners.remove(queue);
                state.revision += 1;
            }
            mine
        })
        .await
    }

    async fn put_spec(&self, spec: &Spec, expected: Option<i64>) -> Result<bool, CoordinationError> {
        self.write(|state| state.put_spec(spec, expected)).await
    }

    async fn mark(&self, generation: u64, name: &str, value: &str) -> Result<(), CoordinationError> {
        check_mark(name, value)?;
        self.write(|state| {
            state.revision += 1;
            state.marks.insert(format!("{generation}/{name}"), value.to_owned());
        })
        .await
    }

    async fn forget(&self, generation: u64, mark: &str, queue: &str) -> Result<(), CoordinationError> {
        self.write(|state| {
            state.marks.remove(&format!("{generation}/{mark}"));
            state.history.remove(queue);
            state.pins.remove(queue);
            state.revision += 1;
        })
        .await
    }

    async fn clear_marks(&self, generation: u64) -> Result<(), CoordinationError> {
        let of = format!("{generation}/");
        self.write(|state| {
            let before = state.marks.len();
            state.marks.retain(|name, _| !name.starts_with(&of));
            state.revision += i64::from(state.marks.len() < before);
        })
        .await
    }

    fn deadline(&self) -> Instant {
        *self.deadline.borrow()
    }

    fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    async fn leave(&self) {
        let lease = self.lease;
        // Where the backend is away the lease runs out by itself.
        let _ = self.shared.call(Some(lease), |state| state.revoke(lease)).await;
        self.lost.cancel();
    }
}
