use rstest::rstest;
use std::time::Duration;
use wiremock::matchers::{basic_auth, body_string_contains, header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::model::{Dict, Value, json};
use crate::publish::record::tests::{event, sample};
use crate::publish::{Batch, Context, Kind, Partly, PublishError, Publisher, build, check};
use std::sync::Arc;

fn batch(ids: &[&str]) -> Batch {
    Batch::Samples(ids.iter().map(|id| sample("cpu", id)).collect())
}

fn publisher(server: &MockServer, options: &str) -> Arc<dyn Publisher> {
    let url = format!("http://{}/in?{options}", server.address());
    build(&url, Kind::Samples, &Context::default()).unwrap()
}

async fn answering(answer: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

async fn bodies(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request| json::read(&request.body).unwrap()).collect()
}

/// Positions of what is refused, where nothing is left.
fn refused(error: &PublishError) -> Vec<usize> {
    match error {
        PublishError::Partly(Partly { refused, left: None }) => refused.iter().map(|refused| refused.record).collect(),
        other => panic!("{other}"),
    }
}

/// Positions of what is left, where nothing is refused.
fn left(error: PublishError) -> Vec<usize> {
    match error {
        PublishError::Partly(Partly { refused, left: Some(left) }) if refused.is_empty() => left.records,
        other => panic!("{other}"),
    }
}

fn as_dict(id: &str) -> Value {
    Value::Dict(sample("cpu", id).as_dict())
}

#[tokio::test]
async fn a_server_that_listens_is_reached_and_one_that_does_not_is_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}/x", listener.local_addr().unwrap().port());
    let publisher = build(&url, Kind::Samples, &Context::default()).unwrap();
    assert_eq!(publisher.reach().await, Ok(()));
    drop(listener);
    let why = publisher.reach().await.unwrap_err();
    assert!(why.starts_with("cannot connect to 127.0.0.1:"), "{why}");
}

#[tokio::test]
async fn a_batch_is_one_array() {
    let server = MockServer::start().await;
    Mock::given(path("/in"))
        .and(query_param("kept", "a b"))
        .and(header("content-type", "application/json"))
        .and(basic_auth("me", "p:w"))
        .respond_with(ResponseTemplate::new(204))
        .expect(1)
        .mount(&server)
        .await;
    let url = format!("http://me:p%3Aw@{}/in?timeout=2&kept=a%20b", server.address());
    let publisher = build(&url, Kind::Samples, &Context::default()).unwrap();
    publisher.publish(&batch(&["1", "2"])).await.unwrap();
    assert_eq!(bodies(&server).await, [Value::List(vec![as_dict("1"), as_dict("2")])]);
}

#[rstest]
#[case("", true)]
#[case("nan=python", false)]
#[tokio::test]
async fn what_json_cannot_say_is_posted_as_null(#[case] options: &str, #[case] strict: bool) {
    let server = answering(ResponseTemplate::new(200)).await;
    let mut batch = vec![sample("cpu", "1"), sample("cpu", "2")];
    batch[0].volume = Value::Float(f64::NAN);
    batch[1].resource_metadata.insert("load", f64::NEG_INFINITY);
    publisher(&server, options).publish(&Batch::Samples(batch)).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let body = String::from_utf8_lossy(&requests[0].body);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), strict, "{body}");
    assert_eq!(requests[0].url.query(), None, "the option is ours");
}

#[tokio::test]
async fn without_batch_each_record_is_a_post() {
    let server = answering(ResponseTemplate::new(200)).await;
    publisher(&server, "batch=false").publish(&batch(&["1", "2"])).await.unwrap();
    assert_eq!(bodies(&server).await, [as_dict("1"), as_dict("2")]);
}

#[tokio::test]
async fn events_are_posted_as_they_are_serialised_or_raw() {
    let server = answering(ResponseTemplate::new(200)).await;
    let mut with_raw = event("m");
    with_raw.raw = Dict::from_iter([("payload", Value::from("kept"))]);
    let events = Batch::Events(vec![event("n"), with_raw.clone()]);
    publisher(&server, "").publish(&events).await.unwrap();
    publisher(&server, "raw_only=true").publish(&events).await.unwrap();
    publisher(&server, "raw_only=true").publish(&Batch::Events(vec![event("n")])).await.unwrap();
    let expected = [
        Value::List(vec![Value::Dict(event("n").serialize()), Value::Dict(with_raw.serialize())]),
        Value::List(vec!["kept".into()]),
    ];
    assert_eq!(bodies(&server).await, expected, "nothing to post is no post");
}

#[rstest]
#[case(500)]
#[case(503)]
#[case(408)]
#[case(425)]
#[case(429)]
#[case(401)]
#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says(#[case] status: u16) {
    let answer = ResponseTemplate::new(status).insert_header("Retry-After", "3").set_body_string("not now");
    let server = answering(answer).await;
    let error = publisher(&server, "").publish(&batch(&["1"])).await.unwrap_err();
    let PublishError::Retry { cause, after } = error else { panic!("{error}") };
    assert!(cause.starts_with(&status.to_string()) && cause.ends_with("not now"), "{cause}");
    assert_eq!(after, Some(Duration::from_secs(3)));
}

