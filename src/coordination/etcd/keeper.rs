//! The two tasks of a membership in etcd: one keeps the lease alive, the other tells when the group may have changed.

use super::{Backend, is_lease_gone};
use crate::backoff::{Backoff, Waits};
use crate::coordination::lease;
use etcd_client::{Client, Error, Event, LeaseKeepAliveStream, LeaseKeeper, WatchOptions};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Waits before a stream that ended is opened again.
const REOPEN: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));

/// Keeps one lease alive, and says when that fails.
pub(super) struct Keeper {
    pub(super) backend: Backend,
    pub(super) lease: i64,
    pub(super) deadline: watch::Sender<Instant>,
    pub(super) lost: CancellationToken,
    /// Cancelled when nobody holds the membership any more.
    pub(super) held: CancellationToken,
}

impl Keeper {
    /// Until etcd says that the lease is gone (or is silent for too long), or the membership dropped (then the lease runs out by itself, as after a crash).
    pub(super) async fn run(self) {
        tokio::select! {
            () = self.held.cancelled() => return,
            () = self.lost.cancelled() => {}
            () = self.keep() => {}
            () = lease::silent_too_long(self.deadline.subscribe(), self.backend.terms.silence_limit) => {}
        }
        self.lost.cancel();
        // So that this process may join again without waiting for its own former lease.
        for _ in 0..lease::Terms::GIVING_BACK_TRIES {
            let revoke = async |mut client: Client| client.lease_revoke(self.lease).await;
            match self.backend.call(revoke).await {
                Ok(_) | Err(super::Failure::LeaseGone) => return,
                Err(super::Failure::Other(_)) => tokio::time::sleep(self.backend.terms.keepalive_every()).await,
            }
        }
    }

    /// Returns when etcd says that the lease is gone.
    async fn keep(&self) {
        let mut waits = REOPEN.waits();
        loop {
            if let Ok(client) = self.backend.client().await
                && self.keep_over(client, &mut waits).await.is_break()
            {
                return;
            }
            tokio::time::sleep(waits.again()).await;
        }
    }

    /// Keeps it alive over one stream; breaks when etcd says that the lease is gone.
    async fn keep_over(&self, mut client: Client, waits: &mut Waits) -> ControlFlow<()> {
        let sent = Instant::now();
        let limit = self.backend.options.timeout;
        // Opening the stream sends a keepalive and waits for its answer.
        let (mut keeper, mut stream) = match tokio::time::timeout(limit, client.lease_keep_alive(self.lease)).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) if is_lease_gone(&error) => return ControlFlow::Break(()),
            Ok(Err(_)) | Err(_) => return ControlFlow::Continue(()),
        };
        self.confirmed(sent);
        waits.reset();
        loop {
            tokio::time::sleep(self.backend.terms.keepalive_every()).await;
            let sent = Instant::now();
            match tokio::time::timeout(limit, beat(&mut keeper, &mut stream)).await {
                Ok(Ok(Some(ttl))) if ttl > 0 => self.confirmed(sent),
                Ok(Ok(Some(_))) => return ControlFlow::Break(()),
                Ok(Ok(None) | Err(_)) | Err(_) => return ControlFlow::Continue(()),
            }
        }
    }

    fn confirmed(&self, sent: Instant) {
        self.deadline.send_replace(self.backend.terms.deadline(sent));
    }
}

/// One keepalive: the seconds left, 0 for a lease that is gone, `None` if the stream is over.
async fn beat(keeper: &mut LeaseKeeper, stream: &mut LeaseKeepAliveStream) -> Result<Option<i64>, Error> {
    keeper.keep_alive().await?;
    Ok(stream.message().await?.map(|answer| answer.ttl()))
}

/// Wakes whoever waits for a change of the group.
pub(super) struct Watcher {
    pub(super) backend: Backend,
    pub(super) changes: Arc<Notify>,
}

impl Watcher {
    /// For ever: a watch that ends, for whatever reason (error, compaction, no leader), is opened again from now, and
    /// what happened in between is left to the read that follows.
    pub(super) async fn run(self) -> Infallible {
        let mut waits = REOPEN.waits();
        loop {
            if let Ok(client) = self.backend.client().await
                && self.watch(client).await
            {
                waits.reset();
            }
            tokio::time::sleep(waits.again()).await;
        }
    }

    /// Watches over one stream until it ends; whether it ever began.
    async fn watch(&self, mut client: Client) -> bool {
        let options = WatchOptions::new().with_prefix();
        let opening = client.watch(self.backend.keys.root(), Some(options));
        let Ok(Ok(mut stream)) = tokio::time::timeout(self.backend.options.timeout, opening).await else {
            return false;
        };
        let mut began = false;
        while let Ok(Some(message)) = stream.message().await {
            if message.canceled() {
                break;
            }
            // The first message says that the watch stands: from here on nothing is missed.
            let history = self.backend.keys.history("");
            let of_interest = |event: &Event| event.kv().is_none_or(|pair| !pair.key().starts_with(history.as_bytes()));
            if !began || message.events().iter().any(of_interest) {
                began = true;
                self.changes.notify_one();
            }
        }
        // What ended the watch may have hidden a change.
        self.changes.notify_one();
        began
    }
}
