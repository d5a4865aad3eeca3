//! State that follows its queue: where its log is kept (`log`), who keeps it (`keeper`), how a batch goes through
//! (`work`), what a new queue inherits (`inherit`), and what is remembered between two openings (`memory`).
//!
//! Never here: what a record looks like and what it means; that is `state` on the pure floor.

pub(super) mod inherit;
pub(super) mod keeper;
pub(super) mod log;
mod lost;
pub(super) mod open;
mod read_back;
pub(super) mod memory;
pub(super) mod work;

#[cfg(test)]
mod tests;

pub(super) use inherit::Inherited;
pub(super) use keeper::{Keeper, Owner};
pub(super) use log::MemoryLog;
pub(super) use lost::Lost;
pub(super) use memory::QueueMemory;
pub(super) use work::Done;
