//! What the agent runs on: its options, clock and tasks, the connections to its brokers, and what stands still.
//!
//! Never here: notifications, samples, events, and what becomes of them.

pub(super) mod alias;
pub(super) mod broker;
pub(super) mod clock;
pub(super) mod context;
pub(super) mod nursery;
pub(super) mod options;
pub(super) mod posted;
pub(super) mod standing;
pub(super) mod troubles;
pub(super) mod until;

pub use broker::BrokerPlace;
pub(super) use context::Context;
