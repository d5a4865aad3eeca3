//! What stands on a parked message: why it was parked, when, of whom, and where it belongs. Written by the agent that parks it,
//! read by `nephoscope parked`; one that an earlier version parked has less on it, and the rest is read out of the body.

use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::BTreeMap;

use crate::model::shown::without_secrets;
use crate::model::{Dict, Value, envelope, json};
use crate::observe::ParkReason;

/// The format of the headers. Headers that are not known are passed over.
const FORMAT: &str = "1";
/// The longest sentence, in bytes: RabbitMQ bounds a frame of headers.
const REASON_BYTES_MAX: usize = 2_000;
/// The longest value of any other header, in bytes.
const VALUE_BYTES_MAX: usize = 500;
/// Stands between a publisher and what it said, in the sentence of a refused record.
const REFUSED: &str = " refused it: ";

const FORMAT_HEADER: &str = "x-nephoscope-format";
const KIND: &str = "x-nephoscope-kind";
/// What versions before 0.1.0 wrote for [`ParkReason::InternalError`].
const FORMER_INTERNAL_ERROR: &str = "poison";
const REASON: &str = "x-nephoscope-reason";
const ORIGIN: &str = "x-nephoscope-origin";
const MEMBER: &str = "x-nephoscope-member";
const CONTENT: &str = "x-nephoscope-content";
const TIME: &str = "x-nephoscope-time";
const ATTEMPTS: &str = "x-nephoscope-attempts";
const EVENT_TYPE: &str = "x-nephoscope-event-type";
const SINK: &str = "x-nephoscope-sink";
const PUBLISHER: &str = "x-nephoscope-publisher";
const DESTINATION: &str = "x-nephoscope-destination";
const PIPELINE: &str = "x-nephoscope-pipeline";
const MESSAGE_ID: &str = "x-nephoscope-message-id";

/// What the body of a parked message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// A message as it came to a main queue.
    Message,
    /// A packet as it came to a pipeline queue or an overflow queue.
    Packet,
    /// One sample.
    Sample,
    /// One event.
    Event,
}

impl Content {
    const ALL: [Content; 4] = [Content::Message, Content::Packet, Content::Sample, Content::Event];

    /// The word for it in the header.
    pub fn name(self) -> &'static str {
        match self {
            Content::Message => "message",
            Content::Packet => "packet",
            Content::Sample => "sample",
            Content::Event => "event",
        }
    }
}

/// Whose a parked sample or event is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whose {
    /// The sink, as its queues are named: `meter_sink`, `event:event_sink`.
    pub sink: String,
    /// The URL of the publisher that refused it, without secrets; nothing where the transformers failed over it.
    pub publisher: Option<String>,
    /// What tells that publisher from the sink's others: the end of the name of its overflow queue.
    pub destination: Option<String>,
    /// The pipeline that took it.
    pub pipeline: Option<String>,
    /// The message id of its notification, as JSON.
    pub message_id: Option<String>,
}

/// What stands on a parked message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The reason in one word: `refused`, `unreadable` and so on; what an unknown version wrote as it is.
    pub reason: String,
    /// The reason in a sentence.
    pub text: String,
    /// The queue that it came from; of a refused record, the sink.
    pub origin: String,
    /// The member that parked it.
    pub member: String,
    /// What the body is.
    pub content: Content,
    /// When it was parked.
    pub time: Option<DateTime<Utc>>,
    /// How often it was tried: a record offered to its publisher, a message delivered to an agent.
    pub attempts: Option<u32>,
    /// The event type of a notification or event; the meter of a sample.
    pub event_type: Option<String>,
    /// Of a sample or event.
    pub whose: Whose,
}

