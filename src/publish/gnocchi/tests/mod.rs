//! Against a server that plays Gnocchi: `gnocchi-basic`, so that no Keystone is asked.

mod denied;
mod events;
mod filter;
mod sentences;

use rstest::rstest;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::config;
use crate::model::{Dict, Event, Sample, Text, Trait, TraitValue, Value};
use crate::observe::captured::Captured;
use crate::publish::record::tests;
use crate::publish::{Batch, Context, Kind, Partly, PublishError, Publisher, build, identity};

const MEASURES: &str = "/v1/batch/resources/metrics/measures";

fn context(server: &MockServer) -> Context {
    logged_in(server, "auth_type = gnocchi-basic\nendpoint = SERVER")
}

/// With this login; `SERVER` is the server.
fn logged_in(server: &MockServer, section: &str) -> Context {
    let section = section.replace("SERVER", &format!("http://{}", server.address()));
    let text = format!("[service_credentials]\n{section}\n");
    let (gnocchi, zaqar) = identity::logins(&config::load_text("test", &text).0.unwrap().logins);
    Context { gnocchi, zaqar, ..Context::default() }
}

fn publisher(server: &MockServer, options: &str) -> Arc<dyn Publisher> {
    let url = format!("gnocchi://?enable_filter_project=false&{options}");
    build(&url, Kind::Samples, &context(server)).unwrap()
}

/// Answers everything well that no rule names before.
async fn gnocchi() -> MockServer {
    let server = MockServer::start().await;
    for (verb, at, status) in [
        ("POST", "^/v1/archive_policy/$", 201),
        ("GET", "^/v1/archive_policy$", 200),
        ("POST", "^/v1/batch/", 202),
        ("POST", "^/v1/resource/", 201),
        ("PATCH", "^/v1/resource/", 200),
    ] {
        let mock = Mock::given(method(verb)).and(path_regex(at)).respond_with(ResponseTemplate::new(status));
        mock.with_priority(9).mount(&server).await;
    }
    let none = ResponseTemplate::new(200).set_body_json(json!([]));
    Mock::given(method("POST"))
        .and(path_regex("^/v1/search/"))
        .respond_with(none)
        .with_priority(9)
        .mount(&server)
        .await;
    server
}

async fn on(server: &MockServer, verb: &str, at: &str, answer: impl Respond + 'static) {
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

/// What was asked, without the archive policies: method and path with its query.
async fn asked(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    let shown = requests.iter().map(|request| {
        let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{} {}{query}", request.method, request.url.path())
    });
    shown.filter(|line| !line.contains("archive_policy")).collect()
}

/// The bodies of the measures requests.
async fn measures(server: &MockServer) -> Vec<serde_json::Value> {
    let requests = server.received_requests().await.unwrap();
    requests
        .iter()
        .filter(|request| request.url.path() == MEASURES)
        .map(|request| request.body_json().unwrap())
        .collect()
}

/// A sample of a volume.
fn volume(id: &str, size: i64) -> Sample {
    let mut sample = tests::sample("volume.size", "s");
    sample.resource_id = id.into();
    sample.volume = Value::Int(size);
    sample.resource_metadata = Dict::from_iter([("name", Value::from("n"))]).into();
    sample
}

fn samples(of: &[Sample]) -> Batch {
    Batch::Samples(of.to_vec())
}

fn event(event_type: &str, id: &str) -> Event {
    let mut event = tests::event("m");
    event.event_type = event_type.into();
    event.traits = ["resource_id", "instance_id"]
        .map(|name| Trait { name: name.into(), value: TraitValue::Text(id.into()) })
        .to_vec()
        .into();
    event
}

/// Positions of what is refused and of what is left.
fn said(result: Result<(), PublishError>) -> (Vec<usize>, Vec<usize>) {
    match result {
        Ok(()) => (Vec::new(), Vec::new()),
        Err(PublishError::Partly(Partly { refused, left })) => {
            (refused.iter().map(|refused| refused.record).collect(), left.map(|left| left.records).unwrap_or_default())
        }
        Err(other) => panic!("{other}"),
    }
}

fn bad_request(description: serde_json::Value) -> ResponseTemplate {
    ResponseTemplate::new(400).set_body_json(json!({"code": 400, "title": "Bad Request", "description": description}))
}

/// Does not know these resources until they are created.
struct Unknown(Vec<&'static str>, std::sync::atomic::AtomicBool);

impl Respond for Unknown {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        if self.1.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return ResponseTemplate::new(202);
        }
        let detail: Vec<_> =
            self.0.iter().map(|id| json!({"resource_id": "uuid", "original_resource_id": id})).collect();
        bad_request(json!({"cause": "Unknown resources", "detail": detail}))
    }
}

