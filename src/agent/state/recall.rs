//! What this process remembers of queues whose state it has kept, from one opening to the next.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By queue.
#[derive(Default)]
pub(in crate::agent) struct Recall(Mutex<BTreeMap<String, Known>>);

#[derive(Default)]
struct Known {
    /// The highest epoch that fenced us.
    fenced_by: i64,
    /// The last batch we saw committed.
    committed: u64,
}

impl Recall {
    /// The epoch to begin with, given the group's. The group's epochs only rise; where one does not rise above what
    /// the log has shown, the group was restored from a backup, and the log decides.
    pub(in crate::agent) fn epoch(&self, queue: &str, epoch: i64) -> i64 {
        self.known().get(queue).map_or(epoch, |known| epoch.max(known.fenced_by.saturating_add(1)))
    }

    /// A later epoch was seen in the log.
    pub(in crate::agent) fn fenced(&self, queue: &str, by: i64) {
        let mut known = self.known();
        let known = known.entry(queue.to_owned()).or_default();
        known.fenced_by = known.fenced_by.max(by);
    }

    /// A batch is committed, or was found to be. How many that this process saw committed are missing now: somebody deleted the
    /// log, or the broker lost its end.
    pub(in crate::agent) fn committed(&self, queue: &str, number: u64) -> u64 {
        let mut known = self.known();
        let before = std::mem::replace(&mut known.entry(queue.to_owned()).or_default().committed, number);
        before.saturating_sub(number)
    }

    /// Whether nothing is known of a queue yet.
    pub(in crate::agent) fn is_new(&self, queue: &str) -> bool {
        !self.known().contains_key(queue)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
