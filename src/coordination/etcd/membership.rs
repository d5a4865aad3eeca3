//! One member's place in a group in etcd.

use super::keeper::{Keeper, Watcher};
use super::{Backend, Failure, keys};
use crate::coordination::{CoordinationError, Epoch, MemberRecord, Membership, View};
use async_trait::async_trait;
use etcd_client::{Client, Compare, CompareOp, Error, PutOptions, ResponseHeader, Txn, TxnOp, TxnOpResponse};
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) struct EtcdMembership {
    backend: Backend,
    id: String,
    record: Mutex<MemberRecord>,
    lease: i64,
    deadline: watch::Sender<Instant>,
    lost: CancellationToken,
    changes: Arc<Notify>,
    /// Ends both tasks with the membership.
    _held: DropGuard,
}

impl EtcdMembership {
    /// The membership of a lease that was asked for at `sent`; from here on it is kept alive.
    pub(super) fn keep(backend: Backend, record: MemberRecord, lease: i64, sent: Instant) -> Arc<dyn Membership> {
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
        let id = record.id.clone();
        let record = Mutex::new(record);
        Arc::new(EtcdMembership { backend, id, record, lease, deadline, lost, changes, _held: held.drop_guard() })
    }

    /// A write in the member's name.
    async fn write<T, F>(&self, act: impl Fn(Client) -> F) -> Result<T, CoordinationError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if self.lost.is_cancelled() || Instant::now() >= self.deadline() {
            return Err(CoordinationError::Lost(self.id.clone()));
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
}

#[async_trait]
impl Membership for EtcdMembership {
    async fn view(&self) -> Result<View, CoordinationError> {
        self.backend.view().await
    }

    async fn changed(&self) {
        self.changes.notified().await;
    }

    async fn set_ready(&self, ready: bool) -> Result<(), CoordinationError> {
        let mut record = self.record.lock().await;
        let next = MemberRecord { ready, ..record.clone() };
        let (key, value) = (self.backend.keys.member(&self.id), keys::write_member(&next));
        let options = PutOptions::new().with_lease(self.lease);
        self.write(async |mut client: Client| client.put(key.clone(), value.clone(), Some(options.clone())).await)
            .await?;
        *record = next;
        Ok(())
    }

    async fn claim(&self, unit: &str) -> Result<Option<Epoch>, CoordinationError> {
        let (key, value) = (self.backend.keys.owner(unit), keys::write_owner(&self.id));
        let put = || TxnOp::put(key.clone(), value.clone(), Some(PutOptions::new().with_lease(self.lease)));
        let take = async |mut client: Client| {
            let mine = Txn::new()
                .when([Compare::lease(key.clone(), CompareOp::Equal, self.lease)])
                .and_then([put()])
                .or_else([]);
            let txn = Txn::new()
                .when([Compare::create_revision(key.clone(), CompareOp::Equal, 0)])
                .and_then([put()])
                .or_else([TxnOp::txn(mine)]);
            client.txn(txn).await
        };
        let answer = self.write(take).await?;
        let again = |op: &TxnOpResponse| matches!(op, TxnOpResponse::Txn(mine) if mine.succeeded());
        let taken = answer.succeeded() || answer.op_responses().iter().any(again);
        Ok(answer.header().filter(|_| taken).map(ResponseHeader::revision))
    }

    async fn release(&self, unit: &str, epoch: Epoch) -> Result<bool, CoordinationError> {
        let key = self.backend.keys.owner(unit);
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

    fn deadline(&self) -> Instant {
        *self.deadline.borrow()
    }

    fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    async fn leave(&self) {
        // Where etcd is away, the keeper goes on trying for a while, and then the lease runs out by itself.
        let _ = self.backend.call(async |mut client: Client| client.lease_revoke(self.lease).await).await;
        self.lost.cancel();
    }
}
