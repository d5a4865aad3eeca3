//! The first reader: one pass over the text, and every string of it a share of the text. It reads what services write
//! nearly always; whatever is unusual (a repeated key, a surrogate, a number past 18 digits, nesting past a hundred,
//! an error) it leaves to the other readers, which begin anew and decide.
//!
//! It also reads the message inside of an envelope without unpacking it first: there a string begins and ends with `\"`,
//! and every escape has one backslash more.

mod look;

use super::special;
use crate::model::text::Text;
use crate::model::value::{Dict, HASHED_FROM_PAIRS, Value};
use std::ops::Range;

/// The deepest nesting read here: recursion is bounded by it.
const DEPTH_MAX: usize = 100;
/// Digits of an integer that surely fits 64 bits.
const DIGITS_MAX: usize = 18;
/// Beyond this a float may have been an integer.
const FLOAT_MAX: f64 = 9.0e18;
/// The first guess of how many members an object has: a message, and what is in it.
const MEMBERS_GUESSED: [usize; 2] = [32, 8];
/// An object of so few members gives back the room that was guessed: a sender must not buy much memory with `{"":0}`.
const FEW_MEMBERS: usize = 2;

/// Whether a member of the outermost object is built; one that is not is read over.
pub(in crate::model) type Wanted<'w> = &'w dyn Fn(&str) -> bool;

/// Reads a whole text, if there is nothing unusual in it.
pub(super) fn read(text: &Text) -> Option<Value> {
    let mut reader = Reader::<false>::new(text);
    reader.skip_space();
    let value = reader.value(0)?;
    reader.end()?;
    Some(value)
}

/// Reads an object, of which only the wanted members are built.
pub(in crate::model) fn members(text: &Text, wanted: Wanted<'_>) -> Option<Dict> {
    let mut reader = Reader::<false>::new(text);
    reader.skip_space();
    let message = reader.members(wanted)?;
    reader.end()?;
    Some(message)
}

/// The wanted members of the message in an envelope of version 2.0. `None`, too, for what is no such envelope.
pub(in crate::model) fn message_in_envelope(text: &Text, wanted: Wanted<'_>) -> Option<Dict> {
    let mut outer = Reader::<false>::new(text);
    let (mut version, mut message) = (None, None);
    outer.skip_space();
    outer.each_member(0, |outer| {
        match &*outer.key()? {
            "oslo.version" if version.is_none() => version = Some(outer.string()?),
            "oslo.message" if message.is_none() => {
                outer.take(b'"')?;
                let mut inner = Reader::<true> { at: outer.at, ..Reader::new(text) };
                inner.skip_space();
                message = Some(inner.members(wanted)?);
                inner.skip_space();
                outer.at = inner.at;
                outer.take(b'"')?;
            }
            // A third key would cost its repeats.
            _ => return None,
        }
        Some(())
    })?;
    outer.end()?;
    if &*version? == "2.0" { message } else { None }
}

/// `INNER`: what is read is inside of an envelope's string.
pub(super) struct Reader<'t, const INNER: bool> {
    text: &'t Text,
    bytes: &'t [u8],
    at: usize,
}

