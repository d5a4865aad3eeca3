//! What was counted while notifications passed: by meter, by event type, by complaint.
//!
//! Every table has a bound of rows; what comes later is counted together.

use std::collections::BTreeMap;

use super::dry::Published;
use crate::model::{Complaint, Notification};

/// Rows of a table.
pub const ROWS_MAX: usize = 10_000;
/// Bytes of a name in a table; a longer one is cut.
pub const NAME_BYTES_MAX: usize = 255;

/// Counts by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    rows: BTreeMap<String, u64>,
    other: u64,
}

impl Table {
    /// Counts one of this name.
    pub fn count(&mut self, name: &str) {
        let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
        if let Some(count) = self.rows.get_mut(name) {
            *count += 1;
        } else if self.rows.len() < ROWS_MAX {
            self.rows.insert(name.to_owned(), 1);
        } else {
            self.other += 1;
        }
    }

    /// The rows, the largest first.
    pub fn largest_first(&self) -> Vec<(&str, u64)> {
        let mut rows: Vec<(&str, u64)> = self.rows.iter().map(|(name, count)| (&**name, *count)).collect();
        rows.sort_by(|(one, most), (other, more)| more.cmp(most).then(one.cmp(other)));
        rows
    }

    /// The rows by name.
    pub fn rows(&self) -> &BTreeMap<String, u64> {
        &self.rows
    }

    /// What no row had room for.
    pub fn other(&self) -> u64 {
        self.other
    }
}

/// Everything that is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Notifications that were taken.
    pub notifications: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Those that nobody could read.
    pub unreadable: u64,
    /// Those that nothing looks at, by their priority or by `accept_notifications`.
    pub unwanted: u64,
    /// Samples that would have been published.
    pub samples: u64,
    /// Events that would have been published.
    pub events: u64,
    /// Complaints.
    pub complaints: u64,
    /// Notifications by event type.
    pub by_notification: Table,
    /// Samples by meter.
    pub by_meter: Table,
    /// Events by event type.
    pub by_event_type: Table,
    /// Complaints by definition.
    pub by_complaint: Table,
}

impl Tally {
    /// Counts a notification that is read, and what came of it.
    pub fn take(&mut self, notification: &Notification, published: &Published) {
        self.by_notification.count(notification.event_type().unwrap_or("(no event type)"));
        for (_, sample) in &published.samples {
            self.samples += 1;
            self.by_meter.count(&sample.name);
        }
        for (_, event) in &published.events {
            self.events += 1;
            self.by_event_type.count(&event.event_type);
        }
        published.complaints.iter().for_each(|complaint| self.complain(complaint));
    }

    /// Counts a body that nobody can read.
    pub fn take_unreadable(&mut self, why: &str) {
        self.unreadable += 1;
        self.complaints += 1;
        self.by_complaint.count(&format!("unreadable: {why}"));
    }

    fn complain(&mut self, complaint: &Complaint) {
        self.complaints += 1;
        self.by_complaint.count(&complaint.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_bound_and_counts_the_rest() {
        let mut table = Table::default();
        for n in 0..ROWS_MAX + 5 {
            table.count(&format!("meter-{n}"));
        }
        table.count("meter-7");
        table.count(&"é".repeat(NAME_BYTES_MAX));
        assert_eq!((table.rows().len(), table.other()), (ROWS_MAX, 6));
        assert_eq!(table.largest_first()[0], ("meter-7", 2));
    }

    #[test]
    fn a_long_name_is_cut() {
        let mut table = Table::default();
        table.count(&"é".repeat(NAME_BYTES_MAX));
        assert!(table.rows().keys().all(|name| name.len() <= NAME_BYTES_MAX));
    }
}
