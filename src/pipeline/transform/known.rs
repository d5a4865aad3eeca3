//! The transformers there are, and what may be written of each.

use crate::model::Keys;

/// The transformers there are, each with the parameters it knows, and what it looks at in `source` and `target`.
pub(super) const KNOWN: [Known; 6] = [
    Known { name: "unit_conversion", parameters: &["source", "target"], source: &["unit", "map_from"], target: SCALED },
    Known { name: "rate_of_change", parameters: &["source", "target"], source: &["map_from"], target: SCALED },
    Known {
        name: "delta",
        parameters: &["source", "target", "growth_only"],
        source: &["map_from"],
        target: &["name", "map_to"],
    },
    Known { name: "accumulator", parameters: &["size"], source: &[], target: &[] },
    Known {
        name: "aggregator",
        parameters: &[
            "source",
            "target",
            "size",
            "retention_time",
            "project_id",
            "user_id",
            "resource_metadata",
            "timestamp",
        ],
        source: &["map_from"],
        target: SCALED,
    },
    Known { name: "arithmetic", parameters: &["target"], source: &[], target: &["name", "unit", "type", "expr"] },
];

const SCALED: &[&str] = &["name", "unit", "type", "scale", "max", "map_to"];

/// What may be written of one transformer.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) parameters: &'static [&'static str],
    pub(super) source: &'static [&'static str],
    pub(super) target: &'static [&'static str],
}

/// The keys of a transformer.
pub(super) const TRANSFORMER_KEYS: Keys<'static> = Keys {
    what: "a key of a transformer",
    known: &["name", "parameters"],
    elsewhere: &[
        ("source", "under `parameters:`"),
        ("target", "under `parameters:`"),
        ("growth_only", "under `parameters:`"),
        ("size", "under `parameters:`"),
        ("retention_time", "under `parameters:`"),
        ("publishers", "to the sink, beside `transformers:`"),
    ],
    foreign: &[],
};
