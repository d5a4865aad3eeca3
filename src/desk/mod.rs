//! What the group does now: each member tells it once a second over an exchange of its broker, and whoever watches hears all.
//!
//! So any member can show the whole group although each listens on loopback only, nothing more is written to etcd, and
//! `nephoscope top` needs only the agents' configuration. Without a watcher RabbitMQ drops at once what is told, and the members
//! say no more than that they are there. A session of its own carries all this: it delays no delivery and holds nothing up.
//!
//! Never here: a decision; what a notification means; drawing.

pub mod group;
pub mod merge;
pub mod picture;
pub mod ready;
pub mod seen;
pub mod speaker;
pub mod watcher;

pub use picture::Picture;
pub use speaker::Speaker;
pub use watcher::Watcher;
