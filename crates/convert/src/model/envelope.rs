//! From the bytes on the wire to a [`Notification`], and back (Ceilometer reference §3.2).

use super::json::{self, JsonError, one_pass};
use super::notification::{ContextMembers, Notification, Parts, Priority};
use super::text::Text;
use super::value::{Dict, Value};

/// Why a body is no notification. Such a message is parked with this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON.
    #[error("the body is {0}")]
    NotJson(#[from] JsonError),
    /// JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// The envelope's inner message is not a JSON object in a string.
    #[error("the envelope's oslo.message is not a JSON object: {0}")]
    Inner(String),
    /// An envelope version that is not 2.0.
    #[error("the envelope's oslo.version is {0}, expected 2.0")]
    Version(String),
    /// No priority, or none of the seven.
    #[error("unknown priority {0}, expected one of audit, critical, debug, error, info, sample, warn")]
    Priority(String),
}

/// Opens a message body: the v2 envelope, or the bare v1 object.
///
/// The priority is taken from the body, in any case, never from the queue.
pub fn open(body: &[u8]) -> Result<Notification, Unreadable> {
    open_for(body, &ContextMembers::All)
}

/// As [`open`]; of the request context only these members are sure to be there. Others are read over: most of what a
/// service writes into the context, no definition looks at.
pub fn open_for(body: &[u8], context: &ContextMembers) -> Result<Notification, Unreadable> {
    match std::str::from_utf8(body) {
        Ok(text) => open_text(&text.into(), context),
        Err(_) => open_plainly(body),
    }
}

/// As [`open_for`], of a body that is text: the notification shares it.
pub fn open_text(body: &Text, context: &ContextMembers) -> Result<Notification, Unreadable> {
    let wanted = |key: &str| match key.strip_prefix(CONTEXT_PREFIX) {
        Some(name) => context.has(name),
        None => MEMBERS.contains(&key),
    };
    if let Some(message) = one_pass::message_in_envelope(body, &wanted) {
        return from_message(message);
    }
    match one_pass::members(body, &wanted) {
        Some(outer) => from_message(unwrap(outer)?),
        None => open_plainly(body.as_bytes()),
    }
}

/// As [`open`], by the readers that decide what JSON is; several times slower. The measure of [`open`] in tests.
pub fn open_plainly(body: &[u8]) -> Result<Notification, Unreadable> {
    let Value::Dict(outer) = json::read_plainly(body)? else { return Err(Unreadable::NotAnObject) };
    from_message(unwrap_by(outer, json::read_plainly)?)
}

/// What the members of the request context begin with in a message.
const CONTEXT_PREFIX: &str = "_context_";

/// The other members of a message, or of an envelope, that somebody looks at.
const MEMBERS: [&str; 9] = [
    "publisher_id",
    "event_type",
    "payload",
    "message_id",
    "timestamp",
    "priority",
    "_timeout",
    "oslo.version",
    "oslo.message",
];

/// Takes the inner message out of the v2 envelope; a dictionary that is no envelope is itself the message.
pub fn unwrap(outer: Dict) -> Result<Dict, Unreadable> {
    unwrap_by(outer, json::read)
}

fn unwrap_by(mut outer: Dict, read: impl Fn(&[u8]) -> Result<Value, JsonError>) -> Result<Dict, Unreadable> {
    if !(outer.contains_key("oslo.version") && outer.contains_key("oslo.message")) {
        return Ok(outer);
    }
    let version = outer.remove("oslo.version").unwrap_or_default();
    if !version.as_str().is_some_and(is_supported) {
        return Err(Unreadable::Version(json::to_string(&version)));
    }
    match outer.remove("oslo.message") {
        Some(Value::Str(text)) => match read(text.as_bytes()) {
            Ok(Value::Dict(inner)) => Ok(inner),
            Ok(_) => Err(Unreadable::Inner("another type".to_owned())),
            Err(error) => Err(Unreadable::Inner(error.to_string())),
        },
        _ => Err(Unreadable::Inner("not a string".to_owned())),
    }
}

