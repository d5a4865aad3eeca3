//! `nephoscope run` as a service: signals, reload, exit codes, health, and a broker that is away when it starts or dies
//! while it works.

use crate::{field, rig};

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::field::{Folder, TO_FILES, Wire, ask, free_port, notification, numbers, until, until_out};
use crate::rig::Generation;
use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use rstest::rstest;

const INFO: &str = "notifications.info";
/// Main queues that a restart of the broker leaves alone.
const DURABLE: &str = "[oslo_messaging_rabbit]\namqp_durable_queues = true";

async fn put_all(wire: &Wire, numbers: impl IntoIterator<Item = usize>) {
    for n in numbers {
        let persistent = BasicProperties::default().with_delivery_mode(2);
        assert!(wire.put(INFO, &notification(n), persistent).await);
    }
}

#[tokio::test]
async fn service_broker_is_away_when_it_starts() {
    let broker = rig::own_rabbitmq();
    broker.stop();
    let folder = Folder::new("away");
    let port = free_port();
    folder.configure(
        &broker.url,
        &format!("listen = 127.0.0.1:{port}\n[oslo_messaging_rabbit]\nrabbit_retry_interval = 1"),
    );
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let mut agent = folder.start();
    agent.until_it_says("to=waiting").await;
    let answer = ask(port, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("the broker at "), "{answer}");
    assert!(ask(port, "/livez").starts_with("HTTP/1.1 200"));

    broker.start();
    agent.until_it_works().await;
    assert_eq!(agent.said("to=waiting"), 1, "it tried all the time, and said it once: {}", agent.log());
    let wire = Wire::connect(&broker.url).await;
    put_all(&wire, 0..10).await;
    until_out(&folder, &agent, 0..10).await;
    assert!(ask(port, "/readyz").starts_with("HTTP/1.1 200"));
    agent.stop().await;
}

#[tokio::test]
async fn service_broker_denies_queues_that_are_not_durable() {
    const SENTENCE: &str = "set [oslo_messaging_rabbit] amqp_durable_queues or rabbit_quorum_queue, as all services";
    let broker = rig::rabbitmq_of(Generation::Four);
    let folder = Folder::new("denied");
    let port = free_port();
    folder.configure(&broker.vhost("denied"), &format!("listen = 127.0.0.1:{port}"));
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let mut agent = folder.start();
    agent.until_it_says(SENTENCE).await;
    // It tries again, and says nothing new by that.
    let losses = || {
        let page = ask(port, "/metrics");
        let row = page.lines().find(|line| line.starts_with("nephoscope_link_losses_total{"));
        row.and_then(|row| row.rsplit(' ').next()?.parse::<u32>().ok()).unwrap_or_default()
    };
    until("it has tried three times", || losses() >= 3, || agent.log()).await;
    let mut answer = String::new();
    until(
        "readyz says why",
        || {
            answer = ask(port, "/readyz");
            answer.starts_with("HTTP/1.1 503") && answer.contains(SENTENCE)
        },
        || agent.log(),
    )
    .await;
    assert_eq!(agent.said(SENTENCE), 1, "{}", agent.log());
    assert_eq!(agent.said(" WARN ") + agent.said(" ERROR "), 1, "{}", agent.log());
    assert_eq!(agent.said("agent.queue.closed"), 0, "none was open: {}", agent.log());
    agent.stop().await;
}

#[tokio::test]
async fn service_broker_is_killed_and_comes_back_while_notifications_flow() {
    const COUNT: usize = 3_000;
    let broker = rig::own_rabbitmq();
    let folder = Folder::new("killed-broker");
    folder.configure(&broker.url, DURABLE);
    folder.pipelines(&[TO_FILES.0, "notifier://"], &[TO_FILES.1]);
    let mut agent = folder.start();
    agent.until_it_works().await;
    let wire = Wire::connect(&broker.url).await;
    // A crash in the midst of it: what was confirmed until then is owed.
    let mut owed = BTreeSet::new();
    let killing = async {
        until("something is out", || numbers(&folder).1.len() > 200, || agent.log()).await;
        broker.kill();
    };
    let sending = async {
        for n in 0..COUNT {
            if !wire.put(INFO, &notification(n), BasicProperties::default().with_delivery_mode(2)).await {
                break;
            }
            owed.insert(n);
        }
    };
    tokio::join!(killing, sending);
    assert!((200..COUNT).contains(&owed.len()), "{} were sent before the crash", owed.len());
    broker.start();
    let wire = Wire::connect(&broker.url).await;
    put_all(&wire, COUNT..COUNT + 100).await;
    owed.extend(COUNT..COUNT + 100);
    // The one whose confirm the crash took may be there too.
    let missing = || {
        let (samples, events) = numbers(&folder);
        let (samples, events): (BTreeSet<_>, BTreeSet<_>) =
            (samples.into_iter().collect(), events.into_iter().collect());
        let gone = |n: &&usize| !samples.contains(&number(**n)) || !events.contains(&number(**n));
        owed.iter().filter(gone).copied().collect::<Vec<usize>>()
    };
    until("nothing is missing", || missing().is_empty(), || format!("{:?}\n{}", missing(), agent.log())).await;
    agent.stop().await;
    assert_eq!(wire.depth(INFO).await, 0);
}