fn unknown(ids: &[&'static str]) -> Unknown {
    Unknown(ids.to_vec(), false.into())
}

/// Refuses a request that holds a volume of -1, and perhaps says where.
struct Picky {
    status: u16,
    tells: bool,
}

impl Respond for Picky {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body: serde_json::Value = request.body_json().unwrap();
        for (id, metrics) in body.as_object().unwrap() {
            for (metric, of) in metrics.as_object().unwrap() {
                if of["measures"].as_array().unwrap().iter().any(|measure| measure["value"] == -1) {
                    let detail = if self.tells { json!([id, metric, "measures"]) } else { json!([]) };
                    let description = json!({"cause": "Invalid input", "detail": detail});
                    return ResponseTemplate::new(self.status).set_body_json(json!({"description": description}));
                }
            }
        }
        ResponseTemplate::new(202)
    }
}

#[tokio::test]
async fn a_batch_is_one_request_sorted_by_resource_with_the_unit_of_the_first() {
    let server = gnocchi().await;
    let mut second = volume("a", 2);
    second.unit = "GB".into();
    let batch = samples(&[volume("b", 1), volume("a", 1), second, volume("a/x", 3)]);
    publisher(&server, "archive_policy=p").publish(&batch).await.unwrap();
    let metric = |measures| json!({"volume.size": {"unit": "ns", "archive_policy_name": "p", "measures": measures}});
    let measure = |value| json!({"timestamp": "2020-01-01T00:00:00+00:00", "value": value});
    let expected = json!({
        "a": metric(json!([measure(1), measure(2)])),
        "a_x": metric(json!([measure(3)])),
        "b": metric(json!([measure(1)])),
    });
    assert_eq!(measures(&server).await, [expected]);
    let patch = |id: &str| format!("PATCH /v1/resource/volume/{id}");
    let post = format!("POST {MEASURES}?create_metrics=True");
    assert_eq!(asked(&server).await, [post, patch("a"), patch("a_x"), patch("b")]);
}

#[tokio::test]
async fn attributes_are_told_once_while_they_stay_the_same() {
    let server = gnocchi().await;
    let publisher = publisher(&server, "");
    publisher.publish(&samples(&[volume("a", 1)])).await.unwrap();
    publisher.publish(&samples(&[volume("a", 2)])).await.unwrap();
    let mut renamed = volume("a", 3);
    renamed.resource_metadata.insert("name", "other");
    publisher.publish(&samples(&[renamed])).await.unwrap();
    let patches = asked(&server).await.iter().filter(|line| line.starts_with("PATCH")).count();
    assert_eq!(patches, 2);
}

#[tokio::test]
async fn what_gnocchi_does_not_know_is_created_with_its_attributes() {
    let server = gnocchi().await;
    on(&server, "POST", MEASURES, unknown(&["a"])).await;
    publisher(&server, "").publish(&samples(&[volume("a", 1)])).await.unwrap();
    let post = format!("POST {MEASURES}?create_metrics=True");
    assert_eq!(asked(&server).await, [post.clone(), "POST /v1/resource/volume".to_owned(), post]);
    let requests = server.received_requests().await.unwrap();
    let creation = requests.iter().find(|request| request.url.path() == "/v1/resource/volume").unwrap();
    let expected = json!({"id": "a", "user_id": "u", "project_id": "p", "display_name": "n"});
    assert_eq!(creation.body_json::<serde_json::Value>().unwrap(), expected);
}

