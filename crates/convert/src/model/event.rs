//! An event: what happened, with typed traits.

use super::json::{self, OnDemand, Part};
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
    pub traits: OnDemand<Vec<Trait>>,
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
        out.extend_from_slice(b",\"traits\":");
        match self.traits.json() {
            Some(json) => out.extend_from_slice(json.as_bytes()),
            None => write_traits(&self.traits, out),
        }
        out.extend_from_slice(b",\"raw\":");
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
        let traits = from.on_demand(|from| from.list(|from| RawTrait::read(from).map(drop)).map(drop))?;
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
            traits: traits.into_iter().map(read_trait).collect::<Option<Vec<_>>>().ok_or("traits")?.into(),
            raw,
        })
    }
}

fn write_traits(traits: &[Trait], out: &mut Vec<u8>) {
    out.push(b'[');
    for (n, one) in traits.iter().enumerate() {
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
    out.push(b']');
}

/// A trait as [`Event::write_json`] writes it: the JSON of its name, its type's code, and the JSON of its value. The value is of
/// that type; a time is as [`time::isoformat_naive`] has it.
pub struct RawTrait<'t> {
    /// A string.
    pub name: &'t str,
    /// See [`TraitValue::dtype`].
    pub dtype: u8,
    /// A string or a number.
    pub value: &'t str,
}

impl<'t> RawTrait<'t> {
    /// Reads one, and nothing else.
    pub fn read(from: &mut json::Exact<'t>) -> Option<RawTrait<'t>> {
        let is_string = |raw: &str| raw.starts_with('"');
        from.literal(b"[")?;
        let name = from.raw().filter(|name| is_string(name))?;
        from.literal(b",")?;
        let &[dtype @ b'0'..=b'4'] = from.raw()?.as_bytes() else { return None };
        from.literal(b",")?;
        let value = from.raw()?;
        from.literal(b"]")?;
        let is_number = || value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let is_float = || value.contains(['.', 'e', 'E']);
        let fits = match dtype {
            b'0' | b'1' => is_string(value),
            b'2' => is_number() && !is_float(),
            b'3' => is_number() && is_float(),
            _ => is_isoformat(value.strip_prefix('"')?.strip_suffix('"')?),
        };
        fits.then_some(RawTrait { name, dtype: dtype - b'0', value })
    }
}

/// Whether this is a time as [`time::isoformat_naive`] writes it.
fn is_isoformat(text: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.dddddd";
    let as_in = |(byte, form): (u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == *form };
    matches!(text.len(), 19 | 26)
        && !text.ends_with(".000000")
        && text.bytes().zip(FORM).all(as_in)
        && time::parse(text).is_some()
}

impl Part for Vec<Trait> {
    fn read(json: &Text) -> Option<Vec<Trait>> {
        match json::read_text(json) {
            Ok(Value::List(traits)) => traits.into_iter().map(read_trait).collect(),
            _ => None,
        }
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
            ]
            .into(),
            raw: Dict::from_iter([("k", Dict::from_iter([("l", Value::Null)]))]),
        };
        let mut out = Vec::new();
        event.write_json(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), json::to_string(&Value::Dict(event.serialize())));
    }
}
