//! Messages as msgpack, byte for byte as Python's `msgpack.dumps(…, use_bin_type=True)` writes them.

use num_bigint::BigInt;
use rmp::encode;

use crate::model::{Dict, Value};

/// Appends the message. `Err`, with nothing appended, is why it has no such form; it never will.
pub(in crate::publish) fn pack(message: &Dict, out: &mut Vec<u8>) -> Result<(), String> {
    let before = out.len();
    let packed = dict(message, out);
    if packed.is_err() {
        out.truncate(before);
    }
    packed
}

fn dict(dict: &Dict, out: &mut Vec<u8>) -> Result<(), String> {
    encode::write_map_len(out, length(dict.iter().count())?).map_err(unwritten)?;
    for (key, member) in dict.iter() {
        text(key, out)?;
        value(member, out).map_err(|cause| format!("{key}: {cause}"))?;
    }
    Ok(())
}

fn value(value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    match value {
        Value::Null => encode::write_nil(out).map_err(unwritten),
        Value::Bool(truth) => encode::write_bool(out, *truth).map_err(unwritten),
        Value::Int(int) => encode::write_sint(out, *int).map(drop).map_err(unwritten),
        Value::Big(big) => encode::write_uint(out, in_64_bits(big)?).map(drop).map_err(unwritten),
        Value::Float(float) => encode::write_f64(out, *float).map_err(unwritten),
        Value::Str(string) => text(string, out),
        Value::List(items) => {
            encode::write_array_len(out, length(items.len())?).map_err(unwritten)?;
            items.iter().try_for_each(|item| self::value(item, out))
        }
        Value::Dict(members) => dict(members, out),
    }
}

fn text(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    length(text.len())?;
    encode::write_str(out, text).map_err(unwritten)
}

fn in_64_bits(big: &BigInt) -> Result<u64, String> {
    u64::try_from(big).map_err(|_| "an integer of more than 64 bits, for which msgpack has no form".to_owned())
}

fn length(items: usize) -> Result<u32, String> {
    u32::try_from(items).map_err(|_| "more than msgpack can count".to_owned())
}

/// A `Vec` takes everything.
fn unwritten(cause: impl std::fmt::Display) -> String {
    format!("cannot pack: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json;
    use rstest::rstest;

    fn packed(text: &str) -> Result<String, String> {
        let mut out = Vec::new();
        let packed = pack(json::read(text.as_bytes()).unwrap().as_dict().unwrap(), &mut out);
        assert_eq!(packed.is_err(), out.is_empty());
        packed.map(|()| out.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The specification of msgpack, in the smallest form, as Python's packer chooses it.
    #[rstest]
    #[case("null", "c0")]
    #[case("true", "c3")]
    #[case("127", "7f")]
    #[case("128", "cc80")]
    #[case("256", "cd0100")]
    #[case("65536", "ce00010000")]
    #[case("4294967296", "cf0000000100000000")]
    #[case("18446744073709551615", "cfffffffffffffffff")]
    #[case("-1", "ff")]
    #[case("-33", "d0df")]
    #[case("-129", "d1ff7f")]
    #[case("-9223372036854775808", "d38000000000000000")]
    #[case("1.0", "cb3ff0000000000000")]
    #[case("NaN", "cb7ff8000000000000")]
    #[case("\"é\"", "a2c3a9")]
    #[case("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "d920")]
    #[case("[{},[]]", "928090")]
    fn every_kind_of_value(#[case] json: &str, #[case] bytes: &str) {
        let packed = packed(&format!("{{\"k\":{json}}}")).unwrap();
        assert!(packed.starts_with(&format!("81a16b{bytes}")), "{packed}");
    }

    #[rstest]
    #[case("18446744073709551616")]
    #[case("-9223372036854775809")]
    fn an_integer_beyond_64_bits_has_no_form(#[case] json: &str) {
        let cause = packed(&format!("{{\"a\":1,\"k\":[{{\"n\":{json}}}]}}")).unwrap_err();
        assert_eq!(cause, "k: n: an integer of more than 64 bits, for which msgpack has no form");
    }
}
