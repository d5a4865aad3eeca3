//! Ours beside theirs: what identifies a record pairs it, and what differs is counted by kind, with examples.
//!
//! Ours are kept while the window runs, up to a bound of bytes. Theirs are read when it is over, one by one. Only what is in both
//! windows counts: a record without a pair is judged if it is from between the first and the last notification that the other side
//! has seen, with a margin for clocks that differ.
//!
//! Never here: reading files, waiting, printing.

mod fields;
mod report;

pub use report::{Difference, EXAMPLES_MAX, Of, ROWS_MAX, Report, Verdict, What};

use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher as _;

use super::copies::Lost;
use super::theirs::{self, Kind, Record};
use crate::model::{Dict, Value, json};

/// Bytes that records of theirs may take which wait for a better pair.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Records of one identity that are compared with one of theirs.
const CANDIDATES_MAX: usize = 64;
/// What one record of ours costs besides its text, about.
const OVERHEAD_BYTES: usize = 160;

/// Ours, while they come.
pub struct Comparison {
    held: BTreeMap<u128, VecDeque<Held>>,
    bytes: usize,
    bytes_max: usize,
    /// The times of the first and the last notification, in microseconds since 1970.
    window: Option<(i64, i64)>,
    counts: BTreeMap<Kind, u64>,
}

/// One record of ours.
struct Held {
    kind: Kind,
    /// How many sinks publish it.
    copies: u16,
    /// How many of theirs were paired with it.
    seen: u16,
    /// The time of its notification.
    sent: Option<i64>,
    /// Its fields, as JSON.
    text: Box<[u8]>,
}

/// What is known of theirs.
#[derive(Default)]
struct Theirs {
    counts: BTreeMap<Kind, u64>,
    windows: BTreeMap<Kind, (i64, i64)>,
    fields: BTreeMap<Kind, BTreeSet<String>>,
}

/// Theirs being paired with ours.
pub struct Pairing {
    ours: Comparison,
    theirs: Theirs,
    /// Theirs that are equal to none of ours.
    waiting: Vec<Record>,
    waiting_bytes: usize,
    report: Report,
    margin: i64,
}

impl Comparison {
    /// Nothing yet; `bytes_max` bounds what is kept.
    pub fn new(bytes_max: usize) -> Comparison {
        Comparison { held: BTreeMap::new(), bytes: 0, bytes_max, window: None, counts: BTreeMap::new() }
    }

    /// Whether no more can be kept: the window must end.
    pub fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Keeps what the sinks would publish of one notification. `sent` is its time.
    pub fn take(&mut self, sent: Option<i64>, published: impl IntoIterator<Item = (String, Record)>) {
        if let Some(sent) = sent {
            let (first, last) = self.window.unwrap_or((sent, sent));
            self.window = Some((first.min(sent), last.max(sent)));
        }
        // What several sinks publish is one record; what one sink publishes twice is two.
        let mut of_notification: Vec<(Record, Vec<String>)> = Vec::new();
        for (sink, record) in published {
            let same = of_notification.iter_mut().find(|(other, sinks)| *other == record && !sinks.contains(&sink));
            match same {
                Some((_, sinks)) => sinks.push(sink),
                None => of_notification.push((record, vec![sink])),
            }
        }
        for (record, sinks) in of_notification {
            *self.counts.entry(record.kind).or_default() += 1;
            let mut text = Vec::with_capacity(512);
            json::write_dict(&record.fields, &mut text);
            self.bytes += text.len() + OVERHEAD_BYTES;
            let held = Held {
                kind: record.kind,
                copies: u16::try_from(sinks.len()).unwrap_or(u16::MAX),
                seen: 0,
                sent,
                text: text.into_boxed_slice(),
            };
            self.held.entry(key(&record)).or_default().push_back(held);
        }
    }

    /// Begins to pair; records of one side alone count if they are further than `margin_micros` from the ends of the windows.
    pub fn pair(self, margin_micros: i64) -> Pairing {
        let report = Report::new(&self.counts);
        Pairing {
            ours: self,
            theirs: Theirs::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            report,
            margin: margin_micros,
        }
    }
}

impl Pairing {
    /// Takes one of theirs.
    pub fn take(&mut self, record: Record) {
        self.theirs.note(&record);
        if self.pair_equal(&record) {
            return;
        }
        self.waiting_bytes += record.identity().len() + 1_024;
        self.waiting.push(record);
        if self.waiting_bytes > WAITING_BYTES_MAX {
            self.settle_waiting();
        }
    }

