//! On real brokers of both generations: what can be held is held, what disappears is made again, and it is said what stands
//! still. One agent as a process; its publisher is an HTTP server that is away or there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "held/stage.rs"]
mod stage;

use lapin::BasicProperties;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use rstest::rstest;
use std::time::Duration;

use crate::field::{Folder, Wire, ask, free_port, until};
use crate::rig::Generation::{self, Four, Three};
use stage::{INFO, Stage};

#[rstest]
#[case(Three, "classic")]
#[case(Four, "classic")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_over_25_restarts_with_the_publisher_away(#[case] generation: Generation, #[case] queues: &str) {
    let stage = Stage::new("restarts", generation, queues, "").await;
    stage.send(0..400).await;
    for n in 0..25 {
        let mut agent = stage.folder.start();
        agent.until_it_works().await;
        agent.until_it_says("publish.batch.held").await;
        if n % 2 == 0 {
            agent.signal("KILL");
            agent.ended().await;
        } else {
            agent.stop().await;
        }
    }
    let agent = stage.folder.start();
    let collector = stage.collector().await;
    stage.all_collected(&collector, 400, &agent).await;
}

#[rstest]
#[case(Three, "classic")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_publishers_is_away_and_the_other_waits_for_nobody(
    #[case] generation: Generation,
    #[case] queues: &str,
) {
    let mut stage = Stage::new("overflow", generation, queues, "").await;
    let (away, there) = (stage.port, free_port());
    let url = |port: u16| format!("http://127.0.0.1:{port}/samples?max_retries=0");
    stage.folder.pipelines(&[&url(there), &url(away)], &["file://{folder}/events.jsonl?json"]);
    stage.port = there;
    let first = stage.collector().await;
    stage.send(0..300).await;
    let mut agent = stage.folder.start();
    agent.until_it_says("publish.overflow.begun").await;
    stage.send(300..400).await;
    stage.all_collected(&first, 400, &agent).await;
    agent.signal("KILL");
    agent.ended().await;
    tokio::task::block_in_place(|| stage.rabbit.restart());
    stage.wire = Wire::connect(&stage.rabbit.url).await;
    let agent = stage.folder.start();
    stage.send(400..450).await;
    stage.all_collected(&first, 450, &agent).await;
    stage.port = away;
    let second = stage.collector().await;
    stage.all_collected(&second, 450, &agent).await;
    stage.send(450..460).await;
    stage.all_collected(&second, 460, &agent).await;
}