#[rstest]
#[case(ResponseTemplate::new(404), "404")]
#[case(ResponseTemplate::new(301).insert_header("Location", "https://new/"), "write https://new/ in the pipeline")]
#[tokio::test]
async fn what_will_never_be_taken_is_refused_whole(#[case] answer: ResponseTemplate, #[case] why: &str) {
    let server = answering(answer).await;
    let error = publisher(&server, "").publish(&batch(&["1", "2"])).await.unwrap_err();
    assert_eq!(refused(&error), [0, 1]);
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(bodies(&server).await.len(), 1);
}

/// Refuses what contains a bad record.
struct Picky;

impl Respond for Picky {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let bad = String::from_utf8_lossy(&request.body).contains("bad");
        ResponseTemplate::new(if bad { 422 } else { 200 })
    }
}

#[tokio::test]
async fn only_the_bad_records_of_a_batch_are_refused() {
    let server = answering(Picky).await;
    let ids = ["0", "1", "2", "bad3", "4", "5", "bad6", "7"];
    let error = publisher(&server, "").publish(&batch(&ids)).await.unwrap_err();
    assert_eq!(refused(&error), [3, 6]);
    let mut taken: Vec<Value> = Vec::new();
    for body in bodies(&server).await {
        if !json::to_string(&body).contains("bad") {
            taken.extend(body.as_list().unwrap().iter().cloned());
        }
    }
    assert_eq!(taken, ["0", "1", "2", "4", "5", "7"].map(as_dict), "the others once, in order");
}

#[tokio::test]
async fn a_server_that_breaks_down_midway_is_asked_for_the_rest_again() {
    let server = MockServer::start().await;
    let down = ResponseTemplate::new(500);
    Mock::given(body_string_contains("\"2\"")).respond_with(down).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let error = publisher(&server, "batch=0").publish(&batch(&["1", "2", "3"])).await.unwrap_err();
    assert_eq!(left(error), [1, 2]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_asked_again() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://me:secret@{free}/in?token=secret");
    let publisher = build(&url, Kind::Samples, &Context::default()).unwrap();
    let error = publisher.publish(&batch(&["1"])).await.unwrap_err().to_string();
    assert!(error.contains("no connection") && !error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_asked_again() {
    let server = answering(ResponseTemplate::new(200).set_delay(Duration::from_secs(30))).await;
    let error = publisher(&server, "timeout=0.05").publish(&batch(&["1"])).await.unwrap_err().to_string();
    assert!(error.contains("no answer in time"), "{error}");
}

#[rstest]
#[case("http:///path", "write http://host[:port]/path")]
#[case("https://h:99999/x", "invalid port number")]
#[case("https://me@h/x", "a user without a password")]
#[case("https://h/x?timeout=0&batch=maybe", "timeout=0: expected a number of at least 0.001; batch=maybe")]
#[case("https://h/x?timeout=1e9", "at most 3600 seconds")]
#[case("https://h/x?clientkey=/k", "clientkey is given without clientcert")]
fn wrong_options_are_named(#[case] url: &str, #[case] what: &str) {
    let error = check(url, Kind::Events, &|_| Ok(())).unwrap_err().to_string();
    assert!(error.contains(what), "{error}");
}

#[test]
fn an_option_that_is_nearly_one_of_ours_stays_in_the_url_and_is_named() {
    let told = check("https://h/x?verifyssl=false&token=a&verify_ssl=no", Kind::Events, &|_| Ok(())).unwrap();
    assert_eq!(told, ["verifyssl is no option of the publisher and stays in the URL; did you mean verify_ssl?"]);
}

#[test]
fn certificates_that_cannot_be_read_are_named_all_at_once() {
    let url = "https://h/x?verify_ssl=/nowhere/ca.pem&clientcert=/nowhere/me.pem";
    let built = build(url, Kind::Samples, &Context::default()).err().unwrap();
    let error = built.to_string();
    assert!(error.contains("verify_ssl=/nowhere/ca.pem: No such file"), "{error}");
    assert!(error.contains("clientcert=/nowhere/me.pem: No such file"), "{error}");
    assert_eq!(check(url, Kind::Samples, &|_| Ok(())), Err(built));
}

#[tokio::test]
async fn a_server_quotes_the_token_of_the_request() {
    for status in [503, 404, 400, 302] {
        let quotes = move |request: &Request| {
            let place = request.url.as_str();
            ResponseTemplate::new(status)
                .insert_header("location", place)
                .set_body_string(format!("Cannot POST {place}"))
        };
        let publisher = publisher(&answering(quotes).await, "token=SeCrEt%2F");
        let error = publisher.publish(&batch(&["1"])).await.unwrap_err();
        let why = format!("{error:?}");
        assert!(why.contains("token=***") && !why.contains("SeCrEt"), "{why}");
    }
}
