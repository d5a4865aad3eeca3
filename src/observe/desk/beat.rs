//! The beat of a member: one JSON message of at most 64 KiB. `docs/formats.md` has the format.
//!
//! What is read may be of another version, or of somebody who wishes no good: every list and text is cut to a bound.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::latency::BUCKETS;
use super::minutes::{MINUTES_MAX, Minute};
use super::process::ProcessUse;

/// The format that is written, and the only one that is read.
pub const FORMAT: u32 = 1;
/// A larger beat is neither sent nor read.
pub const BEAT_BYTES_MAX: usize = 64 * 1024;
/// Queues of a beat, at most; the others are summed under [`OTHER`].
pub const QUEUES_MAX: usize = 160;
/// Publishers of a beat, at most.
const PUBLISHERS_MAX: usize = 64;
/// Definitions that complained, at most; the others are summed under [`OTHER`].
const COMPLAINTS_MAX: usize = 24;
/// Reasons, links and sentences, at most.
const SENTENCES_MAX: usize = 16;
/// The longest text, in bytes.
const TEXT_BYTES_MAX: usize = 240;
/// A beat that is too large has half of its queues, so often; then half of everything else too …
const HALVINGS_OF_QUEUES: u32 = 3;
/// … until nothing is left that could be long.
const HALVINGS_MAX: u32 = 10;
/// What is summed of all that has no place.
pub const OTHER: &str = "other";

/// What a member says of itself once a second. Numbers are totals since it started, where nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beat {
    /// The format of this message: 1.
    pub format: u32,
    /// The member's id.
    pub member: String,
    /// Its machine.
    pub host: String,
    /// The version of its program.
    pub version: String,
    /// Since when it runs, RFC 3339, UTC: another time is another process, whose totals begin at zero.
    pub started: String,
    /// Milliseconds since then, by a clock that nobody sets.
    pub uptime_ms: u64,
    /// `starting`, `running`, `silent`, `draining`.
    pub phase: String,
    /// What it waits for, in words.
    pub waiting_for: Vec<String>,
    /// Time for which its lease is certain, in milliseconds; nothing without a group.
    pub lease_margin_ms: Option<u64>,
    /// CPU time and memory.
    pub process: ProcessUse,
    /// Sums of all queues and publishers.
    pub totals: Totals,
    /// Times from taking to settling, of main queues and of all others, by bucket.
    pub latency: Latency,
    /// The queues that it should consume or still has.
    pub queues: Vec<QueueBeat>,
    /// The publishers of its sinks.
    pub publishers: Vec<PublisherBeat>,
    /// What it parked, by reason.
    pub parked: BTreeMap<String, u64>,
    /// How often a definition gave nothing for a notification, by its place.
    pub complaints: BTreeMap<String, u64>,
    /// Its connections that are not up, or blocked.
    pub links: BTreeMap<String, String>,
    /// Its last hour, oldest minute first.
    pub minutes: Vec<Minute>,
}

/// Sums of all queues and publishers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Notifications taken from main queues.
    pub received: u64,
    /// Samples made of them.
    pub samples: u64,
    /// Events made of them.
    pub events: u64,
    /// Samples and events that publishers accepted.
    pub published: u64,
    /// Messages, samples and events that were parked.
    pub parked: u64,
}

/// Times from taking to settling, by bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Of messages of main queues.
    pub main: Vec<u64>,
    /// Of messages of pipeline queues and all others.
    pub pipeline: Vec<u64>,
}

/// One queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueBeat {
    /// Its name in the group: `main:notifications.info`, or the name at the broker.
    pub queue: String,
    /// `main`, `pipeline` or `overflow`.
    pub kind: String,
    /// `waiting`, `opening`, `running`, `closing`.
    pub state: String,
    /// Since when it is in that state, RFC 3339, UTC.
    pub since: String,
    /// The epoch of its ownership, once it has one.
    pub epoch: Option<i64>,
    /// Why it is not open, in the broker's words.
    pub error: Option<String>,
    /// Messages taken from it: notifications, or packets of a pipeline queue.
    pub taken: u64,
    /// Messages settled.
    pub settled: u64,
    /// Messages that are taken and not settled.
    pub held: u64,
    /// How long the oldest of these is held, in seconds.
    pub oldest_s: Option<u64>,
    /// Messages that wait at the broker; nothing where it was not asked.
    pub ready: Option<u32>,
    /// Bytes written to its state log.
    pub log_bytes: u64,
}

/// One publisher of one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublisherBeat {
    /// The sink.
    pub sink: String,
    /// The publisher, a URL without secrets.
    pub publisher: String,
    /// Its circuit breaker: `closed` (works), `half-open`, `open` (left alone).
    pub breaker: String,
    /// Records that it accepted.
    pub accepted: u64,
    /// Calls that failed and were repeated.
    pub retries: u64,
    /// Records that it refused for good.
    pub refused: u64,
    /// Records that went to its overflow queue.
    pub overflowed: u64,
    /// Records that were offered to it and wait.
    pub waiting: u64,
    /// Since when they wait, RFC 3339, UTC.
    pub held_since: Option<String>,
    /// What it said last.
    pub why: Option<String>,
}

/// Why a message is no beat that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoBeat {
    /// It is larger than [`BEAT_BYTES_MAX`], or no JSON of a beat.
    Unreadable,
    /// It has another format.
    Format(u32),
}

