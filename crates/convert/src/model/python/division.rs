//! Numbers: `/`, `//`, `%`, `**` and the unary minus, of integers of any size and floats.

use super::number::Number;
use super::{Raised, type_name};
use crate::model::Value;
use num_bigint::{BigInt, BigUint, Sign};

/// The largest integer that an operation here makes, in bits: it still can be written as JSON and read again
/// ([`INTEGER_DIGITS_MAX`](crate::model::json::INTEGER_DIGITS_MAX) digits).
const INTEGER_BITS_MAX: u64 = 14_000;

/// Two operands as Python's arithmetic sees them.
enum Pair {
    Integers(BigInt, BigInt),
    Small(i64, i64),
    Floats(f64, f64),
}

fn pair(operator: &str, a: &Value, b: &Value) -> Result<Pair, Raised> {
    let (Some(left), Some(right)) = (Number::of(a), Number::of(b)) else {
        let types = format!("'{}' and '{}'", type_name(a), type_name(b));
        return Err(Raised::new("TypeError", format!("unsupported operand types for {operator}: {types}")));
    };
    Ok(match (left, right) {
        (Number::Small(a), Number::Small(b)) => Pair::Small(a, b),
        (left @ Number::Float(_), right) | (left, right @ Number::Float(_)) => {
            Pair::Floats(left.float()?, right.float()?)
        }
        (left, right) => Pair::Integers(left.big(), right.big()),
    })
}

fn by_zero(text: &'static str) -> Raised {
    Raised::new("ZeroDivisionError", text)
}

/// Python's `a / b`: a float, of integers the nearest one. `ZeroDivisionError`, `TypeError`, and `OverflowError` where
/// the result or an operand is too large for a float.
pub fn divide(a: &Value, b: &Value) -> Result<Value, Raised> {
    /// Integers up to here are floats exactly, so that one rounding is all there is.
    const EXACT: u64 = 1 << 53;
    let quotient = match pair("/", a, b)? {
        Pair::Small(_, 0) => return Err(by_zero("division by zero")),
        Pair::Small(a, b) if a.unsigned_abs() <= EXACT && b.unsigned_abs() <= EXACT => a as f64 / b as f64,
        Pair::Small(a, b) => nearest_quotient(&BigInt::from(a), &BigInt::from(b))?,
        Pair::Integers(_, b) if b.sign() == Sign::NoSign => return Err(by_zero("division by zero")),
        Pair::Integers(a, b) => nearest_quotient(&a, &b)?,
        Pair::Floats(_, 0.0) => return Err(by_zero("float division by zero")),
        Pair::Floats(a, b) => a / b,
    };
    Ok(Value::Float(quotient))
}

/// The float nearest to a quotient of integers: 65 bits of it or more, the last one set if anything is left.
fn nearest_quotient(a: &BigInt, b: &BigInt) -> Result<f64, Raised> {
    const WANTED_BITS: i64 = 66;
    let bits = |big: &BigInt| i64::try_from(big.bits()).unwrap_or(i64::MAX);
    let shift = bits(b).saturating_sub(bits(a)).saturating_add(WANTED_BITS);
    let moved = |size: &BigUint, by: i64| size << u64::try_from(by.max(0)).unwrap_or(0);
    let (above, below) = (moved(a.magnitude(), shift), moved(b.magnitude(), shift.saturating_neg()));
    let mut quotient = u128::try_from(&above / &below).unwrap_or(u128::MAX);
    quotient |= u128::from(&above % &below != BigUint::ZERO);
    let mut size = quotient as f64;
    // In steps, so that no factor overflows by itself.
    let mut left = -shift;
    while left != 0 && size != 0.0 && size.is_finite() {
        let step = i32::try_from(left.clamp(-1000, 1000)).unwrap_or(0);
        size *= 2_f64.powi(step);
        left -= i64::from(step);
    }
    if size.is_infinite() {
        return Err(Raised::new("OverflowError", "integer division result too large for a float"));
    }
    Ok(if (a.sign() == Sign::Minus) == (b.sign() == Sign::Minus) { size } else { -size })
}

