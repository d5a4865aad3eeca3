//! The `meters` or `events` of a source: which names it takes (Ceilometer reference §5.2).

use crate::model::{Complaint, Data, Node, Value};

/// Patterns of a source. `!` in front excludes; patterns are globs of the whole name, with case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameFilter {
    included: Vec<Glob>,
    excluded: Vec<Glob>,
}

impl NameFilter {
    /// A filter of patterns, checked as the original checks them: by their first characters alone. The error says what
    /// is wrong with the list.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<NameFilter, String> {
        let patterns = || patterns.iter().map(AsRef::as_ref);
        let plain = patterns().find(|p| !p.starts_with(['!', '*']));
        let negated = patterns().find(|p| p.starts_with('!'));
        if patterns().next().is_none() {
            return Err("expected at least one name or pattern".to_owned());
        }
        if let (Some(plain), Some(negated)) = (plain, negated) {
            return Err(format!("both included and excluded names, {plain:?} and {negated:?}; remove one kind"));
        }
        if let (Some(plain), true) = (plain, patterns().any(|p| p == "*")) {
            return Err(format!("{plain:?} beside \"*\", which takes everything; remove one of them"));
        }
        let excluded = patterns().filter_map(|p| p.strip_prefix('!')).map(Glob::new).collect();
        let included = patterns().filter(|p| !p.starts_with('!')).map(Glob::new).collect();
        Ok(NameFilter { included, excluded })
    }

    /// A filter as it is written: a list of strings. A string alone counts letter by letter, as in the original; what
    /// that is not likely to be meant is a warning.
    pub(crate) fn read(node: &Node, warnings: &mut Vec<Complaint>) -> Result<NameFilter, Vec<Complaint>> {
        let patterns: Vec<String> = match &node.data {
            Data::List(items) => {
                let strings = items.iter().map(|item| match item.as_str() {
                    Some(text) => Ok(text.to_owned()),
                    None => Err(Complaint::error(&item.place, "expected a name or pattern; put it in quotes")),
                });
                let (strings, wrong): (Vec<_>, Vec<_>) = strings.partition(Result::is_ok);
                if !wrong.is_empty() {
                    return Err(wrong.into_iter().filter_map(Result::err).collect());
                }
                strings.into_iter().flatten().collect()
            }
            Data::Scalar(Value::Str(text)) => {
                if text.chars().count() > 1 {
                    let text =
                        format!("{text:?} is read letter by letter and takes no such name; write a list: [{text:?}]");
                    warnings.push(Complaint::warning(&node.place, text));
                }
                text.chars().map(String::from).collect()
            }
            _ => return Err(vec![Complaint::error(&node.place, "expected a list of names or patterns")]),
        };
        NameFilter::new(&patterns).map_err(|why| vec![Complaint::error(&node.place, why)])
    }

    /// Whether a name is taken: not by any exclusion, and by an inclusion if there are some.
    pub fn takes(&self, name: &str) -> bool {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(name));
        !any(&self.excluded) && (self.included.is_empty() || any(&self.included))
    }
}

/// A pattern of Python's `fnmatch`, with case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Glob(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    Literal(char),
    /// `[a-c]`, `[!a-c]`: ranges, and whether they are negated.
    Class(Vec<(char, char)>, bool),
}

