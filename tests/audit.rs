//! `nephoscope audit` as a process, on real brokers of both generations: alone and in a group, what was parked and repeated, an agent
//! that is killed, a queue that somebody purges, and a broker that has no streams.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{field, rig};

use crate::rig::Generation::{self, Four, Three};
use lapin::BasicProperties;
use lapin::options::QueuePurgeOptions;
use rstest::rstest;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::field::{Agent, Folder, TO_FILES, Wire, free_port, notification, until_out};

const MAIN: &str = "notifications.info";

struct Stage {
    folder: Folder,
    wire: Wire,
}

impl Stage {
    /// An agent alone, or with an etcd one of a group with two pipeline queues a sink.
    async fn new(name: &str, rabbit: &str, etcd: Option<&rig::Etcd>, generation: Generation) -> Stage {
        let folder = Folder::new(&format!("{name}-{}", generation.number()));
        let sharing = etcd.map_or_else(String::new, |etcd| {
            format!(
                "lease_ttl = 3\npacket_notifications_max = 1\n[notification]\nworkload_partitioning = true\npipeline_processing_queues = 2\n\
                 [coordination]\nbackend_url = etcd3://{}\n",
                etcd.endpoint
            )
        });
        folder.configure(rabbit, &format!("{sharing}[oslo_messaging_rabbit]\namqp_durable_queues = true\n"));
        folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
        Stage { wire: Wire::connect(rabbit).await, folder }
    }

    async fn start(&self) -> Agent {
        let agent = self.folder.start();
        agent.until_it_works().await;
        agent
    }

    async fn put(&self, body: &[u8]) {
        assert!(self.wire.put(MAIN, body, BasicProperties::default().with_delivery_mode(2)).await);
    }

    /// What the books say now, and how the command ended.
    async fn audit(&self, more: &[&str]) -> (Value, Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
        command
            .arg("audit")
            .args(["-o", "json"])
            .args(more)
            .arg("--config-file")
            .arg(self.folder.file("ceilometer.conf"));
        command.stdin(Stdio::null());
        let output = tokio::process::Command::from(command).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (serde_json::from_slice(&output.stdout).unwrap_or_default(), output.status.code(), said)
    }

