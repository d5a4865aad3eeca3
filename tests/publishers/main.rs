//! Every publisher against destinations that behave well, badly, or not at all.
//!
//! [`contract`] drives each of them through accept, stall, refuse, die and recover; [`misbehaving`] answers those that speak HTTP
//! with whatever a server can answer; [`odd`] sends ids and metadata that are something else in a path, a line or a frame;
//! [`wire`] reads what arrived with the field's own programs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod clock;
mod contract;
mod decode;
mod gate;
mod lab;
mod misbehaving;
mod odd;
mod otlp_receiver;
mod records;
#[path = "../rig/mod.rs"]
mod rig;
mod server;
mod wire;
