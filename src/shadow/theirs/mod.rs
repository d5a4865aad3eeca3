//! Samples and events that Ceilometer published, from the lines of its file publisher or the bodies of its HTTP publisher, in one
//! form with ours.
//!
//! A line is one record or a list of them, as JSON or as Python's `repr()` (Ceilometer reference §6.3, §6.6). Samples are
//! `as_dict()`, or the message of the notifier, UDP and TCP publishers; events are `serialize()` or `as_dict()`.
//!
//! Never here: which record is paired with which.

mod python;

use crate::model::{Dict, Event, Sample, Value, json, time};

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A sample.
    Sample,
    /// An event.
    Event,
}

impl Kind {
    /// In a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sample => "sample",
            Kind::Event => "event",
        }
    }
}

/// A sample or an event with the fields that are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Which of the two.
    pub kind: Kind,
    /// The fields by Ceilometer's names.
    pub fields: Dict,
}

/// Fields of a sample: its name here, and in the message of a sample.
const SAMPLE_FIELDS: [(&str, &str); 13] = [
    ("name", "counter_name"),
    ("type", "counter_type"),
    ("unit", "counter_unit"),
    ("volume", "counter_volume"),
    ("user_id", "user_id"),
    ("user_name", "user_name"),
    ("project_id", "project_id"),
    ("project_name", "project_name"),
    ("resource_id", "resource_id"),
    ("timestamp", "timestamp"),
    ("resource_metadata", "resource_metadata"),
    ("source", "source"),
    ("monotonic_time", "monotonic_time"),
];
/// Fields of an event.
const EVENT_FIELDS: [&str; 5] = ["message_id", "event_type", "generated", "traits", "raw"];

impl Record {
    /// Of a sample of ours. Its id is left out: Ceilometer's is made anew each time.
    pub fn of_sample(sample: &Sample) -> Record {
        sample_record(sample.as_dict(), false)
    }

    /// Of an event of ours.
    pub fn of_event(event: &Event) -> Record {
        event_record(event.serialize())
    }

