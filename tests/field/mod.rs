//! One agent as a process, seen from outside: its folder, its log, its output, the broker it works on.
//!
//! Nothing here knows what an agent is made of.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "a binary of tests hands nothing on")]

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, message::BasicGetMessage};
use nephoscope::model::{Dict, Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Past this, what is waited for does not come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The pipelines that most tests need: everything to files.
pub const TO_FILES: (&str, &str) = ("file://{folder}/samples.jsonl?json", "file://{folder}/events.jsonl?json");

/// The folder of one test: configuration, log and output of its agent.
pub struct Folder {
    path: PathBuf,
    /// Also the group of the agent.
    pub name: String,
}

impl Folder {
    /// An empty folder.
    pub fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        let _there = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder { path, name }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file; `{folder}` in it is this folder.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text.replace("{folder}", &self.path.to_string_lossy())).unwrap();
    }

    /// Writes `pipeline.yaml` and `event_pipeline.yaml`: one source of everything, one sink, these publishers.
    pub fn pipelines(&self, samples: &[&str], events: &[&str]) {
        for (file, key, publishers) in [("pipeline", "meters", samples), ("event_pipeline", "events", events)] {
            let list: String = publishers.iter().map(|url| format!("      - {url}\n")).collect();
            let text = format!(
                "sources:\n  - name: all\n    {key}: ['*']\n    sinks: [{key}]\nsinks:\n  - name: {key}\n    publishers:\n{list}"
            );
            self.write(&format!("{file}.yaml"), &text);
        }
    }

    /// Writes `ceilometer.conf`: what every test has, then `more`.
    pub fn configure(&self, transport_url: &str, more: &str) {
        let transport_url = transport_url.replacen("amqp://", "rabbit://", 1);
        // Written twice it would be warned of.
        let listen = if more.contains("listen =") { "" } else { "listen =\n" };
        let text = format!(
            "[DEFAULT]\ntransport_url = {transport_url}\npipeline_cfg_file = {{folder}}/pipeline.yaml\n\
             event_pipeline_cfg_file = {{folder}}/event_pipeline.yaml\n\
             [oslo_messaging_rabbit]\nrabbit_interval_max = 2\n\
             [nephoscope]\ngroup = {}\nmember_id = agent\n{listen}{more}\n",
            self.name
        );
        self.write("ceilometer.conf", &text);
    }

    /// Starts the agent.
    pub fn start(&self) -> Agent {
        self.start_by(Command::new(env!("CARGO_BIN_EXE_nephoscope")))
    }

    /// Starts the agent with a limit of file descriptors.
    pub fn start_with_descriptors(&self, most: usize) -> Agent {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n $0 && exec \"$@\""]).arg(most.to_string());
        shell.arg(env!("CARGO_BIN_EXE_nephoscope"));
        self.start_by(shell)
    }

    /// Starts the agent with variables of its environment.
    pub fn start_with(&self, variables: &[(&str, &str)]) -> Agent {
        let mut program = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
        program.envs(variables.iter().copied());
        self.start_by(program)
    }

    fn start_by(&self, mut program: Command) -> Agent {
        let log = self.file("log");
        let child = program
            .args(["run", "--config-file"])
            .arg(self.file("ceilometer.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Agent { child, log }
    }

    /// The whole JSON lines of an output file.
    pub fn records(&self, file: &str) -> Vec<Dict> {
        let bytes = fs::read(self.file(file)).unwrap_or_default();
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        bytes[..whole].split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(read_dict).collect()
    }

    /// A text field of every record of an output file.
    pub fn texts(&self, file: &str, field: &str) -> Vec<String> {
        let records = self.records(file);
        records.iter().filter_map(|r| r.get(field)?.as_str().map(str::to_owned)).collect()
    }
}

/// An agent's process; killed when dropped.
pub struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How many lines of the log contain the text.
    pub fn said(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until the log has a line with the text.
    pub async fn until_it_says(&self, text: &str) {
        until(&format!("the log says {text:?}"), || self.said(text) > 0, || self.log()).await;
    }

    /// Waits until the main queue is listened to.
    pub async fn until_it_works(&self) {
        self.until_it_says("opened the queue queue=main:notifications.info").await;
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill").args(["-s", name, &pid]).status().unwrap().success(),
            "it is gone: {}",
            self.log()
        );
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGTERM, and it ends well.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the agent's log\n{}", self.log());
        }
    }
}

