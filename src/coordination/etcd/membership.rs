//! One member's place in a group in etcd.

use super::keeper::{Keeper, Watcher};
use super::{Backend, Failure, has_spec, keys, put_spec};
use crate::cluster::Spec;
use crate::coordination::history::{self, Claimer};
use crate::coordination::lease::UNCONFIRMED;
use crate::coordination::{CoordinationError, Epoch, MemberRecord, Membership, View, check_mark};
use async_trait::async_trait;
use chrono::Utc;
use etcd_client::{Client, Compare, CompareOp, DeleteOptions, Error, KeyValue, PutOptions, ResponseHeader};
use etcd_client::{Txn, TxnOp, TxnOpResponse, TxnResponse};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A lease that a member was let in with.
pub(super) struct Lease {
    pub(super) id: i64,
    /// When it was asked for.
    pub(super) sent: Instant,
    /// The revision of the joining.
    pub(super) joined: i64,
}

pub(super) struct EtcdMembership {
    backend: Backend,
    id: String,
    lease: i64,
    /// The revision of its joining.
    joined: i64,
    /// Who was there when the group was last read.
    seen: Mutex<BTreeSet<String>>,
    deadline: watch::Sender<Instant>,
    lost: CancellationToken,
    changes: Arc<Notify>,
    /// Ends both tasks with the membership.
    _held: DropGuard,
}

impl EtcdMembership {
    /// The membership of a lease; from here on it is kept alive.
    pub(super) fn keep(backend: Backend, id: String, lease: Lease) -> Arc<dyn Membership> {
        let Lease { id: lease, sent, joined } = lease;
        let deadline = watch::Sender::new(backend.terms.deadline(sent));
        let (lost, held, changes) = (CancellationToken::new(), CancellationToken::new(), Arc::new(Notify::new()));
        let keeper = Keeper {
            backend: backend.clone(),
            lease,
            deadline: deadline.clone(),
            lost: lost.clone(),
            held: held.clone(),
        };
        tokio::spawn(keeper.run());
        let watcher = Watcher { backend: backend.clone(), changes: changes.clone() };
        tokio::spawn(held.clone().run_until_cancelled_owned(watcher.run()));
        let (seen, held) = (Mutex::default(), held.drop_guard());
        Arc::new(EtcdMembership { backend, id, lease, joined, seen, deadline, lost, changes, _held: held })
    }

    /// Writes a move, once, and only while the queue still has this epoch; nothing waits for it.
    fn note(&self, queue: &str, epoch: Epoch, answer: &TxnResponse) {
        let history =
            Self::history_in(answer.op_responses()).and_then(|pair| self.backend.keys.read_history(&pair).ok());
        let claimer = Claimer { member: &self.id, joined: self.joined, epoch, now: Utc::now() };
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let moves = history::add(history.unwrap_or_default(), &claimer, |id| seen.contains(id));
        drop(seen);
        let (backend, lease) = (self.backend.clone(), self.lease);
        let (owner, key) = (self.backend.keys.owner(queue), self.backend.keys.history(queue));
        let value = keys::write_history(moves);
        tokio::spawn(async move {
            let put = async |mut client: Client| {
                let still = [
                    Compare::mod_revision(owner.clone(), CompareOp::Equal, epoch),
                    Compare::lease(owner.clone(), CompareOp::Equal, lease),
                ];
                client.txn(Txn::new().when(still).and_then([TxnOp::put(key.clone(), value.clone(), None)])).await
            };
            // A move that is missing in the history does no harm.
            let _noted = backend.call(put).await;
        });
    }

    /// The history that came with a claim, whichever way it was taken.
    fn history_in(answers: Vec<TxnOpResponse>) -> Option<KeyValue> {
        answers.into_iter().find_map(|answer| match answer {
            TxnOpResponse::Get(found) => found.kvs().first().cloned(),
            TxnOpResponse::Txn(inner) => Self::history_in(inner.op_responses()),
            _ => None,
        })
    }

    /// A write in the member's name.
    async fn write<T, F>(&self, act: impl Fn(Client) -> F) -> Result<T, CoordinationError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if self.lost.is_cancelled() {
            return Err(CoordinationError::Lost(self.id.clone()));
        }
        if Instant::now() >= self.deadline() {
            return Err(self.backend.away(UNCONFIRMED));
        }
        match self.backend.call(act).await {
            Ok(answer) => Ok(answer),
            Err(failure) => {
                if matches!(failure, Failure::LeaseGone) {
                    self.lost.cancel();
                }
                Err(failure.of(&self.backend, &self.id))
            }
        }
    }

    /// A write that hangs on no lease, and is done only while this member's record stands on its own.
    async fn write_while_member(&self, does: Vec<TxnOp>) -> Result<(), CoordinationError> {
        let key = self.backend.keys.member(&self.id);
        let act = async |mut client: Client| {
            let member = Compare::lease(key.clone(), CompareOp::Equal, self.lease);
            client.txn(Txn::new().when([member]).and_then(does.clone())).await
        };
        if self.write(act).await?.succeeded() { Ok(()) } else { Err(CoordinationError::Lost(self.id.clone())) }
    }
}