/// How many of each list a beat has, at most.
struct Bounds {
    queues: usize,
    publishers: usize,
    complaints: usize,
    sentences: usize,
}

impl Bounds {
    /// After so many halvings.
    fn halved(times: u32) -> Bounds {
        let others = times.saturating_sub(HALVINGS_OF_QUEUES);
        Bounds {
            queues: QUEUES_MAX >> times,
            publishers: PUBLISHERS_MAX >> others,
            complaints: COMPLAINTS_MAX >> others,
            sentences: SENTENCES_MAX >> others,
        }
    }
}

impl Beat {
    /// The message, within its bound: as many queues as find room, and less of everything else where that is not enough.
    pub fn encode(mut self) -> Vec<u8> {
        self.format = FORMAT;
        let mut halvings = 0;
        loop {
            self.keep_to_bounds(&Bounds::halved(halvings));
            // Strings and numbers: writing them cannot fail.
            let bytes = serde_json::to_vec(&self).unwrap_or_default();
            if bytes.len() <= BEAT_BYTES_MAX || halvings == HALVINGS_MAX {
                return bytes;
            }
            halvings += 1;
        }
    }

    /// Reads a message.
    pub fn decode(bytes: &[u8]) -> Result<Beat, NoBeat> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Head {
            format: u32,
        }
        if bytes.len() > BEAT_BYTES_MAX {
            return Err(NoBeat::Unreadable);
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|_| NoBeat::Unreadable)?;
        if head.format != FORMAT {
            return Err(NoBeat::Format(head.format));
        }
        let mut beat: Beat = serde_json::from_slice(bytes).map_err(|_| NoBeat::Unreadable)?;
        if beat.member.is_empty() {
            return Err(NoBeat::Unreadable);
        }
        beat.keep_to_bounds(&Bounds::halved(0));
        Ok(beat)
    }

    /// Whether it says only that the member is there: that is all while nobody watches.
    pub fn is_knock(&self) -> bool {
        self.phase.is_empty()
    }

    fn keep_to_bounds(&mut self, bounds: &Bounds) {
        let texts = [&mut self.member, &mut self.host, &mut self.version, &mut self.started, &mut self.phase];
        texts.into_iter().for_each(cut);
        self.waiting_for.truncate(bounds.sentences);
        self.waiting_for.iter_mut().for_each(cut);
        sum_up(&mut self.queues, bounds.queues);
        for queue in &mut self.queues {
            [&mut queue.queue, &mut queue.kind, &mut queue.state, &mut queue.since].into_iter().for_each(cut);
            queue.error.iter_mut().for_each(cut);
        }
        self.publishers.truncate(bounds.publishers);
        for publisher in &mut self.publishers {
            [&mut publisher.sink, &mut publisher.publisher, &mut publisher.breaker].into_iter().for_each(cut);
            publisher.held_since.iter_mut().chain(publisher.why.iter_mut()).for_each(cut);
        }
        most(&mut self.parked, bounds.sentences);
        most(&mut self.complaints, bounds.complaints);
        let links = std::mem::take(&mut self.links).into_iter().take(bounds.sentences);
        self.links = links.map(|(name, state)| (short(name), short(state))).collect();
        self.latency.main.truncate(BUCKETS);
        self.latency.pipeline.truncate(BUCKETS);
        let surplus = self.minutes.len().saturating_sub(MINUTES_MAX);
        self.minutes.drain(..surplus);
    }
}

/// Keeps the first queues, and sums the others up in one.
fn sum_up(queues: &mut Vec<QueueBeat>, most: usize) {
    if queues.len() <= most {
        return;
    }
    let former = queues.iter().position(|queue| queue.queue == OTHER).map(|at| queues.remove(at));
    let rest = queues.split_off(most.min(queues.len()));
    let mut sum = former.unwrap_or_else(|| QueueBeat {
        queue: OTHER.to_owned(),
        kind: OTHER.to_owned(),
        state: "running".to_owned(),
        ..QueueBeat::default()
    });
    for queue in rest {
        sum.taken = sum.taken.saturating_add(queue.taken);
        sum.settled = sum.settled.saturating_add(queue.settled);
        sum.held = sum.held.saturating_add(queue.held);
        sum.log_bytes = sum.log_bytes.saturating_add(queue.log_bytes);
        sum.oldest_s = sum.oldest_s.max(queue.oldest_s);
        sum.ready = match (sum.ready, queue.ready) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
        };
    }
    queues.push(sum);
}

/// Keeps the largest counts, and sums the others up in one.
fn most(counts: &mut BTreeMap<String, u64>, most: usize) {
    let former = counts.remove(OTHER).unwrap_or(0);
    let mut all: Vec<(String, u64)> = std::mem::take(counts).into_iter().map(|(what, n)| (short(what), n)).collect();
    all.sort_by(|(one, a), (other, b)| b.cmp(a).then_with(|| one.cmp(other)));
    let rest = all.split_off(most.min(all.len()));
    let other = rest.into_iter().fold(former, |sum, (_, n)| sum.saturating_add(n));
    counts.extend(all);
    if other > 0 {
        let sum = counts.entry(OTHER.to_owned()).or_default();
        *sum = sum.saturating_add(other);
    }
}

fn short(mut text: String) -> String {
    cut(&mut text);
    text
}

/// Cuts a text to its bound, at a character.
fn cut(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - '…'.len_utf8()));
        text.push('…');
    }
}

#[cfg(test)]
#[path = "beat_tests.rs"]
mod tests;
