//! What loading says of each definition, in the operator's words, with file and line; and what it does to a message.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use nephoscope::config::yaml;
use nephoscope::convert::{ConvertOptions, Converter, Repairs, Sources};
use nephoscope::model::{Complaint, Dict, Notification, Parts, Priority, Severity, Value, json};
use rstest::rstest;

fn build(meters: &[&str], events: &str, options: ConvertOptions) -> (Option<Converter>, Vec<Complaint>) {
    let name = |n: usize| format!("meters{n}.yaml");
    let sources = Sources {
        meters: meters.iter().enumerate().map(|(n, text)| yaml::read(&name(n), text).unwrap()).collect(),
        events: yaml::read("events.yaml", events).unwrap(),
    };
    Converter::build(&sources, options)
}

/// One meter definition, with keys replaced or added.
fn meter(changes: &[(&str, &str)]) -> String {
    let mut keys = vec![
        ("name", "m"),
        ("event_type", "e"),
        ("type", "gauge"),
        ("unit", "B"),
        ("volume", "$.payload.v"),
        ("resource_id", "$.payload.id"),
    ];
    for (key, value) in changes {
        keys.retain(|(k, _)| k != key);
        keys.push((key, value));
    }
    let lines: Vec<String> = keys.iter().map(|(key, value)| format!("    {key}: {value}\n")).collect();
    format!("metric:\n  -\n{}", lines.concat())
}

fn notification(payload: &str) -> Notification {
    let parts = Parts {
        event_type: "e".into(),
        message_id: "id".into(),
        timestamp: "2026-03-01T10:20:30".into(),
        payload: json::read(payload.as_bytes()).unwrap(),
        ..Parts::default()
    };
    Notification::new(Priority::Info, parts)
}

#[rstest]
#[case(&[("unit", "''")], "unit: the text \"\" counts as missing")]
#[case(&[("volume", "0")], "volume: the number 0 counts as missing")]
#[case(&[("type", "counter")], "not gauge, delta or cumulative")]
#[case(&[("unit", "'%'")], "unit: ")]
#[case(&[("volume", "1.5")], "volume: ")]
#[case(&[("volume", "$.payload.a / 2")], "volume: ")]
#[case(&[("metadata", "{host: '$.payload.['}")], "metadata host: ")]
#[case(&[("volume", "{plugin: timedelta}")], "fields")]
#[case(&[("volume", "{fields: $.payload.a, plugin: nope}")], "nope")]
fn a_meter_is_skipped_and_the_others_stay(#[case] changes: &[(&str, &str)], #[case] why: &str) {
    let (converter, complaints) =
        build(&[&meter(changes), &meter(&[("name", "other")])], "[]", ConvertOptions::default());
    assert_eq!(converter.unwrap().meter_names().collect::<Vec<_>>(), [&Value::from("other")]);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert_eq!(complaints[0].severity, Severity::Warning);
    assert!(complaints[0].text.contains(why) && complaints[0].text.contains("skipped"), "{}", complaints[0]);
    assert!(complaints[0].place.line > 1, "{}", complaints[0]);
}

#[rstest]
#[case("")]
#[case("- name: m")]
#[case("metrics: []")]
#[case("metric:")]
#[case("metric: [m]")]
#[case("metric: [{name: [m]}]")]
fn a_meter_file_would_cost_the_original_every_meter(#[case] file: &str) {
    let (converter, complaints) = build(&[file, &meter(&[])], "[]", ConvertOptions::default());
    assert!(converter.is_none());
    assert!(complaints.iter().any(|c| c.severity == Severity::Error && &*c.place.file == "meters0.yaml"));
}

#[rstest]
#[case(&[("event_type", "'*.create'")], "not a glob")]
#[case(&[("event_type", "[e, 5]")], "regular expression")]
#[case(&[("event_type", "5")], "regular expression")]
#[case(&[("lookup", "")], "lookup")]
#[case(&[("metadata", "")], "metadata")]
#[case(&[("volume", "{fields: $.payload.a, plugin: {name: map}}")], "volume")]
fn a_meter_would_cost_the_original_every_meter(#[case] changes: &[(&str, &str)], #[case] why: &str) {
    let (converter, complaints) = build(&[&meter(changes)], "[]", ConvertOptions::default());
    assert!(converter.is_none());
    let errors: Vec<_> = complaints.iter().filter(|c| c.severity == Severity::Error).collect();
    assert_eq!(errors.len(), 1, "{complaints:?}");
    assert!(errors[0].text.contains(why), "{}", errors[0]);
}

