//! Changing the number of pipeline queues, while the group works.
//!
//! 1. An operator writes the next layout into the group's specification (`layout` is what a member knows of that, `layouts` where
//!    it keeps it).
//! 2. While it is there the main queues are no queues to own: their owners close them, as after a reload.
//! 3. When all of them are without a consumer, the first ready member notes that they were `quiet`; a change that finds no
//!    quiet is withdrawn. Now the main queues open again, and are routed by the next layout only.
//! 4. The owner of an old pipeline queue puts an `end_marker` into it, works on what stands in front of it, and seals the queue.
//!    A sink's new queues are opened when all of its old ones are sealed; they inherit the state.
//! 5. An old queue (`listeners`) sends on what still comes to it, and is deleted by its owner when nothing has come for a while.
//!
//! What is acknowledged on a main queue stands in front of the end marker. What comes behind it was never acknowledged, and
//! comes again by the next layout. The proof is in `docs/ownership.md`.
//!
//! Never here: what a change looks like in the specification (`cluster::Spec`), and reading the old states (`state`).

mod end_marker;
mod layout;
mod layouts;
mod quiet;

pub(super) use end_marker::EndMarker;
pub(super) use layout::{GroupLayout, imported_mark, queues, sealed_mark};
pub(super) use layouts::Layouts;
pub(super) use quiet::Quiet;
