use rstest::rstest;
use std::sync::Arc;
use wiremock::matchers::{basic_auth, header, method};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::model::{Sample, SampleType, Value};
use crate::publish::outcome::{Left, Partly, Refused};
use crate::publish::record::tests::sample;
use crate::publish::{Batch, Context, Kind, PublishError, Publisher, build, check};

fn of(meter: &str, resource: &str, volume: i64) -> Sample {
    Sample { resource_id: resource.into(), volume: Value::Int(volume), ..sample(meter, "1") }
}

fn publisher(server: &MockServer, rest: &str) -> Arc<dyn Publisher> {
    build(&format!("prometheus://{}{rest}", server.address()), Kind::Samples, &Context::default()).unwrap()
}

async fn answering(answer: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(header("content-type", "plain/text")).respond_with(answer).mount(&server).await;
    server
}

/// What was posted: path with query, and body.
async fn pushed(server: &MockServer) -> Vec<(String, String)> {
    let text = |request: &Request| {
        let url = &request.url;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        (format!("{}{query}", url.path()), String::from_utf8(request.body.clone()).unwrap())
    };
    server.received_requests().await.unwrap().iter().map(text).collect()
}

async fn paths(server: &MockServer) -> Vec<String> {
    pushed(server).await.into_iter().map(|(path, _)| path).collect()
}

#[tokio::test]
async fn each_resource_is_a_push_of_its_own_before_the_query() {
    let server = answering(ResponseTemplate::new(200)).await;
    let batch = Batch::Samples(vec![of("cpu", "a", 1), of("cpu", "b/é", 2), of("mem.x", "a", 3), of("cpu", "a", 4)]);
    publisher(&server, "/metrics/job/c?q=1&timeout=3").publish(&batch).await.unwrap();
    let of_a = "# TYPE cpu counter\ncpu{resource_id=\"a\", user_id=\"u\", project_id=\"p\"} 4\n\
                # TYPE mem_x counter\nmem_x{resource_id=\"a\", user_id=\"u\", project_id=\"p\"} 3\n";
    let of_b = "# TYPE cpu counter\ncpu{resource_id=\"b/é\", user_id=\"u\", project_id=\"p\"} 2\n";
    let expected =
        [("/metrics/job/c/resource_id/a?q=1", of_a), ("/metrics/job/c/resource_id@base64/Yi_DqQ==?q=1", of_b)];
    assert_eq!(pushed(&server).await, expected.map(|(path, body)| (path.to_owned(), body.to_owned())));
}

#[tokio::test]
async fn with_labels_in_the_path_a_batch_is_one_push() {
    let server = answering(ResponseTemplate::new(202)).await;
    let batch = Batch::Samples(vec![of("cpu", "a", 1), of("cpu", "b", 2)]);
    publisher(&server, "/metrics/job/c/instance/x").publish(&batch).await.unwrap();
    assert_eq!(paths(&server).await, ["/metrics/job/c/instance/x"]);
    assert_eq!(pushed(&server).await[0].1.lines().count(), 3);
}

#[tokio::test]
async fn what_is_refused_is_found_within_its_resource_and_the_others_arrive() {
    let refuses = |request: &Request| {
        let bad = String::from_utf8_lossy(&request.body).contains("bad");
        ResponseTemplate::new(if bad { 400 } else { 200 }).set_body_string("no")
    };
    let server = answering(refuses).await;
    let no_number = Sample { volume: Value::Null, ..of("cpu", "c", 0) };
    let long = of("cpu", &"x".repeat(20_000), 0);
    let samples = vec![of("cpu", "a", 1), of("cpu", "b", 2), of("bad", "a", 3), no_number, of("mem", "a", 4), long];
    let outcome = publisher(&server, "/metrics/job/c").publish(&Batch::Samples(samples)).await;
    let refused = |record, cause: &str| Refused { record, cause: cause.to_owned() };
    let expected = vec![
        refused(2, "400 Bad Request: no"),
        refused(3, "the volume is no number, or beyond the largest double"),
        refused(5, "a resource id of 20000 bytes fits into no path"),
    ];
    assert_eq!(outcome, Err(PublishError::Partly(Partly { refused: expected, left: None })));
    let bodies: Vec<String> = pushed(&server).await.into_iter().map(|(_, body)| body).collect();
    let arrived = |what: &str| bodies.iter().any(|body| body.contains(what) && !body.contains("bad"));
    assert!(arrived("cpu{resource_id=\"a\"") && arrived("mem{resource_id=\"a\"") && arrived("resource_id=\"b\""));
}

#[tokio::test]
async fn resources_behind_one_that_is_not_taken_now_are_left_in_their_order() {
    let busy = |request: &Request| ResponseTemplate::new(if request.url.path().ends_with("/a") { 200 } else { 503 });
    let server = answering(busy).await;
    let samples = vec![of("cpu", "a", 1), of("cpu", "b", 2), of("cpu", "c", 3), of("mem", "a", 4), of("mem", "b", 5)];
    let outcome = publisher(&server, "/metrics/job/c").publish(&Batch::Samples(samples)).await;
    let left = Left { records: vec![1, 2, 4], cause: "503 Service Unavailable".to_owned(), after: None };
    assert_eq!(outcome, Err(PublishError::Partly(Partly { refused: Vec::new(), left: Some(left) })));
    assert_eq!(paths(&server).await.len(), 2);
}

#[tokio::test]
async fn the_login_goes_along_and_a_closed_door_holds() {
    let server = MockServer::start().await;
    Mock::given(basic_auth("u", "p%")).respond_with(ResponseTemplate::new(200)).expect(1).mount(&server).await;
    let url = format!("prometheus://u:p%25@{}/metrics/job/c?batch=false", server.address());
    let publisher = build(&url, Kind::Samples, &Context::default()).unwrap();
    let gauge = Sample { kind: SampleType::Gauge, ..of("cpu", "a", 1) };
    publisher.publish(&Batch::Samples(vec![gauge.clone()])).await.unwrap();
    assert_eq!(publisher.reach().await, Ok(()));
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let publisher = build(&format!("prometheus://{nobody}/m"), Kind::Samples, &Context::default()).unwrap();
    let outcome = publisher.publish(&Batch::Samples(vec![gauge])).await;
    assert!(matches!(outcome, Err(PublishError::Retry { .. })), "{outcome:?}");
}

#[rstest]
#[case("prometheus:///metrics", "write prometheus://host[:port]/path")]
#[case("prometheus://me@h/m", "a user without a password")]
#[case("prometheus://h/m?ssl=perhaps&timeout=0", "ssl=perhaps: expected true or false; timeout=0")]
fn wrong_options_are_named(#[case] url: &str, #[case] what: &str) {
    let error = check(url, Kind::Samples, &|_| Ok(())).unwrap_err().to_string();
    assert!(error.contains(what), "{error}");
}

#[test]
fn what_stays_in_the_url_and_is_nearly_an_option_is_named() {
    let told = check("prometheus://h/m?sll=1", Kind::Samples, &|_| Ok(())).unwrap();
    assert_eq!(told, ["sll is no option of the publisher and stays in the URL; did you mean ssl?"]);
}
