//! The audit: what came of all that was taken in a window of time, and what is missing.
//!
//! Sums only grow, so the window is what was added between two of them. A third one, of all notes there are, says what became later
//! of what was on its way at the window's end.

use std::collections::BTreeMap;

use super::line::Line;
use super::note::{Kind, Offered, Work};
use super::owners::{Fault, Owners};
use super::report::{Difference, MainRow, PublisherRow, QueueRow, Report, SinkRow, Unsplit};
use super::sums::{QueueSums, Sums};

/// What the names of senders begin with that put back what was parked …
const BY_HAND: &str = "nephoscope parked ";
/// … and what those have in them that only look whether a queue is there.
const LOOKS: &str = " looks ";

/// What the broker says of one queue, when all notes of that moment have been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that nobody has taken.
    pub ready: u64,
    /// Messages in its rescue queue, which nobody has taken.
    pub rescued: u64,
    /// Somebody consumes the queue.
    pub is_consumed: bool,
}

/// What is not settled of one queue, explained as far as it can be.
#[derive(Debug, Default)]
struct Open {
    waiting: u64,
    unsplit: BTreeMap<(String, &'static str), (u64, Option<i64>)>,
    missing: u64,
    /// Missing, and nobody who keeps books owned the queue.
    unowned: u64,
    /// Missing, and the present owner says nothing since: who that is, and how many.
    silent: Option<(String, u64)>,
    surplus: u64,
}

/// What happened between `begin` and `end`, by all notes there are. `waiting` has the queues that the broker knows.
pub fn audit(
    (begin, end, all): (&Sums, &Sums, &Sums),
    (from_ms, to_ms): (i64, i64),
    waiting: &BTreeMap<String, Waiting>,
) -> Report {
    let mut report = Report {
        from_ms,
        to_ms,
        books_begin_ms: all.first_ms,
        covered: !all.is_cut() || all.first_ms.is_some_and(|first| first <= from_ms),
        notes: end.notes.saturating_sub(begin.notes),
        notes_missing: end.notes_missing.saturating_sub(begin.notes_missing),
        ..Report::default()
    };
    for (queue, owners) in &all.owners {
        let is_consumed = waiting.get(queue).is_none_or(|now| now.is_consumed);
        let owners = Owners(owners, is_consumed);
        let dead = owners.0.iter().filter(|(ownership, owner)| {
            owner.last_ms >= from_ms && owner.last_ms <= to_ms && owners.is_dead(ownership, owner)
        });
        report.died += dead.count() as u64;
    }
    let none = QueueSums::default();
    let mut sinks: BTreeMap<&str, SinkRow> = BTreeMap::new();
    for (queue, sums) in &end.queues {
        let before = begin.queues.get(queue).unwrap_or(&none);
        work_adds_up(queue, sums, before, &mut report.differences);
        if sums.kind == Kind::Main {
            report.main_queues.push(main_row(queue, sums, before, waiting.get(queue)));
            continue;
        }
        let name = sums.sink.as_deref().unwrap_or(queue);
        let sink = sinks.entry(name).or_insert_with(|| SinkRow { sink: name.to_owned(), ..SinkRow::default() });
        if sums.kind != Kind::Sink {
            let row = queue_row(queue, (begin, end, all), waiting, &mut report);
            if sums.kind != Kind::Overflow {
                sink.packets_waiting += row.packets_waiting;
                sink.packets_unsplit += row.packets_unsplit;
            } else if let Some(publisher) = &sums.publisher {
                publisher_row(sink, publisher).packets_waiting += row.packets_waiting;
            }
            report.queues.push(row);
        }
        add_to_sink(sink, sums, before, records_again(queue, begin, end));
    }
    for (name, given) in &end.given {
        let sink = sinks.entry(name).or_insert_with(|| SinkRow { sink: name.clone(), ..SinkRow::default() });
        sink.given = given.saturating_sub(begin.given.get(name).copied().unwrap_or_default());
    }
    for (queue, sums) in end.queues.iter().filter(|(_, sums)| sums.kind == Kind::Sink && !end.is_cut()) {
        // Counted in the sink first: what is more was given and lost.
        let more = |sums: &Sums| {
            let worked = sums.queues.get(queue).map_or(0, |sums| sums.work.records);
            sums.given_alone.get(queue).copied().unwrap_or_default().saturating_sub(worked)
        };
        if more(end) > more(begin) {
            let given = end.given_alone.get(queue).copied().unwrap_or_default();
            let what = format!("notifications gave {given} records, and the sink worked on {}", sums.work.records);
            report.differences.push(Difference { queue: queue.clone(), what });
        }
    }
    report.sinks = sinks.into_values().collect();
    for sink in &mut report.sinks {
        sink.publishers.sort_by(|one, other| one.publisher.cmp(&other.publisher));
    }
    if report.notes_missing > 0 {
        let what = format!("{} notes are missing in the books: the stream lost them", report.notes_missing);
        report.differences.push(Difference { queue: "the books".to_owned(), what });
    }
    let uneven = end.uneven.iter().filter(|(at, _, _)| *at >= from_ms);
    report.differences.extend(uneven.map(|(_, queue, what)| Difference { queue: queue.clone(), what: what.clone() }));
    report
}

fn main_row(queue: &str, sums: &QueueSums, before: &QueueSums, waiting: Option<&Waiting>) -> MainRow {
    MainRow {
        queue: queue.to_owned(),
        taken: sums.settled.saturating_sub(before.settled),
        went_on: sums.went_on.saturating_sub(before.went_on),
        nothing: sums.nothing.saturating_sub(before.nothing),
        parked: sums.unread.saturating_sub(before.unread),
        again: sums.again.saturating_sub(before.again),
        given: sums.given.saturating_sub(before.given),
        waiting: waiting.map(|waiting| waiting.ready),
    }
}

/// Each agent counts both sides of these at once.
fn work_adds_up(queue: &str, sums: &QueueSums, before: &QueueSums, differences: &mut Vec<Difference>) {
    let mut note = |what: String| differences.push(Difference { queue: queue.to_owned(), what });
    let work = sums.work.since(&before.work);
    if work.difference() != 0 {
        note(format!(
            "of {} records that came and {} that were made, {} are unaccounted for",
            work.records,
            work.made,
            work.difference()
        ));
    }
    for (publisher, offered) in &sums.publishers {
        let offered = offered.since(&before.publishers.get(publisher).copied().unwrap_or_default());
        if offered.difference() != 0 {
            let (all, lost) = (offered.offered, offered.difference());
            note(format!("of {all} records for {publisher}, {lost} are unaccounted for"));
        }
    }
}

fn records_again(queue: &str, begin: &Sums, end: &Sums) -> u64 {
    let again = |sums: &Sums| {
        let lines = sums.lines.get(queue).into_iter().flat_map(BTreeMap::values);
        lines.map(|line| line.again.1).fold(0, u64::saturating_add)
    };
    again(end).saturating_sub(again(begin))
}

fn publisher_row<'r>(sink: &'r mut SinkRow, publisher: &str) -> &'r mut PublisherRow {
    let at = sink.publishers.iter().position(|row| row.publisher == publisher).unwrap_or_else(|| {
        sink.publishers.push(PublisherRow { publisher: publisher.to_owned(), ..PublisherRow::default() });
        sink.publishers.len() - 1
    });
    &mut sink.publishers[at]
}

