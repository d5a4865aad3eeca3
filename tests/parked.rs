//! `nephoscope parked` as a process, on real brokers of both generations, while an agent runs: what is put back arrives, what is left
//! stays, and a command that is killed in the middle loses nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{field, rig};

use crate::rig::Generation::{self, Four, Three};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use rstest::rstest;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::field::{Agent, Folder, TO_FILES, Wire, free_port, notification, until_out};

/// Messages that a command is killed over.
const MANY: usize = 1_500;

struct Stage {
    rabbit: rig::Own<rig::Rabbit>,
    folder: Folder,
    wire: Wire,
    queue: String,
}

impl Stage {
    async fn new(name: &str, generation: Generation, queues: &str) -> Stage {
        let rabbit = tokio::task::block_in_place(|| rig::own_rabbitmq_with(generation, ""));
        let folder = Folder::new(&format!("{name}-{}-{queues}", generation.number()));
        let more = format!("queue_type = {queues}\n[oslo_messaging_rabbit]\namqp_durable_queues = true\n");
        folder.configure(&rabbit.url, &more);
        folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
        let wire = Wire::connect(&rabbit.url).await;
        let queue = format!("nephoscope.{}.parked", folder.name);
        Stage { rabbit, folder, wire, queue }
    }

    async fn start(&self) -> Agent {
        let agent = self.folder.start();
        agent.until_it_works().await;
        agent
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
        command.arg("parked").args(arguments).arg("--config-file").arg(self.folder.file("ceilometer.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What a command prints that ends well.
    async fn told(&self, arguments: &[&str]) -> String {
        let output = tokio::process::Command::from(self.command(arguments)).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.told(&[arguments, &["-o", "json"]].concat()).await).unwrap()
    }

    /// Parks messages as agents do; the queue has them for sure.
    async fn park(&self, bodies: impl IntoIterator<Item = Vec<u8>>, reason: &str) {
        for body in bodies {
            let mut headers = FieldTable::default();
            for (name, value) in [("kind", reason), ("reason", "a sentence"), ("origin", "notifications.info")] {
                headers.insert(format!("x-nephoscope-{name}").into(), AMQPValue::LongString(value.into()));
            }
            let properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
            assert!(self.wire.put(&self.queue, &body, properties).await);
        }
    }

    /// Messages that are parked, once those that a killed command held are back.
    async fn depth(&self) -> usize {
        let mut last = (usize::MAX, 0);
        // Back when the broker has noticed; the same three times over.
        while last.1 < 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = usize::try_from(self.wire.depth(&self.queue).await).unwrap();
            last = (now, if now == last.0 { last.1 + 1 } else { 0 });
        }
        last.0
    }

    /// Runs a command again and again, and kills it after ever more time, until it gets to its end. The depths after each.
    async fn killed_over(&self, arguments: &[&str]) -> Vec<usize> {
        let mut depths = Vec::new();
        let mut after = Duration::from_millis(50);
        loop {
            let mut child = self.command(arguments).spawn().unwrap();
            tokio::time::sleep(after).await;
            after = after * 5 / 4;
            if ended(&mut child) {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            depths.push(self.depth().await);
        }
        depths
    }

    /// Everything that is parked, taken out.
    async fn take_all(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(message) = self.wire.get(&self.queue).await {
            all.push(message.delivery.data);
        }
        all
    }
}

fn ended(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some_and(|status| {
        assert!(status.success());
        true
    })
}

#[rstest]
#[case(Three, "classic")]
#[case(Three, "quorum")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_publisher_refused_arrives_once_it_is_put_back(#[case] generation: Generation, #[case] queues: &str) {
    let stage = Stage::new("refused", generation, queues).await;
    let port = free_port();
    stage.folder.pipelines(&[&format!("http://u:pass@127.0.0.1:{port}/samples?max_retries=0")], &[TO_FILES.1]);
    let server = MockServer::builder().listener(TcpListener::bind(("127.0.0.1", port)).unwrap()).start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(400)).mount(&server).await;
    let agent = stage.start().await;
    for n in 0..30 {
        assert!(stage.wire.put("notifications.info", &notification(n), BasicProperties::default()).await);
    }
    let give_up = std::time::Instant::now() + Duration::from_secs(60);
    while stage.depth().await < 30 {
        assert!(std::time::Instant::now() < give_up, "not all are parked: {}", agent.log());
    }
    assert_eq!(agent.said("agent.message.parked"), 1, "once for all of them");
    server.reset().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;

