//! What each publisher costs beside `file`, in the same run: `cargo bench --bench publishers`, with names after `--` those alone.
//!
//! Batches of 500 samples, as a backlog gives them, go to a process that takes everything. Printed, never gated on: absolute figures depend on
//! the machine. CPU is that of this process, so that of the publisher; a request is one that the receiver saw.
//!
//! Gnocchi also goes to a real one, and beside it stands how many requests Ceilometer's own publisher makes for the same samples, which it
//! gets notification by notification.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench fails by panicking")]

mod process;
#[path = "../tests/rig/mod.rs"]
mod rig;
#[path = "publishers/sink.rs"]
mod sink;

use nephoscope::agent::wiring;
use nephoscope::config;
use nephoscope::model::{Dict, Sample, SampleType, Value};
use nephoscope::observe::Metrics;
use nephoscope::publish::{Batch, Context, Kind, build};
use process::{agent_program, cpu_seconds, peak_mib};
use sink::Sink;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Samples in a batch.
const BATCH: usize = 500;
/// Resources that the samples are of.
const RESOURCES: usize = 100;
/// How long each is measured.
const LASTS: Duration = Duration::from_secs(3);
/// Notifications a second for an agent whose memory is looked at.
const RATE: u32 = 200;
/// Batches for a real Gnocchi, which is slower by orders.
const REAL_BATCHES: usize = 20;
/// Samples that the original is given, one notification each.
const ORIGINALS: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == sink::MODE) {
        return sink::run(arguments.get(1).cloned());
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| *wanted == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Sink::start(None);
        let (context, rabbit) = context(&format!("http://127.0.0.1:{}", sink.http));
        let memory = peak_mib(std::process::id());
        println!(
            "batches of {BATCH} samples of {RESOURCES} resources, {} cores",
            std::thread::available_parallelism().map_or(0, usize::from)
        );
        println!(
            "{:<26} {:>10} {:>9} {:>15} {:>18}",
            "publisher", "samples/s", "of file", "CPU us/sample", "requests/1,000"
        );
        let file = format!("file://{}/out?json&max_bytes=100000000&backup_count=1", folder.path().display());
        let mut of_file = None;
        for (name, url) in urls(&file, &sink) {
            if name != "file" && !wants(name) {
                continue;
            }
            let measured = measure(&url, &context, &mut sink).await;
            let ratio = measured.rate / *of_file.get_or_insert(measured.rate);
            let requests = if measured.requests > 0.0 { format!("{:.1}", measured.requests) } else { "-".to_owned() };
            println!("{name:<26} {:>10.0} {ratio:>9.2} {:>15.1} {requests:>18}", measured.rate, measured.cpu_us);
        }
        println!(
            "memory of all of them together: {:.1} MiB more than before the first",
            peak_mib(std::process::id()) - memory
        );
        drop(rabbit);
        if wants("memory") {
            memory_of_ten(&sink, &file, &folder).await;
        }
        if wants("gnocchi") {
            real_gnocchi().await;
            original(&mut sink);
        }
    });
}

/// Every publisher of samples, the one that all are compared with first.
fn urls(file: &str, sink: &Sink) -> Vec<(&'static str, String)> {
    let http = format!("127.0.0.1:{}", sink.http);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    vec![
        ("file", file.to_owned()),
        ("http", format!("http://{http}/in")),
        ("notifier", "notifier://?topic=bench".to_owned()),
        ("tcp", format!("tcp://127.0.0.1:{}", sink.tcp)),
        ("udp", format!("udp://127.0.0.1:{}", sink.udp)),
        ("gnocchi", "gnocchi://?enable_filter_project=false".to_owned()),
        ("zaqar", "zaqar://?queue=bench".to_owned()),
        ("prometheus", format!("prometheus://{http}/metrics/job/bench/instance/a")),
        ("prometheus-scrape", format!("prometheus-scrape://127.0.0.1:{free}/metrics")),
        ("prometheus-remote-write", format!("prometheus-remote-write://{http}/api/v1/write")),
        ("opentelemetryhttp", format!("opentelemetryhttp://{http}/v1/metrics")),
        ("otlp", format!("otlp://127.0.0.1:{}", sink.grpc)),
        ("otlp+http", format!("otlp+http://{http}/v1/metrics")),
    ]
}

/// Gnocchi at this address, and the shared RabbitMQ.
fn context(gnocchi: &str) -> (Context, String) {
    let rabbit = rig::rabbitmq();
    let url = rabbit.vhost("bench").replace("amqp://", "rabbit://");
    let text = format!(
        "[DEFAULT]\ntransport_url = {url}\n[service_credentials]\nauth_type = gnocchi-basic\nuser = admin\nendpoint = {gnocchi}\n"
    );
    let settings = config::load_text("ceilometer.conf", &text).0.unwrap();
    (wiring::publish_context(&settings, &Metrics::default()), url)
}