    /// The meter or the event type.
    pub fn name(&self) -> &str {
        let field = match self.kind {
            Kind::Sample => "name",
            Kind::Event => "event_type",
        };
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// When, in microseconds since 1970, as far as it says so.
    pub fn time(&self) -> Option<i64> {
        let field = match self.kind {
            Kind::Sample => "timestamp",
            Kind::Event => "generated",
        };
        micros(self.fields.get(field)?)
    }

    /// What identifies it: name, resource and time of a sample, message id and type of an event.
    pub fn identity(&self) -> Vec<u8> {
        let fields: &[&str] = match self.kind {
            Kind::Sample => &["name", "resource_id", "timestamp"],
            Kind::Event => &["message_id", "event_type"],
        };
        let mut identity = Vec::with_capacity(128);
        for field in fields {
            json::write(self.fields.get(field).unwrap_or(&Value::Null), &mut identity);
            identity.push(0);
        }
        identity
    }
}

/// A time in microseconds since 1970.
pub fn micros(value: &Value) -> Option<i64> {
    time::parse(value.as_str()?).map(|time| time.timestamp_micros())
}

/// The records of a line, or why it holds none.
pub fn read(line: &[u8]) -> Result<Vec<Record>, String> {
    let value = match json::read(line) {
        Ok(value) => value,
        Err(error) => {
            let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
            python::read(text.trim())
                .map_err(|why| format!("the line is {error}, and no Python literal either: {why}"))?
        }
    };
    match value {
        Value::List(items) => items.into_iter().map(record).collect(),
        one => Ok(vec![record(one)?]),
    }
}

fn record(value: Value) -> Result<Record, String> {
    let Value::Dict(dict) = value else { return Err("a record is no object".to_owned()) };
    let has = |names: &[&str]| names.iter().all(|name| dict.contains_key(name));
    if has(&["event_type", "traits", "generated"]) {
        return Ok(event_record(dict));
    }
    if has(&["counter_name", "counter_volume", "resource_id", "timestamp"]) {
        return Ok(sample_record(dict, true));
    }
    if has(&["name", "volume", "resource_id", "timestamp"]) {
        return Ok(sample_record(dict, false));
    }
    Err("a record is neither a sample nor an event; write all fields of Ceilometer's file or HTTP publisher".to_owned())
}

fn sample_record(mut dict: Dict, is_message: bool) -> Record {
    let fields = SAMPLE_FIELDS.iter().filter_map(|(name, in_message)| {
        let value = dict.remove(if is_message { in_message } else { name })?;
        Some((*name, value))
    });
    Record { kind: Kind::Sample, fields: Dict::from_iter(fields.collect::<Vec<_>>()) }
}

fn event_record(mut dict: Dict) -> Record {
    let mut fields = Dict::new();
    for name in EVENT_FIELDS {
        let Some(value) = dict.remove(name) else { continue };
        let value = match (name, value) {
            ("generated", value) => as_time(value),
            ("traits", Value::List(traits)) => Value::Dict(as_traits(traits)),
            (_, value) => value,
        };
        fields.insert(name, value);
    }
    Record { kind: Kind::Event, fields }
}

/// A time in the one form: Ceilometer writes it with a blank or a `T`.
fn as_time(value: Value) -> Value {
    match value.as_str().and_then(time::parse) {
        Some(time) => Value::from(time::isoformat_naive(&time.naive_utc())),
        None => value,
    }
}

/// Traits by their names, each with its type and value: their order means nothing. Names that are there several times are counted.
fn as_traits(traits: Vec<Value>) -> Dict {
    const DATETIME: i64 = 4;
    let mut pairs = Vec::new();
    for one in traits {
        let (name, dtype, value) = match one {
            Value::List(parts) => match <[Value; 3]>::try_from(parts) {
                Ok([name, dtype, value]) => (name, dtype, value),
                Err(parts) => (Value::from("?"), Value::Null, Value::List(parts)),
            },
            Value::Dict(mut dict) => {
                let mut member = |name| dict.remove(name).unwrap_or_default();
                (member("name"), member("dtype"), member("value"))
            }
            other => (Value::from("?"), Value::Null, other),
        };
        let value = if dtype == Value::Int(DATETIME) { as_time(value) } else { value };
        let name = name.as_str().map_or_else(|| json::to_string(&name), str::to_owned);
        pairs.push((name, Value::List(vec![dtype, value])));
    }
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut by_name = Dict::new();
    let (mut last, mut times) = (String::new(), 1);
    for (name, value) in pairs {
        times = if name == last { times + 1 } else { 1 };
        last.clone_from(&name);
        by_name.insert(if times > 1 { format!("{name}#{times}") } else { name }, value);
    }
    by_name
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// The same records in every form in which a publisher writes them; recorded from Ceilometer.
    const SAMPLE_JSON: &str = r#"{"name": "t\u00fcr.meter", "type": "cumulative", "unit": "B", "volume": 307417, "user_id": "f6", "user_name": null, "project_id": "49", "project_name": "back\\slash", "resource_id": "res a#b", "timestamp": "2026-03-01 13:02:38", "resource_metadata": {"display_name": [1, "two", null, {"three": 3.0}]}, "source": "openstack", "id": "647d81cd-a596-46f0-9f01-5de8623f9fab", "monotonic_time": null}"#;
    const SAMPLE_REPR: &str = r"{'name': 'tür.meter', 'type': 'cumulative', 'unit': 'B', 'volume': 307417, 'user_id': 'f6', 'user_name': None, 'project_id': '49', 'project_name': 'back\\slash', 'resource_id': 'res a#b', 'timestamp': '2026-03-01 13:02:38', 'resource_metadata': {'display_name': [1, 'two', None, {'three': 3.0}]}, 'source': 'openstack', 'id': '7070b5ba-9fdc-4b43-9e77-94616214546d', 'monotonic_time': None}";
    const SAMPLE_MESSAGE: &str = r#"{"source":"openstack","counter_name":"tür.meter","counter_type":"cumulative","counter_unit":"B","counter_volume":307417,"user_id":"f6","user_name":null,"project_id":"49","project_name":"back\\slash","resource_id":"res a#b","timestamp":"2026-03-01 13:02:38","resource_metadata":{"display_name":[1,"two",null,{"three":3.0}]},"message_id":"16e0cd12-62e3-4a6b-a166-f6290355b4a3","monotonic_time":null,"message_signature":"00"}"#;
    const EVENT_JSON: &str = r#"{"message_id": "b23421ef", "event_type": "compute.instance.update", "generated": "2026-03-01 13:45:21.250000", "traits": [{"name": "launched_at", "dtype": 2, "value": -3}, {"name": "host", "dtype": 4, "value": "2026-03-01 13:46:47.000005"}], "raw": {}}"#;
    const EVENT_REPR: &str = r"{'message_id': 'b23421ef', 'event_type': 'compute.instance.update', 'generated': datetime.datetime(2026, 3, 1, 13, 45, 21, 250000), 'traits': [{'name': 'host', 'dtype': 4, 'value': datetime.datetime(2026, 3, 1, 13, 46, 47, 5)}, {'name': 'launched_at', 'dtype': 2, 'value': -3}], 'raw': {}}";
    const EVENT_SERIALIZED: &str = r#"{"message_id":"b23421ef","event_type":"compute.instance.update","generated":"2026-03-01T13:45:21.250000","traits":[["launched_at",2,-3],["host",4,"2026-03-01T13:46:47.000005"]],"raw":{}}"#;

    #[rstest]
    #[case::samples([SAMPLE_JSON, SAMPLE_REPR, SAMPLE_MESSAGE])]
    #[case::events([EVENT_JSON, EVENT_REPR, EVENT_SERIALIZED])]
    fn every_publisher_gives_the_same_record(#[case] lines: [&str; 3]) {
        let [one, other, third] = lines.map(|line| read(line.as_bytes()).unwrap());
        assert_eq!(one.len(), 1);
        for record in [&other[0], &third[0]] {
            assert_eq!(one[0].identity(), record.identity());
            assert!(
                one[0].fields.iter().all(|(name, value)| record.fields.get(name) == Some(value)),
                "{:?}\n{:?}",
                one[0].fields,
                record.fields
            );
        }
        let list = format!("[{}, {}]", lines[0], lines[2]);
        assert_eq!(read(list.as_bytes()).unwrap(), [one, third].concat());
    }

    #[test]
    fn ours_have_the_same_form() {
        let Ok(Value::Dict(sample)) = json::read(SAMPLE_JSON.as_bytes()) else { panic!("an object") };
        let sample = Sample::from_dict(sample).unwrap();
        assert_eq!(vec![Record::of_sample(&sample)], read(SAMPLE_JSON.as_bytes()).unwrap());
        let Ok(Value::Dict(event)) = json::read(EVENT_SERIALIZED.as_bytes()) else { panic!("an object") };
        let event = Event::from_dict(event).unwrap();
        assert_eq!(vec![Record::of_event(&event)], read(EVENT_REPR.as_bytes()).unwrap());
    }

    #[rstest]
    #[case("[]", Ok(0))]
    #[case("[1]", Err("no object"))]
    #[case(r#"{"payload": {}}"#, Err("neither a sample nor an event"))]
    #[case("nonsense", Err("no Python literal either"))]
    fn a_line_that_holds_no_record_says_why(#[case] line: &str, #[case] expected: Result<usize, &str>) {
        match (read(line.as_bytes()), expected) {
            (Ok(records), Ok(count)) => assert_eq!(records.len(), count),
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (got, expected) => panic!("{got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_trait_that_is_there_twice_is_compared_twice() {
        let twice = as_traits(vec![
            Value::List(vec![Value::from("a"), Value::Int(2), Value::Int(1)]),
            Value::List(vec![Value::from("a"), Value::Int(2), Value::Int(2)]),
        ]);
        assert_eq!(json::to_string(&Value::Dict(twice)), r#"{"a":[2,1],"a#2":[2,2]}"#);
    }
}
