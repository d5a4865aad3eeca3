//! A whole agent on the in-process broker, with a publisher that is looked at and one beside it that takes everything.

use nephoscope::agent::{Agent, Blueprint, wiring};
use nephoscope::config;
use nephoscope::coordination::MemoryGroup;
use nephoscope::model::{Priority, TraitValue, Value, Verdict};
use nephoscope::observe::{Board, Metrics};
use nephoscope::publish::{Batch, Context, Kind, identity};
use nephoscope::transport::topology::{self, OsloQueues};
use nephoscope::transport::{Broker, ConsumeOptions, Delivery, MemoryBroker, Outgoing, Session};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

use crate::decode::Arrived;
use crate::records::RESOURCES;

/// Virtual time in which everything must have settled.
const PATIENCE: Duration = Duration::from_mins(3);
const TTL: Duration = Duration::from_secs(10);

/// A broker, an agent, and its configuration in a folder of its own.
pub(crate) struct Lab {
    pub broker: MemoryBroker,
    pub context: Context,
    session: Arc<dyn Session>,
    _folder: TempDir,
    _agent: Agent,
    sent: i64,
    /// As metrics show it.
    publisher: String,
}

impl Lab {
    /// An agent that publishes what is of this kind to `publisher` and to `test://beside`. `endpoint` is Gnocchi's.
    pub(crate) async fn start(publisher: &str, kind: Kind, endpoint: &str, context: Context) -> Lab {
        let broker = MemoryBroker::new("memory");
        let session = broker.connect().await.unwrap();
        let target = topology::notify_target("cinder", "notifications", Priority::Info, &OsloQueues::default());
        session.declare(&target.topology).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let both = format!("[{publisher:?}, \"test://beside\"]");
        let (samples, events) = match kind {
            Kind::Samples => (both.as_str(), "[\"test://others\"]"),
            Kind::Events => ("[\"test://others\"]", both.as_str()),
        };
        for (file, key, publishers) in [("pipeline", "meters", samples), ("event_pipeline", "events", events)] {
            let text = format!(
                "sources:\n- name: source\n  {key}: ['*']\n  sinks: [sink]\nsinks:\n- name: sink\n  publishers: {publishers}\n"
            );
            std::fs::write(folder.path().join(format!("{file}.yaml")), text).unwrap();
        }
        let place = folder.path().display();
        let text = format!(
            "[DEFAULT]\npipeline_cfg_file = {place}/pipeline.yaml\nevent_pipeline_cfg_file = {place}/event_pipeline.yaml\n\
             [service_credentials]\nauth_type = gnocchi-basic\nendpoint = {endpoint}\n\
             [nephoscope]\nparked_messages_max = 100\npublish_retry_max = 5\n"
        );
        let file = folder.path().join("ceilometer.conf");
        std::fs::write(&file, text).unwrap();
        let (settings, complaints) = config::load(&[file], &[]);
        let settings = settings.unwrap_or_else(|| panic!("{complaints:?}"));
        let (gnocchi, zaqar) = identity::logins(&settings.logins);
        let context = Context { metrics: Metrics::new(), gnocchi, zaqar, ..context };
        let (blueprint, complaints) = Blueprint::build(&settings, &context, None);
        let blueprint = blueprint.unwrap_or_else(|| panic!("{complaints:?}"));
        let (own, group) = (Arc::new(broker.clone()), Arc::new(MemoryGroup::new(TTL)));
        let metrics = context.metrics.clone();
        let parts = wiring::in_process(&settings, "a", blueprint, own, group, metrics, Board::new());
        let publisher = publisher.split('?').next().unwrap().to_owned();
        let agent = Agent::start(parts);
        Lab { broker, context, session, _folder: folder, _agent: agent, sent: 0, publisher }
    }