#[tokio::test]
async fn service_is_asked_to_stop_while_notifications_wait() {
    let url = rig::rabbitmq().vhost("term");
    let folder = Folder::new("term");
    folder.configure(&url, "");
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let mut agent = folder.start();
    agent.until_it_works().await;
    let wire = Wire::connect(&url).await;
    put_all(&wire, 0..500).await;
    agent.stop().await;
    assert_eq!(agent.said("agent.drain.finished"), 1, "{}", agent.log());
    // What it took it finished, the rest is where it was: together everything, and nothing twice.
    let (samples, events) = numbers(&folder);
    assert_eq!(samples, events);
    assert_eq!(samples.len() + wire.depth(INFO).await as usize, 500);
    assert_eq!(folder.records("events.jsonl").len(), events.len(), "nothing twice");
}

#[tokio::test]
async fn service_is_asked_to_stop_a_second_time_while_a_publisher_does_not_answer() {
    let url = rig::rabbitmq().vhost("twice");
    let folder = Folder::new("twice");
    // It takes connections (the system does), and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let publisher = format!("http://{}/?timeout=600", silent.local_addr().unwrap());
    folder.configure(&url, "");
    folder.pipelines(&[&publisher], &[TO_FILES.1]);
    let mut agent = folder.start();
    agent.until_it_works().await;
    let wire = Wire::connect(&url).await;
    put_all(&wire, 0..3).await;
    until("the events are out", || numbers(&folder).1.len() == 3, || agent.log()).await;
    agent.signal("TERM");
    // It says who is still busy, and waits.
    agent.until_it_says("agent.drain.waits").await;
    assert!(agent.said("sink meters") > 0, "{}", agent.log());
    let asked = Instant::now();
    agent.signal("TERM");
    let status = agent.ended().await;
    assert_eq!(status.code(), Some(1), "{}", agent.log());
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    // Nothing was settled that no publisher took.
    until_depth(&wire, 3).await;
}

