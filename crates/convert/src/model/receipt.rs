//! The receipt: the one type through which a delivery is acknowledged.
//!
//! A delivery travels with its receipt. It can be split for fan-out, each part is settled once, and when the last
//! part is gone the worst verdict is carried out. A part that is dropped unsettled says [`Verdict::Returned`]:
//! forgetting something gives it back to the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What became of a delivery. Later is worse, and the worst wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Everything it produced was accepted downstream.
    Kept,
    /// It was put, with its reason, where a person can find it.
    Parked,
    /// It goes back to where it came from.
    Returned,
}

/// What is done with the verdict: an acknowledgement at the broker, or a note in a test. It must not block.
type Settle = Box<dyn FnOnce(Verdict) + Send + Sync>;

/// The right, and the duty, to settle one delivery or a part of it. Not `Clone`: [`Receipt::split`] it.
#[must_use = "dropping a receipt returns its delivery"]
pub struct Receipt {
    shared: Option<Arc<Shared>>,
    own: Verdict,
}

struct Shared {
    worst: AtomicU8,
    settle: Option<Settle>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle(match *self.worst.get_mut() {
                0 => Verdict::Kept,
                1 => Verdict::Parked,
                _ => Verdict::Returned,
            });
        }
    }
}

impl Receipt {
    /// A receipt whose verdict, once all of its parts are settled or dropped, goes to `settle`, exactly once.
    pub fn new(settle: impl FnOnce(Verdict) + Send + Sync + 'static) -> Self {
        let shared = Shared { worst: AtomicU8::new(0), settle: Some(Box::new(settle)) };
        Receipt { shared: Some(Arc::new(shared)), own: Verdict::Returned }
    }

    /// One more part of the same delivery: it is settled when both are.
    pub fn split(&self) -> Receipt {
        Receipt { shared: self.shared.clone(), own: Verdict::Returned }
    }

    /// Settles this part.
    pub fn settle(mut self, verdict: Verdict) {
        self.own = verdict;
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            // The Arc's own count orders this write before the read in `Shared::drop`.
            shared.worst.fetch_max(self.own as u8, Ordering::AcqRel);
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Mutex;

    proptest! {
        /// Any tree of splits, settled or dropped in any order, settles once with the worst verdict.
        #[test]
        fn the_worst_verdict_wins_and_is_given_once(parts in prop::collection::vec((0u8..4, any::<prop::sample::Index>()), 1..20)) {
            let said: Arc<Mutex<Vec<Verdict>>> = Arc::default();
            let heard = said.clone();
            let mut open = vec![Receipt::new(move |v| heard.lock().unwrap().push(v))];
            for (_, from) in &parts[1..] {
                let part = open[from.index(open.len())].split();
                open.push(part);
            }
            let mut expected = Verdict::Kept;
            for (what, which) in &parts {
                prop_assert!(said.lock().unwrap().is_empty(), "settled while parts were open");
                let part = open.swap_remove(which.index(open.len()));
                let verdict = match what {
                    0 => Some(Verdict::Kept),
                    1 => Some(Verdict::Parked),
                    2 => Some(Verdict::Returned),
                    _ => None,
                };
                expected = expected.max(verdict.unwrap_or(Verdict::Returned));
                match verdict {
                    Some(verdict) => part.settle(verdict),
                    None => drop(part),
                }
            }
            prop_assert_eq!(&*said.lock().unwrap(), &[expected]);
        }
    }
}
