//! How a record is known: samples and events, by their ids.

use nephoscope::model::{Dict, Value, json};

/// Samples or events, as which a record is published.
pub(crate) const SAMPLES: &str = "sample";
/// The other.
pub(crate) const EVENTS: &str = "event";

/// A record: what it is and its id.
pub(super) type Id = (&'static str, String);

/// The id of a record that was parked as it was.
pub(super) fn refused_id(body: &[u8]) -> Option<Id> {
    let Ok(Value::Dict(record)) = json::read(body) else { return None };
    let text = |record: &Dict, key: &str| record.get(key).map(id_text);
    if record.get("traits").is_some() {
        Some((EVENTS, text(&record, "message_id")?))
    } else {
        Some((SAMPLES, text(&record, "id")?))
    }
}

/// A text as it is, anything else as JSON.
pub(crate) fn id_text(value: &Value) -> String {
    value.as_str().map_or_else(|| json::to_string(value), str::to_owned)
}
