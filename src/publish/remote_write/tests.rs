use prost::Message;
use rstest::rstest;
use std::sync::Arc;
use std::time::Duration;
use wiremock::matchers::{header, method};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::messages::{v1, v2};
use crate::model::Sample;
use crate::publish::record::tests::sample;
use crate::publish::{Batch, Context, Kind, Partly, PublishError, Publisher, build};

/// Samples of one series, a second from one to the next; the volume is the number of the second.
fn seconds(seconds: &[u32]) -> Batch {
    let one = |second: &u32| Sample {
        timestamp: format!("2020-01-01T00:00:{second:02}").into(),
        volume: f64::from(*second).into(),
        ..sample("cpu", &second.to_string())
    };
    Batch::Samples(seconds.iter().map(one).collect())
}

fn publisher(server: &MockServer, options: &str) -> Arc<dyn Publisher> {
    let url = format!("prometheus-remote-write://{}?{options}", server.address());
    build(&url, Kind::Samples, &Context::default()).unwrap()
}

async fn answering(answer: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

/// The volumes in a request, and the version that it is.
fn volumes(request: &Request) -> (&'static str, Vec<f64>) {
    let body = snap::raw::Decoder::new().decompress_vec(&request.body).unwrap();
    if request.headers["content-type"].to_str().unwrap().contains("v2.Request") {
        let request = v2::Request::decode(body.as_slice()).unwrap();
        ("2.0", request.timeseries.iter().flat_map(|of| &of.samples).map(|sample| sample.value).collect())
    } else {
        let request = v1::WriteRequest::decode(body.as_slice()).unwrap();
        ("1.0", request.timeseries.iter().flat_map(|of| &of.samples).map(|sample| sample.value).collect())
    }
}

async fn sent(server: &MockServer) -> Vec<(&'static str, Vec<f64>)> {
    server.received_requests().await.unwrap().iter().map(volumes).collect()
}

/// Positions of what is refused, where nothing is left.
fn refused(outcome: Result<(), PublishError>) -> Vec<usize> {
    match outcome {
        Ok(()) => Vec::new(),
        Err(PublishError::Partly(Partly { refused, left: None })) => refused.iter().map(|one| one.record).collect(),
        Err(other) => panic!("{other}"),
    }
}

/// A receiver of 2.0 that takes the good ones of a request, and says how many.
struct Second;

impl Respond for Second {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let (version, volumes) = volumes(request);
        if version != "2.0" {
            return ResponseTemplate::new(415);
        }
        let good = volumes.iter().filter(|volume| **volume < 50.0).count();
        let answer = if good == volumes.len() {
            ResponseTemplate::new(204)
        } else {
            ResponseTemplate::new(400).set_body_string("out of order sample")
        };
        answer.insert_header("X-Prometheus-Remote-Write-Samples-Written", good.to_string().as_str())
    }
}

#[tokio::test]
async fn a_receiver_of_version_2_gets_version_2() {
    let server = MockServer::start().await;
    Mock::given(header("content-encoding", "snappy"))
        .and(header("x-prometheus-remote-write-version", "2.0.0"))
        .and(header("authorization", "Bearer abc"))
        .respond_with(Second)
        .mount(&server)
        .await;
    let publisher = publisher(&server, "token=abc");
    publisher.publish(&seconds(&[3, 1, 2])).await.unwrap();
    publisher.publish(&seconds(&[4])).await.unwrap();
    assert_eq!(sent(&server).await, [("2.0", vec![1.0, 2.0, 3.0]), ("2.0", vec![4.0])]);
}

