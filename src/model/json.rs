//! JSON in and out of [`Value`], as Python's `json` module has it.
//!
//! `serde_json` reads nearly everything. What it refuses and Python reads (`NaN`, `Infinity`, integers beyond 64
//! bits, lone surrogates, nesting past 128) goes to a second, slower reader of the same grammar.

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

/// Reads one JSON text. Bytes that are not UTF-8 are an error.
pub fn read(bytes: &[u8]) -> Result<Value, JsonError> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => Ok(value),
        Err(_) => read_as_python(bytes),
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

/// Appends a JSON string.
pub fn write_str(text: &str, out: &mut Vec<u8>) {
    write_plain(text, out);
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
        Ok(Value::Str(s.into_boxed_str()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs: Vec<(Box<str>, Value)> = Vec::new();
        while let Some(pair) = map.next_entry::<Box<str>, Value>()? {
            pairs.push(pair);
        }
        Ok(Value::Dict(Dict::from_pairs(pairs)))
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        let _ = d;
        Err(D::Error::custom("not a JSON value"))
    }
}

/// The second reader: Python's grammar, whole.
fn read_as_python(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|e| JsonError { at: e.valid_up_to(), why: "text must be UTF-8" })?;
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return reader.fail("nothing may follow the value");
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn fail<T>(&self, why: &'static str) -> Result<T, JsonError> {
        Err(JsonError { at: self.at, why })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.text[self.at..].starts_with(word);
        if there {
            self.at += word.len();
        }
        there
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        if depth > DEPTH_MAX {
            return self.fail("nested too deeply");
        }
        match self.peek() {
            Some(b'{') => self.dict(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(|s| Value::Str(s.into_boxed_str())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take("null") => Ok(Value::Null),
            _ if self.take("true") => Ok(Value::Bool(true)),
            _ if self.take("false") => Ok(Value::Bool(false)),
            _ if self.take("NaN") => Ok(Value::Float(f64::NAN)),
            _ if self.take("Infinity") => Ok(Value::Float(f64::INFINITY)),
            _ => self.fail("expected a value"),
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut pairs = Vec::new();
        self.skip_space();
        if self.take("}") {
            return Ok(Value::Dict(Dict::new()));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.fail("expected a key in quotes");
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(":") {
                return self.fail("expected ':'");
            }
            self.skip_space();
            pairs.push((key.into_boxed_str(), self.value(depth + 1)?));
            self.skip_space();
            if self.take("}") {
                return Ok(Value::Dict(Dict::from_pairs(pairs)));
            }
            if !self.take(",") {
                return self.fail("expected ',' or '}'");
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take("]") {
            return Ok(Value::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take("]") {
                return Ok(Value::List(items));
            }
            if !self.take(",") {
                return self.fail("expected ',' or ']'");
            }
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        self.take("-");
        if self.take("Infinity") {
            return Ok(Value::Float(f64::NEG_INFINITY));
        }
        let zero = self.peek() == Some(b'0');
        let digits = if zero {
            self.at += 1;
            1
        } else {
            self.digits()
        };
        if digits == 0 {
            return self.fail("expected a digit");
        }
        let mut float = false;
        let before = self.at;
        if self.take(".") {
            float = self.digits() > 0;
            if !float {
                self.at = before;
            }
        }
        let before = self.at;
        if self.take("e") || self.take("E") {
            let _sign = self.take("+") || self.take("-");
            if self.digits() > 0 {
                float = true;
            } else {
                self.at = before;
            }
        }
        let text = &self.text[start..self.at];
        if float {
            // Rust, like Python, reads 1e999 as infinity.
            return text.parse().map(Value::Float).or_else(|_| self.fail("expected a number"));
        }
        if digits > INTEGER_DIGITS_MAX {
            return self.fail("an integer of over 4300 digits");
        }
        text.parse::<BigInt>().map(Value::integer).or_else(|_| self.fail("expected a number"))
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(stop) = rest.find(|c: char| c == '"' || c == '\\' || c < '\u{20}') else {
                return self.fail("a string without end");
            };
            out.push_str(&rest[..stop]);
            self.at += stop;
            match rest.as_bytes()[stop] {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => self.escape(&mut out)?,
                _ => return self.fail("a control character in a string"),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), JsonError> {
        self.at += 1;
        let Some(kind) = self.peek() else { return self.fail("a string without end") };
        self.at += 1;
        out.push(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex4()?;
                if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with("\\u") {
                    let back = self.at;
                    self.at += 2;
                    let low = self.hex4()?;
                    if (0xdc00..0xe000).contains(&low) {
                        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}')
                    } else {
                        self.at = back;
                        '\u{fffd}'
                    }
                } else {
                    // A lone surrogate has no place in a Rust string; Python would carry it along.
                    char::from_u32(high).unwrap_or('\u{fffd}')
                }
            }
            _ => {
                self.at -= 1;
                return self.fail("an unknown escape");
            }
        });
        Ok(())
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let parsed = std::str::from_utf8(digits)
            .ok()
            .filter(|d| d.len() == 4 && d.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|d| u32::from_str_radix(d, 16).ok());
        match parsed {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.fail("expected four hexadecimal digits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("[NaN,Infinity,-Infinity]", "[NaN,Infinity,-Infinity]")]
    #[case("123456789012345678901234567890", "123456789012345678901234567890")]
    #[case(r#""\ud800 and \ud83d\ude00""#, "\"\u{fffd} and \u{1f600}\"")]
    fn what_only_python_reads_is_read(#[case] text: &str, #[case] written: &str) {
        assert_eq!(to_string(&read(text.as_bytes()).unwrap()), written);
    }

    #[test]
    fn a_strict_reader_gets_null_for_what_json_cannot_say() {
        let value = read(br#"{"a":NaN,"b":[Infinity,{"c":-Infinity}],"d":"NaN","e":1.5}"#).unwrap();
        let mut out = Vec::new();
        write_as(&value, NonFinite::Null, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":null,"b":[null,{"c":null}],"d":"NaN","e":1.5}"#);
    }

    #[test]
    fn a_sender_nests_too_deep() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(to_string(&read(nested(DEPTH_MAX).as_bytes()).unwrap()), nested(DEPTH_MAX));
        assert!(read(nested(DEPTH_MAX + 2).as_bytes()).is_err());
        assert!(read(nested(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn a_sender_writes_an_endless_integer() {
        assert!(read("9".repeat(INTEGER_DIGITS_MAX).as_bytes()).is_ok());
        assert!(read("9".repeat(INTEGER_DIGITS_MAX + 1).as_bytes()).is_err());
    }

    /// What Python's `json` reads and writes again; `serde_json` alone rounds some of these to a neighbour.
    #[rstest]
    #[case("123456789.123456789", "123456789.12345679")]
    #[case("0.30000000000000004", "0.30000000000000004")]
    #[case("5e-324", "5e-324")]
    #[case("1e400", "Infinity")]
    fn a_float_is_read_to_its_last_bit(#[case] text: &str, #[case] again: &str) {
        assert_eq!(to_string(&read(text.as_bytes()).unwrap()), again);
    }
}
