//! One value for many readers, who wait for the next one. As `tokio::sync::watch`, but readers are woken in the order in
//! which they came: the same run repeats exactly.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The value.
pub(in crate::agent) struct SharedValue<T> {
    now: Mutex<(u64, T)>,
    changed: Notify,
}

/// One reader.
pub(in crate::agent) struct Reader<T> {
    shared: Arc<SharedValue<T>>,
    seen: u64,
}

impl<T: Clone> SharedValue<T> {
    /// With a first value.
    pub(in crate::agent) fn new(first: T) -> Arc<Self> {
        Arc::new(SharedValue { now: Mutex::new((0, first)), changed: Notify::new() })
    }

    /// The value.
    pub(in crate::agent) fn get(&self) -> T {
        self.now().1.clone()
    }

    /// Changes the value; readers are woken if `change` says that it is another.
    pub(in crate::agent) fn change(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut now = self.now();
        let other = change(&mut now.1);
        if other {
            now.0 += 1;
            drop(now);
            self.changed.notify_waiters();
        }
        other
    }

    /// A reader that has seen nothing yet.
    pub(in crate::agent) fn reader(self: &Arc<Self>) -> Reader<T> {
        Reader { shared: Arc::clone(self), seen: 0 }
    }

    fn now(&self) -> MutexGuard<'_, (u64, T)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Reader<T> {
    /// The value, which counts as seen.
    pub(in crate::agent) fn read(&mut self) -> T {
        let now = self.shared.now();
        self.seen = now.0;
        now.1.clone()
    }

    /// Waits until there is a value that was not seen.
    pub(in crate::agent) async fn changed(&mut self) {
        loop {
            let changed = self.shared.changed.notified();
            if self.shared.now().0 != self.seen {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_misses_no_change_and_waits_for_none_that_is_none() {
        let shared = SharedValue::new(1);
        let mut reader = shared.reader();
        assert_eq!(reader.read(), 1);
        assert!(shared.change(|value| std::mem::replace(value, 2) != 2));
        reader.changed().await;
        assert_eq!(reader.read(), 2);
        assert!(!shared.change(|_| false));
        let waited = tokio::time::timeout(std::time::Duration::from_secs(1), reader.changed()).await;
        assert!(waited.is_err());
    }
}
