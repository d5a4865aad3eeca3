use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use rstest::rstest;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::grpc::{Detail, RetryDelay, RetryInfo, RpcStatus};
use super::metrics::tests::ids;
use super::receiver::Receiver;
use crate::publish::record::tests::{event, sample};
use crate::publish::{Batch, Context, Kind, Partly, PublishError, Publisher, build};

const ANY_SIZE: usize = 64 * 1024 * 1024;

fn samples(ids: &[&str]) -> Batch {
    Batch::Samples(ids.iter().map(|id| sample("cpu", id)).collect())
}

fn publisher(url: &str, kind: Kind) -> Arc<dyn Publisher> {
    build(url, kind, &Context::default()).unwrap()
}

/// Positions of what is refused, where nothing is left.
fn refused(error: &PublishError) -> Vec<usize> {
    match error {
        PublishError::Partly(Partly { refused, left: None }) => refused.iter().map(|refused| refused.record).collect(),
        other => panic!("{other}"),
    }
}

#[rstest]
#[case("")]
#[case("?compression=gzip")]
#[tokio::test]
async fn samples_and_events_arrive_over_grpc(#[case] options: &str) {
    let receiver = Receiver::start(ANY_SIZE, |_| Ok((0, ""))).await;
    let url = format!("otlp://me:p%3Aw@{}{options}", receiver.address);
    let publisher = publisher(&url, Kind::Samples);
    assert_eq!(publisher.reach().await, Ok(()));
    publisher.publish(&samples(&["1", "2"])).await.unwrap();
    publisher.publish(&Batch::Events(vec![event("m")])).await.unwrap();
    assert_eq!(ids(&receiver.metrics.lock().unwrap()[0]), ["1", "2"]);
    let logs = receiver.logs.lock().unwrap();
    assert_eq!(logs[0].resource_logs[0].scope_logs[0].log_records[0].event_name, "compute.instance.update");
    assert_eq!(*receiver.logins.lock().unwrap(), ["Basic bWU6cDp3", "Basic bWU6cDp3"]);
}

#[tokio::test]
async fn samples_and_events_arrive_over_http() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).insert_header("content-type", "application/x-protobuf");
    for place in ["/v1/metrics", "/v1/logs"] {
        Mock::given(path(place))
            .and(header("content-type", "application/x-protobuf"))
            .and(header("authorization", "Bearer abc"))
            .respond_with(answer.clone())
            .expect(1)
            .mount(&server)
            .await;
    }
    let url = format!("otlp+http://{}?token=abc", server.address());
    publisher(&url, Kind::Samples).publish(&samples(&["1", "2"])).await.unwrap();
    publisher(&url, Kind::Events).publish(&Batch::Events(vec![event("m")])).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(ids(&ExportMetricsServiceRequest::decode(requests[0].body.as_slice()).unwrap()), ["1", "2"]);
    let logs = ExportLogsServiceRequest::decode(requests[1].body.as_slice()).unwrap();
    assert_eq!(logs.resource_logs[0].scope_logs[0].log_records.len(), 1);
}

#[tokio::test]
async fn a_request_over_http_may_be_compressed() {
    let server = MockServer::start().await;
    Mock::given(header("content-encoding", "gzip")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let url = format!("otlp+http://{}/in?compression=gzip", server.address());
    publisher(&url, Kind::Samples).publish(&samples(&["1"])).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(requests[0].body.as_slice()).read_to_end(&mut body).unwrap();
    assert_eq!(requests[0].url.path(), "/in");
    assert_eq!(ids(&ExportMetricsServiceRequest::decode(body.as_slice()).unwrap()), ["1"]);
}

#[tokio::test]
async fn grpc_goes_through_tls_to_a_receiver_that_shows_who_it_is() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, made.cert.pem()).unwrap();
    let identity = tonic::transport::Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
    let receiver = Receiver::start_with_tls(identity).await;
    let url = format!("otlps://{}?verify_ssl", receiver.address);
    publisher(&format!("{url}={}", authority.display()), Kind::Samples).publish(&samples(&["1"])).await.unwrap();
    publisher(&format!("{url}=false"), Kind::Samples).publish(&samples(&["2"])).await.unwrap();
    let error = publisher(&format!("{url}=true"), Kind::Samples).publish(&samples(&["3"])).await.unwrap_err();
    assert!(matches!(error, PublishError::Retry { .. }), "{error}");
    let taken: Vec<String> = receiver.metrics.lock().unwrap().iter().flat_map(ids).collect();
    assert_eq!(taken, ["1", "2"]);
}

