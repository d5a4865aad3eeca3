//! The grouping value of a sample or event, as bytes: by it a pipeline queue is chosen and state is kept.

use super::{Value, json};
use std::borrow::Cow;

/// The bytes of a grouping key (in most pipelines a resource id, which may be any JSON): a string is its UTF-8,
/// `null` is nothing, anything else is its compact JSON. Always UTF-8.
pub fn grouping_bytes(key: &Value) -> Cow<'_, [u8]> {
    match grouping_text(key) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
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
