//! Text that was read from a message: short text in place, longer text a share of the message.

use hipstr::HipStr;
use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::{Deref, Range};
use std::string::FromUtf8Error;

/// A string: up to 23 bytes in place, else counted, so that a copy costs no allocation.
///
/// What was read from a message shares the bytes of the whole message, and keeps them alive: a text that outlives its
/// notification must be [detached](Text::detached).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(HipStr<'static>);

impl Text {
    /// A part of it, which shares its bytes. `None` where the range is outside or splits a character.
    pub(crate) fn share(&self, range: Range<usize>) -> Option<Text> {
        self.0.try_slice(range).ok().map(Text)
    }

    /// The same with bytes of its own: keeps no message alive.
    #[must_use]
    pub fn detached(&self) -> Text {
        if self.0.is_inline() { self.clone() } else { Text::from(&**self) }
    }

    /// The text that these bytes are, without a copy of them; else the bytes.
    pub fn from_utf8(bytes: Vec<u8>) -> Result<Text, Vec<u8>> {
        String::from_utf8(bytes).map(Text::from).map_err(FromUtf8Error::into_bytes)
    }

    /// The string.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// As an owned string.
    pub fn into_string(self) -> String {
        self.0.as_str().to_owned()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(HipStr::from(text))
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Text::from(text.as_str())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text(HipStr::from(text))
    }
}

impl From<Box<str>> for Text {
    fn from(text: Box<str>) -> Self {
        Text::from(String::from(text))
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Text::from(text),
            Cow::Owned(text) => Text::from(text),
        }
    }
}

impl From<&Text> for Text {
    fn from(text: &Text) -> Self {
        text.clone()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.into_string()
    }
}

impl From<Text> for Box<str> {
    fn from(text: Text) -> Self {
        Box::from(&*text)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        &**self == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        &**self == *other
    }
}

impl PartialEq<Text> for str {
    fn eq(&self, other: &Text) -> bool {
        self == &**other
    }
}

impl PartialEq<Text> for &str {
    fn eq(&self, other: &Text) -> bool {
        *self == &**other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        &**self == other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_keeps_the_message_and_what_is_detached_does_not() {
        let message = Text::from("x".repeat(1_000));
        let share = message.share(100..200).unwrap();
        assert!(message.as_bytes().as_ptr_range().contains(&share.as_ptr()));
        assert_eq!(share, share.detached());
        assert!(!message.as_bytes().as_ptr_range().contains(&share.detached().as_ptr()));
        let short = message.share(100..123).unwrap();
        assert!(!message.as_bytes().as_ptr_range().contains(&short.as_ptr()), "short text is in place");
    }

    #[test]
    fn a_share_outside_or_within_a_character_is_none() {
        let text = Text::from("aé");
        assert_eq!(text.share(0..2), None);
        assert_eq!(text.share(1..4), None);
        assert_eq!(text.share(1..3), Some(Text::from("é")));
    }
}