    /// Pairs a record with an equal one of ours, if there is one left: first with one that nobody has seen.
    fn pair_equal(&mut self, record: &Record) -> bool {
        let Some(candidates) = self.ours.held.get_mut(&key(record)) else { return false };
        let near = || candidates.iter().take(CANDIDATES_MAX).enumerate().filter(|(_, held)| held.kind == record.kind);
        let equal = |held: &Held| held.dict().is_some_and(|ours| fields::differing(&ours, &record.fields).is_empty());
        let unseen = near().find(|(_, held)| held.seen == 0 && equal(held));
        let Some((place, _)) = unseen.or_else(|| near().find(|(_, held)| held.seen > 0 && equal(held))) else {
            return false;
        };
        if see(candidates, place) {
            self.report.paired(record.kind);
        }
        true
    }

    /// Pairs what is equal to none of ours with the one that differs least.
    fn settle_waiting(&mut self) {
        self.waiting_bytes = 0;
        for record in std::mem::take(&mut self.waiting) {
            // More of ours may be near by now.
            if self.pair_equal(&record) {
                continue;
            }
            let mut none = VecDeque::new();
            let candidates = self.ours.held.get_mut(&key(&record)).unwrap_or(&mut none);
            let unseen = candidates.iter().enumerate().filter(|(_, held)| held.kind == record.kind && held.seen == 0);
            let nearest = unseen
                .take(CANDIDATES_MAX)
                .filter_map(|(place, held)| {
                    let ours = held.dict()?;
                    let differing = fields::differing(&ours, &record.fields);
                    Some((place, ours, differing))
                })
                .min_by_key(|(_, _, differing)| differing.len());
            if let Some((place, ours, differing)) = nearest {
                see(candidates, place);
                self.report.differs(&record, &ours, &differing);
            } else {
                let judged = self.ours.window.is_some_and(|window| within(window, self.margin, record.time()));
                self.report.missing_here(&record, judged);
            }
        }
    }

    /// The whole: what of ours has no pair either.
    pub fn finish(mut self, lost: Lost) -> Report {
        self.settle_waiting();
        let ours = std::mem::take(&mut self.ours.held);
        for held in ours.into_values().flatten().filter(|held| held.seen == 0) {
            let Some(fields) = held.dict() else { continue };
            let judged =
                self.theirs.windows.get(&held.kind).is_some_and(|window| within(*window, self.margin, held.sent));
            self.report.missing_there(&Record { kind: held.kind, fields }, judged);
        }
        self.report.end(&self.theirs.counts, &self.theirs.fields, self.ours.window, lost);
        self.report
    }
}

impl Theirs {
    fn note(&mut self, record: &Record) {
        *self.counts.entry(record.kind).or_default() += 1;
        if let Some(time) = record.time() {
            let window = self.windows.entry(record.kind).or_insert((time, time));
            *window = (window.0.min(time), window.1.max(time));
        }
        let fields = self.fields.entry(record.kind).or_default();
        // The names are those of `theirs`: there are few.
        for (name, _) in record.fields.iter().filter(|(name, _)| !fields.contains(*name)).collect::<Vec<_>>() {
            fields.insert(name.to_owned());
        }
    }
}

impl Held {
    fn dict(&self) -> Option<Dict> {
        match json::read(&self.text) {
            Ok(Value::Dict(dict)) => Some(dict),
            _ => None,
        }
    }
}

/// Pairs one of theirs with one of ours, which goes when all its sinks are seen; whether it is the first.
fn see(candidates: &mut VecDeque<Held>, place: usize) -> bool {
    let Some(held) = candidates.get_mut(place) else { return false };
    held.seen += 1;
    let first = held.seen == 1;
    if held.seen >= held.copies {
        candidates.remove(place);
    }
    first
}

/// Whether a time is inside a window and not at its ends.
fn within((first, last): (i64, i64), margin: i64, time: Option<i64>) -> bool {
    time.is_some_and(|time| first.saturating_add(margin) <= time && time <= last.saturating_sub(margin))
}

fn key(record: &Record) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(&record.identity());
    hasher.finish128().as_u128()
}

/// The time of a notification, in microseconds since 1970.
pub fn sent(timestamp: &Value) -> Option<i64> {
    theirs::micros(timestamp)
}

#[cfg(test)]
mod tests;
