//! A destination that is away holds nobody but itself: what it does not take for longer than a moment goes into an
//! *overflow queue* of its own, confirmed and in order, and counts as delivered. There is one for each destination of a sink
//! that has several, whatever the number of pipeline queues is; a member of the group owns it as it owns a pipeline queue, and
//! offers what is in it to that destination alone (`listener`).
//!
//! While something of a listener may be in there, everything younger of it goes there too (`detour`). Whether something is in
//! there nobody can see from outside, so the listener asks: a *question* is put behind everything that it put there, and the
//! owner answers when all before the question is published (`answers`). If nothing was put there meanwhile, the listener
//! offers its batches to the destination itself again. A listener that begins asks first: an earlier owner of its queue may
//! have put something there.
//!
//! A destination that is alone in its sink needs none: it has the pipeline queue to itself. But what it refused, and an operator
//! puts back (`parked`), must reach it and not the sink's transformers, so `found` looks whether somebody made one. Where it has
//! one, a listener offers nothing to it before what was there when the listener first looked is published.
//!
//! Never here: repeating an offer (`offer`), parking what is refused (`sink`).

mod answers;
mod detour;
mod found;
mod keys;
mod listener;

use std::sync::Arc;
use std::time::Duration;

use super::ground::Ground;
use crate::transport::QueueState;

pub(super) use answers::Answers;
pub(super) use detour::Detours;
pub(super) use found::{Found, look_for};
pub(super) use keys::{complaints, keys};
pub(super) use listener::OverflowListener;

/// After a reload that took a destination away, its owner has let go of its overflow queue within this time.
const LET_GO: Duration = Duration::from_secs(5);

/// A destination is not configured any more: says what still waits for it.
pub(super) async fn say_what_is_left(ground: Arc<Ground>, queue: String, key: Arc<str>) {
    tokio::time::sleep(LET_GO).await;
    let Some(session) = ground.first_broker().link.current() else { return };
    // A queue that is not there, or cannot be asked, has nothing that could be told.
    if let Ok(QueueState { messages: 1.., .. }) = session.inspect(&queue).await {
        ground.metrics.overflow_forsaken(&queue, &key);
    }
}

/// How destinations are kept from waiting for each other.
#[derive(Debug, Clone, Copy)]
pub struct OverflowOptions {
    /// What a destination does not take for so long goes into its overflow queue.
    pub after: Duration,
    /// Bytes of bodies that an overflow queue holds; a full one takes nothing more, and the sink waits. 0: there are none.
    pub bytes_max: i64,
}
