//! The samples of one notification while they are being made: identity, timestamp, the copied payload.

use super::field::Raised;
use crate::model::{Complaint, Dict, Notification, OnDemand, Place, Sample, SampleType, Text, Value, json, time};
use std::cell::OnceCell;
use std::io::Write as _;
use uuid::Uuid;

/// The namespace of sample ids: UUIDv5 of `nephoscope.sample` in the OID namespace.
const SAMPLE_IDS: Uuid = Uuid::from_u128(0x87f5_969c_742e_51c4_814a_09f8_8de6_60fc);

/// The first guess of how many bytes are hashed for an id.
const ID_BYTES: usize = 192;

/// What became of one notification so far: samples in emission order, and what could not be made.
pub(crate) struct Sampling<'a> {
    notification: &'a Notification,
    source: &'a Text,
    /// The notification's own timestamp, read once.
    timestamp: OnceCell<Result<Text, Raised>>,
    /// See [`Sampling::payload_copy`]; made once.
    payload_copy: OnceCell<OnDemand<Dict>>,
    /// The named metadata that were made, by the number that definitions of the same metadata have.
    metadata: Vec<(usize, OnDemand<Dict>)>,
    /// `["message_id","event_type","timestamp",` once the first id was needed.
    id_prefix: Vec<u8>,
    samples: &'a mut Vec<Sample>,
    complaints: &'a mut Vec<Complaint>,
}

/// One sample before it has an identity.
pub(crate) struct Draft {
    pub(crate) name: Text,
    pub(crate) kind: SampleType,
    pub(crate) unit: Value,
    pub(crate) volume: Value,
    pub(crate) user_id: Value,
    pub(crate) project_id: Value,
    pub(crate) resource_id: Value,
    pub(crate) timestamp: Text,
    pub(crate) metadata: OnDemand<Dict>,
}

impl<'a> Sampling<'a> {
    pub(crate) fn new(
        notification: &'a Notification,
        source: &'a Text,
        samples: &'a mut Vec<Sample>,
        complaints: &'a mut Vec<Complaint>,
    ) -> Self {
        let (timestamp, payload_copy) = (OnceCell::new(), OnceCell::new());
        let (metadata, id_prefix) = (Vec::new(), Vec::new());
        Sampling { notification, source, timestamp, payload_copy, metadata, id_prefix, samples, complaints }
    }

