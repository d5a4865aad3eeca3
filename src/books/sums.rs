//! Notes, added up. Those of one process come in order, those of several processes in any order; one that comes twice counts once.

use std::collections::{BTreeMap, BTreeSet};

use super::line::{Line, Ownership};
use super::note::{Entry, Kind, Note, Offered, Packets, Work};

/// Where the oldest notes were cut off, the other half of what the first ones tell may be gone; and in the first seconds of a stream,
/// owners had no place to note that they began. For so long nothing is compared.
const BEGINNING_MS: i64 = 5_000;
/// Ownerships that did not come out even, which are told of.
const UNEVEN_MAX: usize = 100;
/// Lines that are remembered. What is whole and was not heard of for longest is forgotten first.
const LINES_MAX: usize = 500_000;

/// What all notes so far add up to.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    /// The oldest notes are cut off.
    is_cut: bool,
    /// The earliest time in a note.
    pub(super) first_ms: Option<i64>,
    /// The latest.
    pub(super) last_ms: Option<i64>,
    /// How many notes there are.
    pub(super) notes: u64,
    /// Notes of which others of their process tell, and that are not there.
    pub(super) notes_missing: u64,
    /// The number and the time of the last note.
    processes: BTreeMap<(String, String), (u64, i64)>,
    /// Processes that work alone: what notifications give goes to their own sinks.
    alone: BTreeSet<(String, String)>,
    /// By name.
    pub(super) queues: BTreeMap<String, QueueSums>,
    /// By queue, then by sender and epoch.
    pub(super) lines: BTreeMap<String, BTreeMap<(String, i64), Line>>,
    lines_known: usize,
    /// Of sinks, by name: the records that main queues gave.
    pub(super) given: BTreeMap<String, u64>,
    /// Of these, what agents alone gave.
    pub(super) given_alone: BTreeMap<String, u64>,
    /// By queue and epoch.
    pub(super) owners: BTreeMap<String, BTreeMap<(i64, String), Owner>>,
    /// Ownerships that were over, and did not come out even: when, which queue, and what is wrong.
    pub(super) uneven: Vec<(i64, String, String)>,
}

/// What became of the messages of one queue.
#[derive(Debug, Clone, Default)]
pub(super) struct QueueSums {
    pub(super) kind: Kind,
    pub(super) sink: Option<String>,
    pub(super) publisher: Option<String>,
    pub(super) settled: u64,
    pub(super) again: u64,
    pub(super) returned: u64,
    pub(super) unread: u64,
    pub(super) unnumbered: u64,
    pub(super) nothing: u64,
    pub(super) went_on: u64,
    pub(super) given: u64,
    pub(super) packets: u64,
    pub(super) taken: u64,
    pub(super) work: Work,
    pub(super) publishers: BTreeMap<String, Offered>,
    /// Records that others noted to have sent here.
    pub(super) sent: u64,
}

/// One ownership of a queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Owner {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    /// It is noted from its beginning on.
    begun: bool,
    /// All that it settled is noted.
    pub(super) over: bool,
    /// It works alone, perhaps beside others.
    pub(super) alone: bool,
    pub(super) held: u64,
    pub(super) prefetch: u64,
    /// The first and the last number that it settled, by sender and epoch.
    pub(super) numbers: BTreeMap<(String, i64), (u64, u64)>,
    settled: u64,
    told_apart: u64,
    returned: u64,
    given: u64,
    sent: u64,
    taken: u64,
    worked: u64,
}

impl Sums {
    /// Nothing yet; of notes whose oldest are cut off, or of all there ever were.
    pub fn new(is_cut: bool) -> Sums {
        Sums { is_cut, ..Sums::default() }
    }

    /// The time of the newest note, in milliseconds since 1970.
    pub fn last_ms(&self) -> Option<i64> {
        self.last_ms
    }

    /// The time of the oldest note, in milliseconds since 1970.
    pub fn first_ms(&self) -> Option<i64> {
        self.first_ms
    }

    /// Whether the oldest notes are cut off.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The queues that notes tell of, and that may have messages: with each whether it is a main queue.
    pub fn queues(&self) -> BTreeMap<&str, bool> {
        let noted = self.queues.iter().filter(|(_, sums)| sums.kind != Kind::Sink);
        let noted = noted.map(|(queue, sums)| (queue.as_str(), sums.kind == Kind::Main));
        self.lines.keys().map(|queue| (queue.as_str(), false)).chain(noted).collect()
    }

