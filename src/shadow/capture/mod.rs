//! The file of captured notifications: gzip, one JSON object per line.
//!
//! The first line is the [`Header`]: format number, version, whether personal fields are hashed. Every other line is a
//! [`Captured`] notification, or the [`End`] that a file has which was finished in order. `docs/formats.md` has the fields.
//!
//! Never here: where notifications come from, where they go.

mod personal;
mod read;
mod write;

pub use personal::{Action, Personal, RULES, Rule};
pub use read::{Lines, Opened, READ_LINE_BYTES_MAX};
pub use write::{CaptureError, Room, Writer};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::BTreeMap;

use crate::model::{Dict, Value, json};

/// The format that is written; higher ones are refused.
pub const FORMAT: i64 = 1;
/// The member by which a header is known.
const HEADER: &str = "nephoscope_capture";
/// The member by which an end is known.
const END: &str = "nephoscope_capture_end";

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// [`FORMAT`].
    pub format: i64,
    /// The version of the program that wrote it.
    pub version: String,
    /// Whether personal fields are hashed.
    pub hashed: bool,
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Where it was published to …
    pub exchange: String,
    /// … and how.
    pub routing_key: String,
    /// `content_type`, where there was one.
    pub content_type: Option<String>,
    /// Headers that are text.
    pub headers: BTreeMap<String, String>,
    /// The body, unpacked.
    pub body: Vec<u8>,
}

/// The last line of a file that was finished in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Notifications in the file.
    pub notifications: u64,
    /// Notifications that the copy missed meanwhile.
    pub missed: u64,
}

/// What a line of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The beginning.
    Header(Header),
    /// The end.
    End(End),
}

impl Header {
    /// Of a file that this program writes.
    pub fn new(hashed: bool) -> Header {
        Header { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), hashed }
    }

    /// As a line, without its end.
    pub fn line(&self, started: DateTime<Utc>) -> Vec<u8> {
        let mut line = Vec::new();
        let personal = if self.hashed { "hashed" } else { "as sent" };
        let members = [
            (HEADER, Value::Int(self.format)),
            ("version", Value::from(self.version.as_str())),
            ("started", Value::from(stamp(started))),
            ("personal", Value::from(personal)),
        ];
        json::write_dict(&Dict::from_iter(members), &mut line);
        line
    }
}

impl End {
    /// As a line, without its end.
    pub fn line(&self, ended: DateTime<Utc>) -> Vec<u8> {
        let mut line = Vec::new();
        let count = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let members = [
            (END, Value::from(stamp(ended))),
            ("notifications", count(self.notifications)),
            ("missed", count(self.missed)),
        ];
        json::write_dict(&Dict::from_iter(members), &mut line);
        line
    }
}

/// What a line is that is no notification; an error where a newer program wrote the file.
pub fn mark(line: &[u8]) -> Result<Option<Mark>, String> {
    // Every line of a file may come by here: a look at its beginning is enough.
    if !line.starts_with(br#"{"nephoscope_capture"#) {
        return Ok(None);
    }
    let Ok(Value::Dict(dict)) = json::read(line) else { return Ok(None) };
    if let Some(Value::Int(format)) = dict.get(HEADER) {
        let version = dict.get("version").and_then(Value::as_str).unwrap_or("unknown").to_owned();
        if *format > FORMAT {
            return Err(format!(
                "it has format {format}, and this nephoscope reads formats up to {FORMAT}; read it with nephoscope {version}"
            ));
        }
        let hashed = dict.get("personal").and_then(Value::as_str) == Some("hashed");
        return Ok(Some(Mark::Header(Header { format: *format, version, hashed })));
    }
    let count = |name| match dict.get(name) {
        Some(Value::Int(count)) => u64::try_from(*count).unwrap_or_default(),
        _ => 0,
    };
    let end = || Mark::End(End { notifications: count("notifications"), missed: count("missed") });
    Ok(dict.contains_key(END).then(end))
}

