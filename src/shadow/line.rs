//! A line of a file as a notification: bare, in the oslo envelope, either of these with a priority beside it, or captured.

use super::capture::Captured;
use crate::model::{Notification, Priority, Value, envelope, json};

/// A notification in any of the accepted forms, or why the line holds none.
pub fn read(line: &[u8]) -> Result<Notification, String> {
    let value = json::read(line).map_err(|e| format!("the line is {e}"))?;
    let Value::Dict(mut dict) = value else { return Err("the line is not a JSON object".to_owned()) };
    if dict.contains_key("routing_key") && (dict.contains_key("body") || dict.contains_key("body_base64")) {
        let captured = Captured::of(&dict)?;
        return envelope::open(&captured.body).map_err(|e| e.to_string());
    }
    let mut given = None;
    if let Some(message) = dict.get("message").filter(|m| matches!(m, Value::Dict(_) | Value::Str(_))).cloned() {
        given = dict.remove("priority");
        dict = match message {
            Value::Dict(inner) => inner,
            other => match json::read(other.as_str().unwrap_or_default().as_bytes()) {
                Ok(Value::Dict(inner)) => inner,
                _ => return Err("the line's message is not a JSON object".to_owned()),
            },
        };
    }
    let mut dict = envelope::unwrap(dict).map_err(|e| e.to_string())?;
    // Already in the shape that definitions see: the context and the metadata are objects of their own.
    if dict.get("metadata").is_some_and(|m| m.as_dict().is_some()) && !dict.contains_key("message_id") {
        let name = given.or_else(|| dict.remove("priority")).unwrap_or_else(|| Value::from("info"));
        let priority = name.as_str().and_then(Priority::from_name);
        let priority = priority.ok_or_else(|| format!("unknown priority {}", json::to_string(&name)))?;
        return Ok(Notification::from_root(priority, dict));
    }
    if let Some(priority) = given {
        dict.insert("priority", priority);
    }
    envelope::from_message(dict).map_err(|e| e.to_string())
}
