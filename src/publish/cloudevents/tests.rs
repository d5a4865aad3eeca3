use cloudevents::{AttributesReader, Event as Read};
use percent_encoding::percent_decode_str;
use rstest::rstest;
use wiremock::matchers::{basic_auth, header, method};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::model::{Event, Trait, TraitValue, Value, json};
use crate::publish::record::tests::event;
use crate::publish::{Batch, Context, Kind, Partly, PublishError, build};

const ID: &str = "a/../%2f\"\n#ü";

/// An event with whatever a sender may put into its id.
fn odd() -> Event {
    let of = |name: &str, text: &str| Trait { name: name.into(), value: TraitValue::Text(text.into()) };
    let mut odd = event(ID);
    odd.traits.extend([of("service", "compute.höst 1"), of("resource_id", "r 1")]);
    odd.traits.push(Trait { name: "load".into(), value: TraitValue::Float(f64::NAN) });
    odd
}

async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(basic_auth("me", "pw")).respond_with(answer).mount(&server).await;
    server
}

async fn publish(server: &MockServer, options: &str, events: Vec<Event>) -> Result<(), PublishError> {
    let url = format!("cloudevents+http://me:pw@{}/in?{options}", server.address());
    build(&url, Kind::Events, &Context::default()).unwrap().publish(&Batch::Events(events)).await
}

/// Positions of what is refused, where nothing is left.
fn refused(outcome: Result<(), PublishError>) -> Vec<usize> {
    match outcome {
        Ok(()) => Vec::new(),
        Err(PublishError::Partly(Partly { refused, left: None })) => refused.iter().map(|one| one.record).collect(),
        Err(other) => panic!("{other}"),
    }
}

fn content(request: &Request) -> &str {
    request.headers["content-type"].to_str().unwrap()
}

/// What the decoder of the field's own library reads is what was there.
fn is_odd(read: &Read) {
    assert_eq!((read.id(), read.ty()), (ID, "compute.instance.update"));
    assert_eq!(read.source().as_str(), "/openstack/compute.h%C3%B6st%201");
    assert_eq!(read.subject(), Some("r 1"));
    assert_eq!(read.time().unwrap().to_rfc3339(), "2020-01-01T00:00:00.000005+00:00");
    assert_eq!(read.datacontenttype(), Some("application/json"));
    let Some(cloudevents::Data::Json(data)) = read.data() else { panic!("{read:?}") };
    assert_eq!(data["event_type"], "compute.instance.update");
    assert_eq!(data["traits"].as_array().unwrap().last().unwrap()[2], serde_json::Value::Null, "NaN is null");
}

#[tokio::test]
async fn an_event_is_a_request_by_itself() {
    let server = server(ResponseTemplate::new(202)).await;
    publish(&server, "", vec![odd(), event("2")]).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(content(&requests[0]), "application/cloudevents+json");
    is_odd(&serde_json::from_slice(&requests[0].body).unwrap());
    let second: Read = serde_json::from_slice(&requests[1].body).unwrap();
    assert_eq!((second.id(), second.source().as_str(), second.subject()), ("2", "/openstack", None));
}

#[tokio::test]
async fn a_batch_is_one_request() {
    let server = server(ResponseTemplate::new(200)).await;
    publish(&server, "mode=batch", vec![odd(), event("2")]).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!((requests.len(), content(&requests[0])), (1, "application/cloudevents-batch+json"));
    let read: Vec<Read> = serde_json::from_slice(&requests[0].body).unwrap();
    is_odd(&read[0]);
    assert_eq!(read[1].id(), "2");
}

#[tokio::test]
async fn attributes_may_be_headers() {
    let server = server(ResponseTemplate::new(200)).await;
    publish(&server, "mode=binary&source=urn:x&subject=t", vec![odd()]).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let told = |name: &str| {
        let value = requests[0].headers[name].to_str().unwrap();
        percent_decode_str(value).decode_utf8().unwrap().into_owned()
    };
    assert_eq!(requests[0].headers["ce-id"], "a/../%252f%22%0A#%C3%BC");
    assert_eq!(told("ce-id"), ID);
    assert_eq!(
        ["ce-specversion", "ce-type", "ce-source", "ce-subject", "ce-time", "content-type"].map(told),
        ["1.0", "compute.instance.update", "urn:x", "é", "2020-01-01T00:00:00.000005Z", "application/json"]
    );
    let data = json::read(&requests[0].body).unwrap();
    assert_eq!(data.as_dict().and_then(|data| data.get("message_id")), Some(&Value::from(ID)));
}

#[rstest]
#[case("")]
#[case("mode=binary")]
#[case("mode=batch")]
#[tokio::test]
async fn an_event_without_an_id_is_refused_and_the_others_arrive(#[case] options: &str) {
    let server = server(ResponseTemplate::new(200)).await;
    let mut without = event("");
    without.message_id = Value::Null;
    assert_eq!(refused(publish(&server, options, vec![event("1"), without, event("3")]).await), [1]);
}

#[tokio::test]
async fn only_the_bad_events_of_a_batch_are_refused() {
    let server = server(ResponseTemplate::new(200)).await;
    let bad = Mock::given(header("content-type", "application/cloudevents-batch+json"))
        .and(wiremock::matchers::body_string_contains("bad"))
        .respond_with(ResponseTemplate::new(400));
    bad.with_priority(1).mount(&server).await;
    let events = ["1", "bad", "3"].map(event).to_vec();
    assert_eq!(refused(publish(&server, "mode=batch", events).await), [1]);
}

#[tokio::test]
async fn where_a_receiver_breaks_down_the_rest_waits() {
    let server = server(ResponseTemplate::new(200)).await;
    let down = Mock::given(wiremock::matchers::body_string_contains("down")).respond_with(ResponseTemplate::new(503));
    down.with_priority(1).mount(&server).await;
    let error = publish(&server, "", ["1", "down", "3"].map(event).to_vec()).await.unwrap_err();
    let PublishError::Partly(Partly { left: Some(left), .. }) = error else { panic!("{error}") };
    assert_eq!(left.records, [1, 2]);
}

#[rstest]
#[case("mode=both", "expected structured, binary or batch")]
#[case("source=a%20b", "expected a URI reference")]
#[case("moed=batch", "did you mean mode?")]
fn what_is_wrong(#[case] options: &str, #[case] complaint: &str) {
    let url = format!("cloudevents+https://h/?{options}");
    let error = build(&url, Kind::Events, &Context::default()).err().unwrap().to_string();
    assert!(error.contains(complaint), "{error}");
}
