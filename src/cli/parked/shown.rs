//! What `nephoscope parked` prints, as text and as JSON.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::SecondsFormat;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::agent::parked::{Outcome, Parked, Seen};
use crate::cli::cluster::{Answer, table};

/// A parked message without its body.
#[derive(Serialize)]
pub(super) struct Row {
    id: String,
    parked_at: Option<String>,
    reason: String,
    text: String,
    content: &'static str,
    event_type: Option<String>,
    sink: Option<String>,
    publisher: Option<String>,
    pipeline: Option<String>,
    message_id: Option<String>,
    origin: String,
    attempts: Option<u32>,
    member: String,
}

impl Row {
    fn of(parked: &Parked) -> Row {
        let label = parked.label.clone();
        Row {
            id: parked.id.clone(),
            parked_at: label.time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            reason: label.reason,
            text: label.text,
            content: label.content.name(),
            event_type: label.event_type,
            sink: Some(label.whose.sink).filter(|sink| !sink.is_empty()),
            publisher: label.whose.publisher,
            pipeline: label.whose.pipeline,
            message_id: label.whose.message_id,
            origin: label.origin,
            attempts: label.attempts,
            member: label.member,
        }
    }

    /// What it came from: the publisher that refused it, or the queue.
    fn from(&self) -> &str {
        self.publisher.as_deref().unwrap_or(&self.origin)
    }
}

/// `parked list`.
#[derive(Serialize)]
pub(super) struct List {
    queue: String,
    /// In the queue when the look began.
    messages: u64,
    /// Of these, like what was asked for.
    matching: usize,
    by_reason: BTreeMap<String, u64>,
    /// Messages that were written anew because they had come back often, and those that the queue took no copy of.
    renewed: u64,
    not_renewed: u64,
    rows: Vec<Row>,
}

impl List {
    /// Of nothing yet.
    pub(super) fn new(queue: &str) -> List {
        let (by_reason, rows) = (BTreeMap::new(), Vec::new());
        List { queue: queue.to_owned(), messages: 0, matching: 0, by_reason, renewed: 0, not_renewed: 0, rows }
    }

    /// One more.
    pub(super) fn add(&mut self, parked: &Parked) {
        *self.by_reason.entry(parked.label.reason.clone()).or_default() += 1;
        self.rows.push(Row::of(parked));
    }

    /// The whole, the oldest first.
    pub(super) fn of(mut self, seen: Seen) -> List {
        self.rows.sort_by(|one, other| (&one.parked_at, &one.id).cmp(&(&other.parked_at, &other.id)));
        let Seen { all, renewed, not_renewed, .. } = seen;
        List { messages: all, matching: self.rows.len(), renewed, not_renewed, ..self }
    }
}

impl Answer for List {
    fn text(&self) -> String {
        let mut out = format!("{} messages in {}, {} of them shown\n", self.messages, self.queue, self.matching);
        if self.rows.is_empty() {
            return out;
        }
        let reasons: Vec<[String; 2]> =
            self.by_reason.iter().map(|(reason, count)| [plain(reason), count.to_string()]).collect();
        let row = |row: &Row| {
            [
                row.id.clone(),
                row.parked_at.clone().unwrap_or_default(),
                plain(&row.reason),
                row.content.to_owned(),
                plain(row.event_type.as_deref().unwrap_or_default()),
                plain(row.from()),
                row.attempts.map(|attempts| attempts.to_string()).unwrap_or_default(),
            ]
        };
        let rows: Vec<[String; 7]> = self.rows.iter().map(row).collect();
        let titles = ["ID", "PARKED", "REASON", "CONTENT", "EVENT TYPE", "FROM", "ATTEMPTS"];
        // Writing to a string cannot fail.
        let _written = write!(out, "\n{}\n{}", table(["REASON", "MESSAGES"], &reasons), table(titles, &rows));
        out
    }
}