fn add_to_sink(sink: &mut SinkRow, sums: &QueueSums, before: &QueueSums, again: u64) {
    let work = sums.work.since(&before.work);
    for (publisher, offered) in &sums.publishers {
        let offered: Offered = offered.since(&before.publishers.get(publisher).copied().unwrap_or_default());
        let row = publisher_row(sink, publisher);
        if sums.kind == Kind::Overflow {
            row.from_overflow += offered;
        } else {
            row.direct += offered;
        }
    }
    if sums.kind == Kind::Overflow {
        return;
    }
    if sums.kind == Kind::Sink {
        sink.came += work.records;
        sink.taken += work.records;
    } else {
        sink.came += sums.sent.saturating_sub(before.sent);
        sink.taken += sums.taken.saturating_sub(before.taken);
        sink.again += again;
    }
    sink.work += work;
}

fn queue_row(
    queue: &str,
    (begin, end, all): (&Sums, &Sums, &Sums),
    waiting: &BTreeMap<String, Waiting>,
    report: &mut Report,
) -> QueueRow {
    let none = QueueSums::default();
    let of = |sums: &Sums| {
        let QueueSums { sent, taken, .. } = sums.queues.get(queue).unwrap_or(&none);
        let lines = sums.lines.get(queue).into_iter().flat_map(BTreeMap::values);
        (*sent, *taken, lines.map(|line| line.again.0).fold(0, u64::saturating_add))
    };
    let ((sent_before, taken_before, again_before), (sent, taken, again)) = (of(begin), of(end));
    let now = open(queue, (begin, end, all), waiting);
    let row = QueueRow {
        queue: queue.to_owned(),
        sent: sent.saturating_sub(sent_before),
        taken: taken.saturating_sub(taken_before),
        packets_again: again.saturating_sub(again_before),
        packets_waiting: now.waiting,
        packets_missing: now
            .missing
            .saturating_add(now.unowned)
            .saturating_add(now.silent.as_ref().map_or(0, |(_, packets)| *packets)),
        packets_unsplit: now.unsplit.values().map(|(packets, _)| *packets).fold(0, u64::saturating_add),
    };
    report.unsplit.extend(now.unsplit.into_iter().map(|((member, deed), (packets, after_ms))| {
        let queue = queue.to_owned();
        Unsplit { queue, packets, member, deed, after_ms }
    }));
    let mut note = |what: String| report.differences.push(Difference { queue: queue.to_owned(), what });
    if now.missing > 0 {
        note(format!("{} packets were sent here, and nobody took them: they are lost", now.missing));
    }
    if now.unowned > 0 {
        note(format!(
            "{} packets were sent here, and whoever owned the queue then keeps no books: an agent of an older version, or one with \
             books_max_bytes = 0; if there was none, they are lost",
            now.unowned
        ));
    }
    if let Some((member, packets)) = &now.silent {
        note(format!(
            "{packets} packets were sent here, and the owner {member} has noted nothing since: it is frozen or stuck and holds them, \
             or they are lost; look whether it is alive, and ask again"
        ));
    }
    if now.surplus > 0 {
        note(format!("{} packets were taken that nobody sent", now.surplus));
    }
    let lines = end.lines.get(queue).into_iter().flatten();
    for ((sender, epoch), line) in lines.filter(|(_, line)| line.last_ms >= report.from_ms && line.is_whole()) {
        if line.records != line.sent_records {
            let (sent, taken) = (line.sent_records, line.records);
            note(format!(
                "the packets of {sender} in epoch {epoch} held {sent} records when sent, and {taken} when taken"
            ));
        }
    }
    row
}

