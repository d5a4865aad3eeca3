//! What a plain scalar is: PyYAML's YAML 1.1 resolver and its constructors (Ceilometer reference §4.1.1).
//!
//! `yes`, `on` are booleans, `y` is a string; `010` is 8, `1:30` is 90; a float needs a dot, so `1e3` is a string.

use crate::model::Value;
use num_bigint::BigInt;

/// The longest decimal integer read, in digits; Python's own limit.
const DIGITS_MAX: usize = 4300;

/// A plain, untagged scalar. The error is what is wrong with it.
pub(super) fn resolve(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        _ if boolean(text).is_some_and(|_| is_uniform_case(text)) => return construct("bool", text),
        _ => {}
    }
    if is_float(text) {
        construct("float", text)
    } else if is_integer(text) {
        construct("int", text)
    } else {
        Ok(Value::from(text))
    }
}

/// A scalar of a type: the suffix of `!!int`, and what plain scalars resolve to.
pub(super) fn construct(kind: &str, text: &str) -> Result<Value, String> {
    let made = match kind {
        "str" => Some(Value::from(text)),
        "null" => Some(Value::Null),
        "bool" => boolean(text).map(Value::Bool),
        "int" => integer(text),
        "float" => float(text),
        _ => return Err(format!("the tag !!{kind} has no meaning here, remove it")),
    };
    made.ok_or_else(|| match kind {
        "int" => format!("{text:?} cannot be read as an integer; put it in quotes if it is text"),
        "float" => format!("{text:?} cannot be read as a number; put it in quotes if it is text"),
        _ => format!("{text:?} is not a boolean; write true or false"),
    })
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" => Some(true),
        "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// `yes`, `Yes` and `YES`, not `yEs`.
fn is_uniform_case(text: &str) -> bool {
    let rest = text.get(1..).unwrap_or_default();
    rest.bytes().all(|b| b.is_ascii_lowercase()) || text.bytes().all(|b| b.is_ascii_uppercase())
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(allowed)
}

fn digits_or_underscores(text: &str) -> bool {
    all(text, |b| b.is_ascii_digit() || b == b'_')
}

/// `(:[0-5]?[0-9])+` after the first part.
fn is_sexagesimal_tail(mut parts: std::str::Split<'_, char>) -> bool {
    parts.all(|part| match part.as_bytes() {
        [d] => d.is_ascii_digit(),
        [tens, d] => (b'0'..=b'5').contains(tens) && d.is_ascii_digit(),
        _ => false,
    })
}

fn is_integer(text: &str) -> bool {
    let body = unsigned(text);
    if let Some(bits) = body.strip_prefix("0b") {
        return !bits.is_empty() && all(bits, |b| matches!(b, b'0' | b'1' | b'_'));
    }
    if let Some(hex) = body.strip_prefix("0x") {
        return !hex.is_empty() && all(hex, |b| b.is_ascii_hexdigit() || b == b'_');
    }
    match body.as_bytes().first() {
        Some(b'0') => all(body, |b| matches!(b, b'0'..=b'7' | b'_')),
        Some(b'1'..=b'9') => {
            let mut parts = body.split(':');
            digits_or_underscores(parts.next().unwrap_or_default()) && is_sexagesimal_tail(parts)
        }
        _ => false,
    }
}

fn is_float(text: &str) -> bool {
    let body = unsigned(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((whole, fraction)) = body.split_once('.') else { return false };
    let (fraction, exponent) = match fraction.find(['e', 'E']) {
        Some(at) => (&fraction[..at], Some(&fraction[at + 1..])),
        None => (fraction, None),
    };
    // The sign of the exponent is required: `1.0e3` is a string.
    let exponent_ok = exponent
        .is_none_or(|e| e.strip_prefix(['+', '-']).is_some_and(|d| !d.is_empty() && all(d, |b| b.is_ascii_digit())));
    if !exponent_ok || !digits_or_underscores(fraction) {
        return false;
    }
    if whole.is_empty() {
        return !text.starts_with(['+', '-']) && fraction.starts_with(|c: char| c.is_ascii_digit());
    }
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let sexagesimal = first.len() < whole.len();
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits_or_underscores(first)
        && is_sexagesimal_tail(parts)
        && !(sexagesimal && exponent.is_some())
}

fn integer(text: &str) -> Option<Value> {
    let text = text.replace('_', "");
    let negative = text.starts_with('-');
    let body = unsigned(&text);
    let based = |digits: &str, base: u32| BigInt::parse_bytes(digits.as_bytes(), base);
    let size = if let Some(bits) = body.strip_prefix("0b") {
        based(bits, 2)
    } else if let Some(hex) = body.strip_prefix("0x") {
        based(hex, 16)
    } else if body.len() > DIGITS_MAX {
        None
    } else if body.len() > 1 && body.starts_with('0') {
        based(body, 8)
    } else {
        body.split(':').try_fold(BigInt::from(0), |sum, part| Some(sum * 60 + based(part, 10)?))
    }?;
    Some(Value::integer(if negative { -size } else { size }))
}

fn float(text: &str) -> Option<Value> {
    let text = text.replace('_', "").to_ascii_lowercase();
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let size = match unsigned(&text) {
        ".inf" => f64::INFINITY,
        ".nan" => return Some(Value::Float(f64::NAN)),
        body if body.contains(':') => {
            // Summed from the smallest unit up, as PyYAML does: the rounding is the same.
            let mut base = 1.0;
            body.rsplit(':').try_fold(0.0, |sum, part| {
                let sum = sum + part.parse::<f64>().ok()? * base;
                base *= 60.0;
                Some(sum)
            })?
        }
        body => body.parse().ok()?,
    };
    Some(Value::Float(sign * size))
}
