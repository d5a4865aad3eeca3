//! One queue: its messages in their places, its limits by its arguments.

use std::collections::{BTreeMap, VecDeque};

use super::{Message, Position};
use crate::transport::Argument;
use crate::transport::memory::stream::Log;

#[derive(Debug)]
pub(super) struct QueueEntry {
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    /// The session that it goes with, if it is exclusive.
    pub(super) of_session: Option<u64>,
    pub(super) arguments: BTreeMap<String, Argument>,
    pub(super) last_position: Position,
    pub(super) ready: BTreeMap<Position, Message>,
    /// Its records, if it is a stream.
    pub(super) log: Option<Log>,
    /// In the order in which they came; the first is the active one of a single-active-consumer queue.
    pub(super) consumers: VecDeque<u64>,
}

impl QueueEntry {
    pub(super) fn flag(&self, name: &str) -> bool {
        self.arguments.get(name) == Some(&Argument::Bool(true))
    }

    pub(super) fn length_max(&self) -> Option<usize> {
        match self.arguments.get("x-max-length") {
            Some(Argument::Integer(length)) => usize::try_from(*length).ok(),
            _ => None,
        }
    }

    /// Bytes of bodies, of what is ready.
    pub(super) fn bytes_max(&self) -> Option<usize> {
        match self.arguments.get("x-max-length-bytes") {
            Some(Argument::Integer(bytes)) => usize::try_from(*bytes).ok(),
            _ => None,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let is_long = self.length_max().is_some_and(|max| self.ready.len() >= max);
        let bytes = || self.ready.values().map(|message| message.body.len()).sum::<usize>();
        is_long || self.bytes_max().is_some_and(|max| bytes() >= max)
    }

    pub(super) fn rejects_publish(&self) -> bool {
        matches!(self.arguments.get("x-overflow"), Some(Argument::Text(what)) if what.starts_with("reject-publish"))
    }

    /// The queue that gets what no longer fits, over the default exchange; the twin knows no other way.
    pub(super) fn dead_letters_to(&self) -> Option<String> {
        let text = |name: &str| match self.arguments.get(name) {
            Some(Argument::Text(text)) => Some(text.clone()),
            _ => None,
        };
        text("x-dead-letter-exchange").filter(String::is_empty)?;
        text("x-dead-letter-routing-key")
    }

    pub(super) fn is_quorum(&self) -> bool {
        self.arguments.get("x-queue-type") == Some(&Argument::Text("quorum".to_owned()))
    }

    /// How often a message may come back; classic queues do not count.
    pub(super) fn delivery_limit(&self, default: Option<u32>) -> Option<u32> {
        if !self.is_quorum() {
            return None;
        }
        match self.arguments.get("x-delivery-limit") {
            Some(Argument::Integer(limit)) => u32::try_from(*limit).ok(),
            _ => default,
        }
    }

    /// Puts a message back where it was; `false` where it has come back too often and is dropped.
    pub(super) fn put_back(&mut self, position: Position, message: Message, default_limit: Option<u32>) -> bool {
        let returns = if self.is_quorum() { message.returns + 1 } else { 0 };
        if self.delivery_limit(default_limit).is_some_and(|limit| returns > limit) {
            return false;
        }
        self.ready.insert(position, Message { redelivered: true, returns, ..message });
        true
    }
}
