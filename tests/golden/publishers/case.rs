//! The parts of a case, and how they are compared.

use nephoscope::model::{Dict, Event, Sample, SampleType, Trait, TraitValue, Value, json};
use nephoscope::publish::{Batch, Kind, PublishError};
use std::collections::BTreeSet;

pub(super) fn text<'c>(dict: &'c Dict, key: &str) -> &'c str {
    dict.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'c>(dict: &'c Dict, key: &str) -> &'c [Value] {
    dict.get(key).and_then(Value::as_list).unwrap_or_default()
}

pub(super) fn whole(value: &Value) -> Option<u16> {
    match value {
        Value::Int(int) => u16::try_from(*int).ok(),
        _ => None,
    }
}

pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}

/// What its sink publishes: what its calls are made of, where the recorder called a publisher of samples with events.
pub(super) fn kind(case: &Dict) -> Kind {
    let of_events = |call: &Value| call.as_dict().is_some_and(|call| call.contains_key("events"));
    if text(case, "kind") == "events" || list(case, "calls").iter().any(of_events) {
        Kind::Events
    } else {
        Kind::Samples
    }
}

/// What was said of the records of a call, by their positions.
pub(super) struct Said {
    pub refused: BTreeSet<usize>,
    pub left: BTreeSet<usize>,
    records: usize,
}

impl Said {
    /// Of a call of so many records; an error where the publisher is at its end.
    pub(super) fn of(outcome: &Result<(), PublishError>, records: usize) -> Result<Said, String> {
        let (refused, left) = match outcome {
            Ok(()) => (BTreeSet::new(), BTreeSet::new()),
            Err(PublishError::Retry { .. }) => (BTreeSet::new(), (0..records).collect()),
            Err(PublishError::Partly(partly)) => (
                partly.refused.iter().map(|refused| refused.record).collect(),
                partly.left.iter().flat_map(|left| left.records.iter().copied()).collect(),
            ),
            Err(PublishError::Stop { cause }) => return Err(format!("stops: {cause}")),
        };
        Ok(Said { refused, left, records })
    }

    /// All that is neither refused nor left.
    pub(super) fn taken(&self) -> BTreeSet<usize> {
        (0..self.records).filter(|n| !self.refused.contains(n) && !self.left.contains(n)).collect()
    }
}

/// The samples of a call that are said to be taken.
pub(super) fn taken<'b>(batch: &'b Batch, outcome: &Result<(), PublishError>) -> Result<Vec<&'b Sample>, String> {
    let Batch::Samples(samples) = batch else { return Ok(Vec::new()) };
    Ok(Said::of(outcome, samples.len())?.taken().into_iter().map(|n| &samples[n]).collect())
}

/// A value as an id in a path and a text.
pub(super) fn id_text(value: &Value) -> String {
    value.as_str().map_or_else(|| json::to_string(value), str::to_owned)
}

/// The publish calls. One without anything in it is none: the agent makes no empty batches.
pub(super) fn calls(case: &Dict) -> Vec<Batch> {
    let call = |call: &Value| {
        let call = call.as_dict().unwrap();
        match call.get("events") {
            Some(Value::List(events)) => Batch::Events(events.iter().map(event).collect()),
            _ => Batch::Samples(list(call, "samples").iter().map(sample).collect()),
        }
    };
    list(case, "calls").iter().map(call).collect()
}

/// Whether Ceilometer failed there: the classes of its exceptions.
pub(super) fn raised(case: &Dict, at: &Value) -> bool {
    let is_at = |raised: &Value| raised.as_dict().is_some_and(|raised| raised.get("at") == Some(at));
    match case.get("raised") {
        Some(Value::List(all)) => all.iter().any(is_at),
        Some(one) => is_at(one),
        None => false,
    }
}

/// The same of a call.
pub(super) fn raised_at(case: &Dict, call: usize) -> bool {
    raised(case, &call_number(call))
}

/// What was recorded of a call, in order.
pub(super) fn recorded(case: &Dict, call: usize) -> Vec<&Dict> {
    let number = call_number(call);
    list(case, "sent").iter().filter_map(Value::as_dict).filter(|sent| sent.get("call") == Some(&number)).collect()
}

fn call_number(call: usize) -> Value {
    Value::Int(i64::try_from(call).unwrap())
}