/// A parked message with everything: an element of `parked show`, a line of `parked export`.
#[derive(Serialize)]
pub(super) struct Record {
    #[serde(flatten)]
    row: Row,
    headers: BTreeMap<String, String>,
    /// The body, if it is UTF-8 …
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// … or else.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl Record {
    /// Of a message.
    pub(super) fn of(parked: &Parked) -> Record {
        let (body, body_base64) = match std::str::from_utf8(&parked.body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(BASE64_STANDARD.encode(&parked.body))),
        };
        Record { row: Row::of(parked), headers: parked.headers.clone(), body, body_base64 }
    }
}

/// `parked show`.
#[derive(Serialize, Default)]
pub(super) struct Records(pub(super) Vec<Record>);

impl Answer for Records {
    fn text(&self) -> String {
        let mut out = String::new();
        for (n, Record { row, headers, body, body_base64 }) in self.0.iter().enumerate() {
            let between = if n > 0 { "\n" } else { "" };
            // Writing to a string cannot fail.
            let _written = writeln!(out, "{between}id: {}", row.id);
            for (name, value) in headers {
                let _written = writeln!(out, "{}: {}", plain(name.trim_start_matches("x-nephoscope-")), plain(value));
            }
            let _written = match (body, body_base64) {
                (Some(text), _) => writeln!(out, "\n{}", plain(text)),
                (None, base64) => writeln!(out, "\nbase64: {}", base64.as_deref().unwrap_or_default()),
            };
        }
        out
    }
}

/// `parked requeue` and `parked drop`.
#[derive(Serialize)]
pub(super) struct Done {
    /// Whether anything was changed.
    changed: bool,
    #[serde(skip)]
    verb: [&'static str; 2],
    #[serde(skip)]
    title: &'static str,
    messages: u64,
    /// Where they went, or why they were there.
    by: BTreeMap<String, u64>,
    /// What stays parked, with the reason.
    left: BTreeMap<String, u64>,
}

impl Done {
    /// Messages were put back, or would be.
    pub(super) fn requeued(changed: bool, outcome: Outcome) -> Done {
        let messages = outcome.to.values().sum();
        let left = outcome.left.into_iter().map(|(refusal, count)| (refusal.0, count)).collect();
        let verb = ["put back", "would be put back"];
        Done { changed, verb, title: "QUEUE", messages, by: outcome.to, left }
    }

    /// Messages are dropped, or would be.
    pub(super) fn dropped(changed: bool) -> Done {
        let (by, left) = (BTreeMap::new(), BTreeMap::new());
        Done { changed, verb: ["dropped", "would be dropped"], title: "REASON", messages: 0, by, left }
    }

    /// One more.
    pub(super) fn drop(&mut self, parked: &Parked) {
        self.messages += 1;
        *self.by.entry(parked.label.reason.clone()).or_default() += 1;
    }
}

impl Answer for Done {
    fn text(&self) -> String {
        let rows = |counts: &BTreeMap<String, u64>| -> Vec<[String; 2]> {
            counts.iter().map(|(what, count)| [count.to_string(), plain(what)]).collect()
        };
        let mut out = format!("{} messages {}\n", self.messages, self.verb[usize::from(!self.changed)]);
        // Writing to a string cannot fail.
        if !self.by.is_empty() {
            let _written = write!(out, "\n{}", table(["MESSAGES", self.title], &rows(&self.by)));
        }
        if !self.left.is_empty() {
            let _written = write!(out, "\n{}", table(["MESSAGES", "STAY PARKED BECAUSE"], &rows(&self.left)));
        }
        if !self.changed && self.messages > 0 {
            out.push_str("\nnothing is changed yet; add --yes to do it\n");
        }
        if self.by.keys().any(|queue| queue.contains(".overflow.")) {
            out.push_str("\nagents look for new overflow queues every 10 s\n");
        }
        out
    }
}

/// A text that a terminal shows as it is, on one line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