impl Label {
    /// The headers that say it. Secrets in URLs are left out, long values are cut.
    pub(in crate::agent) fn headers(&self) -> BTreeMap<String, String> {
        let Label { whose, .. } = self;
        let text = |value: &str| Some(cut(&without_secrets(value), VALUE_BYTES_MAX));
        let some = |value: &Option<String>| value.as_deref().and_then(text);
        let all = [
            (FORMAT_HEADER, Some(FORMAT.to_owned())),
            (KIND, text(&self.reason)),
            (REASON, Some(cut(&without_secrets(&self.text), REASON_BYTES_MAX))),
            (ORIGIN, text(&self.origin)),
            (MEMBER, Some(self.member.clone())),
            (CONTENT, Some(self.content.name().to_owned())),
            (TIME, self.time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))),
            (ATTEMPTS, self.attempts.map(|attempts| attempts.to_string())),
            (EVENT_TYPE, some(&self.event_type)),
            (SINK, text(&whose.sink).filter(|sink| !sink.is_empty())),
            (PUBLISHER, some(&whose.publisher)),
            (DESTINATION, some(&whose.destination)),
            (PIPELINE, some(&whose.pipeline)),
            // Half of it would be no JSON.
            (MESSAGE_ID, whose.message_id.clone().filter(|id| id.len() <= VALUE_BYTES_MAX)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// Reads what stands on a message; `body` is unpacked.
    pub(super) fn read(headers: &BTreeMap<String, String>, body: &[u8]) -> Label {
        let header = |name: &str| headers.get(name).filter(|value| !value.is_empty()).cloned();
        let or_empty = |name: &str| header(name).unwrap_or_default();
        let (mut reason, text, origin) = (or_empty(KIND), or_empty(REASON), or_empty(ORIGIN));
        if reason == FORMER_INTERNAL_ERROR {
            ParkReason::InternalError.name().clone_into(&mut reason);
        }
        let word = header(CONTENT);
        let said = Content::ALL.into_iter().find(|content| word.as_deref() == Some(content.name()));
        let content = said.unwrap_or_else(|| content_of_old(&reason, &text, &origin));
        let is_record = matches!(content, Content::Sample | Content::Event);
        let refused_by = || text.split_once(REFUSED).map(|(publisher, _)| publisher.to_owned());
        let whose = Whose {
            sink: header(SINK).or_else(|| is_record.then(|| origin.clone())).unwrap_or_default(),
            publisher: header(PUBLISHER).or_else(|| refused_by().filter(|_| is_record)),
            destination: header(DESTINATION),
            pipeline: header(PIPELINE),
            message_id: header(MESSAGE_ID),
        };
        let time = header(TIME).and_then(|time| DateTime::parse_from_rfc3339(&time).ok());
        Label {
            member: or_empty(MEMBER),
            time: time.map(|time| time.to_utc()),
            attempts: header(ATTEMPTS).and_then(|attempts| attempts.parse().ok()),
            event_type: header(EVENT_TYPE).or_else(|| event_type(body)),
            reason,
            text,
            origin,
            content,
            whose,
        }
    }

    /// The sentence of a record that a publisher refused.
    pub(in crate::agent) fn refused(publisher: &str, cause: &str) -> String {
        format!("{publisher}{REFUSED}{cause}")
    }
}

/// What the body is of a message that an earlier version parked: it did not write that down.
fn content_of_old(reason: &str, text: &str, origin: &str) -> Content {
    let is = |kind: ParkReason| reason == kind.name();
    match () {
        () if is(ParkReason::ForeignPacket) => Content::Packet,
        () if is(ParkReason::Refused) && origin.starts_with("event:") => Content::Event,
        () if is(ParkReason::Refused) => Content::Sample,
        () if is(ParkReason::InternalError) && text.contains("transformer") => Content::Sample,
        () => Content::Message,
    }
}

/// What a body is about, as far as it can be read: the event type of a notification, also of one without a known priority, or of
/// an event; the meter of a sample.
pub(in crate::agent) fn event_type(body: &[u8]) -> Option<String> {
    let Ok(Value::Dict(outer)) = json::read(body) else { return None };
    let message = envelope::unwrap(outer).ok()?;
    let text = |dict: &Dict, key: &str| dict.get(key).and_then(Value::as_str).map(|text| cut(text, VALUE_BYTES_MAX));
    text(&message, "event_type").or_else(|| text(&message, "name"))
}

/// The beginning of a text, of so many bytes at most.
fn cut(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn label() -> Label {
        Label {
            reason: "refused".to_owned(),
            text: "gnocchi://u@h refused it: 400".to_owned(),
            origin: "meter_sink".to_owned(),
            member: "controller-1".to_owned(),
            content: Content::Sample,
            time: DateTime::from_timestamp_millis(1_772_360_430_123),
            attempts: Some(3),
            event_type: Some("cpu".to_owned()),
            whose: Whose {
                sink: "meter_sink".to_owned(),
                publisher: Some("gnocchi://h".to_owned()),
                destination: Some("gnocchi-0a1b2c3d".to_owned()),
                pipeline: Some("meter_source:meter_sink".to_owned()),
                message_id: Some(r#""m-1""#.to_owned()),
            },
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let headers = label().headers();
        assert_eq!(headers[TIME], "2026-03-01T10:20:30.123Z");
        let read = Label::read(&headers, b"no JSON");
        assert_eq!(Label { text: label().text, ..read }, label());
    }

    #[test]
    fn no_secret_and_no_long_value_stands_in_a_header() {
        let mut label = label();
        label.text = format!("http://u:pass@h refused it: {}", "é".repeat(2_000));
        label.event_type = Some("x".repeat(9_000));
        label.whose.message_id = Some("9".repeat(9_000));
        let headers = label.headers();
        assert!(headers.values().all(|value| !value.contains("pass")), "{headers:?}");
        assert!(headers.values().all(|value| value.len() <= REASON_BYTES_MAX));
        assert_eq!((headers[EVENT_TYPE].len(), headers.get(MESSAGE_ID)), (VALUE_BYTES_MAX, None));
    }

    /// As versions before this one wrote: format, kind, reason, origin, member.
    #[rstest]
    #[case::sample(
        "refused",
        "http://h/ refused it: 400",
        "meter_sink",
        br#"{"name":"cpu"}"#,
        Content::Sample,
        Some("cpu")
    )]
    #[case::event(
        "refused",
        "http://h/ refused it: 400",
        "event:s",
        br#"{"event_type":"e"}"#,
        Content::Event,
        Some("e")
    )]
    #[case::packet("foreign_packet", "format 2", "nephoscope.g.s.g1.0", br#"{"format":2}"#, Content::Packet, None)]
    #[case::unreadable("unreadable", "not JSON", "notifications.info", b"\xff", Content::Message, None)]
    #[case::priority(
        "unknown_priority",
        "BOGUS",
        "notifications.info",
        br#"{"event_type":"e","priority":"BOGUS"}"#,
        Content::Message,
        Some("e")
    )]
    #[case::enveloped(
        "too_large",
        "9 MiB",
        "notifications.info",
        br#"{"oslo.version":"2.0","oslo.message":"{\"event_type\":\"e\"}"}"#,
        Content::Message,
        Some("e")
    )]
    #[case::transformer(
        "poison",
        "a mistake in a transformer: please report it",
        "s",
        br#"{"name":"cpu"}"#,
        Content::Sample,
        Some("cpu")
    )]
    #[case::converter(
        "poison",
        "a mistake in the converter: please report it",
        "notifications.info",
        b"{}",
        Content::Message,
        None
    )]
    #[case::by_hand("", "", "", b"", Content::Message, None)]
    fn what_an_earlier_version_parked_is_understood(
        #[case] reason: &str,
        #[case] text: &str,
        #[case] origin: &str,
        #[case] body: &[u8],
        #[case] content: Content,
        #[case] event_type: Option<&str>,
    ) {
        let old = [(FORMAT_HEADER, FORMAT), (KIND, reason), (REASON, text), (ORIGIN, origin), (MEMBER, "a")];
        let headers = old.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let label = Label::read(&headers, body);
        assert_eq!((label.content, label.event_type.as_deref()), (content, event_type));
        assert_eq!((label.time, label.attempts), (None, None));
        let is_record = matches!(content, Content::Sample | Content::Event);
        assert_eq!(label.whose.sink, if is_record { origin } else { "" });
        assert_eq!(label.whose.publisher.is_some(), reason == "refused");
    }
}
