//! Samples and events to publish.

use nephoscope::model::{Dict, Event, Sample, SampleType, Trait, TraitValue, Value, time};
use nephoscope::publish::{Batch, Kind};

/// How many resources the notifications of a [`Lab`](crate::lab::Lab) have.
pub(crate) const RESOURCES: i64 = 8;

/// A sample of a volume's size: a metric of Gnocchi's too.
pub(crate) fn sample(resource: &str, id: &str) -> Sample {
    Sample {
        name: "volume.size".into(),
        kind: SampleType::Gauge,
        unit: "GB".into(),
        volume: Value::Int(1),
        user_id: "u".into(),
        user_name: Value::Null,
        project_id: "p".into(),
        project_name: Value::Null,
        resource_id: resource.into(),
        timestamp: "2026-03-01T12:00:00+00:00".into(),
        resource_metadata: Dict::from_iter([("name", Value::from("n"))]).into(),
        source: "openstack".into(),
        id: id.into(),
        monotonic_time: Value::Null,
    }
}

/// An event that changes a volume in Gnocchi too.
pub(crate) fn event(resource: &str, id: &str) -> Event {
    let of = |name: &str, text: &str| Trait { name: name.into(), value: TraitValue::Text(text.into()) };
    Event {
        message_id: id.into(),
        event_type: "volume.transfer.accept.end".into(),
        generated: time::parse("2026-03-01T12:00:00").unwrap().naive_utc(),
        traits: vec![of("resource_id", resource), of("project_id", "p"), of("service", "volume.host")].into(),
        raw: Dict::new(),
    }
}

/// A record for each name, which is its resource's and in its id.
pub(crate) fn batch(kind: Kind, names: &[String]) -> Batch {
    match kind {
        Kind::Samples => Batch::Samples(names.iter().map(|name| sample(name, &format!("id-{name}"))).collect()),
        Kind::Events => Batch::Events(names.iter().map(|name| event(name, &format!("id-{name}"))).collect()),
    }
}

/// `r-0000`, `r-0001`, …: none is a part of another.
pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("r-{n:04}")).collect()
}

/// Texts that are something else in a path, a label, a line or a header.
pub(crate) const ODD: [&str; 24] = [
    "73db6891-d36e-c114-c15d-9816ca5a2289",
    "a/b",
    "/",
    "..",
    ".",
    "../../v1/resource",
    "a%2fb",
    "%",
    "with space",
    "quo\"te",
    "it's",
    "back\\slash",
    "tür€😀",
    "a?b=c",
    "a#b",
    "a+b",
    "tab\there",
    "lf\nin id",
    "cr\r\nX-Other: header",
    "nul\0 escape\u{1b} delete\u{7f}",
    "\u{2028}sep\u{85}",
    "@base64",
    "a,b=\"c\"} 1\ncpu{x=\"",
    "{\"a\":[null]}",
];

/// Longer than labels, datagrams and paths have room for, in bytes.
pub(crate) const LONG_BYTES: usize = 64 * 1024;

/// These, and two of 64 KB.
pub(crate) fn odd() -> Vec<String> {
    let long = ["x".repeat(LONG_BYTES), "é\"\n/".repeat(LONG_BYTES / 5)];
    ODD.iter().map(|&text| text.to_owned()).chain(long).collect()
}