#[rstest]
#[case::says_so(415)]
#[case::takes_it_for_an_empty_one(204)]
#[case::cannot_read_it(400)]
#[tokio::test]
async fn a_receiver_that_does_not_know_version_2_gets_version_1_from_then_on(#[case] status: u16) {
    let server = answering(move |request: &Request| {
        ResponseTemplate::new(if volumes(request).0 == "2.0" { status } else { 204 })
    })
    .await;
    let publisher = publisher(&server, "");
    publisher.publish(&seconds(&[1])).await.unwrap();
    publisher.publish(&seconds(&[2])).await.unwrap();
    assert_eq!(sent(&server).await, [("2.0", vec![1.0]), ("1.0", vec![1.0]), ("1.0", vec![2.0])]);
}

#[tokio::test]
async fn where_version_2_is_wanted_an_answer_of_somebody_who_does_not_know_it_is_not_believed() {
    let server = answering(ResponseTemplate::new(204)).await;
    let error = publisher(&server, "version=2.0").publish(&seconds(&[1])).await.unwrap_err();
    let PublishError::Retry { cause, .. } = error else { panic!("{error}") };
    assert!(cause.contains("write version=1.0"), "{cause}");
}

#[tokio::test]
async fn of_a_request_of_which_a_part_is_written_the_others_are_found() {
    let server = answering(Second).await;
    assert_eq!(refused(publisher(&server, "").publish(&seconds(&[1, 55, 2, 56, 3, 4, 5])).await), [1, 3]);
}

/// What a receiver of 1.0 says of samples past the fiftieth second; it takes nothing of a request that has one.
#[rstest]
#[case::duplicate("duplicate sample for timestamp", "", &[])]
#[case::duplicate_at_mimir("err-mimir-sample-duplicate-timestamp", "", &[])]
#[case::late("out of order sample", "", &[1, 4])]
#[case::late_at_mimir("err-mimir-sample-timestamp-too-old", "", &[1, 4])]
#[case::late_and_dropped("out of bounds", "&late=drop", &[])]
#[case::something_else("invalid label", "&late=drop", &[1, 4])]
#[tokio::test]
async fn what_is_wrong_with_a_sample_decides_what_becomes_of_it(
    #[case] says: &'static str,
    #[case] options: &str,
    #[case] expected: &[usize],
    #[values(400, 409)] status: u16,
) {
    let server = answering(move |request: &Request| {
        let bad = volumes(request).1.iter().any(|volume| *volume > 50.0);
        if bad { ResponseTemplate::new(status).set_body_string(says) } else { ResponseTemplate::new(204) }
    })
    .await;
    let options = format!("version=1.0{options}");
    assert_eq!(refused(publisher(&server, &options).publish(&seconds(&[1, 55, 2, 3, 56])).await), expected);
    let requests = server.received_requests().await.unwrap();
    let taken = requests.iter().map(|request| volumes(request).1).filter(|all| all.iter().all(|volume| *volume < 50.0));
    assert_eq!(taken.flatten().collect::<Vec<_>>(), [1.0, 2.0, 3.0], "the others once and in order");
}

#[rstest]
#[case(503)]
#[case(500)]
#[case(429)]
#[case(401)]
#[tokio::test]
async fn a_receiver_that_is_busy_is_asked_again(#[case] status: u16) {
    let server = answering(ResponseTemplate::new(status).insert_header("Retry-After", "3")).await;
    let error = publisher(&server, "").publish(&seconds(&[1, 2])).await.unwrap_err();
    let PublishError::Retry { after, .. } = error else { panic!("{error}") };
    assert_eq!(after, Some(Duration::from_secs(3)));
}

#[tokio::test]
async fn what_has_no_number_or_no_time_is_refused_and_the_others_arrive() {
    let server = answering(ResponseTemplate::new(204)).await;
    let Batch::Samples(mut samples) = seconds(&[1, 2, 3]) else { panic!() };
    samples[0].volume = "ten".into();
    samples[2].timestamp = "never".into();
    let outcome = publisher(&server, "version=1.0").publish(&Batch::Samples(samples)).await;
    assert_eq!(refused(outcome), [0, 2]);
    assert_eq!(sent(&server).await, [("1.0", vec![2.0])]);
}
