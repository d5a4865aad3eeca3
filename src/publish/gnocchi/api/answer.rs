//! The meaning of an answer of Gnocchi for the records of a request: the table of docs/publishers/gnocchi.md.

use crate::model::{Value, json};
use crate::publish::outcome::Answer;
use crate::publish::web::Reply;
use std::time::Duration;

/// How Gnocchi ends what it says of something that is not there.
const MISSING: &str = " does not exist";

/// What is wrong with a request, out of `{"code", "title", "description"}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::publish::gnocchi) struct Said {
    /// `cause` of the description: `Unknown resources`, `Invalid input`.
    pub cause: Option<Box<str>>,
    /// `detail` of the description.
    pub detail: Vec<Value>,
    /// The description, where it is text.
    pub text: Option<Box<str>>,
}

impl Said {
    /// Nothing where the body is no answer of Gnocchi's, or was cut off.
    pub(in crate::publish::gnocchi) fn of(reply: &Reply) -> Said {
        let Ok(body) = json::read(&reply.body) else { return Said::default() };
        match body.as_dict().and_then(|body| body.get("description")) {
            Some(Value::Str(text)) => Said { text: Some(Box::from(&**text)), ..Said::default() },
            Some(Value::Dict(description)) => Said {
                cause: description.get("cause").and_then(Value::as_str).map(Box::from),
                detail: description.get("detail").and_then(Value::as_list).unwrap_or_default().to_vec(),
                text: None,
            },
            _ => Said::default(),
        }
    }

    /// The ids of resources that must be created first.
    pub(in crate::publish::gnocchi) fn unknown_resources(&self) -> Vec<&str> {
        if self.cause.as_deref() != Some("Unknown resources") {
            return Vec::new();
        }
        let named = self.detail.iter().filter_map(Value::as_dict).filter_map(|entry| entry.get("original_resource_id"));
        named.filter_map(Value::as_str).collect()
    }

    /// Whether Gnocchi has no such resource type. Anybody may say 404; these are Gnocchi's own words.
    pub(in crate::publish::gnocchi) fn is_missing_type(&self) -> bool {
        let text = self.text.as_deref().and_then(|text| text.strip_prefix("Resource type "));
        text.is_some_and(|text| text.ends_with(MISSING))
            || self.cause.as_deref() == Some("Resource type does not exist")
    }

    /// Whether Gnocchi has no such resource, by its own words.
    pub(in crate::publish::gnocchi) fn is_missing_resource(&self) -> bool {
        let text = self.text.as_deref().and_then(|text| text.strip_prefix("Resource "));
        let is_missing = text.is_some_and(|text| text.ends_with(MISSING)) && !self.is_missing_type();
        is_missing || self.cause.as_deref() == Some("Resource does not exist")
    }

    /// The archive policy that Gnocchi does not have.
    pub(in crate::publish::gnocchi) fn missing_policy(&self) -> Option<&str> {
        self.text.as_deref()?.strip_prefix("Archive policy ")?.strip_suffix(MISSING)
    }
}

/// What Gnocchi said of one resource, when it is not known yet whether it would say so of any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::publish::gnocchi) struct Denied {
    /// Why the records wait, if all are denied.
    pub held: String,
    /// Why they are parked, if only they are.
    pub parked: String,
    /// How long Gnocchi asks to wait.
    pub after: Option<Duration>,
}

impl Denied {
    /// Of everything.
    pub(in crate::publish::gnocchi) fn later(&self) -> Answer {
        Answer::Later { cause: self.held.clone(), after: self.after }
    }
}

/// What an answer means for the records of the request; `usual` is what it means elsewhere.
///
/// What depends on rights, addresses and the state of the service is the operator's to mend, and waits; what depends on the
/// records is refused.
pub(in crate::publish::gnocchi) fn judged(reply: &Reply, usual: Answer) -> Answer {
    match (reply.status.as_u16(), usual) {
        // No Gnocchi at this address, or another one that stands in its place.
        (300..400 | 404 | 405, Answer::Never { cause } | Answer::NotThese { cause }) => {
            Answer::Later { cause, after: None }
        }
        (_, Answer::Never { cause }) => Answer::NotThese { cause },
        (_, usual) => usual,
    }
}

/// Whether it is no use to ask anything else now.
pub(in crate::publish::gnocchi) fn stops_all(reply: &Reply) -> bool {
    matches!(reply.status.as_u16(), 401 | 407 | 429 | 503)
}
