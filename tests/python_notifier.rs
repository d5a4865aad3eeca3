//! The agent, fed by OpenStack's own notifier (Debian's oslo.messaging) over a real RabbitMQ: what it sends comes out of the
//! publishers, both share one broker however it was declared before, and bad messages between good ones hurt nobody.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use crate::{field, rig};

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use crate::field::{Folder, TO_FILES, Wire, until};
use crate::rig::Generation;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ExchangeKind};
use nephoscope::model::{Dict, Value, envelope, json};
use nephoscope::publish::signature;
use rstest::rstest;

const INFO: &str = "notifications.info";
const SECRET: &str = "field";

/// Lines for tests/python_notifier.py: a sample and an event, an event alone (by its priority), a sample alone.
const LINES: &str = concat!(
    r#"{"event_type": "image.update", "publisher_id": "image.host1", "payload": {"id": "image-1", "size": {n}, "owner": "p", "name": "ä ✓", "status": "active"}}"#,
    "\n",
    r#"{"event_type": "compute.instance.create.error", "publisher_id": "compute.host1", "priority": "error", "payload": {"instance_id": "i-{n}", "tenant_id": "p"}}"#,
    "\n",
    r#"{"event_type": "image.update", "publisher_id": "image.host1", "priority": "sample", "payload": {"id": "image-2", "size": {n}, "owner": "p", "name": null, "status": "active"}}"#,
    "\n",
);

/// Sends the lines in turn, so many in all, as a service does; the ids that the broker confirmed, by number.
fn send(folder: &Folder, url: &str, driver: &str, lines: &str, count: usize) -> Vec<String> {
    folder.write("lines", lines);
    let done = Command::new("/usr/bin/python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_notifier.py"))
        .args(["--url", &url.replacen("amqp://", "rabbit://", 1), "--driver", driver, "--exchange", "glance"])
        .args(["--count", &count.to_string()])
        .arg(folder.file("lines"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "run `make deps` if oslo.messaging is missing: {complaint}");
    let ids = String::from_utf8(done.stdout).unwrap();
    ids.lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

/// The signed records of everything in a queue of the notifier publisher.
async fn signed_records(wire: &Wire, queue: &str, priority: &str) -> Vec<Dict> {
    let mut records = Vec::new();
    while let Some(got) = wire.get(queue).await {
        let letter = envelope::unwrap(field::read_dict(&got.delivery.data)).unwrap();
        assert_eq!(letter.get("priority").and_then(Value::as_str), Some(priority));
        let Some(Value::List(payload)) = letter.get("payload") else {
            panic!("no list: {}", json::to_string(&Value::Dict(letter.clone())))
        };
        for record in payload {
            let record = record.as_dict().unwrap().clone();
            assert!(signature::verify(&record, SECRET) && !signature::verify(&record, "another"), "the signature");
            records.push(record);
        }
    }
    records
}

fn texts<'a>(records: impl IntoIterator<Item = &'a Dict>, field: &str) -> BTreeSet<String> {
    records.into_iter().filter_map(|r| r.get(field)?.as_str().map(str::to_owned)).collect()
}

fn sizes<'a>(samples: impl IntoIterator<Item = &'a Dict>) -> BTreeSet<usize> {
    let of_size = samples.into_iter().filter(|s| {
        let name = s.get("name").or_else(|| s.get("counter_name"));
        name.and_then(Value::as_str) == Some("image.size")
    });
    of_size
        .filter_map(|s| match s.get("volume").or_else(|| s.get("counter_volume")) {
            Some(Value::Int(n)) => usize::try_from(*n).ok(),
            _ => None,
        })
        .collect()
}

/// What main queues are, for agents and senders alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Main {
    /// Neither durable nor exclusive, as OpenStack has them by default and RabbitMQ 4 may deny them.
    Transient,
    Durable,
    Quorum,
}

impl Main {
    /// Options of `[oslo_messaging_rabbit]`, in a file or a transport URL.
    fn options(self) -> [String; 2] {
        [
            format!("amqp_durable_queues={}", self != Main::Transient),
            format!("rabbit_quorum_queue={}", self == Main::Quorum),
        ]
    }

    fn configuration(self) -> String {
        format!("[oslo_messaging_rabbit]\n{}\n", self.options().join("\n"))
    }

