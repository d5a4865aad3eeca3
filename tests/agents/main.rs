//! Whole agents on the in-process broker and group, time paused: what is promised holds through what can go wrong.
//!
//! Publishers are `test://`: what they took, in order, is on the shelf, and their failures are scripted.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod held;
mod overflow;
mod pace;
mod packets;
mod parked;
mod reload;
mod resize;
mod state;

use nephoscope::agent::{Agent, Blueprint, Outcome, wiring};
use nephoscope::config;
use nephoscope::coordination::{Coordinator, Drained, MemoryGroup, Operation};
use nephoscope::model::{Priority, Severity, Value};
use nephoscope::observe::{Board, Metrics};
use nephoscope::publish::{Batch, Context, PublishError};
use nephoscope::transport::topology::{self, OsloQueues, QuorumLimits};
use nephoscope::transport::{Broker, ConsumeOptions, MemoryBroker, Outgoing, Session};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const TTL: Duration = Duration::from_secs(10);
/// Virtual time in which everything must have settled.
const PATIENCE: Duration = Duration::from_mins(2);
const RESOURCES: usize = 8;

/// A broker, a group, and configuration files in a folder of their own.
struct Lab {
    folder: TempDir,
    broker: MemoryBroker,
    group: MemoryGroup,
    context: Context,
    session: Arc<dyn Session>,
    partitioned: bool,
    /// Whether OpenStack's queues and ours are quorum queues, on a broker that drops what came back 20 times.
    quorum: bool,
    /// Further lines of `[nephoscope]`.
    more: &'static str,
    sent: usize,
}

impl Lab {
    async fn new(partitioned: bool) -> Self {
        let broker = MemoryBroker::new("memory");
        let session = broker.connect().await.unwrap();
        let target = topology::notify_target("cinder", "notifications", Priority::Info, &OsloQueues::default());
        session.declare(&target.topology).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let lab = Lab {
            folder,
            group: MemoryGroup::new(TTL),
            context: Context { metrics: Metrics::new(), ..Context::default() },
            broker,
            session,
            partitioned,
            quorum: false,
            more: "",
            sent: 0,
        };
        lab.write_pipeline("pipeline.yaml", "meters", &["test://samples"]);
        lab.write_pipeline("event_pipeline.yaml", "events", &["test://events"]);
        lab
    }

    fn write_pipeline(&self, file: &str, key: &str, publishers: &[&str]) {
        let text = format!(
            "sources:\n- name: source\n  {key}: ['*']\n  sinks: [sink]\nsinks:\n- name: sink\n  publishers: {publishers:?}\n"
        );
        std::fs::write(self.folder.path().join(file), text).unwrap();
    }

    fn settings(&self) -> config::Settings {
        let folder = self.folder.path().display();
        let sharing = if self.partitioned {
            "workload_partitioning = true\npipeline_processing_queues = 4\n[coordination]\nbackend_url = etcd3://unused\n"
        } else {
            ""
        };
        let quorum = if self.quorum { "[oslo_messaging_rabbit]\nrabbit_quorum_queue = true\n" } else { "" };
        let text = format!(
            "{quorum}[DEFAULT]\npipeline_cfg_file = {folder}/pipeline.yaml\nevent_pipeline_cfg_file = {folder}/event_pipeline.yaml\n\
             [notification]\n{sharing}[nephoscope]\nparked_messages_max = 100\n{}",
            self.more
        );
        let file: PathBuf = self.folder.path().join("ceilometer.conf");
        std::fs::write(&file, text).unwrap();
        let (settings, complaints) = config::load(&[file], &[]);
        settings.unwrap_or_else(|| panic!("{complaints:?}"))
    }

    fn start(&self, id: &str) -> (Agent, Board) {
        let board = Board::new();
        let (broker, group) = (Arc::new(self.broker.clone()), Arc::new(self.group.clone()));
        let settings = self.settings();
        let (blueprint, complaints) = Blueprint::build(&settings, &self.context, None);
        let blueprint = blueprint.unwrap_or_else(|| panic!("{complaints:?}"));
        let metrics = self.context.metrics.clone();
        let parts = wiring::in_process(&settings, id, blueprint, broker, group, metrics, board.clone());
        (Agent::start(parts), board)
    }

