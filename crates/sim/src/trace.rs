//! What happened, in order: the same text for the same seed, byte for byte.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Everything that is said, with the virtual time and who did it. A clone writes to the same.
#[derive(Clone)]
pub(crate) struct Trace {
    began: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    /// A trace that begins now.
    pub(crate) fn new() -> Self {
        Trace { began: Instant::now(), lines: Arc::default() }
    }

    /// Says what `who` did, or what was done to it.
    pub(crate) fn say(&self, who: &str, what: impl Display) {
        let ms = self.began.elapsed().as_secs_f64() * 1000.0;
        self.lines().push(format!("{ms:>10.1} ms  {who:<8}  {what}"));
    }

    /// What was said so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines())
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
