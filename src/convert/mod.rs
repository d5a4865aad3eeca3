//! (coming)

pub mod field;
pub mod path;
pub mod plugins;
pub mod python;
