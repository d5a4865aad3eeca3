//! Shell globs as Python's `fnmatch` reads them: `*`, `?`, `[abc]`, `[a-c]`, `[!abc]`; case counts, the whole name
//! must match, nothing can be escaped except inside brackets.

/// One compiled glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Exactly this character.
    Char(char),
    /// `?`: any one character.
    Any,
    /// `*`: any characters, none included.
    Star,
    /// `[…]`: one character in (or, negated, outside) these ranges, ends included.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    /// Reads a glob. There is no wrong one: a bracket without its partner is itself.
    pub fn new(pattern: &str) -> Glob {
        let chars: Vec<char> = pattern.chars().collect();
        let mut tokens = Vec::with_capacity(chars.len());
        let mut at = 0;
        while at < chars.len() {
            let c = chars[at];
            at += 1;
            match c {
                '*' if tokens.last() == Some(&Token::Star) => {}
                '*' => tokens.push(Token::Star),
                '?' => tokens.push(Token::Any),
                '[' => match class_end(&chars, at) {
                    Some(end) => {
                        tokens.push(class(&chars[at..end]));
                        at = end + 1;
                    }
                    None => tokens.push(Token::Char('[')),
                },
                c => tokens.push(Token::Char(c)),
            }
        }
        Glob(tokens)
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        // Nearly every glob is plain text, or plain text and one star at its end; and nearly every name begins otherwise.
        let mut chars = name.chars();
        let plain = self.0.iter().map_while(Token::as_char);
        if !plain.clone().all(|c| chars.next() == Some(c)) {
            return false;
        }
        match &self.0[plain.count()..] {
            [] => return chars.next().is_none(),
            [Token::Star] => return true,
            _ => {}
        }
        let name: Vec<char> = name.chars().collect();
        walk(&self.0, &name, |token, c| token.takes(*c))
    }

    /// Whether everything that `other` matches is surely matched by this one too (`false` may also mean "not sure").
    pub fn covers(&self, other: &Glob) -> bool {
        walk(&self.0, &other.0, |token, letter| match (token, letter) {
            (Token::Any, letter) => *letter != Token::Star,
            (token, Token::Char(c)) => token.takes(*c),
            (token, letter) => token == letter && *letter != Token::Star,
        })
    }
}

impl Token {
    fn as_char(&self) -> Option<char> {
        match self {
            Token::Char(c) => Some(*c),
            _ => None,
        }
    }

    fn takes(&self, c: char) -> bool {
        match self {
            Token::Char(own) => *own == c,
            Token::Any => true,
            Token::Star => false,
            Token::Class { negated, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
        }
    }
}

/// Whether the tokens take all letters. On a mismatch only the last star gives way, which is enough for globs and
/// keeps the work at tokens × letters.
fn walk<L>(tokens: &[Token], letters: &[L], takes: impl Fn(&Token, &L) -> bool) -> bool {
    let (mut t, mut l) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while l < letters.len() {
        match tokens.get(t) {
            Some(Token::Star) => {
                retry = Some((t + 1, l));
                t += 1;
            }
            Some(token) if takes(token, &letters[l]) => {
                t += 1;
                l += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    retry = Some((after_star, from + 1));
                    t = after_star;
                    l = from + 1;
                }
                None => return false,
            },
        }
    }
    tokens[t..].iter().all(|token| *token == Token::Star)
}

/// Where the bracket that opened before `start` closes: a `]` in the first place, or after `!`, is a member.
fn class_end(chars: &[char], start: usize) -> Option<usize> {
    let mut from = start;
    if chars.get(from) == Some(&'!') {
        from += 1;
    }
    if chars.get(from) == Some(&']') {
        from += 1;
    }
    (from..chars.len()).find(|&at| chars[at] == ']')
}

