//! Compares the clocks of servers with the clock here, by the date in their HTTP answers.
//!
//! A date has whole seconds, and an answer takes its time: both are allowed for, so that only a difference that is there for sure is
//! told.

use chrono::{DateTime, TimeDelta, Utc};

use super::finding::Finding;
use super::kinds;

/// A difference that is of no interest.
const DIFFERENCE_MAX: TimeDelta = TimeDelta::seconds(2);

/// What a server said the time is, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clock {
    /// The server.
    pub server: String,
    /// When it was asked, by the clock here.
    pub asked: DateTime<Utc>,
    /// When it had answered.
    pub answered: DateTime<Utc>,
    /// What it said; nothing where it said nothing.
    pub said: Option<DateTime<Utc>>,
}

/// What there is to say about a clock.
pub(super) fn judged(clock: &Clock) -> Option<Finding> {
    let Some(said) = clock.said else {
        return Some(Finding::new(&kinds::CLOCK_UNKNOWN, &clock.server, "no date in its answer"));
    };
    // The time there was from `said` to a second later, at some moment between question and answer.
    let least_ahead = said - clock.answered;
    let most_ahead = said + TimeDelta::seconds(1) - clock.asked;
    let found = if least_ahead > DIFFERENCE_MAX {
        format!("at least {} s ahead of the clock here", least_ahead.num_seconds())
    } else if most_ahead < -DIFFERENCE_MAX {
        format!("at least {} s behind the clock here", -most_ahead.num_seconds())
    } else {
        return None;
    };
    Some(Finding::new(&kinds::CLOCK_DIFFERS, &clock.server, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::the_same(0, 0, None)]
    #[case::a_slow_answer(0, 9, None)]
    #[case::within_the_second(-2, 0, None)]
    #[case::ahead(5, 1, Some("at least 4 s ahead of the clock here"))]
    #[case::behind(-60, 0, Some("at least 59 s behind the clock here"))]
    fn a_clock_is_compared(#[case] said: i64, #[case] took: i64, #[case] expected: Option<&str>) {
        let asked = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let answered = asked + TimeDelta::seconds(took);
        let said = Some(asked + TimeDelta::seconds(said));
        let found = judged(&Clock { server: "s".to_owned(), asked, answered, said });
        assert_eq!(found.map(|finding| finding.found).as_deref(), expected);
    }
}
