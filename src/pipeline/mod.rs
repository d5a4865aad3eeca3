//! Which sample or event goes to which publishers: what `pipeline.yaml` and `event_pipeline.yaml` mean.
//!
//! A [`Plan`] is read once; afterwards it only answers. Never here: publishers themselves (a plan holds their URLs as
//! written), files, clocks.

pub mod filter;
mod keys;
mod kind;
pub mod plan;
pub mod transform;
pub mod volume;

pub use filter::NameFilter;
pub use kind::Kind;
pub use plan::{Pipeline, Plan, PublisherUrl, Sink};
pub use transform::{Cell, CellChange, CellKey, Chain, ChainOptions, TransformerRepairs, Transformers};
