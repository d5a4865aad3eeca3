//! `nephoscope shadow`, `capture` and `replay` as processes on real brokers: they take nothing away, count what they miss, and send
//! what they kept.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ceilometer;
#[path = "../benches/throughput/mix.rs"]
#[expect(dead_code, reason = "the bench uses the rest")]
mod mix;

use crate::field::{Folder, PATIENCE, TO_FILES, Wire};
use crate::rig;
use crate::rig::Generation::{self, Four, Three};

use lapin::options::{BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, ExchangeKind};
use nephoscope::model::envelope;
use rstest::rstest;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

const EXCHANGE: &str = "nova";

/// A folder, a virtual host, and the main queue `notifications.info` in it.
struct Stage {
    folder: Folder,
    wire: Wire,
    url: String,
}

impl Stage {
    async fn new(name: &str, generation: Generation) -> Stage {
        let url = tokio::task::block_in_place(|| rig::rabbitmq_of(generation).vhost(name));
        let folder = Folder::new(&format!("{name}-{}", generation.number()));
        folder.configure(&url, "[oslo_messaging_rabbit]\namqp_durable_queues = true\n");
        folder.pipelines(&[TO_FILES.0], &[TO_FILES.1]);
        let stage = Stage { folder, wire: Wire::connect(&url).await, url };
        stage.main_queues(&["info"]).await;
        stage
    }

    async fn main_queues(&self, priorities: &[&str]) {
        let channel = &self.wire.channel;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, FieldTable::default());
        declared.await.unwrap();
        for priority in priorities {
            let queue = format!("notifications.{priority}");
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(queue.as_str().into(), durable, FieldTable::default()).await.unwrap();
            let (key, bound) = (queue.as_str(), QueueBindOptions::default());
            channel.queue_bind(key.into(), EXCHANGE.into(), key.into(), bound, FieldTable::default()).await.unwrap();
        }
    }

    /// Sends as a service does; every message is confirmed.
    async fn send(&self, bodies: impl IntoIterator<Item = Vec<u8>>) {
        send(&self.wire, bodies).await;
    }

    /// A command, with the configuration of the folder unless it names another.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
        command.args(arguments);
        if !arguments.contains(&"--config-file") {
            command.arg("--config-file").arg(self.folder.file("ceilometer.conf"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A command that is done soon.
    async fn done(&self, arguments: &[&str]) -> Output {
        let done = tokio::process::Command::from(self.command(arguments)).output();
        tokio::time::timeout(PATIENCE, done).await.unwrap().unwrap()
    }

    async fn told(&self, arguments: &[&str]) -> String {
        let output = self.done(arguments).await;
        let (said, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}{errors}");
        said
    }

    /// A command that copies by now.
    async fn copying(&self, name: &str, arguments: &[&str]) -> Copying {
        let mut command = self.command(arguments);
        let (out, log) = (self.folder.file(&format!("{name}.out")), self.folder.file(&format!("{name}.err")));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&log).unwrap());
        let copying = Copying { child: command.spawn().unwrap(), out, log };
        crate::field::until("it copies", || copying.log().contains("copying notifications from "), || copying.log())
            .await;
        copying
    }

    fn path(&self, name: &str) -> String {
        self.folder.file(name).display().to_string()
    }
}

async fn send(wire: &Wire, bodies: impl IntoIterator<Item = Vec<u8>>) {
    let mut confirms = Vec::new();
    for body in bodies {
        let priority = envelope::open(&body).map_or("info", |notification| notification.priority().name());
        let key = format!("notifications.{priority}");
        let properties = BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = wire.channel.basic_publish(EXCHANGE.into(), key.as_str().into(), options, &body, properties);
        confirms.push(sent.await.unwrap());
    }
    for confirm in confirms {
        let confirm = confirm.await.unwrap();
        assert!(confirm.is_ack() && confirm.take_message().is_none(), "taken, and routed");
    }
}

