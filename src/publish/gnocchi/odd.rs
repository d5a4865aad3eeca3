//! Records over which Gnocchi breaks down instead of refusing them: what its index has no room for.
//!
//! Seen with Gnocchi 4.4 on PostgreSQL: a NUL in any text, a unit of more than 31 characters, the id of a user or project of
//! more than 255. It answers 500 or closes the connection, every time. Whether a record is odd is never a reason to refuse it:
//! only together with such an answer, while Gnocchi answers other requests.

use crate::model::{Dict, Sample, Value};
use crate::publish::outcome::Answer;

/// The room for ids and most attributes, in characters.
const TEXT_MAX: usize = 255;
/// The room for a unit, in characters.
const UNIT_MAX: usize = 31;

/// Whether Gnocchi may break down over a sample.
pub(super) fn is_odd_sample(sample: &Sample) -> bool {
    let long_unit = sample.unit.as_str().is_some_and(|unit| unit.chars().count() > UNIT_MAX);
    let ids = [&sample.resource_id, &sample.unit, &sample.user_id, &sample.project_id];
    long_unit || ids.into_iter().any(is_odd) || sample.timestamp.contains('\0') || is_odd(&sample.volume)
}

/// Whether Gnocchi may break down over attributes.
pub(super) fn is_odd_resource(id: &str, attributes: &Dict) -> bool {
    is_odd_text(id) || attributes.iter().any(|(_, value)| is_odd(value))
}

fn is_odd(value: &Value) -> bool {
    match value {
        Value::Str(text) => is_odd_text(text),
        Value::List(items) => items.iter().any(is_odd),
        Value::Dict(dict) => dict.iter().any(|(key, value)| is_odd_text(key) || is_odd(value)),
        _ => false,
    }
}

fn is_odd_text(text: &str) -> bool {
    text.contains('\0') || text.chars().count() > TEXT_MAX
}

/// Why a record is refused over which Gnocchi breaks down.
pub(super) fn breakdown(answer: &Answer) -> String {
    let cause = answer.cause().unwrap_or("no answer");
    format!("Gnocchi breaks down over this record, which has a NUL or a text that is too long for Gnocchi: {cause}")
}