    /// Adds a note.
    pub fn add(&mut self, note: &Note) {
        let process = (note.member.clone(), note.process.clone());
        let before = self.processes.get(&process).copied();
        if before.is_some_and(|(before, _)| note.number <= before) {
            return;
        }
        // Of a process that began before the cut, the first is not there.
        if before.is_some() || !self.is_cut {
            let expected = before.map_or(0, |(before, _)| before).saturating_add(1);
            self.notes_missing = self.notes_missing.saturating_add(note.number.saturating_sub(expected));
        }
        if note.entries.iter().any(|entry| entry.kind == Kind::Sink) {
            self.alone.insert(process.clone());
        }
        let is_alone = self.alone.contains(&process);
        // What a note tells of happened since the one before, which may have waited for long.
        let since_ms = before.map_or(note.time_ms, |(_, before_ms)| before_ms.min(note.time_ms));
        self.processes.insert(process, (note.number, note.time_ms));
        self.notes += 1;
        self.first_ms = Some(self.first_ms.map_or(note.time_ms, |first| first.min(note.time_ms)));
        self.last_ms = Some(self.last_ms.map_or(note.time_ms, |last| last.max(note.time_ms)));
        let compares = self.first_ms.is_some_and(|first| since_ms.saturating_sub(first) >= BEGINNING_MS);
        for entry in &note.entries {
            self.add_entry(&note.member, (since_ms, note.time_ms), entry, (compares, is_alone));
        }
        self.forget_lines();
    }

    fn add_entry(
        &mut self,
        member: &str,
        (since_ms, time_ms): (i64, i64),
        entry: &Entry,
        (compares, is_alone): (bool, bool),
    ) {
        let ownership = (entry.queue.clone(), entry.epoch, member.to_owned());
        let mut sent_records = 0_u64;
        for sent in &entry.sent {
            let packets = &sent.packets;
            if sent.publisher.is_none() {
                sent_records = sent_records.saturating_add(packets.records);
            }
            let kind = if sent.publisher.is_some() { Kind::Overflow } else { Kind::Pipeline };
            let to =
                self.queues.entry(sent.queue.clone()).or_insert_with(|| QueueSums { kind, ..QueueSums::default() });
            to.sent = to.sent.saturating_add(packets.records);
            to.sink = to.sink.take().or_else(|| sent.sink.clone());
            to.publisher = to.publisher.take().or_else(|| sent.publisher.clone());
            let line = self.line(&sent.queue, packets);
            line.last_ms = line.last_ms.max(time_ms);
            line.ownership = Some(ownership.clone());
            line.sent(packets, since_ms);
            if !compares {
                line.floor = line.floor.max(packets.to);
            }
        }
        let mut taken = 0_u64;
        for packets in &entry.packets {
            taken = taken.saturating_add(packets.records);
            let line = self.line(&entry.queue, packets);
            line.last_ms = line.last_ms.max(time_ms);
            line.settled(packets);
            if !compares {
                line.floor = line.floor.max(packets.to);
            }
        }
        let given = entry.given.values().copied().fold(0, u64::saturating_add);
        for (sink, records) in &entry.given {
            let known = self.given.entry(sink.clone()).or_default();
            *known = known.saturating_add(*records);
            if is_alone {
                let known = self.given_alone.entry(sink.clone()).or_default();
                *known = known.saturating_add(*records);
            }
        }
        self.queues.entry(entry.queue.clone()).or_default().add(entry, (given, taken));
        let owner = self.owners.entry(entry.queue.clone()).or_default().entry((entry.epoch, member.to_owned()));
        let owner = owner.or_insert_with(|| Owner { first_ms: time_ms, ..Owner::default() });
        owner.alone |= is_alone;
        owner.add(entry, time_ms, (given, sent_records, taken));
        if owner.over && owner.begun {
            let wrong = owner.uneven(entry.kind);
            if let Some(wrong) = wrong.filter(|_| self.uneven.len() < UNEVEN_MAX) {
                self.uneven.push((
                    time_ms,
                    entry.queue.clone(),
                    format!("{wrong} (owner {member}, epoch {})", entry.epoch),
                ));
            }
        }
    }

    fn line(&mut self, queue: &str, packets: &Packets) -> &mut Line {
        let lines = self.lines.entry(queue.to_owned()).or_default();
        let line = lines.entry((packets.sender.clone(), packets.epoch));
        if matches!(line, std::collections::btree_map::Entry::Vacant(_)) {
            self.lines_known += 1;
        }
        line.or_default()
    }

