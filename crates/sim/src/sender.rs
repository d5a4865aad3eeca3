//! The services of the cloud: they send notifications, each once it was confirmed that the one before was taken, and
//! tell the witness what must come of them.

use chrono::{DateTime, Duration as Span, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use crate::oracle::Oracle;
use crate::plan::Message;
use crate::witness::{EVENTS, SAMPLES, Witness, id_text};
use nephoscope::convert::Converter;
use nephoscope::model::{Priority, envelope};
use nephoscope::transport::topology::{self, NotifyTarget, OsloQueues};
use nephoscope::transport::{Broker, MemoryBroker, Outgoing, Session, TransportError};

/// The exchange that notifications are sent to.
pub(crate) const EXCHANGE: &str = "simulated";
/// Before the first notification of a world.
pub(crate) const BEGINNING: DateTime<Utc> = DateTime::from_timestamp(1_772_323_200, 0).unwrap();
/// Before a message that was not confirmed is sent again.
const PAUSE: Duration = Duration::from_millis(50);

/// All services of one world.
pub(crate) struct Sender {
    broker: MemoryBroker,
    /// As the services of the cloud declare main queues.
    queues: OsloQueues,
    session: Option<Arc<dyn Session>>,
    converter: Converter,
    witness: Witness,
    rng: StdRng,
    began: Instant,
    events: bool,
    /// How likely the destination refuses a record.
    refused: f64,
    sent: u32,
    counters: BTreeMap<String, i64>,
    /// When something was last measured of a resource.
    times: BTreeMap<String, DateTime<Utc>>,
    /// What samples become, where they become something else.
    oracle: Option<Oracle>,
}

impl Sender {
    /// Services that have not sent anything.
    pub(crate) fn new(
        (broker, queues): (MemoryBroker, OsloQueues),
        (converter, oracle): (Converter, Option<Oracle>),
        witness: Witness,
        seed: u64,
        events: bool,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let refused = if rng.random_bool(0.25) { 0.04 } else { 0.0 };
        let (began, counters, times) = (Instant::now(), BTreeMap::new(), BTreeMap::new());
        let session = None;
        Sender {
            broker,
            queues,
            session,
            converter,
            witness,
            rng,
            began,
            events,
            refused,
            sent: 0,
            counters,
            times,
            oracle,
        }
    }

    /// Sends all, each at its time.
    pub(crate) async fn send_all(mut self, messages: Vec<(Duration, Message)>) {
        for (at, message) in messages {
            tokio::time::sleep_until(self.began + at).await;
            let (priority, body) = self.write(&message);
            self.witness.sends();
            self.promise(&message, &body);
            while self.send(priority, &body).await.is_err() {
                self.session = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
        if let Some(oracle) = &self.oracle {
            self.witness.expect_cells(oracle.cells());
        }
    }

    async fn send(&mut self, priority: Priority, body: &[u8]) -> Result<(), TransportError> {
        let NotifyTarget { exchange, routing_key, topology } =
            topology::notify_target(EXCHANGE, "notifications", priority, &self.queues);
        let session = if let Some(session) = &self.session {
            Arc::clone(session)
        } else {
            let session = self.broker.connect().await?;
            self.session = Some(Arc::clone(&session));
            session
        };
        session.declare(&topology).await?;
        let body = body.to_vec().into();
        let headers = BTreeMap::new();
        let message = Outgoing { exchange, routing_key, body, content_type: "application/json", headers, alone: false };
        session.publish(message).await?.wait().await
    }

    fn write(&mut self, message: &Message) -> (Priority, Vec<u8>) {
        self.sent += 1;
        let n = self.sent;
        let at = BEGINNING + Span::milliseconds(i64::try_from(self.began.elapsed().as_millis()).unwrap_or(0));
        match message {
            Message::Poison(body) => (Priority::Info, body.clone()),
            Message::Info { resource } => {
                let id = format!("r-{resource}");
                let volume = self.count(&id);
                let time = self.measured(&id).format("%Y-%m-%d %H:%M:%S%.6f");
                let body = format!(
                    r#"{{"message_id":"m-{n}","publisher_id":"volume.host","event_type":"volume.usage","priority":"INFO","timestamp":"{time}","payload":{{"id":"{id}","size":{volume},"tenant_id":"t","user_id":"u"}}}}"#
                );
                (Priority::Info, body.into_bytes())
            }
            Message::Polled { resources } => {
                let time = at.format("%Y-%m-%dT%H:%M:%S%.6f");
                let samples: Vec<String> = resources
                    .iter()
                    .map(|resource| {
                        let id = format!("p-{resource}");
                        let volume = self.count(&id);
                        let time = self.measured(&id).format("%Y-%m-%dT%H:%M:%S%.6f");
                        format!(
                            r#"{{"source":"openstack","counter_name":"polled","counter_type":"cumulative","counter_unit":"B","counter_volume":{volume},"user_id":"u","user_name":null,"project_id":"t","project_name":null,"resource_id":"{id}","timestamp":"{time}","resource_metadata":{{}},"message_id":"s-{n}-{id}","monotonic_time":null}}"#
                        )
                    })
                    .collect();
                let body = format!(
                    r#"{{"message_id":"m-{n}","publisher_id":"polling","event_type":"telemetry.polling","priority":"SAMPLE","timestamp":"{time}","payload":{{"samples":[{}]}}}}"#,
                    samples.join(",")
                );
                (Priority::Sample, body.into_bytes())
            }
        }
    }

    /// The next value of a resource's counter: it rises by known amounts.
    fn count(&mut self, resource: &str) -> i64 {
        let by = self.rng.random_range(1..50);
        let counter = self.counters.entry(resource.to_owned()).or_default();
        *counter += by;
        *counter
    }

    /// When that is measured: some time after the former value.
    fn measured(&mut self, resource: &str) -> DateTime<Utc> {
        let after = Span::milliseconds(self.rng.random_range(1..20_000));
        let time = self.times.entry(resource.to_owned()).or_insert(BEGINNING);
        *time += after;
        *time
    }

    /// What one converter alone makes of it must come out, or be refused.
    fn promise(&mut self, message: &Message, body: &[u8]) {
        let Ok(notification) = envelope::open(body) else { return self.witness.expect_parked(body) };
        let converted = self.converter.convert(&notification);
        let samples = match &mut self.oracle {
            None => converted.samples,
            Some(oracle) => oracle.outputs(notification.message_id(), converted.samples),
        };
        for sample in &samples {
            let counter = self.counters.get(&id_text(&sample.resource_id)).copied().unwrap_or_default();
            self.witness.expect_sample(sample, counter);
            self.refuse(SAMPLES, &sample.id);
        }
        if let (true, Message::Info { resource }) = (self.events, message) {
            let resource = format!("r-{resource}");
            let counter = self.counters.get(&resource).copied().unwrap_or_default();
            for id in converted.events.iter().map(|event| id_text(&event.message_id)) {
                self.witness.expect_event(&id, &resource, counter);
                self.refuse(EVENTS, &id);
            }
        }
    }

    /// Some records are refused for good.
    fn refuse(&mut self, kind: &'static str, id: &str) {
        if self.refused > 0.0 && self.rng.random_bool(self.refused) {
            self.witness.expect_refused(kind, id);
        }
    }
}
