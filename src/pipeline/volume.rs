//! Whether the volume of a sample can be published (Ceilometer reference §4.1.3, `_validate_volume`).

use crate::model::Value;
use crate::model::number::float_of_text;

/// Why a volume is dropped; `Ok` for one that is published, unchanged: a string that looks like a number stays a string.
///
/// Numbers and booleans pass. A string passes if Python's `float()` takes it, `nan` and `1_0` included. Ceilometer
/// fails with the whole message on a list or mapping; here it is dropped like a text that is no number.
pub fn check(volume: &Value) -> Result<(), &'static str> {
    match volume {
        Value::Bool(_) | Value::Int(_) | Value::Big(_) | Value::Float(_) => Ok(()),
        Value::Null => Err("it has no volume"),
        Value::Str(text) if float_of_text(text).is_some() => Ok(()),
        Value::Str(_) => Err("its volume is no number"),
        Value::List(_) | Value::Dict(_) => Err("its volume is a list or mapping"),
    }
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
    #[case("٣.٤e٢", true)]
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
