//! Sinks: what is to be published and where to (`sink`, `load`), what a sink's transformers make of it (`transform`), how a batch
//! is offered to one destination (`offer`) or takes the way over its overflow queue (`overflow`), and when a delivery is settled
//! (`deliver`).
//!
//! Never here: how a publisher speaks, what a transformer computes. Those are rooms above `agent` in `src/lib.rs`.

pub(super) mod deliver;
pub(super) mod load;
pub(super) mod offer;
pub(super) mod overflow;
pub(super) mod sink;
pub(super) mod transform;
