//! Letters: batches as the notifications of an oslo.messaging sender (Ceilometer reference §3.2, §3.3).

use bytes::Bytes;
use chrono::Utc;
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::model::Value;
use crate::model::json::{self, NonFinite};
use crate::publish::{Batch, Context, message};
use crate::transport::Outgoing;

/// A letter's records together, before the envelope, in bytes; one record alone may be longer.
const LETTER_BYTES: usize = 1024 * 1024;
/// The longest record, in bytes: the envelope may double it, and RabbitMQ 4 takes 16 MiB.
const RECORD_BYTES_MAX: usize = 7 * 1024 * 1024;
/// The namespace of message ids: the same records give the same id at every repeat.
const NAMESPACE: Uuid = Uuid::from_u128(0x6e65_7068_6f73_636f_7065_6e6f_7469_6679);

/// One message, ready to go.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// Topic and priority: the routing key and the queue's name.
    pub queue: String,
    pub body: Bytes,
}

impl Letter {
    /// As the broker is given it.
    pub(super) fn outgoing(&self, exchange: &str) -> Outgoing {
        Outgoing {
            exchange: exchange.to_owned(),
            routing_key: self.queue.clone(),
            body: self.body.clone(),
            content_type: "application/json",
            headers: BTreeMap::new(),
            alone: false,
        }
    }
}

/// One signed record.
struct Record {
    meter: String,
    id: String,
    json: Vec<u8>,
}

/// How letters are written: what a batch and its URL do not say.
pub(super) struct Writer {
    publisher_id: String,
    secret: String,
    envelope: bool,
    metering: String,
    event: String,
    non_finite: NonFinite,
}

impl Writer {
    pub(super) fn new(context: &Context, non_finite: NonFinite) -> Self {
        Writer {
            publisher_id: format!("telemetry.publisher.{}", context.host),
            secret: context.telemetry_secret.clone(),
            envelope: context.telemetry_driver != "messaging",
            metering: context.metering_topic.clone(),
            event: context.event_topic.clone(),
            non_finite,
        }
    }

    /// The letters of a batch, topic by topic, and the positions of records that are too long for any.
    pub(super) fn write(&self, batch: &Batch, topics: &[String], per_meter: bool) -> (Vec<Letter>, Vec<usize>) {
        let mut too_long = Vec::new();
        let mut records = Vec::with_capacity(batch.len());
        for (position, record) in self.records(batch).into_iter().enumerate() {
            if record.json.len() > RECORD_BYTES_MAX {
                too_long.push(position);
            } else {
                records.push(record);
            }
        }
        let event_type = match batch {
            Batch::Samples(_) => &self.metering,
            Batch::Events(_) => &self.event,
        };
        let configured = [event_type.clone()];
        let topics = if topics.is_empty() { &configured } else { topics };
        let mut meters: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        if per_meter && matches!(batch, Batch::Samples(_)) {
            for record in &records {
                meters.entry(&record.meter).or_default().push(record);
            }
        }
        let all: Vec<&Record> = records.iter().collect();
        let mut letters = Vec::new();
        for topic in topics {
            self.pack(&all, event_type, topic, &mut letters);
            for (meter, records) in &meters {
                self.pack(records, &format!("{event_type}.{meter}"), &format!("{topic}.{meter}"), &mut letters);
            }
        }
        (letters, too_long)
    }

    fn records(&self, batch: &Batch) -> Vec<Record> {
        let record = |meter: &str, id, message| {
            let mut json = Vec::with_capacity(1024);
            json::write_dict_as(&message, self.non_finite, &mut json);
            Record { meter: meter.to_owned(), id, json }
        };
        match batch {
            Batch::Samples(samples) => samples
                .iter()
                .map(|sample| {
                    record(
                        &sample.name,
                        sample.id.to_string(),
                        message::of_sample(sample, &self.secret, self.non_finite),
                    )
                })
                .collect(),
            Batch::Events(events) => events
                .iter()
                .map(|event| {
                    record(
                        "",
                        json::to_string(&event.message_id),
                        message::of_event(event, &self.secret, self.non_finite),
                    )
                })
                .collect(),
        }
    }

