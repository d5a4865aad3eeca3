//! Taps with wishes of every kind, and with readers that are slow.

use super::*;
use crate::model::envelope;
use crate::model::{Dict, Notification, Sample, SampleType, Value};

fn notification(event_type: &str) -> Notification {
    let body = format!(
        "{{\"event_type\":\"{event_type}\",\"publisher_id\":\"compute.a\",\"message_id\":\"m\",\"priority\":\"INFO\",\
         \"timestamp\":\"2026-03-01 10:00:00\",\"payload\":{{\"name\":\"<b>\\u001b[31m\"}}}}"
    );
    envelope::open(body.as_bytes()).unwrap()
}

fn sample(name: &str, resource: &str) -> Sample {
    Sample {
        name: name.into(),
        kind: SampleType::Gauge,
        unit: Value::from("x"),
        volume: Value::Int(1),
        user_id: Value::Null,
        user_name: Value::Null,
        project_id: Value::Null,
        project_name: Value::Null,
        resource_id: Value::from(resource),
        timestamp: "2026-03-01".into(),
        resource_metadata: Dict::new().into(),
        source: "openstack".into(),
        id: "1".into(),
        monotonic_time: Value::Null,
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

/// The lines that a query gives of one notification that made two samples.
fn given(query: &str) -> usize {
    let taps = Arc::new(Taps::default());
    let tap = taps.open(Wish::of(pairs(query)).unwrap()).unwrap();
    let notification = notification("compute.instance.exists");
    let samples = [sample("vcpus", "i-1"), sample("memory", "i-1")];
    let came =
        Passing { queue: "notifications.info", notification: Some(&notification), samples: &samples, events: &[] };
    taps.pass(&came);
    // The same behind a pipeline queue.
    let behind = Passing { queue: "nephoscope.g.cpu.g1.0", notification: None, samples: &samples[..1], events: &[] };
    taps.pass(&behind);
    std::iter::from_fn(|| tap.ready()).take_while(|next| matches!(next, Next::Line(_))).count()
}

#[rstest::rstest]
#[case("", 1)]
#[case("kind=samples", 2)]
#[case("kind=events", 0)]
#[case("kind=samples&meter=vcpu*", 1)]
#[case("kind=samples&meter=disk.*", 0)]
#[case("kind=notifications&meter=vcpus", 1)]
#[case("kind=notifications&meter=disk", 0)]
#[case("event_type=compute.*", 1)]
#[case("event_type=volume.*", 0)]
#[case("kind=samples&event_type=volume.*", 0)]
#[case("resource=i-1", 1)]
#[case("resource=i-2", 0)]
#[case("kind=samples&resource=i-1", 2)]
#[case("queue=notifications.info", 1)]
#[case("queue=main:notifications.info", 1)]
#[case("queue=notifications.error", 0)]
#[case("kind=samples&queue=nephoscope.g.cpu.g1.0", 1)]
#[case("kind=samples&limit=1", 1)]
fn what_is_wished_is_given(#[case] query: &str, #[case] lines: usize) {
    assert_eq!(given(query), lines, "{query}");
}

#[rstest::rstest]
#[case("kind=meters", "notifications, samples or events")]
#[case("rate=0", "lines per second, 1 to 10000")]
#[case("limit=-1", "a number of lines, at least 1")]
#[case("colour=red", "kind, event_type, meter, resource, queue, rate or limit")]
fn a_wish_that_cannot_be(#[case] query: &str, #[case] expected: &str) {
    let said = Wish::of(pairs(query)).unwrap_err().to_string();
    assert!(said.starts_with("cannot tap with ") && said.ends_with(expected), "{said}");
}

#[test]
fn a_line_is_one_line_of_json_whatever_is_in_it() {
    let taps = Arc::new(Taps::default());
    let tap = taps.open(Wish::default()).unwrap();
    let notification = notification("a");
    taps.pass(&Passing { queue: "q\n", notification: Some(&notification), samples: &[], events: &[] });
    let Some(Next::Line(line)) = tap.ready() else { panic!("no line") };
    let text = std::str::from_utf8(&line).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    assert!(!text.contains('\u{1b}'), "{text}");
    let read: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(read["notification"]["payload"]["name"], "<b>\u{1b}[31m");
    assert_eq!((&read["queue"], &read["event_type"]), (&"q\n".into(), &"a".into()));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_misses_the_oldest_and_is_told_how_many() {
    let taps = Arc::new(Taps::default());
    assert!(!taps.is_open());
    let tap = taps.open(Wish { rate: wish::RATE_MAX, ..Wish::default() }).unwrap();
    let quick = taps.open(Wish { rate: 10, ..Wish::default() }).unwrap();
    assert!(taps.is_open());
    let notification = notification("a");
    let came = Passing { queue: "q", notification: Some(&notification), samples: &[], events: &[] };
    (0..1_000).for_each(|_| taps.pass(&came));
    assert_eq!(tap.next().await, Next::LeftOut(1_000 - LINES_MAX as u64));
    let lines = std::iter::from_fn(|| tap.ready()).count();
    assert_eq!(lines, LINES_MAX);
    // The other has its rate of them.
    assert_eq!(quick.next().await, Next::LeftOut(990));
    assert_eq!(std::iter::from_fn(|| quick.ready()).count(), 10);
    tokio::time::advance(Duration::from_secs(1)).await;
    taps.pass(&came);
    assert!(matches!(quick.next().await, Next::Line(_)));
    drop((tap, quick));
    assert!(!taps.is_open());
}

#[tokio::test]
async fn large_lines_are_bounded_in_bytes() {
    let taps = Arc::new(Taps::default());
    let tap = taps.open(Wish { kind: Kind::Samples, rate: wish::RATE_MAX, ..Wish::default() }).unwrap();
    let notification = notification("a");
    let samples = [sample("large", &"x".repeat(200_000)), sample("huge", &"x".repeat(LINE_BYTES_MAX))];
    let came = Passing { queue: "q", notification: Some(&notification), samples: &samples, events: &[] };
    (0..20).for_each(|_| taps.pass(&came));
    assert_eq!(tap.next().await, Next::LeftOut(20 + 15));
    assert_eq!(std::iter::from_fn(|| tap.ready()).count(), 5);
}

#[test]
fn too_many_ask() {
    let taps = Arc::new(Taps::default());
    let all: Vec<Tap> = (0..TAPS_MAX).filter_map(|_| taps.open(Wish::default())).collect();
    assert_eq!(all.len(), TAPS_MAX);
    assert!(taps.open(Wish::default()).is_none());
    drop(all);
    assert!(taps.open(Wish::default()).is_some());
}

#[tokio::test]
async fn as_many_as_were_asked_for_have_come() {
    let taps = Arc::new(Taps::default());
    let tap = taps.open(Wish { limit: Some(1), ..Wish::default() }).unwrap();
    let notification = notification("a");
    (0..3)
        .for_each(|_| taps.pass(&Passing { queue: "q", notification: Some(&notification), samples: &[], events: &[] }));
    assert!(matches!(tap.next().await, Next::Line(_)));
    assert_eq!(tap.next().await, Next::Over);
}

#[tokio::test]
async fn lines_that_nobody_read_are_not_among_those_that_were_asked_for() {
    let taps = Arc::new(Taps::default());
    let limit = LINES_MAX as u64 + 10;
    let tap = taps.open(Wish { limit: Some(limit), rate: wish::RATE_MAX, ..Wish::default() }).unwrap();
    let notification = notification("a");
    let came = Passing { queue: "q", notification: Some(&notification), samples: &[], events: &[] };
    (0..LINES_MAX + 50).for_each(|_| taps.pass(&came));
    assert_eq!(tap.next().await, Next::LeftOut(50));
    assert_eq!(std::iter::from_fn(|| tap.ready()).count(), LINES_MAX);
    (0..50).for_each(|_| taps.pass(&came));
    let rest: Vec<Next> = std::iter::from_fn(|| tap.ready()).take(11).collect();
    assert!(rest[..10].iter().all(|next| matches!(next, Next::Line(_))), "{rest:?}");
    assert_eq!(rest[10], Next::Over);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_long_is_one_of_its_second() {
    let taps = Arc::new(Taps::default());
    let tap = taps.open(Wish { kind: Kind::Samples, rate: 3, ..Wish::default() }).unwrap();
    let notification = notification("a");
    let samples = [sample("huge", &"x".repeat(LINE_BYTES_MAX)), sample("small", "i-1")];
    let came = Passing { queue: "q", notification: Some(&notification), samples: &samples, events: &[] };
    (0..5).for_each(|_| taps.pass(&came));
    // Two too long ones and one small one were written, and that was all of this second.
    assert_eq!(tap.next().await, Next::LeftOut(9));
    assert_eq!(std::iter::from_fn(|| tap.ready()).count(), 1);
}

#[test]
fn no_secret_passes() {
    let body = r#"{"event_type":"compute.instance.create.start","publisher_id":"compute.a","message_id":"m","priority":"INFO",
        "timestamp":"2026-03-01 10:00:00","_context_auth_token":"s3cret",
        "payload":{"admin_pass":"s3cret","user_data":"s3cret","name":"vm"}}"#;
    let notification = envelope::open(body.as_bytes()).unwrap();
    let metadata = Dict::from_iter([("admin_pass", "s3cret"), ("flavor", "small")]);
    let samples = [Sample { resource_metadata: metadata.into(), ..sample("vcpus", "i-1") }];
    let taps = Arc::new(Taps::default());
    for (kind, kept) in [(Kind::Notifications, "\"name\":\"vm\""), (Kind::Samples, "\"flavor\":\"small\"")] {
        let tap = taps.open(Wish { kind, ..Wish::default() }).unwrap();
        taps.pass(&Passing { queue: "q", notification: Some(&notification), samples: &samples, events: &[] });
        let Some(Next::Line(line)) = tap.ready() else { panic!("no line") };
        let text = String::from_utf8(line.to_vec()).unwrap();
        assert!(text.contains("\"admin_pass\":\"removed\"") && text.contains(kept), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
