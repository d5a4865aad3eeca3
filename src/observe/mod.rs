//! Logs, metrics, health, status and the page: what a person, and systemd, see of a running agent.
//!
//! One function of [`Metrics`] writes the log line and the counter of one happening together, under a stable dotted name. Everything that becomes a label is bounded: a sender cannot grow the page.
//!
//! Never here: decisions. Nothing in the agent reads a counter or a status to choose what to do.

#[cfg(test)]
pub(crate) mod captured;
pub mod desk;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod page;
pub mod repeats;
mod series;
pub mod status;
pub mod systemd;
pub mod tap;
mod trace;

pub use http::{ServeError, Serving};
pub use logs::{Format, LogSettings};
pub use metrics::{Breaker, Closed, Metrics, ParkReason};
pub use repeats::Repeats;
pub use status::{Board, Status};
pub use systemd::Systemd;
pub use trace::Trace;