/// Numbers of one sender that no owner noted, the first and the last.
struct Hole<'s> {
    sender: &'s (String, i64),
    range: (u64, u64),
    /// Later ones of this sender were settled.
    is_passed: bool,
    /// The present owner is so much further that it cannot have them: none of them waits in the queue.
    is_behind: bool,
}

/// What was sent to a queue in the window, by `begin` and `end`, and is not settled in any note.
fn open(queue: &str, (begin, end, all): (&Sums, &Sums, &Sums), waiting: &BTreeMap<String, Waiting>) -> Open {
    let (Some(lines), Some(known)) = (end.lines.get(queue), all.lines.get(queue)) else { return Open::default() };
    let (none, no_lines) = (BTreeMap::new(), BTreeMap::new());
    let before = begin.lines.get(queue).unwrap_or(&no_lines);
    let owners = Owners(all.owners.get(queue).unwrap_or(&none), waiting.get(queue).is_none_or(|now| now.is_consumed));
    let mut open = Open::default();
    // Packets that nobody could read, or tell apart, have been settled.
    let nameless = |sums: &Sums| sums.queues.get(queue).map_or(0, |sums| sums.unread.saturating_add(sums.unnumbered));
    let mut nameless = nameless(all).saturating_sub(nameless(begin));
    let now = waiting.get(queue).copied().unwrap_or_default();
    let (mut may_wait, mut rescued) = (now.ready.saturating_add(owners.held()), now.rescued);
    let mut holes: Vec<Hole<'_>> = Vec::new();
    for (sender, line) in lines {
        let Some(line_in_all) = known.get(sender) else { continue };
        let last = line_in_all.settled.last().unwrap_or_default();
        // What was sent before the window is another window's.
        let sent_before = before.get(sender).and_then(|line| line.sent).map_or(0, |(_, to)| to);
        let holes_in_window = line.missing_in(line_in_all).into_iter().filter(|(_, to)| *to > sent_before);
        holes.extend(holes_in_window.map(|(from, to)| Hole {
            sender,
            range: (from.max(sent_before.saturating_add(1)), to),
            is_passed: from <= last,
            is_behind: owners.is_behind(sender, to),
        }));
        surplus(&mut open, all, sender, before.get(sender), line, line_in_all);
    }
    // What is behind everything that was settled is what waits.
    holes.sort_by_key(|hole| hole.is_passed);
    for Hole { sender, range: (from, to), is_behind, .. } in holes {
        let mut left = (to - from).saturating_add(1);
        let mut explain = |by: &mut u64| {
            let explained = left.min(*by);
            (left, *by) = (left - explained, *by - explained);
            explained
        };
        open.waiting += if is_behind { 0 } else { explain(&mut may_wait) };
        open.waiting += explain(&mut rescued);
        explain(&mut nameless);
        if left == 0 {
            continue;
        }
        let times = known.get(sender).map_or((i64::MIN, i64::MIN), |line| (line.sent_ms, line.last_ms));
        match owners.at_fault(sender, times, (from, to)) {
            Some(Fault::Died(member, last_ms)) => open.unsplit(&member, "settled", left, Some(last_ms)),
            Some(Fault::Unowned) => open.unowned = open.unowned.saturating_add(left),
            Some(Fault::Silent(member)) => {
                let (_, packets) = open.silent.get_or_insert((member, 0));
                *packets = packets.saturating_add(left);
            }
            None => open.missing = open.missing.saturating_add(left),
        }
    }
    open
}

