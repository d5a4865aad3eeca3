//! Listeners: one on each queue that this member owns.
//!
//! `queues` says which queues there are, `open` opens one when its `predecessor` is gone. A main queue's listener is in
//! `main_queue`. A pipeline queue's (`pipeline_listener`) takes packets (`unpack`) to the sink's `worker`; an overflow queue's
//! (`overflow`) takes them to one destination; an old queue's (`old_queue`) sends on what still comes, and deletes the queue.
//! All of them use one `agent_context`.
//!
//! Never here: which queues are this member's (`ownership`).

pub(super) mod agent_context;
pub(super) mod main_queue;
mod old_queue;
pub(super) mod open;
mod overflow;
mod pipeline_listener;
mod predecessor;
pub(super) mod queues;
mod unpack;
mod worker;