    /// What they say once so many notifications are in them.
    async fn audited(&self, taken: u64) -> (Value, Option<i32>, String) {
        let began = Instant::now();
        loop {
            let told = self.audit(&[]).await;
            let rows = told.0["main_queues"].as_array().cloned().unwrap_or_default();
            let in_all: u64 = rows.iter().filter_map(|row| row["taken"].as_u64()).sum();
            if in_all >= taken || began.elapsed() > field::PATIENCE {
                assert!(in_all >= taken, "{told:?}");
                return told;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn row<'v>(audit: &'v Value, table: &str, key: &str, name: &str) -> &'v Value {
    audit[table].as_array().unwrap().iter().find(|row| row[key] == name).unwrap()
}

/// Records that the file of a sink accepted, by the books.
fn published(audit: &Value, sink: &str) -> u64 {
    let publishers = row(audit, "sinks", "sink", sink)["publishers"].as_array().unwrap().clone();
    publishers.iter().filter_map(|row| row["direct"]["published"].as_u64()).sum()
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_says_what_became_of_all_and_survives_hand_over(
    #[values(Three, Four)] generation: Generation,
    #[values(false, true)] partitioned: bool,
) {
    let name = if partitioned { "audit-group" } else { "audit-alone" };
    let (rabbit, etcd) = (rig::rabbitmq_of(generation), partitioned.then(|| rig::etcd_of(generation)));
    let stage = Stage::new(name, &rabbit.vhost(name), etcd.as_ref(), generation).await;
    let (none, code, said) = stage.audit(&[]).await;
    assert_eq!((none, code), (Value::Null, Some(1)), "{said}");
    assert!(said.contains("cannot read the books: nephoscope."), "{said}");
    let mut agent = stage.start().await;
    for n in 0..30 {
        stage.put(&notification(n)).await;
    }
    stage.put(b"nobody can read this").await;
    stage.put(br#"{"message_id":"x","event_type":"e","priority":"BOGUS","payload":{}}"#).await;
    until_out(&stage.folder, &agent, 0..30).await;
    agent.stop().await;
    // The next process goes on in the same books.
    let mut agent = stage.start().await;
    for n in 30..40 {
        stage.put(&notification(n)).await;
    }
    until_out(&stage.folder, &agent, 0..40).await;
    let (audit, code, said) = stage.audited(42).await;
    assert_eq!((&audit["balanced"], code), (&Value::Bool(true), Some(0)), "{said}\n{audit:#}");
    let main = row(&audit, "main_queues", "queue", MAIN);
    assert_eq!(
        (main["taken"].as_u64(), main["parked"].as_u64(), main["waiting"].as_u64()),
        (Some(42), Some(2), Some(0))
    );
    let files = [("meters", "samples.jsonl"), ("event:events", "events.jsonl")];
    for (sink, file) in files {
        assert_eq!(published(&audit, sink), stage.folder.records(file).len() as u64, "{sink}: {audit:#}");
    }
    assert_eq!((audit["died"].as_u64(), audit["unsplit"].as_array().map(Vec::len)), (Some(0), Some(0)));
    let (audit, code, _) = stage.audit(&["--to", "2020-01-01"]).await;
    assert_eq!((audit["notes"].as_u64(), code, &audit["covered"]), (Some(0), Some(0), &Value::Bool(true)));
    agent.stop().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_names_who_was_killed_and_the_queue_that_was_purged(#[values(Three, Four)] generation: Generation) {
    let (rabbit, etcd) = (rig::rabbitmq_of(generation), rig::etcd_of(generation));
    let stage = Stage::new("audit-purged", &rabbit.vhost("audit-purged"), Some(&etcd), generation).await;
    let agent = stage.start().await;
    for n in 0..100 {
        stage.put(&notification(n)).await;
    }
    until_out(&stage.folder, &agent, 0..100).await;
    // Past the first seconds of the books, and noted.
    tokio::time::sleep(Duration::from_secs(6)).await;
    for n in 100..200 {
        stage.put(&notification(n)).await;
    }
    until_out(&stage.folder, &agent, 0..200).await;
    // Killed before its last note, most likely.
    drop(agent);
    let mut agent = stage.start().await;
    until_out(&stage.folder, &agent, 0..200).await;
    let (audit, code, said) = stage.audited(100).await;
    assert_eq!(code, Some(0), "{said}\n{audit:#}");
    assert!(audit["died"].as_u64() > Some(0), "{audit:#}");
    agent.stop().await;
    // Nobody takes samples: they wait, and are purged. Events go on.
    stage.folder.pipelines(&[&format!("http://127.0.0.1:{}/", free_port())], &[TO_FILES.1]);
    let mut agent = stage.start().await;
    for n in 200..260 {
        stage.put(&notification(n)).await;
    }
    field::until("the events are out", || stage.folder.records("events.jsonl").len() >= 260, || agent.log()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (audit, code, said) = stage.audit(&[]).await;
    assert_eq!(code, Some(0), "what waits is no loss: {said}\n{audit:#}");
    assert!(row(&audit, "sinks", "sink", "meters")["packets_waiting"].as_u64() >= Some(60), "{audit:#}");
    agent.stop().await;
    let purged = format!("nephoscope.{}.meters.g1.0", stage.folder.name);
    let count = stage.wire.channel.queue_purge(purged.as_str().into(), QueuePurgeOptions::default()).await.unwrap();
    assert!(count > 0);
    let (audit, code, said) = stage.audit(&[]).await;
    assert_eq!(code, Some(1), "{audit:#}");
    assert!(said.contains(&purged), "{said}");
    assert_eq!(
        row(&audit, "queues", "queue", &purged)["packets_missing"].as_u64(),
        Some(u64::from(count)),
        "{audit:#}"
    );
}

/// Whoever may not create the stream works on without books, and says so once.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_may_not_keep_books_works_on(#[values(Three, Four)] generation: Generation) {
    let rabbit = rig::rabbitmq_of(generation);
    let url = rabbit.vhost("audit-refused");
    let stage = Stage::new("audit-refused", &url, None, generation).await;
    let (before, vhost) = url.rsplit_once('/').unwrap();
    let user = format!("no-books-{}", std::process::id());
    rabbit.ctl(&["add_user", &user, "secret"]);
    let all_but_books = r"^(?!.*\.books$).*$";
    rabbit.ctl(&["set_permissions", "-p", vhost, &user, all_but_books, ".*", ".*"]);
    let refused = format!("amqp://{user}:secret@{}/{vhost}", before.rsplit_once('@').unwrap().1);
    stage.folder.configure(&refused, "[oslo_messaging_rabbit]\namqp_durable_queues = true\n");
    let mut agent = stage.start().await;
    for n in 0..20 {
        stage.put(&notification(n)).await;
    }
    until_out(&stage.folder, &agent, 0..20).await;
    agent.until_it_says("agent.books.absent").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((agent.said("agent.books.absent"), agent.said("agent.books.held")), (1, 1), "{}", agent.log());
    assert_eq!(agent.said("agent.queue.lost"), 0, "{}", agent.log());
    agent.stop().await;
}
