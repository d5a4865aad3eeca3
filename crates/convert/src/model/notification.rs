//! A notification: what a service said, in the one shape all definitions look at.

use super::text::Text;
use super::value::{Dict, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::OnceLock;

/// The seven priorities of `oslo.messaging`; each has its own main queue `<topic>.<priority>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// `audit`
    Audit,
    /// `critical`
    Critical,
    /// `debug`
    Debug,
    /// `error`: gives events
    Error,
    /// `info`: gives samples and events
    Info,
    /// `sample`: gives samples
    Sample,
    /// `warn`
    Warn,
}

impl Priority {
    /// All of them, in the order in which Ceilometer handles a batch.
    pub const ALL: [Priority; 7] = [
        Priority::Audit,
        Priority::Critical,
        Priority::Debug,
        Priority::Error,
        Priority::Info,
        Priority::Sample,
        Priority::Warn,
    ];

    /// The name in lower case, as in queue names.
    pub fn name(self) -> &'static str {
        match self {
            Priority::Audit => "audit",
            Priority::Critical => "critical",
            Priority::Debug => "debug",
            Priority::Error => "error",
            Priority::Info => "info",
            Priority::Sample => "sample",
            Priority::Warn => "warn",
        }
    }

    /// The priority of that name in any case, as in message bodies.
    pub fn from_name(name: &str) -> Option<Priority> {
        Priority::ALL.into_iter().find(|p| p.name().eq_ignore_ascii_case(name))
    }

    /// Whether the sample endpoints look at it (Ceilometer reference §4.4).
    pub fn gives_samples(self) -> bool {
        matches!(self, Priority::Info | Priority::Sample)
    }

    /// Whether the event endpoint looks at it (Ceilometer reference §4.2).
    pub fn gives_events(self) -> bool {
        matches!(self, Priority::Info | Priority::Error)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A notification as the definitions see it: a dictionary of `ctxt`, `publisher_id`, `event_type`, `payload` and
/// `metadata` (`message_id`, `timestamp`), in this order (Ceilometer reference §3.2).
#[derive(Debug, Clone)]
pub struct Notification {
    root: Value,
    priority: Priority,
    /// Made of the two others when a definition asks for it.
    flat_root: OnceLock<Box<Value>>,
}

impl PartialEq for Notification {
    fn eq(&self, other: &Self) -> bool {
        self.priority == other.priority && self.root == other.root
    }
}

impl Notification {
    /// A notification from its parts. Any of them may be of any type: senders are free.
    pub fn new(priority: Priority, parts: Parts) -> Self {
        let metadata = Dict::from_iter([("message_id", parts.message_id), ("timestamp", parts.timestamp)]);
        let root = Dict::from_iter([
            ("ctxt", Value::Dict(parts.ctxt)),
            ("publisher_id", parts.publisher_id),
            ("event_type", parts.event_type),
            ("payload", parts.payload),
            ("metadata", Value::Dict(metadata)),
        ]);
        Notification::from_root(priority, root)
    }

    /// A notification that already has the definitions' shape.
    pub fn from_root(priority: Priority, root: Dict) -> Self {
        Notification { root: Value::Dict(root), priority, flat_root: OnceLock::new() }
    }

    /// What definitions evaluate their paths on: always a dictionary.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The root with the `priority` that it had before 9.0, in lower case: for definitions that look at it.
    pub fn flat_root(&self) -> &Value {
        self.flat_root.get_or_init(|| {
            let mut root = Dict::from_iter([("priority", self.priority.name())]);
            for (name, value) in self.root.as_dict().into_iter().flat_map(Dict::iter) {
                root.insert(name, value.clone());
            }
            Box::new(Value::Dict(root))
        })
    }

    /// The priority, from the body.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// `event_type`, if it is a string.
    pub fn event_type(&self) -> Option<&str> {
        self.field("event_type").as_str()
    }

    /// The same, to share.
    pub(crate) fn event_type_text(&self) -> Option<&Text> {
        match self.field("event_type") {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// `publisher_id`.
    pub fn publisher_id(&self) -> &Value {
        self.field("publisher_id")
    }

    /// `payload`.
    pub fn payload(&self) -> &Value {
        self.field("payload")
    }

    /// `metadata.message_id`.
    pub fn message_id(&self) -> &Value {
        self.metadata("message_id")
    }

    /// `metadata.timestamp`.
    pub fn timestamp(&self) -> &Value {
        self.metadata("timestamp")
    }

    fn field(&self, name: &str) -> &Value {
        self.root.as_dict().and_then(|d| d.get(name)).unwrap_or(&Value::Null)
    }

    fn metadata(&self, name: &str) -> &Value {
        self.field("metadata").as_dict().and_then(|d| d.get(name)).unwrap_or(&Value::Null)
    }
}

/// The members of a request context that somebody looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextMembers {
    /// Perhaps any.
    All,
    /// Those of these names.
    Named(BTreeSet<Box<str>>),
}

impl ContextMembers {
    /// Of no name yet.
    pub fn none() -> Self {
        ContextMembers::Named(BTreeSet::new())
    }

    /// Whether the member of that name is among them.
    pub fn has(&self, name: &str) -> bool {
        match self {
            ContextMembers::All => true,
            ContextMembers::Named(names) => names.contains(name),
        }
    }

    /// Those, and one more.
    pub fn add(&mut self, name: &str) {
        if let ContextMembers::Named(names) = self {
            names.insert(name.into());
        }
    }
}

/// The parts of a [`Notification`].
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// The request context, without the `_context_` prefix.
    pub ctxt: Dict,
    /// Who sent it.
    pub publisher_id: Value,
    /// What happened.
    pub event_type: Value,
    /// The details.
    pub payload: Value,
    /// The message's id.
    pub message_id: Value,
    /// When it was sent.
    pub timestamp: Value,
}
