//! Trait plugins: what makes one value of what a field found (Ceilometer reference §4.3).
//!
//! Never here: conversion to a trait's type. Parameters that Ceilometer's constructors ignore are ignored.

use super::path::Matched;
use crate::model::python::{self, Raised};
use crate::model::{Data, Node, Value, time};
use num_bigint::BigInt;
use std::collections::HashMap;

/// A plugin with its parameters.
#[derive(Debug, Clone)]
pub enum Plugin {
    /// A piece of each value's text.
    Split(Split),
    /// Bits for members that are there, or have certain values.
    Bitfield(Bitfield),
    /// Seconds between two timestamps.
    Timedelta,
    /// Other values for values.
    Map(Map),
}

/// What makes a plugin of its parameters, raising what Ceilometer's constructor raises.
type Build = fn(&Parameters<'_>) -> Result<Plugin, Raised>;

/// All plugins, by name, with the parameters that they look at.
const PLUGINS: [(&str, &[&str], Build); 4] = [
    ("split", &["separator", "segment", "max_split"], |parameters| Ok(Plugin::Split(Split::build(parameters)))),
    ("bitfield", &["initial_bitfield", "flags"], |parameters| Ok(Plugin::Bitfield(Bitfield::build(parameters)))),
    ("timedelta", &[], |_| Ok(Plugin::Timedelta)),
    ("map", &["values", "default", "case_sensitive"], |parameters| Map::build(parameters).map(Plugin::Map)),
];

/// The names of all plugins.
pub fn names() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().map(|(name, ..)| *name)
}

/// The parameters that the plugin of that name looks at, if there is one.
pub(super) fn parameters(name: &str) -> Option<&'static [&'static str]> {
    PLUGINS.iter().find(|(known, ..)| *known == name).map(|(_, parameters, _)| *parameters)
}

/// The plugin of that name: `None` if there is none, else what its constructor says. Parameters that are left out are
/// `None`.
pub fn build(name: &str, parameters: Option<&Node>) -> Option<Result<Plugin, Raised>> {
    let (.., build) = PLUGINS.iter().find(|(known, ..)| *known == name)?;
    Some(Parameters::of(parameters).and_then(|parameters| build(&parameters)))
}

impl Plugin {
    /// Whether it can be used where a field has several values: the others raise there.
    pub fn gives_all_values(&self) -> bool {
        matches!(self, Plugin::Split(_))
    }

    /// Whether it looks at where values were found.
    pub fn looks_at_places(&self) -> bool {
        matches!(self, Plugin::Bitfield(_))
    }

    /// The values made of what was found. Values without an answer (`None` in Ceilometer) are left out.
    pub fn values(&self, found: &[Matched<'_>]) -> Result<Vec<Value>, Raised> {
        let values: Vec<Value> = match self {
            Plugin::Split(split) => found.iter().map(|m| split.piece(&m.value)).collect::<Result<_, _>>()?,
            Plugin::Bitfield(bitfield) => vec![bitfield.bits(found)?],
            Plugin::Timedelta => seconds_between(found).into_iter().map(Value::Float).collect(),
            Plugin::Map(map) => found.iter().map(|m| map.value(&m.value)).collect::<Result<_, _>>()?,
        };
        Ok(values.into_iter().filter(|value| !value.is_null()).collect())
    }
}

/// Keyword arguments.
struct Parameters<'a>(Option<&'a Node>);

impl<'a> Parameters<'a> {
    fn of(node: Option<&'a Node>) -> Result<Self, Raised> {
        let Some(node) = node else { return Ok(Parameters(None)) };
        match &node.data {
            Data::Scalar(Value::Null) => Ok(Parameters(None)),
            Data::Map(pairs) if pairs.iter().all(|(key, _)| key.as_str().is_some()) => Ok(Parameters(Some(node))),
            Data::Map(_) => Err(Raised::new("TypeError", "the names of parameters must be strings")),
            _ => Err(Raised::new("TypeError", "parameters must be a mapping of names to values")),
        }
    }

    fn node(&self, name: &str) -> Option<&'a Node> {
        self.0.and_then(|node| node.get(name))
    }

    fn value(&self, name: &str) -> Option<Value> {
        self.node(name).map(Node::to_value)
    }
}

/// `separator` ".", `segment` 0, `max_split` without end.
#[derive(Debug, Clone)]
pub struct Split {
    separator: Value,
    segment: Value,
    max: Value,
}

impl Split {
    /// Anything goes here: what is of a wrong type raises at use.
    fn build(parameters: &Parameters<'_>) -> Split {
        Split {
            separator: parameters.value("separator").unwrap_or_else(|| Value::from(".")),
            segment: parameters.value("segment").unwrap_or(Value::Int(0)),
            max: parameters.value("max_split").unwrap_or_default(),
        }
    }

    /// The segment of the value's text; null if it has fewer.
    fn piece(&self, value: &Value) -> Result<Value, Raised> {
        let text = python::str(value)?;
        let max = match &self.max {
            Value::Null => None,
            Value::Bool(b) => Some(usize::from(*b)),
            Value::Int(max) => usize::try_from(*max).ok(),
            Value::Big(_) => return Err(Raised::new("OverflowError", "split: max_split is too large")),
            _ => return Err(Raised::new("TypeError", "split: max_split must be a whole number")),
        };
        let separator = match &self.separator {
            Value::Null => None,
            Value::Str(separator) => Some(&**separator),
            _ => return Err(Raised::new("TypeError", "split: separator must be a string")),
        };
        let pieces = python::split(&text, separator, max)?;
        let at = match &self.segment {
            Value::Bool(b) => i64::from(*b),
            Value::Int(at) => *at,
            Value::Big(_) => return Ok(Value::Null),
            _ => return Err(Raised::new("TypeError", "split: segment must be a whole number")),
        };
        let from_end = usize::try_from(at.unsigned_abs()).ok().and_then(|back| pieces.len().checked_sub(back));
        let at = usize::try_from(at).ok().or(from_end);
        Ok(at.and_then(|at| pieces.get(at)).map_or(Value::Null, |piece| Value::from(*piece)))
    }
}

