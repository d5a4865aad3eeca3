//! Against a real Prometheus, where `prometheus` is installed.

use serde_json::Value as Json;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::model::{Sample, time};
use crate::publish::record::tests::sample;
use crate::publish::{Batch, Context, Kind, Partly, PublishError, build};

/// The longest that Prometheus takes to start.
const START_MAX: Duration = Duration::from_mins(1);

struct Prometheus {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// Nothing where it is not installed.
    async fn start() -> Option<Prometheus> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("prometheus.yml"), "global: {}\n").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.enable-remote-write-receiver"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let prometheus = Prometheus { process, port, _folder: folder };
        let started = Instant::now();
        while prometheus.get("/-/ready").await.is_none() {
            assert!(started.elapsed() < START_MAX, "prometheus does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(prometheus)
    }

    async fn get(&self, path: &str) -> Option<String> {
        let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", self.port)).await.ok()?;
        if answer.status().is_success() { answer.text().await.ok() } else { None }
    }

    /// The values of the one series of this name, by time.
    async fn values(&self, name: &str) -> Vec<String> {
        let answer = self.get(&format!("/api/v1/query?query={name}[1h]")).await.unwrap();
        let answer: Json = serde_json::from_str(&answer).unwrap();
        let series = answer["data"]["result"].as_array().unwrap();
        assert_eq!(series.len(), 1, "{answer}");
        assert_eq!(series[0]["metric"]["resource_id"], "it's \"r\"\n");
        let values = series[0]["values"].as_array().unwrap();
        values.iter().map(|value| value[1].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_real_prometheus_takes_what_it_can_and_the_others_are_known() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(prometheus) = Prometheus::start().await else {
        println!("skipped: prometheus is not installed (apt-get install prometheus)");
        return;
    };
    let now = chrono::Utc::now();
    let at = |seconds: i64, volume: f64| Sample {
        timestamp: time::isoformat(&(now + chrono::Duration::seconds(seconds - 60)).fixed_offset()),
        volume: volume.into(),
        resource_id: "it's \"r\"\n".into(),
        ..sample("disk.read-bytes", &seconds.to_string())
    };
    let url = format!("prometheus-remote-write://127.0.0.1:{}", prometheus.port);
    let publisher = build(&url, Kind::Samples, &Context::default()).unwrap();
    let refused = |outcome: Result<(), PublishError>| match outcome {
        Ok(()) => Vec::new(),
        Err(PublishError::Partly(Partly { refused, left: None })) => refused,
        Err(other) => panic!("{other}"),
    };
    // Version 2.0 is answered well by one that does not know it: nothing may be lost by that.
    publisher.publish(&Batch::Samples(vec![at(20, 2.0), at(10, 1.0)])).await.unwrap();
    assert_eq!(prometheus.values("disk_read_bytes").await, ["1", "2"]);
    // The same again, and another value for the same moment.
    publisher.publish(&Batch::Samples(vec![at(20, 2.0)])).await.unwrap();
    publisher.publish(&Batch::Samples(vec![at(20, 7.0), at(30, f64::INFINITY)])).await.unwrap();
    assert_eq!(prometheus.values("disk_read_bytes").await, ["1", "2", "+Inf"]);
    // One that is late among others.
    let late = refused(publisher.publish(&Batch::Samples(vec![at(40, 4.0), at(5, 0.5), at(50, f64::NAN)])).await);
    assert_eq!(late.iter().map(|one| one.record).collect::<Vec<_>>(), [1]);
    assert!(late[0].cause.contains("out of order"), "{late:?}");
    assert_eq!(prometheus.values("disk_read_bytes").await, ["1", "2", "+Inf", "4", "NaN"]);
}
