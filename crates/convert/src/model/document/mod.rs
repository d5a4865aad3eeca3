//! What an operator wrote, with file and line: the tree a YAML file becomes before anybody says what it means, and
//! the complaint about a place in it.

pub mod keys;
pub mod nearest;
pub mod shown;

use self::shown::{is_scheme, value_shown, without_secrets};
use crate::model::value::Value;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A place in a file of the operator's. Line 0 means the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file's name, as the operator gave it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may stand where the path of a file belongs.
        let file = value_shown(&self.file);
        match self.line {
            0 => f.write_str(&file),
            line => write!(f, "{file}:{line}"),
        }
    }
}

/// How bad a complaint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; the agent runs.
    Warning,
    /// The agent refuses to start, or (at run time) one definition gave nothing for one message.
    Error,
}

/// Something wrong with what the operator wrote, or with what a definition did to one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Where the cause is written.
    pub place: Place,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what would be right, in the operator's words.
    pub text: String,
}

impl Complaint {
    /// A complaint that keeps the agent from starting.
    pub fn error(place: &Place, text: impl Into<String>) -> Self {
        Complaint { place: place.clone(), severity: Severity::Error, text: said(text.into()) }
    }

    /// A complaint that does not.
    pub fn warning(place: &Place, text: impl Into<String>) -> Self {
        Complaint { place: place.clone(), severity: Severity::Warning, text: said(text.into()) }
    }
}

/// The words of a complaint, whatever was quoted in them: without passwords.
fn said(text: String) -> String {
    match without_secrets(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    }
}

impl std::error::Error for Complaint {}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// One node of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it holds.
    pub data: Data,
}

/// What a node holds. Scalars are already typed as Ceilometer's YAML reader types them.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// A string, number, boolean or null.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in Ceilometer's order after merges; a key is unique (the last written value wins).
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a string key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().find(|(k, _)| k.as_str() == Some(key)).map(|(_, v)| v)
    }

    /// Keys and values, if this is a mapping; nothing otherwise.
    pub fn entries(&self) -> impl Iterator<Item = (&Node, &Node)> {
        match &self.data {
            Data::Map(pairs) => pairs.as_slice(),
            _ => &[],
        }
        .iter()
        .map(|(k, v)| (k, v))
    }

    /// The items, if this is a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.data {
            Data::List(items) => Some(items),
            _ => None,
        }
    }

    /// The scalar, if this is one.
    pub fn scalar(&self) -> Option<&Value> {
        match &self.data {
            Data::Scalar(value) => Some(value),
            _ => None,
        }
    }

    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        self.scalar().and_then(Value::as_str)
    }

    /// Python's truth of what was written: a required key must be true in this sense.
    pub fn is_truthy(&self) -> bool {
        match &self.data {
            Data::Scalar(value) => value.is_truthy(),
            Data::List(items) => !items.is_empty(),
            Data::Map(pairs) => !pairs.is_empty(),
        }
    }

    /// The node without its places: as a plain value. Keys that are not strings are written as JSON.
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Scalar(value) => value.clone(),
            Data::List(items) => Value::List(items.iter().map(Node::to_value).collect()),
            Data::Map(pairs) => Value::Dict(pairs.iter().map(|(k, v)| (k.key_text(), v.to_value())).collect()),
        }
    }

    /// A key as text.
    pub fn key_text(&self) -> String {
        match self.as_str() {
            Some(text) => text.to_owned(),
            None => crate::model::json::to_string(&self.to_value()),
        }
    }

    /// A key for a sentence: it may be a URL, or a login, by mistake.
    pub fn key_shown(&self) -> String {
        value_shown(&self.key_text()).into_owned()
    }

    /// What this is, for a sentence that says that something else is expected: `the text "cpu"`, `a list`, `nothing`.
    pub fn described(&self) -> String {
        match &self.data {
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a mapping".to_owned(),
            Data::Scalar(Value::Null) => "nothing".to_owned(),
            Data::Scalar(Value::Str(text)) => format!("the text {}", shortened(&Value::from(without_address(text)))),
            Data::Scalar(value @ Value::Bool(_)) => shortened(value),
            Data::Scalar(value) => format!("the number {}", shortened(value)),
        }
    }

    /// A node from a plain value, all at one place: definitions that come as JSON.
    pub fn from_value(value: &Value, place: &Place) -> Node {
        let data = match value {
            Value::List(items) => Data::List(items.iter().map(|v| Node::from_value(v, place)).collect()),
            Value::Dict(dict) => Data::Map(
                dict.iter()
                    .map(|(k, v)| (Node::from_value(&Value::from(k), place), Node::from_value(v, place)))
                    .collect(),
            ),
            scalar => Data::Scalar(scalar.clone()),
        };
        Node { place: place.clone(), data }
    }
}

/// A text for complaints: of a URL only how it begins, because a password may stand behind that.
fn without_address(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, "")) => format!("{scheme}://"),
        Some((scheme, _)) if is_scheme(scheme) => format!("{scheme}://…"),
        Some(_) => "…".to_owned(),
        None => value_shown(text).into_owned(),
    }
}

/// A scalar as JSON, of a length that fits into a sentence.
fn shortened(value: &Value) -> String {
    const CHARS_MAX: usize = 60;
    let text = crate::model::json::to_string(value);
    match text.char_indices().nth(CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
