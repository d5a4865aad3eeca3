//! `make bench`: the agent against a bare consume-and-ack loop on the same broker, in the same run.
//!
//! One machine, RabbitMQ and etcd on loopback, 20,000 mixed notifications pre-filled, no two the same, the file
//! publisher. Printed, never gated on: absolute figures drift by a factor of two between runs on shared machines, ratios
//! do not. `cargo bench --bench throughput -- partitioned rated` drains in these modes only; `restore` and `latencies` are the other parts.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures for people")]

mod process;
#[path = "../tests/rig/mod.rs"]
mod rig;

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use nephoscope::model::envelope;
use process::{cpu_seconds, peak_mib};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NOTIFICATIONS: usize = 20_000;
const RUNS: usize = 3;
const LATENCY_RATE: u64 = 100;
const LATENCY_SECONDS: u64 = 10;
/// Resources with a rate, for the time that restoring them takes.
const RESTORED_KEYS: usize = 10_000;
/// A file that does not grow for so long is complete.
const QUIET: Duration = Duration::from_millis(500);
/// Past this something is wrong.
const PATIENCE: Duration = Duration::from_mins(2);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bench = Bench::new().await;
        println!(
            "{NOTIFICATIONS} notifications, mean {} bytes, {} cores, RabbitMQ on loopback, classic queues, file publisher",
            bench.bodies.iter().map(Vec::len).sum::<usize>() / bench.bodies.len(),
            std::thread::available_parallelism().map_or(0, usize::from)
        );
        println!("{:<14} {:>9} {:>7} {:>13} {:>9} {:>14}", "loop", "per s", "ratio", "CPU s/1,000", "RSS MiB", "first msg ms");
        let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
        let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
        bench.drain_all(&wanted).await;
        if wants("restore") {
            bench.restore().await;
        }
        if wants("latencies") {
            bench.latencies().await;
        }
    });
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    /// The loop that the others are measured by.
    Bare,
    Direct,
    Partitioned,
    /// Partitioned, with a rate of every meter of every resource.
    Rated,
}

impl Mode {
    const ALL: [Mode; 4] = [Mode::Bare, Mode::Direct, Mode::Partitioned, Mode::Rated];

    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// What one drain of the queue showed.
struct Drain {
    rate: f64,
    cpu_per_thousand: f64,
    rss_mib: f64,
    first_ms: f64,
}

struct Bench {
    rabbit: rig::Rabbit,
    etcd: rig::Etcd,
    channel: Channel,
    bodies: Vec<Vec<u8>>,
    folder: PathBuf,
}

impl Bench {
    /// Drains in every mode that is wanted, or in all, and prints a line for each.
    async fn drain_all(&self, wanted: &[String]) {
        let modes: Vec<Mode> =
            Mode::ALL.into_iter().filter(|mode| wanted.is_empty() || wanted.contains(&mode.name())).collect();
        let mut drains: Vec<Vec<Drain>> = modes.iter().map(|_| Vec::new()).collect();
        for _ in 0..RUNS {
            // Interleaved, so that a slow minute of the machine hits all of them.
            for (mode, drains) in modes.iter().zip(&mut drains) {
                drains.push(match mode {
                    Mode::Bare => self.bare().await,
                    _ => self.agent(*mode).await,
                });
            }
        }
        let rates: Vec<f64> = drains.iter().map(|drains| median(drains.iter().map(|d| d.rate))).collect();
        let rate_of = |mode| modes.iter().position(|m| *m == mode).map_or(f64::NAN, |at| rates[at]);
        for ((mode, drains), rate) in modes.iter().zip(&drains).zip(&rates) {
            println!(
                "{:<14} {rate:>9.0} {:>6.0}% {:>13.3} {:>9.1} {:>14.0}",
                mode.name(),
                100.0 * rate / rate_of(Mode::Bare),
                median(drains.iter().map(|d| d.cpu_per_thousand)),
                median(drains.iter().map(|d| d.rss_mib)),
                median(drains.iter().map(|d| d.first_ms)),
            );
        }
        println!(
            "(median of {RUNS}; aims: direct 60 %, partitioned 35 % of bare, RSS under 60 MiB, first message under 300 ms)"
        );
        let share = 100.0 * rate_of(Mode::Rated) / rate_of(Mode::Partitioned);
        println!("with a rate of every meter: {share:.0} % of partitioned without (aim 60 %)");
    }

