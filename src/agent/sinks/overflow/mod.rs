//! A destination that is away holds nobody but itself: what it does not take for longer than a moment goes into an
//! *overflow queue* of its own, confirmed and in order, and counts as delivered. There is one for each destination of a sink
//! that has several, whatever the number of pipeline queues is; a member of the group owns it as it owns a pipeline queue, and
//! offers what is in it to that destination alone (`agent::listeners`).
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
//! Never here: repeating an offer (`offer`), parking what is refused (`deliver`).

mod answers;
mod detour;
mod found;
mod keys;
mod queues;

pub(in crate::agent) use detour::Detours;
pub(in crate::agent) use keys::{complaints, keys};
pub(in crate::agent) use queues::{Overflow, OverflowQueue};
