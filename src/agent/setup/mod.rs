//! From configuration to the parts of an agent: what the files say (`definitions`), with publishers (`blueprint`); brokers, group
//! and options (`wiring`); all together (`parts`).

pub(super) mod blueprint;
pub mod definitions;
mod parts;
pub mod wiring;

pub use blueprint::Blueprint;
pub use parts::{DeskParts, Parts};
