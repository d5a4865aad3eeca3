//! What goes to Prometheus, read by the field's own programs: `promtool check metrics` and a real Pushgateway.
//!
//! promtool ends with 3 where the text is right and a name is not to its taste (a counter without `_total`, no help):
//! names and types are those of the meters.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nephoscope::model::{Dict, Sample, SampleType, Value};
use nephoscope::publish::{Batch, Context, Kind, Publisher, build};

/// Ids that are something else in a path, a label or a line.
const IDS: [&str; 20] = [
    "73db6891-d36e-c114-c15d-9816ca5a2289",
    "a/b",
    "/",
    "..",
    ".",
    "",
    "a%2fb",
    "with space",
    "quo\"te",
    "back\\slash",
    "tür€😀",
    "a?b=c",
    "a#b",
    "a+b",
    "tab\there",
    "lf\nin id",
    "nul\0",
    "\u{2028}sep",
    "@base64",
    "a,b=\"c\"} 1\ncpu{x=\"",
];

fn sample(meter: &str, kind: SampleType, volume: Value, id: &str) -> Sample {
    Sample {
        name: meter.to_owned(),
        kind,
        unit: "ns".into(),
        volume,
        user_id: id.into(),
        user_name: Value::Null,
        project_id: Value::Null,
        project_name: Value::Null,
        resource_id: id.into(),
        timestamp: "2026-03-01T12:00:00+00:00".to_owned(),
        resource_metadata: Dict::new(),
        source: "openstack".to_owned(),
        id: "1".to_owned(),
        monotonic_time: Value::Null,
    }
}

/// Samples of every type with odd names and volumes for one id.
fn of(id: &str) -> Vec<Sample> {
    let gauge = |meter: &str, volume| sample(meter, SampleType::Gauge, volume, id);
    vec![
        sample("cpu", SampleType::Cumulative, Value::Int(1), id),
        sample("network.incoming.bytes.delta", SampleType::Delta, Value::Float(0.5), id),
        gauge("9lives", Value::Float(1.5e-7)),
        gauge("tür.meter with space/x", Value::Float(f64::NAN)),
        gauge("a:b", Value::Float(f64::INFINITY)),
        gauge("a.b", Value::Float(1e22)),
        gauge("a-b", Value::from("12")),
        gauge("", Value::Bool(true)),
        sample("mixed", SampleType::Delta, Value::Int(1), id),
        // In one push the type that is known counts.
        Sample { user_id: "another".into(), ..gauge("mixed", Value::Int(2)) },
    ]
}

/// What promtool says of a page where it cannot read it.
fn promtool(page: &str) -> Result<(), String> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool: {error}; run `make deps` (apt-get install prometheus)"));
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    match output.status.code() {
        Some(0 | 3) => Ok(()),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok(body.to_owned())
}

/// A port that nobody has.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A real Pushgateway, ended with the test.
struct Pushgateway {
    process: Child,
    port: u16,
}

impl Pushgateway {
    #[expect(
        clippy::disallowed_methods,
        reason = "a real program starts by the real clock, and nothing else runs here yet"
    )]
    fn start() -> Pushgateway {
        let port = free_port();
        let process = Command::new("prometheus-pushgateway")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}; run `make deps` (apt-get install prometheus-pushgateway)"));
        let gateway = Pushgateway { process, port };
        let until = Instant::now() + Duration::from_secs(20);
        while get(port, "/-/ready").is_err() {
            assert!(Instant::now() < until, "the Pushgateway is not ready after 20 s");
            std::thread::sleep(Duration::from_millis(20));
        }
        gateway
    }

    fn publisher(&self, path: &str) -> Arc<dyn Publisher> {
        let url = format!("prometheus://127.0.0.1:{}{path}", self.port);
        build(&url, Kind::Samples, &Context::default()).unwrap()
    }

    /// The value of `label` in each group, sorted.
    fn groups(&self, label: &str) -> Vec<String> {
        let text = get(self.port, "/api/v1/metrics").unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        let label = |group: &serde_json::Value| group["labels"][label].as_str().unwrap().to_owned();
        let mut values: Vec<String> = answer["data"].as_array().unwrap().iter().map(label).collect();
        values.sort();
        values
    }
}

