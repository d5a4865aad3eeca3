//! One trait of an event definition: where it is found, and what type it becomes.

use crate::convert::field::Field;
use crate::convert::sampling::shown;
use crate::model::python::{self, Raised};
use crate::model::{Complaint, Data, Node, Notification, Text, Trait, TraitValue, Value, did_you_mean, time};
use chrono::{Datelike, NaiveDateTime};

/// Text of traits is cut to this many characters.
const TEXT_CHARS_MAX: usize = 255;

/// A trait as defined.
#[derive(Debug, Clone)]
pub(crate) struct TraitDefinition {
    pub(crate) name: Text,
    kind: Kind,
    pub(crate) field: Field,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Text,
    Int,
    Float,
    Datetime,
}

impl TraitDefinition {
    /// Reads what is written for a trait: a path, a list of paths, or a mapping with `fields`, `type` and `plugin`.
    pub(super) fn load(name: &str, node: &Node) -> Result<Self, Complaint> {
        let field =
            Field::compile(node).map_err(|error| Complaint::error(&node.place, format!("trait {name}: {error}")))?;
        let kind = match node.get("type") {
            Some(kind) => kind.as_str().and_then(Kind::from_name).ok_or_else(|| {
                let (found, known) = (kind.described(), Kind::NAMES.join(", "));
                let meant = kind.as_str().map(|kind| did_you_mean(kind, Kind::NAMES)).unwrap_or_default();
                let text = format!("trait {name}: type must be one of {known}; this is {found}{meant}");
                Complaint::error(&kind.place, text)
            })?,
            None => Kind::Text,
        };
        Ok(TraitDefinition { name: name.into(), kind, field })
    }

    /// A text trait that stands in code.
    pub(super) fn text(name: &str, field: Field) -> Self {
        TraitDefinition { name: name.into(), kind: Kind::Text, field }
    }

    /// The trait of a notification, if there is a value for it.
    pub(crate) fn find(&self, notification: &Notification) -> Result<Option<Trait>, Raised> {
        let root = if self.field.reads_priority() { notification.flat_root() } else { notification.root() };
        let Some(found) = self.field.first(root)? else { return Ok(None) };
        // Services write "" where they have no date or number.
        if self.kind != Kind::Text && found.as_str() == Some("") {
            return Ok(None);
        }
        Ok(Some(Trait { name: self.name.clone(), value: self.kind.convert(&found)? }))
    }
}

impl Kind {
    const NAMES: [&str; 5] = ["text", "int", "float", "datetime", "none"];

    /// In any case; `string` and `integer` are not among Ceilometer's names.
    fn from_name(name: &str) -> Option<Kind> {
        match name.to_uppercase().as_str() {
            "NONE" => Some(Kind::None),
            "TEXT" => Some(Kind::Text),
            "INT" => Some(Kind::Int),
            "FLOAT" => Some(Kind::Float),
            "DATETIME" => Some(Kind::Datetime),
            _ => None,
        }
    }

    fn convert(self, value: &Value) -> Result<TraitValue, Raised> {
        match self {
            Kind::None => text(value).map(TraitValue::None),
            Kind::Text => text(value).map(TraitValue::Text),
            Kind::Int => python::int(value).map(TraitValue::Int),
            Kind::Float => python::float(value).map(TraitValue::Float),
            Kind::Datetime => naive_utc(value).map(TraitValue::Datetime),
        }
    }
}

/// Python's `str(value)[:255]`.
fn text(value: &Value) -> Result<Text, Raised> {
    let text = python::text(value)?;
    // A character has a byte at least.
    if text.len() <= TEXT_CHARS_MAX {
        return Ok(text);
    }
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((cut, _)) => Ok(Text::from(&text[..cut])),
        None => Ok(text),
    }
}

/// An ISO 8601 text as naive UTC.
pub(super) fn naive_utc(value: &Value) -> Result<NaiveDateTime, Raised> {
    let Some(time) = value.as_str().and_then(time::parse) else {
        return Err(Raised::new("ValueError", format!("{} is no ISO 8601 timestamp", shown(value))));
    };
    let utc = time.naive_utc();
    if (1..=9999).contains(&utc.year()) {
        Ok(utc)
    } else {
        Err(Raised::new("OverflowError", format!("{} is out of range", shown(value))))
    }
}

/// The place where traits are defined must be a mapping; a list that is empty passes in Ceilometer, too.
pub(super) fn entries(node: &Node) -> Result<&[(Node, Node)], Complaint> {
    match &node.data {
        Data::Map(pairs) => Ok(pairs),
        Data::List(items) if items.is_empty() => Ok(&[]),
        Data::Scalar(Value::Str(text)) if text.is_empty() => Ok(&[]),
        _ => {
            let text =
                format!("traits: expected a mapping of names to paths ({{}} for none), this is {}", node.described());
            Err(Complaint::error(&node.place, text))
        }
    }
}
