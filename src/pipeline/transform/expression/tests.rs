use super::*;
use crate::model::{Dict, Sample, SampleType, json};
use proptest::prelude::*;
use rstest::rstest;

fn sample(name: &str, volume: Value) -> Sample {
    let metadata = r#"{"cpu_number": 4, "zero": 0, "flag": true, "text": "abc", "none": null, "list": [1, {"k": 2}],
        "deep": {"a": {"b": 5}}, "with space": 1, "items": 3}"#;
    let Value::Dict(resource_metadata) = json::read(metadata.as_bytes()).unwrap() else { panic!("a dictionary") };
    Sample {
        name: name.into(),
        kind: SampleType::Gauge,
        unit: Value::from("B"),
        volume,
        user_id: Value::from("u"),
        user_name: Value::Null,
        project_id: Value::Null,
        project_name: Value::Null,
        resource_id: Value::from("r"),
        timestamp: "2026-03-01T12:00:00".into(),
        resource_metadata: resource_metadata.into(),
        source: "openstack".into(),
        id: "i".into(),
        monotonic_time: Value::Null,
    }
}

fn shown(text: &str) -> String {
    let expression = match Expression::of_fields(text) {
        Ok(expression) => expression,
        Err(error) => return error.to_string(),
    };
    match expression.evaluate(Seed::Fields(&sample("cpu", Value::Int(7)))) {
        Ok(value) => json::to_string(&value),
        Err(error) => format!("{} at {}", error.raised.class, error.at),
    }
}

/// Answers of Python 3.11 with Ceilometer's `Namespace`.
#[rstest]
#[case("volume", "7")]
#[case("  volume * 1.0 / 1024.0", "0.0068359375")]
#[case("(volume * 1.8) + 32 if not resource_metadata.raw else volume", "44.6")]
#[case("100.0 / (10**9 * (resource_metadata.cpu_number or 1))", "2.5e-8")]
#[case("resource_metadata.non.existent or 1.0", "1.0")]
#[case("(resource_metadata.a.b or resource_metadata.a) and 2", "2")]
#[case("nothing and 1 or 2", "2")]
#[case("resource_metadata['cpu_number'] + resource_metadata.deep[\"a\"].b", "9")]
#[case("resource_metadata['with space']", "1")]
#[case("resource_metadata.items", "3")]
#[case("resource_metadata[0] or 'none'", "\"none\"")]
#[case("resource_metadata.list[0] + resource_metadata.list[-1]['k']", "3")]
#[case("resource_metadata.text[1]", "\"b\"")]
#[case("1 < volume <= 7 != 8", "true")]
#[case("1 < volume < 7 < x.y.z", "false")]
#[case("volume == 7.0 and volume is not None", "true")]
#[case("resource_metadata.missing == None", "false")]
#[case("resource_metadata.missing == resource_metadata.missing", "true")]
#[case("resource_metadata.none is None", "true")]
#[case("'b' in resource_metadata.text and 5 not in resource_metadata.list", "true")]
#[case(
    "-volume % 3, ",
    "a list, tuple, dict or set cannot be used here; use numbers, strings, names, operators and \
     `a if b else c`, at character 1"
)]
#[case("-volume % 3", "2")]
#[case("-2 ** 2", "-4")]
#[case("2 ** 3 ** 2", "512")]
#[case("7 // 2 * 2.0", "6.0")]
#[case("True + True", "2")]
#[case("+resource_metadata.flag", "1")]
#[case("not name", "false")]
#[case("0x1_0 + 0b1 + 1e1", "27.0")]
#[case("123456789012345678901234567890 + 1", "123456789012345678901234567891")]
#[case("'a' 'b' + u'c'", "\"abc\"")]
#[case(
    "type + unit + timestamp[:4]",
    "a slice cannot be used here; use numbers, strings, names, operators and \
     `a if b else c`, at character 25"
)]
#[case(
    "max(volume, 1)",
    "a call cannot be used here; use numbers, strings, names, operators and `a if b else c`, at \
     character 1"
)]
#[case(
    "volume << 1",
    "`<<` cannot be used here; use numbers, strings, names, operators and `a if b else c`, at \
     character 1"
)]
#[case(
    "volume.__class__",
    "`__class__` cannot be used here; use numbers, strings, names, operators and \
     `a if b else c`, at character 1"
)]
#[case("1 / zero", "TypeError at 1")]
#[case("1 + (volume / resource_metadata.zero)", "ZeroDivisionError at 6")]
#[case("volume.real", "AttributeError at 1")]
#[case("name + 1", "TypeError at 1")]
#[case("resource_metadata", "TypeError at 1")]
#[case("resource_metadata.deep * 1", "TypeError at 1")]
#[case("10 ** 10 ** 10", "MemoryError at 1")]
#[case("'a' * 10 ** 9", "MemoryError at 1")]
#[case("'a' * 10 ** 5", "MemoryError at 1")]
#[case("(-8) ** 0.5", "ValueError at 1")]
#[case("1 if", "not Python: Expected an expression, at character 5")]
#[case("", "expected an expression, at character 1")]
fn an_expression_means_what_python_means(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(shown(text), expected);
}