#[rstest]
#[case::refused(400, vec![0], vec![])]
#[case::hidden_by_somebody(404, vec![0], vec![])]
#[case::no_right(403, vec![0], vec![])]
#[case::broken(500, vec![], vec![0])]
#[case::made_meanwhile(409, vec![], vec![])]
#[tokio::test]
async fn a_resource_that_cannot_be_created_stops_only_its_own_samples(
    #[case] status: u16,
    #[case] refused: Vec<usize>,
    #[case] left: Vec<usize>,
) {
    let server = gnocchi().await;
    on(&server, "POST", MEASURES, unknown(&["a"])).await;
    on(&server, "POST", "/v1/resource/volume", ResponseTemplate::new(status)).await;
    let batch = samples(&[volume("a", 1), volume("b", 2)]);
    assert_eq!(said(publisher(&server, "").publish(&batch).await), (refused, left));
    assert!(measures(&server).await.last().unwrap().get("b").is_some());
}

#[rstest]
#[case::named(400, true, 8)]
#[case::searched(400, false, 10)]
#[case::too_large(413, false, 10)]
#[tokio::test]
async fn the_bad_measure_is_found_and_the_others_arrive_in_order(
    #[case] status: u16,
    #[case] tells: bool,
    #[case] requests_max: usize,
) {
    let server = gnocchi().await;
    on(&server, "POST", MEASURES, Picky { status, tells }).await;
    let mut batch: Vec<Sample> = (0..10).map(|n| volume(&format!("r{n}"), n)).collect();
    batch.extend([volume("r4", 14), volume("r4", -1), volume("r4", 15)]);
    assert_eq!(said(publisher(&server, "").publish(&samples(&batch)).await), (vec![11], vec![]));
    let all = measures(&server).await;
    let bad = |body: &serde_json::Value| body.to_string().contains("\"value\":-1}");
    let taken: Vec<i64> = all.iter().filter(|body| !bad(body)).flat_map(values).collect();
    assert_eq!(taken, [0, 1, 2, 3, 4, 14, 15, 5, 6, 7, 8, 9]);
    assert!(all.len() <= requests_max, "{} requests", all.len());
}

/// The values of a measures request, in order.
fn values(body: &serde_json::Value) -> Vec<i64> {
    let metrics = body.as_object().unwrap().values().flat_map(|metrics| metrics.as_object().unwrap().values());
    metrics
        .flat_map(|of| of["measures"].as_array().unwrap())
        .map(|measure| measure["value"].as_i64().unwrap())
        .collect()
}

#[rstest]
#[case(300)]
#[case(401)]
#[case(404)]
#[case(429)]
#[case(500)]
#[case(502)]
#[case(503)]
#[tokio::test]
async fn measures_that_gnocchi_does_not_take_now_are_offered_again(#[case] status: u16) {
    let server = gnocchi().await;
    on(&server, "POST", MEASURES, ResponseTemplate::new(status).insert_header("Retry-After", "7")).await;
    let error = publisher(&server, "").publish(&samples(&[volume("a", 1), volume("b", 1)])).await.unwrap_err();
    let PublishError::Retry { after, cause } = error else { panic!("{error}") };
    assert!(cause.starts_with(&status.to_string()), "{cause}");
    let asks = !matches!(status, 300 | 404);
    assert_eq!(after, asks.then_some(Duration::from_secs(7)));
    assert_eq!(measures(&server).await.len(), 1, "nothing younger goes before it");
}

