//! What an audit found, as scripts read it; `docs/interface.md` lists the keys.

use serde::Serialize;
use std::collections::BTreeMap;

use super::note::{Offered, Work};

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The window begins, in milliseconds since 1970.
    pub from_ms: i64,
    /// It ends.
    pub to_ms: i64,
    /// The oldest note that is there.
    pub books_begin_ms: Option<i64>,
    /// Whether the books cover the whole window.
    pub covered: bool,
    /// Notes in the window.
    pub notes: u64,
    /// Notes of which others tell, and that are not there.
    pub notes_missing: u64,
    /// Ownerships of queues that ended without a last note: what they settled in their last second is not in the books, or is
    /// among `unsplit`.
    pub died: u64,
    /// What is in the books and is no note.
    pub unreadable: u64,
    /// Main queues.
    pub main_queues: Vec<MainRow>,
    /// Sinks.
    pub sinks: Vec<SinkRow>,
    /// Pipeline queues and overflow queues.
    pub queues: Vec<QueueRow>,
    /// What was sent or settled and is not in the books.
    pub unsplit: Vec<Unsplit>,
    /// What does not add up; nothing where the books balance.
    pub differences: Vec<Difference>,
}

/// A main queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MainRow {
    /// Its name.
    pub queue: String,
    /// Notifications that were taken and settled.
    pub taken: u64,
    /// Of these, all that they gave went on.
    pub went_on: u64,
    /// Of these, they gave nothing: unwanted, or no definition matched.
    pub nothing: u64,
    /// Of these, nobody can read them: parked.
    pub parked: u64,
    /// Of those that were taken, the broker had delivered them before.
    pub again: u64,
    /// Records that they gave.
    pub given: u64,
    /// Messages that wait in the queue now; nothing where the broker was not asked.
    pub waiting: Option<u64>,
}

/// A sink. Records, where nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SinkRow {
    /// Its name.
    pub sink: String,
    /// Records that notifications gave.
    pub given: u64,
    /// Records that came to its pipeline queues, or to the sink of an agent alone.
    pub came: u64,
    /// Records that were taken from there and settled, each time.
    pub taken: u64,
    /// Of these, records in packets that were settled before.
    pub again: u64,
    /// What became of what was taken.
    pub work: Work,
    /// What the publishers did with what was delivered, by their keys. Of one with an overflow queue, what came out of that is in.
    pub publishers: Vec<PublisherRow>,
    /// Packets on their way or waiting.
    pub packets_waiting: u64,
    /// Packets that were settled or sent, and are not in the books.
    pub packets_unsplit: u64,
}

/// A publisher of a sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PublisherRow {
    /// Its key: the end of the name of its overflow queue.
    pub publisher: String,
    /// Records from the pipeline queues.
    pub direct: Offered,
    /// Records from its overflow queue.
    pub from_overflow: Offered,
    /// Packets in its overflow queue.
    pub packets_waiting: u64,
}

/// A pipeline queue or an overflow queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct QueueRow {
    /// Its name.
    pub queue: String,
    /// Records in packets that it confirmed.
    pub sent: u64,
    /// Records that were taken from it.
    pub taken: u64,
    /// Packets that were settled more than once.
    pub packets_again: u64,
    /// Packets on their way or waiting.
    pub packets_waiting: u64,
    /// Packets that were settled or sent, and are not in the books.
    pub packets_unsplit: u64,
    /// Packets that are nowhere.
    pub packets_missing: u64,
}

/// What was sent or settled and is not in the books: its agent died before it could note it, or never knew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unsplit {
    /// The queue that the packets went to.
    pub queue: String,
    /// How many.
    pub packets: u64,
    /// The member.
    pub member: String,
    /// What it did: `sent` or `settled`, and died; or it sent one that the broker has, lost its connection before it knew (`unconfirmed`),
    /// and what it sent comes again.
    pub deed: &'static str,
    /// Its last note, in milliseconds since 1970; nothing where it wrote none.
    pub after_ms: Option<i64>,
}

/// What does not add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The queue, or the sink.
    pub queue: String,
    /// What is wrong.
    pub what: String,
}

impl Report {
    /// Whether everything adds up.
    pub fn is_balanced(&self) -> bool {
        self.differences.is_empty()
    }

    /// The queues that something is wrong in, each once.
    pub fn wrong_queues(&self) -> Vec<&str> {
        let mut queues: Vec<&str> = self.differences.iter().map(|difference| &*difference.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    /// By main queue: how many notifications were taken.
    pub fn taken(&self) -> BTreeMap<&str, u64> {
        self.main_queues.iter().map(|row| (&*row.queue, row.taken)).collect()
    }
}
