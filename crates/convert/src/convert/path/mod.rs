//! Paths: the JSONPath dialect of Ceilometer (jsonpath-rw with its extensions; Ceilometer reference, Appendix A),
//! parsed once into a tree and evaluated on messages.
//!
//! Never here: what a definition does with what was found. Nothing a message holds makes evaluation recurse, and what
//! it may cost is bounded (`WORK_MAX`).

mod arithmetic;
mod eval;
mod filter;
mod lexer;
mod matched;
mod named;
mod parser;
mod sorting;
mod tree;

use crate::model::python::Raised;
use crate::model::{ContextMembers, Value};
use eval::Evaluation;
use matched::{Match, no_attribute};
use std::borrow::Cow;
use tree::{Name, Tree, Walk};

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the path '{path}': {why}, at byte {at}")]
pub struct PathError {
    /// The text.
    pub path: Box<str>,
    /// Where the trouble is, in bytes from 0.
    pub at: usize,
    /// What it is.
    pub why: String,
}

/// A compiled path.
#[derive(Debug, Clone)]
pub struct Path {
    kind: Kind,
    reads_priority: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    /// `a.b.c`, which nearly all are: no need of matches.
    Bare(Box<[Name]>),
    Tree {
        tree: Tree,
        climbs: bool,
        /// The same for who asks for the first value alone, where plain walks are all there is.
        walks: Option<Box<[Walk]>>,
    },
}

/// A match of a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched<'a> {
    /// Where, as `payload.list.[0].name`; empty for a computed value, and where places were not asked for.
    pub place: String,
    /// What.
    pub value: Cow<'a, Value>,
}