    /// Sends the next notifications: of each resource the sizes count up.
    pub(crate) async fn send(&mut self, count: i64) {
        for n in self.sent..self.sent + count {
            let (resource, step) = (n % RESOURCES, n / RESOURCES);
            let at = (chrono::Utc::now() - chrono::TimeDelta::seconds(1000 - step)).format("%F %T");
            let body = format!(
                r#"{{"message_id":"m-{n}","publisher_id":"volume.host","event_type":"volume.create.end","priority":"INFO",
                "timestamp":"{at}","payload":{{"volume_id":"r-{resource}","size":{step},"tenant_id":"t","user_id":"u"}}}}"#
            );
            let message = Outgoing {
                exchange: "cinder".to_owned(),
                routing_key: "notifications.info".to_owned(),
                body: body.into_bytes().into(),
                content_type: "application/json",
                headers: BTreeMap::new(),
                alone: false,
            };
            self.session.publish(message).await.unwrap().wait().await.unwrap();
        }
        self.sent += count;
    }

    /// How many were sent.
    pub(crate) fn sent(&self) -> usize {
        usize::try_from(self.sent).unwrap()
    }

    /// What the publisher beside has taken, in order.
    pub(crate) fn beside(&self) -> Vec<Arrived> {
        let of = |batch: Batch| -> Vec<Arrived> {
            match batch {
                Batch::Samples(samples) => samples
                    .into_iter()
                    .map(|sample| match (sample.resource_id, sample.volume) {
                        (Value::Str(resource), Value::Int(step)) => (resource.to_string(), step.to_string()),
                        other => panic!("{other:?}"),
                    })
                    .collect(),
                Batch::Events(events) => events
                    .into_iter()
                    .map(|event| {
                        let resource = event.traits.iter().find(|of| of.name == "resource_id").unwrap();
                        let TraitValue::Text(resource) = &resource.value else { panic!("{resource:?}") };
                        let id = event.message_id.as_str().unwrap().strip_prefix("m-").unwrap().parse::<i64>();
                        (resource.to_string(), (id.unwrap() / RESOURCES).to_string())
                    })
                    .collect(),
            }
        };
        self.context.shelf.batches("beside").into_iter().flat_map(of).collect()
    }

    /// Messages that wait in queues of this kind, and those that somebody has and did not settle.
    pub(crate) fn waiting(&self, part: &str) -> (usize, usize) {
        let queues = self.broker.queues();
        let of = queues.iter().filter(|queue| queue.name.contains(part));
        of.fold((0, 0), |(ready, unacked), queue| (ready + queue.ready, unacked + queue.unacked))
    }

    /// Whether every queue is empty but for that of what is parked, and all that was sent is beside.
    pub(crate) fn is_settled(&self) -> bool {
        let counts = |name: &str| !name.ends_with(".parked") && !name.contains(".answers.");
        let empty = self.broker.queues().iter().filter(|q| counts(&q.name)).all(|q| q.ready == 0 && q.unacked == 0);
        empty && self.beside().len() == self.sent()
    }

    /// Waits in virtual time.
    pub(crate) async fn until(&self, what: &str, so: impl AsyncFn() -> bool) {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        while !so().await {
            assert!(tokio::time::Instant::now() < give_up, "waited in vain until {what}: {:?}", self.broker.queues());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes what is parked: bodies, each with its headers.
    pub(crate) async fn parked(&self) -> Vec<Letter> {
        let queues = self.broker.queues();
        let Some(queue) = queues.iter().find(|queue| queue.name.ends_with(".parked")) else { return Vec::new() };
        take_all(&self.broker, &queue.name).await
    }

    /// The sum of a counter over all series of the publisher.
    pub(crate) fn counted(&self, counter: &str) -> usize {
        let page = self.context.metrics.page();
        let label = format!("publisher=\"{}", self.publisher);
        let of = page.lines().filter(|line| line.starts_with(&format!("{counter}{{")) && line.contains(&label));
        of.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    }
}

/// A message: its body and its headers.
pub(crate) type Letter = (String, BTreeMap<String, String>);

/// Takes what is in a queue now.
pub(crate) async fn take_all(broker: &MemoryBroker, queue: &str) -> Vec<Letter> {
    let Ok(session) = broker.connect().await else { return Vec::new() };
    let options = ConsumeOptions { prefetch_messages: 0, exclusive: false, arguments: BTreeMap::new() };
    let Ok(mut consumer) = session.consume(queue, options).await else { return Vec::new() };
    let mut all = Vec::new();
    while let Some(Delivery { body, headers, receipt, .. }) = consumer.ready() {
        receipt.settle(Verdict::Kept);
        all.push((String::from_utf8(body.to_vec()).unwrap(), headers));
    }
    consumer.close().await.unwrap();
    all
}
