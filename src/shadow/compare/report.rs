//! What came of a comparison: counts, the kinds of difference with examples, and the answer in one sentence.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::fields;
use crate::model::{Dict, Value, json, shown};
use crate::shadow::copies::Lost;
use crate::shadow::theirs::{Kind, Record};

/// Kinds of difference that are told apart.
pub const ROWS_MAX: usize = 1_000;
/// Examples of each.
pub const EXAMPLES_MAX: usize = 3;
/// Characters of a value in an example, and of a name.
const SHOWN_CHARS_MAX: usize = 160;
/// Fields that are compared; ours has all of them.
const FIELDS: [(Kind, &[&str]); 2] = [
    (
        Kind::Sample,
        &[
            "type",
            "unit",
            "volume",
            "user_id",
            "user_name",
            "project_id",
            "project_name",
            "resource_metadata",
            "source",
            "monotonic_time",
        ],
    ),
    (Kind::Event, &["generated", "traits", "raw"]),
];

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No difference.
    Same,
    /// At least one difference.
    Differs,
    /// Nothing could be compared, or what was missed may be the difference.
    Unknown,
}

/// What is different.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// We would publish it, and they did not.
    MissingThere,
    /// They published it, and we would not.
    MissingHere,
    /// A field has another value.
    Field(String),
}

/// Records of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Of {
    /// Ours.
    pub ours: u64,
    /// Theirs.
    pub theirs: u64,
    /// Paired, and equal.
    pub same: u64,
    /// Paired, and different in at least one field.
    pub different: u64,
    /// Without a pair, and outside of the time that both have seen.
    pub not_judged: u64,
    /// Fields that none of theirs has.
    pub fields_not_compared: Vec<&'static str>,
}

/// One kind of difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Samples or events.
    pub record: Kind,
    /// The meter or event type.
    pub name: String,
    /// What is different.
    pub what: What,
    /// How often.
    pub count: u64,
    /// A few of them.
    pub examples: Vec<String>,
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The answer.
    pub verdict: Verdict,
    /// The same in a sentence.
    pub sentence: String,
    /// By kind of record.
    pub records: BTreeMap<Kind, Of>,
    /// The differences, the most frequent first.
    pub differences: Vec<Difference>,
    /// Differences of kinds that no row had room for.
    pub other_differences: u64,
    /// The times of the first and the last notification.
    pub window: Option<(String, String)>,
    #[serde(skip)]
    rows: BTreeMap<(Kind, String, What), (u64, Vec<String>)>,
}

impl Report {
    pub(super) fn new(ours: &BTreeMap<Kind, u64>) -> Report {
        let of = |kind| (kind, Of { ours: ours.get(&kind).copied().unwrap_or_default(), ..Of::default() });
        Report {
            verdict: Verdict::Unknown,
            sentence: String::new(),
            records: BTreeMap::from([of(Kind::Sample), of(Kind::Event)]),
            differences: Vec::new(),
            other_differences: 0,
            window: None,
            rows: BTreeMap::new(),
        }
    }

    fn of(&mut self, kind: Kind) -> &mut Of {
        self.records.entry(kind).or_default()
    }

    pub(super) fn paired(&mut self, kind: Kind) {
        self.of(kind).same += 1;
    }

    pub(super) fn differs(&mut self, theirs: &Record, ours: &Dict, paths: &[String]) {
        self.of(theirs.kind).different += 1;
        let nothing = || "nothing".to_owned();
        let value = |of: &Dict, path: &str| fields::at(of, path).map_or_else(nothing, value_shown);
        for path in paths {
            let example =
                format!("{}: here {}, there {}", which(theirs), value(ours, path), value(&theirs.fields, path));
            self.row(theirs, What::Field(shown::on_one_line(path, SHOWN_CHARS_MAX)), example);
        }
    }

    pub(super) fn missing_here(&mut self, theirs: &Record, judged: bool) {
        self.missing(theirs, What::MissingHere, judged);
    }

    pub(super) fn missing_there(&mut self, ours: &Record, judged: bool) {
        self.missing(ours, What::MissingThere, judged);
    }

    fn missing(&mut self, record: &Record, what: What, judged: bool) {
        if judged {
            self.row(record, what, which(record));
        } else {
            self.of(record.kind).not_judged += 1;
        }
    }

    fn row(&mut self, record: &Record, what: What, example: String) {
        let key = (record.kind, shown::on_one_line(record.name(), SHOWN_CHARS_MAX), what);
        if !self.rows.contains_key(&key) && self.rows.len() >= ROWS_MAX {
            self.other_differences += 1;
            return;
        }
        let (count, examples) = self.rows.entry(key).or_default();
        *count += 1;
        if examples.len() < EXAMPLES_MAX {
            examples.push(example);
        }
    }

