use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use rstest::rstest;
use std::sync::Arc;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::model::{Sample, SampleType, Value};
use crate::publish::measure::points;
use crate::publish::otlp::metrics::{Form, request};
use crate::publish::outcome::{Left, Partly};
use crate::publish::record::tests::sample;
use crate::publish::{Batch, Context, Kind, PublishError, Publisher, build, check};

fn publisher(server: &MockServer, options: &str) -> Arc<dyn Publisher> {
    let url = format!("opentelemetryhttp://{}/v1/metrics?{options}", server.address());
    build(&url, Kind::Samples, &Context::default()).unwrap()
}

async fn answering(answer: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    let receiver = Mock::given(method("POST")).and(path("/v1/metrics")).and(header("content-type", "application/json"));
    receiver.respond_with(answer).mount(&server).await;
    server
}

async fn bodies(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect()
}

fn three() -> Vec<Sample> {
    let of = |meter: &str, kind, volume| Sample { kind, volume, ..sample(meter, meter) };
    vec![
        of("cpu.time", SampleType::Cumulative, Value::Int(7)),
        of("cpu.delta", SampleType::Delta, Value::Float(-0.5)),
        Sample { unit: Value::Null, ..of("cpu.util", SampleType::Gauge, Value::Float(1e22)) },
    ]
}

