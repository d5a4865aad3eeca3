//! The transformers of a sink: what `transformers:` of `pipeline.yaml` means, and the chain at work with its state
//! (Ceilometer reference §5.4).
//!
//! [`Transformers`] is read once and never changes; a [`Chain`] is one instance of it at work on one queue, and its
//! state is cells that can be written down and put into another chain. Never here: a clock (`now` is an argument), the
//! log that keeps the cells, queues.

mod cell;
mod chain;
mod definition;
mod expression;
mod kinds;
mod known;
mod options;
mod reading;
mod scope;
mod store;
mod work;

pub use cell::{Cell, CellChange, CellKey};
pub use chain::Chain;
pub use definition::Transformers;
pub use options::{ChainOptions, TransformerRepairs};

use crate::model::python::Raised;

/// Why a transformer makes nothing of a sample: an exception of Ceilometer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Raised(#[from] Raised),
    #[error(transparent)]
    Evaluation(#[from] expression::EvaluationError),
}
