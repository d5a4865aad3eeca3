//! An event: what happened, with typed traits.

use super::json;
use super::text::Text;
use super::time;
use super::value::{Dict, Value};
use chrono::NaiveDateTime;

/// The value of a trait, with its type (Ceilometer reference §3.3 gives the codes).
#[derive(Debug, Clone, PartialEq)]
pub enum TraitValue {
    /// Code 0: text without a type.
    None(Text),
    /// Code 1, at most 255 characters.
    Text(Text),
    /// Code 2: an integer of any size ([`Value::Int`] or [`Value::Big`]).
    Int(Value),
    /// Code 3.
    Float(f64),
    /// Code 4: naive, UTC.
    Datetime(NaiveDateTime),
}

impl TraitValue {
    /// The type's code in messages.
    pub fn dtype(&self) -> i64 {
        match self {
            TraitValue::None(_) => 0,
            TraitValue::Text(_) => 1,
            TraitValue::Int(_) => 2,
            TraitValue::Float(_) => 3,
            TraitValue::Datetime(_) => 4,
        }
    }

    /// The value as in messages: a datetime is its ISO text.
    pub fn to_value(&self) -> Value {
        match self {
            TraitValue::None(s) | TraitValue::Text(s) => Value::Str(s.clone()),
            TraitValue::Int(i) => i.clone(),
            TraitValue::Float(f) => Value::Float(*f),
            TraitValue::Datetime(t) => Value::from(time::isoformat_naive(t)),
        }
    }
}

/// One trait of an event. (`trait` is taken.)
#[derive(Debug, Clone, PartialEq)]
pub struct Trait {
    /// Its name.
    pub name: Text,
    /// Its typed value.
    pub value: TraitValue,
}

/// An event (Ceilometer reference §4.2).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The notification's message id, whatever the sender put there.
    pub message_id: Value,
    /// The notification's event type.
    pub event_type: Text,
    /// When the notification was sent; naive, UTC.
    pub generated: NaiveDateTime,
    /// The traits, default traits first.
    pub traits: Vec<Trait>,
    /// The whole notification where `store_raw` asks for it, else empty.
    pub raw: Dict,
}

impl Event {
    /// Ceilometer's `serialize()`: `{message_id, event_type, generated, traits: [[name, dtype, value]], raw}`.
    pub fn serialize(&self) -> Dict {
        let traits = self
            .traits
            .iter()
            .map(|t| Value::List(vec![Value::Str(t.name.clone()), Value::Int(t.value.dtype()), t.value.to_value()]))
            .collect();
        Dict::from_iter([
            ("message_id", self.message_id.clone()),
            ("event_type", Value::Str(self.event_type.clone())),
            ("generated", Value::from(time::isoformat_naive(&self.generated))),
            ("traits", Value::List(traits)),
            ("raw", Value::Dict(self.raw.clone())),
        ])
    }

    /// Appends [`serialize`](Event::serialize) as compact JSON, without making it.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"message_id\":");
        json::write(&self.message_id, out);
        out.extend_from_slice(b",\"event_type\":");
        json::write_str(&self.event_type, out);
        out.extend_from_slice(b",\"generated\":");
        json::write_str(&time::isoformat_naive(&self.generated), out);
        out.extend_from_slice(b",\"traits\":[");
        for (n, one) in self.traits.iter().enumerate() {
            out.extend_from_slice(if n > 0 { b",[" } else { b"[" });
            json::write_str(&one.name, out);
            out.push(b',');
            json::write(&Value::Int(one.value.dtype()), out);
            out.push(b',');
            match &one.value {
                TraitValue::None(text) | TraitValue::Text(text) => json::write_str(text, out),
                TraitValue::Int(int) => json::write(int, out),
                other => json::write(&other.to_value(), out),
            }
            out.push(b']');
        }
        out.extend_from_slice(b"],\"raw\":");
        json::write_dict(&self.raw, out);
        out.push(b'}');
    }

    /// Reads what [`write_json`](Event::write_json) writes, and nothing else.
    pub fn read_json(from: &mut json::Exact<'_>) -> Option<Event> {
        from.literal(b"{\"message_id\":")?;
        let message_id = from.value()?;
        from.literal(b",\"event_type\":")?;
        let event_type = from.string()?;
        from.literal(b",\"generated\":")?;
        let generated = time::parse(&from.string()?)?.naive_utc();
        from.literal(b",\"traits\":")?;
        let traits = from.list(|from| {
            from.literal(b"[")?;
            let name = from.string()?;
            from.literal(b",")?;
            let dtype = from.value()?;
            from.literal(b",")?;
            let value = from.value()?;
            from.literal(b"]")?;
            trait_of(name, &dtype, value)
        })?;
        from.literal(b",\"raw\":")?;
        let raw = from.dict()?;
        from.literal(b"}")?;
        Some(Event { message_id, event_type, generated, traits, raw })
    }

    /// The event of a [`serialize`](Event::serialize)d one; the key that is missing or wrong if it is none.
    pub fn from_dict(mut dict: Dict) -> Result<Event, &'static str> {
        let generated = dict.get("generated").and_then(Value::as_str).and_then(time::parse).ok_or("generated")?;
        let Some(Value::Str(event_type)) = dict.remove("event_type") else { return Err("event_type") };
        let Some(Value::List(traits)) = dict.remove("traits") else { return Err("traits") };
        let Some(Value::Dict(raw)) = dict.remove("raw") else { return Err("raw") };
        Ok(Event {
            message_id: dict.remove("message_id").unwrap_or_default(),
            event_type,
            generated: generated.naive_utc(),
            traits: traits.into_iter().map(read_trait).collect::<Option<_>>().ok_or("traits")?,
            raw,
        })
    }
}

fn read_trait(serialized: Value) -> Option<Trait> {
    let Value::List(parts) = serialized else { return None };
    let [Value::Str(name), dtype, value] = <[Value; 3]>::try_from(parts).ok()? else { return None };
    trait_of(name, &dtype, value)
}

fn trait_of(name: Text, dtype: &Value, value: Value) -> Option<Trait> {
    let value = match (dtype, value) {
        (Value::Int(0), Value::Str(s)) => TraitValue::None(s),
        (Value::Int(1), Value::Str(s)) => TraitValue::Text(s),
        (Value::Int(2), i @ (Value::Int(_) | Value::Big(_))) => TraitValue::Int(i),
        (Value::Int(3), Value::Float(f)) => TraitValue::Float(f),
        (Value::Int(4), Value::Str(s)) => TraitValue::Datetime(time::parse(&s)?.naive_utc()),
        _ => return None,
    };
    Some(Trait { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_its_dictionary() {
        let moment = time::parse("2020-01-02T03:04:05.6").unwrap().naive_utc();
        let of = |name: &str, value| Trait { name: name.into(), value };
        let event = Event {
            message_id: Value::Null,
            event_type: "a\"b".into(),
            generated: moment,
            traits: vec![
                of("n", TraitValue::None("\n".into())),
                of("t", TraitValue::Text("é".into())),
                of("i", TraitValue::Int(Value::Int(-7))),
                of("f", TraitValue::Float(f64::INFINITY)),
                of("d", TraitValue::Datetime(moment)),
            ],
            raw: Dict::from_iter([("k", Dict::from_iter([("l", Value::Null)]))]),
        };
        let mut out = Vec::new();
        event.write_json(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), json::to_string(&Value::Dict(event.serialize())));
    }
}
