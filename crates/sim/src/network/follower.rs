//! The agent's side of a follower, and what carries records to it.

use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::wire::{Down, Up, Wire};
use nephoscope::transport::{Follower, StreamRecord, TransportError};

/// What has arrived at one follower of the agent.
#[derive(Default)]
struct Records {
    items: Mutex<VecDeque<StreamRecord>>,
    ended: AtomicBool,
    came: Notify,
}

impl Records {
    fn items(&self) -> MutexGuard<'_, VecDeque<StreamRecord>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agent's side of a follower.
pub(super) struct WireFollower {
    wire: Arc<Wire>,
    records: Arc<Records>,
    close: CancellationToken,
}

impl WireFollower {
    /// Begins to carry what a follower at the broker reads.
    pub(super) fn start(wire: Arc<Wire>, mut follower: Box<dyn Follower>) -> Self {
        let (records, close): (Arc<Records>, CancellationToken) = (Arc::default(), CancellationToken::new());
        let (there, sent, closed) = (Arc::clone(&wire), Arc::clone(&records), close.clone());
        tokio::spawn(async move {
            while let Some(Some(record)) = closed.run_until_cancelled(follower.next()).await {
                let sent = Arc::clone(&sent);
                there.send_down(Down::Answer(Box::new(move || {
                    sent.items().push_back(record);
                    sent.came.notify_one();
                })));
            }
            there.send_down(Down::Answer(Box::new(move || {
                sent.ended.store(true, Ordering::Relaxed);
                sent.came.notify_one();
            })));
        });
        WireFollower { wire, records, close }
    }
}

impl Drop for WireFollower {
    fn drop(&mut self) {
        let close = self.close.clone();
        self.wire.send_up(Up::Do(Box::new(move |_| {
            close.cancel();
            Box::pin(std::future::ready(()))
        })));
    }
}

#[async_trait]
impl Follower for WireFollower {
    async fn next(&mut self) -> Option<StreamRecord> {
        loop {
            if self.wire.over.is_cancelled() {
                return None;
            }
            if let Some(record) = self.records.items().pop_front() {
                return Some(record);
            }
            if self.records.ended.load(Ordering::Relaxed) {
                return None;
            }
            tokio::select! {
                biased;
                () = self.wire.over.cancelled() => {}
                () = self.records.came.notified() => {}
            }
        }
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        Ok(())
    }
}
