//! Records over which Zaqar breaks down instead of refusing them: what its stores have no form for.
//!
//! `MongoDB` has no integers beyond 64 bits, and its client refuses keys with a dot, a leading `$` or a NUL, and more than a
//! hundred levels; Redis is written to in msgpack, which has no integers beyond 64 bits either. Zaqar answers 503 then, every
//! time. Whether a record is odd is never a reason to refuse it: only together with such an answer, while Zaqar answers other
//! requests.

use crate::model::{Event, Sample, TraitValue, Value};

/// Levels of a document, in the most forgiving of the stores.
const LEVELS_MAX: usize = 90;

/// Whether Zaqar may break down over a sample.
pub(super) fn is_odd_sample(sample: &Sample) -> bool {
    [&sample.volume, &sample.monotonic_time, &sample.resource_id, &sample.user_id, &sample.project_id, &sample.unit]
        .into_iter()
        .chain([&sample.user_name, &sample.project_name])
        .any(|value| is_odd(value, 0))
        || sample.resource_metadata.iter().any(|(key, value)| is_odd_key(key) || is_odd(value, 1))
}

/// Whether Zaqar may break down over an event.
pub(super) fn is_odd_event(event: &Event) -> bool {
    let is_odd_trait = |value: &TraitValue| matches!(value, TraitValue::Int(value) if is_odd(value, 0));
    is_odd(&event.message_id, 0)
        || event.traits.iter().any(|one| is_odd_trait(&one.value))
        || event.raw.iter().any(|(key, value)| is_odd_key(key) || is_odd(value, 1))
}

fn is_odd(value: &Value, level: usize) -> bool {
    match value {
        Value::Big(_) => true,
        Value::List(_) | Value::Dict(_) if level > LEVELS_MAX => true,
        Value::List(items) => items.iter().any(|item| is_odd(item, level + 1)),
        Value::Dict(dict) => dict.iter().any(|(key, value)| is_odd_key(key) || is_odd(value, level + 1)),
        _ => false,
    }
}

fn is_odd_key(key: &str) -> bool {
    key.starts_with('$') || key.contains(['.', '\0'])
}
