//! Where the log of a stateful queue is kept: in a stream beside the queue, or in this process.

use async_trait::async_trait;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::transport::{
    Confirmation, Follower, Outgoing, Session, StreamRecord, StreamStart, Topology, TransportError, topology,
};

/// One log, seen by one of its writers: what it appends, it reads back among what others append.
#[async_trait]
pub(in crate::agent) trait StateLog: Send {
    /// Hands over a record; records keep the order of these calls. Taken when the confirmation says so, committed when
    /// [`next`](StateLog::next) brings it.
    async fn append(&mut self, record: Vec<u8>) -> Result<Confirmation, TransportError>;
    /// The next record of the log, from its beginning on; `None` when the log cannot be followed any more. Dropping
    /// the future loses nothing.
    async fn next(&mut self) -> Option<StreamRecord>;
}

/// A log in a RabbitMQ stream, in the session in which its queue is consumed: one connection, one fate.
pub(in crate::agent) struct StreamLog {
    session: Arc<dyn Session>,
    stream: String,
    follower: Box<dyn Follower>,
}

impl StreamLog {
    /// The log of a queue that it may be the first to open: made where there is none. Whether it has this bound and segments;
    /// a log is what it was made as, and only a policy of the broker changes its bound.
    pub(in crate::agent) async fn make(
        session: &dyn Session,
        queue: &str,
        (bytes_max, segment_bytes): (usize, i64),
    ) -> Result<bool, TransportError> {
        let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        let queues = vec![topology::state_log(topology::state_log_name(queue), bytes_max, segment_bytes)];
        match session.declare(&Topology { queues, ..Topology::default() }).await {
            Ok(()) => Ok(true),
            Err(TransportError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Follows the log of a queue from its beginning.
    pub(in crate::agent) async fn open(session: Arc<dyn Session>, queue: &str) -> Result<Self, TransportError> {
        let stream = topology::state_log_name(queue);
        let follower = session.follow(&stream, StreamStart::First).await?;
        Ok(StreamLog { session, stream, follower })
    }

    /// Ends following.
    pub(in crate::agent) async fn close(self) -> Result<(), TransportError> {
        self.follower.close().await
    }
}

#[async_trait]
impl StateLog for StreamLog {
    async fn append(&mut self, record: Vec<u8>) -> Result<Confirmation, TransportError> {
        self.session.publish(Outgoing::to_queue(&self.stream, record.into(), "application/octet-stream")).await
    }

    async fn next(&mut self) -> Option<StreamRecord> {
        self.follower.next().await
    }
}

/// A log for an agent alone: what it appends it reads, and then it is gone. The state lives as long as the process.
#[derive(Default)]
pub(in crate::agent) struct MemoryLog {
    next_offset: u64,
    unread: VecDeque<StreamRecord>,
}

#[async_trait]
impl StateLog for MemoryLog {
    async fn append(&mut self, record: Vec<u8>) -> Result<Confirmation, TransportError> {
        self.unread.push_back(StreamRecord { offset: self.next_offset, body: Bytes::from(record) });
        self.next_offset += 1;
        Ok(Confirmation::new(std::future::ready(Ok(()))))
    }

    async fn next(&mut self) -> Option<StreamRecord> {
        match self.unread.pop_front() {
            Some(record) => Some(record),
            // Nobody else appends.
            None => std::future::pending().await,
        }
    }
}
