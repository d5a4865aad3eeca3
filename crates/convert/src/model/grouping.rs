//! The grouping value of a sample or event, as bytes: by it a pipeline queue is chosen and state is kept.

use super::{Event, TraitValue, Value, json};
use std::borrow::Cow;

/// The bytes of a grouping key (in most pipelines a resource id, which may be any JSON): a string is its UTF-8,
/// `null` is nothing, anything else is its compact JSON. Always UTF-8.
pub fn grouping_bytes(key: &Value) -> Cow<'_, [u8]> {
    match grouping_text(key) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The grouping key of an event: its `resource_id` trait, so that the events of one resource keep their order whatever their
/// types; the event type, as Ceilometer groups all, where there is no such trait.
pub fn event_key(event: &Event) -> &[u8] {
    let resource = event.traits.iter().find(|t| t.name == "resource_id").map(|t| &t.value);
    match resource {
        Some(TraitValue::Text(id) | TraitValue::None(id)) => id.as_bytes(),
        _ => event.event_type.as_bytes(),
    }
}

/// The same as text.
pub fn grouping_text(key: &Value) -> Cow<'_, str> {
    match key {
        Value::Null => Cow::Borrowed(""),
        Value::Str(text) => Cow::Borrowed(text),
        other => Cow::Owned(json::to_string(other)),
    }
}
