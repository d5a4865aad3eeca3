//! The converters that the benches measure: the shipped definitions, and more.

use nephoscope::config::yaml;
use nephoscope::convert::{ConvertOptions, Converter, Sources};
use nephoscope::model::Notification;
use std::fmt::Write as _;

const METERS: &str = include_str!("../../config/meters.d/meters.yaml");
const EVENTS: &str = include_str!("../../config/event_definitions.yaml");

/// The shipped definitions.
pub(crate) fn shipped(options: ConvertOptions) -> Converter {
    build(&[METERS], EVENTS, options)
}

/// So many definitions more, of meters and of events each, half of them for a pattern of event types. The n-th takes
/// `bench.type<n>`.
pub(crate) fn with_more(more: usize) -> Converter {
    let (mut meters, mut events) = ("metric:\n".to_owned(), format!("{EVENTS}\n"));
    for n in 0..more {
        let pattern = if n % 2 == 0 { "" } else { ".*" };
        let _written = write!(
            meters,
            "- name: 'bench.meter{n}'\n  event_type: 'bench.type{n}{pattern}'\n  type: gauge\n  unit: B\n  \
             volume: $.payload.size\n  resource_id: $.payload.id\n  project_id: $.payload.owner\n"
        );
        let _written = write!(
            events,
            "- event_type: bench.type{n}{}\n  traits:\n    resource_id: {{fields: payload.id}}\n    \
             size: {{type: int, fields: payload.size}}\n    owner: {{fields: payload.owner}}\n",
            pattern.trim_start_matches('.')
        );
    }
    let more = [METERS, &meters];
    build(if meters == "metric:\n" { &more[..1] } else { &more }, &events, ConvertOptions::default())
}

/// How many definitions of meters and events are shipped.
pub(crate) fn shipped_count() -> usize {
    let count = |text: &str, start: &str| text.lines().filter(|line| line.trim_start().starts_with(start)).count();
    usize::midpoint(count(METERS, "- name:"), count(EVENTS, "- event_type:"))
}

fn build(meters: &[&str], events: &str, options: ConvertOptions) -> Converter {
    let read = |text: &&str| yaml::read("meters.yaml", text).unwrap();
    let sources = Sources {
        meters: meters.iter().map(read).collect(),
        events: yaml::read("event_definitions.yaml", events).unwrap(),
    };
    Converter::build(&sources, options).0.unwrap()
}

/// Everything a notification gives, as JSON.
pub(crate) fn publishable(converter: &Converter, notification: &Notification, out: &mut Vec<u8>) {
    let converted = converter.convert(notification);
    for sample in &converted.samples {
        sample.write_json(out);
    }
    for event in &converted.events {
        event.write_json(out);
    }
}
