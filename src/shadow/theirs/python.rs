//! Python's `repr()` of a dictionary, as Ceilometer's file publisher writes it without `json`.
//!
//! Only literals are read, and `datetime.datetime(…)`: nothing is called or looked up.

use chrono::{NaiveDate, NaiveDateTime};
use num_bigint::BigInt;

use crate::model::{Dict, Text, Value, time};

/// The deepest nesting that is read.
const DEPTH_MAX: usize = 200;
/// The longest integer that is read, in digits; Python's own limit.
const DIGITS_MAX: usize = 4_300;

/// Reads one literal that is the whole text. The error completes "the line is no Python literal: ".
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.blanks();
    if reader.at < text.len() { Err(reader.wrong("the end")) } else { Ok(value) }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn wrong(&self, expected: &str) -> String {
        format!("expected {expected} at byte {}", self.at)
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.blanks();
        let taken = self.rest().starts_with(token);
        self.at += if taken { token.len() } else { 0 };
        taken
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.wrong(token)) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX}"));
        }
        for (word, value) in [
            ("None", Value::Null),
            ("True", Value::Bool(true)),
            ("False", Value::Bool(false)),
            ("nan", Value::Float(f64::NAN)),
            ("inf", Value::Float(f64::INFINITY)),
            ("-inf", Value::Float(f64::NEG_INFINITY)),
        ] {
            if self.take(word) {
                return Ok(value);
            }
        }
        if self.take("datetime.datetime(") {
            return self.datetime();
        }
        if self.take("{") {
            return self.dict(depth);
        }
        if self.take("[") {
            return self.items("]", depth);
        }
        if self.take("(") {
            return self.items(")", depth);
        }
        match self.rest().chars().next() {
            Some('\'' | '"') => self.string().map(Value::from),
            Some('0'..='9' | '-' | '.') => self.number(),
            _ => Err(self.wrong("a value")),
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Value, String> {
        let mut pairs: Vec<(Text, Value)> = Vec::new();
        while !self.take("}") {
            let key = match self.value(depth + 1)? {
                Value::Str(key) => key,
                // As `json` writes other keys.
                other => crate::model::json::to_string(&other).into(),
            };
            self.expect(":")?;
            pairs.push((key, self.value(depth + 1)?));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Value::Dict(Dict::from_pairs(pairs)))
    }

    fn items(&mut self, end: &str, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(self.value(depth + 1)?);
            if !self.take(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(Value::List(items))
    }

    fn number(&mut self) -> Result<Value, String> {
        let rest = self.rest();
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
        let text = &rest[..length];
        let value = if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            let big = (length <= DIGITS_MAX).then(|| text.parse::<BigInt>().ok()).flatten();
            big.map(Value::integer)
        } else {
            text.parse::<f64>().ok().map(Value::Float)
        };
        let value = value.ok_or_else(|| self.wrong("a number"))?;
        self.at += length;
        Ok(value)
    }

    fn string(&mut self) -> Result<String, String> {
        let mut chars = self.rest().char_indices();
        let Some((_, quote)) = chars.next() else { return Err(self.wrong("a string")) };
        let mut out = String::new();
        loop {
            match chars.next() {
                None => return Err("a string has no end".to_owned()),
                Some((at, c)) if c == quote => {
                    self.at += at + c.len_utf8();
                    return Ok(out);
                }
                Some((_, '\\')) => out.push(escaped(&mut chars)?),
                Some((_, c)) => out.push(c),
            }
        }
    }

    /// Behind `datetime.datetime(`: year, month, day, hour, minute and perhaps second, microsecond, zone.
    fn datetime(&mut self) -> Result<Value, String> {
        let end = self.rest().find(')').ok_or_else(|| self.wrong(")"))?;
        let inside = self.rest()[..end].to_owned();
        let numbers: Vec<u32> = inside.split(',').map_while(|part| part.trim().parse().ok()).collect();
        let number = |at: usize| numbers.get(at).copied().unwrap_or_default();
        let date = i32::try_from(number(0)).ok().and_then(|year| NaiveDate::from_ymd_opt(year, number(1), number(2)));
        let time: Option<NaiveDateTime> =
            date.and_then(|date| date.and_hms_micro_opt(number(3), number(4), number(5), number(6)));
        let time = time.ok_or_else(|| self.wrong("a time"))?;
        // `tzinfo=datetime.timezone(datetime.timedelta(…))` has brackets of its own; what Ceilometer writes is UTC.
        let opened = inside.matches('(').count();
        self.at += end + 1;
        for _ in 0..opened {
            self.expect(")")?;
        }
        Ok(Value::from(time::isoformat_naive(&time)))
    }
}

/// The character of an escape, behind its backslash.
fn escaped(chars: &mut std::str::CharIndices<'_>) -> Result<char, String> {
    match chars.next().map(|(_, c)| c) {
        Some(c @ ('x' | 'u' | 'U')) => {
            let mut code = |digits: usize| {
                let mut number: u32 = 0;
                for _ in 0..digits {
                    let digit = chars.next().and_then(|(_, c)| c.to_digit(16));
                    number =
                        number.wrapping_mul(16) + digit.ok_or_else(|| "an escape has too few digits".to_owned())?;
                }
                Ok(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER))
            };
            code(match c {
                'x' => 2,
                'u' => 4,
                _ => 8,
            })
        }
        Some('n') => Ok('\n'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some(other) => Ok(other),
        None => Err("a string has no end".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json;
    use rstest::rstest;

    #[rstest]
    #[case("{'a': None, 'b': True, 'c': False}", r#"{"a":null,"b":true,"c":false}"#)]
    #[case(
        "{'n': -5, 'f': 1.5e-07, 'e': 1e+16, 'big': 1152921504606846976123}",
        r#"{"n":-5,"f":1.5e-7,"e":1e+16,"big":1152921504606846976123}"#
    )]
    #[case(r#"{"it's": 'say "x"', 'b\\s': 'a\nb\t\'"'}"#, r#"{"it's":"say \"x\"","b\\s":"a\nb\t'\""}"#)]
    #[case(r"['\xe9', '\u2028sep', '\U0001f600', '😀']", "[\"é\",\"\u{2028}sep\",\"😀\",\"😀\"]")]
    #[case("[(), ('a',), (1, 2), [], {}]", r#"[[],["a"],[1,2],[],{}]"#)]
    #[case("datetime.datetime(2026, 3, 1, 13, 24, 0, 250000)", r#""2026-03-01T13:24:00.250000""#)]
    #[case("datetime.datetime(2026, 3, 1, 12, 0)", r#""2026-03-01T12:00:00""#)]
    #[case("[datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.timezone.utc), 1]", r#"["2026-03-01T12:00:00",1]"#)]
    #[case("{1: 'a'}", r#"{"1":"a"}"#)]
    fn literals_are_read(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(json::to_string(&read(text).unwrap()), expected);
    }

    #[rstest]
    #[case("")]
    #[case("{'a': <Trait: x 1 y>}")]
    #[case("{'a': open('/etc/passwd')}")]
    #[case("{'a': 'b'")]
    #[case("{'a' 'b'}")]
    #[case("'a")]
    #[case(r"'\x1'")]
    #[case("1 2")]
    #[case("datetime.datetime(2026, 13, 1)")]
    #[case("--1")]
    #[case("1.2.3")]
    fn anything_else_is_refused(#[case] text: &str) {
        assert!(read(text).is_err(), "{text}");
    }

    #[test]
    fn nesting_has_a_bound() {
        assert!(read(&"[".repeat(100_000)).is_err());
    }
}
