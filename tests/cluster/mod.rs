//! The pure room `cluster` from outside: transcripts of the ownership machine, a simulation of several, the golden file
//! of placement.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod golden;
mod simulation;
mod transcripts;
