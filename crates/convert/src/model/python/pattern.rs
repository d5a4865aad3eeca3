//! `re.match`.

use super::Raised;
use super::translate::translate;
use fancy_regex::{Regex, RegexBuilder};

/// How often a match may turn back before it is given up.
const BACKTRACKS_MAX: usize = 100_000;

/// A regular expression of Python's `re`, to be matched from the start.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    /// What everything that matches begins with. Most texts begin otherwise, and need no engine.
    prefix: Box<str>,
}

impl Pattern {
    /// `re.compile(text)`; an `error` where Python has one, or where the expression is too large.
    pub fn new(text: &str) -> Result<Pattern, Raised> {
        let translated = translate(text)?;
        let regex = build(&format!(r"\A(?:{})", translated.text))?;
        Ok(Pattern { regex, prefix: literal_prefix(text).into() })
    }

    /// `re.match(pattern, text) is not None`: anchored at the start, not at the end. Backtracking is bounded: past the
    /// bound it is a `RecursionError`.
    pub fn matches(&self, text: &str) -> Result<bool, Raised> {
        if !text.starts_with(&*self.prefix) {
            return Ok(false);
        }
        self.regex.is_match(text).map_err(too_long)
    }
}

/// The literal text that an expression begins with: letters, digits and what never has a meaning, up to a quantifier. None
/// where there are alternatives.
fn literal_prefix(expression: &str) -> String {
    let mut prefix = String::new();
    if expression.contains('|') {
        return prefix;
    }
    let mut rest = expression.chars().peekable();
    while let Some(c) = rest.next() {
        let literal = match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | ':' | '/' => c,
            '\\' if rest.peek() == Some(&'.') => {
                rest.next();
                '.'
            }
            _ => break,
        };
        // A quantifier may take the character back.
        if matches!(rest.peek(), Some('*' | '?' | '+' | '{')) {
            break;
        }
        prefix.push(literal);
    }
    prefix
}

/// A translated expression, compiled.
pub(super) fn build(translated: &str) -> Result<Regex, Raised> {
    RegexBuilder::new(translated)
        .backtrack_limit(BACKTRACKS_MAX)
        .build()
        .map_err(|e| Raised::new("error", e.to_string()))
}

/// What it means that a match had to be given up.
#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
pub(super) fn too_long(error: fancy_regex::Error) -> Raised {
    Raised::new("RecursionError", format!("the regular expression was stopped: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("test.crea", "test.create", true)]
    #[case("crea", "test.create", false)]
    #[case(r"compute.instance.(?!create.start|update).*", "compute.instance.create.end", true)]
    #[case(r"compute.instance.(?!create.start|update).*", "compute.instance.update", false)]
    #[case("a$", "a\n", true)]
    #[case("a$", "a\n\n", false)]
    #[case(r"a\Z", "a\n", false)]
    #[case("(?m)a$.b", "a\nb", false)]
    #[case("(?ms)a$.b", "a\nb", true)]
    #[case("a{,2}b", "aab", true)]
    #[case("a{x}", "a{x}", true)]
    #[case("a{", "a{", true)]
    #[case("[]a]+$", "a]a", true)]
    #[case("[a&&b]+$", "a&b", true)]
    #[case("[[a]+$", "[a", true)]
    #[case(r"\101\x42\u0043$", "ABC", true)]
    #[case(r"(a)(b)?\1$", "aba", true)]
    #[case("(?P<x>a)(?P=x)$", "aa", true)]
    #[case(r"\s$", "\u{1f}", true)]
    #[case(r"\w+$", "é٣_", true)]
    #[case(r"(?a)\w+$", "é", false)]
    #[case("(?x) a b # c\n $", "ab", true)]
    #[case("(?i:A)b$", "ab", true)]
    #[case("a@b/c d", "a@b/c d", true)]
    #[case(r"\@\ \-\/\<\%", "@ -/<%", true)]
    fn as_python_matches(#[case] pattern: &str, #[case] text: &str, #[case] expected: bool) {
        assert_eq!(Pattern::new(pattern).unwrap().matches(text).unwrap(), expected);
    }

    #[rstest]
    #[case("*.create")]
    #[case("a**")]
    #[case("^*")]
    #[case("(")]
    #[case("a)")]
    #[case("[a")]
    #[case(r"\y")]
    #[case(r"\")]
    #[case("a(?i)b")]
    #[case("(?<x>a)")]
    #[case("[b-a]")]
    #[case("a{2,1}")]
    #[case(r"\1")]
    #[case(r"(a\1)")]
    fn as_python_refuses(#[case] pattern: &str) {
        assert_eq!(Pattern::new(pattern).unwrap_err().class, "error");
    }

    #[rstest]
    #[case("compute.instance.*", "compute")]
    #[case(r"volume\.create\..*", "volume.create.")]
    #[case("ab*", "a")]
    #[case("ab{,2}", "a")]
    #[case("abc", "abc")]
    #[case("ab|cd", "")]
    #[case("(?i)ab", "")]
    #[case(r"a\d", "a")]
    #[case("^ab", "")]
    fn what_an_expression_surely_begins_with(#[case] pattern: &str, #[case] prefix: &str) {
        assert_eq!(&*Pattern::new(pattern).unwrap().prefix, prefix);
    }

    #[test]
    fn a_match_that_backtracks_without_end_is_given_up() {
        let pattern = Pattern::new(r"(?:(a+)+\1)+$").unwrap();
        assert_eq!(pattern.matches(&format!("{}b", "a".repeat(60))).unwrap_err().class, "RecursionError");
    }

    proptest! {
        #[test]
        fn no_expression_panics(pattern in r"[\\a-c0-9(){}\[\]*+?|^$.,:=!<>P#x-]{0,24}", text in "[a-c0-9]{0,12}") {
            if let Ok(pattern) = Pattern::new(&pattern) {
                let whole = pattern.regex.is_match(&text).map_err(too_long);
                prop_assert_eq!(pattern.matches(&text), whole);
            }
        }
    }
}