async fn until_depth(wire: &Wire, expected: u32) {
    let began = Instant::now();
    while wire.depth(INFO).await != expected {
        assert!(began.elapsed() < field::PATIENCE, "{} messages instead of {expected}", wire.depth(INFO).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn service_reads_its_configuration_again() {
    let url = rig::rabbitmq().vhost("reload");
    let folder = Folder::new("reload");
    folder.configure(&url, "");
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let mut agent = folder.start();
    agent.until_it_works().await;
    let wire = Wire::connect(&url).await;
    put_all(&wire, 0..5).await;
    until_out(&folder, &agent, 0..5).await;

    // A wrong one: every complaint is said, nothing changes.
    folder.write(
        "pipeline.yaml",
        "sources:\n  - name: all\n    meters: ['cpu', '!disk']\n    sinks: [nowhere]\nsinks:\n  - name: meters\n    publishers:\n      - nosuch://x\n",
    );
    agent.signal("HUP");
    agent.until_it_says("agent.reload.refused").await;
    for complaint in ["pipeline.yaml:3: ", "pipeline.yaml:4: ", "pipeline.yaml:8: "] {
        assert!(
            agent.log().lines().any(|l| l.contains("agent.reload.complained") && l.contains(complaint)),
            "{complaint} is not in\n{}",
            agent.log()
        );
    }
    put_all(&wire, 5..10).await;
    until_out(&folder, &agent, 0..10).await;

    // A right one: samples go elsewhere, events stay where they are, no listener is touched.
    folder.pipelines(&["file://{folder}/elsewhere.jsonl?json"], &[TO_FILES.1]);
    agent.signal("HUP");
    agent.until_it_says("agent.reload.taken").await;
    put_all(&wire, 10..15).await;
    until("the new file has them", || folder.records("elsewhere.jsonl").len() >= 5, || agent.log()).await;
    until("so have the events", || numbers(&folder).1.len() == 15, || agent.log()).await;
    assert_eq!(numbers(&folder).0.len(), 10, "the old file has no more");
    assert_eq!(agent.said("agent.queue.closed"), 0, "{}", agent.log());
    agent.stop().await;
}

#[rstest]
#[case::of_options_and_definitions(
    "[notification]\nstore_events = 0\n[nephoscope]\nparked_messages_max = many",
    "nosuch://x",
    &["ceilometer.conf:14: ", "pipeline.yaml:8: "]
)]
#[case::of_a_publisher_that_is_not_there("", "nosuch://x", &["pipeline.yaml:8: "])]
#[case::of_a_publisher_that_is_not_built_yet("", "gnocchi://", &["pipeline.yaml:8: "])]
#[case::of_a_publisher_whose_folder_is_missing("", "file://{folder}/missing/folder/samples", &["missing/folder"])]
#[tokio::test]
async fn service_refuses_a_wrong_configuration(
    #[case] more: &str,
    #[case] publisher: &str,
    #[case] complaints: &[&str],
) {
    let url = rig::rabbitmq().vhost("refuse");
    let folder = Folder::new(&format!("refuse-{}-{}", more.len(), publisher.len()));
    folder.configure(&url, more);
    folder.pipelines(&[publisher], &[TO_FILES.1]);
    let wire = Wire::connect(&url).await;
    wire.channel.queue_declare(INFO.into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    put_all(&wire, 0..3).await;
    let mut agent = folder.start();
    let status = agent.ended().await;
    assert_eq!(status.code(), Some(78), "{}", agent.log());
    for complaint in complaints {
        assert!(
            agent.log().lines().any(|l| l.starts_with("error: ") && l.contains(complaint)),
            "{complaint} is not in\n{}",
            agent.log()
        );
    }
    assert_eq!(wire.depth(INFO).await, 3, "nothing was consumed");
}

#[tokio::test]
async fn service_shows_life_readiness_status_and_metrics() {
    let url = rig::rabbitmq().vhost("shows");
    let folder = Folder::new("shows");
    let port = free_port();
    folder.configure(&url, &format!("listen = 127.0.0.1:{port}"));
    folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
    let mut agent = folder.start();
    agent.until_it_works().await;
    let wire = Wire::connect(&url).await;
    put_all(&wire, 0..20).await;
    wire.put(INFO, b"not json", BasicProperties::default()).await;
    until_out(&folder, &agent, 0..20).await;
    agent.until_it_says("agent.message.parked").await;

    assert!(ask(port, "/livez").ends_with("ok\n"));
    let ready = ask(port, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("\"ready\":true"), "{ready}");
    let status = ask(port, "/status");
    for part in ["\"phase\":\"running\"", "\"id\":\"agent\"", INFO, "\"state\":\"up\""] {
        assert!(status.contains(part), "{part} is not in {status}");
    }
    let metrics = || ask(port, "/metrics");
    let lines = [
        r#"nephoscope_notifications_received_total{queue="notifications.info"} 21"#,
        r#"nephoscope_samples_total{meter="image.size"} 20"#,
        r#"nephoscope_events_total{event_type="image.update"} 20"#,
        r#"nephoscope_parked_total{origin="notifications.info",reason="unreadable"} 1"#,
        r#"nephoscope_settled_total{verdict="kept"} 20"#,
        r#"nephoscope_settled_total{verdict="parked"} 1"#,
    ];
    let missing = || lines.iter().filter(|line| !metrics().lines().any(|l| l == **line)).collect::<Vec<_>>();
    until("everything is counted", || missing().is_empty(), || format!("{:?} in\n{}", missing(), metrics())).await;
    assert!(metrics().lines().any(|l| l.starts_with("nephoscope_link_up{") && l.ends_with(" 1")), "{}", metrics());
    agent.stop().await;
    assert!(ask(port, "/livez").is_empty());
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