    fn query(self) -> String {
        format!("?{}", self.options().join("&"))
    }

    /// A broker that allows them.
    fn rabbit(self, generation: Generation) -> rig::Rabbit {
        match self {
            Main::Transient => rig::rabbitmq_with_deprecated(generation),
            Main::Durable | Main::Quorum => rig::rabbitmq_of(generation),
        }
    }

    /// Declares one as a service does.
    async fn declare(self, wire: &Wire, queue: &str) {
        let options = QueueDeclareOptions { durable: self != Main::Transient, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        if self == Main::Quorum {
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        }
        wire.channel.queue_declare(queue.into(), options, arguments).await.unwrap();
    }
}

const GZIP: &str = "&kombu_compression=gzip";

#[rstest]
#[case::three(Generation::Three, Main::Transient, "messaging", "")]
#[case::three_packed(Generation::Three, Main::Transient, "messagingv2", GZIP)]
#[case::three_quorum(Generation::Three, Main::Quorum, "messagingv2", "")]
#[case::four(Generation::Four, Main::Transient, "messagingv2", "")]
#[case::four_durable(Generation::Four, Main::Durable, "messaging", "")]
#[case::four_quorum_packed(Generation::Four, Main::Quorum, "messagingv2", GZIP)]
#[tokio::test]
async fn what_python_notifier_sends_comes_out_of_the_publishers(
    #[case] generation: Generation,
    #[case] main: Main,
    #[case] driver: &str,
    #[case] packed: &str,
) {
    const COUNT: usize = 60;
    let url = main.rabbit(generation).vhost("notifier");
    let folder = Folder::new(&format!("python-{driver}-{}", packed.len()));
    folder.configure(&url, &format!("{}[publisher]\ntelemetry_secret = {SECRET}", main.configuration()));
    folder.pipelines(&[TO_FILES.0, "notifier://"], &[TO_FILES.1, "notifier://"]);
    let mut agent = folder.start();
    agent.until_it_works().await;

    let ids = send(&folder, &format!("{url}{}{packed}", main.query()), driver, LINES, COUNT);

    let gives_event = |n: &usize| n % 3 != 2;
    let gives_sample = |n: &usize| n % 3 != 1;
    let events: BTreeSet<String> = (0..COUNT).filter(gives_event).map(|n| ids[n].clone()).collect();
    let samples: BTreeSet<usize> = (0..COUNT).filter(gives_sample).collect();
    let out = || (texts(&folder.records("events.jsonl"), "message_id"), sizes(&folder.records("samples.jsonl")));
    until("all are in the files", || out() == (events.clone(), samples.clone()), || format!("{:?}", out())).await;
    agent.stop().await;

    let wire = Wire::connect(&url).await;
    let metering = signed_records(&wire, "metering.sample", "SAMPLE").await;
    assert_eq!(sizes(&metering), samples);
    let published = signed_records(&wire, "event.sample", "SAMPLE").await;
    assert_eq!(texts(&published, "message_id"), events);
    // The same record by both ways.
    let by_file: BTreeSet<String> = folder.texts("samples.jsonl", "id").into_iter().collect();
    assert_eq!(texts(&metering, "message_id"), by_file);
    for queue in [INFO, "notifications.error", "notifications.sample"] {
        assert_eq!(wire.depth(queue).await, 0, "{queue}");
    }
}

/// Who declares first, and what the sender and the agent want.
#[rstest]
#[case::agent_first(true, Main::Transient, Main::Transient)]
#[case::sender_first(false, Main::Transient, Main::Transient)]
#[case::agent_first_both_durable(true, Main::Durable, Main::Durable)]
#[case::sender_first_both_durable(false, Main::Durable, Main::Durable)]
#[case::agent_first_both_quorum(true, Main::Quorum, Main::Quorum)]
#[case::sender_first_both_quorum(false, Main::Quorum, Main::Quorum)]
#[case::transient_exchanges_and_queues_were_there(false, Main::Transient, Main::Durable)]
#[tokio::test]
async fn python_notifier_and_agent_share_a_broker(
    #[case] agent_first: bool,
    #[case] sent: Main,
    #[case] wanted: Main,
    #[values(Generation::Three, Generation::Four)] generation: Generation,
) {
    let url = sent.rabbit(generation).vhost("share");
    let folder = Folder::new(&format!("share-{agent_first}-{sent:?}-{wanted:?}-{}", generation.number()));
    folder.configure(&url, &wanted.configuration());
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let sender = format!("{url}{}", sent.query());
    let mut ids = Vec::new();
    if !agent_first {
        ids.extend(send(&folder, &sender, "messagingv2", LINES, 3));
    }
    let mut agent = folder.start();
    agent.until_it_works().await;
    // And on, with everything declared by both.
    ids.extend(send(&folder, &sender, "messagingv2", LINES, 3));
    let expected: BTreeSet<String> = ids.chunks(3).flat_map(|ids| ids[..2].to_vec()).collect();
    let out = || texts(&folder.records("events.jsonl"), "message_id");
    until("all events are out", || out() == expected, || format!("{:?} of {expected:?}", out())).await;
    agent.stop().await;
}

#[rstest]
#[tokio::test]
async fn python_notifier_or_not_a_transient_exchange_makes_the_queues_transient_too(
    #[values(Generation::Three, Generation::Four)] generation: Generation,
) {
    let url = rig::rabbitmq_with_deprecated(generation).vhost("fallback");
    let wire = Wire::connect(&url).await;
    let transient = ExchangeDeclareOptions::default();
    wire.channel
        .exchange_declare("glance".into(), ExchangeKind::Topic, transient, FieldTable::default())
        .await
        .unwrap();
    let folder = Folder::new(&format!("fallback-{}", generation.number()));
    folder.configure(&url, "[oslo_messaging_rabbit]\namqp_durable_queues = true");
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let mut agent = folder.start();
    agent.until_it_works().await;
    let ids = send(&folder, &url, "messagingv2", LINES, 3);
    let expected: BTreeSet<String> = ids[..2].iter().cloned().collect();
    let out = || texts(&folder.records("events.jsonl"), "message_id");
    until("both events are out", || out() == expected, || format!("{:?}", out())).await;
    // Ceilometer reference §3.1: where an exchange is transient, its queues are declared so too.
    let as_transient = QueueDeclareOptions::default();
    wire.channel.queue_declare(INFO.into(), as_transient, FieldTable::default()).await.unwrap();
    agent.stop().await;
}

/// A bad message: its body, its `compression` header, the kind and a part of the reason under which it is parked.
fn bad_messages() -> Vec<(Vec<u8>, Option<&'static str>, &'static str, &'static str)> {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let good = field::notification(1_000);
    let text = |body: &str| body.as_bytes().to_vec();
    vec![
        (text("not json"), None, "unreadable", "JSON"),
        (vec![0xff, 0xfe, 0x00], None, "unreadable", "JSON"),
        (Vec::new(), None, "unreadable", "JSON"),
        (text("[1, 2]"), None, "unreadable", "object"),
        (deep, None, "unreadable", "JSON"),
        (text(r#"{"oslo.version": "3.0", "oslo.message": "{}"}"#), None, "unreadable", "3.0"),
        (text(r#"{"oslo.version": "2.0", "oslo.message": "{"}"#), None, "unreadable", "oslo.message"),
        (text(r#"{"event_type": "a", "payload": {}, "priority": "BOGUS"}"#), None, "unknown_priority", "BOGUS"),
        (text(r#"{"event_type": "a", "payload": {}, "priority": null}"#), None, "unknown_priority", "null"),
        (text(r#"{"event_type": "a", "payload": {}}"#), None, "unknown_priority", "null"),
        (good.clone(), Some("application/x-gzip"), "unreadable", "gzip"),
        (good, Some("application/zstd"), "unreadable", "zstd"),
    ]
}

/// Odd, but readable: they give what they can, and are acknowledged.
fn odd_messages() -> Vec<Vec<u8>> {
    let large = format!(
        r#"{{"message_id":"large","publisher_id":"p","event_type":"image.update","priority":"info","timestamp":"2026-01-01 00:00:00","payload":{{"id":"large","size":99999,"owner":"t","blob":"{}"}}}}"#,
        "x".repeat(5 << 20)
    );
    let texts = [
        r#"{"priority": "INFO"}"#,
        r#"{"priority": "INFO", "event_type": null, "payload": null, "message_id": 7, "timestamp": "yesterday"}"#,
        r#"{"priority": "INFO", "event_type": "image.update", "payload": "text"}"#,
        r#"{"priority": "INFO", "event_type": "image.update", "message_id": "few", "payload": {"id": "few"}}"#,
        r#"{"priority": "INFO", "event_type": "image.update", "message_id": "nan", "payload": {"id": "nan", "size": "NaN"}, "timestamp": {}}"#,
        r#"{"priority": "INFO", "event_type": "\ud800", "message_id": "lone", "payload": {"size": NaN}}"#,
        &large,
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[rstest]
#[case::three(Generation::Three, Main::Transient)]
#[case::four_quorum(Generation::Four, Main::Quorum)]
#[tokio::test]
async fn python_notifier_is_not_hurt_by_bad_messages_between_its_own(
    #[case] generation: Generation,
    #[case] main: Main,
) {
    let url = main.rabbit(generation).vhost("bad");
    let folder = Folder::new(&format!("bad-{}", generation.number()));
    let port = field::free_port();
    folder.configure(&url, &format!("listen = 127.0.0.1:{port}\n{}", main.configuration()));
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let wire = Wire::connect(&url).await;
    // What waits for the agent is good, bad, odd, good, bad …, in one queue.
    main.declare(&wire, INFO).await;
    let (bad, odd) = (bad_messages(), odd_messages());
    for n in 0..bad.len().max(odd.len()) {
        assert!(wire.put(INFO, &field::notification(n), BasicProperties::default()).await);
        if let Some((body, compression, ..)) = bad.get(n) {
            let mut headers = FieldTable::default();
            if let Some(method) = compression {
                headers.insert("compression".into(), AMQPValue::LongString((*method).into()));
            }
            assert!(wire.put(INFO, body, BasicProperties::default().with_headers(headers)).await);
        }
        if let Some(body) = odd.get(n) {
            assert!(wire.put(INFO, body, BasicProperties::default()).await);
        }
    }
    let mut agent = folder.start();
    agent.until_it_works().await;
    let ids = send(&folder, &format!("{url}{}", main.query()), "messagingv2", LINES, 3);
    let events = || texts(&folder.records("events.jsonl"), "message_id");
    let good: BTreeSet<String> =
        (0..bad.len().max(odd.len())).map(|n| format!("m-{n}")).chain(ids[..2].to_vec()).collect();
    until("the good are out", || good.is_subset(&events()), || format!("{:?}\n{}", events(), agent.log())).await;
    // 5 MB are no reason.
    let samples = || sizes(&folder.records("samples.jsonl"));
    until("so is the large one", || samples().contains(&99_999), || format!("{:?}", samples())).await;

    // Nothing came twice, and nothing is left.
    let page = field::ask(port, "/metrics");
    assert!(!page.contains("nephoscope_redelivered_total{"), "{page}");
    let received = |queue: &str| {
        let line = format!("nephoscope_notifications_received_total{{queue=\"{queue}\"}} ");
        page.lines().find_map(|l| l.strip_prefix(&line)?.parse::<usize>().ok()).unwrap_or_default()
    };
    // One good one each round, and the one of Python's three that goes to this queue.
    assert_eq!(received(INFO), bad.len().max(odd.len()) + bad.len() + odd.len() + 1);
    agent.stop().await;
    assert_eq!(wire.depth(INFO).await, 0);

    let parked_queue = format!("nephoscope.{}.parked", folder.name);
    let mut parked = Vec::new();
    while let Some(got) = wire.get(&parked_queue).await {
        parked.push(got);
    }
    assert_eq!(parked.len(), bad.len(), "{}", agent.log());
    for (got, (body, _, kind, reason)) in parked.iter().zip(&bad) {
        assert_eq!(&got.delivery.data, body, "the body is as it came");
        let headers = headers(got.delivery.properties.headers().as_ref().unwrap());
        assert_eq!(headers["x-nephoscope-kind"], *kind);
        assert_eq!(headers["x-nephoscope-origin"], INFO);
        assert_eq!(headers["x-nephoscope-member"], "agent");
        assert!(headers["x-nephoscope-reason"].contains(reason), "{headers:?}");
    }
}

fn headers(table: &FieldTable) -> BTreeMap<String, String> {
    let text = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => text.to_string(),
        other => format!("{other:?}"),
    };
    table.inner().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
