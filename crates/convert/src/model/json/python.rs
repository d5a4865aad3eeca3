//! The second reader: what Python's `json` reads and `serde_json` refuses.

use super::{DEPTH_MAX, INTEGER_DIGITS_MAX, JsonError};
use crate::model::value::{Dict, Value};
use num_bigint::BigInt;

/// Reads one JSON text by the whole of Python's grammar.
pub(super) fn read(bytes: &[u8]) -> Result<Value, JsonError> {
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
            Some(b'"') => self.string().map(|s| Value::Str(s.into())),
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
            pairs.push((key.into(), self.value(depth + 1)?));
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