    pub(crate) fn notification(&self) -> &'a Notification {
        self.notification
    }

    /// Takes a sample in.
    pub(crate) fn push(&mut self, draft: Draft) {
        let id = self.next_id();
        self.samples.push(Sample {
            name: draft.name,
            kind: draft.kind,
            unit: draft.unit,
            volume: draft.volume,
            user_id: draft.user_id,
            user_name: Value::Null,
            project_id: draft.project_id,
            project_name: Value::Null,
            resource_id: draft.resource_id,
            timestamp: draft.timestamp,
            resource_metadata: draft.metadata,
            source: self.source.clone(),
            id,
            monotonic_time: Value::Null,
        });
    }

    /// Takes in a sample that came ready made, with its own identity.
    pub(crate) fn push_made(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// `[DEFAULT] sample_source`.
    pub(crate) fn source(&self) -> &'a Text {
        self.source
    }

    /// Notes what one definition, or one sample of it, could not do with this notification.
    pub(crate) fn complain(&mut self, place: &Place, what: &str, raised: &Raised) {
        self.complaints.push(Complaint::error(place, format!("{what}: {raised}")));
    }

    /// Notes what is left out although Ceilometer takes it.
    pub(crate) fn refuse(&mut self, place: &Place, text: String) {
        self.complaints.push(Complaint::error(place, text));
    }

    /// Notes something that Ceilometer, too, only warns of.
    pub(crate) fn warn(&mut self, place: &Place, text: String) {
        self.complaints.push(Complaint::warning(place, text));
    }

    /// The id of the sample that comes next: the same at every repeat of the same notification.
    pub(crate) fn next_id(&mut self) -> Text {
        if self.id_prefix.is_empty() {
            self.id_prefix.reserve(ID_BYTES);
            self.id_prefix.push(b'[');
            let event_type = self.notification.root().as_dict().and_then(|d| d.get("event_type"));
            let parts =
                [self.notification.message_id(), event_type.unwrap_or(&Value::Null), self.notification.timestamp()];
            for part in parts {
                json::write(part, &mut self.id_prefix);
                self.id_prefix.push(b',');
            }
        }
        let kept = self.id_prefix.len();
        // Writing to a `Vec` cannot fail.
        let _written = write!(self.id_prefix, "{}]", self.samples.len());
        let id = Sample::id_of(&SAMPLE_IDS, &self.id_prefix);
        self.id_prefix.truncate(kept);
        id
    }

    /// The metadata of a sample whose definition names none: a copy of the payload, with `event_type` and `host`
    /// (Ceilometer reference §4.1.3).
    pub(crate) fn payload_copy(&self) -> OnDemand<Dict> {
        let make = || {
            let root = self.notification.root().as_dict();
            let event_type = root.and_then(|d| d.get("event_type")).unwrap_or(&Value::Null);
            copy_with_origin(self.notification.payload(), event_type, self.notification.publisher_id()).into()
        };
        self.payload_copy.get_or_init(make).clone()
    }

    /// The metadata of a number, made once: several definitions name the same.
    pub(crate) fn metadata(
        &mut self,
        number: usize,
        make: impl FnOnce(&'a Notification) -> Result<Dict, Raised>,
    ) -> Result<OnDemand<Dict>, Raised> {
        if let Some((_, made)) = self.metadata.iter().find(|(known, _)| *known == number) {
            return Ok(made.clone());
        }
        let made = OnDemand::from(make(self.notification)?);
        self.metadata.push((number, made.clone()));
        Ok(made)
    }

    /// A sample's timestamp: the value if it is true in Python's sense, else the notification's own.
    pub(crate) fn timestamp(&self, found: &Value) -> Result<Text, Raised> {
        if found.is_truthy() {
            return read_timestamp(found);
        }
        self.timestamp.get_or_init(|| read_timestamp(self.notification.timestamp())).clone()
    }
}

/// A copy of a resource's description, with where it comes from.
pub(crate) fn copy_with_origin(payload: &Value, event_type: &Value, host: &Value) -> Dict {
    let mut copy = payload.as_dict().cloned().unwrap_or_default();
    copy.insert("event_type", event_type.clone());
    copy.insert("host", host.clone());
    copy
}

/// ISO 8601 in, ISO 8601 with its offset out (`+00:00` where none was given).
pub(crate) fn read_timestamp(value: &Value) -> Result<Text, Raised> {
    match value.as_str().and_then(time::parse) {
        Some(time) => Ok(time::isoformat(&time).into()),
        None => Err(Raised::new("ValueError", format!("{} is no ISO 8601 timestamp", shown(value)))),
    }
}

/// A value in a complaint: as JSON, cut to a line.
pub(crate) fn shown(value: &Value) -> String {
    /// The most characters of a sender's value in one complaint.
    const SHOWN_CHARS_MAX: usize = 120;
    let text = json::to_string(value);
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Parts, Priority};

    #[test]
    fn sample_ids_are_a_published_function_of_the_notification() {
        assert_eq!(SAMPLE_IDS, Uuid::new_v5(&Uuid::NAMESPACE_OID, b"nephoscope.sample"));
        let notification = Notification::new(
            Priority::Info,
            Parts {
                message_id: "2b0a0a3c-63a1-4a4c-8f3a-0d7e0f6f2a11".into(),
                event_type: "image.send".into(),
                timestamp: "2026-03-01 10:20:30.123456".into(),
                ..Parts::default()
            },
        );
        let (source, mut samples, mut complaints) = ("openstack".into(), Vec::new(), Vec::new());
        let mut sampling = Sampling::new(&notification, &source, &mut samples, &mut complaints);
        let name = br#"["2b0a0a3c-63a1-4a4c-8f3a-0d7e0f6f2a11","image.send","2026-03-01 10:20:30.123456",0]"#;
        assert_eq!(sampling.next_id(), Uuid::new_v5(&SAMPLE_IDS, name).to_string());
        assert_eq!(sampling.next_id(), "dc0898eb-8cb3-5e2d-8360-68d637fca0fb");
    }
}