impl Path {
    /// Reads a path. Root members of the flat notifications of the older releases are found where they are today.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        let mut tree = parser::parse(text, lexer::tokens(text)?)?;
        let reads_priority = tree.see_flat_members();
        let kind = match tree.bare_names() {
            Some(names) => Kind::Bare(names.into()),
            None => Kind::Tree { climbs: tree.climbs(), walks: tree.walks().map(Vec::into_boxed_slice), tree },
        };
        Ok(Path { kind, reads_priority })
    }

    /// Whether it looks at the `priority` that the root had before 9.0: it is to be evaluated on
    /// [`Notification::flat_root`](crate::model::Notification::flat_root).
    pub fn reads_priority(&self) -> bool {
        self.reads_priority
    }

    /// Where a text may stand for itself: a bare name finds only what is there today.
    pub fn as_word(&mut self) {
        if let Kind::Bare(names) = &mut self.kind
            && let [name] = &mut **names
        {
            name.today = None;
            self.reads_priority = false;
        }
    }

    /// All matches in order, nulls among them. `None` is a parent that is not there: most who ask stumble over it.
    fn matches<'a>(&'a self, root: &'a Value, placed: bool) -> Result<Vec<Option<Matched<'a>>>, Raised> {
        match &self.kind {
            Kind::Bare(names) => {
                let place = if placed {
                    names.iter().map(|name| &*name.text).collect::<Vec<_>>().join(".")
                } else {
                    String::new()
                };
                Ok(walk(names, root)
                    .map(|value| Some(Matched { place, value: Cow::Borrowed(value) }))
                    .into_iter()
                    .collect())
            }
            Kind::Tree { tree, climbs, .. } => {
                let evaluation = Evaluation::new(*climbs || placed);
                let found = evaluation.whole(tree, root)?;
                let told = |m: Match<'a>| {
                    let place = if placed { m.path() } else { String::new() };
                    Ok(Matched { place, value: m.value.into_cow(&|units| evaluation.spend(units))? })
                };
                found.into_iter().map(|m| m.map(told).transpose()).collect()
            }
        }
    }

    /// The first value that is not null.
    pub fn first<'a>(&'a self, root: &'a Value) -> Result<Option<Cow<'a, Value>>, Raised> {
        match &self.kind {
            Kind::Bare(names) => return Ok(walk(names, root).filter(|value| !value.is_null()).map(Cow::Borrowed)),
            Kind::Tree { walks: Some(walks), .. } => {
                return Ok(walks.iter().find_map(|steps| first_of(steps, root)).map(Cow::Borrowed));
            }
            Kind::Tree { walks: None, .. } => {}
        }
        let found = self.present(root, false)?;
        Ok(found.into_iter().next().map(|m| m.value))
    }

    /// The matches that are not null. `AttributeError` for a missing parent.
    pub fn present<'a>(&'a self, root: &'a Value, placed: bool) -> Result<Vec<Matched<'a>>, Raised> {
        let mut present = Vec::new();
        for m in self.matches(root, placed)? {
            present.extend(Some(m.ok_or_else(no_attribute)?).filter(|m| !m.value.is_null()));
        }
        Ok(present)
    }

    /// The values of all matches, nulls among them; a missing parent is left out.
    pub fn all<'a>(&'a self, root: &'a Value) -> Result<Vec<Cow<'a, Value>>, Raised> {
        Ok(self.matches(root, false)?.into_iter().flatten().map(|m| m.value).collect())
    }

    /// All matches with their places, nulls among them. `AttributeError` for a missing parent.
    pub fn placed<'a>(&'a self, root: &'a Value) -> Result<Vec<Matched<'a>>, Raised> {
        self.matches(root, true)?.into_iter().map(|m| m.ok_or_else(no_attribute)).collect()
    }

    /// Adds what it may look at in the request context.
    pub fn add_context_members(&self, members: &mut ContextMembers) {
        // What it looks at is known where it ends at a member of the context by name.
        let of_walk = |steps: &mut dyn Iterator<Item = &[Name]>, members: &mut ContextMembers| {
            let (first, second) = (steps.next().unwrap_or_default(), steps.next());
            for name in first {
                match (&*name.text, &name.today) {
                    (CONTEXT, _) => match second {
                        Some(names) => names.iter().for_each(|name| members.add(&name.text)),
                        None => *members = ContextMembers::All,
                    },
                    (_, Some((CONTEXT, today))) => members.add(today),
                    _ => {}
                }
            }
        };
        match &self.kind {
            Kind::Bare(names) => of_walk(&mut names.iter().map(std::slice::from_ref), members),
            Kind::Tree { walks: Some(walks), .. } => {
                walks.iter().for_each(|walk| of_walk(&mut walk.iter().map(|names| &**names), members));
            }
            Kind::Tree { walks: None, tree, climbs } => {
                let mut names = Vec::new();
                let known = !climbs && tree.begins_with(&mut names).is_some();
                if !known || names.iter().any(|name| &*name.text == CONTEXT) {
                    *members = ContextMembers::All;
                }
                for (holder, today) in names.iter().filter_map(|name| name.today.as_ref()) {
                    if *holder == CONTEXT {
                        members.add(today);
                    }
                }
            }
        }
    }

    /// The root member that a bare `a.b.c` looks at, if that is the only one: those of the older releases are today
    /// elsewhere.
    pub fn only_root(&self) -> Option<&str> {
        match &self.kind {
            Kind::Bare(names) => {
                names.first().filter(|name| name.today.is_none() && !self.reads_priority).map(|name| &*name.text)
            }
            Kind::Tree { .. } => None,
        }
    }
}

/// The root member that is the request context.
const CONTEXT: &str = "ctxt";

/// The first value that is not null at the end of a walk.
fn first_of<'a>(steps: &[Box<[Name]>], value: &'a Value) -> Option<&'a Value> {
    let Some((names, rest)) = steps.split_first() else { return Some(value).filter(|value| !value.is_null()) };
    let dict = value.as_dict()?;
    names.iter().find_map(|name| first_of(rest, eval::member(dict, name)?))
}

/// The value at the end of the names.
fn walk<'a>(names: &[Name], root: &'a Value) -> Option<&'a Value> {
    names.iter().try_fold(root, |value, name| eval::member(value.as_dict()?, name))
}

#[cfg(test)]
mod tests {
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
        let root = read(
            r#"{"a": {"b": 1, "l": [3, 1, 2]}, "n": 7, "t": "x.y", "o": [{"k": 2}, {"k": 1}, {"j": 0}, {"k": 1}]}"#,
        );
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
        let root = read(
            r#"{"ctxt": {"user_id": "u"}, "payload": {}, "metadata": {"message_id": "m"}, "timestamp": "its own"}"#,
        );
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
}
