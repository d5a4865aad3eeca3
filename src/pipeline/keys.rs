//! The keys of a pipeline file: those that are read here, those that stand elsewhere, those that others read.

use super::kind::Kind;
use crate::model::Keys;

/// The keys of a pipeline file.
pub(super) const FILE: Keys<'static> =
    Keys { what: "a section of a pipeline file", known: &["sources", "sinks"], elsewhere: &[], foreign: &[] };
/// The keys of a sink.
pub(super) const SINK: Keys<'static> = Keys {
    what: "a key of a sink",
    known: &["name", "transformers", "publishers"],
    elsewhere: &[
        ("meters", "to a source"),
        ("events", "to a source"),
        ("sinks", "to a source"),
        ("sources", "beside sinks, at the top of the file"),
        ("parameters", "to a transformer"),
    ],
    foreign: &[],
};
const SAMPLES_ELSEWHERE: &[(&str, &str)] = &[
    ("events", "to a source of event_pipeline.yaml"),
    ("publishers", "to a sink"),
    ("transformers", "to a sink"),
    ("parameters", "to a transformer of a sink"),
];
const EVENTS_ELSEWHERE: &[(&str, &str)] = &[
    ("meters", "to a source of pipeline.yaml"),
    ("publishers", "to a sink"),
    ("transformers", "to a sink of pipeline.yaml"),
];
/// What polling agents read of the sources until 8.0, and one more name of `meters` (Ceilometer reference §5.1).
const FOREIGN: &[&str] = &["counters", "interval", "resources", "discovery", "triggers", "max_polling*"];

/// The keys of a source.
pub(super) fn of_source(kind: Kind) -> Keys<'static> {
    let (known, elsewhere): (&[&str], &[(&str, &str)]) = match kind {
        Kind::Samples => (&["name", "meters", "sinks"], SAMPLES_ELSEWHERE),
        Kind::Events => (&["name", "events", "sinks"], EVENTS_ELSEWHERE),
    };
    Keys { what: "a key of a source", known, elsewhere, foreign: FOREIGN }
}
