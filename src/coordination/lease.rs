//! The times of a lease: how often it is kept alive, and until when it is certain.

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
    /// How long past its deadline a lease is held for ours while the backend is silent; `None` is for ever.
    pub silence_limit: Option<Duration>,
}

impl Terms {
    /// The terms of a lease of `ttl`, or of [`TTL_MIN`] if that is longer.
    pub fn new(ttl: Duration) -> Self {
        Terms { ttl: ttl.max(TTL_MIN), silence_limit: None }
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

/// What a write past the deadline is answered with.
pub(super) const UNCONFIRMED: &str = "the lease is past its deadline, nothing is begun until it is confirmed";

/// Returns when the backend has been silent for longer than is allowed: never, if that is for ever.
pub(super) async fn silent_too_long(mut deadline: watch::Receiver<Instant>, limit: Option<Duration>) {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let at = *deadline.borrow_and_update() + limit;
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(at) => return,
            moved = deadline.changed() => if moved.is_err() { return tokio::time::sleep_until(at).await },
        }
    }
}
