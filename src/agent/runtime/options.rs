//! How an agent works: bounds, waits and switches. Every bound has its unit in its name or type.

use std::time::Duration;

use super::clock::Clock;
use crate::backoff::Backoff;
use crate::pipeline::transform::ChainOptions;
use crate::state::WindowBounds;
use crate::transport::topology::QueueKind;

/// How an agent works. Every bound has its unit in its name or type.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Whether notifications go over pipeline queues that the group shares.
    pub partitioned: bool,
    /// Whether the owner of a main queue asks the broker to be its only consumer.
    pub main_queue_exclusive: bool,
    /// Unacknowledged messages per main queue.
    pub main_prefetch: MainPrefetch,
    /// Unacknowledged packets per pipeline queue.
    pub pipeline_prefetch: u16,
    /// What is taken from a queue at once.
    pub intake: IntakeBounds,
    /// What goes into one packet.
    pub packet: PacketBounds,
    /// Waits before a publisher is offered the same batch again.
    pub backoff: Backoff,
    /// Hand-overs away from this member at once.
    pub moves_at_once: usize,
    /// Kind of the pipeline queues and of the parking queue.
    pub queue_kind: QueueKind,
    /// Messages that the parking queue holds before it takes no more.
    pub parked_messages_max: i64,
    /// Time between two reads of the whole group, if nothing wakes it before.
    pub view_period: Duration,
    /// How destinations are kept from waiting for each other.
    pub overflow: OverflowOptions,
    /// Bytes that the stream with the group's books holds; 0: no books are kept.
    pub books_bytes_max: i64,
    /// How the state of transformers is kept.
    pub state: StateOptions,
    /// The time that transformers are told.
    pub clock: Clock,
}

/// How many messages of a main queue may be unacknowledged.
#[derive(Debug, Clone, Copy)]
pub struct MainPrefetch {
    /// So many, where nothing else is said here.
    pub messages: u16,
    /// Of a queue that is surely classic.
    pub by_size: Option<BySize>,
}

/// Messages that may be unacknowledged, by their sizes.
#[derive(Debug, Clone, Copy)]
pub struct BySize {
    /// While no size is known.
    pub first: u16,
    /// At least, whatever their size.
    pub messages_min: u16,
    /// At most, however small they are.
    pub messages_max: u16,
    /// Bytes of bodies that all of them together should have at most.
    pub bytes_max: usize,
    /// Bytes of bodies that may wait to be taken. More are there where sizes change suddenly: then the consumer ends, and the
    /// next one begins with the fewest messages.
    pub waiting_bytes_max: usize,
}

/// How much is taken at once.
#[derive(Debug, Clone, Copy)]
pub struct IntakeBounds {
    /// Messages at most.
    pub messages_max: usize,
    /// Bytes of bodies after which no further message is taken.
    pub bytes_max: usize,
}

/// Bounds of one packet. A fragment that is larger than `bytes_max` travels alone.
#[derive(Debug, Clone, Copy)]
pub struct PacketBounds {
    /// Notifications at most.
    pub notifications_max: usize,
    /// Bytes at most, of two fragments and more.
    pub bytes_max: usize,
}

/// How destinations are kept from waiting for each other.
#[derive(Debug, Clone, Copy)]
pub struct OverflowOptions {
    /// What a destination does not take for so long goes into its overflow queue.
    pub after: Duration,
    /// Bytes of bodies that an overflow queue holds; a full one takes nothing more, and the sink waits. 0: there are none.
    pub bytes_max: i64,
}

/// How state is kept.
#[derive(Debug, Clone)]
pub struct StateOptions {
    /// Bytes that the stream of one queue holds; the broker cuts it beyond that.
    pub log_bytes_max: usize,
    /// Bytes of the segments that the broker cuts it by.
    pub segment_bytes: i64,
    /// A snapshot is due after four times the bytes of the last one, but not sooner and not later than so many.
    pub snapshot_after_bytes: (usize, usize),
    /// Ids that are remembered.
    pub window: WindowBounds,
    /// What transformers may hold, and how they work.
    pub chain: ChainOptions,
}

impl StateOptions {
    /// The segments of a stream of the smallest bound that an operator may set.
    pub const SEGMENT_BYTES: i64 = 4 * 1024 * 1024;
    /// A snapshot of a small state is not worth writing sooner, and reading more than this takes too long.
    pub const SNAPSHOT_AFTER_BYTES: (usize, usize) = (256 * 1024, 8 * 1024 * 1024);
}
