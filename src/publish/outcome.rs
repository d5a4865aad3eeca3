//! The outcome of a publish call, record by record.

use std::ops::Range;
use std::time::Duration;

/// Why a batch was not taken whole, and what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// The destination is away or busy, and took nothing: offer the same batch again.
    #[error("cannot publish now: {cause}")]
    Retry {
        /// What the destination said.
        cause: String,
        /// How long it asks to wait, if it says.
        after: Option<Duration>,
    },
    /// Some records are taken, others not.
    #[error("{0}")]
    Partly(Partly),
    /// Nothing can be published any more: the agent must stop.
    #[error("cannot publish any more: {cause}")]
    Stop {
        /// What happened.
        cause: String,
    },
}

impl PublishError {
    /// [`PublishError::Retry`] without a wish for when.
    pub fn retry(cause: impl std::fmt::Display) -> Self {
        PublishError::Retry { cause: cause.to_string(), after: None }
    }

    /// These records of the batch are refused, for one cause; all others are taken.
    pub fn refuse(records: impl IntoIterator<Item = usize>, cause: &str) -> Self {
        let refused = records.into_iter().map(|record| Refused { record, cause: cause.to_owned() }).collect();
        PublishError::Partly(Partly { refused, left: None })
    }
}

/// A batch of which some records are taken: those that are named nowhere in here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partly {
    /// Will never be taken: park them, each with its cause.
    pub refused: Vec<Refused>,
    /// Are not taken yet: offer these, and only these, again.
    pub left: Option<Left>,
}

impl std::fmt::Display for Partly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(first) = self.refused.first() {
            write!(f, "the destination refuses {} records: {}", self.refused.len(), first.cause)?;
        }
        match &self.left {
            None => Ok(()),
            Some(left) => {
                let between = if self.refused.is_empty() { "" } else { "; " };
                write!(f, "{between}{} records cannot be published now: {}", left.records.len(), left.cause)
            }
        }
    }
}

/// One record that the destination will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its position in the batch.
    pub record: usize,
    /// What the destination said.
    pub cause: String,
}

/// Records that the destination does not take now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Their positions in the batch, rising.
    pub records: Vec<usize>,
    /// What the destination said.
    pub cause: String,
    /// How long it asks to wait, if it says.
    pub after: Option<Duration>,
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The destination has taken responsibility.
    Taken,
    /// Not now.
    Later {
        /// What it said.
        cause: String,
        /// How long it asks to wait.
        after: Option<Duration>,
    },
    /// Not these records together; fewer of them may do.
    NotThese {
        /// What it said.
        cause: String,
    },
    /// None of these, ever.
    Never {
        /// What it said.
        cause: String,
    },
    /// So many of these never, the others are taken; it does not say which.
    Some {
        /// How many are refused.
        refused: usize,
        /// What it said.
        cause: String,
    },
}

impl Answer {
    /// Why the records are not taken; nothing where they are.
    pub(super) fn cause(&self) -> Option<&str> {
        match self {
            Answer::Taken => None,
            Answer::Later { cause, .. }
            | Answer::NotThese { cause }
            | Answer::Never { cause }
            | Answer::Some { cause, .. } => Some(cause),
        }
    }
}

/// A batch on its way in parts, first to last: a part that is refused for what is in it is halved until only the bad
/// records are left, so that one bad record in a thousand costs twenty requests and takes nobody with it.
///
/// Where a server takes the good ones of a part and only tells [how many](Answer::Some) it refused, the halves are sent
/// again to find them: what was taken arrives twice, with the same ids. A half in which all or none are refused by the
/// numbers so far is not sent again.
#[derive(Debug)]
pub(super) struct Parts {
    /// Parts yet to send, the next one last.
    open: Vec<Part>,
    items: usize,
    said: Partly,
    /// Refused before anything was sent, by their positions in the batch.
    before: Vec<Refused>,
    /// What is known of the part that is on its way.
    sent: Refusals,
}

/// A part yet to send.
#[derive(Debug)]
struct Part {
    range: Range<usize>,
    known: Refusals,
}

