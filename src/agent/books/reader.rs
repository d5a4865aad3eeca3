//! Reading the books of a group: for a person, beside the agents or when none runs. Nothing is taken away or changed.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::books::{Note, NoteError, Report, Sums, Waiting, audit};
use crate::transport::{Follower, Session, StreamRecord, StreamStart, TransportError, topology};

/// For so long the books may keep a reader waiting for their newest note, or be empty.
const NEWEST_WITHIN: Duration = Duration::from_secs(3);
/// For so long they may keep it waiting for a note that must be there.
const NEXT_WITHIN: Duration = Duration::from_secs(30);
/// What is settled is noted within this time: so long is read on after the broker was asked what waits.
const NOTED_WITHIN: Duration = Duration::from_secs(4);
/// Where it does not balance, so long.
const LATE_WITHIN: Duration = Duration::from_secs(12);

/// A time, in milliseconds since 1970: from the first moment up to the last one. Without one, as far as the books go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// What is noted at this time or later.
    pub from_ms: Option<i64>,
    /// What is noted up to this time.
    pub to_ms: Option<i64>,
}

/// Why the books cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// There are none.
    #[error(
        "cannot read the books: {0} does not exist on the broker; an agent that can create it does so within seconds after its start, \
         unless [nephoscope] books_max_bytes is 0"
    )]
    None(String),
    /// Nothing is in them.
    #[error("cannot read the books: {0} is empty; start an agent that keeps books")]
    Empty(String),
    /// They end too soon.
    #[error(
        "cannot read the books: {stream} gives nothing behind offset {offset}, and its end is {last}; run the command again"
    )]
    Ends {
        /// The stream.
        stream: String,
        /// What was read.
        offset: u64,
        /// What there is.
        last: u64,
    },
    /// A newer version wrote them.
    #[error(transparent)]
    Newer(NoteError),
    /// The broker.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Reads the books of a group, asks the broker what waits now, and says what came of all that was taken in a window.
pub async fn audit_books(session: &dyn Session, group: &str, window: Window) -> Result<Report, BooksError> {
    let stream = topology::books_name(group);
    let last = last_offset(session, &stream).await?;
    let mut reading = Reading::begin(session, stream, window).await?;
    reading.read_to(last).await?;
    reading.is_at_end = true;
    let waiting = look(session, &reading.sums).await?;
    let asked = Instant::now();
    let mut report = loop {
        reading.read_until(Instant::now() + NOTED_WITHIN).await?;
        let report = reading.report(&waiting);
        // Where the stream has no leader for a moment, notes are late.
        if report.is_balanced() || asked.elapsed() >= LATE_WITHIN {
            break report;
        }
    };
    report.unreadable = reading.unreadable;
    reading.follower.close().await?;
    Ok(report)
}

struct Reading {
    stream: String,
    window: Window,
    follower: Box<dyn Follower>,
    /// All notes so far.
    sums: Sums,
    /// Those of before the window. By the time in each note: the clock of one member moves nothing but its own.
    begin: Sums,
    /// Those up to the window's end.
    end: Sums,
    /// What comes from now on is behind a window without an end.
    is_at_end: bool,
    read: Option<u64>,
    unreadable: u64,
}

impl Reading {
    async fn begin(session: &dyn Session, stream: String, window: Window) -> Result<Reading, BooksError> {
        let follower = session.follow(&stream, StreamStart::First).await?;
        let [sums, begin, end] = std::array::from_fn(|_| Sums::new(false));
        Ok(Reading { stream, window, follower, sums, begin, end, is_at_end: false, read: None, unreadable: 0 })
    }

    fn report(&self, waiting: &BTreeMap<String, Waiting>) -> Report {
        let from_ms = self.window.from_ms.or(self.end.first_ms()).unwrap_or_default();
        let to_ms = self.window.to_ms.or(self.end.last_ms()).unwrap_or_default().max(from_ms);
        audit((&self.begin, &self.end, &self.sums), (from_ms, to_ms), waiting)
    }

    /// Reads up to an offset, which is there.
    async fn read_to(&mut self, last: u64) -> Result<(), BooksError> {
        while self.read.is_none_or(|read| read < last) {
            let Ok(Some(record)) = timeout(NEXT_WITHIN, self.follower.next()).await else {
                let (stream, offset) = (self.stream.clone(), self.read.unwrap_or_default());
                return Err(BooksError::Ends { stream, offset, last });
            };
            self.take(&record)?;
        }
        Ok(())
    }

    /// Reads what comes until then.
    async fn read_until(&mut self, until: Instant) -> Result<(), BooksError> {
        loop {
            match timeout_at(until, self.follower.next()).await {
                Ok(Some(record)) => self.take(&record)?,
                Ok(None) => {
                    sleep_until(until).await;
                    return Ok(());
                }
                Err(_) => return Ok(()),
            }
        }
    }

    fn take(&mut self, record: &StreamRecord) -> Result<(), BooksError> {
        if self.read.is_none() {
            for sums in [&mut self.sums, &mut self.begin, &mut self.end] {
                *sums = Sums::new(record.offset > 0);
            }
        }
        self.read = Some(record.offset);
        let note = match Note::decode(&record.body) {
            Ok(note) => note,
            Err(newer @ NoteError::Newer(_)) => return Err(BooksError::Newer(newer)),
            Err(_) => {
                self.unreadable += 1;
                return Ok(());
            }
        };
        if self.window.from_ms.is_some_and(|from| note.time_ms < from) {
            self.begin.add(&note);
        }
        if self.window.to_ms.map_or(!self.is_at_end, |to| note.time_ms <= to) {
            self.end.add(&note);
        }
        self.sums.add(&note);
        Ok(())
    }
}

