//! Samples and events as Ceilometer's `as_dict()` has them, borrowed: written as JSON or as Python's `repr()`
//! without being copied first.

use chrono::NaiveDateTime;

use super::python::{self, Strings};
use crate::model::json::{self, Exact, NonFinite};
use crate::model::{Dict, Event, OnDemand, RawTrait, Sample, Trait, TraitValue, Value};

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Field<'a> {
    Str(&'a str),
    Value(&'a Value),
    Dict(&'a Dict),
    Metadata(&'a OnDemand<Dict>),
    Time(&'a NaiveDateTime),
    Traits(&'a OnDemand<Vec<Trait>>),
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Compact JSON; a time is `YYYY-MM-DD HH:MM:SS[.ffffff]` (Ceilometer reference §6.6).
    Json(NonFinite),
    /// Python's `repr()` of the dictionary.
    Repr,
}

/// Appends a sample: keys and order of Ceilometer reference §4.5.
pub(super) fn write_sample(sample: &Sample, form: Form, out: &mut Vec<u8>) {
    let fields = [
        ("name", Field::Str(&sample.name)),
        ("type", Field::Str(sample.kind.name())),
        ("unit", Field::Value(&sample.unit)),
        ("volume", Field::Value(&sample.volume)),
        ("user_id", Field::Value(&sample.user_id)),
        ("user_name", Field::Value(&sample.user_name)),
        ("project_id", Field::Value(&sample.project_id)),
        ("project_name", Field::Value(&sample.project_name)),
        ("resource_id", Field::Value(&sample.resource_id)),
        ("timestamp", Field::Str(&sample.timestamp)),
        ("resource_metadata", Field::Metadata(&sample.resource_metadata)),
        ("source", Field::Str(&sample.source)),
        ("id", Field::Str(&sample.id)),
        ("monotonic_time", Field::Value(&sample.monotonic_time)),
    ];
    write(&fields, form, out);
}

/// Appends an event: `generated` is a time, traits are dictionaries (Ceilometer reference §4.2).
pub(super) fn write_event(event: &Event, form: Form, out: &mut Vec<u8>) {
    let fields = [
        ("message_id", Field::Value(&event.message_id)),
        ("event_type", Field::Str(&event.event_type)),
        ("generated", Field::Time(&event.generated)),
        ("traits", Field::Traits(&event.traits)),
        ("raw", Field::Dict(&event.raw)),
    ];
    write(&fields, form, out);
}

fn write(fields: &[(&str, Field)], form: Form, out: &mut Vec<u8>) {
    match form {
        Form::Json(non_finite) => write_json(fields, non_finite, out),
        Form::Repr => {
            let mut text = String::with_capacity(512);
            write_repr(fields, &mut text);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn write_json(fields: &[(&str, Field)], non_finite: NonFinite, out: &mut Vec<u8>) {
    for (n, (name, field)) in fields.iter().enumerate() {
        out.push(if n > 0 { b',' } else { b'{' });
        json::write_str(name, out);
        out.push(b':');
        match field {
            Field::Str(text) => json::write_str(text, out),
            Field::Value(value) => json::write_as(value, non_finite, out),
            Field::Dict(dict) => json::write_dict_as(dict, non_finite, out),
            Field::Metadata(metadata) => metadata.write_json(non_finite, out),
            Field::Time(time) => json::write_str(&spaced(time), out),
            Field::Traits(traits) => write_traits(traits, non_finite, out),
        }
    }
    out.push(b'}');
}

fn write_traits(traits: &OnDemand<Vec<Trait>>, non_finite: NonFinite, out: &mut Vec<u8>) {
    let begin = out.len();
    if traits.json().is_some_and(|json| rewrite_traits(&mut Exact::new(json), out).is_some()) {
        return;
    }
    out.truncate(begin);
    out.push(b'[');
    for (n, of) in traits.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        with_trait_fields(of, |fields| write_json(fields, non_finite, out));
    }
    out.push(b']');
}

/// The same of the JSON that the traits came as: to build them first costs more than all else that is done with most events.
fn rewrite_traits(from: &mut Exact<'_>, out: &mut Vec<u8>) -> Option<()> {
    const DATETIME: u8 = 4;
    out.push(b'[');
    let mut first = true;
    from.list(|from| {
        let RawTrait { name, dtype, value } = RawTrait::read(from)?;
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b",\"dtype\":");
        out.push(b'0' + dtype);
        out.extend_from_slice(b",\"value\":");
        let begin = out.len();
        out.extend_from_slice(value.as_bytes());
        if dtype == DATETIME
            && let Some(t) = out[begin..].iter_mut().find(|byte| **byte == b'T')
        {
            *t = b' ';
        }
        out.push(b'}');
        Some(())
    })?;
    out.push(b']');
    Some(())
}

fn write_repr(fields: &[(&str, Field)], out: &mut String) {
    for (n, (name, field)) in fields.iter().enumerate() {
        out.push_str(if n > 0 { ", " } else { "{" });
        python::repr_str(name, Strings::Text, out);
        out.push_str(": ");
        match field {
            Field::Str(text) => python::repr_str(text, Strings::Text, out),
            Field::Value(value) => python::repr(value, Strings::Text, out),
            Field::Dict(dict) => python::repr_dict(dict, Strings::Text, out),
            Field::Metadata(metadata) => python::repr_dict(metadata, Strings::Text, out),
            Field::Time(time) => python::repr_datetime(time, out),
            Field::Traits(traits) => {
                out.push('[');
                for (n, of) in traits.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    with_trait_fields(of, |fields| write_repr(fields, out));
                }
                out.push(']');
            }
        }
    }
    out.push('}');
}

/// A trait as `{name, dtype, value}`.
fn with_trait_fields(of: &Trait, work: impl FnOnce(&[(&str, Field)])) {
    let (dtype, float);
    let value = match &of.value {
        TraitValue::None(text) | TraitValue::Text(text) => Field::Str(text),
        TraitValue::Int(int) => Field::Value(int),
        TraitValue::Float(number) => {
            float = Value::Float(*number);
            Field::Value(&float)
        }
        TraitValue::Datetime(time) => Field::Time(time),
    };
    dtype = Value::Int(of.value.dtype());
    work(&[("name", Field::Str(&of.name)), ("dtype", Field::Value(&dtype)), ("value", value)]);
}

/// Python's `str(datetime)`.
fn spaced(time: &NaiveDateTime) -> String {
    crate::model::time::isoformat_naive(time).replace('T', " ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{SampleType, Text, time};

    /// A sample of `name` with this id.
    pub(crate) fn sample(name: &str, id: &str) -> Sample {
        Sample {
            name: name.into(),
            kind: SampleType::Cumulative,
            unit: "ns".into(),
            volume: Value::Float(1.5),
            user_id: "u".into(),
            user_name: Value::Null,
            project_id: "p".into(),
            project_name: Value::Null,
            resource_id: "r".into(),
            timestamp: "2020-01-01T00:00:00+00:00".into(),
            resource_metadata: Dict::from_iter([("l", Value::List(vec![Value::Int(1), "it's\n".into()]))]).into(),
            source: "openstack".into(),
            id: id.into(),
            monotonic_time: Value::Null,
        }
    }

    /// An event with a trait of each type.
    pub(crate) fn event(message_id: &str) -> Event {
        let of = |name: &str, value| Trait { name: name.into(), value };
        let moment = time::parse("2020-01-01T00:00:00.000005").unwrap().naive_utc();
        Event {
            message_id: message_id.into(),
            event_type: "compute.instance.update".into(),
            generated: moment,
            traits: vec![
                of("n", TraitValue::None("x".into())),
                of("t", TraitValue::Text("é".into())),
                of("i", TraitValue::Int(Value::Int(7))),
                of("f", TraitValue::Float(1e16)),
                of("d", TraitValue::Datetime(moment)),
            ]
            .into(),
            raw: Dict::new(),
        }
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_sample_is_written_as_its_as_dict() {
        let sample = sample("cpu", "1");
        let written = text(|out| write_sample(&sample, Form::Json(NonFinite::Null), out));
        assert_eq!(written, json::to_string(&Value::Dict(sample.as_dict())));
        assert_eq!(
            text(|out| write_sample(&sample, Form::Repr, out)),
            "{'name': 'cpu', 'type': 'cumulative', 'unit': 'ns', 'volume': 1.5, 'user_id': 'u', 'user_name': None, \
             'project_id': 'p', 'project_name': None, 'resource_id': 'r', 'timestamp': '2020-01-01T00:00:00+00:00', \
             'resource_metadata': {'l': [1, \"it's\\n\"]}, 'source': 'openstack', 'id': '1', 'monotonic_time': None}"
        );
    }

    /// As they travel between agents: nobody has looked into their metadata and traits.
    #[test]
    fn what_came_as_json_is_written_as_what_was_made_here() {
        let (mut sample, mut event) = (sample("cpu", "1"), event("m \"1\""));
        sample.resource_metadata.insert("a \"T\"", Dict::from_iter([("", Value::Float(-0.5))]));
        event.traits.insert(1, Trait { name: "\"T".into(), value: TraitValue::Text("T\n\u{1}".into()) });
        for empty in [false, true] {
            if empty {
                (sample.resource_metadata, event.traits) = (OnDemand::default(), OnDemand::default());
            }
            let [samples, events] =
                [text(|out| sample.write_json(out)), text(|out| event.write_json(out))].map(Text::from);
            let sample_that_came = Sample::read_json(&mut Exact::new(&samples)).unwrap();
            let event_that_came = Event::read_json(&mut Exact::new(&events)).unwrap();
            assert!(sample_that_came.resource_metadata.json().is_some() && event_that_came.traits.json().is_some());
            for form in [Form::Json(NonFinite::Null), Form::Json(NonFinite::Python), Form::Repr] {
                let came = text(|out| write_sample(&sample_that_came.clone(), form, out));
                assert_eq!(came, text(|out| write_sample(&sample, form, out)));
                let came = text(|out| write_event(&event_that_came.clone(), form, out));
                assert_eq!(came, text(|out| write_event(&event, form, out)));
            }
            assert_eq!((sample_that_came, event_that_came), (sample.clone(), event.clone()));
        }
    }

    /// A time that another program wrote has the same form in the file.
    #[test]
    fn a_time_that_was_written_otherwise_is_not_taken_as_it_stands() {
        let written = text(|out| event("m").write_json(out));
        for time in ["2020-01-01T00:00:00.000000", "2020-01-01 00:00:00", "2020-01-01T00:00:00Z", "2020-01-01"] {
            let written =
                Text::from(written.replacen(r#"4,"2020-01-01T00:00:00.000005""#, &format!(r#"4,"{time}""#), 1));
            assert_eq!(Event::read_json(&mut Exact::new(&written)), None, "{time}");
        }
    }

    /// Volume, metadata and traits: whatever a strict reader would stumble over.
    #[test]
    fn a_record_without_a_finite_value_is_read_by_a_strict_reader() {
        let mut sample = sample("cpu", "1");
        sample.volume = Value::Float(f64::NAN);
        sample.monotonic_time = Value::Float(f64::NEG_INFINITY);
        sample.resource_metadata.insert("load", vec![Value::Float(f64::INFINITY)]);
        let mut event = event("m");
        event.traits[3].value = TraitValue::Float(f64::NAN);
        event.raw.insert("x", f64::INFINITY);
        for (form, bare) in [(Form::Json(NonFinite::Null), 0), (Form::Json(NonFinite::Python), 5)] {
            let lines = [text(|out| write_sample(&sample, form, out)), text(|out| write_event(&event, form, out))];
            let words = lines.iter().map(|line| line.matches("NaN").count() + line.matches("Infinity").count());
            assert_eq!(words.sum::<usize>(), bare, "{lines:?}");
            for line in lines {
                assert_eq!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), bare == 0, "{line}");
            }
        }
    }

    #[test]
    fn an_event_is_written_with_times_and_trait_dictionaries() {
        let event = event("m");
        assert_eq!(
            text(|out| write_event(&event, Form::Json(NonFinite::Null), out)),
            r#"{"message_id":"m","event_type":"compute.instance.update","generated":"2020-01-01 00:00:00.000005","traits":[{"name":"n","dtype":0,"value":"x"},{"name":"t","dtype":1,"value":"é"},{"name":"i","dtype":2,"value":7},{"name":"f","dtype":3,"value":1e+16},{"name":"d","dtype":4,"value":"2020-01-01 00:00:00.000005"}],"raw":{}}"#
        );
        let repr = text(|out| write_event(&event, Form::Repr, out));
        assert!(
            repr.contains("'generated': datetime.datetime(2020, 1, 1, 0, 0, 0, 5), 'traits': [{'name': 'n', "),
            "{repr}"
        );
        assert!(repr.contains("{'name': 'f', 'dtype': 3, 'value': 1e+16}"), "{repr}");
    }
}