/// Read by the field's own decoder.
fn decoded(body: &str) -> ExportMetricsServiceRequest {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn a_batch_is_one_request_that_a_reader_of_otlp_takes() {
    let server = answering(ResponseTemplate::new(200).set_body_string("{\"partialSuccess\":{}}")).await;
    let mut samples = three();
    samples.push(sample("cpu", "4"));
    let mut odd = samples.clone();
    odd[3].volume = Value::Float(f64::NAN);
    publisher(&server, "").publish(&Batch::Samples(odd)).await.unwrap();
    let bodies = bodies(&server).await;
    let [body] = &bodies[..] else { panic!("{bodies:?}") };
    // The field's decoder does not know the text that protobuf has for `NaN`.
    let of_numbers = request(&points(&samples).0, &Form::default());
    assert_eq!(decoded(&body.replace("\"NaN\"", "1.5")), of_numbers);
    // The names and forms of OTLP/JSON: camel case, 64 bits as text, enumerations as numbers.
    let told: serde_json::Value = serde_json::from_str(body).unwrap();
    let metrics = &told["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    assert_eq!(metrics[0]["name"], "cpu.time");
    assert_eq!(metrics[0]["sum"]["aggregationTemporality"], i32::from(AggregationTemporality::Cumulative));
    assert_eq!(metrics[0]["sum"]["isMonotonic"], true);
    let point = &metrics[0]["sum"]["dataPoints"][0];
    assert_eq!((&point["timeUnixNano"], &point["asInt"]), (&"1577836800000000000".into(), &"7".into()));
    assert_eq!(metrics[1]["sum"]["dataPoints"][0]["asDouble"], -0.5);
    assert_eq!(metrics[2]["gauge"]["dataPoints"][0]["asDouble"], 1e22);
    assert_eq!(metrics[3]["sum"]["dataPoints"][0]["asDouble"], "NaN");
}

#[rstest]
#[case::the_whole_request(400, "bad")]
#[case::some_points(200, "{\"partialSuccess\":{\"rejectedDataPoints\":\"1\",\"errorMessage\":\"too old\"}}")]
#[case::some_points_as_a_number(200, "{\"partialSuccess\":{\"rejectedDataPoints\":1}}")]
#[tokio::test]
async fn a_point_that_is_refused_is_found_and_parked(#[case] status: u16, #[case] said: &'static str) {
    let refuses = move |request: &Request| {
        let bad = String::from_utf8_lossy(&request.body).contains("cpu.delta");
        if bad { ResponseTemplate::new(status).set_body_string(said) } else { ResponseTemplate::new(200) }
    };
    let server = answering(refuses).await;
    let mut samples = three();
    samples.push(Sample { timestamp: "yesterday".into(), ..sample("cpu", "4") });
    let Err(PublishError::Partly(Partly { refused, left: None })) =
        publisher(&server, "").publish(&Batch::Samples(samples)).await
    else {
        panic!("nothing is refused")
    };
    assert_eq!(refused.iter().map(|refused| refused.record).collect::<Vec<_>>(), [1, 3]);
    assert!(refused[0].cause.starts_with(&status.to_string()), "{refused:?}");
    assert!(refused[1].cause.contains("timestamp"), "{refused:?}");
}

#[tokio::test]
async fn in_the_shape_of_ceilometer_a_sample_is_a_request() {
    let server = answering(ResponseTemplate::new(200)).await;
    let mut samples = three();
    samples[0].timestamp = "2020-01-01T12:00:00.999+02:00".into();
    samples[1].timestamp = "yesterday".into();
    samples[2].volume = Value::Float(f64::NAN);
    samples[2].user_id = Value::Null;
    let outcome = publisher(&server, "format=ceilometer").publish(&Batch::Samples(samples)).await;
    let cause = "the timestamp is no time; correct the meter's definition";
    assert_eq!(outcome, Err(PublishError::refuse([1], cause)));
    let body = |name: &str, unit: &str, kind: &str, user: &str, seconds: u64, volume: &str| {
        format!(
            r#"{{"resource_metrics":[{{"scope_metrics":[{{"scope":{{"name":"ceilometer","version":"v1"}},"metrics":[{{"name":"{}","description":"{name} unit:{unit}","unit":"{unit}","{kind}":{{"data_points":[{{"attributes":[{{"key":"resource_id","value":{{"string_value":"r"}}}},{{"key":"user_id","value":{{"string_value":{user}}}}},{{"key":"project_id","value":{{"string_value":"p"}}}}],"start_time_unix_nano":{seconds},"time_unix_nano":{seconds},"as_double":{volume},"flags":0}}]}}}}]}}]}}]}}"#,
            name.replace('.', "_")
        )
    };
    let expected = [
        body("cpu.time", "ns", "counter", "\"u\"", 1_577_880_000, "7"),
        body("cpu.util", "", "gauge", "null", 1_577_836_800, "null"),
    ];
    assert_eq!(bodies(&server).await, expected);
}

#[tokio::test]
async fn in_the_shape_of_ceilometer_what_comes_behind_a_busy_answer_is_left() {
    let busy = |request: &Request| {
        let first = String::from_utf8_lossy(&request.body).contains("cpu_time");
        ResponseTemplate::new(if first { 200 } else { 503 })
    };
    let server = answering(busy).await;
    let outcome = publisher(&server, "format=ceilometer&nan=python").publish(&Batch::Samples(three())).await;
    let left = Left { records: vec![1, 2], cause: "503 Service Unavailable".to_owned(), after: None };
    assert_eq!(outcome, Err(PublishError::Partly(Partly { refused: Vec::new(), left: Some(left) })));
    assert_eq!(bodies(&server).await.len(), 2);
}

#[tokio::test]
async fn other_options_stay_in_the_url() {
    let server = MockServer::start().await;
    Mock::given(query_param("q", "1")).respond_with(ResponseTemplate::new(200)).expect(1).mount(&server).await;
    publisher(&server, "batch=false&timeout=2&q=1").publish(&Batch::Samples(three())).await.unwrap();
}

#[test]
fn what_is_wrong_with_a_url_is_said() {
    let url = "opentelemetryhttp:///v1?format=xml&nan=0&timeout=0";
    let said = check(url, Kind::Samples, &|_| Ok(())).unwrap_err().to_string();
    for complaint in ["format=xml: expected otlp or ceilometer", "nan=0", "timeout=0", "write opentelemetryhttp://host"]
    {
        assert!(said.contains(complaint), "{said}");
    }
    let told = check("opentelemetryhttp://h/v1?formt=otlp", Kind::Samples, &|_| Ok(())).unwrap();
    assert_eq!(told, ["formt is no option of the publisher and stays in the URL; did you mean format?"]);
}
