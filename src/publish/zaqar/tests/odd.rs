//! Records that Zaqar's stores cannot hold.

use super::*;
use crate::model::{Trait, TraitValue};

fn odd_samples() -> Vec<(&'static str, Sample)> {
    let with = |key: &str, value: Value| {
        let mut odd = sample("cpu", "odd");
        odd.resource_metadata.insert(key, value);
        odd
    };
    let mut endless = sample("cpu", "odd");
    endless.volume = text::read(b"18446744073709551616").unwrap();
    let deep = (0..200).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    vec![
        ("endless", endless),
        ("dot", with("image.base", 1.into())),
        ("dollar", with("$ref", 1.into())),
        ("nul", with("a\0", 1.into())),
        ("deep", with("deep", deep)),
        ("within", with("list", Value::List(vec![text::read(b"{\"a.b\":1}").unwrap()]))),
    ]
}

/// Breaks down over what is odd, as Zaqar does over what its store cannot hold.
struct Brittle;

impl Respond for Brittle {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let breaks = String::from_utf8_lossy(&request.body).contains("\"odd\"");
        if breaks { ResponseTemplate::new(503) } else { created() }
    }
}

#[tokio::test]
async fn a_record_over_which_zaqar_breaks_down_is_refused_if_zaqar_is_alive() {
    for (about, odd) in odd_samples() {
        let server = answering(Brittle).await;
        let ping = Mock::given(method("GET")).and(path("/v2/ping")).respond_with(ResponseTemplate::new(204));
        let ping = ping.mount_as_scoped(&server).await;
        let batch = Batch::Samples(vec![sample("cpu", "1"), odd, sample("cpu", "2")]);
        let publisher = publisher(&server, "");
        assert_eq!(said(publisher.publish(&batch).await), (vec![1], vec![]), "{about}");
        drop(ping);
        let away = publisher.publish(&batch).await;
        assert!(matches!(away, Err(PublishError::Retry { .. })), "who is away says nothing of a record: {away:?}");
    }
}

#[tokio::test]
async fn an_event_over_which_zaqar_breaks_down_is_refused_and_a_plain_one_waits() {
    let server = answering(ResponseTemplate::new(503)).await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    let publisher = build("zaqar://?queue=q", Kind::Events, &nobody(&server)).unwrap();
    let mut odd = event("m");
    let value = TraitValue::Int(text::read(b"-18446744073709551616").unwrap());
    odd.traits.push(Trait { name: "n".into(), value });
    assert_eq!(said(publisher.publish(&Batch::Events(vec![odd])).await), (vec![0], vec![]));
    let plain = publisher.publish(&Batch::Events(vec![event("m")])).await;
    assert!(matches!(plain, Err(PublishError::Retry { .. })), "{plain:?}");
}