struct Measured {
    /// Samples per second.
    rate: f64,
    /// Of this process, per sample.
    cpu_us: f64,
    /// Per thousand samples.
    requests: f64,
}

async fn measure(url: &str, context: &Context, sink: &mut Sink) -> Measured {
    let publisher = build(url, Kind::Samples, context).unwrap_or_else(|error| panic!("{error}"));
    // Connections are made, resources and policies are known.
    publisher.publish(&batch(0)).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    let batches: Vec<Batch> = (1..=40).map(batch).collect();
    let (requests, cpu, began, mut count) = (sink.requests(), cpu_seconds(std::process::id()), Instant::now(), 0);
    while began.elapsed() < LASTS {
        publisher.publish(&batches[count % batches.len()]).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        count += 1;
    }
    let samples = (count * BATCH) as f64;
    let measured = Measured {
        rate: samples / began.elapsed().as_secs_f64(),
        cpu_us: (cpu_seconds(std::process::id()) - cpu) / samples * 1e6,
        requests: (sink.requests() - requests) as f64 / samples * 1e3,
    };
    publisher.close().await;
    measured
}

/// What an agent takes with one publisher, and with ten of which one is away.
async fn memory_of_ten(sink: &Sink, file: &str, folder: &tempfile::TempDir) {
    let seconds = std::env::var("NEPHOSCOPE_BENCH_AWAY_SECONDS").map_or(30, |text| text.parse().unwrap());
    let urls = urls(file, sink);
    let away = "http://127.0.0.1:1/away?max_retries=0";
    let others = urls
        .iter()
        .filter(|(name, _)| !matches!(*name, "file" | "notifier" | "prometheus-scrape" | "otlp+http" | "zaqar"));
    let ten: Vec<&str> = [file, away].into_iter().chain(others.map(|(_, url)| url.as_str())).collect();
    assert_eq!(ten.len(), 10);
    let one = agent_memory(&[file], sink.http, seconds, folder).await;
    let all = agent_memory(&ten, sink.http, seconds, folder).await;
    println!(
        "an agent at {RATE} notifications/s for {seconds} s: {one:.1} MiB with one publisher, {all:.1} MiB with ten of which one is away"
    );
}

/// The largest resident size of an agent with these publishers of samples.
async fn agent_memory(publishers: &[&str], gnocchi: u16, seconds: u64, folder: &tempfile::TempDir) -> f64 {
    let vhost = rig::rabbitmq().vhost("memory");
    let quoted: Vec<String> = publishers.iter().map(|url| format!("'{url}'")).collect();
    let pipeline = format!(
        "sources: [{{name: all, meters: ['*'], sinks: [s]}}]\nsinks: [{{name: s, publishers: [{}]}}]\n",
        quoted.join(", ")
    );
    let conf = format!(
        "[DEFAULT]\ntransport_url = {}\n[notification]\npipelines = meter\n[service_credentials]\nauth_type = gnocchi-basic\nuser = admin\n\
         endpoint = http://127.0.0.1:{gnocchi}\n[nephoscope]\nlisten = 127.0.0.1:0\n",
        vhost.replace("amqp://", "rabbit://")
    );
    fs::write(folder.path().join("pipeline.yaml"), pipeline).unwrap();
    let file = folder.path().join("ceilometer.conf");
    fs::write(&file, conf).unwrap();
    let log = fs::File::create(folder.path().join("agent.log")).unwrap();
    let mut agent = Command::new(agent_program());
    let mut agent = agent.args(["run", "--config-file"]).arg(&file).stderr(log).spawn().unwrap();
    send(&vhost, seconds).await;
    let peak = peak_mib(agent.id());
    agent.kill().unwrap();
    agent.wait().unwrap();
    peak
}

/// The bundled notifications again and again, at a steady rate.
async fn send(url: &str, seconds: u64) {
    use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let main = "notifications.info";
    channel
        .queue_declare(main.into(), QueueDeclareOptions::default(), lapin::types::FieldTable::default())
        .await
        .unwrap();
    let bodies: Vec<&str> = include_str!("../config/notifications.jsonl").lines().collect();
    let (began, mut ticks) = (Instant::now(), tokio::time::interval(Duration::from_secs(1) / RATE));
    for n in 0.. {
        ticks.tick().await;
        if began.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        let body = bodies[n % bodies.len()].as_bytes();
        let properties = lapin::BasicProperties::default();
        let sent =
            channel.basic_publish("".into(), main.into(), BasicPublishOptions::default(), body, properties).await;
        sent.unwrap();
    }
}

