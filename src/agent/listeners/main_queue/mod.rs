//! A main queue's listener (`listener`), how it consumes the queue (`source`), and the `way` that it sends what it converts: to
//! the sinks of this process (`direct`), or over the pipeline queues of the group (`group`).
//!
//! Never here: converting (`stages`), publishing (`sinks`).

pub(in crate::agent) mod direct;
mod group;
mod listener;
mod source;
mod way;

pub(super) use group::GroupWay;
pub(in crate::agent) use listener::MainListener;
pub(super) use source::MainQueue;
pub(super) use way::Way;
