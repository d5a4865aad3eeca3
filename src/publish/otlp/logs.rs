//! Events as OTLP log records.
//!
//! A repeat of an event is the same bytes: also the time at which it was observed is the event's own.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use std::collections::BTreeSet;

use super::attributes::{any, attribute, float, object, scope, text};
use crate::model::{Event, TraitValue, time};
use crate::publish::measure;
use crate::publish::outcome::Refused;

/// An event with a moment that OTLP can tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'e> {
    /// Its position in the batch.
    pub position: usize,
    event: &'e Event,
    nanoseconds: u64,
}

/// The events of a batch that have such a moment, in order; the others are refused.
pub(super) fn records(events: &[Event]) -> (Vec<Record<'_>>, Vec<Refused>) {
    let (mut records, mut refused) = (Vec::with_capacity(events.len()), Vec::new());
    for (position, event) in events.iter().enumerate() {
        let moment = event.generated.and_utc().timestamp_nanos_opt();
        match moment.and_then(|nanoseconds| u64::try_from(nanoseconds).ok()) {
            Some(nanoseconds) => records.push(Record { position, event, nanoseconds }),
            None => refused.push(Refused {
                record: position,
                cause: "the event's time is not between 1970 and 2262; look at its sender's clock".to_owned(),
            }),
        }
    }
    (records, refused)
}

/// The request for these events.
pub(super) fn request(records: &[Record<'_>]) -> ExportLogsServiceRequest {
    let log_records = records.iter().map(log_record).collect();
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, schema_url: String::new() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }
}

fn log_record(record: &Record<'_>) -> LogRecord {
    let event = record.event;
    let mut attributes: Vec<KeyValue> = Vec::with_capacity(event.traits.len() + 1);
    attributes.extend(measure::text(&event.message_id).map(|id| text("message_id", id)));
    let traits = event.traits.iter().map(|of| attribute(&of.name, trait_value(&of.value)));
    attributes.extend(traits);
    // A key may be there once.
    let mut seen = BTreeSet::new();
    let unique: Vec<bool> = attributes.iter().map(|one| seen.insert(one.key.clone())).collect();
    let mut unique = unique.into_iter();
    attributes.retain(|_| unique.next().unwrap_or(true));
    let raw = (!event.raw.is_empty()).then(|| AnyValue { value: Some(object(event.raw.iter())) });
    LogRecord {
        time_unix_nano: record.nanoseconds,
        observed_time_unix_nano: record.nanoseconds,
        event_name: event.event_type.to_string(),
        attributes,
        body: raw,
        ..LogRecord::default()
    }
}

fn trait_value(value: &TraitValue) -> Option<Any> {
    match value {
        TraitValue::None(text) | TraitValue::Text(text) => Some(Any::StringValue(text.to_string())),
        TraitValue::Int(int) => any(int),
        TraitValue::Float(number) => Some(float(*number)),
        TraitValue::Datetime(moment) => Some(Any::StringValue(time::isoformat_naive(moment))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Trait, Value};
    use prost::Message;

    #[test]
    fn an_event_is_a_log_record_with_typed_attributes() {
        let mut event = crate::publish::record::tests::event("m");
        event.traits.push(Trait { name: "t".into(), value: TraitValue::Text("again".into()) });
        event.raw.insert("payload", vec![Value::Int(1)]);
        let events = [event];
        let (records, refused) = records(&events);
        assert_eq!(refused, []);
        let bytes = request(&records).encode_to_vec();
        let sent = ExportLogsServiceRequest::decode(bytes.as_slice()).unwrap();
        let record = &sent.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!(record.event_name, "compute.instance.update");
        assert_eq!(record.time_unix_nano, 1_577_836_800_000_005_000);
        let told = |key: &str, value| attribute(key, Some(value));
        let text = |text: &str| Any::StringValue(text.to_owned());
        assert_eq!(
            record.attributes,
            [
                told("message_id", text("m")),
                told("n", text("x")),
                told("t", text("é")),
                told("i", Any::IntValue(7)),
                told("f", Any::DoubleValue(1e16)),
                told("d", text("2020-01-01T00:00:00.000005")),
            ]
        );
        assert_eq!(record.body.as_ref().unwrap().value, Some(object(events[0].raw.iter())));
    }

    #[test]
    fn an_event_of_a_time_that_otlp_does_not_have_is_refused() {
        let mut old = crate::publish::record::tests::event("m");
        old.generated = time::parse("1900-01-01").unwrap().naive_utc();
        let events = [old];
        let (records, refused) = records(&events);
        assert_eq!((records.len(), refused[0].record), (0, 0));
    }
}
