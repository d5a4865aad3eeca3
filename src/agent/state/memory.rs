//! What this process remembers of a queue from one opening to the next.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By queue.
#[derive(Default)]
pub(in crate::agent) struct QueueMemory(Mutex<BTreeMap<String, Known>>);

#[derive(Default)]
struct Known {
    /// The highest epoch that fenced us.
    fenced_by: Option<i64>,
    /// The last batch we saw committed.
    committed: Option<u64>,
    /// How many consumers the queue had when we last began to consume it.
    consumers_before_us: Option<u32>,
    /// How many of its messages may be unacknowledged, as was found.
    prefetch: Option<u16>,
}

impl QueueMemory {
    /// The epoch to begin with, given the group's. The group's epochs only rise; where one does not rise above what
    /// the log has shown, the group was restored from a backup, and the log decides.
    pub(in crate::agent) fn epoch(&self, queue: &str, epoch: i64) -> i64 {
        let fenced_by = self.known().get(queue).and_then(|known| known.fenced_by);
        fenced_by.map_or(epoch, |by| epoch.max(by.saturating_add(1)))
    }

    /// A later epoch was seen in the log.
    pub(in crate::agent) fn fenced(&self, queue: &str, by: i64) {
        let mut known = self.known();
        let known = known.entry(queue.to_owned()).or_default();
        known.fenced_by = known.fenced_by.max(Some(by));
    }

    /// A batch is committed, or was found to be. How many that this process saw committed are missing now: somebody deleted the
    /// log, or the broker lost its end.
    pub(in crate::agent) fn committed(&self, queue: &str, number: u64) -> u64 {
        let mut known = self.known();
        let before = known.entry(queue.to_owned()).or_default().committed.replace(number);
        before.unwrap_or_default().saturating_sub(number)
    }

    /// Whether nothing is known of a queue's state yet.
    pub(in crate::agent) fn is_new(&self, queue: &str) -> bool {
        self.known().get(queue).is_none_or(|known| known.fenced_by.is_none() && known.committed.is_none())
    }

    /// How many consumers a queue had when we last began to consume it; nothing if we never did.
    pub(in crate::agent) fn consumers_before_us(&self, queue: &str) -> Option<u32> {
        self.known().get(queue)?.consumers_before_us
    }

    /// We begin to consume a queue that has so many consumers.
    pub(in crate::agent) fn begins_beside(&self, queue: &str, consumers: u32) {
        self.known().entry(queue.to_owned()).or_default().consumers_before_us = Some(consumers);
    }

    /// How many messages of a queue may be unacknowledged, as was found.
    pub(in crate::agent) fn prefetch(&self, queue: &str) -> Option<u16> {
        self.known().get(queue)?.prefetch
    }

    /// So many messages of a queue may be unacknowledged from now on.
    pub(in crate::agent) fn found_prefetch(&self, queue: &str, messages: u16) {
        self.known().entry(queue.to_owned()).or_default().prefetch = Some(messages);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