/// A channel with confirms, and the connection that keeps it.
pub struct Wire {
    _connection: Connection,
    pub channel: Channel,
}

impl Wire {
    pub async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Wire { _connection: connection, channel }
    }

    /// Puts a body into a queue that is there; whether the broker has it for sure.
    pub async fn put(&self, queue: &str, body: &[u8], properties: BasicProperties) -> bool {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = self.channel.basic_publish("".into(), queue.into(), options, body, properties);
        match sent.await {
            Ok(confirm) => confirm.await.is_ok_and(|confirm| confirm.is_ack()),
            Err(_) => false,
        }
    }

    /// The next message of a queue, acknowledged.
    pub async fn get(&self, queue: &str) -> Option<BasicGetMessage> {
        self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
    }

    /// Messages that are ready in a queue.
    pub async fn depth(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap().message_count()
    }
}

/// Waits until it is so; panics with what there is instead.
pub async fn until(what: &str, mut so: impl FnMut() -> bool, instead: impl Fn() -> String) {
    until_answered(what, async || so(), instead).await;
}

/// The same, where somebody has to be asked.
pub async fn until_answered(what: &str, mut so: impl AsyncFnMut() -> bool, instead: impl Fn() -> String) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}: {}", instead());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A port that nobody has now, and that nobody is given in a moment: it lies below those that the kernel hands out, and below
/// those of the servers (`tests/rig/rig.sh`). Each test process begins at another one.
pub fn free_port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = std::process::id().wrapping_mul(31).wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(n % 6_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The whole answer to a GET, head included; empty if nobody answers.
pub fn ask(port: u16, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let _cut = stream.read_to_string(&mut answer);
    }
    answer
}

/// A JSON object.
pub fn read_dict(bytes: &[u8]) -> Dict {
    match json::read(bytes) {
        Ok(Value::Dict(dict)) => dict,
        _ => panic!("no JSON object: {}", String::from_utf8_lossy(bytes)),
    }
}

/// A notification as the `messaging` driver writes it: gives one event, and one sample `image.size` whose volume is `n`.
pub fn notification(n: usize) -> Vec<u8> {
    format!(
        r#"{{"message_id":"m-{n}","publisher_id":"image.host","event_type":"image.update","priority":"INFO","timestamp":"2026-01-01 00:00:00.{:06}","_unique_id":"u-{n}","payload":{{"id":"image-{}","size":{n},"owner":"t","name":"i","status":"active"}}}}"#,
        n % 1_000_000,
        n % 7,
    )
    .into_bytes()
}

/// The numbers of [`notification`]s whose samples and events are in the output, sorted, repeats once.
pub fn numbers(folder: &Folder) -> (Vec<i64>, Vec<i64>) {
    let volume = |record: &Dict| match record.get("volume") {
        Some(Value::Int(n)) if record.get("name").and_then(Value::as_str) == Some("image.size") => Some(*n),
        _ => None,
    };
    let mut samples: Vec<i64> = folder.records("samples.jsonl").iter().filter_map(volume).collect();
    let ids = folder.texts("events.jsonl", "message_id");
    let mut events: Vec<i64> = ids.iter().filter_map(|id| id.strip_prefix("m-")?.parse().ok()).collect();
    for list in [&mut samples, &mut events] {
        list.sort_unstable();
        list.dedup();
    }
    (samples, events)
}

/// Waits until exactly these have come out, as samples and as events.
pub async fn until_out(folder: &Folder, agent: &Agent, expected: impl IntoIterator<Item = usize>) {
    let expected: Vec<i64> = expected.into_iter().map(|n| i64::try_from(n).unwrap()).collect();
    let both = (expected.clone(), expected);
    until("all have come out", || numbers(folder) == both, || format!("{:?}\n{}", numbers(folder), agent.log())).await;
}
