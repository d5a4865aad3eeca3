//! What the agents' logs say: which process had which queue from when to when, and how long queues were without one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Milliseconds since the epoch: the clock of log lines and of faults.
pub type Millis = i64;

/// Now, on the clock of log lines.
pub fn now() -> Millis {
    chrono::Utc::now().timestamp_millis()
}

/// A line about a queue.
#[derive(Debug, Clone)]
struct Line {
    at: Millis,
    /// The log, one of each process.
    process: String,
    queue: String,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Opened,
    HandedOver,
    Lost,
}

/// The lines about queues of all processes, in the order of time.
#[derive(Debug, Default)]
pub struct Journal {
    lines: Vec<Line>,
    /// Errors and what else no run should see, by event, with their number.
    pub troubles: BTreeMap<String, usize>,
    /// All that was said, by event.
    pub said: BTreeMap<String, usize>,
}

impl Journal {
    /// Reads every `.log` of a folder.
    pub fn read(folder: &Path) -> Self {
        let mut journal = Journal::default();
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let process = path.file_stem().unwrap().to_string_lossy().into_owned();
                for line in String::from_utf8_lossy(&std::fs::read(&path).unwrap()).lines() {
                    journal.take(&process, line);
                }
            }
        }
        journal.lines.sort_by_key(|line| line.at);
        journal
    }

    fn take(&mut self, process: &str, line: &str) {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { return };
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        *self.said.entry(text("event").to_owned()).or_default() += 1;
        let what = match (text("event"), text("reason")) {
            ("agent.queue.opened", _) => What::Opened,
            ("agent.queue.closed", "handed_over") => What::HandedOver,
            ("agent.queue.closed", _) => What::Lost,
            (event, _) => {
                if text("level") == "ERROR" || event.starts_with("state.") && event != "state.log.restored" {
                    *self.troubles.entry(event.to_owned()).or_default() += 1;
                }
                return;
            }
        };
        let at = chrono::DateTime::parse_from_rfc3339(text("time")).unwrap().timestamp_millis();
        self.lines.push(Line { at, process: process.to_owned(), queue: text("queue").to_owned(), what });
    }

    /// Queues that somebody has now.
    pub fn open(&self) -> BTreeSet<String> {
        let mut open: BTreeSet<(&str, &str)> = BTreeSet::new();
        for line in &self.lines {
            // One that is cut while it is being opened is closed without having been opened.
            match line.what {
                What::Opened => open.insert((&line.queue, &line.process)),
                What::HandedOver | What::Lost => open.remove(&(line.queue.as_str(), line.process.as_str())),
            };
        }
        open.into_iter().map(|(queue, _)| queue.to_owned()).collect()
    }

    /// From the end of a process until somebody has each queue that it had, ascending.
    pub fn take_overs(&self, ends: &[(String, Millis)]) -> Vec<Duration> {
        let mut took = Vec::new();
        for (process, end) in ends {
            let mut had: BTreeSet<&str> = BTreeSet::new();
            for line in self.lines.iter().filter(|line| line.process == *process && line.at <= *end) {
                match line.what {
                    What::Opened => had.insert(&line.queue),
                    What::HandedOver | What::Lost => had.remove(line.queue.as_str()),
                };
            }
            took.extend(had.into_iter().filter_map(|queue| self.next_opened(queue, *end)));
        }
        took.sort_unstable();
        took
    }

    /// From the moment a queue was handed over until the next one has it, ascending.
    pub fn hand_overs(&self) -> Vec<Duration> {
        let handed = self.lines.iter().filter(|line| line.what == What::HandedOver);
        let mut took: Vec<Duration> = handed.filter_map(|line| self.next_opened(&line.queue, line.at)).collect();
        took.sort_unstable();
        took
    }

    /// How often a queue was given up because something broke.
    pub fn losses(&self) -> usize {
        self.lines.iter().filter(|line| line.what == What::Lost).count()
    }

    fn next_opened(&self, queue: &str, since: Millis) -> Option<Duration> {
        let from = self.lines.partition_point(|line| line.at < since);
        let next = self.lines[from..].iter().find(|line| line.what == What::Opened && line.queue == queue)?;
        Some(Duration::from_millis(u64::try_from(next.at - since).unwrap()))
    }
}

/// The 99th of a hundred, of ascending durations.
pub fn p99(ascending: &[Duration]) -> Option<Duration> {
    ascending.get((ascending.len() * 99).div_ceil(100).saturating_sub(1)).copied()
}