#[test]
fn a_name_is_defined_twice() {
    let first = "metric:\n- {name: m, event_type: e, type: gauge, unit: first, volume: 1, resource_id: $.payload.id}\n\
                 - {name: m, event_type: e, type: gauge, unit: last, volume: 1, resource_id: $.payload.id}\n";
    let (converter, complaints) = build(&[first, &meter(&[])], "[]", ConvertOptions::default());
    let samples = converter.unwrap().convert(&notification("{}")).samples;
    assert_eq!(samples.iter().map(|s| &s.unit).collect::<Vec<_>>(), [&Value::from("last")]);
    let told: Vec<_> = complaints.iter().map(|c| c.place.to_string()).collect();
    assert_eq!(told, ["meters0.yaml:2", "meters1.yaml:3"]);
    assert!(complaints.iter().all(|c| c.text.contains("never used") && c.text.contains("meters0.yaml:3")));
}

#[rstest]
#[case(&[("unit", "payload")], "own payload takes its place")]
#[case(&[("unit", "a+b")], "its value is \"ab\"")]
#[case(&[("resource_id", "server")], "never finds anything")]
#[case(&[("lookup", "name")], "no sample at all")]
#[case(&[("lookup", "name"), ("name", "$.payload.l[*].n"), ("volume", "1")], "fails on every message")]
fn a_meter_is_not_what_its_author_meant(#[case] changes: &[(&str, &str)], #[case] told: &str) {
    let (converter, complaints) = build(&[&meter(changes)], "[]", ConvertOptions::default());
    assert!(converter.is_some());
    assert!(complaints.iter().any(|c| c.severity == Severity::Warning && c.text.contains(told)), "{complaints:?}");
}

#[rstest]
#[case("")]
#[case("5")]
#[case("{event_type: e, traits: {}}")]
#[case("[e]")]
#[case("- {traits: {}}")]
#[case("- {event_type: e}")]
#[case("- {event_type: e, traits: }")]
#[case("- {event_type: 5, traits: {}}")]
#[case("- {event_type: [e, 5], traits: {}}")]
#[case("- {event_type: e, traits: [a]}")]
#[case("- {event_type: e, traits: {a: {fields: payload.a, type: string}}}")]
#[case("- {event_type: e, traits: {a: {fields: payload.a, type: }}}")]
#[case("- {event_type: e, traits: {a: 'payload.['}}")]
fn event_definitions_would_keep_the_original_from_starting(#[case] events: &str) {
    let (converter, complaints) = build(&[], events, ConvertOptions::default());
    assert!(converter.is_none());
    assert!(complaints.iter().all(|c| c.severity == Severity::Error), "{complaints:?}");
}

#[test]
fn every_mistake_is_told_at_once() {
    let events =
        "- {traits: {}}\n- event_type: e\n  traits:\n    a: {fields: payload.a, type: bogus}\n    b: 'payload.['\n";
    let (_, complaints) = build(&["metric:"], events, ConvertOptions::default());
    let places: Vec<_> = complaints.iter().map(|c| c.place.to_string()).collect();
    assert_eq!(places, ["events.yaml:1", "events.yaml:4", "events.yaml:5", "meters0.yaml:1"]);
}

#[rstest]
#[case("- {event_type: image.send, traits: {a: payload.a}}\n- {event_type: 'image.*', traits: {}}", true)]
#[case("- {event_type: image.send, traits: {a: payload.a}}\n- {event_type: ['image.*', '!*.send'], traits: {}}", false)]
#[case("- {event_type: 'image.*', traits: {}}\n- {event_type: image.send, traits: {a: payload.a}}", false)]
#[case("- {event_type: [image.send, '!image.*'], traits: {}}", true)]
#[case("- {event_type: [], traits: {}}", true)]
fn an_event_definition_is_never_used(#[case] events: &str, #[case] told: bool) {
    let (converter, complaints) = build(&[], events, ConvertOptions::default());
    assert!(converter.is_some());
    assert_eq!(complaints.len(), usize::from(told), "{complaints:?}");
}

