//! How a transformer names what it makes: `target`, or `map_from` and `map_to` (Ceilometer reference §5.4, `_map`).

use crate::model::python::{Raised, Substitution};
use crate::model::{Text, Value};

/// The most bytes that one substitution may look at or make.
const SUBSTITUTION_BYTES_MAX: usize = 1 << 20;

/// Where the name or the unit of a new sample comes from.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline::transform) struct Naming {
    /// What `map_from` and `map_to` say, if both say something that is a regular expression.
    pub(in crate::pipeline::transform) map: Option<Substitution>,
    /// What `target` says.
    pub(in crate::pipeline::transform) target: Option<Value>,
}

impl Naming {
    /// The new value of what was one. A map that makes nothing, or fails, leaves it to `target`, as in Ceilometer;
    /// one that would not end costs the sample.
    pub(in crate::pipeline::transform) fn of(&self, value: &Value) -> Result<Value, Raised> {
        if let (Some(map), Some(text)) = (&self.map, value.as_str()) {
            let mut left = SUBSTITUTION_BYTES_MAX;
            let mut spend = |bytes: usize| {
                left = left
                    .checked_sub(bytes)
                    .ok_or_else(|| Raised::new("MemoryError", "the name is too long to be mapped"))?;
                Ok(())
            };
            match map.apply(text, &mut spend) {
                Ok(mapped) if !mapped.is_empty() => return Ok(Value::from(mapped)),
                Err(raised) if ["MemoryError", "RecursionError"].contains(&raised.class) => return Err(raised),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(self.target.as_ref().unwrap_or(value).clone())
    }

    /// The new name: text in any case, since `target.name` is.
    pub(in crate::pipeline::transform) fn name(&self, name: &Text) -> Result<Text, Raised> {
        match self.of(&Value::Str(name.clone()))? {
            Value::Str(name) => Ok(name),
            _ => Ok(name.clone()),
        }
    }
}