pub(super) fn logged(case: &Dict) -> bool {
    !list(case, "log").is_empty()
}

/// `{"$float": …}` and `{"$datetime": …}` are values that JSON has not.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        Value::Dict(dict) => match (dict.get("$float"), dict.get("$datetime")) {
            (Some(name), _) => Value::Float(name.as_str().unwrap().parse().unwrap()),
            (_, Some(time)) => time.clone(),
            _ => Value::Dict(dict.iter().map(|(key, value)| (key, plain(value))).collect()),
        },
        Value::List(all) => Value::List(all.iter().map(plain).collect()),
        other => other.clone(),
    }
}

fn sample(value: &Value) -> Sample {
    let value = plain(value);
    let dict = value.as_dict().unwrap();
    let any = |key: &str| dict.get(key).cloned().unwrap_or_default();
    Sample {
        name: text(dict, "name").into(),
        kind: SampleType::from_name(text(dict, "type")).unwrap(),
        unit: any("unit"),
        volume: any("volume"),
        user_id: any("user_id"),
        user_name: any("user_name"),
        project_id: any("project_id"),
        project_name: any("project_name"),
        resource_id: any("resource_id"),
        timestamp: text(dict, "timestamp").into(),
        resource_metadata: any("resource_metadata").as_dict().unwrap().clone().into(),
        source: text(dict, "source").into(),
        id: text(dict, "id").into(),
        monotonic_time: any("monotonic_time"),
    }
}

fn event(value: &Value) -> Event {
    let dict = value.as_dict().unwrap();
    let any = |key: &str| dict.get(key).map(plain).unwrap_or_default();
    let time = |text: &str| chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").unwrap();
    let one = |value: &Value| {
        let [name, Value::Int(kind), value] = value.as_list().unwrap() else { panic!("no trait: {value:?}") };
        let is_time = value.as_dict().is_some();
        let value = plain(value);
        let said = || value.as_str().unwrap_or_default().to_owned();
        let value = match kind {
            4 => TraitValue::Datetime(time(&said())),
            1 if is_time => TraitValue::Datetime(time(&said())),
            1 => TraitValue::Text(said().into()),
            2 => TraitValue::Int(value.clone()),
            3 => TraitValue::Float(number(&value).unwrap()),
            _ => TraitValue::None(said().into()),
        };
        Trait { name: name.as_str().unwrap().into(), value }
    };
    Event {
        message_id: any("message_id"),
        event_type: text(dict, "event_type").into(),
        generated: time(any("generated").as_str().unwrap()),
        traits: list(dict, "traits").iter().filter(|one| !is_impossible_trait(one)).map(one).collect(),
        raw: any("raw").as_dict().cloned().unwrap_or_default(),
    }
}

/// A recorded value as ours can be: with `null` for what is no finite number, and whether there was any; without traits that the
/// recorder made by hand and no definition yields (a text that is none).
pub(super) fn comparable(value: &Value) -> (Value, bool) {
    let mut found = false;
    let clean = clean(value, &mut found);
    (clean, found)
}

fn clean(value: &Value, found: &mut bool) -> Value {
    match value {
        Value::Float(float) if !float.is_finite() => {
            *found = true;
            Value::Null
        }
        Value::Dict(dict) if dict.contains_key("$float") => {
            *found = true;
            Value::Null
        }
        Value::Dict(dict) => Value::Dict(dict.iter().map(|(key, value)| (key, clean(value, found))).collect()),
        Value::List(all) => {
            let all = all.iter().filter(|value| !is_impossible_trait(value));
            Value::List(all.map(|value| clean(value, found)).collect())
        }
        other => other.clone(),
    }
}

fn is_impossible_trait(value: &Value) -> bool {
    let value = match value {
        Value::List(all) => match &all[..] {
            [Value::Str(_), Value::Int(0 | 1), value] => value,
            _ => return false,
        },
        // As the file publisher has it.
        Value::Dict(dict) => match (dict.get("dtype"), dict.get("value")) {
            (Some(Value::Int(0 | 1)), Some(value)) => value,
            _ => return false,
        },
        _ => return false,
    };
    let is_time = value.as_dict().is_some_and(|dict| dict.contains_key("$datetime"));
    value.as_str().is_none() && !is_time
}
