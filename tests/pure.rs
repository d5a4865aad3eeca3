//! Everything that needs no server: definitions and files, the chains of transformers, the ownership machine, the program's
//! commands, the pages, and the house itself.
//!
//! One binary, because each links all that the agent links. `cargo nextest run --test pure readme::` runs one module.

mod architecture;
mod chains;
mod cluster;
mod commands;
mod config_complaints;
mod convert_never_panics;
mod definition_complaints;
mod deploy;
mod differential;
mod fuzz;
mod kit;
mod readme;
mod retention;
mod shipped_definitions;
mod situations;
mod situations_pipelines;
