//! `$(meter.name)` in an expression: each becomes an identifier before Python's grammar is applied.

/// Which meters an expression needs, in the order of their first use, each with its identifier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Meters(Vec<(Box<str>, Box<str>)>);

/// A text in which tokens were replaced.
pub(super) struct Replaced {
    pub(super) plain: String,
    /// Pieces: where each begins in `plain`, where in the written text, and whether it was copied.
    pieces: Vec<(usize, usize, bool)>,
}

/// What may not be a name alone (Python 3's keywords).
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

impl Meters {
    /// Finds the tokens of a text. A meter stands for its volume unless a `.` follows.
    pub(super) fn find(written: &str) -> (Replaced, Meters) {
        let mut meters = Meters::default();
        let (mut plain, mut pieces) = (String::with_capacity(written.len()), vec![(0, 0, true)]);
        let mut at = 0;
        while let Some(begin) = written[at..].find("$(").map(|found| at + found) {
            let Some((name, end)) = meter_name(written, begin + "$(".len()) else {
                // No token: what it is, the grammar will say.
                let next = begin + "$(".len();
                plain.push_str(&written[at..next]);
                at = next;
                continue;
            };
            plain.push_str(&written[at..begin]);
            pieces.push((plain.len(), begin, false));
            plain.push_str(meters.identifier(name));
            if !written[end..].starts_with('.') {
                plain.push_str(".volume");
            }
            pieces.push((plain.len(), end, true));
            at = end;
        }
        plain.push_str(&written[at..]);
        (Replaced { plain, pieces }, meters)
    }

    fn identifier(&mut self, name: &str) -> &str {
        let known = self.0.iter().position(|(meter, _)| &**meter == name);
        let at = known.unwrap_or_else(|| {
            let mut identifier = escaped(name);
            // Two names may differ in their dots and hyphens alone.
            while self.0.iter().any(|(_, other)| **other == *identifier) {
                identifier.push('_');
            }
            self.0.push((name.into(), identifier.into()));
            self.0.len() - 1
        });
        &self.0[at].1
    }

    /// The names, the reference meter first.
    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// Names with their identifiers.
    pub(crate) fn identifiers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, identifier)| (&**name, &**identifier))
    }
}

/// The name that begins at a byte and is closed by `)`, and where the token ends.
fn meter_name(written: &str, begin: usize) -> Option<(&str, usize)> {
    let rest = &written[begin..];
    let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-')))?;
    (end > 0 && rest[end..].starts_with(')')).then(|| (&rest[..end], begin + end + 1))
}

/// The identifier that Ceilometer makes of a meter's name; it makes none of one with hyphens, or with a digit first.
fn escaped(name: &str) -> String {
    let plain = name.replace(['.', '-'], "_");
    let wrapped = plain != name
        || name.ends_with("ESC")
        || KEYWORDS.contains(&name)
        || name.starts_with(|c: char| c.is_numeric());
    if wrapped { format!("_{plain}_ESC") } else { plain }
}

impl Replaced {
    /// Where a byte of the plain text stands in the written one; of a token, its beginning.
    pub(super) fn written_at(&self, at: usize) -> usize {
        let piece = self.pieces.partition_point(|(begin, ..)| *begin <= at).saturating_sub(1);
        let (begin, written, copied) = self.pieces[piece];
        if copied { written + (at - begin) } else { written }
    }
}
