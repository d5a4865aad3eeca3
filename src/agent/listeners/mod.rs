//! Listeners: one on each queue that this member owns.
//!
//! `queues` says which queues there are, `open` opens one when its `predecessor` is gone. A main queue's listener (`main_listener`) sends what it converts its
//! `way`: to the sinks of this process (`direct`) or over the pipeline queues (`group`). A pipeline queue's listener
//! (`pipeline_listener`) takes packets (`unpack`) to the sink's `worker`; an overflow queue's (`overflow`) takes them to one
//! destination. An old queue's (`old_queue`) sends on what still comes, and deletes the queue. `ground` is what all of them share.
//!
//! Never here: which queues are this member's (`ownership`).

pub(super) mod direct;
pub(super) mod ground;
mod group;
mod main_listener;
mod old_queue;
pub(super) mod open;
mod overflow;
mod pipeline_listener;
mod predecessor;
pub(super) mod queues;
mod unpack;
mod way;
mod worker;