    pub(super) fn end(
        &mut self,
        theirs: &BTreeMap<Kind, u64>,
        their_fields: &BTreeMap<Kind, BTreeSet<String>>,
        window: Option<(i64, i64)>,
        lost: Lost,
    ) {
        for (kind, all) in FIELDS {
            let of = self.of(kind);
            of.theirs = theirs.get(&kind).copied().unwrap_or_default();
            if let Some(has) = their_fields.get(&kind) {
                of.fields_not_compared = all.iter().copied().filter(|field| !has.contains(*field)).collect();
            }
        }
        let rows = std::mem::take(&mut self.rows);
        self.differences = rows
            .into_iter()
            .map(|((record, name, what), (count, examples))| Difference { record, name, what, count, examples })
            .collect();
        self.differences.sort_by_key(|difference| std::cmp::Reverse(difference.count));
        let stamp = |micros| {
            let time = chrono::DateTime::from_timestamp_micros(micros);
            time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)).unwrap_or_default()
        };
        self.window = window.map(|(first, last)| (stamp(first), stamp(last)));
        self.judge(lost);
    }

    /// The answer, and the sentence.
    fn judge(&mut self, lost: Lost) {
        let differences = self.differences.iter().map(|one| one.count).sum::<u64>() + self.other_differences;
        let same: u64 = self.records.values().map(|of| of.same).sum();
        let only_here = self.other_differences == 0
            && self.differences.iter().all(|difference| difference.what == What::MissingHere);
        let lossy = lost.is_any();
        self.verdict = match (differences, same) {
            (0, 0) => Verdict::Unknown,
            (0, _) => Verdict::Same,
            _ if lossy && only_here => Verdict::Unknown,
            _ => Verdict::Differs,
        };
        let mut sentence = match self.verdict {
            Verdict::Same => format!("same: {}", self.counted(|of| of.same)),
            Verdict::Unknown if same == 0 => {
                "not known: nothing is in both windows; let shadow run while Ceilometer publishes to the files of --compare"
                    .to_owned()
            }
            Verdict::Unknown => format!(
                "not known: {differences} records are missing here, and the copy lost notifications ({lost}); run it again with a \
                 larger --max-queue or on a faster machine"
            ),
            Verdict::Differs => {
                let kinds = self.differences.len();
                let s = if kinds == 1 { "" } else { "s" };
                let mut told = format!("differs: {differences} differences of {kinds} kind{s}");
                if let Some(first) = self.differences.first() {
                    let _written = write!(told, ", most of them {}", first.in_words());
                }
                let _written = write!(told, "; {} are the same", self.counted(|of| of.same));
                told
            }
        };
        let gone: Vec<&str> =
            self.records.iter().filter(|(_, of)| of.ours > 0 && of.theirs == 0).map(|(kind, _)| kind.name()).collect();
        if self.verdict != Verdict::Unknown {
            for kind in gone {
                let _written = write!(sentence, "; {kind}s are not compared, because no file has any");
            }
        }
        self.sentence = sentence;
    }

    /// `5 samples and 3 events`
    fn counted(&self, count: impl Fn(&Of) -> u64) -> String {
        let counts: Vec<String> = self
            .records
            .iter()
            .filter(|(_, of)| of.ours + of.theirs > 0)
            .map(|(kind, of)| format!("{} {}s", count(of), kind.name()))
            .collect();
        if counts.is_empty() { "nothing".to_owned() } else { counts.join(" and ") }
    }
}

impl Difference {
    /// `volume of the sample image.size`
    pub fn in_words(&self) -> String {
        let (record, name) = (self.record.name(), &self.name);
        match &self.what {
            What::MissingThere => format!("{record} {name}, missing there"),
            What::MissingHere => format!("{record} {name}, missing here"),
            What::Field(field) => format!("{field} of the {record} {name}"),
        }
    }
}

/// Which record it is.
fn which(record: &Record) -> String {
    let field = |name| record.fields.get(name).map_or_else(|| "nothing".to_owned(), value_shown);
    match record.kind {
        Kind::Sample => format!("resource {} at {}", field("resource_id"), field("timestamp")),
        Kind::Event => format!("message {} at {}", field("message_id"), field("generated")),
    }
}

fn value_shown(value: &Value) -> String {
    shown::on_one_line(&json::to_string(value), SHOWN_CHARS_MAX)
}
