//! `re.sub`.

use super::Raised;
use super::pattern::{build, too_long};
use super::reader::Translated;
use super::translate::translate;
use fancy_regex::{Captures as Found, Regex};

/// The groups of one match.
type Captures<'t> = Found<'t, str>;

/// A regular expression and what its matches become.
#[derive(Debug, Clone)]
pub struct Substitution {
    search: Regex,
    /// The same, but not empty where the search begins.
    search_on: Regex,
    /// Python reads the replacement at the first use, so its errors come then.
    template: Result<Vec<Piece>, Raised>,
}

/// A piece of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Substitution {
    /// `re.compile(pattern)` with its replacement; an `error` where Python has one for the pattern.
    pub fn new(pattern: &str, replacement: &str) -> Result<Substitution, Raised> {
        let translated = translate(pattern)?;
        Ok(Substitution {
            search: build(&translated.text)?,
            // `\G` is where the search began: an end elsewhere makes the match advance, as Python's second try does.
            search_on: build(&format!(r"(?:{})(?!\G)", translated.text))?,
            template: read_template(replacement, &translated),
        })
    }

    /// `pattern.sub(replacement, text)`. Raises the replacement's own `error` or `IndexError`; `RecursionError` past
    /// the bound on backtracking. `spend` is told of the bytes that each step looks at or makes, and may end it.
    pub fn apply(&self, text: &str, spend: &mut impl FnMut(usize) -> Result<(), Raised>) -> Result<String, Raised> {
        let template = self.template.as_ref().map_err(Clone::clone)?;
        let mut out = String::new();
        let (mut at, mut advance) = (0, false);
        loop {
            // A search looks at what is left, though seldom at all of it.
            spend((text.len() - at) / 8)?;
            let search = if advance { &self.search_on } else { &self.search };
            let Some(found) = search.captures_from_pos(text, at).map_err(too_long)? else { break };
            let Some(whole) = found.get(0) else { break };
            out.push_str(&text[at..whole.start()]);
            spend(write_pieces(template, &found, &mut out))?;
            (at, advance) = (whole.end(), whole.start() == whole.end());
        }
        out.push_str(&text[at..]);
        Ok(out)
    }
}

/// Writes the replacement of one match; the number of bytes.
fn write_pieces(template: &[Piece], found: &Captures<'_>, out: &mut String) -> usize {
    let before = out.len();
    for piece in template {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Group(number) => out.push_str(found.get(*number).map_or("", |m| m.as_str())),
        }
    }
    out.len() - before
}

fn error(text: impl Into<std::borrow::Cow<'static, str>>) -> Raised {
    Raised::new("error", text)
}

fn read_template(text: &str, pattern: &Translated) -> Result<Vec<Piece>, Raised> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    let group = |number: usize, plain: &mut String, pieces: &mut Vec<Piece>| {
        if number > pattern.groups {
            return Err(error(format!("invalid group reference {number}")));
        }
        pieces.extend([Piece::Text(std::mem::take(plain)), Piece::Group(number)]);
        Ok(())
    };
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let c = rest.chars().next().ok_or_else(|| error("bad escape (end of pattern)"))?;
        rest = &rest[c.len_utf8()..];
        match c {
            'g' => {
                let (name, after) = rest
                    .strip_prefix('<')
                    .and_then(|rest| rest.split_once('>'))
                    .filter(|(name, _)| !name.is_empty())
                    .ok_or_else(|| error("missing group name"))?;
                rest = after;
                let known = pattern.names.iter().find(|(known, _)| known == name).map(|(_, number)| *number);
                match (name.parse::<usize>(), known) {
                    (Ok(number), _) | (Err(_), Some(number)) => group(number, &mut plain, &mut pieces)?,
                    (Err(_), None)
                        if name.chars().all(|c| c.is_alphanumeric() || c == '_')
                            && !name.starts_with(char::is_numeric) =>
                    {
                        return Err(Raised::new("IndexError", format!("unknown group name '{name}'")));
                    }
                    (Err(_), None) => return Err(error(format!("bad character in group name '{name}'"))),
                }
            }
            '0'..='9' => {
                let octal = |text: &str, width: usize| {
                    text.bytes().take(width).take_while(|b| matches!(b, b'0'..=b'7')).count()
                };
                let further = octal(rest, 2);
                if c == '0' || (c <= '7' && further == 2) {
                    let code = u32::from_str_radix(&format!("{c}{}", &rest[..further]), 8).ok();
                    let code = code.filter(|code| *code <= 0o377).and_then(char::from_u32);
                    plain.push(code.ok_or_else(|| error("octal escape value outside of range 0-0o377"))?);
                    rest = &rest[further..];
                } else {
                    let more = usize::from(rest.starts_with(|c: char| c.is_ascii_digit()));
                    let number = format!("{c}{}", &rest[..more]).parse().map_err(|_| error("bad group number"))?;
                    rest = &rest[more..];
                    group(number, &mut plain, &mut pieces)?;
                }
            }
            'a' => plain.push('\x07'),
            'b' => plain.push('\x08'),
            'f' => plain.push('\x0c'),
            'n' => plain.push('\n'),
            'r' => plain.push('\r'),
            't' => plain.push('\t'),
            'v' => plain.push('\x0b'),
            '\\' => plain.push('\\'),
            c if c.is_ascii_alphabetic() => return Err(error(format!("bad escape \\{c}"))),
            c => plain.extend(['\\', c]),
        }
    }
    plain.push_str(rest);
    pieces.push(Piece::Text(plain));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(".*", "Z", "abc", "ZZ")]
    #[case(".*", "", "abc", "")]
    #[case("x*", "-", "abxd", "-a-b--d-")]
    #[case("|a", "-", "a", "---")]
    #[case("", "-", "é€", "-é-€-")]
    #[case(r"(a)(b)?", r"[\1|\2]", "aab", "[a|][a|b]")]
    #[case(r"(?P<n>\d+)", r"<\g<n>\g<0>>", "a12", "a<1212>")]
    #[case("^a", "x", "aaa", "xaa")]
    #[case("a", r"\n\101\.", "a", "\nA\\.")]
    #[case("a", "$0", "a", "$0")]
    fn as_python_substitutes(
        #[case] pattern: &str,
        #[case] replacement: &str,
        #[case] text: &str,
        #[case] expected: &str,
    ) {
        let substitution = Substitution::new(pattern, replacement).unwrap();
        assert_eq!(substitution.apply(text, &mut |_| Ok(())).unwrap(), expected);
    }

    #[rstest]
    #[case(r"\1", "error")]
    #[case(r"\g<x>", "IndexError")]
    #[case(r"\y", "error")]
    #[case("\\", "error")]
    fn a_bad_replacement_raises_at_use(#[case] replacement: &str, #[case] class: &str) {
        let substitution = Substitution::new("a", replacement).unwrap();
        assert_eq!(substitution.apply("b", &mut |_| Ok(())).unwrap_err().class, class);
    }
}