/// Packets that were taken in the window, and that no note of their sender tells of.
fn surplus(
    open: &mut Open,
    all: &Sums,
    (sender, epoch): &(String, i64),
    before: Option<&Line>,
    then: &Line,
    line: &Line,
) {
    let packets = then.extra_in(line).saturating_sub(before.map_or(0, |before| before.extra_in(line)));
    // Nothing is in those by which an agent looks for a queue; and of what a person put back, nobody keeps books.
    let is_by_hand = *epoch == 0 && (sender.starts_with(BY_HAND) || sender.contains(LOOKS));
    if packets == 0 || is_by_hand || line.sent.is_none() && all.is_cut() {
        return;
    }
    let (member, is_over) = match &line.ownership {
        Some(ownership) => (ownership.2.as_str(), all.is_over(ownership)),
        None => (sender.as_str(), all.has_ended(sender, *epoch)),
    };
    let last_ms = line.ownership.is_some().then_some(line.last_ms);
    if !is_over {
        return open.unsplit(member, "sent", packets, last_ms);
    }
    // One packet is on its way at a time: the broker had it, and the connection was lost before the sender knew.
    let next = line.sent.map_or(0, |(_, to)| to).saturating_add(1);
    let unconfirmed = then.settled.count_in(next, next).min(packets);
    if unconfirmed > 0 {
        open.unsplit(member, "unconfirmed", unconfirmed, last_ms);
    }
    open.surplus = open.surplus.saturating_add(packets - unconfirmed);
}

impl Open {
    fn unsplit(&mut self, member: &str, deed: &'static str, more: u64, last_ms: Option<i64>) {
        let (packets, after_ms) = self.unsplit.entry((member.to_owned(), deed)).or_default();
        (*packets, *after_ms) = (packets.saturating_add(more), (*after_ms).max(last_ms));
    }
}

/// What became of records, for those who only have a report.
impl SinkRow {
    /// What was dropped by definition: what went into transformers and did not come out.
    pub fn dropped(&self) -> u64 {
        let Work { transformed, made, .. } = self.work;
        transformed.saturating_sub(made)
    }
}
