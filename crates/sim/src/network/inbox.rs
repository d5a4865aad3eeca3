//! What has arrived at a consumer, and receipts that say nothing any more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use nephoscope::model::Receipt;
use nephoscope::transport::Delivery;

/// Receipts that say nothing any more. Dropped at once they would return their deliveries at a broker that knows of
/// nothing; dropped with the session they do no harm.
#[derive(Default)]
pub(super) struct Limbo(Mutex<Vec<Receipt>>);

impl Limbo {
    /// Keeps a receipt until the session is dropped.
    pub(super) fn take(&self, receipt: Receipt) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(receipt);
    }
}

/// What has arrived at one consumer of the agent.
#[derive(Default)]
pub(super) struct Inbox {
    items: Mutex<VecDeque<Delivery>>,
    /// Nothing further is taken: closed by the agent, or over.
    pub(super) closed: AtomicBool,
    /// The agent knows that it is over.
    pub(super) ended: AtomicBool,
    /// Wakes the agent.
    pub(super) came: Notify,
    /// Over, as far as the agent knows; with its session too.
    pub(super) over: CancellationToken,
}

impl Inbox {
    /// Of a session with this end.
    pub(super) fn of(over: &CancellationToken) -> Arc<Self> {
        Arc::new(Inbox { over: over.child_token(), ..Inbox::default() })
    }

    /// A delivery arrives.
    pub(super) fn put(&self, delivery: Delivery, limbo: &Limbo) {
        if self.closed.load(Ordering::Relaxed) {
            return limbo.take(delivery.receipt);
        }
        self.items().push_back(delivery);
        self.came.notify_one();
    }

    /// The agent learns that it is over.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.over.cancel();
        self.came.notify_one();
    }

    /// The agent takes nothing further.
    pub(super) fn close(&self, limbo: &Limbo) {
        self.closed.store(true, Ordering::Relaxed);
        self.over.cancel();
        let left: Vec<Receipt> = self.items().drain(..).map(|delivery| delivery.receipt).collect();
        left.into_iter().for_each(|receipt| limbo.take(receipt));
        self.came.notify_one();
    }

    /// What has arrived.
    pub(super) fn items(&self) -> MutexGuard<'_, VecDeque<Delivery>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