/// What earlier answers say of a part.
#[derive(Debug, Clone, Default, PartialEq)]
enum Refusals {
    /// Nothing.
    #[default]
    Unknown,
    /// So many are refused in it and in the part that is sent after it.
    WithNext(usize),
    /// So many are refused in it, for this cause.
    Exactly(usize, String),
}

impl Parts {
    /// All `items` as one part, if there are any.
    pub(super) fn whole(items: usize) -> Self {
        Parts::of_at_most(items, items.max(1))
    }

    /// Parts of at most so many items.
    pub(super) fn of_at_most(items: usize, most: usize) -> Self {
        let most = most.max(1);
        let range = |from| from..items.min(from + most);
        let part = |from| Part { range: range(from), known: Refusals::Unknown };
        let open = (0..items).step_by(most).map(part).rev().collect();
        Parts { open, items, said: Partly::default(), before: Vec::new(), sent: Refusals::Unknown }
    }

    /// The same, and these records of the batch are no items: they are refused before anything is sent.
    pub(super) fn without(mut self, refused: Vec<Refused>) -> Self {
        self.before = refused;
        self
    }

    /// These parts, in this order; together they are the items from 0 on.
    pub(super) fn of(ranges: Vec<Range<usize>>) -> Self {
        let items = ranges.iter().map(ExactSizeIterator::len).sum();
        let part = |range| Part { range, known: Refusals::Unknown };
        let open = ranges.into_iter().map(part).rev().collect();
        Parts { open, items, said: Partly::default(), before: Vec::new(), sent: Refusals::Unknown }
    }

    /// The next part; nothing when all is said.
    pub(super) fn next(&mut self) -> Option<Range<usize>> {
        while let Some(Part { range, known }) = self.open.pop() {
            match known {
                Refusals::Exactly(0, _) => {}
                Refusals::Exactly(refused, cause) if refused >= range.len() => self.refuse(range, &cause),
                known => {
                    self.sent = known;
                    return Some(range);
                }
            }
        }
        None
    }

    /// What became of a part.
    pub(super) fn answered(&mut self, part: Range<usize>, answer: Answer) {
        let with_next = match std::mem::take(&mut self.sent) {
            Refusals::WithNext(refused) => Some(refused),
            _ => None,
        };
        let here = match &answer {
            Answer::Taken => Some((0, String::new())),
            Answer::Some { refused, cause } => Some((*refused, cause.clone())),
            Answer::NotThese { cause } if part.len() == 1 => Some((1, cause.clone())),
            _ => None,
        };
        // The part after this one has the rest of what was refused in both.
        if let (Some(both), Some((here, cause)), Some(next)) = (with_next, here, self.open.last_mut()) {
            let cause = if cause.is_empty() { "refused with others".to_owned() } else { cause };
            next.known = Refusals::Exactly(both.saturating_sub(here), cause);
        }
        match answer {
            Answer::Taken | Answer::Some { refused: 0, .. } => {}
            Answer::NotThese { .. } if part.len() > 1 => self.halve(part, Refusals::Unknown),
            Answer::Some { refused, .. } if refused < part.len() => self.halve(part, Refusals::WithNext(refused)),
            Answer::NotThese { cause } | Answer::Never { cause } | Answer::Some { cause, .. } => {
                self.refuse(part, &cause);
            }
            Answer::Later { cause, after } => {
                // Nothing younger goes before it.
                let behind = self.open.drain(..).rev().filter(|part| !matches!(part.known, Refusals::Exactly(0, _)));
                let records = part.chain(behind.flat_map(|part| part.range)).collect();
                self.said.left = Some(Left { records, cause, after });
            }
        }
    }

    /// A part was refused, and the receiver names the items that are at fault: they are tried by themselves, and those before
    /// and behind them too, so that all stay in order. What is named must be less than the part.
    pub(super) fn apart(&mut self, part: Range<usize>, named: Range<usize>) {
        debug_assert!(
            named.start >= part.start && named.end <= part.end && named.len() < part.len() && !named.is_empty()
        );
        let pieces = [named.end..part.end, named.clone(), part.start..named.start];
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        self.open.extend(pieces.map(|range| Part { range, known: Refusals::Unknown }));
    }

