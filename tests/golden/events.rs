//! Event definitions: what loads, and the event of one notification.

use super::run;
use nephoscope::convert::{ConvertOptions, Converter, Sources};
use nephoscope::model::{Data, Dict, Node, Notification, Place, Priority, Value, json};

#[test]
fn events_are_those_of_the_original() {
    run("events", &[], check);
}

fn check(case: &Dict) -> Result<(), String> {
    let events = node(case.get("definitions").ok_or("no definitions")?);
    let store_raw = case.get("store_raw").and_then(Value::as_list).unwrap_or_default();
    let options = ConvertOptions {
        drop_unmatched_notifications: case.get("drop_unmatched").is_some_and(Value::is_truthy),
        store_raw: store_raw.iter().filter_map(|p| p.as_str().and_then(Priority::from_name)).collect(),
        ..ConvertOptions::default()
    };
    let (converter, complaints) = Converter::build(&Sources { meters: Vec::new(), events }, options);
    let converter = match (case.get("load_error"), converter) {
        (Some(_), None) => return Ok(()),
        (Some(error), Some(_)) => return Err(format!("loaded, where Ceilometer raises {}", json::to_string(error))),
        (None, None) => return Err(format!("refused to load: {complaints:?}")),
        (None, Some(converter)) => converter,
    };
    let Some(Value::Dict(root)) = case.get("notification") else { return Err("no notification".to_owned()) };
    let priority = case.get("priority").and_then(Value::as_str).and_then(Priority::from_name).ok_or("no priority")?;
    let converted = converter.convert(&Notification::from_root(priority, root.clone()));
    if let Some(class) = case.get("error").and_then(Value::as_str) {
        let text = converted.complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if !text.contains(&format!("{class}:")) {
            return Err(format!("complains \"{text}\", Ceilometer raises {class}"));
        }
    } else if !converted.complaints.is_empty() {
        return Err(format!("complains: {:?}", converted.complaints));
    }
    let got = converted.events.first().map_or(Value::Null, |event| Value::Dict(event.serialize()));
    let expected = case.get("event").ok_or("no event")?;
    if same_event(expected, &got) {
        return Ok(());
    }
    Err(format!("got {}, expected {}", json::to_string(&got), json::to_string(expected)))
}

/// Whether two serialised events are the same as far as the recording can tell: it wrote every object with its keys
/// sorted, so that the order of traits, and that of keys in traits that are Python's text of an object, is lost.
fn same_event(expected: &Value, got: &Value) -> bool {
    let (Value::Dict(expected), Value::Dict(got)) = (expected, got) else { return super::same(expected, got) };
    let rest = |key: &str, value: &Value| key == "traits" || got.get(key).is_some_and(|got| super::same(value, got));
    let traits = |event: &Dict| -> Vec<Value> {
        let mut traits = event.get("traits").and_then(Value::as_list).unwrap_or_default().to_vec();
        traits.sort_by_key(json::to_string);
        traits.sort_by_key(|t| t.as_list().and_then(|t| t.first()).map(json::to_string));
        traits
    };
    let (expected_traits, got_traits) = (traits(expected), traits(got));
    expected.len() == got.len()
        && expected.iter().all(|(key, value)| rest(key, value))
        && expected_traits.len() == got_traits.len()
        && expected_traits.iter().zip(&got_traits).all(|(a, b)| same_trait(a, b))
}

fn same_trait(expected: &Value, got: &Value) -> bool {
    /// Longer text is cut, and then only its length is comparable.
    const TEXT_CHARS_MAX: usize = 255;
    if super::same(expected, got) {
        return true;
    }
    let (Some([name, dtype, Value::Str(expected)]), Some([our_name, our_dtype, Value::Str(got)])) =
        (expected.as_list(), got.as_list())
    else {
        return false;
    };
    let sorted = |text: &str| {
        let mut chars: Vec<char> = text.chars().collect();
        chars.sort_unstable();
        chars
    };
    let (expected_chars, got_chars) = (sorted(expected), sorted(got));
    let cut = expected_chars.len() == TEXT_CHARS_MAX && got_chars.len() == TEXT_CHARS_MAX;
    super::same(name, our_name)
        && super::same(dtype, our_dtype)
        && expected.starts_with(['{', '['])
        && (cut || expected_chars == got_chars)
}

/// A value as if read from a file.
fn node(value: &Value) -> Node {
    let place = Place { file: "event_definitions.yaml".into(), line: 1 };
    let data = match value {
        Value::List(items) => Data::List(items.iter().map(node).collect()),
        Value::Dict(dict) => {
            Data::Map(dict.iter().map(|(key, value)| (node(&Value::from(key)), node(value))).collect())
        }
        scalar => Data::Scalar(scalar.clone()),
    };
    Node { place, data }
}
