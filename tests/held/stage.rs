//! A broker with one main queue, an agent's folder, and the agent's publisher, which is away or there.

use lapin::options::{BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ExchangeKind};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::field::{Agent, Folder, Wire, ask, free_port, notification, until_answered};
use crate::rig::{self, Generation};

pub(super) const INFO: &str = "notifications.info";

/// A virtual host with one main queue of a kind, an agent's folder, and the place of its collector.
pub(super) struct Stage {
    pub(super) rabbit: rig::Own<rig::Rabbit>,
    pub(super) folder: Folder,
    pub(super) wire: Wire,
    pub(super) quorum: bool,
    /// Where the collector listens, when it is there.
    pub(super) port: u16,
    /// Where the agent tells how it is.
    pub(super) health: u16,
}

impl Stage {
    pub(super) async fn new(name: &str, generation: Generation, queues: &str, configuration: &str) -> Self {
        let name = format!("{name}-{}-{queues}", generation.number());
        let rabbit = tokio::task::block_in_place(|| rig::own_rabbitmq_with(generation, configuration));
        let (port, health) = (free_port(), free_port());
        let folder = Folder::new(&name);
        folder.pipelines(
            &[&format!("http://127.0.0.1:{port}/samples?max_retries=0")],
            &["file://{folder}/events.jsonl?json"],
        );
        let quorum = queues == "quorum";
        let more = format!(
            "queue_type = {queues}\nlisten = 127.0.0.1:{health}\nparked_messages_max = 2\npublish_retry_max = 1\n\
             [oslo_messaging_rabbit]\namqp_durable_queues = true\nrabbit_quorum_queue = {quorum}\n"
        );
        folder.configure(&rabbit.url, &more);
        let wire = Wire::connect(&rabbit.url).await;
        let stage = Stage { rabbit, folder, wire, quorum, port, health };
        stage.declare().await;
        stage
    }

    /// As a service does when it sends.
    pub(super) async fn declare(&self) {
        let channel = &self.wire.channel;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare("glance".into(), ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();
        let mut arguments = FieldTable::default();
        if self.quorum {
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(INFO.into(), durable, arguments).await.unwrap();
        let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(INFO.into(), "glance".into(), INFO.into(), bind, none).await.unwrap();
    }

    pub(super) async fn send(&self, numbers: std::ops::Range<usize>) {
        for n in numbers {
            let persistent = BasicProperties::default().with_delivery_mode(2);
            assert!(self.wire.put(INFO, &notification(n), persistent).await);
        }
    }

    /// Puts notifications on the exchange, as a sender that declares nothing.
    pub(super) async fn publish(&self, numbers: std::ops::Range<usize>) {
        for n in numbers {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let (body, properties) = (notification(n), BasicProperties::default());
            let sent = self.wire.channel.basic_publish("glance".into(), INFO.into(), options, &body, properties);
            let confirm = sent.await.unwrap().await.unwrap();
            let taken = matches!(confirm, lapin::Confirmation::Ack(None));
            assert!(taken, "{n} found no queue: {}", ask(self.health, "/status"));
        }
    }

    pub(super) fn ctl(&self, arguments: &[&str]) -> String {
        tokio::task::block_in_place(|| self.rabbit.ctl(arguments))
    }

    /// The broker closes all connections. One that ends meanwhile by itself, with another of its agent, is none to complain of, as
    /// `close_all_user_connections` does.
    pub(super) fn cut_all_connections(&self) {
        let close = r#"[(catch rabbit_networking:close_connection(Pid, <<"test">>)) || Pid <- rabbit_networking:connections()]."#;
        self.ctl(&["eval", close]);
    }

    /// The collector comes up: it takes everything.
    pub(super) async fn collector(&self) -> MockServer {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        let server = MockServer::builder().listener(listener).start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
        server
    }

    /// Waits until the sizes of all numbers are with the collector; checks their order by resource, and says how many came
    /// more than once.
    pub(super) async fn all_collected(&self, collector: &MockServer, count: usize, agent: &Agent) -> usize {
        let (mut collected, came) = (Vec::new(), Cell::new(0));
        let all_came = async || {
            collected.clear();
            for request in collector.received_requests().await.unwrap() {
                let samples: Vec<serde_json::Value> = serde_json::from_slice(&request.body).unwrap();
                collected.extend(samples.into_iter().filter(|sample| sample["name"] == "image.size"));
            }
            let distinct: BTreeSet<i64> = collected.iter().filter_map(|sample| sample["volume"].as_i64()).collect();
            came.set(distinct.len());
            came.get() == count
        };
        let instead = || format!("{} of {count} came: {}", came.get(), agent.log());
        until_answered("everything is collected", all_came, instead).await;
        let (mut seen, mut last, mut repeats) = (BTreeSet::new(), BTreeMap::new(), 0);
        for sample in &collected {
            let size = sample["volume"].as_i64().unwrap();
            if !seen.insert(size) {
                repeats += 1;
                continue;
            }
            let before = last.insert(sample["resource_id"].as_str().unwrap(), size);
            assert!(before.is_none_or(|before| before < size), "{sample} after {before:?}");
        }
        repeats
    }

    /// What the broker counts of the main queue: its `messages`, its `consumers`.
    pub(super) fn counts(&self, what: &str) -> Option<u32> {
        let listed = self.ctl(&["list_queues", "name", what]);
        listed.lines().find_map(|line| line.strip_prefix(INFO)?.trim().parse().ok())
    }

    pub(super) fn ready(&self) -> bool {
        ask(self.health, "/readyz").starts_with("HTTP/1.1 200")
    }
}