    /// Puts the records into as few letters as their size allows.
    fn pack(&self, records: &[&Record], event_type: &str, topic: &str, letters: &mut Vec<Letter>) {
        let queue = format!("{topic}.sample");
        let mut rest = records;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest.iter().take_while(|record| {
                bytes += record.json.len();
                bytes <= LETTER_BYTES
            });
            let (now, later) = rest.split_at(fitting.count().max(1));
            letters.push(Letter { queue: queue.clone(), body: self.body(now, event_type, &queue) });
            rest = later;
        }
    }

    fn body(&self, records: &[&Record], event_type: &str, queue: &str) -> Bytes {
        let ids: Vec<&str> = records.iter().map(|record| record.id.as_str()).collect();
        let message_id = Uuid::new_v5(&NAMESPACE, format!("{queue}\n{}", ids.join("\n")).as_bytes());
        let mut out = Vec::with_capacity(512 + records.iter().map(|record| record.json.len() + 1).sum::<usize>());
        let field = |before: &str, text: &str, out: &mut Vec<u8>| {
            out.extend_from_slice(before.as_bytes());
            json::write_str(text, out);
        };
        field(r#"{"message_id":"#, &message_id.to_string(), &mut out);
        field(r#","publisher_id":"#, &self.publisher_id, &mut out);
        field(r#","event_type":"#, event_type, &mut out);
        out.extend_from_slice(br#","priority":"SAMPLE","payload":"#);
        for (n, record) in records.iter().enumerate() {
            out.push(if n > 0 { b',' } else { b'[' });
            out.extend_from_slice(&record.json);
        }
        out.push(b']');
        field(r#","timestamp":"#, &Utc::now().format("%Y-%m-%d %H:%M:%S%.6f").to_string(), &mut out);
        // Never the same twice: oslo.messaging leaves a message unsettled whose _unique_id it has just seen.
        field(r#","_unique_id":"#, &Uuid::new_v4().simple().to_string(), &mut out);
        out.push(b'}');
        if self.envelope {
            let inner = Value::from(String::from_utf8_lossy(&out).into_owned());
            out.clear();
            out.extend_from_slice(br#"{"oslo.version":"2.0","oslo.message":"#);
            json::write(&inner, &mut out);
            out.push(b'}');
        }
        Bytes::from(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::envelope;
    use crate::publish::record::tests::{event, sample};
    use crate::publish::signature;
    use rstest::rstest;

    fn writer(driver: &str) -> Writer {
        writer_as(driver, NonFinite::Null)
    }

    fn writer_as(driver: &str, non_finite: NonFinite) -> Writer {
        let context = Context { telemetry_driver: driver.to_owned(), host: "h".to_owned(), ..Context::default() };
        Writer::new(&context, non_finite)
    }

    /// Who reads the message signs what it has read, and compares.
    #[rstest]
    #[case(NonFinite::Null, "null")]
    #[case(NonFinite::Python, "NaN")]
    fn a_volume_that_json_cannot_say_is_signed_as_it_is_written(#[case] non_finite: NonFinite, #[case] written: &str) {
        let mut sample = sample("cpu", "1");
        sample.volume = Value::Float(f64::NAN);
        sample.resource_metadata.insert("load", vec![Value::Float(f64::INFINITY)]);
        let (letters, _) = writer_as("messaging", non_finite).write(&Batch::Samples(vec![sample]), &[], false);
        let text = String::from_utf8(letters[0].body.to_vec()).unwrap();
        assert!(text.contains(&format!("\"counter_volume\":{written},")), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), non_finite == NonFinite::Null, "{text}");
        let notification = envelope::open(&letters[0].body).unwrap();
        let message = notification.payload().as_list().unwrap()[0].as_dict().unwrap();
        assert!(signature::verify(message, "change this for valid signing"));
    }

    fn queues(letters: &[Letter]) -> Vec<&str> {
        letters.iter().map(|letter| letter.queue.as_str()).collect()
    }

    #[rstest]
    #[case("messagingv2", b"{\"oslo.version\":\"2.0\",\"oslo.message\":\"")]
    #[case("messaging", b"{\"message_id\":\"")]
    fn a_batch_is_one_notification_with_signed_messages(#[case] driver: &str, #[case] begin: &[u8]) {
        let batch = Batch::Samples(vec![sample("cpu", "1"), sample("memory", "2")]);
        let (letters, too_long) = writer(driver).write(&batch, &[], false);
        assert!(too_long.is_empty());
        assert_eq!(queues(&letters), ["metering.sample"]);
        assert!(letters[0].body.starts_with(begin));
        let notification = envelope::open(&letters[0].body).unwrap();
        assert_eq!(notification.priority().name(), "sample");
        assert_eq!(notification.event_type(), Some("metering"));
        assert_eq!(notification.publisher_id(), &"telemetry.publisher.h".into());
        let messages = notification.payload().as_list().unwrap();
        assert_eq!(messages.len(), 2);
        for message in messages {
            assert!(signature::verify(message.as_dict().unwrap(), "change this for valid signing"));
        }
    }

    #[test]
    fn a_repeat_has_the_same_message_id() {
        let id = |batch: &Batch| {
            let (letters, _) = writer("messaging").write(batch, &[], false);
            envelope::open(&letters[0].body).unwrap().message_id().clone()
        };
        let batch = Batch::Events(vec![event("a"), event("b")]);
        assert_eq!(id(&batch), id(&batch));
        assert_ne!(id(&batch), id(&Batch::Events(vec![event("a")])));
    }

    #[test]
    fn each_topic_and_each_meter_gets_its_own() {
        let batch = Batch::Samples(vec![sample("cpu", "1"), sample("memory", "2"), sample("cpu", "3")]);
        let topics = ["a".to_owned(), "b".to_owned()];
        let (letters, _) = writer("messagingv2").write(&batch, &topics, true);
        let expected = ["a.sample", "a.cpu.sample", "a.memory.sample", "b.sample", "b.cpu.sample", "b.memory.sample"];
        assert_eq!(queues(&letters), expected);
        let (letters, _) = writer("messagingv2").write(&Batch::Events(vec![event("a")]), &[], true);
        assert_eq!(queues(&letters), ["event.sample"]);
    }

    #[test]
    fn a_large_batch_is_several_letters_and_a_giant_is_named() {
        let mut samples: Vec<_> = (0..5).map(|n| sample("cpu", &n.to_string())).collect();
        for (n, size) in [(0, 600_000), (1, 600_000), (2, RECORD_BYTES_MAX), (3, 2_000_000)] {
            samples[n].resource_metadata.insert("x", "x".repeat(size));
        }
        let (letters, too_long) = writer("messaging").write(&Batch::Samples(samples), &[], false);
        assert_eq!(too_long, [2]);
        let ids: Vec<Vec<String>> = letters
            .iter()
            .map(|letter| {
                let notification = envelope::open(&letter.body).unwrap();
                let messages = notification.payload().as_list().unwrap();
                messages.iter().map(|m| json::to_string(m.as_dict().unwrap().get("message_id").unwrap())).collect()
            })
            .collect();
        assert_eq!(ids, [["\"0\""], ["\"1\""], ["\"3\""], ["\"4\""]]);
    }
}
