//! One direction of a session: things on their way, in the order in which they were sent.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Things on their way, in the order in which they were sent.
pub(crate) struct Lane<T> {
    under_way: Mutex<UnderWay<T>>,
    came: Notify,
}

struct UnderWay<T> {
    /// Each with its arrival.
    items: VecDeque<(Instant, T)>,
    /// The last arrival so far: nothing arrives before what was sent before it.
    last: Option<Instant>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Lane { under_way: Mutex::new(UnderWay { items: VecDeque::new(), last: None }), came: Notify::new() }
    }
}

impl<T> Lane<T> {
    /// Sends something that arrives after `latency`, or later where something sent before is later.
    pub(crate) fn send(&self, latency: Duration, item: T) {
        let mut under_way = self.under_way();
        let arrives = Instant::now() + latency;
        let arrives = under_way.last.map_or(arrives, |last| last.max(arrives));
        under_way.last = Some(arrives);
        under_way.items.push_back((arrives, item));
        drop(under_way);
        self.came.notify_one();
    }

    /// The next thing that has arrived, once it has and nothing stalls the lane; `None` when `end` comes first.
    pub(crate) async fn next(
        &self,
        end: &CancellationToken,
        flows: &Notify,
        is_stalled: impl Fn() -> bool,
    ) -> Option<T> {
        loop {
            if end.is_cancelled() {
                return None;
            }
            let first = self.under_way().items.front().map(|(arrives, _)| *arrives);
            let flowing = flows.notified();
            match first {
                None => tokio::select! {
                    biased;
                    () = end.cancelled() => return None,
                    () = self.came.notified() => {}
                },
                Some(arrives) if arrives > Instant::now() => tokio::select! {
                    biased;
                    () = end.cancelled() => return None,
                    () = tokio::time::sleep_until(arrives) => {}
                },
                Some(_) if is_stalled() => tokio::select! {
                    biased;
                    () = end.cancelled() => return None,
                    () = flowing => {}
                },
                Some(_) => return self.under_way().items.pop_front().map(|(_, item)| item),
            }
        }
    }

    /// Takes everything off the lane.
    pub(crate) fn clear(&self) -> Vec<T> {
        self.under_way().items.drain(..).map(|(_, item)| item).collect()
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay<T>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
