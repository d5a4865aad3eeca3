//! The configuration files: what an operator wrote, and what it means.
//!
//! Raw, then real. [`yaml`] and [`oslo`] give what was written, with file and line; [`Settings`] is what it means,
//! which cannot be wrong. Every option is one row of [`options`]. Whatever is wrong is complained about all at once.
//!
//! Never here: sockets, logging, or what a definition *does* (that is `convert` and `pipeline`, which get nodes).

pub mod broker;
pub mod coordination_url;
pub mod definitions;
mod environment;
pub mod files;
pub mod identity;
mod load;
mod names;
pub mod options;
pub mod oslo;
pub mod secret;
pub mod settings;
pub(crate) mod url;
mod values;

pub use crate::yaml;
pub use definitions::Definitions;
pub use load::{Named, load, load_named, load_text};
pub use secret::{Secret, shown};
pub use settings::Settings;