/// A running command; killed when dropped.
struct Copying {
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

impl Copying {
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success(), "{}", self.log());
    }

    /// Its end, and what it printed.
    async fn ended(&mut self) -> (ExitStatus, String) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, fs::read_to_string(&self.out).unwrap());
            }
            assert!(began.elapsed() < PATIENCE * 5, "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn json(&mut self) -> (ExitStatus, Value) {
        let (status, said) = self.ended().await;
        let answer = serde_json::from_str(&said);
        (status, answer.unwrap_or_else(|error| panic!("{error}: {said}\n{}", self.log())))
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The bundled mix, each notification once: oslo.messaging leaves out a `_unique_id` that it has just seen.
fn bundled(count: usize) -> Vec<Vec<u8>> {
    let once = |(n, body): (usize, Vec<u8>)| {
        let mut text = String::from_utf8(body).unwrap();
        if let Some((_, after)) = text.split_once("_unique_id") {
            let from = text.len() - after.len() + after.find(|c: char| c.is_ascii_hexdigit()).unwrap();
            text.replace_range(from + 24..from + 32, &format!("{n:08x}"));
        }
        text.into_bytes()
    };
    mix::repeated(&mix::bundled(), count).enumerate().map(once).collect()
}

/// Notifications of priority info alone.
fn info(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(crate::field::notification).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_shadow_take_nothing_away(#[values(Three, Four)] generation: Generation) {
    let stage = Stage::new("shadow", generation).await;
    stage.send(info(7)).await;
    let mut shadow = stage.copying("shadow", &["shadow", "--messages", "200", "-o", "json"]).await;
    stage.send(info(199)).await;
    stage.send([b"not a notification".to_vec()]).await;
    let (status, answer) = shadow.json().await;
    assert!(status.success(), "{}", shadow.log());
    let count = |name: &str| answer[name].as_u64().unwrap();
    // What was sent before it came is not copied.
    assert_eq!((count("notifications"), count("missed"), count("unreadable")), (200, 0, 1), "{answer}");
    assert_eq!((count("samples"), count("events")), (199, 199), "{answer}");
    assert_eq!(answer["by_meter"]["rows"]["image.size"], 199);
    assert_eq!(answer["by_event_type"]["rows"]["image.update"], 199);
    assert!(count("memory_bytes") > 1 << 20 && answer["cpu_seconds"].as_f64().unwrap() > 0.0, "{answer}");
    assert_eq!(stage.wire.depth("notifications.info").await, 207);
    assert!(fs::metadata(stage.folder.file("samples.jsonl")).is_err(), "nothing is published");
    let queues = tokio::task::block_in_place(|| {
        let vhost = stage.url.rsplit('/').next().unwrap().to_owned();
        rig::rabbitmq_of(generation).ctl(&["list_queues", "--vhost", &vhost, "name", "--silent"])
    });
    assert!(!queues.contains(".copy."), "{queues}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_shadow_misses_is_counted_exactly(#[values(Three, Four)] generation: Generation) {
    let stage = Stage::new("overflow", generation).await;
    let arguments = ["shadow", "--max-queue", "100", "-o", "json"];
    let mut shadow = stage.copying("shadow", &arguments).await;
    shadow.signal("STOP");
    // No sender is refused or held.
    stage.send(info(3_000)).await;
    shadow.signal("CONT");
    // Long enough for the few that are left, and for what fell out to be counted.
    tokio::time::sleep(Duration::from_secs(4)).await;
    shadow.signal("INT");
    let (_, answer) = shadow.json().await;
    let (taken, missed) = (answer["notifications"].as_u64().unwrap(), answer["missed"].as_u64().unwrap());
    assert_eq!((taken + missed, &answer["missed_more"]), (3_000, &Value::Bool(false)), "{answer}");
    assert!(missed > 2_500 && taken >= 100, "{answer}");
    assert_eq!(stage.wire.depth("notifications.info").await, 3_000);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_captured_and_replayed_is_what_was_sent(#[values(Three, Four)] generation: Generation) {
    let stage = Stage::new("capture", generation).await;
    stage.main_queues(&["sample", "error"]).await;
    let bodies = bundled(153);
    let file = stage.path("captured.gz");
    let file = file.as_str();
    let mut capture = stage.copying("capture", &["capture", "--messages", "153", file]).await;
    let hashed = stage.path("hashed.gz");
    let hashed = hashed.as_str();
    let mut hashing = stage.copying("hashing", &["capture", "--messages", "153", "--hash-personal", hashed]).await;
    stage.send(bodies.clone()).await;
    let (status, said) = capture.ended().await;
    assert!(hashing.ended().await.0.success(), "{}", hashing.log());
    assert!(status.success() && said.starts_with("wrote 153 notifications, "), "{said}{}", capture.log());
    assert!(fs::metadata(format!("{file}.part")).is_err());
    let again = stage.done(&["capture", "--messages", "1", file]).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing is overwritten"));

    // It converts to what the notifications themselves give.
    let plain = stage.path("plain");
    let plain = plain.as_str();
    fs::write(plain, bodies.join(&b'\n')).unwrap();
    let (of_file, of_plain) =
        (stage.told(&["convert", "-o", "json", file]).await, stage.told(&["convert", "-o", "json", plain]).await);
    assert!(of_plain.lines().count() == 153 && of_file == of_plain);
    // Definitions find in hashed notifications what they find in the plain ones.
    let of_hashed = stage.told(&["convert", "-o", "json", hashed]).await;
    let made = |line: &str| {
        let answer: Value = serde_json::from_str(line).unwrap();
        let names = |list: &str, of: &dyn Fn(&Value) -> Value| -> Vec<Value> {
            answer[list].as_array().unwrap().iter().map(of).collect()
        };
        let traits = |event: &Value| -> Vec<Value> {
            event["traits"].as_array().unwrap().iter().map(|one| serde_json::json!([one[0], one[1]])).collect()
        };
        (
            // The resource may be a user.
            names("samples", &|sample| serde_json::json!([sample["name"], sample["volume"]])),
            names("events", &|event| serde_json::json!([event["event_type"], event["message_id"], traits(event)])),
        )
    };
    for (plain, hashed) in of_plain.lines().zip(of_hashed.lines()) {
        assert_eq!(made(plain), made(hashed));
    }
    assert!(of_hashed.lines().count() == 153 && of_hashed != of_plain);

    // Replayed somewhere else, it is the same messages in the same order.
    let other = Stage::new("replay", generation).await;
    let planned = other.told(&["replay", file]).await;
    assert!(planned.contains("153 of 153 notifications would be sent") && planned.contains("add --yes"), "{planned}");
    assert_eq!(other.wire.depth("notifications.info").await, 0);
    let sent = other.told(&["replay", file, "--rate", "0", "--yes"]).await;
    assert!(sent.starts_with("153 of 153 notifications are sent and confirmed"), "{sent}");
    for queue in ["info", "sample", "error"] {
        let (queue, of) =
            (format!("notifications.{queue}"), |body: &Vec<u8>| envelope::open(body).unwrap().priority().name());
        let mut got = Vec::new();
        while let Some(message) = other.wire.get(&queue).await {
            assert_eq!(message.delivery.exchange.as_str(), EXCHANGE);
            got.push(message.delivery.data);
        }
        let expected: Vec<_> = bodies.iter().filter(|body| queue.ends_with(of(body))).cloned().collect();
        assert!(!expected.is_empty() && got == expected, "{queue}: {} of {}", got.len(), expected.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_interrupted_goes_on_where_it_was() {
    let stage = Stage::new("interrupted", Three).await;
    let file = stage.path("captured.gz");
    let file = file.as_str();
    let mut capture = stage.copying("capture", &["capture", "--messages", "300", file]).await;
    stage.send(info(300)).await;
    capture.ended().await;
    let other = Stage::new("onward", Three).await;
    let mut replay = Copying {
        child: other
            .command(&["replay", file, "--rate", "100", "--yes"])
            .stdout(File::create(other.folder.file("out")).unwrap())
            .stderr(File::create(other.folder.file("err")).unwrap())
            .spawn()
            .unwrap(),
        out: other.folder.file("out"),
        log: other.folder.file("err"),
    };
    let began = Instant::now();
    while other.wire.depth("notifications.info").await < 60 {
        assert!(began.elapsed() < PATIENCE, "{}", replay.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    replay.signal("TERM");
    let (status, _) = replay.ended().await;
    let log = replay.log();
    assert_eq!(status.code(), Some(1), "{log}");
    let from: u32 = log.trim().rsplit("--from ").next().unwrap().parse().unwrap();
    assert_eq!(other.wire.depth("notifications.info").await, from, "{log}");
    assert!((60..300).contains(&from), "{log}");
    other.told(&["replay", file, "--rate", "0", "--yes", "--from", &from.to_string()]).await;
    let mut got = Vec::new();
    while let Some(message) = other.wire.get("notifications.info").await {
        got.push(message.delivery.data);
    }
    assert!(got == info(300), "all of them, in order, each once: {}", got.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_that_ends_early_leaves_a_file_that_can_be_read() {
    let stage = Stage::new("ended", Three).await;
    for (signal, name) in [("KILL", "killed.gz"), ("INT", "interrupted.gz"), ("TERM", "terminated.gz")] {
        let file = stage.path(name);
        let file = file.as_str();
        let mut capture = stage.copying(name, &["capture", file]).await;
        stage.send(info(50)).await;
        // It can be read while it is written: a kill takes away what came in the last second.
        let (part, began) = (format!("{file}.part"), Instant::now());
        while stage.told(&["convert", "-o", "json", &part]).await.lines().count() < 50 {
            assert!(began.elapsed() < PATIENCE, "{}", capture.log());
        }
        capture.signal(signal);
        let (status, _) = capture.ended().await;
        assert_eq!(status.success(), signal != "KILL", "{}", capture.log());
        let left = if signal == "KILL" { part } else { file.to_owned() };
        let converted = stage.told(&["convert", "-o", "json", &left]).await;
        assert_eq!(converted.lines().count(), 50, "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_is_bounded_and_has_no_secrets() {
    let stage = Stage::new("bounded", Three).await;
    let file = stage.path("bounded.gz");
    let file = file.as_str();
    let arguments = ["capture", "--max-bytes", "10000", "--hash-personal", "--seconds", "60", file];
    let mut capture = stage.copying("capture", &arguments).await;
    let secret = |n: usize| {
        let filling: String = (0..10).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
        format!(
            r#"{{"message_id":"m-{n}","publisher_id":"compute.host","event_type":"compute.instance.update","priority":"INFO","timestamp":"2026-01-01 00:00:00","payload":{{"admin_pass":"s3cret","user_name":"lovelace","mail":"lovelace@example.org","filling":"{filling}"}}}}"#
        )
        .into_bytes()
    };
    stage.send((0..400).map(secret)).await;
    let (status, said) = capture.ended().await;
    assert!(status.success() && said.contains("the file has reached --max-bytes"), "{said}{}", capture.log());
    assert!(fs::metadata(file).unwrap().len() <= 10_000);
    let plain = Command::new("gzip").args(["-dc", file]).output().unwrap();
    let text = String::from_utf8(plain.stdout).unwrap();
    assert!(plain.status.success() && text.lines().count() > 10 && text.contains("m-3"), "{text}");
    for secret in ["s3cret", "lovelace"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

/// A Gnocchi that has one mean a minute.
struct Minutes(f64);

impl wiremock::Respond for Minutes {
    fn respond(&self, request: &wiremock::Request) -> wiremock::ResponseTemplate {
        let path = request.url.path();
        let asked = path.starts_with("/v1/resource/generic/image%2Done/metric/image%2Esize/measures")
            || path.starts_with("/v1/resource/generic/image-one/metric/image%2Esize/measures");
        if !asked || request.headers.get("x-user-id").is_none() {
            return wiremock::ResponseTemplate::new(404);
        }
        let mean = |minute: u32| serde_json::json!([format!("2026-01-01T00:{minute:02}:00+00:00"), 60.0, self.0]);
        wiremock::ResponseTemplate::new(200).set_body_json((0..10).map(mean).collect::<Vec<_>>())
    }
}

#[rstest]
#[case::same(100.0, 0, "Gnocchi has the same: 9 means of 1 metrics")]
#[case::other(101.0, 1, "Gnocchi differs: 9 means or metrics of 1 metrics")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_compared_with_what_gnocchi_has(#[case] mean: f64, #[case] code: i32, #[case] sentence: &str) {
    let stage = Stage::new("gnocchi", Three).await;
    let login = "[service_credentials]\nauth_type = gnocchi-noauth\nuser_id = u\nproject_id = p\nroles = admin\n\
                 endpoint = http://127.0.0.1:1/\n";
    stage.folder.configure(&stage.url, login);
    let gnocchi = wiremock::MockServer::start().await;
    wiremock::Mock::given(wiremock::matchers::method("GET")).respond_with(Minutes(mean)).mount(&gnocchi).await;
    let uri = gnocchi.uri();
    let arguments = ["shadow", "--messages", "20", "--compare-gnocchi", uri.as_str(), "--settle", "0", "-o", "json"];
    let mut shadow = stage.copying("shadow", &arguments).await;
    let body = |n: u32| {
        let (minute, second) = (n / 2, n % 2 * 30);
        format!(
            r#"{{"message_id":"m-{n}","publisher_id":"image.host","event_type":"image.update","priority":"INFO","timestamp":"2026-01-01 00:{minute:02}:{second:02}","payload":{{"id":"image-one","size":100,"owner":"t","name":"i","status":"active"}}}}"#
        )
        .into_bytes()
    };
    stage.send((0..20).map(body)).await;
    let (status, answer) = shadow.json().await;
    let said = answer["gnocchi"]["sentence"].as_str().unwrap();
    assert!(said.starts_with(sentence) && status.code() == Some(code), "{answer:#}\n{}", shadow.log());
}
