//! Text: `str()`, `repr()`, `str.split()`, `str.casefold()`.

use super::Raised;
use crate::model::json::INTEGER_DIGITS_MAX;
use crate::model::number::is_space;
use crate::model::{Text, Value};
use num_bigint::BigInt;
use regex::Regex;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// Python's `str(value)`. A `ValueError` for an integer of more than 4,300 digits.
pub fn str(value: &Value) -> Result<Cow<'_, str>, Raised> {
    match value {
        Value::Str(text) => Ok(Cow::Borrowed(text)),
        other => repr(other).map(Cow::Owned),
    }
}

/// The same, shared where the value is a text.
pub fn text(value: &Value) -> Result<Text, Raised> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        other => repr(other).map(Text::from),
    }
}

/// Python's `repr(value)`. Raises as [`str`] does.
pub fn repr(value: &Value) -> Result<String, Raised> {
    let mut out = String::new();
    write_repr(value, &mut out)?;
    Ok(out)
}

fn write_repr(value: &Value, out: &mut String) -> Result<(), Raised> {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(i) => write_display(i, out),
        Value::Big(big) => out.push_str(&digits(big)?),
        Value::Float(f) => write_float(*f, out),
        Value::Str(text) => write_quoted(text, out),
        Value::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                write_repr(item, out)?;
            }
            out.push(']');
        }
        Value::Dict(dict) => {
            out.push('{');
            for (n, (key, item)) in dict.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                write_quoted(key, out);
                out.push_str(": ");
                write_repr(item, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// Writing to a string cannot fail.
fn write_display(value: impl std::fmt::Display, out: &mut String) {
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok(), "a string takes every text");
}

fn digits(big: &BigInt) -> Result<String, Raised> {
    /// Bits that 4,300 decimal digits never need; spares writing a giant only to refuse it.
    const INTEGER_BITS_MAX: u64 = INTEGER_DIGITS_MAX as u64 * 4;
    let text = if big.bits() > INTEGER_BITS_MAX { None } else { Some(big.to_string()) };
    text.filter(|text| text.trim_start_matches('-').len() <= INTEGER_DIGITS_MAX)
        .ok_or_else(|| Raised::new("ValueError", "Exceeds the limit (4300 digits) for integer string conversion"))
}

/// The shortest digits that read back the same; with an exponent below 1e-4 and from 1e16 on.
pub fn write_float(f: f64, out: &mut String) {
    if f.is_nan() {
        out.push_str("nan");
    } else if f.is_infinite() {
        out.push_str(if f > 0.0 { "inf" } else { "-inf" });
    } else {
        let scientific = format!("{f:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        match exponent.parse::<i32>().unwrap_or(0) {
            -4..=15 => {
                write_display(f, out);
                if f.fract() == 0.0 {
                    out.push_str(".0");
                }
            }
            exponent => {
                out.push_str(mantissa);
                out.push_str(if exponent < 0 { "e-" } else { "e+" });
                write_display(format_args!("{:02}", exponent.unsigned_abs()), out);
            }
        }
    }
}

/// Everything that `str.isprintable()` denies, the space aside.
static UNPRINTABLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}]$").ok());

fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    UNPRINTABLE.as_ref().is_none_or(|class| !class.is_match(c.encode_utf8(&mut [0; 4])))
}

/// Python's `repr()` of a string.
pub fn write_quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => match u32::from(c) {
                code @ ..=0xff => write_display(format_args!("\\x{code:02x}"), out),
                code @ ..=0xffff => write_display(format_args!("\\u{code:04x}"), out),
                code => write_display(format_args!("\\U{code:08x}"), out),
            },
        }
    }
    out.push(quote);
}

/// Python's `text.split(separator, max)`; without a separator at runs of whitespace, without a maximum at all of them.
/// An empty separator is a `ValueError`.
pub fn split<'a>(text: &'a str, separator: Option<&str>, max: Option<usize>) -> Result<Vec<&'a str>, Raised> {
    let max = max.unwrap_or(usize::MAX);
    match separator {
        Some("") => Err(Raised::new("ValueError", "empty separator")),
        Some(separator) => Ok(text.splitn(max.saturating_add(1), separator).collect()),
        None => {
            let mut parts = Vec::new();
            let mut rest = text.trim_start_matches(is_space);
            while !rest.is_empty() && parts.len() < max {
                let (part, after) = rest.split_at(rest.find(is_space).unwrap_or(rest.len()));
                parts.push(part);
                rest = after.trim_start_matches(is_space);
            }
            // What the maximum leaves over keeps its inner whitespace and, unlike the parts, also its end.
            parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
            Ok(parts)
        }
    }
}

/// Python's `text.casefold()`.
///
/// Upper case, then lower case letter by letter, is the Unicode folding but for the dotless i, the capital sharp s and
/// Cherokee, whose folded letters are the capitals.
pub fn casefold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'ı' => folded.push('ı'),
            'ẞ' => folded.push_str("ss"),
            '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}' => folded.extend(c.to_uppercase()),
            c => folded.extend(c.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json;
    use rstest::rstest;

    #[rstest]
    #[case("1e16", "1e+16")]
    #[case("1.5e-5", "1.5e-05")]
    #[case("0.0001", "0.0001")]
    #[case("123456789012345.6", "123456789012345.6")]
    #[case("-2.0", "-2.0")]
    #[case("-0.0", "-0.0")]
    #[case("9999999999999998.0", "9999999999999998.0")]
    #[case("NaN", "nan")]
    #[case(r#"["it's", "q\"", "b\"'", true, null]"#, r#"["it's", 'q"', 'b"\'', True, None]"#)]
    #[case(r#"{"a\\": "\n\u0001\u00e9\u00ad\u2028"}"#, r"{'a\\': '\n\x01é\xad\u2028'}")]
    fn as_python_writes_it(#[case] json_text: &str, #[case] expected: &str) {
        assert_eq!(repr(&json::read(json_text.as_bytes()).unwrap()).unwrap(), expected);
    }

    #[test]
    fn an_integer_past_pythons_limit_is_not_written() {
        let big = Value::integer(BigInt::from(10).pow(4300));
        assert_eq!(repr(&big).unwrap_err().class, "ValueError");
        assert!(repr(&Value::integer(BigInt::from(10).pow(4299))).is_ok());
    }

    #[rstest]
    #[case("a.b.c", Some("."), None, &["a", "b", "c"])]
    #[case("a.b.c", Some("."), Some(1), &["a", "b.c"])]
    #[case("a.b.c", Some("."), Some(0), &["a.b.c"])]
    #[case("", Some("."), None, &[""])]
    #[case("  a  b  c ", None, None, &["a", "b", "c"])]
    #[case("  a  b  c ", None, Some(1), &["a", "b  c "])]
    #[case("   ", None, None, &[])]
    fn splits(#[case] text: &str, #[case] sep: Option<&str>, #[case] max: Option<usize>, #[case] parts: &[&str]) {
        assert_eq!(split(text, sep, max).unwrap(), parts);
    }

    #[rstest]
    #[case("ACTIVE", "active")]
    #[case("Straße", "strasse")]
    #[case("ΣΑΣ", "σασ")]
    #[case("ı", "ı")]
    #[case("\u{ab70}", "\u{13a0}")]
    fn folds(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(casefold(text), expected);
    }
}