impl Glob {
    fn new(pattern: &str) -> Glob {
        let chars: Vec<char> = pattern.chars().collect();
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            at += 1;
            tokens.push(match c {
                '*' if tokens.last() == Some(&Token::Any) => continue,
                '*' => Token::Any,
                '?' => Token::One,
                '[' => match class(&chars[at..]) {
                    Some((class, taken)) => {
                        at += taken;
                        class
                    }
                    None => Token::Literal('['),
                },
                c => Token::Literal(c),
            });
        }
        Glob(tokens)
    }

    /// Goes back to the last `*` only: linear in pattern times name.
    fn matches(&self, name: &str) -> bool {
        let tokens = &self.0;
        let (mut token, mut rest) = (0, name);
        let mut back: Option<(usize, &str)> = None;
        loop {
            let mut chars = rest.chars();
            let stepped = match (tokens.get(token), chars.next()) {
                (None, None) => return true,
                (Some(Token::Any), _) => {
                    back = Some((token, rest));
                    token += 1;
                    continue;
                }
                (Some(wanted), Some(c)) => wanted.takes(c),
                _ => false,
            };
            if stepped {
                token += 1;
                rest = chars.as_str();
                continue;
            }
            // Let the last `*` take one more character.
            let Some((star, from)) = back else { return false };
            let mut more = from.chars();
            if more.next().is_none() {
                return false;
            }
            back = Some((star, more.as_str()));
            (token, rest) = (star + 1, more.as_str());
        }
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Token::Any | Token::One => true,
            Token::Literal(literal) => *literal == c,
            Token::Class(ranges, negated) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
        }
    }
}

/// A class, from after its `[`, and how many characters it takes; `None` if it has no end.
fn class(chars: &[char]) -> Option<(Token, usize)> {
    let negated = chars.first() == Some(&'!');
    let start = usize::from(negated);
    // A `]` in the first place stands for itself.
    let search = start + usize::from(chars.get(start) == Some(&']'));
    let end = search + chars.get(search..)?.iter().position(|c| *c == ']')?;
    let mut members = &chars[start..end];
    let mut ranges = Vec::new();
    while let Some((&first, rest)) = members.split_first() {
        if let ['-', last, after @ ..] = rest {
            ranges.push((first, *last));
            members = after;
        } else {
            ranges.push((first, first));
            members = rest;
        }
    }
    Some((Token::Class(ranges, negated), end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// Answers of Python 3.11's `fnmatch.fnmatchcase`.
    #[rstest]
    #[case("disk.*.bytes", "disk.read.bytes", true)]
    #[case("*.size", "image.size.x", false)]
    #[case("c?u", "cpu", true)]
    #[case("c?u", "cu", false)]
    #[case("[cd]*", "disk", true)]
    #[case("[!cd]*", "disk", false)]
    #[case("[a-cx]", "b", true)]
    #[case("[a-]", "-", true)]
    #[case("[]]", "]", true)]
    #[case("[!]]", "]", false)]
    #[case("[c", "[c", true)]
    #[case("[z-a]", "m", false)]
    #[case("[!z-a]", "m", true)]
    #[case("a*a*b", "aaaaaaaaab", true)]
    #[case("a*b*c", "abbbbc\n", false)]
    #[case("**", "", true)]
    #[case("", "", true)]
    #[case("", "a", false)]
    #[case("ü?", "üß", true)]
    fn a_pattern_meets_a_name(#[case] pattern: &str, #[case] name: &str, #[case] taken: bool) {
        assert_eq!(Glob::new(pattern).matches(name), taken);
    }

    #[test]
    fn a_pattern_of_many_stars_meets_a_long_name() {
        let glob = Glob::new(&"*a".repeat(500));
        assert!(!glob.matches(&"a".repeat(499)), "quadratic at worst, never exponential");
    }

    #[rstest]
    #[case(&["!cpu"], "cpu", false)]
    #[case(&["!cpu"], "disk", true)]
    #[case(&["*.size", "!image*"], "image.size", false)]
    #[case(&["*", "*.size"], "cpu", true)]
    fn a_name_is_taken_or_not(#[case] patterns: &[&str], #[case] name: &str, #[case] taken: bool) {
        assert_eq!(NameFilter::new(patterns).map(|filter| filter.takes(name)), Ok(taken));
    }

    #[rstest]
    #[case(&[], "expected at least one name or pattern")]
    #[case(&["disk.*", "!disk.read"], "both included and excluded names, \"disk.*\" and \"!disk.read\"; remove one kind")]
    #[case(&["*", "cpu"], "\"cpu\" beside \"*\", which takes everything; remove one of them")]
    fn a_list_of_patterns_is_refused(#[case] patterns: &[&str], #[case] why: &str) {
        assert_eq!(NameFilter::new(patterns).unwrap_err(), why);
    }
}
