//! How many unacknowledged messages a consumer asks for where bytes bound them.
//!
//! AMQP can bound bytes (`prefetch_size`), and RabbitMQ does not implement it: it knows a number of messages, fixed when a
//! consumer begins. So a consumer begins with few, looks at the sizes of what comes, and asks for another number when that fits
//! the bytes much better. Why by these figures: `docs/decisions/0051-prefetch-by-bytes.md`.
//!
//! Never here: when a consumer may change its number.

/// A consumer begins with this many messages, and asks for no fewer: with bodies of 1 MiB they are 20 MiB.
pub(super) const WINDOW_MESSAGES_MIN: u16 = 20;
/// The number of messages grows at most so many times at once: a few small messages say little of the next thousand.
const GROWTH_MAX: u64 = 4;
/// The mean goes over about so many messages.
const MEAN_MESSAGES: u64 = 64;
/// The mean is kept in such parts of a byte: else it would stop short of a larger size.
const PARTS: u64 = 1_024;

/// The unacknowledged messages that one consumer may have.
#[derive(Debug)]
pub(super) struct Window {
    messages: u16,
    messages_max: u16,
    /// Nothing where the number is fixed.
    bytes_max: Option<u64>,
    /// Bytes of a body, times [`PARTS`].
    mean: u64,
    /// Messages that the mean goes over, at most [`MEAN_MESSAGES`].
    measured: u64,
    /// Messages that came since the number last changed.
    came: u64,
}

impl Window {
    /// So many messages; where there is a bound of bytes, at most so many.
    pub(super) fn new(messages_max: u16, bytes_max: Option<u32>) -> Self {
        let messages = if bytes_max.is_some() { messages_max.min(WINDOW_MESSAGES_MIN) } else { messages_max };
        let bytes_max = bytes_max.map(u64::from);
        Window { messages, messages_max, bytes_max, mean: 0, measured: 0, came: 0 }
    }

    /// Unacknowledged messages at most, now.
    pub(super) fn messages(&self) -> u16 {
        self.messages
    }

    /// Notes the size of a body that came.
    pub(super) fn came(&mut self, bytes: usize) {
        self.came += 1;
        self.measured = (self.measured + 1).min(MEAN_MESSAGES);
        self.mean = (self.mean * (self.measured - 1) + bytes as u64 * PARTS) / self.measured;
    }

    /// The number of messages that fits better, if it is half or double the present one or beyond that, and as many came as the
    /// present one.
    pub(super) fn better(&self) -> Option<u16> {
        let (now, least) = (u64::from(self.messages), u64::from(self.messages_max.min(WINDOW_MESSAGES_MIN)));
        let fits = (self.bytes_max? / (self.mean / PARTS).max(1)).clamp(least, u64::from(self.messages_max));
        let fits = fits.min(now * GROWTH_MAX);
        let differs = fits >= 2 * now || 2 * fits <= now;
        u16::try_from(fits).ok().filter(|_| differs && self.came >= now)
    }

    /// The consumer has another number of messages from now on.
    pub(super) fn change(&mut self, messages: u16) {
        (self.messages, self.came) = (messages, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const BYTES_MAX: u32 = 32 << 20;

    /// The numbers that a consumer has one after the other while so many bodies of a size come, each time.
    fn numbers(window: &mut Window, bodies: &[(usize, usize)]) -> Vec<u16> {
        let mut numbers = vec![window.messages()];
        for (count, bytes) in bodies {
            for _ in 0..*count {
                window.came(*bytes);
                if let Some(better) = window.better() {
                    window.change(better);
                    numbers.push(better);
                }
            }
        }
        numbers
    }

    #[rstest]
    #[case::small(&[(5_000, 3_000)], &[20, 80, 320, 1_000])]
    #[case::of_32_kb(&[(5_000, 32_000)], &[20, 80, 320, 1_000])]
    #[case::of_100_kb(&[(5_000, 100_000)], &[20, 80, 320])]
    #[case::of_1_mb(&[(5_000, 1_000_000)], &[20])]
    #[case::empty(&[(5_000, 0)], &[20, 80, 320, 1_000])]
    #[case::too_few_to_know(&[(19, 3_000)], &[20])]
    #[case::one_in_many_is_large(&[(2_000, 3_000), (1, 1_000_000), (2_000, 3_000)], &[20, 80, 320, 1_000])]
    #[case::small_then_large(&[(5_000, 3_000), (1_000, 1_000_000)], &[20, 80, 320, 1_000, 427, 33])]
    #[case::large_then_small(&[(100, 1_000_000), (5_000, 3_000)], &[20, 40, 80, 279, 1_000])]
    fn the_number_follows_the_sizes(#[case] bodies: &[(usize, usize)], #[case] expected: &[u16]) {
        assert_eq!(numbers(&mut Window::new(1_000, Some(BYTES_MAX)), bodies), expected);
    }

    #[test]
    fn a_number_that_is_written_is_kept() {
        assert_eq!(numbers(&mut Window::new(100, None), &[(5_000, 3_000), (5_000, 1_000_000)]), [100]);
    }

    #[test]
    fn few_messages_are_no_fewer_than_allowed() {
        assert_eq!(numbers(&mut Window::new(7, Some(1)), &[(500, 3_000)]), [7]);
    }

    /// What the window holds is never much more than the bound once a whole window of one size has come.
    #[test]
    fn the_bytes_of_a_window_stay_near_the_bound() {
        for bytes in [1_000, 10_000, 50_000, 100_000, 400_000, 1_000_000] {
            let mut window = Window::new(1_000, Some(BYTES_MAX));
            numbers(&mut window, &[(5_000, bytes)]);
            let held = usize::from(window.messages()) * bytes;
            assert!(held <= 32 << 20, "{bytes}: {held}");
        }
    }
}
