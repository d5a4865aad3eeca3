use super::*;
use rstest::rstest;

#[rstest]
#[case("[NaN,Infinity,-Infinity]", "[NaN,Infinity,-Infinity]")]
#[case("123456789012345678901234567890", "123456789012345678901234567890")]
#[case(r#""\ud800 and \ud83d\ude00""#, "\"\u{fffd} and \u{1f600}\"")]
fn what_only_python_reads_is_read(#[case] text: &str, #[case] written: &str) {
    assert_eq!(to_string(&read(text.as_bytes()).unwrap()), written);
}

#[test]
fn a_strict_reader_gets_null_for_what_json_cannot_say() {
    let value = read(br#"{"a":NaN,"b":[Infinity,{"c":-Infinity}],"d":"NaN","e":1.5}"#).unwrap();
    let mut out = Vec::new();
    write_as(&value, NonFinite::Null, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":null,"b":[null,{"c":null}],"d":"NaN","e":1.5}"#);
}

#[test]
fn a_sender_nests_too_deep() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(to_string(&read(nested(DEPTH_MAX).as_bytes()).unwrap()), nested(DEPTH_MAX));
    assert!(read(nested(DEPTH_MAX + 2).as_bytes()).is_err());
    assert!(read(nested(1_000_000).as_bytes()).is_err());
}

#[test]
fn a_sender_writes_an_endless_integer() {
    assert!(read("9".repeat(INTEGER_DIGITS_MAX).as_bytes()).is_ok());
    assert!(read("9".repeat(INTEGER_DIGITS_MAX + 1).as_bytes()).is_err());
}

/// What Python's `json` reads and writes again; `serde_json` alone rounds some of these to a neighbour.
#[rstest]
#[case("123456789.123456789", "123456789.12345679")]
#[case("0.30000000000000004", "0.30000000000000004")]
#[case("5e-324", "5e-324")]
#[case("1e400", "Infinity")]
fn a_float_is_read_to_its_last_bit(#[case] text: &str, #[case] again: &str) {
    assert_eq!(to_string(&read(text.as_bytes()).unwrap()), again);
}
