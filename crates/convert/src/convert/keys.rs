//! Keys of definition files that nothing reads. Ceilometer passes them over without a word, and so a misspelt one costs
//! what it was meant to say.
//!
//! Never here: what a known key means, or that one is missing.

use super::plugins;
use crate::model::{Complaint, Data, Keys, Node, did_you_mean};

const METERS_FILE: Keys<'static> =
    Keys { what: "a section of a file of meters", known: &["metric"], elsewhere: &[], foreign: &[] };
const METER: Keys<'static> = Keys {
    what: "a key of a meter",
    known: &[
        "name",
        "event_type",
        "type",
        "unit",
        "volume",
        "resource_id",
        "project_id",
        "user_id",
        "timestamp",
        "metadata",
        "user_metadata",
        "lookup",
    ],
    elsewhere: &[
        ("fields", "under an attribute, beside `plugin:`"),
        ("plugin", "under an attribute, beside `fields:`"),
        ("traits", "to a definition of event_definitions.yaml"),
    ],
    foreign: &[],
};
/// The keys of a meter under which a path stands, or a mapping.
const PATHS: [&str; 9] =
    ["name", "type", "unit", "volume", "resource_id", "project_id", "user_id", "timestamp", "user_metadata"];
const EVENT: Keys<'static> = Keys {
    what: "a key of an event definition",
    known: &["event_type", "traits"],
    elsewhere: &[
        ("fields", "to a trait, under its name"),
        ("type", "to a trait, under its name"),
        ("plugin", "to a trait, under its name"),
    ],
    foreign: &[],
};
const TRAIT: Keys<'static> =
    Keys { what: "a key of a trait", known: &["fields", "type", "plugin"], elsewhere: PLUGIN_PARTS, foreign: &[] };
const FIELD: Keys<'static> = Keys {
    what: "a key of an attribute",
    known: &["fields", "plugin"],
    elsewhere: &[("type", "to a trait of an event"), ("name", "under `plugin:`"), ("parameters", "under `plugin:`")],
    foreign: &[],
};
const PLUGIN: Keys<'static> =
    Keys { what: "a key of a plugin", known: &["name", "parameters"], elsewhere: &[], foreign: &[] };
const FLAG: Keys<'static> =
    Keys { what: "a key of a flag", known: &["path", "bit", "value"], elsewhere: &[], foreign: &[] };
const PLUGIN_PARTS: &[(&str, &str)] = &[("name", "under `plugin:`"), ("parameters", "under `plugin:`")];

/// Warns of every such key in files of meters.
pub(super) fn of_meters(files: &[Node], complaints: &mut Vec<Complaint>) {
    for file in files {
        METERS_FILE.warn_of_others(file, complaints);
        for meter in file.get("metric").and_then(Node::items).unwrap_or_default() {
            METER.warn_of_others(meter, complaints);
            for field in PATHS.iter().filter_map(|key| meter.get(key)) {
                of_field(field, &FIELD, complaints);
            }
            for (_, field) in meter.get("metadata").into_iter().flat_map(Node::entries) {
                of_field(field, &FIELD, complaints);
            }
            of_lookup(meter, complaints);
        }
    }
}

/// The names in `lookup` are attributes; one that is none is never asked for.
fn of_lookup(meter: &Node, complaints: &mut Vec<Complaint>) {
    let Some(lookup) = meter.get("lookup") else { return };
    let names = lookup.items().unwrap_or(std::slice::from_ref(lookup));
    let known = || PATHS.into_iter().chain(["metadata", "message"]);
    for name in names.iter().filter(|name| name.as_str().is_some_and(|name| known().all(|known| known != name))) {
        let text = name.key_text();
        let why = did_you_mean(&text, known());
        complaints.push(Complaint::warning(&name.place, format!("lookup: {text} is no attribute of a meter{why}")));
    }
}

/// The same in event definitions.
pub(super) fn of_events(file: &Node, complaints: &mut Vec<Complaint>) {
    for event in file.items().unwrap_or_default() {
        EVENT.warn_of_others(event, complaints);
        for (_, field) in event.get("traits").into_iter().flat_map(Node::entries) {
            of_field(field, &TRAIT, complaints);
        }
    }
}

fn of_field(field: &Node, keys: &Keys<'_>, complaints: &mut Vec<Complaint>) {
    keys.warn_of_others(field, complaints);
    let Some(plugin) = field.get("plugin") else { return };
    PLUGIN.warn_of_others(plugin, complaints);
    let Some(parameters) = plugin.get("parameters") else { return };
    let Some(name) = plugin.get("name").and_then(Node::as_str) else { return };
    let Some(known) = plugins::parameters(name) else { return };
    let what = format!("a parameter of {name}");
    Keys { what: &what, known, elsewhere: &[], foreign: &[] }.warn_of_others(parameters, complaints);
    // The flags of a bitfield are the only parameter with keys of its own; the values of a map are the operator's.
    let flags = parameters.get("flags").filter(|_| known.contains(&"flags"));
    for flag in flags.and_then(Node::items).unwrap_or_default().iter().filter(|f| matches!(f.data, Data::Map(_))) {
        FLAG.warn_of_others(flag, complaints);
    }
}
