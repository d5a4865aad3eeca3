//! Three agents as processes on a real RabbitMQ and etcd, of both generations; one is killed while 20,000 notifications flow.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use crate::rig;

use crate::rig::Generation;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use nephoscope::model::{Dict, Value, json};
use rstest::rstest;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NOTIFICATIONS: usize = 20_000;
const RESOURCES: usize = 200;
const MAIN: &str = "main:notifications.info";
/// Past this the agents are stuck.
const PATIENCE: Duration = Duration::from_mins(2);

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_one_of_three_is_killed_while_notifications_flow(
    #[values(Generation::Three, Generation::Four)] generation: Generation,
    #[values("classic", "quorum")] queues: &'static str,
) {
    let group = Group::new(generation, queues, "killed");
    let mut agents: Vec<Agent> = ["a", "b", "c"].iter().map(|id| group.start(id)).collect();
    let (_connection, channel) = group.connect().await;
    group.all_work(&agents).await;
    group.send(&channel, 0..NOTIFICATIONS / 2).await;
    // The one with the main queue dies in the middle of its work, and a pipeline owner or two with it.
    let busy = agents.iter().position(|agent| agent.owns(MAIN)).unwrap();
    let mut victim = agents.swap_remove(busy);
    group.send(&channel, NOTIFICATIONS / 2..NOTIFICATIONS / 2 + 2_000).await;
    victim.0.kill().unwrap();
    group.send(&channel, NOTIFICATIONS / 2 + 2_000..NOTIFICATIONS).await;
    let ledger = group.settle().await;
    assert_eq!(ledger.missing(), Vec::<String>::new(), "lost");
    assert_eq!(ledger.disordered, Vec::<String>::new(), "out of order");
    assert_eq!(ledger.strange, Vec::<String>::new(), "repeats under other ids");
    println!(
        "{NOTIFICATIONS} notifications, 0 lost, 0 out of order, {} repeats after the kill, same ids",
        ledger.repeats
    );
}

#[rstest]
#[case::three(Generation::Three, "classic")]
#[case::four(Generation::Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_one_of_three_is_stopped_in_order(#[case] generation: Generation, #[case] queues: &'static str) {
    let group = Group::new(generation, queues, "stopped");
    let mut agents: Vec<Agent> = ["a", "b", "c"].iter().map(|id| group.start(id)).collect();
    let (_connection, channel) = group.connect().await;
    group.all_work(&agents).await;
    group.send(&channel, 0..NOTIFICATIONS / 4).await;
    let busy = agents.iter().position(|agent| agent.owns(MAIN)).unwrap();
    let mut leaver = agents.swap_remove(busy);
    let asked = Instant::now();
    assert!(Command::new("kill").arg(leaver.0.id().to_string()).status().unwrap().success());
    group.send(&channel, NOTIFICATIONS / 4..NOTIFICATIONS / 2).await;
    let status = leaver.0.wait().unwrap();
    assert!(status.success(), "{status}: {}", leaver.log());
    println!("stopped in {:?}", asked.elapsed());
    let mut ledger = group.settle_count(NOTIFICATIONS / 2).await;
    assert_eq!(ledger.missing(), Vec::<String>::new(), "lost");
    assert_eq!(ledger.disordered, Vec::<String>::new(), "out of order");
    assert_eq!(std::mem::take(&mut ledger.repeats), 0, "an orderly stop repeats nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_one_that_was_killed_and_is_started_again_does_not_wait_for_its_lease() {
    let group = Group { ttl: 60, ..Group::new(Generation::Four, "quorum", "again") };
    let mut first = group.start("a");
    group.wait_until("it has the main queue", || first.owns(MAIN)).await;
    first.0.kill().unwrap();
    let started = Instant::now();
    let again = group.start("a");
    group.wait_until("it has the main queue again", || again.owns(MAIN)).await;
    assert!(started.elapsed() < Duration::from_secs(30), "after {:?} of a lease of 60 s", started.elapsed());
}

#[rstest]
#[case::three_killed(Generation::Three, true)]
#[case::four_stopped(Generation::Four, false)]
#[case::four_killed(Generation::Four, true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_work_on_without_the_node_that_holds_one_of_the_main_queues(
    #[case] generation: Generation,
    #[case] killed: bool,
) {
    let cluster = tokio::task::block_in_place(|| rig::rabbitmq_cluster_of(generation));
    let [first, second, _] = &cluster.members[..] else { panic!("a cluster of three") };
    let group = Group { main: "classic", ..Group::on(second, "quorum", "without-the-node") };
    // A classic queue is on the node over which it was declared; the one that is sent to is on another.
    let over_first = group.transport.replace(&format!(":{}/", second.port), &format!(":{}/", first.port));
    let held = connect(&over_first, "notifications.sample", group.main).await;
    let (_connection, channel) = group.connect().await;
    if killed {
        first.kill();
    } else {
        first.stop();
    }
    drop(held);
    let agent = group.start("a");
    group.send(&channel, 0..RESOURCES).await;
    let ledger = group.settle_count(RESOURCES).await;
    assert_eq!(
        ledger.missing(),
        Vec::<String>::new(),
        "kept back by a queue that nothing was sent to: {}",
        agent.log()
    );
    let said = || agent.log().contains("cannot use queue notifications.sample now");
    group.wait_until("it says which queue it cannot use", said).await;
    first.start();
    group.wait_until("the other main queue is consumed too", || agent.owns("main:notifications.sample")).await;
}

