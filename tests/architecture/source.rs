//! Rust source as the architecture test reads it: files, and the paths (`a::b::c`) in their code, braces of `use` unfolded.
//!
//! A reader of tokens, not of grammar: enough to see what a file names. It never looks into comments or literals.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

/// All sources below `src/` and those of the member of the workspace whose rooms are ours, and the rooms of `src/lib.rs` in their order.
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

/// One name that a `use` brings into its file.
pub(crate) struct Import {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
    /// The last part of the path, or the name after `as`.
    pub(crate) name: String,
    /// `pub use`, however far: the file hands the name on.
    pub(crate) handed_on: bool,
}

/// What a file says outside its tests.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) imports: Vec<Import>,
    /// Paths of two parts or more outside `use`, each with its line.
    pub(crate) paths: Vec<(usize, Vec<String>)>,
    /// Every word outside `use`.
    pub(crate) words: BTreeSet<String>,
    /// What stands at the top level of the file: functions, types, constants, macros.
    pub(crate) defined: BTreeSet<String>,
    /// The modules that exist for tests only: `#[cfg(test)] mod tests;`.
    pub(crate) test_modules: Vec<String>,
}

impl Tree {
    pub(crate) fn of_this_crate() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (mut sources, mut of_member) = (Vec::new(), Vec::new());
        collect(&root.join("src"), &root.join("src"), &mut sources);
        let member = root.join("crates/convert/src");
        collect(&member, &member, &mut of_member);
        assert!(sources.len() > 10 && of_member.len() > 10, "the sources were not found");
        let map = std::fs::read_to_string(root.join("src/lib.rs")).unwrap();
        // Its rooms are rooms of the house; its `lib.rs` hands them on, as ours does.
        sources.extend(of_member.into_iter().filter(|source| source.file != "lib.rs"));
        Self::of(&map, sources)
    }

    /// `map` is the text of `lib.rs`: its `pub mod` lines are the rooms, and what it hands on of the member of the workspace.
    pub(crate) fn of(map: &str, sources: Vec<Source>) -> Self {
        let room = |line: &'_ str| {
            let line = line.trim_start();
            line.strip_prefix("pub mod ")
                .or_else(|| line.strip_prefix("pub use nephoscope_convert::"))
                .map(str::to_owned)
        };
        let rooms: Vec<String> = map.lines().filter_map(room).collect();
        let rooms = rooms.iter().filter_map(|rest| rest.split(';').next()).map(str::to_owned).collect();
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
            "crate" | "nephoscope" | "nephoscope_convert" => &path[1..],
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
                let mut imports = Vec::new();
                at = self.tree(at + 1, &[], &mut imports);
                found.extend(imports.into_iter().map(|import| (import.line, import.path)));
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

    /// What the file names and defines, its tests left out.
    pub(crate) fn names(&self) -> Names {
        let (code, test_modules) = self.without_tests();
        let mut names = Names { paths: Vec::new(), test_modules, ..Names::default() };
        let (mut at, mut depth) = (0, 0_usize);
        while at < code.tokens.len() {
            match code.token(at) {
                "use" => {
                    let first = names.imports.len();
                    let handed_on = code.is_public(at);
                    at = code.tree(at + 1, &[], &mut names.imports);
                    names.imports[first..].iter_mut().for_each(|import| import.handed_on = handed_on);
                    continue;
                }
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                "macro_rules" => names.defined.extend([code.token(at + 2).to_owned()]),
                item if depth == 0 && ITEMS.contains(&item) => names.defined.extend([code.token(at + 1).to_owned()]),
                _ => {}
            }
            if is_word(code.token(at)) {
                let (end, path) = if code.follows_a_dot(at) { (at + 1, Vec::new()) } else { code.path(at) };
                names.words.insert(code.token(at).to_owned());
                if path.len() > 1 {
                    names.paths.push((code.tokens[at].0, path));
                }
                at = end;
            } else {
                at += 1;
            }
        }
        names
    }

    /// The file without what stands under `#[cfg(test)]`, and the modules that are declared there.
    fn without_tests(&self) -> (Source, Vec<String>) {
        let (mut tokens, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
        let is_at = |at: usize, wanted: &[&str]| wanted.iter().enumerate().all(|(n, part)| self.token(at + n) == *part);
        while at < self.tokens.len() {
            if !is_at(at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
                tokens.push(self.tokens[at].clone());
                at += 1;
                continue;
            }
            // The item ends with the first `;` outside all braces, or with the brace that closes its first one.
            let mut depth = 0_usize;
            at += 7;
            while at < self.tokens.len() {
                let token = self.token(at);
                match token {
                    "{" | "(" | "[" => depth += 1,
                    "}" | ")" | "]" => depth = depth.saturating_sub(1),
                    "mod" if depth == 0 => modules.push(self.token(at + 1).to_owned()),
                    _ => {}
                }
                at += 1;
                if depth == 0 && (token == ";" || token == "}") {
                    break;
                }
            }
        }
        (Source { file: self.file.clone(), text: String::new(), tokens }, modules)
    }

    /// Whether `pub`, or `pub(…)`, stands before the token.
    fn is_public(&self, at: usize) -> bool {
        let before = &self.tokens[..at];
        let end = match before.last() {
            Some((_, token)) if token == ")" => before.iter().rposition(|(_, token)| token == "(").unwrap_or(0),
            _ => at,
        };
        end > 0 && self.token(end - 1) == "pub"
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
    fn tree(&self, mut at: usize, before: &[String], found: &mut Vec<Import>) -> usize {
        let line = self.tokens.get(at).map_or(0, |(line, _)| *line);
        let (mut path, mut renamed) = (before.to_vec(), None);
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
                "as" => {
                    renamed = Some(self.token(at + 1).to_owned());
                    at += 2;
                }
                word if is_word(word) || word == "*" => {
                    path.push(word.to_owned());
                    at += 1;
                }
                _ => break,
            }
        }
        if let Some(last) = path.last() {
            let name = renamed.unwrap_or_else(|| last.clone());
            found.push(Import { line, path, name, handed_on: false });
        }
        at
    }
}

/// What opens an item that others can name.
const ITEMS: [&str; 9] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod"];

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