#[tokio::test]
async fn a_policy_that_is_not_there_stops_only_what_needs_it() {
    let server = gnocchi().await;
    let missing = bad_request(json!("Archive policy ceilometer-low-rate does not exist"));
    let needs = wiremock::matchers::body_string_contains("ceilometer-low-rate");
    Mock::given(path(MEASURES)).and(needs).respond_with(missing).mount(&server).await;
    let mut cpu = volume("i", 1);
    cpu.name = "cpu".into();
    let batch = samples(&[cpu, volume("a", 1)]);
    assert_eq!(said(publisher(&server, "").publish(&batch).await), (vec![], vec![0]));
    assert_eq!(measures(&server).await.last().unwrap().as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn archive_policies_are_created_once_and_those_that_fail_again() {
    let server = gnocchi().await;
    let rate = wiremock::matchers::body_string_contains("\"ceilometer-low-rate\"");
    let fails = ResponseTemplate::new(500);
    Mock::given(method("POST"))
        .and(rate)
        .and(path("/v1/archive_policy/"))
        .respond_with(fails)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let mut cpu = volume("i", 1);
    cpu.name = "cpu".into();
    let (publisher, batch) = (publisher(&server, ""), samples(&[volume("a", 1), cpu]));
    assert_eq!(said(publisher.publish(&batch).await), (vec![], vec![1]), "what needs the policy waits");
    assert_eq!(said(publisher.publish(&batch).await), (vec![], vec![]));
    publisher.publish(&batch).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.iter().filter(|request| request.url.path() == "/v1/archive_policy/").count(), 4 + 1);
}

#[tokio::test]
async fn a_policy_that_is_refused_at_every_batch_is_said_once() {
    let server = MockServer::start().await;
    let forbids = ResponseTemplate::new(403);
    Mock::given(method("POST")).and(path("/v1/archive_policy/")).respond_with(forbids).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    let (publisher, log) = (publisher(&server, ""), Captured::begin());
    for _ in 0..5 {
        let _taken = publisher.publish(&samples(&[volume("a", 1)])).await;
    }
    assert_eq!(log.count(&["WARN", "publish.gnocchi.policy_refused"]), 4, "one line for each policy");
}

#[tokio::test]
async fn a_sample_without_id_or_time_is_refused_and_an_unknown_meter_dropped() {
    let server = gnocchi().await;
    let (mut nobody, mut other) = (volume("a", 1), volume("b", 1));
    nobody.resource_id = Value::Null;
    other.name = "no.such.meter".into();
    let mut timeless = volume("a", 1);
    timeless.timestamp = Text::default();
    let batch = samples(&[nobody, other, timeless]);
    assert_eq!(said(publisher(&server, "").publish(&batch).await), (vec![0, 2], vec![]));
    assert_eq!(asked(&server).await, [""; 0]);
}

/// Breaks down over a unit that is too long, as Gnocchi 4.4 does.
struct Brittle;

impl Respond for Brittle {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let breaks = String::from_utf8_lossy(&request.body).contains("mmmmmmmmmm");
        ResponseTemplate::new(if breaks { 500 } else { 202 })
    }
}

#[tokio::test]
async fn a_record_over_which_gnocchi_breaks_down_is_refused_if_gnocchi_is_alive() {
    let server = gnocchi().await;
    on(&server, "POST", MEASURES, Brittle).await;
    let mut long = volume("b", 1);
    long.unit = "m".repeat(32).into();
    let batch = samples(&[volume("a", 1), long, volume("c", 1)]);
    assert_eq!(said(publisher(&server, "").publish(&batch).await), (vec![1], vec![]));
    on(&server, "GET", "/v1/archive_policy", ResponseTemplate::new(503)).await;
    let away = publisher(&server, "").publish(&batch).await;
    assert!(matches!(away, Err(PublishError::Retry { .. })), "who is away says nothing of a record: {away:?}");
}

fn events_publisher(server: &MockServer, options: &str) -> Arc<dyn Publisher> {
    build(&format!("gnocchi://?{options}"), Kind::Events, &context(server)).unwrap()
}
