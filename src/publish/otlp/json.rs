//! OTLP as JSON, for receivers that take nothing else.
//!
//! The field's own types write themselves as OTLP/JSON has it: names in camelCase, 64-bit integers as strings, ids in hex. Of
//! protobuf's JSON they lack one thing: words for floats without a finite value, which are put in here.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, NumberDataPoint, Sum, exemplar, number_data_point};
use serde_json::Value;

/// The body of a POST of `application/json` to `/v1/metrics`.
pub(in crate::publish) fn metrics(request: &ExportMetricsServiceRequest) -> Result<Vec<u8>, serde_json::Error> {
    let words = words(request);
    if words.is_empty() {
        return serde_json::to_vec(request);
    }
    let mut json = serde_json::to_value(request)?;
    for (place, word) in words {
        if let Some(slot) = json.pointer_mut(&place) {
            *slot = Value::from(word);
        }
    }
    serde_json::to_vec(&json)
}

/// Where floats without a finite value are, and the word for each.
fn words(request: &ExportMetricsServiceRequest) -> Vec<(String, &'static str)> {
    let mut words = Vec::new();
    for (r, of) in request.resource_metrics.iter().enumerate() {
        for (s, of) in of.scope_metrics.iter().enumerate() {
            for (m, metric) in of.metrics.iter().enumerate() {
                let (kind, points) = match &metric.data {
                    Some(Data::Gauge(Gauge { data_points })) => ("gauge", data_points),
                    Some(Data::Sum(Sum { data_points, .. })) => ("sum", data_points),
                    _ => continue,
                };
                let place = format!("/resourceMetrics/{r}/scopeMetrics/{s}/metrics/{m}/{kind}/dataPoints");
                points.iter().enumerate().for_each(|(p, point)| of_point(point, &format!("{place}/{p}"), &mut words));
            }
        }
    }
    words
}

fn of_point(point: &NumberDataPoint, place: &str, words: &mut Vec<(String, &'static str)>) {
    if let Some(number_data_point::Value::AsDouble(float)) = point.value {
        words.extend(word(float).map(|word| (format!("{place}/asDouble"), word)));
    }
    for (n, exemplar) in point.exemplars.iter().enumerate() {
        if let Some(exemplar::Value::AsDouble(float)) = exemplar.value {
            words.extend(word(float).map(|word| (format!("{place}/exemplars/{n}/asDouble"), word)));
        }
    }
}

fn word(float: f64) -> Option<&'static str> {
    match float {
        _ if float.is_finite() => None,
        _ if float.is_nan() => Some("NaN"),
        _ => Some(if float > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{Form, Metadata, Place, request};
    use super::*;
    use crate::model::{Dict, Sample, SampleType, Value as Field};
    use crate::publish::measure::points;
    use crate::publish::record::tests::sample;

    fn written(samples: &[Sample], form: &Form) -> String {
        String::from_utf8(metrics(&request(&points(samples).0, form)).unwrap()).unwrap()
    }

    #[test]
    fn a_request_is_written_as_otlp_json_has_it() {
        let mut one = sample("cpu", "i");
        one.kind = SampleType::Delta;
        one.volume = Field::Int(i64::MAX);
        one.resource_metadata = Dict::from_iter([("n", Field::Int(7)), ("f", Field::Float(f64::NAN))]).into();
        let form = Form { metadata: Metadata::All, place: Place::Resource, ..Form::default() };
        let version = env!("CARGO_PKG_VERSION");
        let of = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
        let ids = [("resource_id", "r"), ("project_id", "p"), ("user_id", "u"), ("source", "openstack")];
        let ids: Vec<String> = ids.iter().map(|(key, value)| of(key, value)).collect();
        let expected = format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{},{{"key":"metadata.n","value":{{"intValue":"7"}}}},{}],"droppedAttributesCount":0,"entityRefs":[]}},"scopeMetrics":[{{"scope":{{"name":"nephoscope","version":"{version}","attributes":[],"droppedAttributesCount":0}},"metrics":[{{"name":"cpu","description":"","unit":"ns","metadata":[],"sum":{{"dataPoints":[{{"attributes":[],"startTimeUnixNano":"0","timeUnixNano":"1577836800000000000","exemplars":[{{"filteredAttributes":[{}],"timeUnixNano":"1577836800000000000","spanId":"","traceId":"","asInt":"9223372036854775807"}}],"flags":0,"asInt":"9223372036854775807"}}],"aggregationTemporality":1,"isMonotonic":false}}}}],"schemaUrl":""}}],"schemaUrl":""}}]}}"#,
            ids.join(","),
            of("metadata.f", "NaN"),
            of("sample_id", "i"),
        );
        assert_eq!(written(&[one], &form), expected);
    }

    #[test]
    fn a_volume_without_a_finite_value_is_the_word_that_protobuf_has_for_it() {
        let volumes = [f64::NAN, 1.5, f64::INFINITY, f64::NEG_INFINITY];
        let samples = volumes.map(|volume| Sample { volume: volume.into(), ..sample("cpu", "i") });
        let json: Value = serde_json::from_str(&written(&samples, &Form::default())).unwrap();
        let points = &json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"];
        let told = |point: &Value| [point["asDouble"].to_string(), point["exemplars"][0]["asDouble"].to_string()];
        let told: Vec<[String; 2]> = points.as_array().unwrap().iter().map(told).collect();
        assert_eq!(
            told,
            ["\"NaN\"", "1.5", "\"Infinity\"", "\"-Infinity\""].map(|word| [word.to_owned(), word.to_owned()])
        );
    }
}
