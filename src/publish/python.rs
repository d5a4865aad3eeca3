//! Values as Python's `repr()` writes them: what signatures are computed over, and what the file publisher writes
//! without `json`.

use chrono::{Datelike, NaiveDateTime, Timelike};
use std::fmt::Write as _;

use crate::model::python::{write_float, write_quoted};
use crate::model::{Dict, Value};

/// How strings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strings {
    /// As text: `'é'`.
    Text,
    /// As UTF-8 bytes: `b'\xc3\xa9'`; keys of dictionaries are then sorted (Ceilometer reference §4.6).
    Bytes,
}

/// Appends `repr(value)`.
pub(super) fn repr(value: &Value, strings: Strings, out: &mut String) {
    match value {
        Value::Str(text) => repr_str(text, strings, out),
        Value::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                repr(item, strings, out);
            }
            out.push(']');
        }
        Value::Dict(dict) => repr_dict(dict, strings, out),
        scalar => str_scalar(scalar, out),
    }
}

/// Appends `repr(dict)`.
pub(super) fn repr_dict(dict: &Dict, strings: Strings, out: &mut String) {
    let mut pairs: Vec<_> = dict.iter().collect();
    if strings == Strings::Bytes {
        pairs.sort_unstable_by_key(|(key, _)| *key);
    }
    out.push('{');
    for (n, (key, value)) in pairs.into_iter().enumerate() {
        out.push_str(if n > 0 { ", " } else { "" });
        repr_str(key, strings, out);
        out.push_str(": ");
        repr(value, strings, out);
    }
    out.push('}');
}

/// Appends `str(value)` of what is neither list nor dictionary.
pub(super) fn str_scalar(value: &Value, out: &mut String) {
    // Writing to a String cannot fail; the same holds below.
    let _ = match value {
        Value::Null => out.write_str("None"),
        Value::Bool(true) => out.write_str("True"),
        Value::Bool(false) => out.write_str("False"),
        Value::Int(i) => write!(out, "{i}"),
        Value::Big(big) => write!(out, "{big}"),
        Value::Float(f) => {
            write_float(*f, out);
            Ok(())
        }
        Value::Str(text) => out.write_str(text),
        Value::List(_) | Value::Dict(_) => Ok(()),
    };
}

/// Appends `repr(datetime.datetime)` of a naive time.
pub(super) fn repr_datetime(time: &NaiveDateTime, out: &mut String) {
    let _ = write!(
        out,
        "datetime.datetime({}, {}, {}, {}, {}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute()
    );
    let micros = time.nanosecond() / 1_000;
    let _ = match (time.second(), micros) {
        (0, 0) => Ok(()),
        (second, 0) => write!(out, ", {second}"),
        (second, micros) => write!(out, ", {second}, {micros}"),
    };
    out.push(')');
}

/// Appends `repr()` of a string, as text or as bytes.
pub(super) fn repr_str(text: &str, strings: Strings, out: &mut String) {
    match strings {
        Strings::Text => write_quoted(text, out),
        Strings::Bytes => repr_bytes(text.as_bytes(), out),
    }
}

fn repr_bytes(bytes: &[u8], out: &mut String) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { b'"' } else { b'\'' };
    out.push('b');
    out.push(char::from(quote));
    for byte in bytes {
        let _ = match byte {
            b'\\' => out.write_str("\\\\"),
            b'\n' => out.write_str("\\n"),
            b'\r' => out.write_str("\\r"),
            b'\t' => out.write_str("\\t"),
            byte if *byte == quote => write!(out, "\\{}", char::from(quote)),
            b' '..=b'~' => out.write_char(char::from(*byte)),
            byte => write!(out, "\\x{byte:02x}"),
        };
    }
    out.push(char::from(quote));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json;
    use rstest::rstest;

    #[rstest]
    #[case("0.0", "0.0")]
    #[case("-0.0", "-0.0")]
    #[case("1.0", "1.0")]
    #[case("0.1", "0.1")]
    #[case("12345.678", "12345.678")]
    #[case("1e15", "1000000000000000.0")]
    #[case("9999999999999998.0", "9999999999999998.0")]
    #[case("1e16", "1e+16")]
    #[case("1.5e300", "1.5e+300")]
    #[case("0.0001", "0.0001")]
    #[case("0.00001", "1e-05")]
    #[case("-1.25e-7", "-1.25e-07")]
    #[case("5e-324", "5e-324")]
    #[case("NaN", "nan")]
    #[case("-Infinity", "-inf")]
    #[case("true", "True")]
    #[case("null", "None")]
    #[case("123456789012345678901234567890", "123456789012345678901234567890")]
    #[case(r#""a""#, "'a'")]
    #[case(r#""it's""#, r#""it's""#)]
    #[case(r#""it's \"q\"""#, r#"'it\'s "q"'"#)]
    #[case(r#""\u0000\t\u007f\u00a0\u00ad""#, r"'\x00\t\x7f\xa0\xad'")]
    #[case(r#""é€😀\u2028\u200b""#, r"'é€😀\u2028\u200b'")]
    #[case(r#""\ud834\udd73""#, r"'\U0001d173'")]
    #[case(r#"{"b": [1, {"z": null, "a": "x\\y"}], "a": {}}"#, r"{'b': [1, {'z': None, 'a': 'x\\y'}], 'a': {}}")]
    fn as_python_writes_it(#[case] json: &str, #[case] expected: &str) {
        let mut out = String::new();
        repr(&json::read(json.as_bytes()).unwrap(), Strings::Text, &mut out);
        assert_eq!(out, expected);
    }

    #[rstest]
    #[case(r#"["it's","q\"q","\n","a\\b","€\u007f"]"#, r#"[b"it's", b'q"q', b'\n', b'a\\b', b'\xe2\x82\xac\x7f']"#)]
    #[case(r#"[{"b": 1, "a": {"é": 2}}]"#, r"[{b'a': {b'\xc3\xa9': 2}, b'b': 1}]")]
    fn as_bytes_with_sorted_keys(#[case] json: &str, #[case] expected: &str) {
        let mut out = String::new();
        repr(&json::read(json.as_bytes()).unwrap(), Strings::Bytes, &mut out);
        assert_eq!(out, expected);
    }

    #[rstest]
    #[case("2020-01-02T03:00:00", "datetime.datetime(2020, 1, 2, 3, 0)")]
    #[case("2020-01-02T03:00:05", "datetime.datetime(2020, 1, 2, 3, 0, 5)")]
    #[case("2020-01-02T03:00:00.000007", "datetime.datetime(2020, 1, 2, 3, 0, 0, 7)")]
    fn times(#[case] iso: &str, #[case] expected: &str) {
        let mut out = String::new();
        repr_datetime(&crate::model::time::parse(iso).unwrap().naive_utc(), &mut out);
        assert_eq!(out, expected);
    }
}