    fn forget_lines(&mut self) {
        if self.lines_known <= LINES_MAX {
            return;
        }
        let mut whole: Vec<(i64, String, (String, i64))> = Vec::new();
        for (queue, lines) in &self.lines {
            let those = lines.iter().filter(|(_, line)| line.is_whole());
            whole.extend(those.map(|(sender, line)| (line.last_ms, queue.clone(), sender.clone())));
        }
        whole.sort_unstable();
        for (_, queue, sender) in whole.into_iter().take(LINES_MAX / 10) {
            if self.lines.get_mut(&queue).is_some_and(|lines| lines.remove(&sender).is_some()) {
                self.lines_known -= 1;
            }
        }
    }

    /// Whether all of some ownership of a member in an epoch is noted.
    pub(super) fn has_ended(&self, member: &str, epoch: i64) -> bool {
        let key = (epoch, member.to_owned());
        self.owners.values().filter_map(|owners| owners.get(&key)).any(|owner| owner.over)
    }

    /// Whether all of an ownership is noted.
    pub(super) fn is_over(&self, (queue, epoch, member): &Ownership) -> bool {
        let owners = self.owners.get(queue);
        owners.and_then(|owners| owners.get(&(*epoch, member.clone()))).is_some_and(|owner| owner.over)
    }
}

impl QueueSums {
    fn add(&mut self, entry: &Entry, (given, taken): (u64, u64)) {
        self.kind = entry.kind;
        self.sink = self.sink.take().or_else(|| entry.sink.clone());
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.settled, entry.settled);
        add(&mut self.again, entry.again);
        add(&mut self.returned, entry.returned);
        add(&mut self.unread, entry.unread);
        add(&mut self.unnumbered, entry.unnumbered);
        add(&mut self.nothing, entry.nothing);
        add(&mut self.went_on, entry.went_on);
        add(&mut self.given, given);
        add(&mut self.taken, taken);
        let packets = entry.packets.iter().map(|p| p.to.saturating_sub(p.from).saturating_add(1));
        add(&mut self.packets, packets.fold(entry.unnumbered, u64::saturating_add));
        self.work += entry.work;
        for (publisher, offered) in &entry.publishers {
            *self.publishers.entry(publisher.clone()).or_default() += *offered;
        }
    }
}

impl Owner {
    fn add(&mut self, entry: &Entry, time_ms: i64, (given, sent, taken): (u64, u64, u64)) {
        self.first_ms = self.first_ms.min(time_ms);
        self.last_ms = self.last_ms.max(time_ms);
        (self.begun, self.over) = (self.begun || entry.begun, self.over || entry.over);
        (self.held, self.prefetch) = (entry.held, entry.prefetch);
        for packets in &entry.packets {
            let sender = (packets.sender.clone(), packets.epoch);
            let (first, last) = self.numbers.entry(sender).or_insert((packets.from, packets.to));
            (*first, *last) = ((*first).min(packets.from), (*last).max(packets.to));
        }
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.settled, entry.settled);
        let told_apart = entry.went_on.saturating_add(entry.nothing).saturating_add(entry.unread);
        add(&mut self.told_apart, told_apart);
        // What is not told apart may have been settled twice, too.
        add(&mut self.returned, entry.returned.saturating_add(entry.unnumbered));
        add(&mut self.given, given);
        add(&mut self.sent, sent);
        add(&mut self.taken, taken);
        add(&mut self.worked, entry.work.records);
    }

    /// What does not come out even, now that it is over. What came of a message that went back counts on one side only.
    fn uneven(&self, kind: Kind) -> Option<String> {
        let Owner { settled, told_apart, returned, given, sent, taken, worked, .. } = *self;
        let short = |what: &str, one: u64, other: u64| {
            (one > other || one < other && returned == 0).then(|| format!("{what}: {one}, and {other}"))
        };
        match kind {
            Kind::Main if settled != told_apart => Some(format!(
                "{settled} notifications were settled, and {told_apart} went on, gave nothing or were parked"
            )),
            // An agent alone sends nothing.
            Kind::Main if sent == 0 => None,
            Kind::Main => short("records of settled notifications, and in packets that queues confirmed", given, sent),
            Kind::Pipeline | Kind::Overflow | Kind::Old => {
                short("records in settled packets, and worked on", taken, worked)
            }
            Kind::Sink => None,
        }
    }
}