/// A real Gnocchi behind a process that counts, from nothing: resources are created and attributes are sent.
async fn real_gnocchi() {
    let Some(gnocchi) = tokio::task::block_in_place(|| rig::own_gnocchi(rig::Metricd::No)) else { return };
    let mut counting = Sink::start(Some(&gnocchi.url));
    let endpoint = format!("http://127.0.0.1:{}", counting.http);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ceilometer.conf");
    let text = format!("[service_credentials]\nauth_type = gnocchi-basic\nuser = admin\nendpoint = {endpoint}\n");
    fs::write(&file, text).unwrap();
    let done = Command::new(agent_program()).arg("gnocchi-setup").arg("--config-file").arg(&file).output();
    assert!(done.unwrap().status.success(), "gnocchi-setup failed");
    let (context, _) = context(&endpoint);
    let publisher = build("gnocchi://?enable_filter_project=false&timeout=60", Kind::Samples, &context);
    let publisher = publisher.unwrap_or_else(|error| panic!("{error}"));
    let (requests, cpu, began) = (counting.requests(), cpu_seconds(std::process::id()), Instant::now());
    for n in 0..REAL_BATCHES {
        publisher.publish(&batch(n)).await.unwrap_or_else(|error| panic!("{error}"));
    }
    let samples = (REAL_BATCHES * BATCH) as f64;
    println!(
        "a real Gnocchi, from nothing: {:.0} samples/s, {:.1} us CPU a sample, {:.1} requests for 1,000 samples (new resources and their attributes among them)",
        samples / began.elapsed().as_secs_f64(),
        (cpu_seconds(std::process::id()) - cpu) / samples * 1e6,
        (counting.requests() - requests) as f64 / samples * 1e3
    );
}

/// Ceilometer's own publisher, one notification a call, as its agent calls it.
fn original(sink: &mut Sink) {
    let before = sink.requests();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/publishers/original.py");
    let address = format!("http://127.0.0.1:{}", sink.http);
    let done = Command::new("/usr/bin/python3")
        .args([script, &address, &ORIGINALS.to_string(), &RESOURCES.to_string()])
        .output();
    match done {
        Ok(done) if done.status.success() => {
            // Its log goes to standard output too.
            let out = String::from_utf8_lossy(&done.stdout).into_owned();
            let seconds: f64 = out.lines().last().unwrap().parse().unwrap();
            println!(
                "the original, for the same samples, a notification a call: {:.0} samples/s, {:.0} requests for 1,000 samples",
                ORIGINALS as f64 / seconds,
                (sink.requests() - before) as f64 / ORIGINALS as f64 * 1e3
            );
        }
        Ok(done) => println!(
            "skipped: the original: {}",
            String::from_utf8_lossy(&done.stderr).lines().last().unwrap_or_default()
        ),
        Err(error) => println!("skipped: the original: {error}"),
    }
}

/// The `n`th sample of each resource's meters.
fn batch(n: usize) -> Batch {
    let sample = |at: usize| {
        let (resource, meter) = (at % RESOURCES, at / RESOURCES);
        let seconds = n * 10 + meter;
        Sample {
            name: ["volume.size", "snapshot.size", "backup.size", "volume.backup.size", "volume.snapshot.size"][meter]
                .to_owned()
                .into(),
            kind: SampleType::Gauge,
            unit: "GB".into(),
            volume: Value::Int(i64::try_from(n * 7 + at).unwrap()),
            user_id: "f5133a4ad093c09ce3f2e952da3da430".into(),
            user_name: Value::Null,
            project_id: "24422850abc31525d567e2fd4bd0adcb".into(),
            project_name: Value::Null,
            resource_id: format!("8af60360-afd9-4dbb-a83a-{resource:012x}").into(),
            timestamp: format!("2026-03-01T{:02}:{:02}:{:02}", 10 + seconds / 3600, seconds / 60 % 60, seconds % 60)
                .into(),
            resource_metadata: Dict::from_iter([
                ("display_name", Value::from(format!("volume-{resource}"))),
                ("volume_type", "lvm".into()),
                ("host", "cmp-01.rack-a.cloud.example.org".into()),
                ("status", "available".into()),
                ("size", Value::Int(20)),
            ])
            .into(),
            source: "openstack".into(),
            id: format!("b3a1c9f0-0000-4000-8000-{:012x}", n * BATCH + at).into(),
            monotonic_time: Value::Null,
        }
    };
    Batch::Samples((0..BATCH).map(sample).collect())
}
