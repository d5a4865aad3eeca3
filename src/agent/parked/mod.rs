//! What was parked, for who looks at it from outside: `nephoscope parked`.
//!
//! A [`Look`] takes one message of the parking queue after the other (`walk`); each is left, dropped, or put back where it came from by
//! a [`Requeue`]. Nothing is acknowledged before what becomes of it is certain: who is killed in the middle has dropped less than was
//! asked, or leaves something twice, and loses nothing. Agents park meanwhile as ever.
//!
//! Never here: parking itself (`parking`), what a command prints.

mod filter;
pub(super) mod label;
mod look;
pub(super) mod parking;
mod requeue;
mod walk;

pub use filter::Filter;
pub use label::{Content, Label, Whose};
pub use look::{Look, Tell};
pub use requeue::{Outcome, Refusal, Requeue, SinkPlan};
pub use walk::Seen;

use bytes::Bytes;
use std::collections::BTreeMap;

use crate::cluster::hash;
use crate::transport::{Delivery, TransportError};

/// Hex digits of an id.
const ID_DIGITS: usize = 12;

/// A parked message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Found again by it, in every look: a hash of headers and body. Messages that are equal in both have the same.
    pub id: String,
    /// What stands on it.
    pub label: Label,
    /// All headers that are strings.
    pub headers: BTreeMap<String, String>,
    /// The body as it was parked.
    pub body: Bytes,
    /// How often it came back to the parking queue; 0 where the broker does not count.
    pub returns: u32,
}

impl Parked {
    fn of(delivery: &Delivery) -> Parked {
        let Delivery { headers, body, returns, .. } = delivery;
        let raw = delivery.as_it_came();
        let mut hashed = Vec::with_capacity(raw.len() + 512);
        for (name, value) in headers {
            hashed.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        hashed.extend_from_slice(raw);
        let mut id = format!("{:016x}", hash::stable(&hashed));
        id.truncate(ID_DIGITS);
        let label = Label::read(headers, body);
        Parked { id, label, headers: headers.clone(), body: raw.clone(), returns: *returns }
    }
}

/// Why parked messages cannot be looked at any further.
#[derive(Debug, thiserror::Error)]
pub enum ParkedError {
    /// No agent has run in this group, or the group's name is another.
    #[error("there is no queue {0}: no agent of this group has run yet, or [nephoscope] group names another group")]
    NoQueue(String),
    /// The broker took back what was looked at.
    #[error("the broker took the messages back: {0}; nothing is lost, run the command again")]
    Interrupted(String),
    /// What was found could not be told.
    #[error("cannot write the messages: {0}")]
    Told(#[from] std::io::Error),
    /// The broker.
    #[error(transparent)]
    Transport(#[from] TransportError),
}
