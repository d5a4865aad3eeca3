//! Virtual time beside real sockets.
//!
//! Paused, tokio's clock leaps to the next timer as soon as nobody has anything to do, although an answer may be on its way
//! through the system: then every request would time out. Here the clock stands still unless it is pushed, a step at a time, and
//! between two steps the sockets have their turn.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// How far the clock is pushed for each [`TURN`] of real time.
const STEP: Duration = Duration::from_millis(50);
/// Real time in which sockets have their turn.
const TURN: Duration = Duration::from_millis(1);

/// Runs `work` while time passes, forty times faster than real time or so. The test must have begun with a paused clock.
pub(crate) async fn passing<F: Future>(work: F) -> F::Output {
    // Tokio does not leap while a blocking task runs.
    let (over, until_over) = sync_channel::<()>(0);
    let held = tokio::task::spawn_blocking(move || until_over.recv());
    let mut work = std::pin::pin!(work);
    let output = loop {
        tokio::select! {
            output = &mut work => break output,
            _ = tokio::task::spawn_blocking(real_turn) => tokio::time::advance(STEP).await,
        }
    };
    drop(over);
    drop(held.await);
    output
}

#[expect(clippy::disallowed_methods, reason = "the one place where real time passes")]
fn real_turn() {
    std::thread::sleep(TURN);
}