/// Python's `a // b`: rounded down; an integer of integers.
pub fn floor_divide(a: &Value, b: &Value) -> Result<Value, Raised> {
    match pair("//", a, b)? {
        Pair::Small(_, 0) => Err(by_zero("integer division or modulo by zero")),
        Pair::Small(a, b) if b != -1 => Ok(Value::Int(a.div_euclid(b) - i64::from(b < 0 && a.rem_euclid(b) != 0))),
        Pair::Small(a, b) => Ok(Value::integer(BigInt::from(a) / BigInt::from(b))),
        Pair::Integers(_, b) if b.sign() == Sign::NoSign => Err(by_zero("integer division or modulo by zero")),
        Pair::Integers(a, b) => {
            let (quotient, rest) = (&a / &b, &a % &b);
            let down = rest.sign() != Sign::NoSign && rest.sign() != b.sign();
            Ok(Value::integer(if down { quotient - 1 } else { quotient }))
        }
        Pair::Floats(_, 0.0) => Err(by_zero("float floor division by zero")),
        Pair::Floats(a, b) => Ok(Value::Float(float_floor(a, b))),
    }
}

/// CPython's `float_floor_div`.
fn float_floor(a: f64, b: f64) -> f64 {
    let rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest != 0.0 && (b < 0.0) != (rest < 0.0) {
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return 0_f64.copysign(a / b);
    }
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}

/// Python's `a % b`: with the sign of `b`. Formatting of strings is not here.
pub fn modulo(a: &Value, b: &Value) -> Result<Value, Raised> {
    match pair("%", a, b)? {
        Pair::Small(_, 0) => Err(by_zero("integer modulo by zero")),
        Pair::Small(_, -1) => Ok(Value::Int(0)),
        Pair::Small(a, b) => {
            let rest = a % b;
            Ok(Value::Int(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }))
        }
        Pair::Integers(_, b) if b.sign() == Sign::NoSign => Err(by_zero("integer modulo by zero")),
        Pair::Integers(a, b) => {
            let rest = &a % &b;
            let other_side = rest.sign() != Sign::NoSign && rest.sign() != b.sign();
            Ok(Value::integer(if other_side { rest + b } else { rest }))
        }
        Pair::Floats(_, 0.0) => Err(by_zero("float modulo")),
        Pair::Floats(a, b) => {
            let rest = a % b;
            Ok(Value::Float(match rest {
                0.0 => 0_f64.copysign(b),
                rest if (b < 0.0) != (rest < 0.0) => rest + b,
                rest => rest,
            }))
        }
    }
}

/// Python's `a ** b`. A root of a negative number is complex there and a `ValueError` here; an integer past
/// [`INTEGER_BITS_MAX`] is a `MemoryError`.
pub fn power(a: &Value, b: &Value) -> Result<Value, Raised> {
    let (base, exponent) = match pair("**", a, b)? {
        Pair::Floats(a, b) => return float_power(a, b),
        Pair::Small(a, b) => (BigInt::from(a), BigInt::from(b)),
        Pair::Integers(a, b) => (a, b),
    };
    if exponent.sign() == Sign::Minus {
        return float_power(Number::Big(base).float()?, Number::Big(exponent).float()?);
    }
    let bits = base.bits();
    if bits <= 1 {
        let odd = exponent.bit(0);
        let nothing = exponent.sign() == Sign::NoSign;
        return Ok(Value::integer(match base.sign() {
            _ if nothing => BigInt::from(1),
            Sign::Minus if !odd => -base,
            _ => base,
        }));
    }
    match u32::try_from(&exponent) {
        Ok(times) if u64::from(times).saturating_mul(bits - 1) <= INTEGER_BITS_MAX => {
            bounded(Value::integer(base.pow(times)))
        }
        _ => Err(too_large()),
    }
}

fn float_power(a: f64, b: f64) -> Result<Value, Raised> {
    if a == 0.0 && b < 0.0 {
        return Err(by_zero("0.0 cannot be raised to a negative power"));
    }
    if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 {
        return Err(Raised::new("ValueError", "a root of a negative number is complex"));
    }
    let power = a.powf(b);
    if power.is_infinite() && a.is_finite() && b.is_finite() {
        return Err(Raised::new("OverflowError", "(34, 'Numerical result out of range')"));
    }
    Ok(Value::Float(power))
}

fn too_large() -> Raised {
    Raised::new("MemoryError", format!("the integer would have more than {INTEGER_BITS_MAX} bits"))
}

/// The value, unless it is an integer past [`INTEGER_BITS_MAX`].
pub fn bounded(value: Value) -> Result<Value, Raised> {
    match &value {
        Value::Big(big) if big.bits() > INTEGER_BITS_MAX => Err(too_large()),
        _ => Ok(value),
    }
}

