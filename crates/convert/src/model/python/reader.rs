//! A regular expression while it is read, and what is written of it.

use super::Raised;
use std::iter::Peekable;
use std::str::CharIndices;

/// A translated expression.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Translated {
    /// In the syntax of `fancy-regex`.
    pub(super) text: String,
    /// The number of capturing groups.
    pub(super) groups: usize,
    /// The names of groups, with their numbers.
    pub(super) names: Vec<(String, usize)>,
}

pub(super) fn error(text: impl Into<std::borrow::Cow<'static, str>>) -> Raised {
    Raised::new("error", text)
}

/// The flags that change what is written here; `i` and `s` only pass through.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) ascii: bool,
    pub(super) multi_line: bool,
    pub(super) verbose: bool,
}

/// What a repetition would repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Nothing,
    Position,
    Item,
    Look,
    Repetition,
}

/// An open group: the flags to come back to, its number, and whether it looks around.
pub(super) struct Group {
    pub(super) flags: Flags,
    pub(super) number: Option<usize>,
    pub(super) looks: bool,
}

/// The text, read to where, and what is written of it.
pub(super) struct Reader<'a> {
    source: &'a str,
    chars: Peekable<CharIndices<'a>>,
    pub(super) out: Translated,
    pub(super) flags: Flags,
    pub(super) open: Vec<Group>,
    pub(super) last: Last,
    pub(super) nothing_yet: bool,
    /// The highest group that a condition asks for; it may come later.
    pub(super) asked: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Reader {
            source,
            chars: source.char_indices().peekable(),
            out: Translated::default(),
            flags: Flags::default(),
            open: Vec::new(),
            last: Last::Nothing,
            nothing_yet: true,
            asked: 0,
        }
    }

    pub(super) fn next(&mut self) -> Option<char> {
        self.chars.next().map(|(_, c)| c)
    }

    pub(super) fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    pub(super) fn take(&mut self, c: char) -> bool {
        self.chars.next_if(|(_, next)| *next == c).is_some()
    }

    pub(super) fn rest(&mut self) -> &str {
        let at = self.chars.peek().map_or(self.source.len(), |(at, _)| *at);
        &self.source[at..]
    }

    pub(super) fn push(&mut self, text: &str, last: Last) {
        self.out.text.push_str(text);
        self.last = last;
        self.nothing_yet = false;
    }
}
