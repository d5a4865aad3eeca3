//! Numbers: `int()`, `float()`, `+ - *`.

use super::{Raised, type_name};
use crate::model::Value;
use crate::model::json::INTEGER_DIGITS_MAX;
use crate::model::number::{decimal_digit, float_of_text, is_space};
use num_bigint::BigInt;

/// An arithmetic operator of field paths. Division is not one: no path can spell it (Ceilometer reference, Appendix A);
/// expressions have [`divide`](super::divide) and its kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
}

/// The largest string that repetition makes, in bytes.
const REPEATED_BYTES_MAX: usize = 1 << 20;

/// Python's `int(value)`: [`Value::Int`] or [`Value::Big`]. `ValueError` for text that is no integer and for NaN,
/// `OverflowError` for infinities, `TypeError` for null, lists and objects.
pub fn int(value: &Value) -> Result<Value, Raised> {
    match value {
        Value::Bool(b) => Ok(Value::Int(i64::from(*b))),
        Value::Int(_) | Value::Big(_) => Ok(value.clone()),
        Value::Float(f) if f.is_nan() => Err(Raised::new("ValueError", "cannot convert float NaN to integer")),
        Value::Float(f) if f.is_infinite() => {
            Err(Raised::new("OverflowError", "cannot convert float infinity to integer"))
        }
        Value::Float(f) => Ok(whole(*f)),
        Value::Str(text) => int_of_text(text),
        Value::Null | Value::List(_) | Value::Dict(_) => Err(Raised::new(
            "TypeError",
            format!("int() argument must be a string or a real number, not '{}'", type_name(value)),
        )),
    }
}

/// A finite float without its fraction.
#[expect(clippy::cast_possible_truncation, reason = "only inside the range of i64")]
fn whole(f: f64) -> Value {
    const EXACT: f64 = 9.0e18;
    if f.abs() < EXACT { Value::Int(f as i64) } else { Value::integer(exact(f)) }
}

/// A finite float of at least 2^53 as the integer that it is: mantissa shifted by exponent.
fn exact(f: f64) -> BigInt {
    let bits = f.to_bits();
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    let shift = (bits >> 52) & 0x7ff;
    let size = BigInt::from(mantissa) << shift.saturating_sub(1075);
    if f < 0.0 { -size } else { size }
}

fn int_of_text(text: &str) -> Result<Value, Raised> {
    let refused = || Raised::new("ValueError", "invalid literal for int() with base 10");
    let body = text.trim_matches(is_space);
    let (negative, digits) = match body.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, body.strip_prefix('+').unwrap_or(body)),
    };
    let ascii = plain_digits(digits).ok_or_else(refused)?;
    if ascii.len() > INTEGER_DIGITS_MAX {
        return Err(Raised::new("ValueError", "Exceeds the limit (4300 digits) for integer string conversion"));
    }
    let size: BigInt = ascii.parse().map_err(|_| refused())?;
    Ok(Value::integer(if negative { -size } else { size }))
}

/// Digits of any script, single underscores between them allowed, as ASCII digits.
fn plain_digits(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut after_digit = false;
    for c in text.chars() {
        match decimal_digit(c) {
            Some(d) => out.push(d),
            None if c == '_' && after_digit => {}
            None => return None,
        }
        after_digit = c != '_';
    }
    after_digit.then_some(out)
}

/// Python's `float(value)`. `ValueError` for text that is no number, `OverflowError` for an integer too large,
/// `TypeError` for null, lists and objects.
pub fn float(value: &Value) -> Result<f64, Raised> {
    match value {
        Value::Bool(b) => Ok(f64::from(u8::from(*b))),
        Value::Int(i) => Ok(*i as f64),
        Value::Big(b) => big_to_float(b),
        Value::Float(f) => Ok(*f),
        Value::Str(text) => {
            float_of_text(text).ok_or_else(|| Raised::new("ValueError", "could not convert string to float"))
        }
        Value::Null | Value::List(_) | Value::Dict(_) => Err(Raised::new(
            "TypeError",
            format!("float() argument must be a string or a real number, not '{}'", type_name(value)),
        )),
    }
}

/// To the nearest float, ties to even: what reading its decimal digits gives.
fn big_to_float(big: &BigInt) -> Result<f64, Raised> {
    /// No finite float has more bits.
    const FLOAT_BITS_MAX: u64 = 1024;
    let near = if big.bits() > FLOAT_BITS_MAX { None } else { big.to_string().parse::<f64>().ok() };
    near.filter(|f| f.is_finite()).ok_or_else(|| Raised::new("OverflowError", "int too large to convert to float"))
}

/// A number of Python, booleans being integers.
pub(super) enum Number {
    Small(i64),
    Big(BigInt),
    Float(f64),
}

impl Number {
    pub(super) fn of(value: &Value) -> Option<Number> {
        match value {
            Value::Bool(b) => Some(Number::Small(i64::from(*b))),
            Value::Int(i) => Some(Number::Small(*i)),
            Value::Big(b) => Some(Number::Big((**b).clone())),
            Value::Float(f) => Some(Number::Float(*f)),
            Value::Null | Value::Str(_) | Value::List(_) | Value::Dict(_) => None,
        }
    }

    pub(super) fn float(&self) -> Result<f64, Raised> {
        match self {
            Number::Small(i) => Ok(*i as f64),
            Number::Big(b) => big_to_float(b),
            Number::Float(f) => Ok(*f),
        }
    }

    pub(super) fn big(self) -> BigInt {
        match self {
            Number::Small(i) => BigInt::from(i),
            Number::Big(b) => b,
            Number::Float(f) => exact(f),
        }
    }
}

