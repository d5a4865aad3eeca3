//! Rust source as the architecture test reads it: files, and the paths (`a::b::c`) in their code, braces of `use` unfolded.
//!
//! A reader of tokens, not of grammar: enough to see what a file names. It never looks into comments or literals.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

/// All sources below `src/`, and the rooms of `src/lib.rs` in their order.
pub(crate) struct Tree {
    pub(crate) rooms: Vec<String>,
    pub(crate) sources: Vec<Source>,
}

/// One file: its path below `src/`, and its text.
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) text: String,
    tokens: Vec<(usize, String)>,
}

impl Tree {
    pub(crate) fn of_this_crate() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = Vec::new();
        collect(&root, &root, &mut sources);
        assert!(sources.len() > 10, "src/ was not found");
        let map = std::fs::read_to_string(root.join("lib.rs")).unwrap();
        Self::of(&map, sources)
    }

    /// `map` is the text of `lib.rs`: its `pub mod` lines are the rooms.
    pub(crate) fn of(map: &str, sources: Vec<Source>) -> Self {
        let rooms = map.lines().filter_map(|line| line.trim_start().strip_prefix("pub mod "));
        let rooms = rooms.filter_map(|rest| rest.split(';').next()).map(str::to_owned).collect();
        Self { rooms, sources }
    }

    /// `convert/path/lexer.rs` → convert; `lib.rs` and `main.rs` → none.
    pub(crate) fn room_of(source: &Source) -> Option<String> {
        let (room, _) = source.file.split_once('/')?;
        Some(room.to_owned())
    }

    /// Folders and files of `src/` that are no listed room.
    pub(crate) fn unlisted_rooms(&self) -> Vec<String> {
        let tops = self.sources.iter().filter_map(|source| source.file.split('/').next());
        let mut unlisted: Vec<String> = tops
            .map(|top| top.trim_end_matches(".rs").to_owned())
            .filter(|top| top != "lib" && top != "main" && !self.rooms.contains(top))
            .collect();
        unlisted.dedup();
        unlisted
    }

    /// The room that `path`, written in `source`, names: `crate::room…`, `nephoscope::room…`, or enough `super`s.
    /// `crate::*` names them all, so it names the last.
    pub(crate) fn room_named(&self, source: &Source, path: &[String]) -> Option<String> {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let rest = match path.first().map(String::as_str)? {
            "crate" | "nephoscope" => &path[1..],
            // From `room/mod.rs` one `super` is the crate, from `room/file.rs` two, and inner modules (tests) add more:
            // with at least that many, a room's name after them is taken for the room.
            "super" if supers >= source.file.matches('/').count() + usize::from(!source.file.ends_with("mod.rs")) => {
                &path[supers..]
            }
            _ => return None,
        };
        let name = rest.first()?;
        if name == "*" {
            return self.rooms.last().cloned();
        }
        self.rooms.iter().find(|room| *room == name).cloned()
    }
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            sources.push(Source::new(&file, &std::fs::read_to_string(&path).unwrap()));
        }
    }
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), tokens: tokens(text) }
    }

    /// Every word of the code with its line (from 1).
    pub(crate) fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        self.tokens.iter().map(|(line, token)| (*line, token.as_str())).filter(|(_, token)| is_word(token))
    }

    /// Every path of two parts or more with its line; `use a::{b, c::d}` gives `a::b` and `a::c::d`, a lone `use a;`, and
    /// a lone name in the braces of a `use`, too.
    pub(crate) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            if self.token(at) == "use" {
                at = self.tree(at + 1, &[], &mut found);
            } else if is_word(self.token(at)) && !self.follows_a_dot(at) {
                let (end, path) = self.path(at);
                if path.len() > 1 {
                    found.push((self.tokens[at].0, path));
                }
                at = end;
            } else {
                at += 1;
            }
        }
        found
    }

    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |(_, token)| token)
    }

    /// `self.clap`, `.reqwest()`: a field or method, whatever it is called.
    fn follows_a_dot(&self, at: usize) -> bool {
        at > 0 && self.token(at - 1) == "."
    }

    /// `a::b::c` from `at`: where it ends, and its parts.
    fn path(&self, mut at: usize) -> (usize, Vec<String>) {
        let mut path = vec![self.token(at).to_owned()];
        at += 1;
        while self.token(at) == "::" && is_word(self.token(at + 1)) {
            path.push(self.token(at + 1).to_owned());
            at += 2;
        }
        (at, path)
    }

    /// One tree of a `use` from `at`, below `before`: where it ends.
    fn tree(&self, mut at: usize, before: &[String], found: &mut Vec<(usize, Vec<String>)>) -> usize {
        let line = self.tokens.get(at).map_or(0, |(line, _)| *line);
        let mut path = before.to_vec();
        loop {
            match self.token(at) {
                "::" => at += 1,
                "{" => {
                    at += 1;
                    while !matches!(self.token(at), "}" | "") {
                        let start = at;
                        at = self.tree(at, &path, found);
                        if self.token(at) == "," || at == start {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                // `use a::{self}`, and the new name after `as`, are not parts.
                "self" if !path.is_empty() => at += 1,
                "as" => at += 2,
                word if is_word(word) || word == "*" => {
                    path.push(word.to_owned());
                    at += 1;
                }
                _ => break,
            }
        }
        if !path.is_empty() {
            found.push((line, path));
        }
        at
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words, `::`, and single signs of the code, each with its line; no comments, no literals.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let signs: Vec<char> = text.chars().collect();
    let sign = |at: usize| signs.get(at).copied().unwrap_or('\0');
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < signs.len() {
        let start = at;
        match sign(at) {
            '/' if sign(at + 1) == '/' => at = find(&signs, at, "\n"),
            '/' if sign(at + 1) == '*' => at = end_of_block_comment(&signs, at),
            '"' => at = end_of_string(&signs, at),
            'r' | 'b' | 'c' if end_of_prefixed_string(&signs, at).is_some() => {
                at = end_of_prefixed_string(&signs, at).unwrap_or(at + 1);
            }
            // A character ('x', '\'', '\u{1f}') has its closing quote; a lifetime has none.
            '\'' if sign(at + 1) == '\\' => at = find(&signs, at + 3, "'") + 1,
            '\'' if sign(at + 2) == '\'' => at += 3,
            first if first.is_alphanumeric() || first == '_' => {
                while sign(at).is_alphanumeric() || sign(at) == '_' {
                    at += 1;
                }
                found.push((line, signs[start..at].iter().collect()));
            }
            ':' if sign(at + 1) == ':' => {
                found.push((line, "::".to_owned()));
                at += 2;
            }
            space if space.is_whitespace() => at += 1,
            other => {
                found.push((line, other.to_string()));
                at += 1;
            }
        }
        at = at.min(signs.len());
        line += signs[start..at].iter().filter(|sign| **sign == '\n').count();
    }
    found
}

/// Where `wanted` begins, from `at`; the end of the text if it does not.
fn find(signs: &[char], at: usize, wanted: &str) -> usize {
    let wanted: Vec<char> = wanted.chars().collect();
    (at..signs.len()).find(|start| signs[*start..].starts_with(&wanted)).unwrap_or(signs.len())
}

/// Block comments nest.
fn end_of_block_comment(signs: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < signs.len() {
        if signs[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if signs[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// From the opening quote.
fn end_of_string(signs: &[char], mut at: usize) -> usize {
    at += 1;
    while at < signs.len() && signs[at] != '"' {
        at += if signs[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`, `c"…"`, `b'…'`; none if a word begins here.
fn end_of_prefixed_string(signs: &[char], at: usize) -> Option<usize> {
    let letters = signs[at..].iter().take_while(|sign| sign.is_alphanumeric() || **sign == '_').count();
    let prefix: String = signs[at..at + letters].iter().collect();
    let hashes = signs[at + letters..].iter().take_while(|sign| **sign == '#').count();
    let opening = at + letters + hashes;
    match (prefix.as_str(), signs.get(opening)) {
        ("r" | "br" | "cr", Some('"')) => {
            let closing = format!("\"{}", "#".repeat(hashes));
            Some(find(signs, opening + 1, &closing) + closing.len())
        }
        ("b" | "c", Some('"')) if hashes == 0 => Some(end_of_string(signs, opening)),
        ("b", Some('\'')) if hashes == 0 => {
            let from = if signs.get(opening + 1) == Some(&'\\') { opening + 3 } else { opening + 1 };
            Some(find(signs, from, "'") + 1)
        }
        _ => None,
    }
}