#[rstest]
#[case::brackets("(".repeat(2000))]
#[case::closed_brackets(format!("{}1{}", "(".repeat(1500), ")".repeat(1500)))]
#[case::signs(format!("{}1", "-".repeat(4000)))]
#[case::nots(format!("{}1", "not ".repeat(1000)))]
#[case::powers(format!("{}1", "1**".repeat(1300)))]
#[case::choices(format!("{}1", "1 if 1 else ".repeat(300)))]
#[case::lambdas(format!("{}1", "lambda:".repeat(500)))]
#[case::sums(format!("{}1", "1+".repeat(2000)))]
#[case::indices(format!("a{}", "[0]".repeat(1300)))]
#[case::attributes(format!("a{}", ".a".repeat(2000)))]
#[case::too_long("1".repeat(5000))]
#[case::f_strings("f'{f\"{".repeat(600))]
fn what_nests_without_end_is_refused(#[case] text: String) {
    assert!(Expression::of_fields(&text).is_err());
}

#[rstest]
#[case("100 * $(memory.usage) / $(memory)", &["memory.usage", "memory"], "50.0")]
#[case("$(cpu) / ($(cpu).resource_metadata.cpu_number or 1)", &["cpu"], "1.25")]
#[case("$(cpu) / (cpu.resource_metadata.cpu_number or 1)", &["cpu"], "1.25")]
#[case("$(a-b.c) - $(a.b-c)", &["a-b.c", "a.b-c"], "-1")]
#[case("$(1m.load) + $(if)", &["1m.load", "if"], "15")]
#[case("$(x).timestamp + $(x).name", &["x"], "\"2026-03-01T12:00:00x\"")]
#[case("1 + 1", &[], "2")]
fn tokens_stand_for_samples(#[case] text: &str, #[case] names: &[&str], #[case] expected: &str) {
    let (expression, meters) = Expression::of_meters(text).unwrap();
    assert_eq!(meters.names().collect::<Vec<_>>(), names);
    let samples: Vec<Sample> = (5..).zip(names).map(|(n, name)| sample(name, Value::Int(n))).collect();
    let samples: Vec<Sample> = samples
        .into_iter()
        .map(|s| match &*s.name {
            "memory" => Sample { volume: Value::Int(10), ..s },
            "1m.load" => Sample { volume: Value::Int(9), ..s },
            _ => s,
        })
        .collect();
    let seed: Vec<(&str, &Sample)> = meters
        .identifiers()
        .map(|(name, identifier)| (identifier, samples.iter().find(|s| s.name == name).unwrap()))
        .collect();
    assert_eq!(json::to_string(&expression.evaluate(Seed::Samples(&seed)).unwrap()), expected);
}

#[rstest]
#[case("$(a.b) + max(1)", 10)]
#[case("é + $(a.b) +", 13)]
#[case("$() + 1", 1)]
fn a_mistake_is_placed_in_the_text_as_it_is_written(#[case] text: &str, #[case] at: usize) {
    assert_eq!(Expression::of_meters(text).unwrap_err().at, at);
}

proptest! {
    #[test]
    fn no_text_panics(text in r#"[-+*/%().,'"\[\]{}$a-c0-9 _<>=!~:é]{0,40}"#, volume in any::<f64>()) {
        let sample = sample("a", Value::Float(volume));
        if let Ok(expression) = Expression::of_fields(&text) {
            let _ = expression.evaluate(Seed::Fields(&sample));
        }
        if let Ok((expression, _)) = Expression::of_meters(&text) {
            let _ = expression.evaluate(Seed::Samples(&[("a", &sample)]));
        }
    }

    #[test]
    fn metadata_of_any_kind_is_no_trouble(key in "[a-z_]{1,8}", value in any::<i64>()) {
        let mut sample = sample("a", Value::Int(value));
        sample.resource_metadata = Dict::from_iter([(key.as_str(), Value::Int(value))]).into();
        if let Ok(expression) = Expression::of_fields(&format!("resource_metadata.{key} + volume")) {
            let _ = expression.evaluate(Seed::Fields(&sample));
        }
    }
}