impl<'t, const INNER: bool> Reader<'t, INNER> {
    pub(super) fn new(text: &'t Text) -> Self {
        Reader { text, bytes: text.as_bytes(), at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// These bytes, if they are next.
    pub(super) fn literal(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at + bytes.len();
        let there = self.bytes.get(self.at..end)? == bytes;
        if there {
            self.at = end;
        }
        there.then_some(())
    }

    /// In an envelope's string only a blank stands for itself.
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ')) || !INNER && matches!(self.peek(), Some(b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    pub(super) fn end(&mut self) -> Option<()> {
        self.skip_space();
        (self.at == self.bytes.len()).then_some(())
    }

    pub(super) fn value(&mut self, depth: usize) -> Option<Value> {
        match self.peek()? {
            b'{' => self.dict(depth).map(Value::Dict),
            b'[' => self.list(depth).map(Value::List),
            b'n' => self.word(b"null", Value::Null),
            b't' => self.word(b"true", Value::Bool(true)),
            b'f' => self.word(b"false", Value::Bool(false)),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.string().map(Value::Str),
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Option<Value> {
        self.literal(word).map(|()| value)
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let first = self.at;
        let mut int: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            int = int.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        if digits == 0 || digits > 1 && self.bytes.get(first) == Some(&b'0') {
            return None;
        }
        if !matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            // -0 is a float for one reader and an integer for another.
            let sure = digits <= DIGITS_MAX && !(negative && int == 0);
            return sure.then(|| Value::Int(if negative { -int } else { int }));
        }
        while matches!(self.peek(), Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
            self.at += 1;
        }
        let text = self.text.get(start..self.at)?;
        // Rust reads these, JSON does not.
        if text.ends_with('.') || text.contains(".e") || text.contains(".E") {
            return None;
        }
        let float: f64 = text.parse().ok()?;
        (float.abs() < FLOAT_MAX).then_some(Value::Float(float))
    }

    /// A member's name, and the colon behind it.
    fn key(&mut self) -> Option<Text> {
        let key = self.string()?;
        self.colon()?;
        Some(key)
    }

    fn colon(&mut self) -> Option<()> {
        self.skip_space();
        self.take(b':')?;
        self.skip_space();
        Some(())
    }

    /// What a string begins and ends with.
    const QUOTE: &'static [u8] = if INNER { b"\\\"" } else { b"\"" };

    pub(super) fn string(&mut self) -> Option<Text> {
        match self.quoted()? {
            (text, true) => self.text.share(text),
            (text, false) => self.unescaped(text).map(Text::from),
        }
    }

    fn skip_string(&mut self) -> Option<()> {
        match self.quoted()? {
            (_, true) => Some(()),
            (text, false) => self.unescaped(text).map(drop),
        }
    }

    /// Where the text of a string is, up to its first escape, and whether that is all of it. If it is, it is read over.
    fn quoted(&mut self) -> Option<(Range<usize>, bool)> {
        let start = self.at + Self::QUOTE.len();
        if self.bytes.get(self.at..start)? != Self::QUOTE {
            return None;
        }
        let stop = special(self.bytes, start);
        let next = stop + Self::QUOTE.len();
        let whole = self.bytes.get(stop..next)? == Self::QUOTE;
        if whole {
            self.at = next;
        }
        Some((start..stop, whole))
    }

    /// The rest of a string that has escapes.
    #[cold]
    fn unescaped(&mut self, begun: Range<usize>) -> Option<String> {
        let mut out = String::with_capacity(2 * begun.len() + 16);
        let (mut begin, mut stop) = (begun.start, begun.end);
        loop {
            out.push_str(self.text.get(begin..stop)?);
            let (escape, next) = match self.escape(stop)? {
                Escape::End(next) => {
                    self.at = next;
                    return Some(out);
                }
                Escape::Of(byte, next) => (byte, next),
            };
            begin = next;
            match escape {
                b'"' | b'\\' | b'/' => out.push(char::from(escape)),
                b'b' => out.push('\u{8}'),
                b'f' => out.push('\u{c}'),
                b'n' => out.push('\n'),
                b'r' => out.push('\r'),
                b't' => out.push('\t'),
                b'u' => {
                    begin = next + 4;
                    let hex = self.text.get(next..begin).filter(|hex| hex.bytes().all(|c| c.is_ascii_hexdigit()))?;
                    // No character: one half of a surrogate pair.
                    out.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
                }
                _ => return None,
            }
            stop = special(self.bytes, begin);
        }
    }

    /// What stands where a string has something special.
    fn escape(&self, at: usize) -> Option<Escape> {
        let byte = |ahead: usize| self.bytes.get(at + ahead).copied();
        match (byte(0)?, INNER) {
            (b'"', false) => Some(Escape::End(at + 1)),
            (b'\\', false) => Some(Escape::Of(byte(1)?, at + 2)),
            (b'\\', true) => match (byte(1)?, byte(2)?) {
                (b'"', _) => Some(Escape::End(at + 2)),
                (b'\\', b'\\') => Some(Escape::Of(byte(3).filter(|c| matches!(c, b'"' | b'\\'))?, at + 4)),
                (b'\\', b'"') => None,
                (b'\\', escape) => Some(Escape::Of(escape, at + 3)),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn dict(&mut self, depth: usize) -> Option<Dict> {
        let mut pairs: Vec<(Text, Value)> = Vec::new();
        let mut seen = Seen::default();
        self.each_member(depth, |reader| {
            let key = reader.key()?;
            let few = pairs.len() < HASHED_FROM_PAIRS;
            if few && seen.perhaps(&key) && pairs.iter().any(|(other, _)| *other == key) {
                return None;
            }
            let value = reader.value(depth + 1)?;
            if pairs.is_empty() {
                pairs.reserve(MEMBERS_GUESSED[usize::from(depth > 0)]);
            }
            pairs.push((key, value));
            Some(())
        })?;
        if pairs.len() <= FEW_MEMBERS {
            pairs.shrink_to_fit();
        }
        let few = pairs.len() <= HASHED_FROM_PAIRS;
        Some(if few { Dict::from_distinct(pairs) } else { Dict::from_pairs(pairs) })
    }

    /// The outermost object, of which only the wanted members are built.
    fn members(&mut self, wanted: Wanted<'_>) -> Option<Dict> {
        let mut pairs: Vec<(Text, Value)> = Vec::with_capacity(MEMBERS_GUESSED[0]);
        self.each_member(0, |reader| {
            let key = reader.key()?;
            if !wanted(&key) {
                return reader.skip(1);
            }
            let value = reader.value(1)?;
            pairs.push((key, value));
            Some(())
        })?;
        Some(Dict::from_pairs(pairs))
    }

    fn each_member(&mut self, depth: usize, member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.each(depth, [b'{', b'}'], member)
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        self.each_item(depth, |reader| {
            items.push(reader.value(depth + 1)?);
            Some(())
        })?;
        Some(items)
    }

    fn each_item(&mut self, depth: usize, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.each(depth, [b'[', b']'], item)
    }

    /// What stands between two brackets, with commas between.
    fn each(
        &mut self,
        depth: usize,
        [first, last]: [u8; 2],
        mut one: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.take(first)?;
        self.skip_space();
        if self.peek()? == last {
            return self.take(last);
        }
        loop {
            self.skip_space();
            one(self)?;
            self.skip_space();
            match self.next()? {
                b',' => {}
                end => return (end == last).then_some(()),
            }
        }
    }

    /// Reads over a value, and looks whether it is one. Keys that repeat in it are as good as any.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'{' => self.each_member(depth, |reader| {
                reader.skip_string()?;
                reader.colon()?;
                reader.skip(depth + 1)
            }),
            b'[' => self.each_item(depth, |reader| reader.skip(depth + 1)),
            b'"' | b'\\' => self.skip_string(),
            _ => self.value(depth).map(drop),
        }
    }
}

/// What stands where a string has something special.
enum Escape {
    /// The end of the string; where it goes on behind it.
    End(usize),
    /// An escape, by the byte that says which; where it goes on behind that.
    Of(u8, usize),
}

/// A set of keys that may say that it has one that it has not: 256 bits.
#[derive(Default)]
struct Seen([u64; 4]);

impl Seen {
    /// Whether the key may have been here. It is, from now on.
    fn perhaps(&mut self, key: &str) -> bool {
        let bytes = key.as_bytes();
        let mut hash = bytes.len() as u64;
        for at in [0, bytes.len() / 3, bytes.len() / 2, bytes.len().saturating_sub(1)] {
            hash = hash.wrapping_mul(31) ^ bytes.get(at).copied().map_or(0, u64::from);
        }
        // The upper bits depend on all others (Fibonacci hashing).
        let [bit, ..] = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let (word, bit) = (&mut self.0[usize::from(bit >> 6)], 1 << (bit & 63));
        let was = *word & bit != 0;
        *word |= bit;
        was
    }
}

#[cfg(test)]
mod tests;
