//! The signals that end a command in order.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Failure;

/// SIGINT and SIGTERM.
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub(super) fn new() -> Result<Stop, Failure> {
        let listen = |kind| signal(kind).map_err(|e| Failure::Other(format!("cannot listen for signals: {e}")));
        Ok(Stop { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// One of them has come.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
