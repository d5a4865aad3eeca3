//! What arrives, read by the decoders of the field: prost, the generated messages of OTLP, rmp, `serde_json`.

use cloudevents::AttributesReader;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message;

use self::remote_write::{First, Second};
use crate::records::RESOURCES;
use crate::server::Request;

/// Remote write as its specifications have it; written again here, so that no mistake of ours is made twice.
pub(crate) mod remote_write {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct First {
        #[prost(message, repeated, tag = "1")]
        pub series: Vec<FirstSeries>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct FirstSeries {
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Label {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Second {
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub series: Vec<SecondSeries>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct SecondSeries {
        #[prost(uint32, repeated, tag = "1")]
        pub labels: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub(crate) struct Sample {
        #[prost(double, tag = "1")]
        pub value: f64,
        /// Milliseconds since 1970.
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
    }
}

/// How many samples a request of remote write 2.0 has.
pub(crate) fn samples_of_second_version(body: &[u8]) -> usize {
    let request = Second::decode(body).unwrap();
    request.series.iter().map(|series| series.samples.len()).sum()
}

/// A record that arrived: its resource, and its volume as text (`5`, `NaN`, `inf`, `null`).
pub(crate) type Arrived = (String, String);

/// The measured values of a request of remote write of either version, in order.
pub(crate) fn of_remote_write(request: &Request) -> Vec<Arrived> {
    let of = |labels: Vec<(&str, &str)>, samples: &[remote_write::Sample]| {
        let (_, resource) = *labels.iter().find(|(name, _)| *name == "resource_id").unwrap();
        samples.iter().map(|sample| (resource.to_owned(), sample.value.to_string())).collect::<Vec<_>>()
    };
    if request.header("content-type").contains("io.prometheus.write.v2") {
        let Second { symbols, series } = Second::decode(&*request.body).unwrap();
        let text = |number: u32| symbols[number as usize].as_str();
        let labels = |of: &[u32]| of.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
        return series.iter().flat_map(|one| of(labels(&one.labels), &one.samples)).collect();
    }
    let First { series } = First::decode(&*request.body).unwrap();
    let labels =
        |of: &'_ [remote_write::Label]| of.iter().map(|label| (label.name.clone(), label.value.clone())).collect();
    let of_series = |one: &remote_write::FirstSeries| {
        let labels: Vec<(String, String)> = labels(&one.labels);
        of(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(), &one.samples)
    };
    series.iter().flat_map(of_series).collect()
}

/// Those of a request of OTLP.
pub(crate) fn of_otlp(request: &ExportMetricsServiceRequest) -> Vec<Arrived> {
    let mut all = Vec::new();
    for of_resource in &request.resource_metrics {
        let attributes = &of_resource.resource.as_ref().unwrap().attributes;
        let id = attributes.iter().find(|attribute| attribute.key == "resource_id").unwrap();
        let Some(any_value::Value::StringValue(resource)) = &id.value.as_ref().unwrap().value else { panic!("{id:?}") };
        for metric in of_resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            let points = match metric.data.as_ref().unwrap() {
                metric::Data::Gauge(gauge) => &gauge.data_points,
                metric::Data::Sum(sum) => &sum.data_points,
                other => panic!("{other:?}"),
            };
            all.extend(points.iter().map(|point| match point.value.unwrap() {
                number_data_point::Value::AsInt(int) => (resource.clone(), int.to_string()),
                number_data_point::Value::AsDouble(double) => (resource.clone(), double.to_string()),
            }));
        }
    }
    all
}

pub(crate) fn of_otlp_protobuf(request: &Request) -> Vec<Arrived> {
    of_otlp(&ExportMetricsServiceRequest::decode(&*request.body).unwrap())
}

/// Those of a request of OTLP in JSON, where integers of 64 bits are texts.
pub(crate) fn of_otlp_json(request: &Request) -> Vec<Arrived> {
    let body = json(request);
    let mut all = Vec::new();
    for of_resource in list(&body["resourceMetrics"]) {
        let attributes = list(&of_resource["resource"]["attributes"]);
        let id = attributes.iter().find(|attribute| attribute["key"] == "resource_id").unwrap();
        for metric in list(&of_resource["scopeMetrics"]).iter().flat_map(|scope| list(&scope["metrics"])) {
            for point in list(&metric["gauge"]["dataPoints"]) {
                let value = [&point["asInt"], &point["asDouble"]].into_iter().find(|value| !value.is_null()).unwrap();
                all.push((text(&id["value"]["stringValue"]), number(value)));
            }
        }
    }
    all
}

/// Those of an array of samples as `as_dict()` has them.
pub(crate) fn of_samples(request: &Request) -> Vec<Arrived> {
    samples(request).iter().map(of_sample).collect()
}

/// Those of a post of Zaqar.
pub(crate) fn of_zaqar(request: &Request) -> Vec<Arrived> {
    list(&json(request)["messages"]).iter().map(|message| of_sample(&message["body"])).collect()
}

/// They themselves.
pub(crate) fn samples(request: &Request) -> Vec<serde_json::Value> {
    list(&json(request)).to_vec()
}

pub(crate) fn of_sample(sample: &serde_json::Value) -> Arrived {
    (text(&sample["resource_id"]), number(&sample["volume"]))
}

/// Those of a measures request of Gnocchi; of no other request any.
pub(crate) fn of_gnocchi(request: &Request) -> Vec<Arrived> {
    if !request.target.starts_with("/v1/batch/") {
        return Vec::new();
    }
    let body = String::from_utf8(request.body.clone()).unwrap();
    // Gnocchi reads JSON as Python does, which has words for what is no finite number.
    let words = regex::Regex::new(r"([:,\[])(-?(?:NaN|Infinity))([,}\]])").unwrap();
    let body: serde_json::Value = serde_json::from_str(&words.replace_all(&body, r#"$1"$2"$3"#)).unwrap();
    let metrics = body.as_object().unwrap().iter().flat_map(|(id, metrics)| {
        metrics.as_object().unwrap().values().map(move |metric| (id, list(&metric["measures"])))
    });
    metrics.flat_map(|(id, all)| all.iter().map(move |one| (id.clone(), number(&one["value"])))).collect()
}

/// Those of a page in the text format of Prometheus.
pub(crate) fn of_exposition(page: &str) -> Vec<Arrived> {
    let of_line = |line: &str| {
        let (_, rest) = line.split_once("resource_id=\"").unwrap();
        let (resource, _) = rest.split_once('"').unwrap();
        (resource.to_owned(), number(&line.rsplit(' ').next().unwrap().into()))
    };
    page.lines().filter(|line| line.starts_with("volume_size{")).map(of_line).collect()
}

pub(crate) fn of_push(request: &Request) -> Vec<Arrived> {
    of_exposition(std::str::from_utf8(&request.body).unwrap())
}

/// That of a meter message.
pub(crate) fn of_message(message: &serde_json::Value) -> Arrived {
    (text(&message["resource_id"]), number(&message["counter_volume"]))
}

/// The event of a request of CloudEvents, as its own library reads it: the number in its id tells the resource and the step.
pub(crate) fn of_cloud_event(request: &Request) -> Vec<Arrived> {
    let event: cloudevents::Event = serde_json::from_slice(&request.body).unwrap();
    let resource = event.subject().unwrap().to_owned();
    let n: i64 = event.id().strip_prefix("m-").unwrap().parse().unwrap();
    vec![(resource, (n / RESOURCES).to_string())]
}

pub(crate) fn json(request: &Request) -> serde_json::Value {
    serde_json::from_slice(&request.body).unwrap()
}

pub(crate) fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// A number, also one that is written as a text.
fn number(value: &serde_json::Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse::<f64>().map_or(text, |number| number.to_string())
}

fn list(value: &serde_json::Value) -> &[serde_json::Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A message in msgpack, with nothing behind it.
pub(crate) fn whole_msgpack(mut bytes: &[u8]) -> serde_json::Value {
    let message = msgpack(&mut bytes);
    assert_eq!(bytes, b"", "behind {message}");
    message
}

/// A value in msgpack. Floats that JSON has no word for are texts.
fn msgpack(bytes: &mut &[u8]) -> serde_json::Value {
    use rmp::Marker;
    use rmp::decode::{RmpRead, read_marker};
    let before = *bytes;
    let float = |float: f64| {
        serde_json::Number::from_f64(float).map_or_else(|| format!("{float}").into(), serde_json::Value::Number)
    };
    match read_marker(bytes).unwrap() {
        Marker::Null => serde_json::Value::Null,
        Marker::True => true.into(),
        Marker::False => false.into(),
        Marker::F32 => float(bytes.read_data_f32().unwrap().into()),
        Marker::F64 => float(bytes.read_data_f64().unwrap()),
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            let (text, rest) = rmp::decode::read_str_from_slice(before).unwrap();
            *bytes = rest;
            text.into()
        }
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
            *bytes = before;
            let count = rmp::decode::read_array_len(bytes).unwrap();
            (0..count).map(|_| msgpack(bytes)).collect()
        }
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
            *bytes = before;
            let count = rmp::decode::read_map_len(bytes).unwrap();
            let mut map = serde_json::Map::new();
            for _ in 0..count {
                let key = text(&msgpack(bytes));
                assert_eq!(map.insert(key, msgpack(bytes)), None, "a key that comes twice");
            }
            map.into()
        }
        Marker::U64 => {
            *bytes = before;
            rmp::decode::read_u64(bytes).unwrap().into()
        }
        _ => {
            *bytes = before;
            rmp::decode::read_int::<i64, _>(bytes).unwrap().into()
        }
    }
}
