//! The terms of a lease: how often it is kept alive, and until when it is surely mine.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long one call to the backend may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest time to live; etcd itself grants no less.
pub const TTL_MIN: Duration = Duration::from_secs(2);

/// What follows from a lease's time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Its time to live.
    pub ttl: Duration,
}

impl Terms {
    /// The terms of a lease of `ttl`, or of [`TTL_MIN`] if that is longer.
    pub fn new(ttl: Duration) -> Self {
        Terms { ttl: ttl.max(TTL_MIN) }
    }

    /// A third of its life, so that two keepalives may be lost.
    pub fn keepalive_every(self) -> Duration {
        self.ttl / 3
    }

    /// Until when it is surely mine after a keepalive that was *sent* then and confirmed at any time: 0.8 of its life.
    ///
    /// On tokio's clock, which is `CLOCK_MONOTONIC`: it goes on while a process is stopped (SIGSTOP), not while the
    /// machine is suspended; servers are not suspended, and where one is, its first call is refused by the backend.
    pub fn deadline(self, sent: Instant) -> Instant {
        sent + self.ttl * 4 / 5
    }

    /// How often a lost lease is tried to be given back, once every [`keepalive_every`](Terms::keepalive_every): over
    /// some five lives.
    pub(super) const GIVING_BACK_TRIES: u32 = 15;
}

/// Returns when a deadline that may still be put off has passed.
pub(super) async fn passed(mut deadline: watch::Receiver<Instant>) {
    loop {
        let at = *deadline.borrow_and_update();
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(at) => return,
            moved = deadline.changed() => if moved.is_err() { return tokio::time::sleep_until(at).await },
        }
    }
}
