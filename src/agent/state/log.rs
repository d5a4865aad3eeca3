//! Where the log of a stateful queue is kept: in a stream beside the queue, or in this process.

use async_trait::async_trait;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

use crate::state::Record;
use crate::transport::{
    Confirmation, Follower, Outgoing, Session, StreamRecord, StreamStart, Topology, TransportError, topology,
};

/// For so long the end of a log may keep the barrier waiting that was just put there.
const END_MAX: Duration = Duration::from_secs(30);

/// For so long a record of a sealed log may keep its reader waiting that is looked for without its being certain.
const SEAL_MAX: Duration = Duration::from_secs(1);

/// Records before a barrier that are looked at, one number after the other, for where the last snapshot is; then all are read.
const LOOKS_BACK: [u64; 2] = [32, 512];

/// One log, seen by one of its writers: what it appends, it reads back among what others append.
#[async_trait]
pub(in crate::agent) trait StateLog: Send {
    /// Appends an owner's barrier, and goes to where reading has to begin: [`next`](StateLog::next) brings the last snapshot
    /// before it, or the beginning of the log, and all up to the barrier and behind it.
    async fn begin(&mut self, barrier: Vec<u8>) -> Result<(), TransportError>;
    /// Hands over a record; records keep the order of these calls. Taken when the confirmation says so, committed when
    /// [`next`](StateLog::next) brings it.
    async fn append(&mut self, record: Vec<u8>) -> Result<Confirmation, TransportError>;
    /// The next record of the log; `None` when the log cannot be followed any more. Dropping
    /// the future loses nothing.
    async fn next(&mut self) -> Option<StreamRecord>;
}

/// A log in a RabbitMQ stream, in the session in which its queue is consumed: one connection, one fate.
pub(in crate::agent) struct StreamLog {
    session: Arc<dyn Session>,
    stream: String,
    /// Once it is known from where on.
    follower: Option<Box<dyn Follower>>,
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

    /// The log of a queue, for an owner that begins.
    pub(in crate::agent) fn new(session: Arc<dyn Session>, queue: &str) -> Self {
        StreamLog { session, stream: topology::state_log_name(queue), follower: None }
    }

    /// The log of a sealed queue for a reader: from the snapshot on that whoever sealed it wrote before.
    pub(in crate::agent) async fn open_sealed(session: Arc<dyn Session>, queue: &str) -> Result<Self, TransportError> {
        let mut log = Self::new(session, queue);
        let start = sealed_from(&*log.session, &log.stream).await?.map_or(StreamStart::First, StreamStart::Offset);
        log.follow(start).await?;
        Ok(log)
    }

    async fn follow(&mut self, start: StreamStart) -> Result<(), TransportError> {
        self.follower = Some(self.session.follow(&self.stream, start).await?);
        Ok(())
    }

    /// Ends following.
    pub(in crate::agent) async fn close(self) -> Result<(), TransportError> {
        match self.follower {
            Some(follower) => follower.close().await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl StateLog for StreamLog {
    async fn begin(&mut self, barrier: Vec<u8>) -> Result<(), TransportError> {
        let end = self.session.follow(&self.stream, StreamStart::Last).await?;
        self.append(barrier.clone()).await?.wait().await?;
        let (mut snapshot, at) = end_tells(end, &barrier).await?;
        // Owners that lost their connection before their first batch leave nothing but barriers there.
        for back in LOOKS_BACK.into_iter().take_while(|back| *back < at) {
            if snapshot.is_none() {
                let end = self.session.follow(&self.stream, StreamStart::Offset(at - back)).await?;
                (snapshot, _) = end_tells(end, &barrier).await?;
            }
        }
        self.follow(snapshot.map_or(StreamStart::First, StreamStart::Offset)).await
    }

    async fn append(&mut self, record: Vec<u8>) -> Result<Confirmation, TransportError> {
        self.session.publish(Outgoing::to_queue(&self.stream, record.into(), "application/octet-stream")).await
    }

    async fn next(&mut self) -> Option<StreamRecord> {
        self.follower.as_mut()?.next().await
    }
}

/// Where the snapshot of a sealed log begins, if its end tells. Behind the seal there may be barriers of those who came
/// too late; a seal that a later barrier has made void tells of a snapshot that stands before that barrier.
async fn sealed_from(session: &dyn Session, stream: &str) -> Result<Option<u64>, TransportError> {
    let mut end = session.follow(stream, StreamStart::Last).await?;
    let Ok(Some(StreamRecord { offset: at, .. })) = timeout(END_MAX, end.next()).await else { return Ok(None) };
    for back in LOOKS_BACK.into_iter().take_while(|back| *back < at) {
        let mut end = session.follow(stream, StreamStart::Offset(at - back)).await?;
        // Nobody appends any more: what does not come soon does not come.
        while let Ok(Some(record)) = timeout(SEAL_MAX, end.next()).await {
            if let Ok(Record::Sealed { snapshot: Some(snapshot), .. }) = Record::decode(&record.body) {
                return Ok(Some(snapshot));
            }
        }
    }
    Ok(None)
}

/// What the records up to the barrier say of where the last snapshot begins, and where the barrier is.
async fn end_tells(mut end: Box<dyn Follower>, barrier: &[u8]) -> Result<(Option<u64>, u64), TransportError> {
    let mut snapshot = None;
    loop {
        let Ok(Some(record)) = timeout(END_MAX, end.next()).await else {
            return Err(TransportError::Refused(format!("the state log shows no end within {END_MAX:?}")));
        };
        if record.body == barrier {
            // Its channel closes behind it: a queue waits for what comes next.
            return Ok((snapshot, record.offset));
        }
        snapshot = Record::decode(&record.body).ok().and_then(|record| record.snapshot()).or(snapshot);
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
    async fn begin(&mut self, barrier: Vec<u8>) -> Result<(), TransportError> {
        self.append(barrier).await.map(drop)
    }

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