#[rstest]
#[case(Three, "quorum")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_over_25_cut_connections_and_a_low_delivery_limit(#[case] generation: Generation, #[case] queues: &str) {
    let stage = Stage::new("cuts", generation, queues, "").await;
    stage.ctl(&["set_policy", "limit", "^notifications", r#"{"delivery-limit": 20}"#, "--apply-to", "queues"]);
    stage.send(0..400).await;
    let agent = stage.folder.start();
    for n in 0..25 {
        until("it consumes", || agent.said("opened the queue queue=main:notifications.info") > n, || agent.log()).await;
        stage.cut_all_connections();
    }
    let collector = stage.collector().await;
    stage.all_collected(&collector, 400, &agent).await;
}

#[rstest]
#[case(Three, "classic")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_while_the_parking_queue_is_full(#[case] generation: Generation, #[case] queues: &str) {
    let stage = Stage::new("full", generation, queues, "").await;
    let (agent, collector) = (stage.folder.start(), stage.collector().await);
    agent.until_it_works().await;
    for n in 0..5 {
        assert!(stage.wire.put(INFO, b"no notification", BasicProperties::default()).await);
        stage.send(10 * n..10 * (n + 1)).await;
    }
    assert_eq!(stage.all_collected(&collector, 50, &agent).await, 0, "neighbours go on, and nothing comes twice");
    agent.until_it_says("agent.message.not_parked").await;
    let answer = ask(stage.health, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("parked_messages_max"), "{answer}");
    let parked = format!("nephoscope.{}.parked", stage.folder.name);
    let mut found = 0;
    let began = std::time::Instant::now();
    while found < 5 {
        if stage.wire.get(&parked).await.is_some() {
            found += 1;
        } else {
            assert!(began.elapsed() < Duration::from_secs(40), "{found} of 5 were parked: {}", agent.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    until("it is ready again", || stage.ready(), || agent.log()).await;
    assert!(agent.said("agent.message.not_parked") <= 3, "said once each time that it is full: {}", agent.log());
}

#[rstest]
#[case(Three, "classic")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_is_declared_and_consumed_again(#[case] generation: Generation, #[case] queues: &str) {
    let stage = Stage::new("deleted", generation, queues, "").await;
    let (agent, collector) = (stage.folder.start(), stage.collector().await);
    agent.until_it_works().await;
    stage.send(0..10).await;
    stage.all_collected(&collector, 10, &agent).await;
    let parked = format!("nephoscope.{}.parked", stage.folder.name);
    let channel = &stage.wire.channel;
    channel.queue_delete(INFO.into(), QueueDeleteOptions::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.publish(10..20).await;
    stage.all_collected(&collector, 20, &agent).await;
    channel.exchange_delete("glance".into(), ExchangeDeleteOptions::default()).await.unwrap();
    channel.queue_delete(parked.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stage.wire.depth(&parked).await, 0);
    stage.publish(20..30).await;
    stage.all_collected(&collector, 30, &agent).await;
    assert!(stage.ready());
    assert_eq!(agent.said("the queue was deleted"), 1, "{}", agent.log());
    // Somebody is quicker, and makes it of another kind: it is consumed, and said long before a connection is lost.
    agent.signal("STOP");
    channel.queue_delete(INFO.into(), QueueDeleteOptions::default()).await.unwrap();
    let stage = Stage { quorum: !stage.quorum, ..stage };
    stage.declare().await;
    agent.signal("CONT");
    until("it says so", || agent.said("agent.queue.replaced") == 1, || agent.log()).await;
}

#[rstest]
#[case(Three, "classic")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_away_past_the_consumer_timeout(#[case] generation: Generation, #[case] queues: &str) {
    let stage = Stage::new("timeout", generation, queues, "consumer_timeout = 8000\n").await;
    stage.ctl(&["eval", "application:set_env(rabbit, channel_tick_interval, 2000)."]);
    let agent = stage.folder.start();
    agent.until_it_works().await;
    stage.send(0..5).await;
    until("the broker has taken them back twice", || agent.said("timed out") >= 2, || agent.log()).await;
    let held = "\"held_by\":{\"publisher\":\"http://127.0.0.1:";
    until("it says who holds", || ask(stage.health, "/status").contains(held), || agent.log()).await;
    let collector = stage.collector().await;
    let repeats = stage.all_collected(&collector, 5, &agent).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(stage.all_collected(&collector, 5, &agent).await.max(repeats) <= 5, "once, or twice at most");
}

#[rstest]
#[case(Three)]
#[case(Four)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_main_queue_is_there_with_other_arguments(#[case] generation: Generation) {
    let stage = Stage::new("otherwise", generation, "quorum", "").await;
    let text = std::fs::read_to_string(stage.folder.file("ceilometer.conf")).unwrap();
    stage.folder.write("ceilometer.conf", &text.replace("rabbit_quorum_queue = true", "rabbit_quorum_queue = false"));
    let agent = stage.folder.start();
    agent.until_it_says("main:notifications.error").await;
    until("it says why", || ask(stage.health, "/readyz").contains("rabbit_quorum_queue"), || agent.log()).await;
    let answer = ask(stage.health, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(INFO), "{answer}");
    assert!(ask(stage.health, "/status").contains("rabbit_quorum_queue"));
    let metrics = ask(stage.health, "/metrics");
    assert!(metrics.contains(r#"nephoscope_queue_up{queue="main:notifications.info"} 0"#), "{metrics}");
    let other = r#"nephoscope_queue_up{queue="main:notifications.audit"} 1"#;
    until("the others are consumed", || ask(stage.health, "/metrics").contains(other), || agent.log()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(agent.said("agent.queue.not_opened"), 1, "said once: {}", agent.log());
    stage.ctl(&["delete_queue", INFO]);
    agent.until_it_works().await;
    until("it is ready", || stage.ready(), || agent.log()).await;
}

#[rstest]
#[case(Three, 0)]
#[case(Four, 1)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_drops_what_comes_back_often_is_warned_of(
    #[case] generation: Generation,
    #[case] warnings: usize,
) {
    let stage = Stage::new("limited", generation, "quorum", "").await;
    let agent = stage.folder.start();
    agent.until_it_works().await;
    if warnings > 0 {
        agent.until_it_says("transport.delivery_limit.found").await;
        let log = agent.log();
        let (_, line) = log.split_once("rabbitmqctl set_policy ").unwrap();
        let words: Vec<&str> = line.lines().next().unwrap().split('\'').collect();
        // What it says to do is what the broker takes.
        let named: Vec<&str> = words[0].split_whitespace().collect();
        stage.ctl(&[&["set_policy"], &*named, &[words[1], words[3], "--apply-to", "quorum_queues"]].concat());
        let policies = stage.ctl(&["list_queues", "name", "effective_policy_definition"]);
        assert!(policies.lines().any(|line| line.starts_with(INFO) && line.contains("-1")), "{policies}");
    }
    assert_eq!(agent.said("transport.delivery_limit.found"), warnings, "{}", agent.log());
}

#[rstest]
#[case(Three, "classic")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_of_the_broker_is_no_readiness(#[case] generation: Generation, #[case] queues: &str) {
    let stage = Stage::new("alarm", generation, queues, "").await;
    assert!(stage.wire.put(INFO, b"no notification", BasicProperties::default().with_delivery_mode(2)).await);
    stage.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    let agent = stage.folder.start();
    agent.until_it_works().await;
    until("it says why", || ask(stage.health, "/readyz").contains("has blocked this connection"), || agent.log()).await;
    assert!(ask(stage.health, "/metrics").contains("nephoscope_link_blocked{link=\"rabbit://127.0.0.1:"));
    stage.ctl(&["set_vm_memory_high_watermark", "absolute", "4GB"]);
    until("it is ready", || stage.ready(), || agent.log()).await;
    agent.until_it_says("agent.message.parked").await;
}

#[rstest]
#[case(Three, "classic")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_publishes_nothing_over_rabbitmq_works_on_under_an_alarm(
    #[case] generation: Generation,
    #[case] queues: &str,
) {
    let stage = Stage::new("drained", generation, queues, "").await;
    stage.send(0..100).await;
    stage.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    let (agent, collector) = (stage.folder.start(), stage.collector().await);
    assert_eq!(stage.all_collected(&collector, 100, &agent).await, 0);
    until("all is acknowledged", || stage.counts("messages") == Some(0), || agent.log()).await;
    assert!(stage.ready(), "{}", ask(stage.health, "/readyz"));
    // Its books could not be written meanwhile, and have it all afterwards.
    stage.ctl(&["set_vm_memory_high_watermark", "absolute", "4GB"]);
    agent.until_it_says("agent.books.created").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_broker_named_twice_is_consumed_once() {
    let stage = Stage::new("twice", Four, "quorum", "").await;
    let text = std::fs::read_to_string(stage.folder.file("ceilometer.conf")).unwrap();
    let url = stage.rabbit.url.replacen("amqp://", "rabbit://", 1);
    let other = url.replace("127.0.0.1", "localhost").replace("%2f", "");
    stage
        .folder
        .write("ceilometer.conf", &format!("{text}[notification]\nmessaging_urls = {url}\nmessaging_urls = {other}\n"));
    let (agent, collector) = (stage.folder.start(), stage.collector().await);
    agent.until_it_works().await;
    stage.send(0..1_000).await;
    assert_eq!(stage.all_collected(&collector, 1_000, &agent).await, 0);
    // RabbitMQ counts the consumers of a quorum queue some seconds later.
    let consumers = || stage.counts("consumers");
    until("the broker shows a consumer", || consumers().is_some_and(|consumers| consumers > 0), || agent.log()).await;
    assert_eq!(consumers(), Some(1));
}

/// Another port of the same broker, as a load balancer is.
async fn forwarded(port: u16) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _either_side_closed = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    there
}

#[rstest]
#[case(Three, "classic")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_broker_under_two_addresses_is_consumed_once(#[case] generation: Generation, #[case] queues: &str) {
    let stage = Stage::new("alias", generation, queues, "").await;
    let text = std::fs::read_to_string(stage.folder.file("ceilometer.conf")).unwrap();
    let url = stage.rabbit.url.replacen("amqp://", "rabbit://", 1);
    let port = stage.rabbit.port.to_string();
    let other = url.replace(&port, &forwarded(stage.rabbit.port).await.to_string());
    stage
        .folder
        .write("ceilometer.conf", &format!("{text}[notification]\nmessaging_urls = {url}\nmessaging_urls = {other}\n"));
    let (agent, collector) = (stage.folder.start(), stage.collector().await);
    let said = || ask(stage.health, "/readyz").contains("under another address");
    until("it says so", said, || agent.log()).await;
    stage.send(0..1_000).await;
    assert_eq!(stage.all_collected(&collector, 1_000, &agent).await, 0);
    assert!(stage.ctl(&["list_queues", "name"]).lines().all(|name| !name.contains(".address.")), "nothing is left");
}

#[tokio::test]
async fn a_clean_stop_of_an_agent_that_never_reached_its_broker_warns_of_nothing_else() {
    let folder = Folder::new("clean-stop");
    folder.configure("rabbit://guest:guest@127.0.0.1:1/", "");
    folder.pipelines(&["file://{folder}/samples.jsonl?json"], &["file://{folder}/events.jsonl?json"]);
    let mut agent = folder.start();
    until("it tries", || agent.said("to=waiting") >= 1, || agent.log()).await;
    agent.stop().await;
    assert_eq!(agent.said("cluster.etcd.failed"), 0, "{}", agent.log());
    assert!(agent.log().lines().last().is_some_and(|line| line.contains("drained")), "{}", agent.log());
}
