//! What goes to Prometheus.
//!
//! promtool ends with 3 where the text is right and a name is not to its taste (a counter without `_total`, no help):
//! names and types are those of the meters. Where Debian's packages are not installed, the tests are skipped with the reason.

use nephoscope::model::{Sample, SampleType, Value, time};
use nephoscope::publish::{Batch, Context, Kind, Partly, PublishError, Publisher, build};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::records::{self, ODD, odd};
use crate::rig::{own_prometheus, own_pushgateway, prometheus};

fn sample(meter: &str, kind: SampleType, volume: Value, id: &str) -> Sample {
    let plain = records::sample(id, "1");
    Sample { name: meter.into(), kind, volume, user_id: id.into(), project_id: Value::Null, ..plain }
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

async fn get(url: &str) -> String {
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

/// What an API of Prometheus or Pushgateway answers, under `data`.
async fn data(url: &str) -> serde_json::Value {
    let mut answer: serde_json::Value = serde_json::from_str(&get(url).await).unwrap();
    assert_eq!(answer["status"], "success", "{answer}");
    answer["data"].take()
}

/// The URL of a publisher, where a server is.
fn url(scheme: &str, server: &str, rest: &str) -> String {
    server.replace("http://", &format!("{scheme}://")) + rest
}

fn publisher(url: &str) -> Arc<dyn Publisher> {
    // reqwest of the tests needs what publishers have.
    drop(rustls::crypto::ring::default_provider().install_default());
    build(url, Kind::Samples, &Context::default()).unwrap()
}

/// The value of `label` in each of these, sorted.
fn labels(of: &serde_json::Value, label: impl Fn(&serde_json::Value) -> serde_json::Value) -> Vec<String> {
    let text = |one: &serde_json::Value| label(one).as_str().unwrap_or_default().to_owned();
    let mut values: Vec<String> = of.as_array().unwrap().iter().map(text).collect();
    values.sort();
    values
}

fn sorted(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Positions of what is refused.
fn refused(outcome: Result<(), PublishError>) -> Vec<usize> {
    causes(outcome).into_iter().map(|(record, _)| record).collect()
}

/// The same, each with the cause.
fn causes(outcome: Result<(), PublishError>) -> Vec<(usize, String)> {
    match outcome {
        Ok(()) => Vec::new(),
        Err(PublishError::Partly(Partly { refused, left: None })) => {
            refused.into_iter().map(|one| (one.record, one.cause)).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_pushgateway_takes_every_id_as_a_group_of_its_own() {
    let Some(gateway) = own_pushgateway() else { return };
    let publisher = publisher(&url("prometheus", &gateway.server.url, "/metrics/job/ceilometer?q=1"));
    assert_eq!(publisher.reach().await, Ok(()));
    let ids: Vec<String> = odd().into_iter().chain([String::new()]).collect();
    let samples = ids.iter().map(|id| sample("cpu", SampleType::Gauge, Value::Int(1), id)).collect();
    let refused = refused(publisher.publish(&Batch::Samples(samples)).await);
    let too_long = |n: &usize| ids[*n].len() > 16 * 1024;
    assert_eq!(refused, (0..ids.len()).filter(too_long).collect::<Vec<_>>(), "no path has room for these");
    let groups = data(&format!("{}/api/v1/metrics", gateway.server.url)).await;
    let groups = labels(&groups, |group| group["labels"]["resource_id"].clone());
    assert_eq!(groups, sorted((0..ids.len()).filter(|n| !too_long(n)).map(|n| ids[n].clone())));
    promtool(&get(&format!("{}/metrics", gateway.server.url)).await).unwrap();
}

#[tokio::test]
async fn a_pushgateway_takes_every_name_type_and_volume() {
    let Some(gateway) = own_pushgateway() else { return };
    let gateway = &gateway.server.url;
    let samples: Vec<Sample> = ODD.iter().flat_map(|id| of(id)).collect();
    for path in ["/metrics/job/a", "/metrics/job/b/instance/x"] {
        publisher(&url("prometheus", gateway, path)).publish(&Batch::Samples(samples.clone())).await.unwrap();
    }
    let page = get(&format!("{gateway}/metrics")).await;
    promtool(&page).unwrap();
    let of_instance = page.lines().filter(|line| line.starts_with("a_b{instance=\"x\"")).count();
    assert_eq!(of_instance, ODD.len(), "of two meters with one name the later one counts");
    assert!(
        page.contains("a_b{instance=\"x\",job=\"b\",project_id=\"None\",resource_id=\"a/b\",user_id=\"a/b\"} 12\n")
    );
}

#[tokio::test]
async fn a_metric_that_a_pushgateway_knows_with_another_type_is_refused_alone() {
    let Some(gateway) = own_pushgateway() else { return };
    let publisher = publisher(&url("prometheus", &gateway.server.url, "/metrics/job/ceilometer"));
    let gauge = sample("a.b", SampleType::Gauge, Value::Int(1), "r");
    publisher.publish(&Batch::Samples(vec![gauge])).await.unwrap();
    let samples = vec![
        sample("cpu", SampleType::Gauge, Value::Int(1), "s"),
        sample("a-b", SampleType::Cumulative, Value::Int(1), "s"),
        sample("memory", SampleType::Gauge, Value::Int(1), "s"),
    ];
    let error = publisher.publish(&Batch::Samples(samples)).await.unwrap_err().to_string();
    assert!(error.starts_with("the destination refuses 1 records: 400 Bad Request: "), "{error}");
    let page = get(&format!("{}/metrics", gateway.server.url)).await;
    assert!(page.contains("resource_id=\"s\"") && page.contains("memory{"), "{page}");
}

/// Samples of this moment.
fn of_now(samples: impl Iterator<Item = Sample>) -> Batch {
    let timestamp = chrono::Utc::now().to_rfc3339();
    Batch::Samples(samples.map(|sample| Sample { timestamp: timestamp.clone().into(), ..sample }).collect())
}

/// A page, and its `127.0.0.1:PORT`.
fn page_to_scrape() -> (Arc<dyn Publisher>, String) {
    let place = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    (publisher(&format!("prometheus-scrape://{place}")), place)
}

#[tokio::test]
async fn a_page_to_scrape_has_every_id_name_type_and_volume() {
    let (publisher, place) = page_to_scrape();
    publisher.publish(&of_now(ODD.iter().flat_map(|id| of(id)))).await.unwrap();
    let page = get(&format!("http://{place}/metrics")).await;
    promtool(&page).unwrap();
    assert_eq!(page.lines().filter(|line| line.starts_with("cpu{")).count(), ODD.len());
    assert_eq!(page.lines().filter(|line| line.starts_with("mixed{")).count(), 2 * ODD.len());
    assert!(page.contains("# TYPE mixed gauge\n") && page.contains("# TYPE cpu counter\n"), "{page}");
}

/// A real Prometheus scrapes, every second; it knows each id as it was.
#[tokio::test]
async fn a_real_prometheus_scrapes_every_id() {
    let (publisher, place) = page_to_scrape();
    let ids = odd();
    let samples = ids.iter().map(|id| sample("cpu", SampleType::Gauge, Value::Int(1), id));
    let refused = refused(publisher.publish(&of_now(samples)).await);
    assert_eq!(refused, [ODD.len(), ODD.len() + 1], "the page takes 4 KiB of labels");
    let Some(prometheus) = own_prometheus(&format!("{place}/metrics")) else { return };
    let series = format!("{}/api/v1/series?match[]=cpu", prometheus.server.url);
    let mut found = data(&series).await;
    for _ in 0..100 {
        if !found.as_array().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        found = data(&series).await;
    }
    let found = labels(&found, |series| series["resource_id"].clone());
    assert_eq!(found, sorted(ODD.map(str::to_owned)));
}

#[tokio::test]
async fn a_real_prometheus_takes_remote_writes_of_every_id_and_volume() {
    let Some(prometheus) = prometheus() else { return };
    // The server is shared.
    let meter = format!("odd_{}", std::process::id());
    let publisher = publisher(&url("prometheus-remote-write", &prometheus.url, ""));
    let volumes = [Value::Int(1), Value::Float(f64::NAN), Value::Float(f64::INFINITY), Value::Float(-1e300)];
    let ids = odd();
    let volume = |n: usize| volumes[n % volumes.len()].clone();
    let samples = ids.iter().enumerate().map(|(n, id)| sample(&meter, SampleType::Gauge, volume(n), id));
    publisher.publish(&of_now(samples)).await.unwrap();
    let found = data(&format!("{}/api/v1/query?query={meter}", prometheus.url)).await;
    let found = &found["result"];
    assert_eq!(labels(found, |series| series["metric"]["resource_id"].clone()), sorted(ids.clone()));
    for series in found.as_array().unwrap() {
        let n = ids.iter().position(|id| *id == series["metric"]["resource_id"]).unwrap();
        let value: f64 = series["value"][1].as_str().unwrap().parse().unwrap();
        let expected = match volume(n) {
            Value::Float(float) => float,
            _ => 1.0,
        };
        assert!(value.to_bits() == expected.to_bits() || value.is_nan() && expected.is_nan(), "{series}");
    }
}

#[tokio::test]
async fn a_real_prometheus_takes_what_it_can_and_the_others_are_known() {
    let Some(prometheus) = own_prometheus("") else { return };
    let server = &prometheus.server.url;
    let resource = "it's \"r\"\n";
    let now = chrono::Utc::now();
    let at = |seconds: i64, volume: f64| Sample {
        timestamp: time::isoformat(&(now + chrono::Duration::seconds(seconds - 60)).fixed_offset()).into(),
        ..sample("disk.read-bytes", SampleType::Gauge, Value::Float(volume), resource)
    };
    // The values of the one series, by time.
    let values = async || {
        let found = data(&format!("{server}/api/v1/query?query=disk_read_bytes[1h]")).await;
        let found = found["result"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["metric"]["resource_id"], resource);
        let values = found[0]["values"].as_array().unwrap();
        values.iter().map(|value| value[1].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let publisher = publisher(&url("prometheus-remote-write", server, ""));
    // Version 2.0 is answered well by one that does not know it: nothing may be lost by that.
    publisher.publish(&Batch::Samples(vec![at(20, 2.0), at(10, 1.0)])).await.unwrap();
    assert_eq!(values().await, ["1", "2"]);
    // The same again, and another value for the same moment.
    publisher.publish(&Batch::Samples(vec![at(20, 2.0)])).await.unwrap();
    publisher.publish(&Batch::Samples(vec![at(20, 7.0), at(30, f64::INFINITY)])).await.unwrap();
    assert_eq!(values().await, ["1", "2", "+Inf"]);
    // One that is late among others.
    let late = causes(publisher.publish(&Batch::Samples(vec![at(40, 4.0), at(5, 0.5), at(50, f64::NAN)])).await);
    let [(1, cause)] = &late[..] else { panic!("{late:?}") };
    assert!(cause.contains("out of order"), "{cause}");
    assert_eq!(values().await, ["1", "2", "+Inf", "4", "NaN"]);
}