    /// What a SIGHUP does; how many sinks are others now.
    async fn reload(&self, agent: &Agent) -> usize {
        let (next, complaints) = agent.prepare(&self.settings(), &self.context).await;
        agent.reload(next.unwrap_or_else(|| panic!("{complaints:?}"))).await
    }

    async fn publish(&self, body: Vec<u8>) {
        self.session.publish(message(body)).await.unwrap().wait().await.unwrap();
    }

    /// A new session, with the main queue that it sends to.
    async fn reconnect(&mut self) {
        self.session = self.broker.connect().await.unwrap();
        let quorum = self.quorum.then(QuorumLimits::default);
        let oslo = OsloQueues { quorum, ..OsloQueues::default() };
        let target = topology::notify_target("cinder", "notifications", Priority::Info, &oslo);
        self.session.declare(&target.topology).await.unwrap();
    }

    /// Sends the next notifications: each resource's sizes count up.
    async fn send(&mut self, count: usize) {
        self.send_padded(count, 0).await;
    }

    /// The same with so many bytes more in each.
    async fn send_padded(&mut self, count: usize, bytes: usize) {
        for n in self.sent..self.sent + count {
            self.publish(padded(n, bytes)).await;
        }
        self.sent += count;
    }

    fn volumes(&self) -> Vec<(String, i64, String)> {
        self.taken("samples")
    }

    /// Resource, volume and id of the samples that a destination took, in order.
    fn taken(&self, name: &str) -> Vec<(String, i64, String)> {
        let samples = self.context.shelf.batches(name).into_iter().flat_map(|batch| match batch {
            Batch::Samples(samples) => samples,
            Batch::Events(_) => panic!("events in the samples' publisher"),
        });
        samples
            .map(|sample| match sample.volume {
                Value::Int(volume) => {
                    (sample.resource_id.as_str().unwrap().to_owned(), volume, sample.id.into_string())
                }
                other => panic!("a volume that was not sent: {other:?}"),
            })
            .collect()
    }

    /// Waits (in virtual time) until queues are empty and settled.
    async fn settle(&self) {
        self.until("every queue is empty", || {
            // Answers to who has gone expire with their queue.
            let counts = |name: &str| !name.ends_with(".parked") && !name.contains(".answers.");
            self.broker.queues().iter().filter(|q| counts(&q.name)).all(|q| q.ready == 0 && q.unacked == 0)
        })
        .await;
    }

    async fn until(&self, what: &str, so: impl Fn() -> bool) {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        while !so() {
            assert!(tokio::time::Instant::now() < give_up, "waited in vain until {what}: {:?}", self.broker.queues());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Everything is [complete](Lab::check_all_came), and after dropping repeats the sizes of each resource only rise. How many
    /// repeats there were.
    fn check(&self) -> usize {
        self.check_order("samples");
        self.check_all_came()
    }

    /// After dropping repeats the sizes of each resource that a destination took only rise.
    fn check_order(&self, name: &str) {
        let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::new());
        for (resource, volume, _) in self.taken(name) {
            if seen.insert((resource.clone(), volume)) {
                let before = last.insert(resource.clone(), volume).unwrap_or(-1);
                assert!(before < volume, "{resource}: {volume} after {before}");
            }
        }
    }

    /// Every notification sent so far came out at least once, and repeats carry the id of the first time. How many repeats there
    /// were.
    fn check_all_came(&self) -> usize {
        let (mut ids, mut repeats) = (BTreeMap::new(), 0);
        for (resource, volume, id) in self.volumes() {
            if let Some(known) = ids.get(&(resource.clone(), volume)) {
                assert_eq!(*known, id, "a repeat under another id");
                repeats += 1;
            } else {
                ids.insert((resource, volume), id);
            }
        }
        assert_eq!(ids.len(), self.sent, "lost {} of {}", self.sent - ids.len(), self.sent);
        let events: BTreeSet<String> = self
            .context
            .shelf
            .batches("events")
            .into_iter()
            .flat_map(|batch| match batch {
                Batch::Events(events) => events,
                Batch::Samples(_) => panic!("samples in the events' publisher"),
            })
            .map(|event| event.message_id.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(events.len(), self.sent, "events lost");
        repeats
    }

    fn parked(&self) -> usize {
        let queues = self.broker.queues();
        queues.iter().filter(|q| q.name.ends_with(".parked")).map(|q| q.ready).sum()
    }
}

fn message(body: Vec<u8>) -> Outgoing {
    Outgoing {
        exchange: "cinder".to_owned(),
        routing_key: "notifications.info".to_owned(),
        body: body.into(),
        content_type: "application/json",
        headers: BTreeMap::new(),
        alone: false,
    }
}

fn notification(n: usize) -> Vec<u8> {
    padded(n, 0)
}

fn padded(n: usize, padding: usize) -> Vec<u8> {
    let (resource, step, padding) = (n % RESOURCES, n / RESOURCES, "x".repeat(padding));
    format!(
        r#"{{"message_id":"m-{n}","publisher_id":"volume.host","event_type":"volume.create.end","priority":"INFO",
        "timestamp":"2026-01-01 00:00:00","payload":{{"volume_id":"r-{resource}","size":{step},"tenant_id":"t","user_id":"u",
        "padding":"{padding}"}}}}"#
    )
    .into_bytes()
}

