//! JSON values as Python sees them: Ceilometer's semantics hang on the difference between
//! `int`, `float` and `bool`, on integers of any size and on the order of keys.

use super::text::Text;
use num_bigint::BigInt;
use std::collections::HashSet;

/// A JSON value. Equality is by value *and* type: `1`, `1.0` and `true` are three different values.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `null`, Python's `None`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// An integer beyond 64 bits; never one that would fit [`Value::Int`].
    Big(Box<BigInt>),
    /// A float, `NaN` and the infinities included: Python's `json` reads and writes them.
    Float(f64),
    /// A string.
    Str(Text),
    /// A list.
    List(Vec<Value>),
    /// An object, in the order of its keys.
    Dict(Dict),
}

impl Value {
    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The object, if this is one.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Value::Dict(d) => Some(d),
            _ => None,
        }
    }

    /// The list, if this is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(l) => Some(l),
            _ => None,
        }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Python's truth of the value: empty, zero, `false` and `null` are false; `NaN` is true.
    pub fn is_truthy(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(b) => *b,
            Value::Int(i) => *i != 0,
            Value::Big(_) => true,
            Value::Float(f) => *f != 0.0,
            Value::Str(s) => !s.is_empty(),
            Value::List(l) => !l.is_empty(),
            Value::Dict(d) => !d.is_empty(),
        }
    }

    /// The same, of which nothing keeps a message alive: see [`Text::detached`].
    #[must_use]
    pub fn detached(&self) -> Value {
        match self {
            Value::Str(text) => Value::Str(text.detached()),
            Value::List(items) => Value::List(items.iter().map(Value::detached).collect()),
            Value::Dict(dict) => Value::Dict(dict.detached()),
            other => other.clone(),
        }
    }

    /// See [`Dict::is_finite`].
    fn is_finite(&self) -> bool {
        match self {
            Value::Float(float) => float.is_finite(),
            Value::List(items) => items.iter().all(Value::is_finite),
            Value::Dict(dict) => dict.is_finite(),
            _ => true,
        }
    }

    /// See [`Dict::without_non_finite`].
    fn without_non_finite(&mut self) {
        match self {
            Value::Float(float) if !float.is_finite() => *self = Value::Null,
            Value::List(items) => items.iter_mut().for_each(Value::without_non_finite),
            Value::Dict(dict) => dict.without_non_finite(),
            _ => {}
        }
    }

    /// An integer of any size in its one normal form.
    pub fn integer(big: BigInt) -> Value {
        match i64::try_from(&big) {
            Ok(small) => Value::Int(small),
            Err(_) => Value::Big(Box::new(big)),
        }
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Value::Str(s.into())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Value::Str(s.into())
    }
}

impl From<Text> for Value {
    fn from(s: Text) -> Self {
        Value::Str(s)
    }
}

impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Value::Int(i)
    }
}

impl From<f64> for Value {
    fn from(f: f64) -> Self {
        Value::Float(f)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl From<Vec<Value>> for Value {
    fn from(l: Vec<Value>) -> Self {
        Value::List(l)
    }
}

impl From<Dict> for Value {
    fn from(d: Dict) -> Self {
        Value::Dict(d)
    }
}

/// An object that keeps the order in which its keys were first written, as Python's `dict` does.
///
/// Look-up walks the keys: notifications have tens of keys, where that beats hashing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dict(Vec<(Text, Value)>);

/// From this many pairs on, repeated keys are looked for by hash: a sender must not buy quadratic time.
pub(super) const HASHED_FROM_PAIRS: usize = 48;

/// Whether any key is there twice.
fn repeat(pairs: &[(Text, Value)]) -> bool {
    if pairs.len() < HASHED_FROM_PAIRS {
        return pairs.iter().enumerate().any(|(n, (key, _))| pairs[..n].iter().any(|(other, _)| other == key));
    }
    let mut seen = HashSet::with_capacity(pairs.len());
    !pairs.iter().all(|(key, _)| seen.insert(&**key))
}

impl Dict {
    /// An empty object.
    pub fn new() -> Self {
        Dict(Vec::new())
    }

    /// An object from pairs in which a key may repeat: the last value wins, at the place of the first.
    pub fn from_pairs(pairs: Vec<(Text, Value)>) -> Self {
        if !repeat(&pairs) {
            return Dict(pairs);
        }
        let mut place = std::collections::HashMap::with_capacity(pairs.len());
        let mut kept: Vec<(Text, Value)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            if let Some(&at) = place.get(&key) {
                let slot: &mut (Text, Value) = &mut kept[at];
                slot.1 = value;
            } else {
                place.insert(key.clone(), kept.len());
                kept.push((key, value));
            }
        }
        Dict(kept)
    }

    /// An object from pairs in which no key repeats.
    pub(super) fn from_distinct(pairs: Vec<(Text, Value)>) -> Self {
        debug_assert!(!repeat(&pairs), "a key is there twice");
        Dict(pairs)
    }

    /// The same, of which nothing keeps a message alive: see [`Text::detached`].
    #[must_use]
    pub fn detached(&self) -> Dict {
        Dict(self.0.iter().map(|(key, value)| (key.detached(), value.detached())).collect())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| &**k == key).map(|(_, v)| v)
    }

    /// The value of a key, for change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(k, _)| &**k == key).map(|(_, v)| v)
    }

    /// Sets a key, keeping its place if it is there.
    pub fn insert(&mut self, key: impl Into<Text> + AsRef<str>, value: impl Into<Value>) {
        match self.get_mut(key.as_ref()) {
            Some(slot) => *slot = value.into(),
            None => self.0.push((key.into(), value.into())),
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(k, _)| &**k == key)?;
        Some(self.0.remove(at).1)
    }

    /// Whether every float in it has a finite value, at any depth.
    pub fn is_finite(&self) -> bool {
        self.0.iter().all(|(_, value)| value.is_finite())
    }

    /// Puts `null` for every float without a finite value, at any depth: JSON has no word for those.
    pub fn without_non_finite(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.without_non_finite());
    }

    /// Whether the key is there, with any value.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + DoubleEndedIterator {
        self.0.iter().map(|(k, v)| (&**k, v))
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Dict {
    type Item = (Text, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<Text>, V: Into<Value>> FromIterator<(K, V)> for Dict {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Dict::from_pairs(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}
