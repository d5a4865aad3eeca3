//! A part of a record that is read when somebody looks into it.

use super::NonFinite;
use crate::model::text::Text;
use crate::model::value::{Dict, Value};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

/// What a part of a record can be.
pub trait Part: Default {
    /// Reads one; `None` where the JSON is that of something else.
    fn read(json: &Text) -> Option<Self>;
}

impl Part for Dict {
    fn read(json: &Text) -> Option<Dict> {
        match super::read_text(json) {
            Ok(Value::Dict(dict)) => Some(dict),
            _ => None,
        }
    }
}

/// A part of a record: made here, or as the JSON that it came as, which is read at the first look into it. A copy costs no
/// allocation.
///
/// Most records that travel between agents are written to where they go without such a look. What came as JSON shares the bytes
/// of its message, and keeps them alive: see [`Text::detached`].
#[derive(Clone)]
pub struct OnDemand<T>(Arc<Forms<T>>);

/// At least one of the two is there.
#[derive(Clone)]
struct Forms<T> {
    part: OnceLock<T>,
    /// It can be read: whoever put it here has looked, or has written it.
    json: OnceLock<Text>,
}

impl<T: Part> OnDemand<T> {
    /// Of JSON that is surely one of these, without a space between its tokens.
    pub(super) fn unread(json: Text) -> Self {
        OnDemand(Arc::new(Forms { part: OnceLock::new(), json: json.into() }))
    }

    /// The JSON, where there is one: it came as such, or was written here for several who have the same. There is no space between
    /// its tokens, and every number in it has a finite value. What another program wrote may have a key twice.
    pub fn json(&self) -> Option<&Text> {
        self.0.json.get()
    }

    fn part(&self) -> &T {
        self.0.part.get_or_init(|| {
            let read = self.json().and_then(T::read);
            debug_assert!(read.is_some(), "it was looked at: {:?}", self.json());
            read.unwrap_or_default()
        })
    }
}

impl OnDemand<Dict> {
    /// The same, of which nothing keeps a message alive: see [`Text::detached`].
    #[must_use]
    pub fn detached(&self) -> Self {
        // Who keeps it reads it: with the JSON beside, it would be there twice.
        self.part().detached().into()
    }

    /// Appends it as compact JSON.
    pub fn write_json(&self, non_finite: NonFinite, out: &mut Vec<u8>) {
        if let Some(json) = self.json() {
            return out.extend_from_slice(json.as_bytes());
        }
        let begin = out.len();
        super::write_dict_as(self.part(), non_finite, out);
        // Others have the same, and will be written, too.
        let is_shared = Arc::strong_count(&self.0) > 1;
        if is_shared
            && self.part().is_finite()
            && let Ok(json) = std::str::from_utf8(&out[begin..])
        {
            self.0.json.get_or_init(|| json.into());
        }
    }
}

impl<T> From<T> for OnDemand<T> {
    fn from(part: T) -> Self {
        OnDemand(Arc::new(Forms { part: part.into(), json: OnceLock::new() }))
    }
}

impl<A, T: FromIterator<A>> FromIterator<A> for OnDemand<T> {
    fn from_iter<I: IntoIterator<Item = A>>(items: I) -> Self {
        items.into_iter().collect::<T>().into()
    }
}

impl<T: Part> Deref for OnDemand<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.part()
    }
}

impl<T: Part + Clone> DerefMut for OnDemand<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.part();
        let forms = Arc::make_mut(&mut self.0);
        // Changed, it is no longer what it came as.
        forms.json.take();
        match forms.part.get_mut() {
            Some(part) => part,
            None => unreachable!("it was just read"),
        }
    }
}

impl<T: Part + PartialEq> PartialEq for OnDemand<T> {
    fn eq(&self, other: &Self) -> bool {
        self.part() == other.part()
    }
}

impl<T: Part + fmt::Debug> fmt::Debug for OnDemand<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part().fmt(f)
    }
}

impl<T: Part> Default for OnDemand<T> {
    fn default() -> Self {
        T::default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(part: &OnDemand<Dict>, non_finite: NonFinite) -> String {
        let mut out = b"before ".to_vec();
        part.write_json(non_finite, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_came_is_read_at_the_first_look_and_forgotten_where_it_is_changed() {
        let mut part: OnDemand<Dict> = OnDemand::unread(r#"{"a":1}"#.into());
        let copy = part.clone();
        assert_eq!((part.get("a"), part.json().map(Text::as_str)), (Some(&Value::Int(1)), Some(r#"{"a":1}"#)));
        part.insert("b", 2);
        assert_eq!((part.json(), copy.len()), (None, 1));
        assert_eq!(written(&part, NonFinite::Null), r#"before {"a":1,"b":2}"#);
        assert_eq!(written(&copy, NonFinite::Null), r#"before {"a":1}"#);
    }

    /// Who keeps it has it once, and no share of the message.
    #[test]
    fn what_is_kept_is_read() {
        let message = Text::from(r#"{"a":"a text that is too long to be in place"}"#);
        let kept = OnDemand::<Dict>::unread(message.clone()).detached();
        assert_eq!((kept.json(), kept.get("a").is_some()), (None, true));
        let place = message.as_bytes().as_ptr_range();
        assert!(!place.contains(&kept.get("a").unwrap().as_str().unwrap().as_ptr()));
    }

    /// What others will write, too, is written once; a number without a finite value has two forms.
    #[test]
    fn what_is_shared_is_written_once() {
        for (number, is_kept) in [(1.5, true), (f64::NAN, false)] {
            let part = OnDemand::from(Dict::from_iter([("a", vec![Value::Float(number)])]));
            let alone = written(&part, NonFinite::Null);
            assert_eq!(part.json(), None);
            let copy = part.clone();
            let forms = [NonFinite::Null, NonFinite::Python, NonFinite::Null].map(|form| written(&copy, form));
            assert_eq!((&forms[0], &forms[2]), (&alone, &alone));
            assert_eq!(forms[1] == alone, is_kept);
            assert_eq!(part.json().is_some(), is_kept);
        }
    }
}
