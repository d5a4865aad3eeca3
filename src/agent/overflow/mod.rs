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
//! Never here: repeating an offer (`offer`), parking what is refused (`sink`).

mod answers;
mod detour;
mod listener;

pub(super) use answers::Answers;
pub(super) use detour::Detours;
pub(super) use listener::OverflowListener;

/// How destinations are kept from waiting for each other.
#[derive(Debug, Clone, Copy)]
pub struct OverflowOptions {
    /// What a destination does not take for so long goes into its overflow queue.
    pub after: std::time::Duration,
    /// Bytes of bodies that an overflow queue holds; a full one takes nothing more, and the sink waits. 0: there are none.
    pub bytes_max: i64,
}