/// The offset of the newest note.
async fn last_offset(session: &dyn Session, stream: &str) -> Result<u64, BooksError> {
    let mut follower = match session.follow(stream, StreamStart::Last).await {
        Err(TransportError::NoQueue(stream)) => return Err(BooksError::None(stream)),
        follower => follower?,
    };
    let mut last = None;
    let until = Instant::now() + NEWEST_WITHIN;
    // It begins a few before the newest one; where agents write all the time, these are not waited for.
    while let Ok(Some(record)) = timeout_at(until.min(Instant::now() + NEWEST_WITHIN / 6), follower.next()).await {
        last = Some(record.offset);
    }
    if last.is_none() {
        last = timeout_at(until, follower.next()).await.ok().flatten().map(|record| record.offset);
    }
    follower.close().await?;
    last.ok_or_else(|| BooksError::Empty(stream.to_owned()))
}

/// What waits in the queues that the books tell of, and in their rescue queues. What the broker does not know is left out: a queue of a
/// former layout, or of another broker.
async fn look(session: &dyn Session, sums: &Sums) -> Result<BTreeMap<String, Waiting>, BooksError> {
    let mut waiting = BTreeMap::new();
    for (queue, _) in sums.queues() {
        let state = match session.inspect(queue).await {
            Ok(state) => state,
            Err(TransportError::NoQueue(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        let in_rescue = match session.inspect(&topology::rescue_queue_name(queue)).await {
            Ok(rescued) => rescued.messages,
            Err(TransportError::NoQueue(_)) => 0,
            Err(error) => return Err(error.into()),
        };
        let (ready, rescued) = (u64::from(state.messages), u64::from(in_rescue));
        waiting.insert(queue.to_owned(), Waiting { ready, rescued, is_consumed: state.consumers > 0 });
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::{FORMAT, Kind, Packet, Tally};
    use crate::model::Verdict;
    use crate::transport::{Broker, MemoryBroker, Outgoing, Topology};
    use std::sync::Arc;

    async fn session() -> Arc<dyn Session> {
        let session = MemoryBroker::default().connect().await.unwrap();
        let queues = vec![topology::books(topology::books_name("g"), 1_000_000)];
        session.declare(&Topology { queues, ..Topology::default() }).await.unwrap();
        session
    }

    async fn write(session: &dyn Session, body: Vec<u8>) {
        let message = Outgoing::to_queue(&topology::books_name("g"), body.into(), "application/octet-stream");
        session.publish(message).await.unwrap().wait().await.unwrap();
    }

    fn note(number: u64, time_ms: i64, tally: &mut Tally) -> Vec<u8> {
        let (member, process) = ("a".to_owned(), "p".to_owned());
        let entries = tally.take(0, false).into_iter().collect();
        Note { format: FORMAT, member, process, number, time_ms, entries }.encode()
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_no_books_or_nothing_is_in_them() {
        let session = session().await;
        let none = audit_books(&*session, "other", Window::default()).await;
        assert!(matches!(none, Err(BooksError::None(stream)) if stream == "nephoscope.other.books"));
        let empty = audit_books(&*session, "g", Window::default()).await;
        assert!(matches!(empty, Err(BooksError::Empty(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_is_cut_out_of_the_books() {
        let session = session().await;
        let mut main = Tally::new(Kind::Main, "notifications.info", None, 7);
        for number in 1..=5 {
            main.message(Verdict::Kept, false);
            main.nothing();
            write(&*session, note(number, 1_000 * i64::try_from(number).unwrap(), &mut main)).await;
        }
        write(&*session, b"what is no note".to_vec()).await;
        for (from_ms, to_ms, taken) in [
            (None, None, 5),
            (Some(2_000), None, 4),
            (None, Some(2_000), 2),
            (Some(2_000), Some(4_000), 3),
            (Some(9_000), None, 0),
        ] {
            let report = audit_books(&*session, "g", Window { from_ms, to_ms }).await.unwrap();
            assert_eq!(report.main_queues[0].taken, taken, "{from_ms:?} {to_ms:?}");
            assert_eq!((report.unreadable, report.is_balanced()), (1, true));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_when_the_broker_is_asked_may_be_noted_a_moment_later() {
        let session = session().await;
        let queue = topology::pipeline_queue_name("g", "s", 1, 0);
        let packet = Packet { sender: "a", epoch: 7, number: 1, fragments: 1, records: 2 };
        write(&*session, note(1, -10_000, &mut Tally::new(Kind::Main, "notifications.info", None, 6))).await;
        let mut main = Tally::new(Kind::Main, "notifications.info", None, 7);
        main.sent(&queue, packet, || Some(("s".to_owned(), None)));
        write(&*session, note(2, 1_000, &mut main)).await;
        let later = Arc::clone(&session);
        let of = queue.clone();
        tokio::spawn(async move {
            tokio::time::sleep(NEWEST_WITHIN + Duration::from_secs(1)).await;
            let mut owner = Tally::new(Kind::Pipeline, &of, Some("s"), 8);
            owner.packet(packet);
            write(&*later, note(3, 2_000, &mut owner)).await;
        });
        let report = audit_books(&*session, "g", Window::default()).await.unwrap();
        assert_eq!(report.differences, []);
        assert_eq!((report.queues[0].sent, report.queues[0].taken), (2, 0), "taken after the window");
    }

    #[tokio::test(start_paused = true)]
    async fn books_of_a_newer_version_are_not_half_understood() {
        let session = session().await;
        write(&*session, br#"{"format":2}"#.to_vec()).await;
        assert!(matches!(audit_books(&*session, "g", Window::default()).await, Err(BooksError::Newer(_))));
    }
}
