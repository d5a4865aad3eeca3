//! What Ceilometer sends (reference §6.5), faults included: `counter` where OTLP has `sum`, seconds for nanoseconds, and of a
//! time what the clock shows, whatever its zone.

use crate::model::json::{NonFinite, write_dict_as};
use crate::model::python::str as python_str;
use crate::model::{Dict, Sample, SampleType, Value, time};

/// The body for one sample; `Err` is why there is none.
pub(super) fn body(sample: &Sample, non_finite: NonFinite) -> Result<Vec<u8>, String> {
    let at = time::parse(&sample.timestamp).ok_or("the timestamp is no time; correct the meter's definition")?;
    // As Ceilometer's on a machine in UTC.
    let seconds = at.naive_local().and_utc().timestamp();
    let attribute = |key: &str, value: &Value| {
        let value = dict([("string_value", value.clone())]);
        dict([("key", key.into()), ("value", value)])
    };
    let ids = [("resource_id", &sample.resource_id), ("user_id", &sample.user_id), ("project_id", &sample.project_id)];
    let point = dict([
        ("attributes", Value::List(ids.map(|(key, value)| attribute(key, value)).to_vec())),
        ("start_time_unix_nano", Value::Int(seconds)),
        ("time_unix_nano", Value::Int(seconds)),
        ("as_double", sample.volume.clone()),
        ("flags", Value::Int(0)),
    ]);
    let kind = if sample.kind == SampleType::Cumulative { "counter" } else { "gauge" };
    // Ceilometer has no form of a sample without a unit.
    let unit = if sample.unit.is_null() { Value::from("") } else { sample.unit.clone() };
    let description = format!("{} unit:{}", sample.name, python_str(&unit).unwrap_or_default());
    let metric = dict([
        ("name", sample.name.replace('.', "_").into()),
        ("description", description.into()),
        ("unit", unit),
        (kind, dict([("data_points", Value::List(vec![point]))])),
    ]);
    let scope = dict([("name", "ceilometer".into()), ("version", "v1".into())]);
    let scope_metrics = dict([("scope", scope), ("metrics", Value::List(vec![metric]))]);
    let resource_metrics = dict([("scope_metrics", Value::List(vec![scope_metrics]))]);
    let request = Dict::from_iter([("resource_metrics", Value::List(vec![resource_metrics]))]);
    let mut body = Vec::with_capacity(700);
    write_dict_as(&request, non_finite, &mut body);
    Ok(body)
}

fn dict<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Dict(pairs.into_iter().collect())
}
