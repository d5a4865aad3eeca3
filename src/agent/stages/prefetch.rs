//! How many messages of a main queue may be unacknowledged, where that follows their sizes: many small ones, so that packets
//! are full, and few large ones, so that memory is bounded.
//!
//! Only of a queue that is surely classic. A quorum queue that gives a message back appends it to those that came back before;
//! where the number shrinks from one consumer to the next, a part of what came back is taken, comes back once more, and
//! stands behind the rest: the order of a resource is lost after two crashes (decision 0052).
//!
//! Never here: consuming with another number (`listeners::main_queue`).

use std::time::Duration;
use tokio::time::Instant;

use crate::agent::runtime::options::BySize;

/// Messages from which their mean size is known.
const KNOWN_FROM_MESSAGES: u64 = 32;
/// The mean is of about so many messages, the last ones.
const MEAN_OF_MESSAGES: u64 = 512;
/// Not more often than this a larger number is tried; a smaller one at once.
const LARGER_AFTER: Duration = Duration::from_secs(10);
/// What could not be changed is tried again after this.
const AGAIN_AFTER: Duration = Duration::from_mins(1);

/// The present number of one consumer, and the sizes of what it took.
pub(in crate::agent) struct Prefetch {
    bounds: BySize,
    messages: u16,
    taken: u64,
    bytes: u64,
    larger_from: Instant,
    /// Nothing is tried before.
    from: Instant,
}

impl Prefetch {
    /// What a queue begins with: with the number that was found before, if it was.
    pub(in crate::agent) fn new(bounds: BySize, found: Option<u16>) -> Self {
        let messages = found.unwrap_or(bounds.first);
        let now = Instant::now();
        Prefetch { bounds, messages, taken: 0, bytes: 0, larger_from: now, from: now }
    }

    /// The present number.
    pub(in crate::agent) fn messages(&self) -> u16 {
        self.messages
    }

    /// Bytes of bodies that may wait to be taken.
    pub(in crate::agent) fn waiting_bytes_max(&self) -> usize {
        self.bounds.waiting_bytes_max
    }

    /// The number after more waited than may.
    pub(in crate::agent) fn smallest(&self) -> u16 {
        self.bounds.messages_min
    }

    /// Messages were taken.
    pub(in crate::agent) fn took(&mut self, sizes: impl Iterator<Item = usize>) {
        for bytes in sizes {
            self.taken += 1;
            self.bytes += bytes as u64;
        }
        if self.taken > MEAN_OF_MESSAGES {
            self.bytes = self.bytes * MEAN_OF_MESSAGES / self.taken;
            self.taken = MEAN_OF_MESSAGES;
        }
    }

    /// Another number that is better by far, where so many unacknowledged messages leave room for no further one.
    pub(in crate::agent) fn better(&self, unacknowledged: usize) -> Option<u16> {
        let now = Instant::now();
        if self.taken < KNOWN_FROM_MESSAGES || now < self.from || unacknowledged < usize::from(self.messages) {
            return None;
        }
        let BySize { messages_min, messages_max, bytes_max, .. } = self.bounds;
        let mean = (self.bytes / self.taken).max(1);
        let fit = u16::try_from(bytes_max as u64 / mean).unwrap_or(u16::MAX).clamp(messages_min, messages_max);
        let larger = fit / 2 >= self.messages && now >= self.larger_from;
        (larger || fit <= self.messages / 2).then_some(fit)
    }

    /// It could not be changed, because a message is held.
    pub(in crate::agent) fn not_now(&mut self) {
        self.from = Instant::now() + AGAIN_AFTER;
    }

    /// The queue is consumed with this number now.
    pub(in crate::agent) fn changed(&mut self, messages: u16) {
        self.messages = messages;
        self.larger_from = Instant::now() + LARGER_AFTER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use tokio::time::advance;

    const BOUNDS: BySize =
        BySize { first: 32, messages_min: 20, messages_max: 1_000, bytes_max: 16 << 20, waiting_bytes_max: 32 << 20 };

    fn after(messages: usize, bytes: usize) -> Prefetch {
        let mut prefetch = Prefetch::new(BOUNDS, None);
        prefetch.took(std::iter::repeat_n(bytes, messages));
        prefetch
    }

    #[rstest]
    #[case::nothing_is_known(31, 3_000, 32, None)]
    #[case::there_is_room_for_more(100, 3_000, 31, None)]
    #[case::small(32, 3_000, 32, Some(1_000))]
    #[case::empty(32, 0, 32, Some(1_000))]
    #[case::middling(32, 100 << 10, 32, Some(163))]
    #[case::not_by_far(32, 300 << 10, 32, None)]
    #[case::large(32, 1 << 20, 40, None)]
    #[tokio::test(start_paused = true)]
    async fn sizes_decide(
        #[case] messages: usize,
        #[case] bytes: usize,
        #[case] unacknowledged: usize,
        #[case] better: Option<u16>,
    ) {
        assert_eq!(after(messages, bytes).better(unacknowledged), better);
    }

    #[tokio::test(start_paused = true)]
    async fn a_smaller_number_is_due_at_once_and_a_larger_one_after_a_while() {
        let mut prefetch = after(100, 3_000);
        prefetch.changed(1_000);
        assert_eq!(prefetch.better(1_000), None);
        (0..10).for_each(|_| prefetch.took(std::iter::repeat_n(1 << 20, 512)));
        let better = prefetch.better(1_000).unwrap();
        assert!(better < 30, "the last messages count: {better}");
        prefetch.changed(better);
        (0..10).for_each(|_| prefetch.took(std::iter::repeat_n(100, 512)));
        assert_eq!(prefetch.better(1_000), None);
        advance(LARGER_AFTER).await;
        assert_eq!(prefetch.better(1_000), Some(1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_changed_is_not_tried_all_the_time() {
        let mut prefetch = after(100, 3_000);
        prefetch.not_now();
        assert_eq!(prefetch.better(32), None);
        advance(AGAIN_AFTER).await;
        assert_eq!(prefetch.better(32), Some(1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_opened_again_begins_where_it_was() {
        assert_eq!(Prefetch::new(BOUNDS, Some(500)).messages(), 500);
        assert_eq!(Prefetch::new(BOUNDS, None).messages(), 32);
    }
}
