//! nephoscope, a clustered OpenStack notification agent: the map.
//!
//! Rooms in reading order. A room names only rooms above it in this list; `convert`, `pipeline` and `cluster` never
//! name each other. `tests/architecture.rs` holds these rules.

// Pure floor: no async, no clock, no I/O, no logging. The first three are a crate that others can use, crates/convert.
pub use nephoscope_convert::model; // what everything talks about: notification, sample, event, receipt

pub use nephoscope_convert::yaml; // files as PyYAML reads them, every node with its line

pub use nephoscope_convert::convert; // notification -> samples, events, complaints

pub mod pipeline; // which sample or event goes to which publishers
pub mod cluster; // who owns which queue
pub mod state; // what the transformers of a queue know, as its log tells it
pub mod books; // what became of all that was taken, as its agents note it, and whether it adds up

// Edge floor: one kind of outside each.
pub mod tls; // certificate files, and what a failed handshake means
pub mod config; // files: ceilometer.conf, YAML, URLs, secrets
pub mod observe; // logs, metrics, health
pub mod tasks; // whose a spawned task is
pub mod backoff; // how long to wait before what failed is tried again
pub mod transport; // RabbitMQ, and the in-process broker
pub mod coordination; // etcd, and the in-process group
pub mod publish; // where samples and events go

// Top floor.
pub mod desk; // what the group does now, told by each member, seen by whoever watches
pub mod agent; // the assembled machine
pub mod shadow; // copies of notifications: counted, compared, kept
pub mod doctor; // what is wrong with the live systems, looked at from outside
pub mod cli; // commands, printing, exit codes