/// `initial_bitfield` 0, `flags` a list of `{path, bit, value}`. Errors in flags show at use.
#[derive(Debug, Clone)]
pub struct Bitfield {
    initial: Value,
    flags: Value,
}

/// The highest bit that can be set.
const BIT_MAX: i64 = 65_535;

impl Bitfield {
    fn build(parameters: &Parameters<'_>) -> Bitfield {
        Bitfield {
            initial: parameters.value("initial_bitfield").unwrap_or(Value::Int(0)),
            flags: parameters.value("flags").unwrap_or_default(),
        }
    }

    fn bits(&self, found: &[Matched<'_>]) -> Result<Value, Raised> {
        let mut bits = self.initial.clone();
        let flags = match &self.flags {
            Value::Null => &[],
            Value::List(flags) => flags.as_slice(),
            Value::Str(text) if text.is_empty() => &[],
            Value::Dict(dict) if dict.is_empty() => &[],
            _ => return Err(Raised::new("TypeError", "bitfield: flags must be a list of mappings")),
        };
        for flag in flags {
            let Value::Dict(flag) = flag else {
                return Err(Raised::new("TypeError", "bitfield: a flag must be a mapping with path and bit"));
            };
            let path = flag.get("path").ok_or_else(|| Raised::new("KeyError", "'path'"))?;
            let bit = python::int(flag.get("bit").ok_or_else(|| Raised::new("KeyError", "'bit'"))?)?;
            if matches!(path, Value::List(_) | Value::Dict(_)) {
                return Err(Raised::new("TypeError", "bitfield: the path of a flag must be a string"));
            }
            // Of several values at one place the last counts.
            let there = found.iter().rev().find(|m| path.as_str() == Some(&m.place));
            let wanted = flag.get("value");
            if there.is_some_and(|m| wanted.is_none_or(|wanted| python::equal(&m.value, wanted))) {
                bits = set(&bits, &bit)?;
            }
        }
        Ok(bits)
    }
}

/// `bits | 2 ** bit`
fn set(bits: &Value, bit: &Value) -> Result<Value, Raised> {
    let bit = match bit {
        Value::Int(bit) if *bit > BIT_MAX => None,
        Value::Int(bit) => Some(u32::try_from(*bit)),
        _ => None,
    };
    let Some(bit) = bit else { return Err(Raised::new("MemoryError", "bitfield: a bit is higher than 65535")) };
    let (Value::Bool(_) | Value::Int(_) | Value::Big(_), Ok(bit)) = (bits, bit) else {
        return Err(Raised::new("TypeError", "bitfield: bits and initial_bitfield must be whole numbers from 0"));
    };
    let before = match python::int(bits)? {
        Value::Int(bits) => BigInt::from(bits),
        Value::Big(bits) => *bits,
        _ => return Err(Raised::new("TypeError", "bitfield: initial_bitfield must be a whole number")),
    };
    Ok(Value::integer(before | (BigInt::from(1) << bit)))
}

/// The seconds between exactly two timestamps, whichever is first; nothing if they are not two or not timestamps.
fn seconds_between(found: &[Matched<'_>]) -> Option<f64> {
    let [start, end] = found else { return None };
    let (start, end) = (time::parse(start.value.as_str()?)?, time::parse(end.value.as_str()?)?);
    let micros = (end - start).num_microseconds()?.unsigned_abs();
    // Read as decimal digits: the nearest float, as Python's division gives.
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000).parse().ok()
}

/// `values` (required), `default` null, `case_sensitive` true.
#[derive(Debug, Clone)]
pub struct Map {
    texts: HashMap<Box<str>, Value>,
    others: Vec<(Value, Value)>,
    default: Value,
    folds: bool,
}

impl Map {
    fn build(parameters: &Parameters<'_>) -> Result<Map, Raised> {
        let values = parameters.node("values").filter(|node| node.is_truthy() && matches!(node.data, Data::Map(_)));
        let Some(values) = values else {
            return Err(Raised::new("ValueError", "map: the parameter 'values' must be a mapping that is not empty"));
        };
        let mut map = Map {
            texts: HashMap::new(),
            others: Vec::new(),
            default: parameters.value("default").unwrap_or_default(),
            folds: parameters.node("case_sensitive").is_some_and(|node| !node.is_truthy()),
        };
        for (key, value) in values.entries() {
            let value = value.to_value();
            match key.as_str() {
                Some(text) if map.folds => drop(map.texts.insert(python::casefold(text).into(), value)),
                Some(text) => drop(map.texts.insert(text.into(), value)),
                None => map.others.push((key.to_value(), value)),
            }
        }
        Ok(map)
    }

    /// By Python's equality: `True` finds 1 and 1.0, `"12"` does not find 12.
    fn value(&self, value: &Value) -> Result<Value, Raised> {
        let mapped = match value {
            Value::List(_) | Value::Dict(_) => {
                return Err(Raised::new("TypeError", format!("map: unhashable type: '{}'", python::type_name(value))));
            }
            Value::Str(text) if self.folds => self.texts.get(python::casefold(text).as_str()),
            Value::Str(text) => self.texts.get(&**text),
            other => self.others.iter().rev().find(|(key, _)| python::equal(key, other)).map(|(_, value)| value),
        };
        Ok(mapped.unwrap_or(&self.default).clone())
    }
}
