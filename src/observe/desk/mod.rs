//! What one member does, told in numbers: its beat, made once a second from its counters and its board.
//!
//! A beat has totals since start, so that one that is lost costs nothing: who watches makes rates of two beats.
//!
//! Never here: a decision, a connection, the beats of others.

pub mod beat;
pub mod feed;
pub mod gather;
pub mod latency;
pub mod minutes;
pub mod process;
pub mod tally;

pub use beat::Beat;
pub use feed::Feed;
pub use gather::Gathered;
pub use minutes::Minutes;
