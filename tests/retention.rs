//! Long text that was read from a message shares the message's bytes. What outlives its notification must not: a resource id
//! in a state cell would keep a whole message alive.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::DateTime;
use nephoscope::config::yaml;
use nephoscope::convert::{ConvertOptions, Converter, Sources};
use nephoscope::model::{envelope, json};
use nephoscope::pipeline::{Chain, ChainOptions, Kind, Plan};
use std::fs;
use std::sync::Arc;

/// Resources, each with cells of its own.
const CELLS: usize = 10_000;
/// Bytes of one notification.
const MESSAGE_BYTES: usize = 100_000;
/// What the cells of all chains may take: some thousand bytes each, where the messages are a gigabyte.
const GROWN_MIB_MAX: usize = 250;

const METERS: &str = "metric: [{name: $.payload.meter, event_type: e, type: gauge, unit: $.payload.unit, \
    volume: $.payload.volume, resource_id: $.payload.resource, user_id: $.payload.user, project_id: $.payload.project, \
    metadata: {flavor: $.payload.flavor}}]";

/// Every transformer that keeps something.
const TRANSFORMERS: [&str; 6] = [
    "{name: rate_of_change, parameters: {target: {name: r}}}",
    "{name: delta, parameters: {target: {name: d}}}",
    "{name: accumulator, parameters: {size: 1000000}}",
    "{name: aggregator, parameters: {size: 1000000, resource_metadata: last, user_id: last, project_id: last}}",
    "{name: aggregator, parameters: {size: 1000000, resource_metadata: first, timestamp: last}}",
    "{name: arithmetic, parameters: {target: {name: a, unit: u, type: gauge, expr: '$(a.meter.whose.name.is.long.enough) + $(never)'}}}",
];

#[test]
fn no_state_cell_keeps_a_message_alive() {
    let sources = Sources {
        meters: vec![yaml::read("meters.yaml", METERS).unwrap()],
        events: yaml::read("events.yaml", "[]").unwrap(),
    };
    let converter = Converter::build(&sources, ConvertOptions::default()).0.unwrap();
    let mut chains: Vec<Chain> = TRANSFORMERS.iter().map(|transformer| chain(transformer)).collect();
    let before = resident_mib();
    for n in 0..2 * CELLS {
        let notification = envelope::open(&body(n % CELLS)).unwrap();
        let samples = converter.convert(&notification).samples;
        assert_eq!(samples.len(), 1);
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for chain in &mut chains {
            let mut complaints = Vec::new();
            chain.take("a", notification.message_id(), samples.clone(), now, &mut complaints);
            assert!(complaints.is_empty(), "{complaints:?}");
        }
    }
    let kept: usize = chains.iter().map(|chain| chain.cells().len()).sum();
    assert!(kept >= TRANSFORMERS.len() * CELLS, "{kept} cells");
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < GROWN_MIB_MAX, "{kept} cells take {grown} MiB");
}

/// Three bytes each: what a sender writes must not become much more in memory.
#[test]
fn empty_and_small_objects_take_little_memory() {
    for (object, grown_mib_max) in [("{}", 80), (r#"{"a":0}"#, 80)] {
        let text = format!("[{}0]", format!("{object},").repeat(400_000));
        let before = resident_mib();
        let value = json::read(text.as_bytes()).unwrap();
        let grown = resident_mib().saturating_sub(before);
        assert!(grown < grown_mib_max, "{object}: {} bytes take {grown} MiB", text.len());
        drop(value);
    }
}

fn chain(transformer: &str) -> Chain {
    let text = format!(
        "sources: [{{name: a, meters: ['*'], sinks: [a]}}]\nsinks: [{{name: a, publishers: [test], transformers: [{transformer}]}}]"
    );
    let plan = Plan::read(Kind::Samples, &yaml::read("pipeline.yaml", &text).unwrap()).unwrap();
    Chain::new(Arc::clone(&plan.sinks[0].transformers), "a", ChainOptions::default())
}

/// Every text of it is too long to be in place.
fn body(n: usize) -> Vec<u8> {
    let id = |kind: &str| format!("{kind} {n:08} with an identity that is long");
    let payload = serde_json::json!({
        "meter": "a.meter.whose.name.is.long.enough", "unit": "a unit whose name is long enough", "volume": n,
        "resource": id("resource"), "user": id("user"), "project": id("project"), "flavor": id("flavor"),
        "filler": "x".repeat(MESSAGE_BYTES),
    });
    let message = serde_json::json!({
        "priority": "INFO", "event_type": "e", "publisher_id": "p", "message_id": id("message"),
        "timestamp": "2026-03-01T12:00:00.123456", "payload": payload,
    });
    message.to_string().into_bytes()
}

/// Resident memory of this process.
fn resident_mib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}
