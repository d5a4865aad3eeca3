//! Notifications that no service sends, made of ones that services do send.

use nephoscope::model::{Dict, Value};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Texts in which Python and Rust may see different things.
const TEXTS: [&str; 50] = [
    "",
    " ",
    "0",
    "-1",
    "1_000",
    "+7",
    " 12 ",
    "٣",
    "1.5",
    ".5",
    "5.",
    "1e5",
    "0x10",
    "nan",
    "-Infinity",
    "True",
    "None",
    "é",
    "日本 🜚",
    "a'b",
    "a\"b\\c",
    "line\nbreak",
    "\u{0}",
    "\u{feff}",
    "ß İ",
    "a.b/c d",
    "metering.a.b",
    "2020-01-02T03:04:05Z",
    "2020-01-02 03:04:05.123456789",
    "2020-01-02T03:04:05,5+0230",
    "20200102",
    "2020-13-01",
    "2020-01-02T24:00:00",
    "2020-01-02T03:04:60Z",
    "0001-01-01T00:00:00+05:00",
    "9999-12-31T23:59:59-05:00",
    "2020-01-02T03:04:05z",
    " 2020-01-02T03:04:05",
    "2020-01-02T03:04:05 ",
    "2020-W01-1",
    "20200102T030405.5-0330",
    "2020-01-02T03",
    "1e400",
    "１２",
    "𝟙",
    "a\u{301}\u{1f1e9}\u{1f1ea}",
    "\u{2028}\u{85}",
    "-__-1",
    "35 (+/- 1) degrees C",
    "Disabled",
];

/// Numbers at the edges, as JSON texts.
const NUMBERS: [&str; 30] = [
    "0",
    "-0",
    "1",
    "-1",
    "7",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "0.0",
    "-0.0",
    "1.5",
    "2.0",
    "1e16",
    "1e15",
    "1e-5",
    "5e-324",
    "1e400",
    "-1e400",
    "NaN",
    "123456789.123456789",
    "9007199254740993",
    "9007199254740993.0",
    "-9223372036854775808",
    "1e22",
    "1e23",
    "1.7976931348623157e308",
    "2.2250738585072014e-308",
    "1E+2",
    "0.1",
];

/// Changes a notification in one to four places; its five members stay, and its event type stays a text.
pub(crate) fn mutate(root: &mut Dict, donors: &[Dict], rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..=4) {
        match rng.random_range(0..10) {
            0 => {
                let donor = donors.choose(rng).and_then(|donor| donor.get("event_type")).cloned().unwrap_or_default();
                root.insert("event_type", donor);
            }
            1 => {
                let suffix = [".x", ".end", ".start", "\n", "é", ""].choose(rng).unwrap_or(&"");
                let event_type = root.get("event_type").and_then(Value::as_str).unwrap_or_default();
                root.insert("event_type", format!("{event_type}{suffix}"));
            }
            2 => change_metadata(root, rng),
            3 => {
                let with = value(rng, 3);
                root.insert("publisher_id", with);
            }
            4 => {
                if let Some(Value::Dict(ctxt)) = root.get_mut("ctxt") {
                    change_dict(ctxt, rng);
                }
            }
            _ => {
                if let Some(payload) = root.get_mut("payload") {
                    change(payload, rng, 0);
                }
            }
        }
    }
}

fn change_metadata(root: &mut Dict, rng: &mut StdRng) {
    let with = if rng.random_bool(0.6) { text(rng) } else { value(rng, 2) };
    let key = if rng.random_bool(0.7) { "timestamp" } else { "message_id" };
    if let Some(Value::Dict(metadata)) = root.get_mut("metadata") {
        metadata.insert(key, with);
    }
}

/// Goes down some way and changes what is there.
fn change(place: &mut Value, rng: &mut StdRng, depth: usize) {
    let deeper = depth == 0 || rng.random_bool(0.6);
    match place {
        Value::Dict(dict) if deeper && !dict.is_empty() => {
            if rng.random_bool(0.3) {
                return change_dict(dict, rng);
            }
            let keys: Vec<String> = dict.iter().map(|(key, _)| key.to_owned()).collect();
            if let Some(item) = keys.choose(rng).and_then(|key| dict.get_mut(key)) {
                change(item, rng, depth + 1);
            }
        }
        Value::List(items) if deeper && !items.is_empty() => {
            let n = rng.random_range(0..items.len());
            match rng.random_range(0..4) {
                0 => drop(items.remove(n)),
                1 => items.insert(n, items[n].clone()),
                _ => change(&mut items[n], rng, depth + 1),
            }
        }
        place => {
            let old = std::mem::take(place);
            *place = match rng.random_range(0..6) {
                0 => Value::List(vec![old]),
                1 => Value::List(vec![old.clone(), value(rng, 1), old]),
                2 => Value::Dict(Dict::from_iter([("id", old.clone()), ("name", old)])),
                3 => Value::Null,
                _ => value(rng, 3),
            };
        }
    }
}

/// Drops, renames, adds or doubles a key.
fn change_dict(dict: &mut Dict, rng: &mut StdRng) {
    let keys: Vec<String> = dict.iter().map(|(key, _)| key.to_owned()).collect();
    let Some(key) = keys.choose(rng) else { return };
    match rng.random_range(0..4) {
        0 => drop(dict.remove(key)),
        1 => {
            let value = dict.remove(key).unwrap_or_default();
            let to = keys.choose(rng).unwrap_or(key);
            dict.insert(to.as_str(), value);
        }
        2 => dict.insert(text(rng).as_str().unwrap_or_default(), value(rng, 2)),
        _ => {
            if let Some(place) = dict.get_mut(key) {
                *place = value(rng, 3);
            }
        }
    }
}

fn text(rng: &mut StdRng) -> Value {
    match rng.random_range(0..20) {
        0 => Value::from("x".repeat(rng.random_range(250..300))),
        1 => Value::from("é".repeat(256)),
        _ => Value::from(*TEXTS.choose(rng).unwrap_or(&"")),
    }
}

/// Any value, down to `depth`.
pub(crate) fn value(rng: &mut StdRng, depth: usize) -> Value {
    match rng.random_range(0..if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => Value::Bool(rng.random()),
        2 | 3 => {
            let number = NUMBERS.choose(rng).unwrap_or(&"0");
            nephoscope::model::json::read(number.as_bytes()).unwrap_or_default()
        }
        4 | 5 => text(rng),
        6 => Value::List((0..rng.random_range(0..4)).map(|_| value(rng, depth - 1)).collect()),
        _ => {
            let keys = ["id", "name", "size", "metering.x", "a.b", "é", "host", "user_id", "node"];
            let entry = |rng: &mut StdRng| (*keys.choose(rng).unwrap_or(&"id"), value(rng, depth - 1));
            Value::Dict((0..rng.random_range(0..4)).map(|_| entry(rng)).collect())
        }
    }
}