/// Main queues and pipeline queues.
fn held(board: &Board) -> usize {
    board.read().queues.values().filter(|queue| queue.state == "running").count()
}

fn owned(board: &Board) -> usize {
    pipeline_queues(board).len()
}

/// Whether the main queue with the load is consumed here.
fn consumes_main(board: &Board) -> bool {
    board.read().queues.get("main:notifications.info").is_some_and(|queue| queue.state == "running")
}

/// The pipeline queues that are open, with their epochs.
fn pipeline_queues(board: &Board) -> BTreeMap<String, Option<i64>> {
    let queues = board.read().queues.into_iter();
    queues.filter(|(_, q)| q.kind == "pipeline" && q.state == "running").map(|(name, q)| (name, q.epoch)).collect()
}

#[tokio::test(start_paused = true)]
async fn an_agent_alone_publishes_everything_in_order() {
    let mut lab = Lab::new(false).await;
    let (agent, board) = lab.start("alone");
    lab.send(200).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0);
    assert!(board.read().waiting_for.is_empty(), "{:?}", board.read().waiting_for);
    agent.drain(TTL).await.unwrap();
    assert_eq!(agent.ended().await, Outcome::Drained);
    assert!(lab.broker.queues().iter().all(|q| q.consumers == 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_before_an_agent_runs_waits_for_it() {
    let mut lab = Lab::new(true).await;
    lab.send(50).await;
    let _agents = [lab.start("a"), lab.start("b")];
    lab.settle().await;
    assert_eq!(lab.check(), 0);
}

#[tokio::test(start_paused = true)]
async fn members_share_the_queues_evenly_and_a_join_moves_no_more_than_it_must() {
    let lab = Lab::new(true).await;
    let first = lab.start("a");
    lab.until("the first owns all", || owned(&first.1) == 8).await;
    let second = lab.start("b");
    lab.until("both own half", || owned(&first.1) == 4 && owned(&second.1) == 4).await;
    let before: BTreeSet<String> = pipeline_queues(&second.1).into_keys().collect();
    let third = lab.start("c");
    lab.until("all three have some", || {
        owned(&third.1) >= 2 && owned(&first.1) + owned(&second.1) + owned(&third.1) == 8
    })
    .await;
    let after: BTreeSet<String> = pipeline_queues(&second.1).into_keys().collect();
    assert!(after.is_subset(&before), "the second gave, and took nothing");
}

#[tokio::test(start_paused = true)]
async fn one_of_three_is_killed_under_load() {
    let mut lab = Lab::new(true).await;
    let mut agents = BTreeMap::from(["a", "b", "c"].map(|id| (id, lab.start(id))));
    lab.until("all own some", || agents.values().all(|(_, board)| owned(board) > 0)).await;
    for round in 0..10 {
        lab.send(100).await;
        if round == 4 {
            let main = agents.iter().find(|(_, (_, board))| consumes_main(board));
            let victim = *main.unwrap().0;
            agents.remove(victim).unwrap().0.kill();
            lab.group.kill(victim);
        }
    }
    lab.settle().await;
    lab.check();
}

#[tokio::test(start_paused = true)]
async fn one_of_three_leaves_in_order_and_nothing_is_repeated() {
    let mut lab = Lab::new(true).await;
    let mut agents = BTreeMap::from(["a", "b", "c"].map(|id| (id, lab.start(id))));
    lab.until("all own some", || agents.values().all(|(_, board)| owned(board) > 0)).await;
    lab.send(300).await;
    let (leaver, _) = agents.remove("b").unwrap();
    let (drained, ()) = tokio::join!(leaver.drain(TTL), lab.send(300));
    drained.unwrap();
    lab.settle().await;
    assert_eq!(lab.check(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_is_away_for_a_while_and_nothing_is_lost() {
    for partitioned in [false, true] {
        let mut lab = Lab::new(partitioned).await;
        let away = || PublishError::Retry { cause: "503".to_owned(), after: None };
        (0..5).for_each(|_| lab.context.shelf.answer_next("samples", away()));
        let _agent = lab.start("a");
        lab.send(100).await;
        lab.settle().await;
        assert_eq!(lab.check(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_publisher_holds_only_its_own_sink() {
    let mut lab = Lab::new(true).await;
    let away = || PublishError::Retry { cause: "503".to_owned(), after: Some(Duration::from_secs(25)) };
    (0..2).for_each(|_| lab.context.shelf.answer_next("samples", away()));
    let _agent = lab.start("a");
    lab.send(20).await;
    let began = tokio::time::Instant::now();
    lab.until("all events are out", || lab.context.shelf.batches("events").iter().map(Batch::len).sum::<usize>() == 20)
        .await;
    assert!(began.elapsed() < Duration::from_secs(20), "events waited {:?} for samples", began.elapsed());
    lab.settle().await;
    assert_eq!(lab.check(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_refuses_one_record_and_its_neighbours_are_kept() {
    let mut lab = Lab::new(false).await;
    lab.send(10).await;
    lab.context.shelf.answer_next("samples", PublishError::refuse([3], "400"));
    let _agent = lab.start("a");
    lab.settle().await;
    assert_eq!(lab.parked(), 1);
    // The shelf keeps only what it answered with Ok; the record parked is one of ten, its neighbours were accepted.
    let consumer = lab.session.consume("nephoscope.ceilometer.parked", consume()).await;
    let delivery = consumer.unwrap().next().await.unwrap();
    assert_eq!(delivery.headers["x-nephoscope-kind"], "refused");
    assert!(delivery.headers["x-nephoscope-reason"].contains("400"), "{:?}", delivery.headers);
    assert!(String::from_utf8_lossy(&delivery.body).contains(r#""resource_id":"r-3""#));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_at_its_end_stops_the_agent_and_loses_nothing() {
    let mut lab = Lab::new(true).await;
    lab.context.shelf.answer_next("samples", PublishError::Stop { cause: "the disk is gone".to_owned() });
    let (agent, _) = lab.start("a");
    lab.send(10).await;
    let Outcome::Failed(why) = agent.ended().await else { panic!("it went on") };
    assert!(why.contains("the disk is gone"), "{why}");
    agent.kill();
    lab.group.kill("a");
    let _next = lab.start("b");
    lab.settle().await;
    lab.check();
}

#[tokio::test(start_paused = true)]
async fn poison_is_parked_with_its_reason_and_hurts_no_neighbour() {
    let poison: [&[u8]; 7] = [
        b"\xff\xfe",
        b"not json",
        b"[]",
        br#"{"oslo.version":"9.9","oslo.message":"{}"}"#,
        br#"{"oslo.version":"2.0","oslo.message":"["}"#,
        br#"{"message_id":"x","event_type":"e","priority":"BOGUS","payload":{}}"#,
        br#"{"message_id":"x","event_type":"e","priority":null,"payload":{}}"#,
    ];
    for partitioned in [false, true] {
        let mut lab = Lab::new(partitioned).await;
        let _agent = lab.start("a");
        for body in poison {
            lab.send(5).await;
            lab.publish(body.to_vec()).await;
        }
        // A definition fails on this one; its neighbours do not notice.
        lab.publish(br#"{"message_id":"y","event_type":"http.request","priority":"SAMPLE","payload":null}"#.to_vec())
            .await;
        lab.send(5).await;
        lab.settle().await;
        assert_eq!(lab.check(), 0);
        assert_eq!(lab.parked(), poison.len());
    }
}

#[tokio::test(start_paused = true)]
async fn the_parking_queue_is_full_and_what_cannot_be_parked_waits() {
    let mut lab = Lab::new(false).await;
    let _agent = lab.start("a");
    for _ in 0..101 {
        lab.publish(b"poison".to_vec()).await;
    }
    lab.until("the parking queue is full", || lab.parked() == 100).await;
    let waiting =
        || lab.broker.queues().iter().find(|q| q.name == "notifications.info").map_or(0, |q| q.ready + q.unacked);
    lab.until("all others are settled", || waiting() == 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(waiting(), 1, "one is neither parked nor lost");
    // A person takes them away.
    let mut consumer = lab.session.consume("nephoscope.ceilometer.parked", consume()).await.unwrap();
    for _ in 0..100 {
        consumer.next().await.unwrap().receipt.settle(nephoscope::model::Verdict::Kept);
    }
    lab.until("the last one is parked", || waiting() == 0).await;
    lab.send(5).await;
    lab.settle().await;
    lab.check();
}

#[tokio::test(start_paused = true)]
async fn the_broker_stops_and_starts_again() {
    for partitioned in [false, true] {
        let mut lab = Lab::new(partitioned).await;
        let _agent = lab.start("a");
        lab.send(100).await;
        lab.broker.stop();
        tokio::time::sleep(Duration::from_secs(20)).await;
        lab.broker.start();
        // The main queue is not durable, as by default: what was in it is the broker's loss. From here on all is owed.
        lab.reconnect().await;
        let before = lab.volumes().len();
        lab.send(100).await;
        lab.settle().await;
        let fresh: BTreeSet<_> = lab.volumes().into_iter().map(|(resource, volume, _)| (resource, volume)).collect();
        for n in 100..200 {
            assert!(
                fresh.contains(&(format!("r-{}", n % RESOURCES), i64::try_from(n / RESOURCES).unwrap())),
                "{n} is lost"
            );
        }
        assert!(before <= 200);
    }
}

#[tokio::test(start_paused = true)]
async fn the_group_is_away_for_an_hour_and_owners_go_on() {
    let mut lab = Lab::new(true).await;
    let (_agent, board) = lab.start("a");
    lab.until("it owns all", || owned(&board) == 8).await;
    let epochs = pipeline_queues(&board);
    lab.group.set_away(true);
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_mins(1)).await;
        lab.send(10).await;
    }
    lab.settle().await;
    assert_eq!(lab.check(), 0);
    let status = board.read();
    assert_eq!((status.phase, status.waiting_for), ("silent", vec![]));
    lab.group.set_away(false);
    lab.until("the group is heard again", || board.read().phase == "running").await;
    lab.send(50).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0);
    assert_eq!(pipeline_queues(&board), epochs, "every queue is still open under its epoch");
}

#[tokio::test(start_paused = true)]
async fn a_joining_member_counts_when_its_publishers_are_reached_or_after_ten_seconds() {
    let lab = Lab::new(true).await;
    lab.context.shelf.set_reachable("samples", false);
    let (_first, board) = lab.start("a");
    let began = tokio::time::Instant::now();
    lab.until("it waits for them", || board.read().waiting_for.iter().any(|w| w.contains("publishers"))).await;
    lab.until("it owns all all the same", || owned(&board) == 8).await;
    let took = began.elapsed();
    assert!((10..14).contains(&took.as_secs()), "{took:?}");
    let (_second, board) = lab.start("b");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(held(&board), 0, "it does not count yet");
    lab.context.shelf.set_reachable("samples", true);
    let back = tokio::time::Instant::now();
    lab.until("it has its share", || held(&board) == 7).await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_operator_moves_a_queue_and_drains_a_member_under_load() {
    let mut lab = Lab::new(true).await;
    let agents = BTreeMap::from(["a", "b", "c"].map(|id| (id, lab.start(id))));
    lab.until("all have their share", || agents.values().all(|(_, board)| held(board) == 5)).await;
    lab.send(100).await;
    let has = |id: &str, queue: &str| pipeline_queues(&agents[id].1).contains_key(queue);
    let queue = pipeline_queues(&agents["a"].1).into_keys().next().unwrap();
    let pin = Operation::Pin { queue: queue.clone(), member: "b".to_owned() };
    lab.group.operate(&pin).await.unwrap();
    lab.send(100).await;
    lab.until("the queue is where it is pinned", || has("b", &queue)).await;
    let note = Drained { since: "now".to_owned(), reason: String::new() };
    lab.group.operate(&Operation::Drain { member: "c".to_owned(), note }).await.unwrap();
    lab.send(100).await;
    lab.until("the drained one has nothing, and stays", || {
        let status = agents["c"].1.read();
        status.queues.is_empty()
    })
    .await;
    lab.until("the others have all", || owned(&agents["a"].1) + owned(&agents["b"].1) == 8).await;
    lab.group.operate(&Operation::Undrain { member: "c".to_owned() }).await.unwrap();
    lab.until("it gets its share again", || held(&agents["c"].1) == 5).await;
    assert!(has("b", &queue));
    lab.send(100).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0, "orderly moves repeat nothing");
}

/// The failure matrix: cut from etcd only.
#[tokio::test(start_paused = true)]
async fn one_of_two_is_cut_from_the_group_and_works_on_until_it_hears_that_it_was_taken_over() {
    for more in ["", "main_queue_exclusive = false\n"] {
        let mut lab = Lab::new(true).await;
        lab.more = more;
        let agents = BTreeMap::from(["a", "b"].map(|id| (id, lab.start(id))));
        lab.until("both own half", || agents.values().all(|(_, board)| owned(board) == 4)).await;
        let listens = |id: &str| consumes_main(&agents[id].1);
        lab.until("one listens", || listens("a") || listens("b")).await;
        let (cut, other) = if listens("a") { ("a", "b") } else { ("b", "a") };
        lab.group.cut(cut);
        if more.is_empty() {
            for _ in 0..40 {
                lab.send(5).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        } else {
            // Nothing keeps two consumers of this main queue apart but the former owner that looks for the new one.
            lab.until("the main queue is left to the new owner", || listens(other) && !listens(cut)).await;
            lab.send(200).await;
        }
        lab.settle().await;
        // No order is promised of a shared main queue.
        let repeats = if more.is_empty() { lab.check() } else { lab.check_all_came() };
        assert_eq!(repeats, 0, "nothing is lost, disordered or repeated while it is cut");
        assert_eq!(agents[cut].1.read().phase, "silent");
        lab.group.heal();
        let healed = tokio::time::Instant::now();
        lab.send(100).await;
        lab.settle().await;
        assert!(healed.elapsed() < TTL, "a pause of {:?}", healed.elapsed());
        lab.until("both own half again", || agents.values().all(|(_, board)| owned(board) == 4)).await;
        lab.send(100).await;
        lab.settle().await;
        if more.is_empty() {
            lab.check()
        } else {
            lab.check_all_came()
        };
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_member_comes_back_while_the_group_is_away_and_waits_for_its_own_lease() {
    let mut lab = Lab::new(true).await;
    let (agent, board) = lab.start("a");
    lab.until("it owns all", || owned(&board) == 8).await;
    lab.group.set_away(true);
    agent.kill();
    lab.group.kill("a");
    let (again, board) = lab.start("a");
    tokio::time::sleep(6 * TTL).await;
    // Every lease has its full life again, that of the dead process too.
    lab.group.set_away(false);
    lab.until("it owns all again", || owned(&board) == 8).await;
    lab.send(20).await;
    lab.settle().await;
    lab.check();
    again.drain(TTL).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_process_with_a_live_id_is_refused() {
    let lab = Lab::new(true).await;
    let (_first, board) = lab.start("twin");
    lab.until("the first owns all", || owned(&board) == 8).await;
    let (second, _) = lab.start("twin");
    let Outcome::Failed(why) = second.ended().await else { panic!("two of one id") };
    assert!(why.contains("twin") && why.contains("member_id"), "{why}");
    assert_eq!(owned(&board), 8);
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_one_sink_and_touches_no_listener() {
    let mut lab = Lab::new(true).await;
    let (agent, board) = lab.start("a");
    lab.until("it owns all", || owned(&board) == 8).await;
    lab.send(50).await;
    lab.settle().await;
    let epochs = pipeline_queues(&board);
    lab.write_pipeline("pipeline.yaml", "meters", &["test://others"]);
    let (next, complaints) = agent.prepare(&lab.settings(), &lab.context).await;
    assert_eq!(agent.reload(next.unwrap_or_else(|| panic!("{complaints:?}"))).await, 1);
    lab.send(50).await;
    lab.settle().await;
    assert_eq!(lab.volumes().len(), 50);
    assert_eq!(lab.context.shelf.batches("others").iter().map(Batch::len).sum::<usize>(), 50);
    assert_eq!(pipeline_queues(&board), epochs, "every queue is still open under its epoch");
}

#[tokio::test(start_paused = true)]
async fn a_reload_with_wrong_files_keeps_the_old_configuration() {
    let mut lab = Lab::new(false).await;
    let (agent, _) = lab.start("a");
    lab.write_pipeline("pipeline.yaml", "meters", &["nowhere://"]);
    std::fs::write(lab.folder.path().join("event_pipeline.yaml"), "sources: [").unwrap();
    let (next, complaints) = agent.prepare(&lab.settings(), &lab.context).await;
    assert!(next.is_none());
    let errors = complaints.iter().filter(|c| c.severity == Severity::Error).count();
    assert_eq!(errors, 2, "both files at once: {complaints:?}");
    lab.send(10).await;
    lab.settle().await;
    lab.check();
}

#[tokio::test(start_paused = true)]
async fn a_reload_adds_a_sink_and_takes_one_away() {
    let mut lab = Lab::new(true).await;
    let (agent, board) = lab.start("a");
    lab.until("it owns all", || owned(&board) == 8).await;
    let text = "sources: [{name: s, meters: ['*'], sinks: [sink, more]}]\n\
        sinks: [{name: sink, publishers: ['test://samples']}, {name: more, publishers: ['test://more']}]\n";
    std::fs::write(lab.folder.path().join("pipeline.yaml"), text).unwrap();
    let (next, _) = agent.prepare(&lab.settings(), &lab.context).await;
    agent.reload(next.unwrap()).await;
    lab.until("the new sink's queues are open", || owned(&board) == 12).await;
    lab.send(40).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0);
    assert_eq!(lab.context.shelf.batches("more").iter().map(Batch::len).sum::<usize>(), 40);
    lab.write_pipeline("pipeline.yaml", "meters", &["test://samples"]);
    let (next, _) = agent.prepare(&lab.settings(), &lab.context).await;
    agent.reload(next.unwrap()).await;
    lab.until("the sink's queues are closed", || owned(&board) == 8).await;
    lab.send(40).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_past_its_deadline_names_who_is_busy_and_gives_everything_back() {
    let mut lab = Lab::new(false).await;
    let (agent, _) = lab.start("a");
    lab.send(5).await;
    lab.settle().await;
    lab.check();
    // The group does not let go: leaving hangs until its call times out; the deadline is shorter than that.
    let slow = PublishError::Retry { cause: "503".to_owned(), after: Some(Duration::from_hours(1)) };
    lab.context.shelf.answer_next("samples", slow);
    lab.send(5).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A publisher that is away does not hold up a stop: its batch goes back at once.
    agent.drain(Duration::from_secs(5)).await.unwrap();
    let ready: usize = lab.broker.queues().iter().filter(|q| q.name == "notifications.info").map(|q| q.ready).sum();
    assert_eq!(ready, 5, "returned");
    let _next = lab.start("b");
    lab.settle().await;
    lab.check();
}

fn consume() -> ConsumeOptions {
    ConsumeOptions { prefetch_messages: 1_000, exclusive: false, arguments: BTreeMap::new() }
}
