use super::super::{read_plainly, to_string};
use super::*;
use crate::model::{Notification, envelope};
use proptest::prelude::*;
use rstest::rstest;

/// What services write is read at the first go, to the value that the other readers find.
#[rstest]
#[case(r#"{"a":[1,-2.5e3,true,null,{"b":"x\n\u00e9\"\\\/y"}],"c":{}}"#)]
#[case(" [ ] ")]
#[case("\t{\r\n}\n")]
#[case("123456789012345678")]
#[case("0.1")]
#[case("\"a long text that is not in place but a share\"")]
fn usual_text_is_read_at_once(#[case] text: &str) {
    assert_eq!(read(&Text::from(text)).unwrap(), read_plainly(text.as_bytes()).unwrap());
}

/// What one of the other readers must decide is left to it.
#[rstest]
#[case::a_repeated_key(r#"{"a":1,"b":2,"a":3}"#)]
#[case::zero_below_zero("-0")]
#[case::nineteen_digits("1234567890123456789")]
#[case::no_number("NaN")]
#[case::a_large_float("1e300")]
#[case::a_point_at_the_end("1.")]
#[case::a_leading_zero("01")]
#[case::half_a_pair(r#""\ud800""#)]
#[case::a_pair(r#""\ud83d\ude00""#)]
#[case::a_control_character("\"\u{1}\"")]
#[case::a_blank_in_hex(r#""\u 1ab""#)]
#[case::a_sign_in_hex(r#""\u+1ab""#)]
#[case::two_values("1 2")]
#[case::no_end("[1")]
#[case::too_deep(&"[".repeat(200))]
fn what_is_unusual_is_left(#[case] text: &str) {
    assert_eq!(read(&Text::from(text)), None);
}

#[rstest]
#[case::a_line_end_stands_for_itself("{\"oslo.version\":\"2.0\",\"oslo.message\":\"{\n}\"}")]
#[case::a_quote_by_its_number(r#"{"oslo.version":"2.0","oslo.message":"{\u0022a\u0022:1}"}"#)]
#[case::another_version(r#"{"oslo.version":"2.1","oslo.message":"{}"}"#)]
#[case::a_third_key(r#"{"oslo.version":"2.0","oslo.message":"{}","more":1}"#)]
#[case::twice_the_message(r#"{"oslo.version":"2.0","oslo.message":"{}","oslo.message":"{}"}"#)]
#[case::no_version(r#"{"oslo.message":"{}"}"#)]
#[case::something_behind(r#"{"oslo.version":"2.0","oslo.message":"{} x"}"#)]
fn an_unusual_envelope_is_left(#[case] text: &str) {
    assert_eq!(message_in_envelope(&Text::from(text), &|_| true), None);
}

#[test]
fn what_nobody_wants_is_read_over_but_must_be_json() {
    let wanted = |key: &str| key == "a";
    let read = |text: &str| members(&Text::from(text), &wanted).map(|dict| to_string(&Value::Dict(dict)));
    assert_eq!(read(r#"{"b":[{"c":"\u0041"},1.5],"a":1,"d":null}"#).as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(read(r#"{"b":[{"c":"\q"}],"a":1}"#), None);
    assert_eq!(read(r#"{"b":[{"c":01}],"a":1}"#), None);
}

#[test]
fn many_keys_cost_no_quadratic_time_and_the_last_of_a_name_counts() {
    let keys = |count: usize| (0..count).map(|n| format!("\"k{n}\":{n},")).collect::<String>();
    for count in [40, 47, 48, 49, 60, 5_000] {
        let text = format!("{{{}\"k0\":\"last\"}}", keys(count));
        assert_eq!(super::super::read(text.as_bytes()).unwrap(), read_plainly(text.as_bytes()).unwrap(), "{count}");
    }
}

/// Pieces of JSON, and of what only looks like it.
fn json_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\"a\"",
        "\"a\":",
        "\"b\":1",
        "null",
        "true",
        "1",
        "-0",
        "1.5",
        "1e5",
        "01",
        "1.",
        "\\n",
        "\\u0041",
        "\\ud83d",
        "\\ude00",
        "é",
        " ",
        "\n",
        "NaN",
        "\"oslo.version\":\"2.0\"",
        "\"oslo.message\":",
        "\\\"",
        "\\\\",
        "\u{1}",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// A value that services may write.
fn value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value as Json;
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        "[a-z ]{20,40}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::vec((any::<String>(), inner.clone()), 0..6)
                .prop_map(|m| Json::Object(m.into_iter().collect())),
            prop::collection::vec(("[a-c]|_context_[ab]|payload|priority", inner), 0..6)
                .prop_map(|m| Json::Object(m.into_iter().collect())),
        ]
    })
}