/// Python's `a + b`, `a - b`, `a * b` of numbers and strings; lists are for the caller. `TypeError` where Python has
/// no such operation, `OverflowError` for an integer that meets a float and is too large for one, `MemoryError` for a
/// string repeated past a mebibyte (our bound).
pub fn arithmetic(operator: Operator, a: &Value, b: &Value) -> Result<Value, Raised> {
    match (operator, a, b) {
        (Operator::Add, Value::Str(a), Value::Str(b)) => {
            let mut joined = String::with_capacity(a.len() + b.len());
            joined.push_str(a);
            joined.push_str(b);
            return Ok(Value::from(joined));
        }
        (Operator::Multiply, Value::Str(text), times) | (Operator::Multiply, times, Value::Str(text)) => {
            return repeat(text, repetitions(times)?);
        }
        _ => {}
    }
    let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) else {
        return Err(Raised::new("TypeError", "unsupported operand types"));
    };
    if let (Number::Small(a), Number::Small(b)) = (&a, &b) {
        let small = match operator {
            Operator::Add => a.checked_add(*b),
            Operator::Subtract => a.checked_sub(*b),
            Operator::Multiply => a.checked_mul(*b),
        };
        if let Some(small) = small {
            return Ok(Value::Int(small));
        }
    }
    if matches!(a, Number::Float(_)) || matches!(b, Number::Float(_)) {
        let (a, b) = (a.float()?, b.float()?);
        return Ok(Value::Float(match operator {
            Operator::Add => a + b,
            Operator::Subtract => a - b,
            Operator::Multiply => a * b,
        }));
    }
    let (a, b) = (a.big(), b.big());
    Ok(Value::integer(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
    }))
}

/// How often a string or list is repeated by a factor: only integers and booleans are one; negative is none.
pub(crate) fn repetitions(factor: &Value) -> Result<usize, Raised> {
    match factor {
        Value::Bool(b) => Ok(usize::from(*b)),
        Value::Int(i) => Ok(usize::try_from((*i).max(0)).unwrap_or(usize::MAX)),
        Value::Big(_) => Err(Raised::new("OverflowError", "cannot fit 'int' into an index-sized integer")),
        _ => Err(Raised::new("TypeError", "can't multiply sequence by non-int")),
    }
}

fn repeat(text: &str, times: usize) -> Result<Value, Raised> {
    match text.len().checked_mul(times) {
        Some(bytes) if bytes <= REPEATED_BYTES_MAX => Ok(Value::from(text.repeat(times))),
        _ => Err(Raised::new("MemoryError", "the repeated string would be longer than 1 MiB")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("12", Some("12"))]
    #[case(" \u{1f}-1_000\n", Some("-1000"))]
    #[case("+7", Some("7"))]
    #[case("٣٤", Some("34"))]
    #[case("123456789012345678901234567890", Some("123456789012345678901234567890"))]
    #[case("1__0", None)]
    #[case("_1", None)]
    #[case("1_", None)]
    #[case("- 1", None)]
    #[case("1.5", None)]
    #[case("", None)]
    #[case("²", None)]
    fn text_as_an_integer(#[case] text: &str, #[case] expected: Option<&str>) {
        let got = int(&Value::from(text)).ok().map(|v| crate::model::json::to_string(&v));
        assert_eq!(got.as_deref(), expected);
    }

    #[rstest]
    #[case("1.5", Some(1.5))]
    #[case(" -.5e1 ", Some(-5.0))]
    #[case("1_0.2_5", Some(10.25))]
    #[case("5.", Some(5.0))]
    #[case("٣", Some(3.0))]
    #[case("-Infinity", Some(f64::NEG_INFINITY))]
    #[case("1e400", Some(f64::INFINITY))]
    #[case(".", None)]
    #[case("1_.5", None)]
    #[case("0x10", None)]
    #[case("e5", None)]
    #[case("1e", None)]
    #[case("infinit", None)]
    fn text_as_a_float(#[case] text: &str, #[case] expected: Option<f64>) {
        assert_eq!(float(&Value::from(text)).ok(), expected);
    }

    #[test]
    fn a_huge_float_becomes_the_integer_that_it_is() {
        let int = int(&Value::Float(1e23)).unwrap();
        assert_eq!(crate::model::json::to_string(&int), "99999999999999991611392");
    }

    #[rstest]
    #[case(Operator::Add, Value::Bool(true), Value::Bool(true), "2")]
    #[case(Operator::Multiply, Value::from("ab"), Value::Int(2), "\"abab\"")]
    #[case(Operator::Multiply, Value::Int(-1), Value::from("ab"), "\"\"")]
    #[case(Operator::Multiply, Value::Int(i64::MAX), Value::Int(2), "18446744073709551614")]
    #[case(Operator::Subtract, Value::Int(1), Value::Float(0.5), "0.5")]
    fn operators(#[case] operator: Operator, #[case] a: Value, #[case] b: Value, #[case] expected: &str) {
        assert_eq!(crate::model::json::to_string(&arithmetic(operator, &a, &b).unwrap()), expected);
    }

    #[rstest]
    #[case(Operator::Subtract, Value::from("a"), Value::from("b"), "TypeError")]
    #[case(Operator::Multiply, Value::from("a"), Value::Float(2.0), "TypeError")]
    #[case(Operator::Multiply, Value::from("a"), Value::Int(1_000_000_000), "MemoryError")]
    #[case(Operator::Multiply, Value::from("a"), Value::integer(BigInt::from(1) << 80), "OverflowError")]
    #[case(Operator::Add, Value::integer(BigInt::from(1) << 2000), Value::Float(2.0), "OverflowError")]
    fn operators_that_raise(#[case] operator: Operator, #[case] a: Value, #[case] b: Value, #[case] class: &str) {
        assert_eq!(arithmetic(operator, &a, &b).unwrap_err().class, class);
    }
}