/// Major 2, minor 0: later minors promise nothing to us.
fn is_supported(version: &str) -> bool {
    version.split_once('.').is_some_and(|(major, minor)| major == "2" && minor == "0")
}

/// The notification of a message in wire form (`_context_…` keys beside `payload` and the others).
pub fn from_message(message: Dict) -> Result<Notification, Unreadable> {
    let mut parts = Parts::default();
    let mut ctxt = Vec::new();
    let mut priority = Value::Null;
    let mut timeout = Value::Null;
    for (key, value) in message {
        match &*key {
            "publisher_id" => parts.publisher_id = value,
            "event_type" => parts.event_type = value,
            "payload" => parts.payload = value,
            "message_id" => parts.message_id = value,
            "timestamp" => parts.timestamp = value,
            "priority" => priority = value,
            "_timeout" => timeout = value,
            other => {
                if let Some(name) = other.strip_prefix(CONTEXT_PREFIX) {
                    ctxt.push((Text::from(name), value));
                }
            }
        }
    }
    ctxt.push((Text::from("client_timeout"), timeout));
    parts.ctxt = Dict::from_pairs(ctxt);
    let known = priority.as_str().and_then(Priority::from_name);
    let priority = known.ok_or_else(|| Unreadable::Priority(json::to_string(&priority)))?;
    Ok(Notification::new(priority, parts))
}

/// The two forms of a message on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The `messaging` driver: the message itself.
    Bare,
    /// The `messagingv2` driver: the message as a string in an envelope that says its version.
    Enveloped,
}

/// The body of a message in wire form.
pub fn seal(message: &Dict, form: Form) -> Vec<u8> {
    let mut inner = Vec::new();
    json::write_dict(message, &mut inner);
    match form {
        Form::Bare => inner,
        Form::Enveloped => {
            let mut body = br#"{"oslo.version":"2.0","oslo.message":"#.to_vec();
            json::write_str(&String::from_utf8_lossy(&inner), &mut body);
            body.push(b'}');
            body
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn both_wire_forms_give_the_same_notification() {
        let bare = br#"{"message_id":"m","publisher_id":"p","event_type":"e","priority":"INFO","payload":{"a":1},
            "timestamp":"t","_unique_id":"u","_context_user":"x"}"#;
        let text = serde_json::to_string(std::str::from_utf8(bare).unwrap()).unwrap();
        let wrapped = format!(r#"{{"oslo.version":"2.0","oslo.message":{text}}}"#);
        let notification = open(bare).unwrap();
        assert_eq!(notification, open(wrapped.as_bytes()).unwrap());
        let Value::Dict(message) = json::read(bare).unwrap() else { panic!("an object") };
        assert_eq!(notification, open(&seal(&message, Form::Bare)).unwrap());
        assert_eq!(notification, open(&seal(&message, Form::Enveloped)).unwrap());
        assert_eq!(
            json::to_string(notification.root()),
            r#"{"ctxt":{"user":"x","client_timeout":null},"publisher_id":"p","event_type":"e","payload":{"a":1},"metadata":{"message_id":"m","timestamp":"t"}}"#
        );
    }

    #[rstest]
    #[case(b"\xff", "not JSON")]
    #[case(b"", "not JSON")]
    #[case(b"[]", "not a JSON object")]
    #[case(br#"{"oslo.version":"9.9","oslo.message":"{}"}"#, "9.9")]
    #[case(br#"{"oslo.version":"2.0","oslo.message":"[]"}"#, "another type")]
    #[case(br#"{"oslo.version":"2.0","oslo.message":"{"}"#, "not JSON")]
    #[case(br#"{"priority":"BOGUS"}"#, "BOGUS")]
    #[case(br#"{"priority":7}"#, "7")]
    #[case(br#"{"event_type":"e"}"#, "null")]
    fn what_cannot_be_read_says_why(#[case] body: &[u8], #[case] why: &str) {
        let error = open(body).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
