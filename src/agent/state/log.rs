//! Where the log of a stateful queue is kept: in a stream beside the queue, or in this process.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

use crate::state::{Head, Kind, Record};
use crate::transport::{
    Confirmation, Follower, Outgoing, Session, StreamRecord, StreamStart, Topology, TransportError, topology,
};

/// For so long a log may keep its reader waiting for a record that must come.
const MUST_COME: Duration = Duration::from_secs(30);

/// For so long a record may keep its reader waiting that is looked for without its being certain.
const MAY_COME: Duration = Duration::from_secs(1);

/// Before a log that seems deleted is looked for: whoever deleted it may make another one at once. RabbitMQ ends the connection, or
/// leaves a stream that nobody can use, where two make one at the same time, or one makes it while the other looks.
const OTHERS_FIRST: Duration = Duration::from_millis(500);

/// Records before the end that are looked at, one number after the other, for where the last snapshot is; then all are read.
const LOOKS_BACK: [u64; 2] = [32, 512];

/// Bytes of records at the end that are kept, at most, so that they need not be read a second time.
const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

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
    /// Makes the log again, with these bounds, where it is gone or another one has its name; [`begin`](StateLog::begin) is next.
    /// `false`, and nothing is done, where it is there as it was last read, unless it is to be begun `whatever` is there.
    async fn make_again(&mut self, bounds: (usize, i64), whatever: bool) -> Result<bool, TransportError>;
    /// Whether it cannot be made again: the session is over.
    fn is_over(&self) -> bool;
}

/// A log in a RabbitMQ stream, in the session in which its queue is consumed: one connection, one fate.
pub(in crate::agent) struct StreamLog {
    session: Arc<dyn Session>,
    stream: String,
    /// Where it is read.
    tail: Tail,
    /// The record that was handed on last: what tells this log from another one of its name.
    last: Option<StreamRecord>,
}

impl StreamLog {
    /// The log of a queue that it may be the first to open: made where there is none. Whether it has this bound and segments;
    /// a log is what it was made as, and only a policy of the broker changes its bound.
    pub(in crate::agent) async fn make(
        session: &dyn Session,
        queue: &str,
        bounds: (usize, i64),
    ) -> Result<bool, TransportError> {
        declare(session, topology::state_log_name(queue), bounds).await
    }

    /// The log of a queue, with its end in sight, for an owner that is about to begin.
    pub(in crate::agent) async fn open(session: Arc<dyn Session>, queue: &str) -> Result<Self, TransportError> {
        let mut log = Self::new(session, queue).await?;
        log.tail.read_to(|_| true, MAY_COME).await;
        Ok(log)
    }

    /// A log in which nothing is likely to be.
    pub(in crate::agent) async fn new(session: Arc<dyn Session>, queue: &str) -> Result<Self, TransportError> {
        let stream = topology::state_log_name(queue);
        let tail = Tail::follow(&*session, &stream, StreamStart::Last).await?;
        Ok(StreamLog { session, stream, tail, last: None })
    }

    /// The log of a sealed queue for a reader: from the snapshot on that whoever sealed it wrote before.
    pub(in crate::agent) async fn open_sealed(session: Arc<dyn Session>, queue: &str) -> Result<Self, TransportError> {
        let mut log = Self::new(session, queue).await?;
        // Most often the seal itself. Behind it there may be barriers of those who came too late.
        let last = log.tail.read_to(|_| true, MUST_COME).await.unwrap_or_default();
        let is_seal = |record: &StreamRecord| Head::of(&record.body).is_ok_and(|head| head.kind == Kind::Sealed);
        // Nobody appends any more: what does not come soon does not come.
        log.go_to_snapshot(last, is_seal, MAY_COME).await?;
        Ok(log)
    }

    /// Goes to where the last snapshot begins, if the records before the last one tell; else to the beginning. What they
    /// tell of counts, also where they are void themselves: it stands before whatever made them so.
    async fn go_to_snapshot(
        &mut self,
        last: u64,
        is_last: impl Fn(&StreamRecord) -> bool,
        patience: Duration,
    ) -> Result<(), TransportError> {
        // Owners that lost their connection before their first batch leave nothing but barriers there.
        for back in LOOKS_BACK.into_iter().take_while(|back| *back < last) {
            if self.tail.snapshot.is_none() {
                let from = StreamStart::Offset(last - back);
                self.tail = Tail::follow(&*self.session, &self.stream, from).await?;
                self.tail.read_to(&is_last, patience).await;
            }
        }
        let snapshot = self.tail.snapshot;
        if !self.tail.go_back_to(snapshot.unwrap_or_default()) {
            let from = snapshot.map_or(StreamStart::First, StreamStart::Offset);
            self.tail = Tail::follow(&*self.session, &self.stream, from).await?;
        }
        Ok(())
    }