    /// What is said so far, by item.
    pub(super) fn said(self) -> Partly {
        self.said
    }

    fn halve(&mut self, part: Range<usize>, first: Refusals) {
        let middle = part.start + part.len() / 2;
        self.open.push(Part { range: middle..part.end, known: Refusals::Unknown });
        self.open.push(Part { range: part.start..middle, known: first });
    }

    fn refuse(&mut self, part: Range<usize>, cause: &str) {
        self.said.refused.extend(part.map(|record| Refused { record, cause: cause.to_owned() }));
    }

    /// The outcome, with `position` of each item in the batch.
    pub(super) fn outcome(mut self, position: impl Fn(usize) -> usize) -> Result<(), PublishError> {
        self.said.refused.iter_mut().for_each(|refused| refused.record = position(refused.record));
        if let Some(left) = &mut self.said.left {
            if left.records.len() == self.items && self.before.is_empty() {
                return Err(PublishError::Retry { cause: std::mem::take(&mut left.cause), after: left.after });
            }
            left.records.iter_mut().for_each(|record| *record = position(*record));
            left.records.sort_unstable();
            left.records.sort_unstable();
        }
        self.said.refused.append(&mut self.before);
        self.said.refused.sort_by_key(|refused| refused.record);
        self.said.outcome()
    }
}