impl Captured {
    /// As a line, without its end.
    pub fn line(&self, received: DateTime<Utc>) -> Vec<u8> {
        let mut members = vec![
            ("time", Value::from(stamp(received))),
            ("exchange", Value::from(self.exchange.as_str())),
            ("routing_key", Value::from(self.routing_key.as_str())),
        ];
        members.extend(self.content_type.as_deref().map(|text| ("content_type", Value::from(text))));
        if !self.headers.is_empty() {
            let headers = self.headers.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str())));
            members.push(("headers", Value::Dict(headers.collect::<Dict>())));
        }
        members.push(match std::str::from_utf8(&self.body) {
            Ok(text) => ("body", Value::from(text)),
            Err(_) => ("body_base64", Value::from(BASE64_STANDARD.encode(&self.body))),
        });
        let mut line = Vec::with_capacity(self.body.len() + 256);
        json::write_dict(&Dict::from_iter(members), &mut line);
        line
    }

    /// The notification of a line, or why it holds none.
    pub fn read(line: &[u8]) -> Result<Captured, String> {
        match json::read(line) {
            Ok(Value::Dict(dict)) => Captured::of(&dict),
            Ok(_) => Err("the line is not a JSON object".to_owned()),
            Err(error) => Err(format!("the line is {error}")),
        }
    }

    /// The notification of a line that is read.
    pub(super) fn of(dict: &Dict) -> Result<Captured, String> {
        let text = |name: &str| dict.get(name).and_then(Value::as_str);
        let wanted = |name: &str| text(name).map(str::to_owned).ok_or_else(|| format!("the line has no {name}"));
        let body = match (text("body"), text("body_base64")) {
            (Some(body), _) => body.as_bytes().to_vec(),
            (None, Some(packed)) => {
                BASE64_STANDARD.decode(packed).map_err(|error| format!("body_base64 is no base64: {error}"))?
            }
            (None, None) => return Err("the line has no body".to_owned()),
        };
        let headers = dict.get("headers").and_then(Value::as_dict).into_iter().flat_map(Dict::iter);
        let headers = headers.filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned())));
        Ok(Captured {
            exchange: wanted("exchange")?,
            routing_key: wanted("routing_key")?,
            content_type: text("content_type").map(str::to_owned),
            headers: headers.collect(),
            body,
        })
    }
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn captured(body: &[u8]) -> Captured {
        Captured {
            exchange: "nova".to_owned(),
            routing_key: "notifications.info".to_owned(),
            content_type: Some("application/json".to_owned()),
            headers: BTreeMap::from([("traceparent".to_owned(), "00-ab".to_owned())]),
            body: body.to_vec(),
        }
    }

    #[rstest]
    #[case::text(br#"{"a": "\u00e9", "b":1.0}"#)]
    #[case::not_utf8(b"\xff\x00")]
    #[case::empty(b"")]
    fn a_notification_comes_back_as_it_was(#[case] body: &[u8]) {
        let line = captured(body).line(DateTime::UNIX_EPOCH);
        assert_eq!(Captured::read(&line), Ok(captured(body)));
        assert!(!line.contains(&b'\n'));
    }

    #[rstest]
    #[case(br#"{"exchange":"nova","routing_key":"n.info"}"#, "no body")]
    #[case(br#"{"exchange":"nova","body":"{}"}"#, "no routing_key")]
    #[case(br#"{"exchange":1,"routing_key":"n.info","body":"{}"}"#, "no exchange")]
    #[case(br#"{"exchange":"x","routing_key":"n.info","body_base64":"?"}"#, "no base64")]
    #[case(b"[]", "not a JSON object")]
    #[case(b"{", "not JSON")]
    fn a_line_that_holds_none_says_why(#[case] line: &[u8], #[case] why: &str) {
        let said = Captured::read(line).unwrap_err();
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn the_first_and_the_last_line_are_known() {
        let header = Header::new(true);
        assert_eq!(mark(&header.line(DateTime::UNIX_EPOCH)), Ok(Some(Mark::Header(header))));
        let end = End { notifications: 3, missed: 1 };
        assert_eq!(mark(&end.line(DateTime::UNIX_EPOCH)), Ok(Some(Mark::End(end))));
        assert_eq!(mark(&captured(b"{}").line(DateTime::UNIX_EPOCH)), Ok(None));
        let newer = mark(br#"{"nephoscope_capture":2,"version":"9.0.0"}"#).unwrap_err();
        assert!(newer.contains("format 2") && newer.contains("9.0.0"), "{newer}");
    }
}