/// The inside of a bracket. A hyphen between two characters makes a range; one whose ends are in the wrong order
/// vanishes together with its ends.
fn class(inside: &[char]) -> Token {
    let mut chunks: Vec<Vec<char>> = Vec::new();
    let mut start = 0;
    let mut from = if inside.first() == Some(&'!') { 2 } else { 1 };
    while let Some(hyphen) = (from..inside.len()).find(|&at| inside[at] == '-') {
        chunks.push(inside[start..hyphen].to_vec());
        start = hyphen + 1;
        from = hyphen + 3;
    }
    match (&inside[start..], chunks.last_mut()) {
        ([], Some(last)) => last.push('-'),
        (rest, _) => chunks.push(rest.to_vec()),
    }
    for n in (1..chunks.len()).rev() {
        if chunks[n - 1].last() > chunks[n].first() {
            let tail = chunks.remove(n);
            chunks[n - 1].pop();
            chunks[n - 1].extend_from_slice(tail.get(1..).unwrap_or_default());
        }
    }
    let negated = chunks.first().is_some_and(|chunk| chunk.first() == Some(&'!'));
    if negated {
        chunks[0].remove(0);
    }
    let mut ranges: Vec<(char, char)> = chunks.iter().flatten().map(|c| (*c, *c)).collect();
    for pair in chunks.windows(2) {
        if let (Some(from), Some(to)) = (pair[0].last(), pair[1].first()) {
            ranges.push((*from, *to));
        }
    }
    if negated && ranges.is_empty() { Token::Any } else { Token::Class { negated, ranges } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("compute.instance.*", "compute.instance.create.end", true)]
    #[case("compute.instance.*", "compute.instance", false)]
    #[case("*", "", true)]
    #[case("", "", true)]
    #[case("", "a", false)]
    #[case("image.send", "image.send2", false)]
    #[case("image.send", "Image.send", false)]
    #[case("*http.*", "objectstore.http.request", true)]
    #[case("*.create.*.end", "a.create.b.create.c.end", true)]
    #[case("a?c", "abc", true)]
    #[case("a?c", "a\u{20ac}c", true)]
    #[case("a?c", "ac", false)]
    #[case("*a*", "line\nbreak a", true)]
    #[case("[cd]*", "delete", true)]
    #[case("[!cd]*", "delete", false)]
    #[case("[^c]", "^", true)]
    #[case("[a-c]", "b", true)]
    #[case("[c-a]", "b", false)]
    #[case("[!c-a]", "b", true)]
    #[case("[a-]", "-", true)]
    #[case("[-a]", "-", true)]
    #[case("[!-a]", "-", false)]
    #[case("[]x]", "]", true)]
    #[case("[!]x]", "]", false)]
    #[case("[x", "[x", true)]
    #[case("[\\]", "\\", true)]
    #[case("[z-a!]", "q", true)]
    #[case("[a-c-e]", "-", true)]
    #[case("[a-c-e]", "d", false)]
    #[case("[]]", "]", true)]
    #[case("a*a*b", "aaaaaaaaab", true)]
    #[case("a*b*c", "abbbbc\n", false)]
    #[case("**", "", true)]
    #[case("ü?", "üß", true)]
    fn a_name_meets_a_glob(#[case] glob: &str, #[case] name: &str, #[case] taken: bool) {
        assert_eq!(Glob::new(glob).matches(name), taken);
    }

    #[test]
    fn a_glob_of_many_stars_meets_a_long_name() {
        let glob = Glob::new(&"*a".repeat(500));
        assert!(!glob.matches(&"a".repeat(499)), "quadratic at worst, never exponential");
    }

    #[rstest]
    #[case("*http.*", "objectstore.http.request", true)]
    #[case("*", "compute.*", true)]
    #[case("compute.*", "compute.instance.*", true)]
    #[case("compute.instance.*", "compute.*", false)]
    #[case("a?", "a[bc]", true)]
    #[case("a?", "a*", false)]
    #[case("[bc]", "[bc]", true)]
    #[case("[bc]", "b", true)]
    #[case("b", "[bc]", false)]
    fn one_glob_covers_another(#[case] wide: &str, #[case] narrow: &str, #[case] covered: bool) {
        assert_eq!(Glob::new(wide).covers(&Glob::new(narrow)), covered);
    }
}