/// Python's `-a`; of a boolean, the integer.
pub fn negate(a: &Value) -> Result<Value, Raised> {
    match Number::of(a) {
        Some(Number::Small(i)) => Ok(i.checked_neg().map_or_else(|| Value::integer(-BigInt::from(i)), Value::Int)),
        Some(Number::Big(big)) => Ok(Value::integer(-big)),
        Some(Number::Float(f)) => Ok(Value::Float(-f)),
        None => Err(Raised::new("TypeError", format!("bad operand type for unary -: '{}'", type_name(a)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json;
    use rstest::rstest;

    fn of(text: &str) -> Value {
        json::read(text.as_bytes()).unwrap()
    }

    fn shown(result: Result<Value, Raised>) -> String {
        result.map_or_else(|raised| raised.class.to_owned(), |value| json::to_string(&value))
    }

    /// Answers of Python 3.11.
    #[rstest]
    #[case("7", "2", "3.5")]
    #[case("-9223372036854775808", "3", "-3.0744573456182584e+18")]
    #[case("9007199254740993", "3", "3002399751580331.0")]
    #[case("100000000000000000000000", "7", "1.4285714285714286e+22")]
    #[case("1", "3000000000000000000000000", "3.3333333333333335e-25")]
    #[case("true", "2", "0.5")]
    #[case("1", "0", "ZeroDivisionError")]
    #[case("1", "-0.0", "ZeroDivisionError")]
    #[case("null", "1", "TypeError")]
    #[case("\"4\"", "2", "TypeError")]
    #[case("1e308", "1e-308", "Infinity")]
    fn true_division(#[case] a: &str, #[case] b: &str, #[case] expected: &str) {
        assert_eq!(
            shown(divide(&of(a), &of(b))),
            json::to_string(&json::read(expected.as_bytes()).unwrap_or(Value::from(expected))).trim_matches('"')
        );
    }

    #[rstest]
    #[case("7", "2", "3", "1")]
    #[case("-7", "2", "-4", "1")]
    #[case("7", "-2", "-4", "-1")]
    #[case("-7", "-2", "3", "-1")]
    #[case("6", "-2", "-3", "0")]
    #[case("-9223372036854775808", "-1", "9223372036854775808", "0")]
    #[case("-100000000000000000000001", "10", "-10000000000000000000001", "9")]
    #[case("100000000000000000000001", "-10", "-10000000000000000000001", "-9")]
    #[case("7.5", "2", "3.0", "1.5")]
    #[case("-7.5", "2", "-4.0", "0.5")]
    #[case("7.5", "-2.0", "-4.0", "-0.5")]
    #[case("-6.0", "3", "-2.0", "0.0")]
    #[case("0.0", "-3", "-0.0", "-0.0")]
    #[case("1.0", "0.1", "9.0", "0.09999999999999995")]
    #[case("1", "0", "ZeroDivisionError", "ZeroDivisionError")]
    #[case("1.0", "0", "ZeroDivisionError", "ZeroDivisionError")]
    #[case("Infinity", "2", "NaN", "NaN")]
    #[case("\"%s\"", "2", "TypeError", "TypeError")]
    fn floor_and_rest(#[case] a: &str, #[case] b: &str, #[case] floor: &str, #[case] rest: &str) {
        assert_eq!(shown(floor_divide(&of(a), &of(b))), floor);
        assert_eq!(shown(modulo(&of(a), &of(b))), rest);
    }

    #[rstest]
    #[case("2", "10", "1024")]
    #[case("-2", "3", "-8")]
    #[case("-1", "99999999999999999999", "-1")]
    #[case("0", "0", "1")]
    #[case("true", "5", "1")]
    #[case("10", "20", "100000000000000000000")]
    #[case("2", "-1", "0.5")]
    #[case("0", "-1", "ZeroDivisionError")]
    #[case("2.0", "0.5", "1.4142135623730951")]
    #[case("-8", "0.5", "ValueError")]
    #[case("-8.0", "3", "-512.0")]
    #[case("1e200", "2", "OverflowError")]
    #[case("10", "10000000000", "MemoryError")]
    #[case("10", "99999999999999999999", "MemoryError")]
    #[case("\"a\"", "2", "TypeError")]
    fn powers(#[case] a: &str, #[case] b: &str, #[case] expected: &str) {
        assert_eq!(shown(power(&of(a), &of(b))), expected);
    }

    #[test]
    fn minus_of_the_smallest_integer_and_of_a_boolean() {
        assert_eq!(shown(negate(&Value::Int(i64::MIN))), "9223372036854775808");
        assert_eq!(shown(negate(&Value::Bool(true))), "-1");
    }
}