/// As text, in which `NaN` is equal to itself, and a float is no integer.
fn shown<E>(read: Result<Value, E>) -> Result<String, E> {
    read.map(|value| to_string(&value))
}

fn spaces_outside_of_strings(text: &str) -> usize {
    let (mut inside, mut escaped, mut spaces) = (false, false, 0);
    for byte in text.bytes() {
        spaces += usize::from(!inside && byte.is_ascii_whitespace());
        inside ^= byte == b'"' && !escaped;
        escaped = inside && byte == b'\\' && !escaped;
    }
    spaces
}

proptest! {
    #[test]
    fn text_of_pieces_is_read_as_the_others_read_it(text in json_text()) {
        prop_assert_eq!(shown(super::super::read(text.as_bytes())), shown(read_plainly(text.as_bytes())));
    }

    #[test]
    fn bytes_are_read_as_the_others_read_them(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(shown(super::super::read(&bytes)), shown(read_plainly(&bytes)));
    }

    #[test]
    fn values_are_read_as_the_others_read_them(value in value()) {
        let text = value.to_string();
        prop_assert_eq!(super::super::read(text.as_bytes()), read_plainly(text.as_bytes()));
    }

    /// What is only looked at is JSON, and on one line.
    #[test]
    fn what_is_looked_at_can_be_read(text in prop_oneof![json_text(), value().prop_map(|v| v.to_string())]) {
        let text = Text::from(text);
        let mut reader = Reader::<false>::new(&text);
        let raw = reader.raw(0).filter(|raw| raw.len() == text.len());
        let value = read_plainly(text.as_bytes());
        if raw.is_some() {
            prop_assert!(value.is_ok());
            prop_assert_eq!(spaces_outside_of_strings(&text), 0);
        } else if spaces_outside_of_strings(&text) == 0 {
            prop_assert_eq!(read(&text), None);
        }
    }

    /// Whatever is in an envelope, and however it is broken: the same notification, or the same error.
    #[test]
    fn envelopes_are_opened_as_the_others_open_them(
        inner in prop_oneof![json_text(), value().prop_map(|v| v.to_string())],
        cut in any::<Option<prop::sample::Index>>(),
        broken in any::<Option<(prop::sample::Index, u8)>>(),
    ) {
        let inner = inner.replacen('{', r#"{"priority":"info","#, 1);
        let text = serde_json::to_string(&inner).unwrap();
        let mut body = format!(r#"{{"oslo.version": "2.0", "oslo.message": {text}}}"#).into_bytes();
        if let Some((at, byte)) = broken {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        let root = |opened: Result<Notification, _>| shown(opened.map(|notification| notification.root().clone()));
        prop_assert_eq!(root(envelope::open(&body)), root(envelope::open_plainly(&body)));
    }

    /// The strings of `serde_json`, to the byte.
    #[test]
    fn strings_are_written_as_serde_json_does(text in any::<String>(), ascii in "[ -~\t\n\r\u{1}-\u{1f}\u{7f}]{0,30}") {
        for text in [text, ascii] {
            let mut out = Vec::new();
            super::super::write_str(&text, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }
}