impl Drop for Pushgateway {
    fn drop(&mut self) {
        let _killed = self.process.kill();
        let _waited = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushgateway_takes_every_id_as_a_group_of_its_own() {
    let gateway = Pushgateway::start();
    let publisher = gateway.publisher("/metrics/job/ceilometer?q=1");
    assert_eq!(publisher.reach().await, Ok(()));
    let samples = IDS.iter().map(|id| sample("cpu", SampleType::Gauge, Value::Int(1), id)).collect();
    publisher.publish(&Batch::Samples(samples)).await.unwrap();
    let mut ids = IDS.to_vec();
    ids.sort_unstable();
    assert_eq!(gateway.groups("resource_id"), ids);
    promtool(&get(gateway.port, "/metrics").unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushgateway_takes_every_name_type_and_volume() {
    let gateway = Pushgateway::start();
    let samples: Vec<Sample> = IDS.iter().flat_map(|id| of(id)).collect();
    gateway.publisher("/metrics/job/a").publish(&Batch::Samples(samples.clone())).await.unwrap();
    gateway.publisher("/metrics/job/b/instance/x").publish(&Batch::Samples(samples)).await.unwrap();
    let page = get(gateway.port, "/metrics").unwrap();
    promtool(&page).unwrap();
    let of_instance = page.lines().filter(|line| line.starts_with("a_b{instance=\"x\"")).count();
    assert_eq!(of_instance, IDS.len(), "of two meters with one name the later one counts");
    assert!(
        page.contains("a_b{instance=\"x\",job=\"b\",project_id=\"None\",resource_id=\"a/b\",user_id=\"a/b\"} 12\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metric_that_a_pushgateway_knows_with_another_type_is_refused_alone() {
    let gateway = Pushgateway::start();
    let publisher = gateway.publisher("/metrics/job/ceilometer");
    let gauge = sample("a.b", SampleType::Gauge, Value::Int(1), "r");
    publisher.publish(&Batch::Samples(vec![gauge])).await.unwrap();
    let samples = vec![
        sample("cpu", SampleType::Gauge, Value::Int(1), "s"),
        sample("a-b", SampleType::Cumulative, Value::Int(1), "s"),
        sample("memory", SampleType::Gauge, Value::Int(1), "s"),
    ];
    let error = publisher.publish(&Batch::Samples(samples)).await.unwrap_err().to_string();
    assert!(error.starts_with("the destination refuses 1 records: 400 Bad Request: "), "{error}");
    let page = get(gateway.port, "/metrics").unwrap();
    assert!(page.contains("resource_id=\"s\"") && page.contains("memory{"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_to_scrape_has_every_id_name_type_and_volume() {
    let port = free_port();
    let url = format!("prometheus-scrape://127.0.0.1:{port}");
    let publisher = build(&url, Kind::Samples, &Context::default()).unwrap();
    let timestamp = chrono::Utc::now().to_rfc3339();
    let samples = IDS.iter().flat_map(|id| of(id)).map(|sample| Sample { timestamp: timestamp.clone(), ..sample });
    publisher.publish(&Batch::Samples(samples.collect())).await.unwrap();
    let page = tokio::task::spawn_blocking(move || get(port, "/metrics")).await.unwrap().unwrap();
    promtool(&page).unwrap();
    assert_eq!(page.lines().filter(|line| line.starts_with("cpu{")).count(), IDS.len());
    assert_eq!(page.lines().filter(|line| line.starts_with("mixed{")).count(), 2 * IDS.len());
    assert!(page.contains("# TYPE mixed gauge\n") && page.contains("# TYPE cpu counter\n"), "{page}");
}
