//! The fates of the records of a batch, found out request by request.

use std::time::Duration;

use crate::publish::outcome::{Answer, Left, Partly, PublishError, Refused};

/// One fate per record; at first all count as taken.
#[derive(Debug)]
pub(super) struct Tally {
    fates: Vec<Fate>,
    cause: Option<String>,
    after: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Taken,
    Left,
    Refused(String),
}

impl Tally {
    /// For so many records.
    pub(super) fn new(records: usize) -> Self {
        Tally { fates: vec![Fate::Taken; records], cause: None, after: None }
    }

    /// Gnocchi will never take this record.
    pub(super) fn refuse(&mut self, record: usize, cause: &str) {
        if let Some(fate) = self.fates.get_mut(record) {
            *fate = Fate::Refused(cause.to_owned());
        }
    }

    /// These records are offered again, later. The first cause is told, and the longest wait is kept.
    pub(super) fn leave(&mut self, records: impl IntoIterator<Item = usize>, cause: &str, after: Option<Duration>) {
        for record in records {
            match self.fates.get_mut(record) {
                Some(fate) if *fate == Fate::Taken => *fate = Fate::Left,
                _ => continue,
            }
            self.cause.get_or_insert_with(|| cause.to_owned());
            self.after = self.after.max(after);
        }
    }

    /// What an answer means for these records.
    pub(super) fn answered(&mut self, records: impl IntoIterator<Item = usize>, answer: &Answer) {
        match answer {
            Answer::Taken => {}
            Answer::Later { cause, after } => self.leave(records, cause, *after),
            Answer::NotThese { cause } | Answer::Never { cause } | Answer::Some { cause, .. } => {
                records.into_iter().for_each(|record| self.refuse(record, cause));
            }
        }
    }

    /// Whether any of these records counts as taken.
    pub(super) fn any_taken(&self, records: &[usize]) -> bool {
        records.iter().any(|record| self.fates.get(*record) == Some(&Fate::Taken))
    }

    /// As a publisher says it.
    pub(super) fn outcome(self) -> Result<(), PublishError> {
        let is_left = |(_, fate): &(usize, &Fate)| **fate == Fate::Left;
        let records: Vec<usize> = self.fates.iter().enumerate().filter(is_left).map(|(record, _)| record).collect();
        let cause = self.cause.unwrap_or_default();
        if !records.is_empty() && records.len() == self.fates.len() {
            return Err(PublishError::Retry { cause, after: self.after });
        }
        let left = (!records.is_empty()).then_some(Left { records, cause, after: self.after });
        let refused = self.fates.into_iter().enumerate().filter_map(|(record, fate)| match fate {
            Fate::Refused(cause) => Some(Refused { record, cause }),
            Fate::Taken | Fate::Left => None,
        });
        Partly { refused: refused.collect(), left }.outcome()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named_in_rising_order_with_the_first_cause_and_the_longest_wait() {
        let mut tally = Tally::new(5);
        tally.leave([3], "first", Some(Duration::from_secs(1)));
        tally.refuse(2, "bad");
        tally.leave([1, 2], "second", Some(Duration::from_secs(9)));
        let left = Left { records: vec![1, 3], cause: "first".to_owned(), after: Some(Duration::from_secs(9)) };
        let refused = vec![Refused { record: 2, cause: "bad".to_owned() }];
        assert_eq!(tally.outcome(), Err(PublishError::Partly(Partly { refused, left: Some(left) })));
    }

    #[test]
    fn where_all_is_left_the_batch_is_offered_again() {
        let mut tally = Tally::new(2);
        tally.leave([0, 1], "503", None);
        assert_eq!(tally.outcome(), Err(PublishError::retry("503")));
        assert_eq!(Tally::new(2).outcome(), Ok(()));
    }
}
