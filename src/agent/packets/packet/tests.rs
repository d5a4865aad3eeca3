use super::*;
use crate::model::{SampleType, Trait, TraitValue, time};

/// A packet as 0.1.0 writes it, with a sample and an event of odd values. Members of a group are updated one after the
/// other, so that this is read, and written, until the format has another number.
const WRITTEN: &str = include_str!("format-1.json");

fn fragments() -> Vec<Fragment> {
    let sample = |id: &str, volume| Sample {
        name: "disk \"x\"".into(),
        kind: SampleType::Delta,
        unit: Value::from("\u{1}é"),
        volume,
        user_id: Value::Null,
        user_name: Value::from("😀"),
        project_id: Value::Int(-7),
        project_name: Value::Bool(true),
        resource_id: Value::List(vec![Value::Float(1.5), Value::Dict(Dict::new())]),
        timestamp: "2026-01-01T00:00:00".into(),
        resource_metadata: Dict::from_iter([("name", Value::Null), ("id", Value::Dict(Dict::from_iter([("a", 1)])))])
            .into(),
        source: "openstack".into(),
        id: id.into(),
        monotonic_time: Value::Float(0.25),
    };
    let moment = time::parse("2026-01-02T03:04:05.6").unwrap().naive_utc();
    let of = |name: &str, value| Trait { name: name.into(), value };
    let event = Event {
        message_id: Value::Null,
        event_type: "a.b".into(),
        generated: moment,
        traits: vec![
            of("n", TraitValue::None("\n".into())),
            of("t", TraitValue::Text("]}".into())),
            of("i", TraitValue::Int(Value::Int(-7))),
            of("f", TraitValue::Float(0.5)),
            of("d", TraitValue::Datetime(moment)),
        ]
        .into(),
        raw: Dict::from_iter([("k", Value::List(Vec::new()))]),
    };
    let bare = Event { traits: Vec::new().into(), raw: Dict::new(), ..event.clone() };
    let fragment = |message_id: &str, pipeline: &str, batch| Fragment {
        message_id: message_id.into(),
        pipeline: pipeline.into(),
        batch,
    };
    vec![
        fragment(
            "m-1",
            "source:sink",
            Batch::Samples(vec![sample("1", Value::Int(1)), sample("2", Value::Float(2.0))]),
        ),
        fragment("m-2", "source:sink", Batch::Samples(vec![sample("3", Value::Null)])),
        fragment("m-2", "events", Batch::Events(vec![event, bare])),
    ]
}

fn written(fragments: &[Fragment]) -> Vec<u8> {
    let mut builder = PacketBuilder::new("member \"1\"", 7, 42);
    fragments.iter().for_each(|fragment| builder.push(fragment));
    builder.finish()
}

fn exact(body: &[u8]) -> Option<Packet> {
    read_exact(&Text::from(std::str::from_utf8(body).ok()?))
}

#[test]
fn a_packet_is_written_and_read_as_by_0_1_0() {
    let body = written(&fragments());
    assert_eq!(String::from_utf8(body.clone()).unwrap(), WRITTEN.trim_end());
    let packet = read(&body).unwrap();
    assert_eq!((packet.member.as_str(), packet.epoch, packet.sequence), ("member \"1\"", 7, 42));
    assert_eq!(packet.fragments, fragments());
}

#[test]
fn what_is_written_is_read_in_one_pass() {
    for some in [fragments(), Vec::new()] {
        let body = written(&some);
        assert_eq!(exact(&body).unwrap().fragments, some);
    }
}

/// Infinity, an integer past 64 bits, a question: for the other reader.
#[test]
fn what_is_not_read_in_one_pass_is_read_all_the_same() {
    let mut odd = fragments();
    let Some(Batch::Samples(samples)) = odd.first_mut().map(|fragment| &mut fragment.batch) else { panic!() };
    samples[0].volume = Value::Float(f64::INFINITY);
    let body = written(&odd);
    assert_eq!(exact(&body), None);
    assert_eq!(read(&body).unwrap().fragments, odd);
    let question = Question { token: "t".to_owned(), answer_to: "q".to_owned() };
    let body = PacketBuilder::question("m", 1, 2, &question);
    assert_eq!((exact(&body), read(&body).unwrap().question), (None, Some(question)));
}

/// Whatever is changed: the one reader gives nothing, or what the other gives.
#[test]
fn both_readers_agree_on_what_is_no_packet_of_ours() {
    let body = written(&fragments());
    let mut agreed = 0;
    for at in 0..body.len() {
        for change in [&b""[..], b"\"", b" ", b"0", b"9", b"}", b",", b"\\", b"[1]"] {
            let changed = [&body[..at], change, &body[at + 1..]].concat();
            if let Some(packet) = exact(&changed) {
                let written_again = written(&packet.fragments);
                let built = read_any(&changed).unwrap();
                assert_eq!(packet, built, "{}", String::from_utf8_lossy(&changed));
                // What nobody has looked into is written as it came.
                assert_eq!(read_any(&written_again).unwrap().fragments, built.fragments);
                agreed += 1;
            }
        }
    }
    assert!(agreed > 1_000, "{agreed}");
}