    async fn latencies(&self) {
        for mode in [Mode::Direct, Mode::Partitioned] {
            let mut latencies = self.latency(mode).await;
            latencies.sort_unstable();
            let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
            println!(
                "latency at {LATENCY_RATE}/s, {mode:?}: p50 {:.1} ms, p99 {:.1} ms, {} samples",
                at(0.5),
                at(0.99),
                latencies.len()
            );
        }
    }

    async fn new() -> Self {
        let (rabbit, etcd) = (rig::rabbitmq(), rig::etcd());
        let connection = Connection::connect(&rabbit.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("throughput");
        fs::create_dir_all(&folder).unwrap();
        let bodies = include_str!("../config/notifications.jsonl").lines().map(|l| l.as_bytes().to_vec()).collect();
        // The connection lives as long as its channel's last user: the process.
        std::mem::forget(connection);
        Bench { rabbit, etcd, channel, bodies, folder }
    }

    /// A fresh main queue, as oslo.messaging declares it, with the notifications in it.
    async fn fill(&self, topic: &str, notifications: impl Iterator<Item = Vec<u8>>) {
        let queue = format!("{topic}.info");
        self.channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        self.channel
            .exchange_declare(
                "nova".into(),
                ExchangeKind::Topic,
                ExchangeDeclareOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        self.channel
            .queue_declare(queue.as_str().into(), QueueDeclareOptions::default(), FieldTable::default())
            .await
            .unwrap();
        self.channel
            .queue_bind(
                queue.as_str().into(),
                "nova".into(),
                queue.as_str().into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        let mut confirms = Vec::new();
        for body in notifications {
            let properties =
                BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
            let sent = self.channel.basic_publish(
                "nova".into(),
                queue.as_str().into(),
                BasicPublishOptions::default(),
                &body,
                properties,
            );
            confirms.push(sent.await.unwrap());
        }
        for confirm in confirms {
            confirm.await.unwrap();
        }
    }

    /// The mix, over and over, no two the same.
    fn mix(&self, count: usize) -> impl Iterator<Item = Vec<u8>> {
        let rounds = self.bodies.iter().cycle().take(count).enumerate();
        rounds.map(|(n, body)| distinct(body, n, n / self.bodies.len(), &["message_id"]))
    }

    /// Messages ready in a queue.
    async fn ready(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
    }

    /// A bare lapin loop: consume, ack every hundredth with `multiple`.
    async fn bare(&self) -> Drain {
        self.fill("bare", self.mix(NOTIFICATIONS)).await;
        let cpu = cpu_seconds(std::process::id());
        let began = Instant::now();
        let connection = Connection::connect(&self.rabbit.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.basic_qos(1_000, BasicQosOptions::default()).await.unwrap();
        let mut consumer = channel
            .basic_consume("bare.info".into(), "bench".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .unwrap();
        let mut first = None;
        for n in 1..=NOTIFICATIONS {
            let delivery = consumer.next().await.unwrap().unwrap();
            first.get_or_insert_with(Instant::now);
            if n % 100 == 0 {
                channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await.unwrap();
            }
        }
        let first = first.unwrap();
        let rate = NOTIFICATIONS as f64 / first.elapsed().as_secs_f64();
        let cpu = cpu_seconds(std::process::id()) - cpu;
        connection.close(200, "done".into()).await.unwrap();
        Drain {
            rate,
            cpu_per_thousand: cpu / (NOTIFICATIONS as f64 / 1e3),
            rss_mib: peak_mib(std::process::id()),
            first_ms: (first - began).as_secs_f64() * 1e3,
        }
    }

    /// The agent, as a process of its own, on the same filled queue.
    async fn agent(&self, mode: Mode) -> Drain {
        let topic = format!("bench{}", mode.name());
        self.fill(&topic, self.mix(NOTIFICATIONS)).await;
        let queue = format!("{topic}.info");
        let config = self.configure(&topic, mode);
        let began = Instant::now();
        let agent = Agent::start(&config);
        while self.ready(&queue).await as usize == NOTIFICATIONS {
            assert!(began.elapsed() < PATIENCE, "the agent takes nothing");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let first = Instant::now();
        // Every notification but the polled samples makes one event; samples go their own way, of which the end is when
        // no more come.
        let due = self.bodies.iter().cycle().take(NOTIFICATIONS).filter(|body| makes_an_event(body)).count();
        let file = |kind| Lines::open(&self.folder.join(format!("{topic}-{kind}.json")));
        let (mut events, mut samples) = (file("events"), file("samples"));
        let (mut seen, mut last) = ((0, 0), Instant::now());
        while seen.0 < due || last.elapsed() < QUIET {
            assert!(began.elapsed() < PATIENCE, "{} of {due} events after {PATIENCE:?}", seen.0);
            let now = (events.count(), samples.count());
            if now != seen {
                (seen, last) = (now, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let rate = NOTIFICATIONS as f64 / (last - first).as_secs_f64();
        let pid = agent.0.id();
        Drain {
            rate,
            cpu_per_thousand: cpu_seconds(pid) / (NOTIFICATIONS as f64 / 1e3),
            rss_mib: peak_mib(pid),
            first_ms: (first - began).as_secs_f64() * 1e3,
        }
    }

    /// How long a new owner of a queue needs until it has the state of many resources.
    async fn restore(&self) {
        let topic = "restore";
        let polled: Vec<&Vec<u8>> = self.bodies.iter().filter(|body| !makes_an_event(body)).collect();
        let each = polled.iter().cycle().take(RESTORED_KEYS).enumerate();
        self.fill(topic, each.map(|(n, body)| distinct(body, n, 0, &["message_id", "resource_id"]))).await;
        let config = self.configure(topic, Mode::Rated);
        let written = fs::read_to_string(&config).unwrap();
        let one = written
            .replace("log_level = warn", "log_level = info")
            .replace("[notification]\n", "[notification]\npipeline_processing_queues = 1\n");
        fs::write(&config, one).unwrap();
        let began = Instant::now();
        for started in 0..2 {
            let path = self.folder.join("restore.log");
            let agent = Agent::start_logging(&config, fs::File::create(&path).unwrap());
            let (mut log, mut last) = (Lines::open(&path), Instant::now());
            let mut samples = Lines::open(&self.folder.join("restore-samples.json"));
            // The first has work to do until its stream grows no more; the second only restores.
            let mut seen = (log.count(), samples.count());
            while last.elapsed() < 4 * QUIET || self.ready("restore.info").await > 0 {
                assert!(began.elapsed() < PATIENCE, "the state is not restored");
                let now = (log.count(), samples.count());
                if now != seen {
                    (seen, last) = (now, Instant::now());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(agent);
            if started == 1 {
                let log = fs::read_to_string(&path).unwrap();
                let restored = log.lines().filter(|line| line.contains("state.restored"));
                restored.for_each(|line| println!("restored: {line}"));
            }
        }
    }

    /// From handing a notification to the broker to its event's line in the file.
    async fn latency(&self, mode: Mode) -> Vec<Duration> {
        let topic = format!("latency{mode:?}").to_lowercase();
        self.fill(&topic, self.mix(1)).await;
        let agent = Agent::start(&self.configure(&topic, mode));
        let mut lines = Lines::open(&self.folder.join(format!("{topic}-events.json")));
        let began = Instant::now();
        while lines.count() < 1 {
            assert!(began.elapsed() < PATIENCE, "the agent publishes nothing");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut latencies = Vec::new();
        let bodies: Vec<&Vec<u8>> = self.bodies.iter().filter(|body| makes_an_event(body)).collect();
        let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / LATENCY_RATE));
        for n in 0..(LATENCY_RATE * LATENCY_SECONDS) as usize {
            beat.tick().await;
            let sent = Instant::now();
            let body = bodies[n % bodies.len()];
            let key = format!("{topic}.info");
            let properties =
                BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
            self.channel
                .basic_publish("nova".into(), key.as_str().into(), BasicPublishOptions::default(), body, properties)
                .await
                .unwrap();
            while lines.count() < n + 2 {
                assert!(sent.elapsed() < PATIENCE, "one notification got lost");
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            latencies.push(sent.elapsed());
        }
        drop(agent);
        latencies
    }

    fn configure(&self, topic: &str, mode: Mode) -> PathBuf {
        let folder = self.folder.display();
        for name in ["samples", "events"] {
            let _absent = fs::remove_file(self.folder.join(format!("{topic}-{name}.json")));
        }
        let config = self.folder.join(format!("{topic}.conf"));
        let coordination = match mode {
            Mode::Bare | Mode::Direct => String::new(),
            Mode::Partitioned | Mode::Rated => {
                format!("workload_partitioning = true\n[coordination]\nbackend_url = etcd3://{}\n", self.etcd.endpoint)
            }
        };
        let written = format!(
            "[DEFAULT]\ntransport_url = rabbit://guest:guest@127.0.0.1:{}/\npipeline_cfg_file = {folder}/{topic}-pipeline.yaml\n\
             event_pipeline_cfg_file = {folder}/{topic}-event_pipeline.yaml\n[oslo_messaging_notifications]\ntopics = {topic}\n\
             [nephoscope]\ngroup = {topic}-{}\nlisten =\nlog_level = warn\n[notification]\n{coordination}",
            self.rabbit.port,
            std::process::id(),
        );
        fs::write(&config, written).unwrap();
        for (kind, key, file) in [("meter", "meters", "pipeline"), ("event", "events", "event_pipeline")] {
            let lines = if kind == "meter" { "samples" } else { "events" };
            let transformers = if mode == Mode::Rated && kind == "meter" { RATES } else { "" };
            let text = format!(
                "sources: [{{name: {kind}_source, {key}: ['*'], sinks: [{kind}_sink]}}]\n\
                 sinks: [{{name: {kind}_sink, {transformers}publishers: ['file://{folder}/{topic}-{lines}.json?json']}}]\n"
            );
            fs::write(self.folder.join(format!("{topic}-{file}.yaml")), text).unwrap();
        }
        config
    }
}

/// A rate of every meter of every resource.
const RATES: &str = "transformers: [{name: rate_of_change, parameters: {source: {map_from: {name: '(.*)'}}, \
                     target: {map_to: {name: '\\1.rate', type: gauge}}}}], ";

/// The n-th notification, of a later round through the mix: ids of its own, and a minute later for each round.
fn distinct(body: &[u8], n: usize, round: usize, ids: &[&str]) -> Vec<u8> {
    let mut text = String::from_utf8(body.to_vec()).unwrap();
    for before in ["T", " "] {
        let later = format!("{before}{:02}:{:02}:", 10 + round / 60 % 12, round % 60);
        text = text.replace(&format!("{before}10:00:"), &later);
    }
    for id in ids {
        let mut parts = text.split(id);
        let mut distinct = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (mark, value) = part.split_at(part.find(|c: char| c.is_ascii_alphanumeric()).unwrap_or(part.len()));
            // The last eight digits of a UUID.
            match value.get(..36).filter(|uuid| uuid.matches('-').count() == 4) {
                Some(uuid) => {
                    let _written = write!(distinct, "{id}{mark}{}{n:08x}{}", &uuid[..28], &value[36..]);
                }
                None => {
                    let _written = write!(distinct, "{id}{part}");
                }
            }
        }
        text = distinct;
    }
    text.into_bytes()
}

/// Whether the event endpoint looks at a notification.
fn makes_an_event(body: &[u8]) -> bool {
    envelope::open(body).unwrap().priority().gives_events()
}

/// An agent's process; ended when dropped.
struct Agent(Child);

impl Agent {
    fn start(config: &Path) -> Self {
        Agent::start_logging(config, Stdio::inherit())
    }

    fn start_logging(config: &Path, log: impl Into<Stdio>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
        Agent(
            command
                .args(["run", "--config-file"])
                .arg(config)
                .stdin(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("the agent starts"),
        )
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = Command::new("kill").arg(self.0.id().to_string()).status();
        let _status = self.0.wait();
    }
}

/// Counts the lines of a growing file without reading any of it twice.
struct Lines {
    path: PathBuf,
    read: u64,
    count: usize,
}

impl Lines {
    fn open(path: &Path) -> Self {
        Lines { path: path.to_owned(), read: 0, count: 0 }
    }

    fn count(&mut self) -> usize {
        use std::io::{Read, Seek, SeekFrom};
        let Ok(mut file) = fs::File::open(&self.path) else { return 0 };
        let mut new = Vec::new();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        file.read_to_end(&mut new).unwrap();
        self.read += new.len() as u64;
        self.count += new.split(|b| *b == b'\n').count() - 1;
        self.count
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
