//! The transformers of a sink: what `transformers:` of `pipeline.yaml` means, and the chain at work with its state
//! (Ceilometer reference §5.4).
//!
//! [`Transformers`] is read once and never changes; a [`Chain`] is one instance of it at work on one queue, and its
//! state is cells that can be written down and put into another chain. Never here: a clock (`now` is an argument), the
//! log that keeps the cells, queues.

mod cell;
mod chain;
mod definition;

pub use cell::{Cell, CellChange, CellKey};
pub use chain::Chain;
pub use definition::{ChainOptions, TransformerRepairs, Transformers};
