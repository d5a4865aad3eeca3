//! Destinations on this machine, or in this process.

use async_trait::async_trait;
use nephoscope::model::Value;
use nephoscope::publish::{Amqp as Declared, Batch, Context, Shelf};
use nephoscope::transport::MemoryBroker;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::destinations::Destination;
use crate::decode::{self, Arrived};
use crate::lab::take_all;

/// A file. It is dead while a folder has its name.
pub(super) struct Lines {
    folder: TempDir,
}

impl Lines {
    pub(super) fn start() -> Lines {
        Lines { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[async_trait]
impl Destination for Lines {
    fn url(&self) -> String {
        format!("file://{}?json", self.path("samples").display())
    }

    async fn arrived(&self) -> Vec<Arrived> {
        self.records().await.iter().map(decode::of_sample).collect()
    }

    async fn records(&self) -> Vec<serde_json::Value> {
        let files = ["before", "samples"].map(|name| std::fs::read_to_string(self.path(name)).unwrap_or_default());
        let lines = files.iter().flat_map(|file| file.split_terminator('\n'));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn die(&mut self) {
        std::fs::rename(self.path("samples"), self.path("before")).unwrap();
        std::fs::create_dir(self.path("samples")).unwrap();
    }

    async fn recover(&mut self) {
        std::fs::remove_dir(self.path("samples")).unwrap();
    }
}

/// The queue of a broker. It stalls while the queue is full.
pub(super) struct Amqp {
    broker: MemoryBroker,
    taken: Mutex<Vec<serde_json::Value>>,
}

const QUEUE: &str = "metering.sample";

impl Amqp {
    pub(super) fn start() -> Amqp {
        Amqp { broker: MemoryBroker::new("far"), taken: Mutex::default() }
    }
}

#[async_trait]
impl Destination for Amqp {
    fn url(&self) -> String {
        "notifier://?topic=metering".to_owned()
    }

    fn context(&self, context: Context) -> Context {
        let amqp = Declared { durable: true, ..Declared::default() };
        Context { broker: Some(Arc::new(self.broker.clone())), amqp, ..context }
    }

    async fn arrived(&self) -> Vec<Arrived> {
        self.records().await.iter().map(decode::of_message).collect()
    }

    async fn records(&self) -> Vec<serde_json::Value> {
        for (body, _) in take_all(&self.broker, QUEUE).await {
            let envelope: serde_json::Value = serde_json::from_str(&body).unwrap();
            let message: serde_json::Value = serde_json::from_str(&decode::text(&envelope["oslo.message"])).unwrap();
            let samples = message["payload"].as_array().unwrap();
            self.taken.lock().unwrap().extend(samples.iter().cloned());
        }
        self.taken.lock().unwrap().clone()
    }

    async fn stall(&mut self) {
        self.broker.refuse(QUEUE, true);
    }

    async fn die(&mut self) {
        self.broker.stop();
    }

    async fn recover(&mut self) {
        self.broker.start();
        self.broker.refuse(QUEUE, false);
    }
}

/// A page, fetched whenever somebody looks.
pub(super) struct Page {
    address: SocketAddr,
}

impl Page {
    pub(super) fn start() -> Page {
        Page { address: TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() }
    }
}

#[async_trait]
impl Destination for Page {
    fn url(&self) -> String {
        format!("prometheus-scrape://{}", self.address)
    }

    async fn arrived(&self) -> Vec<Arrived> {
        let Ok(mut stream) = TcpStream::connect(self.address).await else { return Vec::new() };
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        decode::of_exposition(&page)
    }
}

/// What `test://` has taken.
pub(super) struct Tray {
    shelf: Shelf,
}

impl Tray {
    pub(super) fn start() -> Tray {
        Tray { shelf: Shelf::default() }
    }
}

#[async_trait]
impl Destination for Tray {
    fn url(&self) -> String {
        "test://tray".to_owned()
    }

    fn context(&self, context: Context) -> Context {
        Context { shelf: self.shelf.clone(), ..context }
    }

    async fn arrived(&self) -> Vec<Arrived> {
        let of = |batch| match batch {
            Batch::Samples(samples) => samples,
            Batch::Events(_) => panic!("events among samples"),
        };
        let samples = self.shelf.batches("tray").into_iter().flat_map(of);
        let record = |volume, resource: Value| match volume {
            Value::Int(step) => (resource.as_str().unwrap().to_owned(), step.to_string()),
            Value::Float(step) => (resource.as_str().unwrap().to_owned(), step.to_string()),
            other => panic!("{other:?}"),
        };
        samples.map(|sample| record(sample.volume, sample.resource_id)).collect()
    }

    async fn die(&mut self) {
        self.shelf.set_away("tray", true);
    }

    async fn recover(&mut self) {
        self.shelf.set_away("tray", false);
    }
}
