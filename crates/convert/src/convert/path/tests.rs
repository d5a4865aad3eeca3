use super::*;
use crate::model::json;
use proptest::prelude::*;
use rstest::rstest;

fn read(text: &str) -> Value {
    json::read(text.as_bytes()).unwrap()
}

fn all(path: &str, root: &Value) -> Result<String, &'static str> {
    let path = Path::parse(path).unwrap_or_else(|error| panic!("{error}"));
    let values = path.all(root).map_err(|raised| raised.class)?;
    Ok(json::to_string(&Value::List(values.into_iter().map(Cow::into_owned).collect())))
}

/// Answers of the real library to corners that the recorded cases do not reach.
#[rstest]
#[case::a_bar_binds_tighter_than_a_point("t|a.b", "[1]")]
#[case::brackets_bind_looser_than_points("a.l[0]", "[3]")]
#[case::a_number_ends_an_operation("$.n + 1 . x", "[]")]
#[case::arithmetic_goes_to_the_right("$.n - 2 + 1", "[4]")]
#[case::a_single_name_is_text("n + 'x'", r#"["nx"]"#)]
#[case::lists_repeat("$.a.l * 2", "[[3,1,2,3,1,2]]")]
#[case::objects_are_wrapped("a[*].b", "[1]")]
#[case::text_is_wrapped("t[*]", r#"["x.y"]"#)]
#[case::a_character("t[-1]", r#"["y"]"#)]
#[case::a_root_inside_is_the_root("a.($.t)", r#"["x.y"]"#)]
#[case::a_computed_value_is_its_own_root("t.`len`.$", "[3]")]
#[case::the_parent_of_a_wrapped_object_is_the_wrap("a[*].`parent`.`len`", "[1]")]
#[case::a_path_takes_the_ampersand("o[?(k=1)&(k=1)].k", "[1,1]")]
#[case::keys_that_are_missing_are_equal(r"o[\k]", r#"[[{"k":2},{"k":1},{"j":0},{"k":1}]]"#)]
#[case::substitution_without_effect("t.`sub(/z/, y)`", "[]")]
#[case::a_split_of_what_is_no_text("n.`split(., 0, -1)`", "[]")]
#[case::a_quoted_star_is_a_star("a.'*'", "[1,[3,1,2]]")]
#[case::descendants("$..k", "[2,1,1]")]
fn as_the_original(#[case] path: &str, #[case] expected: &str) {
    let root =
        read(r#"{"a": {"b": 1, "l": [3, 1, 2]}, "n": 7, "t": "x.y", "o": [{"k": 2}, {"k": 1}, {"j": 0}, {"k": 1}]}"#);
    assert_eq!(all(path, &root).as_deref(), Ok(expected));
}

#[rstest]
#[case("`sorted`", "AttributeError")]
#[case("n.`sorted`", "TypeError")]
#[case("a[0]", "KeyError")]
#[case("l[-5]", "IndexError")]
#[case("z[*]", "TypeError")]
#[case("a & b", "NotImplementedError")]
#[case("l[?@ ~ '(']", "error")]
#[case("l.`sub(/a/, b)`", "TypeError")]
fn raises_as_the_original(#[case] path: &str, #[case] class: &str) {
    let root = read(r#"{"a": {"b": 1}, "n": 7, "l": ["x"], "z": null}"#);
    assert_eq!(all(path, &root), Err(class));
}

#[rstest]
#[case("", "something is missing at the end, at byte 0")]
#[case("a.", "something is missing at the end, at byte 2")]
#[case("a -1", "unexpected '-1', at byte 2")]
#[case("B/s", "unexpected '/', at byte 1")]
#[case("%", "unexpected character '%', at byte 0")]
#[case("true_name", "unexpected 'true', at byte 0")]
#[case("'abc", "' without its end, at byte 0")]
#[case("a.`size`", "no operator is called `size`, at byte 2")]
#[case("2 * 3.5", "an integer and a number with a point cannot be joined, at byte 4")]
#[case("[?a]", "unexpected '?', at byte 1")]
fn says_what_it_cannot_read(#[case] path: &str, #[case] why: &str) {
    let error = Path::parse(path).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read the path '{path}': {why}"));
}

#[rstest]
#[case("_context_user_id", r#"["u"]"#)]
#[case("$._context_user_id", r#"["u"]"#)]
#[case("_context_user_id|_context_tenant", r#"["u"]"#)]
#[case("message_id + timestamp", r#"["message_idtimestamp"]"#)]
#[case("$.message_id", r#"["m"]"#)]
#[case("metadata.message_id", r#"["m"]"#)]
#[case("payload.message_id", "[]")]
#[case("payload._context_user_id", "[]")]
#[case("timestamp", r#"["its own"]"#)]
fn members_of_the_older_releases_are_found_where_they_are_today(#[case] path: &str, #[case] expected: &str) {
    let root =
        read(r#"{"ctxt": {"user_id": "u"}, "payload": {}, "metadata": {"message_id": "m"}, "timestamp": "its own"}"#);
    assert_eq!(all(path, &root).as_deref(), Ok(expected));
}

#[rstest]
#[case("payload.size", "{}")]
#[case("ctxt.user_id", r#"{"user_id"}"#)]
#[case("$.ctxt.user.name", r#"{"user"}"#)]
#[case("(payload.tenant_id)|(ctxt.project_id)", r#"{"project_id"}"#)]
#[case::a_bar_binds_tighter_than_a_point("ctxt.user_id|ctxt.user", r#"{"ctxt", "user_id"}"#)]
#[case("ctxt.(a|b.c)", r#"{"a", "b"}"#)]
#[case("ctxt.user_id,tenant", r#"{"tenant", "user_id"}"#)]
#[case("_context_user_id", r#"{"user_id"}"#)]
#[case("_context_a.`len`", r#"{"a"}"#)]
#[case("$.payload.x - $._context_a", r#"{"a"}"#)]
#[case("payload.metadata[?(@.ctxt='a')].b", "{}")]
#[case("ctxt", "All")]
#[case("ctxt.*", "All")]
#[case("ctxt.a + ctxt.b", "All")]
#[case("*", "All")]
#[case("$", "All")]
#[case("$..user_id", "All")]
#[case("payload.`parent`.ctxt", "All")]
#[case("payload.($.ctxt.a)", "All")]
fn it_is_known_what_a_path_looks_at_in_the_context(#[case] path: &str, #[case] expected: &str) {
    let mut members = ContextMembers::none();
    Path::parse(path).unwrap().add_context_members(&mut members);
    let shown = match members {
        ContextMembers::All => "All".to_owned(),
        ContextMembers::Named(names) => format!("{names:?}"),
    };
    assert_eq!(shown, expected);
}

#[test]
fn values_nested_deep_do_not_recurse() {
    let depth = json::DEPTH_MAX - 1;
    let root = read(&format!("{}7{}", r#"{"a":["#.repeat(depth / 2), "]}".repeat(depth / 2)));
    assert_eq!(Path::parse("$..a").unwrap().all(&root).unwrap().len(), depth / 2);
    assert_eq!(Path::parse("$..(@..a)").unwrap().all(&root).unwrap_err().class, "MemoryError");
}

#[rstest]
#[case::paths_that_multiply(&"(*|*).".repeat(30), "MemoryError")]
#[case::lists_that_multiply("$.l * 99999999", "MemoryError")]
#[case::big_lists_that_are_copied("$.l[0] * 100000", "MemoryError")]
#[case::text_that_multiplies("$.t * 999999999", "MemoryError")]
#[case::text_for_every_match("$.s[*] * 1000", "MemoryError")]
fn work_is_bounded(#[case] path: &str, #[case] class: &str) {
    let chain = (0..31).fold(Value::Int(1), |inner, _| Value::Dict([("a", inner)].into_iter().collect()));
    let mut root = chain;
    if let Value::Dict(dict) = &mut root {
        let wide = Value::List((0..1000_i64).map(Value::Int).collect());
        dict.insert("l", vec![Value::List(vec![wide; 100])]);
        dict.insert("t", "x".repeat(1000));
        dict.insert("s", vec![Value::from("x".repeat(1000)); 1000]);
    }
    assert_eq!(all(path.trim_end_matches('.'), &root), Err(class));
}

#[test]
fn the_deepest_paths_evaluate() {
    let root = read(r#"{"a": [{"b": 1}]}"#);
    for text in [
        "@.".repeat(190) + "a",
        "$.n + ".repeat(60) + "$.n",
        format!("{}a{}", "(".repeat(190), ")".repeat(190)),
        "a".to_owned() + &" where @".repeat(190),
        format!("a{}", "[?(@.b where @)=1]".repeat(190)),
    ] {
        assert!(Path::parse(&text).unwrap().all(&root).is_ok(), "{}", &text[..20]);
    }
}

#[test]
fn paths_nested_too_deep_are_refused() {
    for text in [
        format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000)),
        "a.".repeat(10_000) + "a",
        "a + ".repeat(10_000) + "a",
        format!("a[?{}a", "(".repeat(10_000)),
        "a[?b".repeat(10_000),
    ] {
        assert!(Path::parse(&text).unwrap_err().why.starts_with("nested deeper"), "{}", &text[..20]);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        "[a-c.#é]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec(("[ab]|name|value", inner), 0..5)
                .prop_map(|pairs| Value::Dict(pairs.into_iter().collect())),
        ]
    })
}

/// Pieces that make many paths that parse.
fn path_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "name",
        "$",
        "@",
        "*",
        ".",
        ".",
        "..",
        "|",
        "&",
        ",",
        " where ",
        "(",
        ")",
        "[0]",
        "[*]",
        "[-1:]",
        "[?(@.name='a')]",
        "[?value>1]",
        "[?a ~ 'b']",
        "[/name]",
        "[\\value,/a]",
        " + ",
        " - ",
        " * ",
        "2",
        "1.5",
        "'a'",
        "`this`",
        "`parent`",
        "`len`",
        "`sorted`",
        "`split(., 0, -1)`",
        "`sub(/a*/, \\\\0b)`",
        "true",
        "99999999999",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Path::parse(&text);
    }

    #[test]
    fn no_path_on_any_value_panics(text in path_text(), root in value()) {
        if let Ok(path) = Path::parse(&text) {
            let all = path.all(&root);
            let first = path.first(&root);
            let _ = path.placed(&root);
            if let (Ok(all), Ok(first)) = (all, first) {
                let expected = all.into_iter().find(|value| !value.is_null());
                prop_assert_eq!(first.map(|v| json::to_string(&v)), expected.map(|v| json::to_string(&v)));
            }
        }
    }
}
