use super::*;
use crate::model::json;
use rstest::rstest;

/// The document as JSON; keys that are no strings are written as JSON too.
fn json_of(text: &str) -> String {
    match read("f", text) {
        Ok(node) => json::to_string(&node.to_value()),
        Err(complaint) => complaint.to_string(),
    }
}

/// Answers of PyYAML 6.0.
#[rstest]
#[case::nothing("", "null")]
#[case::comments_alone("# nothing\n", "null")]
#[case::booleans("[yes, No, ON, off, True, y, n, yEs]", r#"[true,false,true,false,true,"y","n","yEs"]"#)]
#[case::nulls("[~, null, NULL, nULL, ]", r#"[null,null,null,"nULL"]"#)]
#[case::integers("[010, 0o7, 08, 0x1F, 0b101, 1_000, +5, -0]", r#"[8,"0o7","08",31,5,1000,5,0]"#)]
#[case::sexagesimal("[1:30, -1:30:05, 1:60, 01:30, 1:30.5]", r#"[90,-5405,"1:60","01:30",90.5]"#)]
#[case::big("12345678901234567890123", "12345678901234567890123")]
#[case::floats(
    "[1., .5, 1.5e-7, 1e3, 1.0e3, -.5, .inf, -.INF, .NaN]",
    "[1.0,0.5,1.5e-7,\"1e3\",\"1.0e3\",\"-.5\",Infinity,-Infinity,NaN]"
)]
#[case::quoted("['1', \"yes\", '']", r#"["1","yes",""]"#)]
#[case::tags("[!!str 1, !!int '3', !!float 3, ! 7, ! '7']", r#"["1",3,3.0,7,"7"]"#)]
#[case::a_date_stays_text("2001-01-01", r#""2001-01-01""#)]
#[case::repeated_key("{a: 1, b: 2, a: 3}", r#"{"a":3,"b":2}"#)]
#[case::equal_keys("{1: a, 1.0: b, true: c}", r#"{"1":"c"}"#)]
#[case::merge("- &a {x: 1, y: 2}\n- {z: 0, <<: *a, y: 3}", r#"[{"x":1,"y":2},{"x":1,"y":3,"z":0}]"#)]
#[case::merge_list(
    "- &a {x: 1, y: 2}\n- &b {y: 3, w: 4}\n- {z: 0, <<: [*a, *b]}",
    r#"[{"x":1,"y":2},{"y":3,"w":4},{"y":2,"w":4,"x":1,"z":0}]"#
)]
#[case::quoted_merge("{'<<': 1}", r#"{"<<":1}"#)]
#[case::tabs_in_texts("a: \"b\tc\" # d\te\nf: 'g\t#\th'\n", r#"{"a":"b\tc","f":"g\t#\th"}"#)]
#[case::tabs_in_blocks(
    "a: |\n  b\tc\n   \td\ne: >-\n  f\tg\n  h\ti\nj: k\n",
    r#"{"a":"b\tc\n \td\n","e":"f\tg h\ti","j":"k"}"#
)]
#[case::colon_in_front("{a: :b}", r#"{"a":":b"}"#)]
#[case::an_anchor_twice("[&a 1, &a 2, *a]", "[1,2,2]")]
#[case::byte_order_mark("\u{feff}a: 1", r#"{"a":1}"#)]
fn a_text_is_read(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(json_of(text), expected);
}

#[rstest]
#[case::two_documents(
    "a: 1\n---\nb: 1\n",
    "f:2: a second document begins here; one file holds one document, remove this `---`"
)]
#[case::list_as_key("? [a]\n: 1", "f:1: a list or mapping cannot be a key; is a `:` or a quote missing?")]
#[case::merge_of_text("a: 1\n<<: b", "f:2: `<<` expects a mapping or a list of mappings, usually an alias: `*name`")]
#[case::merge_of_texts("<<: [b]", "f:1: `<<` merges mappings, this is none")]
#[case::itself("a: &a [*a]", "f:1: an alias inside the node that it names; a definition cannot contain itself")]
#[case::foreign_tag(
    "a: !!python/object:os.system x",
    "f:1: the tag !!python/object:os.system has no meaning here, remove it"
)]
#[case::merge_as_a_value("a: 1\nb: <<", "f:2: `<<` is a key that merges, and no value; put it in quotes if it is text")]
#[case::merge_in_a_list("[<<]", "f:1: `<<` is a key that merges, and no value; put it in quotes if it is text")]
#[case::equals_sign("a: =", "f:1: `=` alone has no meaning here; put it in quotes if it is text")]
#[case::tab_in_a_plain_text(
    "a: 1\nb: c\td\n",
    "f:2: not YAML: a tab stands where only blanks may; write blanks, or put the text in quotes"
)]
#[case::tab_at_the_end(
    "# a\tb\na: b\t\n",
    "f:2: not YAML: a tab stands where only blanks may; write blanks, or put the text in quotes"
)]
#[case::empty_bits("0b_", "f:1: \"0b_\" cannot be read as an integer; put it in quotes if it is text")]
fn a_text_is_refused(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(json_of(text), expected);
}

#[test]
fn a_key_is_written_twice() {
    let (_, warnings) = read_with_warnings("f", "a: 1\nb: 2\na: 3\n").unwrap();
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["f:3: the key a is already written in line 1; this one wins"]);
}

#[test]
fn nodes_know_their_lines() {
    let node = read("f", "a:\n  - 1\n  - b:\n      c\n").unwrap();
    let list = node.get("a").unwrap().items().unwrap();
    assert_eq!((list[0].place.line, list[1].place.line, list[1].get("b").unwrap().place.line), (2, 3, 4));
}

#[test]
fn a_document_laughs_a_billion_times() {
    use std::fmt::Write;
    let mut text = String::from("a0: &a0 [lol]\n");
    for n in 1..30 {
        let before = n - 1;
        writeln!(text, "a{n}: &a{n} [{}]", format!("*a{before},").repeat(10)).unwrap();
    }
    assert!(json_of(&text).contains("too large"), "{}", json_of(&text));
    let long = format!("a: &a {}\nb: [{}]", "x".repeat(1_000_000), "*a,".repeat(1000));
    assert!(json_of(&long).contains("too large"));
}

#[test]
fn a_document_is_nested_deeply() {
    use std::fmt::Write;
    assert!(json_of(&"[".repeat(100)).contains("nested too deeply"));
    assert!(json_of(&"- ".repeat(10_000)).contains("nested too deeply"));
    let mut text = String::from("a0: &a0 [lol]\n");
    for n in 1..200 {
        writeln!(text, "a{n}: &a{n} [*a{}]", n - 1).unwrap();
    }
    assert!(json_of(&text).contains("nested too deeply"), "by aliases");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[-a-c0-9:{}\\[\\]&*!|>%@'\"#?,<~. \n\t]{0,60}") {
        let _ = read("f", &text);
    }

    #[test]
    fn any_scalar_is_read_or_refused(text in "[-+0-9_.:eExbnaif]{0,12}") {
        let _ = scalar::resolve(&text);
    }
}