#[async_trait]
impl Membership for EtcdMembership {
    async fn view(&self) -> Result<View, CoordinationError> {
        let view = self.backend.view().await?;
        let ids = view.members.keys().cloned().collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = ids;
        Ok(view)
    }

    async fn changed(&self) {
        self.changes.notified().await;
    }

    async fn describe(&self, record: MemberRecord) -> Result<(), CoordinationError> {
        let (key, value) = (self.backend.keys.member(&self.id), keys::write_member(&record));
        let options = PutOptions::new().with_lease(self.lease);
        self.write(async |mut client: Client| client.put(key.clone(), value.clone(), Some(options.clone())).await)
            .await?;
        Ok(())
    }

    async fn claim(&self, queue: &str) -> Result<Option<Epoch>, CoordinationError> {
        let (key, value) = (self.backend.keys.owner(queue), keys::write_owner(&self.id));
        let history = self.backend.keys.history(queue);
        let put = || {
            let owner = TxnOp::put(key.clone(), value.clone(), Some(PutOptions::new().with_lease(self.lease)));
            [owner, TxnOp::get(history.clone(), None)]
        };
        let take = async |mut client: Client| {
            let mine = Txn::new()
                .when([Compare::lease(key.clone(), CompareOp::Equal, self.lease)])
                .and_then(put())
                .or_else([]);
            let txn = Txn::new()
                .when([Compare::create_revision(key.clone(), CompareOp::Equal, 0)])
                .and_then(put())
                .or_else([TxnOp::txn(mine)]);
            client.txn(txn).await
        };
        let answer = self.write(take).await?;
        let again = |op: &TxnOpResponse| matches!(op, TxnOpResponse::Txn(mine) if mine.succeeded());
        let taken = answer.succeeded() || answer.op_responses().iter().any(again);
        let epoch = answer.header().filter(|_| taken).map(ResponseHeader::revision);
        if let Some(epoch) = epoch {
            self.note(queue, epoch, &answer);
        }
        Ok(epoch)
    }

    async fn release(&self, queue: &str, epoch: Epoch) -> Result<bool, CoordinationError> {
        let key = self.backend.keys.owner(queue);
        let give = async |mut client: Client| {
            let txn = Txn::new()
                .when([
                    Compare::mod_revision(key.clone(), CompareOp::Equal, epoch),
                    Compare::lease(key.clone(), CompareOp::Equal, self.lease),
                ])
                .and_then([TxnOp::delete(key.clone(), None)]);
            client.txn(txn).await
        };
        Ok(self.write(give).await?.succeeded())
    }

    async fn put_spec(&self, spec: &Spec, expected: Option<i64>) -> Result<bool, CoordinationError> {
        let put = async |mut client: Client| client.txn(put_spec(&self.backend.keys, spec, expected)).await;
        Ok(has_spec(&self.write(put).await?, spec))
    }

    async fn mark(&self, generation: u64, name: &str, value: &str) -> Result<(), CoordinationError> {
        check_mark(name, value)?;
        let key = format!("{}{name}", self.backend.keys.marks(generation));
        self.write_while_member(vec![TxnOp::put(key, keys::write_mark(value), None)]).await
    }

    async fn forget(&self, generation: u64, mark: &str, queue: &str) -> Result<(), CoordinationError> {
        let keys = &self.backend.keys;
        let gone = [format!("{}{mark}", keys.marks(generation)), keys.history(queue), keys.pin(queue)];
        self.write_while_member(gone.map(|key| TxnOp::delete(key, None)).into()).await
    }

    async fn clear_marks(&self, generation: u64) -> Result<(), CoordinationError> {
        let all = DeleteOptions::new().with_prefix();
        self.write_while_member(vec![TxnOp::delete(self.backend.keys.marks(generation), Some(all))]).await
    }

    fn deadline(&self) -> Instant {
        *self.deadline.borrow()
    }

    fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    async fn leave(&self) {
        // Where etcd is away, the keeper goes on trying for a while, and then the lease runs out by itself.
        self.backend.revoke(self.lease).await;
        self.lost.cancel();
    }
}