    /// Whether the log of this name still has the record that was read last: one that was made since begins anew.
    async fn is_there(&mut self) -> Result<bool, TransportError> {
        let Some(last) = &self.last else { return Ok(false) };
        match Tail::follow(&*self.session, &self.stream, StreamStart::Offset(last.offset)).await {
            Ok(mut tail) => {
                Ok(timeout(MAY_COME, tail.follower.next()).await.is_ok_and(|found| found.as_ref() == Some(last)))
            }
            Err(TransportError::NoQueue(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends following.
    pub(in crate::agent) async fn close(self) -> Result<(), TransportError> {
        self.tail.follower.close().await
    }
}

#[async_trait]
impl StateLog for StreamLog {
    async fn begin(&mut self, barrier: Vec<u8>) -> Result<(), TransportError> {
        let (session, stream) = (&*self.session, &*self.stream);
        let put = async { append(session, stream, barrier.clone()).await?.wait().await };
        // The end has told already: both at once.
        if let Some(snapshot) = self.tail.snapshot.filter(|at| !self.tail.holds(*at)) {
            let tail = Tail::follow(session, stream, StreamStart::Offset(snapshot));
            ((), self.tail) = try_join(put, tail).await?;
            return Ok(());
        }
        put.await?;
        let is_barrier = |record: &StreamRecord| record.body == barrier;
        let Some(at) = self.tail.read_to(is_barrier, MUST_COME).await else {
            return Err(TransportError::Refused(format!("the state log shows no end within {MUST_COME:?}")));
        };
        self.go_to_snapshot(at, is_barrier, MUST_COME).await
    }

    async fn append(&mut self, record: Vec<u8>) -> Result<Confirmation, TransportError> {
        append(&*self.session, &self.stream, record).await
    }

    async fn next(&mut self) -> Option<StreamRecord> {
        let record = match self.tail.held.pop_front() {
            Some(record) => record,
            None => self.tail.follower.next().await?,
        };
        self.last = Some(record.clone());
        Some(record)
    }

    async fn make_again(&mut self, bounds: (usize, i64), whatever: bool) -> Result<bool, TransportError> {
        if !whatever {
            self.session.over().run_until_cancelled(sleep(OTHERS_FIRST)).await;
            if self.is_there().await? {
                return Ok(false);
            }
        }
        declare(&*self.session, self.stream.clone(), bounds).await?;
        self.tail = Tail::follow(&*self.session, &self.stream, StreamStart::Last).await?;
        self.last = None;
        Ok(true)
    }

    fn is_over(&self) -> bool {
        self.session.over().is_cancelled()
    }
}

/// Makes a stream where there is none; whether it has these bounds.
async fn declare(
    session: &dyn Session,
    stream: String,
    (bytes_max, segment_bytes): (usize, i64),
) -> Result<bool, TransportError> {
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let queues = vec![topology::state_log(stream, bytes_max, segment_bytes)];
    match session.declare(&Topology { queues, ..Topology::default() }).await {
        Ok(()) => Ok(true),
        Err(TransportError::Differs { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn append(session: &dyn Session, stream: &str, record: Vec<u8>) -> Result<Confirmation, TransportError> {
    session.publish(Outgoing::to_queue(stream, record.into(), "application/octet-stream")).await
}

/// A reader of a log, and what it has read and not handed on.
struct Tail {
    follower: Box<dyn Follower>,
    /// Where the last snapshot begins, if what was read tells.
    snapshot: Option<u64>,
    /// The newest records that were read, without a hole.
    held: VecDeque<StreamRecord>,
    held_bytes: usize,
}

impl Tail {
    async fn follow(session: &dyn Session, stream: &str, start: StreamStart) -> Result<Self, TransportError> {
        let follower = session.follow(stream, start).await?;
        Ok(Tail { follower, snapshot: None, held: VecDeque::new(), held_bytes: 0 })
    }

    /// Reads up to a record; where that is, unless it or one before it keeps us waiting for too long.
    async fn read_to(&mut self, is_last: impl Fn(&StreamRecord) -> bool, patience: Duration) -> Option<u64> {
        loop {
            let record = timeout(patience, self.follower.next()).await.ok()??;
            let (offset, found) = (record.offset, is_last(&record));
            self.snapshot = Record::decode(&record.body).ok().and_then(|record| record.snapshot()).or(self.snapshot);
            self.held_bytes += record.body.len();
            self.held.push_back(record);
            while self.held_bytes > HELD_BYTES_MAX {
                self.held_bytes -= self.held.pop_front().map_or(self.held_bytes, |record| record.body.len());
            }
            if found {
                return Some(offset);
            }
        }
    }

    /// Whether what was read from there on is all held.
    fn holds(&self, offset: u64) -> bool {
        self.held.front().is_some_and(|first| first.offset <= offset)
    }

    /// Makes the record there the next one, if it is still held.
    fn go_back_to(&mut self, offset: u64) -> bool {
        let holds = self.holds(offset);
        if holds {
            self.held.retain(|record| record.offset >= offset);
        }
        holds
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

    async fn make_again(&mut self, _: (usize, i64), _: bool) -> Result<bool, TransportError> {
        Ok(false)
    }

    fn is_over(&self) -> bool {
        false
    }
}
