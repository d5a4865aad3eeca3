//! Whether the volume of a sample can be published (Ceilometer reference §4.1.3, `_validate_volume`).

use crate::model::Value;

/// Why a volume is dropped; `Ok` for one that is published, unchanged: a string that looks like a number stays a string.
///
/// Numbers and booleans pass. A string passes if Python's `float()` takes it, `nan` and `1_0` included. The original
/// fails with the whole message on a list or mapping; here it is dropped like a text that is no number.
pub fn check(volume: &Value) -> Result<(), &'static str> {
    match volume {
        Value::Bool(_) | Value::Int(_) | Value::Big(_) | Value::Float(_) => Ok(()),
        Value::Null => Err("it has no volume"),
        Value::Str(text) if is_python_float(text) => Ok(()),
        Value::Str(_) => Err("its volume is no number"),
        Value::List(_) | Value::Dict(_) => Err("its volume is a list or mapping"),
    }
}

/// Whether `float(text)` succeeds in Python.
fn is_python_float(text: &str) -> bool {
    let text = text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c));
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    if ["inf", "infinity", "nan"].iter().any(|word| body.eq_ignore_ascii_case(word)) {
        return true;
    }
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let parts_ok = |part: &str| part.is_empty() || are_digits(part);
    let exponent_ok = exponent.is_none_or(|e| are_digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    parts_ok(whole) && parts_ok(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_ok
}

/// Digits, single underscores between them.
fn are_digits(part: &str) -> bool {
    part.split('_').all(|run| !run.is_empty() && run.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// Answers of Python 3.11.
    #[rstest]
    #[case("12", true)]
    #[case(" 1.5\n", true)]
    #[case("nan", true)]
    #[case("-Infinity", true)]
    #[case("1e5", true)]
    #[case("1.e-5", true)]
    #[case(".5", true)]
    #[case("1_000.0_1", true)]
    #[case("1__0", false)]
    #[case("_1", false)]
    #[case("", false)]
    #[case(".", false)]
    #[case("e5", false)]
    #[case("1e", false)]
    #[case("0x10", false)]
    #[case("1,5", false)]
    #[case("+-1", false)]
    fn a_text_is_a_volume(#[case] text: &str, #[case] fine: bool) {
        assert_eq!(check(&Value::from(text)).is_ok(), fine);
    }

    #[test]
    fn other_volumes() {
        assert_eq!(check(&Value::Bool(true)), Ok(()));
        assert_eq!(check(&Value::Null), Err("it has no volume"));
        assert_eq!(check(&Value::List(vec![])), Err("its volume is a list or mapping"));
    }
}
