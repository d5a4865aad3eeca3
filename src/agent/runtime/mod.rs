//! What the agent runs on: its options, clock and tasks, the connections to its brokers, and what it waits for.
//!
//! Never here: notifications, samples, events, and what becomes of them.

pub(super) mod alias;
pub(super) mod broker;
pub(super) mod clock;
pub(super) mod context;
pub(super) mod link_status;
pub(super) mod options;
pub(super) mod shared_value;
pub(super) mod task_group;
pub(super) mod troubles;
pub(super) mod until;

pub use broker::BrokerPlace;
pub(super) use context::Context;
