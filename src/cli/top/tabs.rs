//! The tables of a picture: queues, publishers, members, what was parked, and the newest moves.

use super::lines::{Cell, Column, Row, Table, Tone, numbers, words};
use super::text::{age, bytes, grouped, rate, seconds_between};
use crate::desk::Picture;
use crate::desk::picture::{Member, Publisher, Queue};

/// A table of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Queues,
    Publishers,
    Members,
    Parked,
    Moves,
}

impl Tab {
    /// In the order of their keys, from `1` on.
    pub(super) const ALL: [Tab; 5] = [Tab::Queues, Tab::Publishers, Tab::Members, Tab::Parked, Tab::Moves];

    /// Its title.
    pub(super) fn title(self) -> &'static str {
        match self {
            Tab::Queues => "queues",
            Tab::Publishers => "publishers",
            Tab::Members => "members",
            Tab::Parked => "parked",
            Tab::Moves => "moves",
        }
    }

    /// The column that it is first sorted by, and whether in reverse.
    pub(super) fn order(self) -> (usize, bool) {
        match self {
            Tab::Queues | Tab::Publishers | Tab::Members => (0, false),
            Tab::Parked => (2, false),
            Tab::Moves => (0, true),
        }
    }

    /// The table.
    pub(super) fn table(self, picture: &Picture) -> Table {
        match self {
            Tab::Queues => queues(picture),
            Tab::Publishers => publishers(picture),
            Tab::Members => members(picture),
            Tab::Parked => parked(picture),
            Tab::Moves => moves(picture),
        }
    }
}

const QUEUES: &[Column] = &[
    words("QUEUE", 16),
    words("OWNER", 8),
    words("STATE", 7),
    numbers("IN/S"),
    numbers("OUT/S"),
    numbers("READY"),
    numbers("HELD"),
    numbers("OLDEST"),
    numbers("LOG"),
];

const PUBLISHERS: &[Column] = &[
    words("SINK", 8),
    words("PUBLISHER", 16),
    words("STATE", 7),
    numbers("OUT/S"),
    numbers("WAITING"),
    numbers("FOR"),
    numbers("RETRIES"),
    numbers("REFUSED"),
    numbers("OVERFLOWED"),
];

const MEMBERS: &[Column] = &[
    words("MEMBER", 8),
    words("HOST", 8),
    words("STATE", 9),
    numbers("QUEUES"),
    numbers("IN/S"),
    numbers("OUT/S"),
    numbers("CPU"),
    numbers("MEMORY"),
    numbers("LEASE"),
    numbers("UP"),
    words("VERSION", 7),
];

const PARKED: &[Column] = &[words("WHAT", 9), words("REASON OR DEFINITION", 20), numbers("COUNT")];

const MOVES: &[Column] = &[words("TIME", 20), words("QUEUE", 16), words("FROM", 8), words("TO", 8), words("REASON", 7)];

/// The name of a queue without what all of them begin with.
pub(super) fn short(picture: &Picture, name: &str) -> String {
    name.strip_prefix(&format!("nephoscope.{}.", picture.group)).unwrap_or(name).to_owned()
}

/// Whether a state is as it should be.
pub(super) fn tone(state: &str) -> Tone {
    match state {
        "running" | "works" => Tone::Good,
        "opening" | "closing" | "waiting" | "starting" | "draining" | "drained" | "tried" | "silent" => Tone::Warn,
        _ => Tone::Bad,
    }
}

fn count(count: u64) -> Cell {
    Cell::number(grouped(count), count as f64)
}

fn per_second(value: Option<f64>) -> Cell {
    Cell::number(rate(value), value.unwrap_or(-1.0))
}

fn seconds(value: Option<u64>) -> Cell {
    Cell::number(value.map_or("-".to_owned(), age), value.map_or(-1.0, |value| value as f64))
}

fn queues(picture: &Picture) -> Table {
    let row = |queue: &Queue| {
        let pinned = if queue.pinned_to.is_some() { " (pinned)" } else { "" };
        let owner = format!("{}{pinned}", queue.owner.as_deref().unwrap_or("-"));
        let ready = queue.ready.map_or("-".to_owned(), grouped);
        let log = if queue.log_bytes == 0 { "-".to_owned() } else { bytes(queue.log_bytes) };
        Row {
            name: queue.name.clone(),
            cells: vec![
                Cell::words(&short(picture, &queue.name)),
                Cell::words(&owner),
                Cell::words(&queue.state).toned(tone(&queue.state)),
                per_second(queue.taken),
                per_second(queue.settled),
                Cell::number(ready, queue.ready.map_or(-1.0, |ready| ready as f64)),
                count(queue.held),
                seconds(queue.oldest_s),
                Cell::number(log, queue.log_bytes as f64),
            ],
        }
    };
    Table { columns: QUEUES, rows: picture.queues.iter().map(row).collect() }
}

fn publishers(picture: &Picture) -> Table {
    let row = |publisher: &Publisher| {
        let held = publisher.held_since.as_ref().and_then(|since| seconds_between(since, &picture.at));
        Row {
            name: format!("{} {}", publisher.sink, publisher.name),
            cells: vec![
                Cell::words(&publisher.sink),
                Cell::words(&publisher.name),
                Cell::words(&publisher.state).toned(tone(&publisher.state)),
                per_second(publisher.accepted),
                count(publisher.waiting),
                seconds(held),
                count(publisher.retries),
                count(publisher.refused),
                count(publisher.overflowed),
            ],
        }
    };
    Table { columns: PUBLISHERS, rows: picture.publishers.iter().map(row).collect() }
}

fn members(picture: &Picture) -> Table {
    let row = |member: &Member| {
        let up = seconds_between(&member.started, &picture.at);
        let cpu = member.cpu.map_or("-".to_owned(), |cpu| format!("{cpu:.0} %"));
        let lease = member.lease_margin_ms.map_or("-".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1_000.0));
        Row {
            name: member.id.clone(),
            cells: vec![
                Cell::words(&member.id),
                Cell::words(&member.host),
                Cell::words(&member.state).toned(tone(&member.state)),
                count(member.queues as u64),
                per_second(member.received),
                per_second(member.published),
                Cell::number(cpu, member.cpu.unwrap_or(-1.0)),
                Cell::number(member.rss_bytes.map_or("-".to_owned(), bytes), member.rss_bytes.unwrap_or(0) as f64),
                Cell::number(lease, member.lease_margin_ms.unwrap_or(0) as f64),
                seconds(up),
                Cell::words(&member.version),
            ],
        }
    };
    Table { columns: MEMBERS, rows: picture.members.iter().map(row).collect() }
}

fn parked(picture: &Picture) -> Table {
    let parked = picture.parked.iter().map(|count| ("parked", count));
    let complaints = picture.complaints.iter().map(|count| ("complaint", count));
    let row = |(what, one): (&str, &crate::desk::picture::Count)| Row {
        name: format!("{what} {}", one.what),
        cells: vec![Cell::words(what), Cell::words(&one.what), count(one.count)],
    };
    Table { columns: PARKED, rows: parked.chain(complaints).map(row).collect() }
}

fn moves(picture: &Picture) -> Table {
    let row = |one: &crate::desk::picture::QueueMove| Row {
        name: format!("{} {}", one.at, one.queue),
        cells: vec![
            Cell::words(&one.at),
            Cell::words(&short(picture, &one.queue)),
            Cell::words(one.from.as_deref().unwrap_or("-")),
            Cell::words(&one.to),
            Cell::words(&one.reason),
        ],
    };
    Table { columns: MOVES, rows: picture.moves.iter().map(row).collect() }
}