/// One test's own topic, group and folder on the shared servers.
struct Group {
    name: String,
    /// Of the agents' leases, in seconds.
    ttl: u32,
    folder: PathBuf,
    transport: String,
    backend: String,
    /// What pipeline queues are: classic or quorum.
    queues: &'static str,
    /// What main queues are.
    main: &'static str,
}

impl Group {
    /// Main queues and pipeline queues are of one kind.
    fn new(generation: Generation, queues: &'static str, name: &str) -> Self {
        Group::on(&rig::rabbitmq_of(generation), queues, &format!("{name}-{}-{queues}", generation.number()))
    }

    fn on(rabbit: &rig::Rabbit, queues: &'static str, name: &str) -> Self {
        let etcd = rig::etcd_of(rabbit.generation);
        let name = format!("{name}-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        fs::create_dir_all(&folder).unwrap();
        // Once, before anybody reads them: a file that is written again is empty for a moment.
        for (kind, key, file) in [("meter", "meters", "pipeline"), ("event", "events", "event_pipeline")] {
            let text = format!(
                "sources: [{{name: {kind}_source, {key}: ['*'], sinks: [{kind}_sink]}}]\n\
                 sinks: [{{name: {kind}_sink, publishers: ['file://{}/{kind}s.json?json']}}]\n",
                folder.display()
            );
            fs::write(folder.join(format!("{file}.yaml")), text).unwrap();
        }
        let backend = format!("etcd3://{}", etcd.endpoint);
        Group { transport: rabbit.vhost(&name), backend, name, ttl: 3, folder, queues, main: queues }
    }

    fn start(&self, id: &str) -> Agent {
        let folder = self.folder.display();
        let config = self.folder.join(format!("{id}.conf"));
        let written = format!(
            "[DEFAULT]\ntransport_url = {}\npipeline_cfg_file = {folder}/pipeline.yaml\n\
             event_pipeline_cfg_file = {folder}/event_pipeline.yaml\n\
             [notification]\nworkload_partitioning = true\npipeline_processing_queues = 6\n\
             [coordination]\nbackend_url = {}\nheartbeat = {}\n\
             [oslo_messaging_rabbit]\namqp_durable_queues = true\nrabbit_quorum_queue = {}\n\
             [nephoscope]\ngroup = {}\nmember_id = {id}\nlisten =\nqueue_type = {}\n",
            self.transport.replacen("amqp://", "rabbit://", 1),
            self.backend,
            self.ttl,
            self.main == "quorum",
            self.name,
            self.queues,
        );
        fs::write(&config, written).unwrap();
        let log = self.folder.join(format!("{id}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_nephoscope"))
            .args(["run", "--config-file"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Agent(child, log)
    }

    async fn connect(&self) -> (Connection, Channel) {
        connect(&self.transport, "notifications.info", self.main).await
    }

    /// Sends numbered notifications and waits for the broker's confirms: from there on each is owed to the output.
    async fn send(&self, channel: &Channel, numbers: std::ops::Range<usize>) {
        let mut confirms = Vec::new();
        for n in numbers {
            let properties =
                BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
            let body = notification(n);
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let sent = channel.basic_publish("cinder".into(), "notifications.info".into(), options, &body, properties);
            confirms.push(sent.await.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
    }

    async fn settle(&self) -> Ledger {
        self.settle_count(NOTIFICATIONS).await
    }

    /// Waits until everything is in the output, or nothing new comes for a while; reads it.
    async fn settle_count(&self, count: usize) -> Ledger {
        let began = Instant::now();
        loop {
            let ledger = Ledger::read(&self.folder, count);
            if ledger.missing().is_empty() || began.elapsed() > PATIENCE {
                return ledger;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Each has a queue, and one of them has the main queue, which may be opened last.
    async fn all_work(&self, agents: &[Agent]) {
        let each_has_one = || agents.iter().all(|agent| agent.log().contains("agent.queue.opened"));
        let works = || each_has_one() && agents.iter().any(|agent| agent.owns(MAIN));
        self.wait_until("all are there", works).await;
    }

    async fn wait_until(&self, what: &str, so: impl Fn() -> bool) {
        let began = Instant::now();
        while !so() {
            assert!(began.elapsed() < PATIENCE, "{}: waited in vain until {what}\n{}", self.name, self.last_words());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The end of each agent's log: what a failure is understood by where nobody can look at the files.
    fn last_words(&self) -> String {
        let of = |id: &&str| {
            let log = fs::read_to_string(self.folder.join(format!("{id}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(12)..].join("\n");
            format!("{id}, the last of {} lines:\n{last}\n", lines.len())
        };
        ["a", "b", "c"].iter().map(of).collect()
    }
}

/// Connects, and declares a queue of this kind as a service does when it sends.
async fn connect(transport: &str, queue: &str, kind: &str) -> (Connection, Channel) {
    let connection = Connection::connect(transport, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let exchange = "cinder";
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    if kind == "quorum" {
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    }
    channel.queue_declare(queue.into(), durable, arguments).await.unwrap();
    let bind = channel.queue_bind(
        queue.into(),
        exchange.into(),
        queue.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bind.await.unwrap();
    (connection, channel)
}

/// An agent's process and the file of its log; killed when dropped.
struct Agent(Child, PathBuf);

impl Agent {
    fn log(&self) -> String {
        fs::read_to_string(&self.1).unwrap_or_default()
    }

    /// Whether it has opened a queue (and nobody took it since: the test moves nothing before asking).
    fn owns(&self, queue: &str) -> bool {
        let opened = format!("queue={queue} ");
        self.log().lines().any(|line| line.contains("agent.queue.opened") && line.contains(&opened))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// The `n`th notification: the `n / RESOURCES`th of its resource, whose size counts up.
fn notification(n: usize) -> Vec<u8> {
    let (resource, step) = (n % RESOURCES, n / RESOURCES);
    format!(
        r#"{{"message_id":"m-{n}","publisher_id":"volume.host","event_type":"volume.create.end","priority":"INFO","timestamp":"2026-01-01 00:00:00.{:06}","_unique_id":"u-{n}","payload":{{"volume_id":"r-{resource}","size":{step},"tenant_id":"t","user_id":"u","display_name":"d","volume_type":"lvm"}}}}"#,
        n % 1_000_000
    )
    .into_bytes()
}

/// What is owed, held against what came out.
#[derive(Default)]
struct Ledger {
    count: usize,
    samples: BTreeSet<(String, i64)>,
    events: BTreeSet<String>,
    disordered: Vec<String>,
    strange: Vec<String>,
    repeats: usize,
}

impl Ledger {
    fn read(folder: &Path, count: usize) -> Self {
        let mut ledger = Ledger { count, ..Ledger::default() };
        let mut ids: BTreeMap<(String, i64), String> = BTreeMap::new();
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for sample in records(&folder.join("meters.json")) {
            let resource = sample.get("resource_id").unwrap().as_str().unwrap().to_owned();
            let Some(Value::Int(step)) = sample.get("volume") else { panic!("a volume that was not sent") };
            let id = sample.get("id").unwrap().as_str().unwrap().to_owned();
            match ids.get(&(resource.clone(), *step)) {
                Some(known) if *known == id => ledger.repeats += 1,
                Some(known) => ledger.strange.push(format!("{resource} {step}: {known} and {id}")),
                None => {
                    // The first time counts: after dedupe by id, steps of a resource only rise.
                    if last.get(&resource).is_some_and(|before| before > step) {
                        ledger.disordered.push(format!("{resource}: {step} after {}", last[&resource]));
                    }
                    last.insert(resource.clone(), *step);
                    ids.insert((resource, *step), id);
                }
            }
        }
        ledger.samples = ids.into_keys().collect();
        for event in records(&folder.join("events.json")) {
            let id = event.get("message_id").unwrap().as_str().unwrap().to_owned();
            if !ledger.events.insert(id) {
                ledger.repeats += 1;
            }
        }
        ledger
    }

    /// What is owed and did not come (the first few of it).
    fn missing(&self) -> Vec<String> {
        let owed = (0..self.count).flat_map(|n| {
            let sample = (format!("r-{}", n % RESOURCES), i64::try_from(n / RESOURCES).unwrap());
            let event = format!("m-{n}");
            let no_sample = (!self.samples.contains(&sample)).then(|| format!("sample {sample:?}"));
            let no_event = (!self.events.contains(&event)).then(|| format!("event {event}"));
            no_sample.into_iter().chain(no_event)
        });
        owed.take(20).collect()
    }
}

/// The whole lines of a file; an unfinished last one belongs to a later look.
fn records(path: &Path) -> Vec<Dict> {
    let bytes = fs::read(path).unwrap_or_default();
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let lines = bytes[..whole].split(|b| *b == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| match json::read(line) {
            Ok(Value::Dict(record)) => record,
            _ => panic!("{} has a torn line: {}", path.display(), String::from_utf8_lossy(line)),
        })
        .collect()
}
