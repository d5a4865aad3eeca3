//! Until when a listener holds what it cannot get rid of.

use tokio_util::sync::CancellationToken;

/// Until the listener is asked to stop, or its consumer is over: what it holds is then back in the queue, another may have it,
/// and nothing of it may go out any more.
#[derive(Clone)]
pub(in crate::agent) struct Until {
    /// Asked to stop.
    pub stop: CancellationToken,
    /// Over.
    pub over: CancellationToken,
}

impl Until {
    /// Waits for it.
    pub(in crate::agent) async fn reached(&self) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = self.over.cancelled() => {}
        }
    }

    /// Whether it is reached.
    pub(in crate::agent) fn is_reached(&self) -> bool {
        self.stop.is_cancelled() || self.over.is_cancelled()
    }
}