impl Partly {
    /// As a publisher says it.
    pub(super) fn outcome(self) -> Result<(), PublishError> {
        if self.refused.is_empty() && self.left.is_none() { Ok(()) } else { Err(PublishError::Partly(self)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn refuse(cause: &str) -> Answer {
        Answer::NotThese { cause: cause.to_owned() }
    }

    /// Plays a server: what each part is answered with. The parts that were taken, and the outcome.
    fn play(mut parts: Parts, answer: impl Fn(&Range<usize>) -> Answer) -> (Vec<usize>, Result<(), PublishError>) {
        let mut taken = Vec::new();
        while let Some(part) = parts.next() {
            let answer = answer(&part);
            if answer == Answer::Taken {
                taken.extend(part.clone());
            }
            parts.answered(part, answer);
        }
        (taken, parts.outcome(|item| item * 10))
    }

    #[rstest]
    #[case::none(&[])]
    #[case::one(&[3])]
    #[case::all(&[0, 1, 2, 3, 4, 5, 6, 7, 8])]
    fn the_bad_ones_are_found_and_the_others_arrive_once_and_in_order(#[case] bad: &[usize]) {
        let answer =
            |part: &Range<usize>| if bad.iter().any(|b| part.contains(b)) { refuse("400") } else { Answer::Taken };
        let (taken, outcome) = play(Parts::whole(9), answer);
        let good: Vec<usize> = (0..9).filter(|n| !bad.contains(n)).collect();
        assert_eq!(taken, good);
        let expected =
            if bad.is_empty() { Ok(()) } else { Err(PublishError::refuse(bad.iter().map(|b| b * 10), "400")) };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn what_comes_behind_a_part_that_is_not_taken_now_waits_with_it() {
        let answer = |part: &Range<usize>| match part.start {
            0 if part.len() > 1 => refuse("400"),
            0 => refuse("bad"),
            1 => Answer::Taken,
            _ => Answer::Later { cause: "503".to_owned(), after: None },
        };
        let (taken, outcome) = play(Parts::of_at_most(7, 2), answer);
        assert_eq!(taken, [1]);
        let refused = vec![Refused { record: 0, cause: "bad".to_owned() }];
        let left = Left { records: vec![20, 30, 40, 50, 60], cause: "503".to_owned(), after: None };
        assert_eq!(outcome, Err(PublishError::Partly(Partly { refused, left: Some(left) })));
    }

    #[test]
    fn where_nothing_is_taken_all_is_offered_again() {
        let away = |_: &Range<usize>| Answer::Later { cause: "503".to_owned(), after: Some(Duration::from_secs(7)) };
        let (taken, outcome) = play(Parts::of_at_most(7, 2), away);
        assert_eq!(taken, [0; 0]);
        assert_eq!(outcome, Err(PublishError::Retry { cause: "503".to_owned(), after: Some(Duration::from_secs(7)) }));
    }

    /// A server that takes the good ones of a part, and tells how many it did not take.
    #[rstest]
    #[case::none(&[], 1)]
    #[case::the_first(&[0], 9)]
    #[case::the_last(&[15], 9)]
    #[case::two(&[3, 4], 9)]
    #[case::a_half(&[8, 9, 10, 11, 12, 13, 14, 15], 2)]
    #[case::all(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 1)]
    fn where_only_their_number_is_told_the_bad_ones_are_found(#[case] bad: &[usize], #[case] requests_max: usize) {
        let requests = std::cell::Cell::new(0);
        let answer = |part: &Range<usize>| {
            requests.set(requests.get() + 1);
            match bad.iter().filter(|b| part.contains(b)).count() {
                0 => Answer::Taken,
                refused => Answer::Some { refused, cause: "too old".to_owned() },
            }
        };
        let (_, outcome) = play(Parts::whole(16), answer);
        match outcome {
            Ok(()) => assert!(bad.is_empty()),
            Err(PublishError::Partly(Partly { refused, left: None })) => {
                assert_eq!(refused.iter().map(|refused| refused.record / 10).collect::<Vec<_>>(), bad);
            }
            Err(other) => panic!("{other}"),
        }
        assert!(requests.get() <= requests_max, "{} requests", requests.get());
    }

    #[test]
    fn a_server_whose_numbers_do_not_add_up_is_asked_no_more_than_twice_a_record() {
        let requests = std::cell::Cell::new(0);
        let (_, outcome) = play(Parts::whole(64), |part| {
            requests.set(requests.get() + 1);
            Answer::Some { refused: if part.len() > 1 { 1 } else { usize::MAX }, cause: "?".to_owned() }
        });
        assert!(matches!(outcome, Err(PublishError::Partly(Partly { left: None, .. }))));
        assert!(requests.get() <= 128, "{} requests", requests.get());
    }

    #[test]
    fn what_is_refused_before_anything_is_sent_stays_refused_while_the_server_is_away() {
        let before = vec![Refused { record: 5, cause: "no number".to_owned() }];
        let away = |_: &Range<usize>| Answer::Later { cause: "503".to_owned(), after: None };
        let (_, outcome) = play(Parts::whole(2).without(before.clone()), away);
        let left = Left { records: vec![0, 10], cause: "503".to_owned(), after: None };
        assert_eq!(outcome, Err(PublishError::Partly(Partly { refused: before, left: Some(left) })));
    }

    #[test]
    fn items_that_were_grouped_are_left_in_the_order_of_the_batch() {
        let positions = [0, 3, 1, 2, 4];
        let mut parts = Parts::of(vec![0..2, 2..3, 3..5]);
        while let Some(part) = parts.next() {
            let away = Answer::Later { cause: "503".to_owned(), after: None };
            let answer = if part.start == 0 { Answer::Taken } else { away };
            parts.answered(part, answer);
        }
        let left = Left { records: vec![1, 2, 4], cause: "503".to_owned(), after: None };
        let expected = Partly { refused: Vec::new(), left: Some(left) };
        assert_eq!(parts.outcome(|item| positions[item]), Err(PublishError::Partly(expected)));
    }

    #[test]
    fn items_that_are_named_are_tried_apart_and_in_order() {
        let mut parts = Parts::whole(9);
        let part = parts.next().unwrap();
        parts.apart(part, 3..5);
        assert_eq!(std::iter::from_fn(|| parts.next()).collect::<Vec<_>>(), [0..3, 3..5, 5..9]);
        parts.apart(0..3, 0..1);
        assert_eq!(std::iter::from_fn(|| parts.next()).collect::<Vec<_>>(), [0..1, 1..3]);
    }

    #[test]
    fn nothing_to_send_is_taken() {
        assert_eq!(play(Parts::whole(0), |_| refuse("never asked")), (Vec::new(), Ok(())));
    }
}
