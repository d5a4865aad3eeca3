//! From configuration to the parts of an agent: definitions, pipelines and publishers (`assembly`), brokers, group and options
//! (`outside`), all together (`parts`).

pub mod assembly;
pub mod outside;
mod parts;

pub use assembly::Blueprint;
pub use parts::Parts;