    let list = stage.json(&["list", "--reason", "refused", "--event-type", "image.size"]).await;
    let rows = list["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &list["by_reason"]["refused"]), (30, &30.into()), "{list}");
    let row = &rows[0];
    assert_eq!((&row["content"], &row["attempts"], &row["sink"]), (&"sample".into(), &1.into(), &"meters".into()));
    assert!(row["publisher"].as_str().unwrap().ends_with(&format!("127.0.0.1:{port}/samples")), "{row}");
    assert!(row["parked_at"].as_str().unwrap().ends_with('Z') && row["member"] == "agent", "{row}");
    assert!(!list.to_string().contains("pass"), "{list}");
    let table = stage.told(&["list", "--limit", "2"]).await;
    assert!(table.contains("REASON   MESSAGES") && table.contains("EVENT TYPE"), "{table}");

    let id = row["id"].as_str().unwrap();
    let shown = stage.json(&["show", id]).await;
    let body: serde_json::Value = serde_json::from_str(shown[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!((shown.as_array().unwrap().len(), &body["name"]), (1, &"image.size".into()));
    assert!(stage.told(&["show", id]).await.contains("\"image.size\""));
    let file = stage.folder.file("parked.jsonl");
    let exported = stage.told(&["export", "--older-than", "0s", "--to", file.to_str().unwrap()]).await;
    let all = usize::try_from(list["messages"].as_u64().unwrap()).unwrap();
    assert!(exported.starts_with(&format!("wrote {all} messages to")), "{exported}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), all);
    let again = tokio::process::Command::from(stage.command(&["export", "--to", file.to_str().unwrap()])).output();
    assert!(String::from_utf8_lossy(&again.await.unwrap().stderr).contains("parked.jsonl"), "never written over");

    let planned = stage.told(&["requeue"]).await;
    assert!(planned.contains("would be put back") && planned.contains("add --yes to do it"), "{planned}");
    assert_eq!(stage.depth().await, all, "nothing is changed");
    let done = stage.json(&["requeue", "--yes", "--publisher", "http://*"]).await;
    assert_eq!((&done["changed"], &done["messages"]), (&true.into(), &all.into()), "{done}");
    let sizes = async || {
        let requests = server.received_requests().await.unwrap_or_default();
        let samples = requests
            .iter()
            .flat_map(|request| serde_json::from_slice::<Vec<serde_json::Value>>(&request.body).unwrap());
        samples
            .filter(|sample| sample["name"] == "image.size")
            .map(|s| s["volume"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    field::until_answered("all are published", async || sizes().await.len() >= 30, || agent.log()).await;
    let mut sizes = sizes().await;
    sizes.sort_unstable();
    assert_eq!(sizes, (0..30).collect::<Vec<u64>>(), "each once");
    assert_eq!(stage.depth().await, 0);
}

#[rstest]
#[case(Three, "classic")]
#[case(Four, "classic")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requeue_that_is_killed_loses_nothing(#[case] generation: Generation, #[case] queues: &str) {
    let stage = Stage::new("killed-requeue", generation, queues).await;
    let agent = stage.start().await;
    stage.park((0..MANY).map(notification), "unreadable").await;
    stage.park((0..MANY).map(|n| format!("kept {n}").into_bytes()), "internal_error").await;
    let depths = stage.killed_over(&["requeue", "--reason", "unreadable", "--yes"]).await;
    assert!(depths.iter().any(|depth| *depth > MANY && *depth < 2 * MANY), "never in the middle: {depths:?}");
    until_out(&stage.folder, &agent, 0..MANY).await;
    let kept: BTreeSet<Vec<u8>> = stage.take_all().await.into_iter().collect();
    assert_eq!(kept, (0..MANY).map(|n| format!("kept {n}").into_bytes()).collect());
}

#[rstest]
#[case(Three, "classic")]
#[case(Four, "classic")]
#[case(Four, "quorum")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_that_is_killed_takes_nothing_else(#[case] generation: Generation, #[case] queues: &str) {
    let stage = Stage::new("killed-drop", generation, queues).await;
    let _agent = stage.start().await;
    for part in 0..10 {
        let bodies = |what: &'static str| (0..MANY / 10).map(move |n| format!("{what} {part} {n}").into_bytes());
        stage.park(bodies("gone"), "internal_error").await;
        stage.park(bodies("kept"), "refused").await;
    }
    let planned = stage.told(&["drop", "--reason", "internal_error"]).await;
    assert!(planned.contains(&format!("{MANY} messages would be dropped")), "{planned}");
    stage.killed_over(&["drop", "--reason", "internal_error", "--yes"]).await;
    let left = stage.take_all().await;
    assert!(left.iter().all(|body| body.starts_with(b"kept")));
    assert_eq!(left.into_iter().collect::<BTreeSet<_>>().len(), MANY);
}

#[rstest]
#[case(Three)]
#[case(Four)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_eat_nothing_where_a_policy_limits_deliveries(#[case] generation: Generation) {
    let stage = Stage::new("looked-at", generation, "quorum").await;
    let _agent = stage.start().await;
    let policy = ["set_policy", "limited", "parked", r#"{"delivery-limit":3}"#, "--apply-to", "queues"];
    tokio::task::block_in_place(|| stage.rabbit.ctl(&policy));
    stage.park((0..700).map(|n| n.to_string().into_bytes()), "internal_error").await;
    let mut all = BTreeSet::new();
    for n in 0..10 {
        let limit = if n % 3 == 1 { "1" } else { "1000" };
        let list = stage.json(&["list", "--limit", limit]).await;
        assert_eq!(list["messages"], 700, "look {n}");
        // A command has ended when the broker has everything back.
        assert_eq!(stage.depth().await, 700, "look {n}: {} renewed", list["renewed"]);
        all.extend(list["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(all.len(), 700, "ids stay");
    let left: BTreeSet<Vec<u8>> = stage.take_all().await.into_iter().collect();
    assert_eq!(left.len(), 700);
}