fn bad(ids: &[String]) -> i64 {
    i64::try_from(ids.iter().filter(|id| id.starts_with("bad")).count()).unwrap()
}

#[tokio::test]
async fn a_receiver_that_tells_how_many_it_refused_is_asked_which() {
    let receiver = Receiver::start(ANY_SIZE, |ids| Ok((bad(ids), "too old"))).await;
    let batch = samples(&["0", "1", "bad2", "3", "4", "bad5", "6", "7"]);
    let error = publisher(&format!("otlp://{}", receiver.address), Kind::Samples).publish(&batch).await.unwrap_err();
    assert_eq!(refused(&error), [2, 5]);
    assert!(error.to_string().contains("too old"), "{error}");
}

#[tokio::test]
async fn a_receiver_that_takes_all_may_say_something_too() {
    let receiver = Receiver::start(ANY_SIZE, |_| Ok((0, "use a newer version"))).await;
    publisher(&format!("otlp://{}", receiver.address), Kind::Samples).publish(&samples(&["1"])).await.unwrap();
    assert_eq!(receiver.metrics.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn only_the_bad_records_of_a_batch_are_refused() {
    let judge = |ids: &[String]| if bad(ids) > 0 { Err(Status::invalid_argument("bad")) } else { Ok((0, "")) };
    let receiver = Receiver::start(ANY_SIZE, judge).await;
    let mut batch: Vec<_> = ["0", "bad1", "2", "3", "4"].iter().map(|id| sample("cpu", id)).collect();
    batch[3].volume = "ten".into();
    let publisher = publisher(&format!("otlp://{}", receiver.address), Kind::Samples);
    let error = publisher.publish(&Batch::Samples(batch)).await.unwrap_err();
    assert_eq!(refused(&error), [1, 3]);
    let taken: Vec<String> = receiver.metrics.lock().unwrap().iter().flat_map(ids).collect();
    assert_eq!(taken, ["0", "2", "4"]);
}

#[rstest]
#[case::by_the_option(ANY_SIZE, 2000)]
#[case::by_the_receiver(1500, 4_000_000)]
#[tokio::test]
async fn a_batch_that_is_too_large_goes_in_several(#[case] receiver_max: usize, #[case] max_bytes: usize) {
    let receiver = Receiver::start(receiver_max, |_| Ok((0, ""))).await;
    let url = format!("otlp://{}?max_bytes={max_bytes}", receiver.address);
    let names: Vec<String> = (0..50).map(|n| format!("sample-{n}")).collect();
    let mut batch: Vec<_> = names.iter().map(|id| sample("cpu", id)).collect();
    batch[7].id = "x".repeat(5000).into();
    let error = publisher(&url, Kind::Samples).publish(&Batch::Samples(batch)).await.unwrap_err();
    assert_eq!(refused(&error), [7], "one that is too large by itself is refused");
    let taken: Vec<String> = receiver.metrics.lock().unwrap().iter().flat_map(ids).collect();
    let expected: Vec<&String> = names.iter().enumerate().filter(|(n, _)| *n != 7).map(|(_, id)| id).collect();
    assert_eq!(taken.iter().collect::<Vec<_>>(), expected, "the others once and in order");
}

/// The verdict of each code.
#[rstest]
#[case(Code::Cancelled, "later")]
#[case(Code::Unknown, "refused")]
#[case(Code::InvalidArgument, "refused")]
#[case(Code::DeadlineExceeded, "later")]
#[case(Code::NotFound, "refused")]
#[case(Code::AlreadyExists, "refused")]
#[case(Code::PermissionDenied, "later")]
#[case(Code::ResourceExhausted, "later")]
#[case(Code::FailedPrecondition, "refused")]
#[case(Code::Aborted, "later")]
#[case(Code::OutOfRange, "later")]
#[case(Code::Unimplemented, "refused")]
#[case(Code::Internal, "refused")]
#[case(Code::Unavailable, "later")]
#[case(Code::DataLoss, "later")]
#[case(Code::Unauthenticated, "later")]
#[tokio::test]
async fn verdicts_of_grpc(#[case] code: Code, #[case] expected: &str) {
    let receiver = Receiver::start(ANY_SIZE, move |_| Err(Status::new(code, "no: opensesame"))).await;
    let publisher = publisher(&format!("otlp://{}?token=opensesame", receiver.address), Kind::Samples);
    let error = publisher.publish(&samples(&["1"])).await.unwrap_err();
    let verdict = if matches!(error, PublishError::Retry { .. }) { "later" } else { "refused" };
    assert_eq!(verdict, expected, "{error}");
    assert!(error.to_string().contains("no: ***"), "{error}");
}

#[tokio::test]
async fn a_receiver_over_grpc_says_when_to_come_again() {
    let info = RetryInfo { retry_delay: Some(RetryDelay { seconds: 7, nanos: 500_000_000 }) };
    let info = Detail { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info.encode_to_vec() };
    let details = RpcStatus { code: 8, message: String::new(), details: vec![info] }.encode_to_vec();
    let busy = move |_: &[String]| Err(Status::with_details(Code::ResourceExhausted, "busy", details.clone().into()));
    let receiver = Receiver::start(ANY_SIZE, busy).await;
    let publisher = publisher(&format!("otlp://{}", receiver.address), Kind::Samples);
    let PublishError::Retry { after, .. } = publisher.publish(&samples(&["1"])).await.unwrap_err() else { panic!() };
    assert_eq!(after, Some(Duration::from_millis(7500)));
}

#[rstest]
#[case(ResponseTemplate::new(503).insert_header("Retry-After", "3"), "later")]
#[case(ResponseTemplate::new(502), "later")]
#[case(ResponseTemplate::new(504), "later")]
#[case(ResponseTemplate::new(429), "later")]
#[case(ResponseTemplate::new(401), "later")]
#[case(ResponseTemplate::new(500), "refused")]
#[case(ResponseTemplate::new(400), "refused")]
#[case(ResponseTemplate::new(413), "refused")]
#[case(ResponseTemplate::new(404), "refused")]
#[case::a_page_instead(ResponseTemplate::new(200).set_body_string("<html>log in</html>"), "later")]
#[case::json(ResponseTemplate::new(200).set_body_raw("{\"partialSuccess\":{}}", "application/json"), "taken")]
#[case::nothing_to_say(ResponseTemplate::new(204), "taken")]
#[tokio::test]
async fn verdicts_of_http(#[case] answer: ResponseTemplate, #[case] expected: &str) {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let publisher = publisher(&format!("otlp+http://{}", server.address()), Kind::Samples);
    let verdict = match publisher.publish(&samples(&["1"])).await {
        Ok(()) => "taken",
        Err(PublishError::Retry { .. }) => "later",
        Err(PublishError::Partly(Partly { left: None, .. })) => "refused",
        Err(other) => panic!("{other}"),
    };
    assert_eq!(verdict, expected);
}

/// Takes the good ones, and tells the number of the others.
struct Partial;

impl Respond for Partial {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let request = ExportMetricsServiceRequest::decode(request.body.as_slice()).unwrap();
        let partial =
            ExportMetricsPartialSuccess { rejected_data_points: bad(&ids(&request)), error_message: "old".to_owned() };
        let body = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        ResponseTemplate::new(200).set_body_raw(body, "application/x-protobuf")
    }
}

#[tokio::test]
async fn a_receiver_over_http_that_tells_how_many_it_refused_is_asked_which() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(Partial).mount(&server).await;
    let publisher = publisher(&format!("otlp+http://{}", server.address()), Kind::Samples);
    let error = publisher.publish(&samples(&["0", "bad1", "2", "3"])).await.unwrap_err();
    assert_eq!(refused(&error), [1]);
}

/// What is no receiver of gRPC at all: nothing is lost, nobody waits for ever, and nothing is kept without limit.
#[rstest]
#[case::http1(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno".to_vec())]
#[case::closes(Vec::new())]
#[case::noise(vec![0xff; 100_000])]
#[tokio::test]
async fn what_speaks_no_grpc_is_asked_again(#[case] says: Vec<u8>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, &says).await;
        }
    });
    let publisher = publisher(&format!("otlp://me:secret@{address}?timeout=2"), Kind::Samples);
    let error = publisher.publish(&samples(&["1"])).await.unwrap_err();
    assert!(matches!(error, PublishError::Retry { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_asked_again() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let publisher = publisher(&format!("otlp://{free}"), Kind::Samples);
    let error = publisher.publish(&samples(&["1"])).await.unwrap_err();
    assert!(matches!(error, PublishError::Retry { .. }), "{error}");
    assert!(publisher.reach().await.is_err());
}
