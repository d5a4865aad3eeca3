//! JSON in and out of [`Value`], as Python's `json` module has it.
//!
//! Three readers. The first ([`one_pass`]) reads what services write nearly always, in one pass, and copies no text.
//! What it finds unusual goes to `serde_json`; and what that refuses and Python reads (`NaN`, `Infinity`, integers beyond
//! 64 bits, lone surrogates, nesting past 128) goes to a third, slower reader of the same grammar, whose errors count.

mod exact;
mod on_demand;
pub(super) mod one_pass;
mod python;
mod secrets;

pub use exact::Exact;
pub use on_demand::{OnDemand, Part};
pub use secrets::{LOOKED_INTO_MAX, MASKED, REMOVED, SECRETS, is_secret, write_without_secrets};

use super::text::Text;
use super::value::{Dict, Value};
use num_bigint::BigInt;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The deepest nesting read; Python stops near 1,000.
pub const DEPTH_MAX: usize = 900;
/// The longest integer read, in digits; Python's own limit.
pub const INTEGER_DIGITS_MAX: usize = 4300;

/// Why a text is not JSON, and where (byte offset).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}: {why}")]
pub struct JsonError {
    /// Byte offset of the trouble.
    pub at: usize,
    /// What was expected there.
    pub why: &'static str,
}

/// Reads one JSON text. Bytes that are not UTF-8 are an error. Long strings share one copy of the bytes: what outlives the
/// whole must be [detached](Text::detached).
pub fn read(bytes: &[u8]) -> Result<Value, JsonError> {
    let shared = std::str::from_utf8(bytes).ok().and_then(|text| one_pass::read(&Text::from(text)));
    shared.map_or_else(|| read_plainly(bytes), Ok)
}

/// As [`read`], of a text, whose bytes long strings share.
pub fn read_text(text: &Text) -> Result<Value, JsonError> {
    one_pass::read(text).map_or_else(|| read_plainly(text.as_bytes()), Ok)
}

/// As [`read`], by the two readers that decide what JSON is; several times slower. The measure of [`read`] in tests.
pub fn read_plainly(bytes: &[u8]) -> Result<Value, JsonError> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => Ok(value),
        Err(_) => python::read(bytes),
    }
}

/// How a float without a finite value is written: JSON itself has no word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NonFinite {
    /// `null`, which every reader of JSON takes.
    #[default]
    Null,
    /// `NaN`, `Infinity`, `-Infinity`, as Python's `json` writes them and few others read them.
    Python,
}

/// Appends the value as compact JSON, exactly: what [`read`] reads, `NaN` and the infinities included.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    write_as(value, NonFinite::Python, out);
}

/// Appends the value as compact JSON.
pub fn write_as(value: &Value, non_finite: NonFinite, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(i) => write_plain(i, out),
        Value::Big(b) => out.extend_from_slice(b.to_string().as_bytes()),
        Value::Float(f) if !f.is_finite() => out.extend_from_slice(match non_finite {
            NonFinite::Null => b"null".as_slice(),
            NonFinite::Python if f.is_nan() => b"NaN",
            NonFinite::Python if *f > 0.0 => b"Infinity",
            NonFinite::Python => b"-Infinity",
        }),
        Value::Float(f) => write_plain(f, out),
        Value::Str(s) => write_str(s, out),
        Value::List(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_as(item, non_finite, out);
            }
            out.push(b']');
        }
        Value::Dict(dict) => write_dict_as(dict, non_finite, out),
    }
}

/// Appends an object as compact JSON, exactly: see [`write`].
pub fn write_dict(dict: &Dict, out: &mut Vec<u8>) {
    write_dict_as(dict, NonFinite::Python, out);
}

/// Appends an object as compact JSON.
pub fn write_dict_as(dict: &Dict, non_finite: NonFinite, out: &mut Vec<u8>) {
    out.push(b'{');
    for (n, (key, value)) in dict.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write_str(key, out);
        out.push(b':');
        write_as(value, non_finite, out);
    }
    out.push(b'}');
}

/// Appends a JSON string, with the escapes of `serde_json`.
pub fn write_str(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut begin = 0;
    loop {
        let stop = special(bytes, begin);
        out.extend_from_slice(&bytes[begin..stop]);
        let Some(&byte) = bytes.get(stop) else { break };
        let escape = match byte {
            b'"' | b'\\' => byte,
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => b'u',
        };
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            out.extend_from_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        begin = stop + 1;
    }
    out.push(b'"');
}

/// Where the next quote, backslash or control character is, from a place on; the end where there is none. Looks at eight
/// bytes at a time.
fn special(bytes: &[u8], from: usize) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest bit set is right; above the first hit a borrow may set others.
    let zero = |word: u64| word.wrapping_sub(LOW) & !word;
    let (eights, tail) = bytes.get(from..).unwrap_or_default().as_chunks::<8>();
    let mut at = from;
    for eight in eights {
        let word = u64::from_le_bytes(*eight);
        let control = word.wrapping_sub(LOW * 0x20) & !word;
        let hit = (zero(word ^ (LOW * u64::from(b'"'))) | zero(word ^ (LOW * u64::from(b'\\'))) | control) & HIGH;
        if hit != 0 {
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(tail.len())
}

/// The value as a compact JSON text.
pub fn to_string(value: &Value) -> String {
    let mut out = Vec::new();
    write(value, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Scalars are written by `serde_json`, which cannot fail on a `Vec`.
fn write_plain<T: serde::Serialize + ?Sized>(scalar: &T, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, scalar);
    debug_assert!(written.is_ok(), "a scalar always has a JSON form");
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }
    fn visit_i64<E>(self, i: i64) -> Result<Value, E> {
        Ok(Value::Int(i))
    }
    fn visit_u64<E>(self, u: u64) -> Result<Value, E> {
        Ok(Value::integer(BigInt::from(u)))
    }
    fn visit_f64<E: serde::de::Error>(self, f: f64) -> Result<Value, E> {
        // Beyond 64 bits serde_json cannot tell an integer from a float: let the other reader look.
        if f.abs() < 9.0e18 { Ok(Value::Float(f)) } else { Err(E::custom("a number beyond 64 bits")) }
    }
    fn visit_str<E>(self, s: &str) -> Result<Value, E> {
        Ok(Value::Str(s.into()))
    }
    fn visit_string<E>(self, s: String) -> Result<Value, E> {
        Ok(Value::Str(s.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs: Vec<(Text, Value)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<Box<str>, Value>()? {
            pairs.push((key.into(), value));
        }
        Ok(Value::Dict(Dict::from_pairs(pairs)))
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        let _ = d;
        Err(D::Error::custom("not a JSON value"))
    }
}

#[cfg(test)]
mod tests;