#[test]
fn units_that_are_no_path_are_text_when_repaired() {
    let repairs = Repairs { unparsable_literals: true, ..Repairs::default() };
    let options = ConvertOptions { repairs, ..ConvertOptions::default() };
    let (converter, complaints) = build(&[&meter(&[("unit", "'%'")])], "[]", options);
    assert_eq!(complaints, []);
    assert_eq!(converter.unwrap().convert(&notification("{}")).samples[0].unit, Value::from("%"));
}

#[test]
fn definitions_of_before_9_0_look_at_the_priority() {
    let words = [("unit", "timestamp"), ("type", "delta"), ("name", "priority")];
    let paths = [("user_id", "$.priority"), ("metadata", "{p: '(priority)|($.payload.v)', r: '$.payload.r'}")];
    let events = "[{event_type: e, traits: {p: {fields: priority}, id: {fields: message_id}}}]";
    let (converter, complaints) = build(&[&meter(&[&words[..], &paths].concat())], events, ConvertOptions::default());
    assert_eq!(complaints, []);
    let converted = converter.unwrap().convert(&notification(r#"{"v": 1}"#));
    assert_eq!(converted.complaints, []);
    let sample = &converted.samples[0];
    assert_eq!((sample.name.as_str(), &sample.unit), ("priority", &"timestamp".into()), "words are not paths");
    assert_eq!(sample.user_id, "info".into());
    assert_eq!(json::to_string(&Value::Dict(Dict::clone(&sample.resource_metadata))), r#"{"p":"info"}"#);
    let traits = json::to_string(converted.events[0].serialize().get("traits").unwrap());
    assert!(traits.contains(r#"["p",1,"info"],["id",1,"id"]"#), "{traits}");
}

#[test]
fn a_name_that_is_no_text_costs_only_its_own_sample() {
    let text = meter(&[("lookup", "name"), ("name", "$.payload.l[*].n"), ("volume", "$.payload.v")]);
    let (converter, _) = build(&[&text], "[]", ConvertOptions::default());
    let converted = converter.unwrap().convert(&notification(r#"{"l": [{"n": 7}, {"n": "b"}], "v": 1}"#));
    assert_eq!(converted.samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(converted.complaints[0].text.contains("TypeError: the name is no text but 7"), "{converted:?}");
}

#[test]
fn an_empty_lookup_still_finds_every_name() {
    let text = meter(&[("lookup", "''"), ("name", "$.payload.l[*].n"), ("volume", "$.payload.l[*].v")]);
    let (converter, _) = build(&[&text], "[]", ConvertOptions::default());
    let converted = converter.unwrap().convert(&notification(r#"{"l": [{"n": "a", "v": 1}, {"n": "b", "v": 2}]}"#));
    assert_eq!(converted.samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn constants_with_lookup_are_repeated_when_repaired() {
    let text = meter(&[("lookup", "name"), ("name", "$.payload.l[*].n"), ("volume", "1")]);
    let names = notification(r#"{"l": [{"n": "a"}, {"n": "b"}]}"#);
    let original = build(&[&text], "[]", ConvertOptions::default()).0.unwrap().convert(&names);
    assert_eq!(original.samples, []);
    assert!(original.complaints[0].text.contains("TypeError"));
    let repairs = Repairs { lookup_constants: true, ..Repairs::default() };
    let options = ConvertOptions { repairs, ..ConvertOptions::default() };
    let repaired = build(&[&text], "[]", options).0.unwrap().convert(&names);
    assert_eq!(repaired.samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(repaired.samples.iter().all(|s| s.volume == Value::Int(1)));
}

#[test]
fn one_name_of_many_has_no_type() {
    let text = meter(&[("name", "$.payload.l[*].n"), ("type", "$.payload.l[*].t"), ("lookup", "[name, type]")]);
    let converter = build(&[&text], "[]", ConvertOptions::default()).0.unwrap();
    let types =
        |third: &str| format!(r#"{{"l": [{{"n":"a","t":"gauge"}}, {{"n":"b","t":"odd"}}, {{"n":"c"{third}}}]}}"#);
    let whole = converter.convert(&notification(&types(r#","t":"delta""#)));
    assert_eq!(whole.samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(whole.complaints.len(), 1, "only the odd one: {:?}", whole.complaints);
    let short = converter.convert(&notification(&types("")));
    assert_eq!(short.samples, []);
    assert_eq!(short.complaints[0].severity, Severity::Warning);
    assert!(short.complaints[0].text.contains("3 names but 2 values of type"), "{}", short.complaints[0]);
}

#[test]
fn a_definition_that_raises_costs_only_itself() {
    let bad = meter(&[("name", "bad"), ("volume", "$.payload.nothing[*]")]);
    let converter =
        build(&[&bad, &meter(&[("volume", "7")])], "[{event_type: e, traits: {}}]", ConvertOptions::default());
    let converted = converter.0.unwrap().convert(&notification(r#"{"nothing": null}"#));
    assert_eq!(converted.samples.len(), 1);
    assert_eq!(converted.events.len(), 1);
    assert_eq!(converted.complaints.len(), 1);
    let complaint = &converted.complaints[0];
    assert_eq!(complaint.place.to_string(), "meters0.yaml:3");
    assert!(complaint.text.starts_with("meter bad: TypeError"), "{complaint}");
}

#[rstest]
#[case(Priority::Info, 1, 1)]
#[case(Priority::Sample, 1, 0)]
#[case(Priority::Error, 0, 1)]
#[case(Priority::Warn, 0, 0)]
#[case(Priority::Audit, 0, 0)]
fn priorities_decide_what_is_made(#[case] priority: Priority, #[case] samples: usize, #[case] events: usize) {
    let converter = build(&[&meter(&[("volume", "7")])], "[]", ConvertOptions::default()).0.unwrap();
    let parts = Parts { event_type: "e".into(), timestamp: "2026-03-01".into(), ..Parts::default() };
    let converted = converter.convert(&Notification::new(priority, parts));
    assert_eq!((converted.samples.len(), converted.events.len()), (samples, events));
}

#[rstest]
#[case(Value::Null)]
#[case(Value::Int(5))]
fn an_event_type_is_no_text(#[case] event_type: Value) {
    let converter = build(&[&meter(&[])], "[]", ConvertOptions::default()).0.unwrap();
    let parts = Parts { event_type, ..Parts::default() };
    let converted = converter.convert(&Notification::new(Priority::Info, parts));
    assert_eq!((converted.samples.len(), converted.events.len(), converted.complaints.len()), (0, 0, 1));
}

/// Metadata are made once for all meters that name the same: each has what it has alone.
#[test]
fn each_meter_has_the_metadata_that_it_names() {
    let by_key = |key: &str| {
        format!("{{a: {{fields: $.payload.n, plugin: {{name: map, parameters: {{values: {{{key}: up}}}}}}}}}}")
    };
    let [by_number, by_text] = ["1", "'1'"].map(by_key);
    let metadata = [
        &*by_number,
        &by_text,
        "{1: $.payload.v, '1': $.payload.n}",
        "{'1': $.payload.n}",
        "{a: $.payload.v}",
        "{a: $.payload.v}",
        "{a: 1}",
        "{b: $.payload.v}",
        "{}",
        "{}",
        "{a: priority}",
    ];
    let meters: Vec<String> = metadata
        .iter()
        .enumerate()
        .map(|(n, named)| meter(&[("name", &format!("m{n}")), ("metadata", named)]))
        .collect();
    let notification = notification(r#"{"v": {"x": [1.5]}, "n": 1}"#);
    let shown = |meters: &[&str]| -> Vec<String> {
        let (converter, complaints) = build(meters, "[]", ConvertOptions::default());
        assert!(complaints.iter().all(|complaint| complaint.severity != Severity::Error), "{complaints:?}");
        let samples = converter.unwrap().convert(&notification).samples;
        samples.iter().map(|s| json::to_string(&Value::Dict(Dict::clone(&s.resource_metadata)))).collect()
    };
    let alone: Vec<String> = meters.iter().flat_map(|meter| shown(&[meter])).collect();
    let together = shown(&meters.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((together.len(), &together), (metadata.len(), &alone));
    assert_eq!((&*together[0], &*together[4], &*together[6]), (r#"{"a":"up"}"#, r#"{"a":{"x":[1.5]}}"#, r#"{"a":1}"#));
}
