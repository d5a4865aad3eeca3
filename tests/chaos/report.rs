//! The table at the end of a run.

use std::fmt::Write as _;
use std::time::Duration;

use super::ledger::Verdict;
use super::scenarios::{Repeats, Scenario};

/// One row.
pub struct Row {
    /// What was done.
    pub scenario: Scenario,
    /// On which servers and queues.
    pub on: String,
    /// What came of it.
    pub verdict: Verdict,
    /// Notifications a second that the sender reached.
    pub rate: f64,
    /// Queues taken over after a process ended unasked, or was cut off.
    pub take_overs: usize,
    /// The 99th of a hundred of them.
    pub take_over_p99: Option<Duration>,
    /// What it may be: the lease's time to live, where a connection stays open also three heartbeats, and 2 s.
    pub take_over_max: Duration,
    /// Queues handed over in order.
    pub hand_overs: usize,
    /// The 99th of a hundred of them.
    pub hand_over_p99: Option<Duration>,
    /// Queues that were given up because something broke.
    pub losses: usize,
    /// Messages that the broker delivered again, as far as processes lived to tell.
    pub redelivered: u64,
    /// Notifications parked, and how many should be.
    pub parked: (u32, usize),
    /// From the publishing of one more notification until all of it came out.
    pub fresh: Option<Duration>,
    /// Resident memory of the largest agent at the beginning and the end, in KiB.
    pub memory: (u64, u64),
    /// The most records in one piece at the outputs.
    pub batch_max: usize,
    /// From the last fault until everything had come.
    pub drained: Duration,
    /// Agents that ended though nobody told them to, each with its last words.
    pub ended: Vec<String>,
    /// What is wrong beyond that.
    pub wrong: Vec<String>,
    /// Errors in the logs.
    pub troubles: String,
}

impl Row {
    /// What is not as promised.
    pub fn complaints(&self) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        let mut unless = |kept: bool, what: String| {
            if !kept {
                wrong.push(what);
            }
        };
        let verdict = &self.verdict;
        unless(verdict.is_kept(), format!("promises broken: {:?}", verdict.named));
        let repeats: usize = verdict.repeats.iter().sum();
        let allowed = match self.scenario.repeats {
            Repeats::None => 0,
            Repeats::Batch => (self.take_overs + self.losses) * self.batch_max,
        };
        unless(repeats <= allowed, format!("{repeats} repeats, {allowed} allowed"));
        let moved = self.take_overs + self.hand_overs + self.losses;
        unless(moved > 0 || !self.scenario.must_move, "no queue changed hands: it proves nothing".to_owned());
        unless(self.parked.0 as usize >= self.parked.1, format!("{} of {} parked", self.parked.0, self.parked.1));
        self.ended.iter().for_each(|what| unless(false, what.clone()));
        let fresh = self.fresh.is_some_and(|fresh| fresh < Duration::from_secs(2));
        unless(fresh, format!("one more took {:?}", self.fresh));
        wrong
    }
}

/// What a queue's hand-over may take.
const HAND_OVER_MAX: Duration = Duration::from_secs(1);

impl Row {
    /// Times that are longer than they should be: written down, not failed, since other work on the machine makes them so.
    fn misses(&self) -> Vec<&'static str> {
        let late = |p99: Option<Duration>, max| p99.is_some_and(|p99| p99 > max);
        let take_over = late(self.take_over_p99, self.take_over_max).then_some("take-over late");
        let hand_over = late(self.hand_over_p99, HAND_OVER_MAX).then_some("hand-over late");
        take_over.into_iter().chain(hand_over).collect()
    }
}

/// The head of the table.
pub fn head() -> &'static str {
    "| fault | queues | rate/s | owed | lost | out of order | wrong rates | invented | repeats plain/rates/events | parked | \
     longest pause s | take-overs, p99 s (bound) | hand-overs, p99 s | queues lost | redelivered | drained s | one more s | RSS MiB | |\n\
     |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
}

/// One line of it.
pub fn line(row: &Row) -> String {
    let verdict = &row.verdict;
    let seconds = |time: Option<Duration>| time.map_or("-".to_owned(), |time| format!("{:.2}", time.as_secs_f64()));
    let complaints = row.complaints();
    let mut line = String::new();
    let _ = write!(
        line,
        "| {} | {} | {:.0} | {} | {} | {} | {} | {} | {} | {} of {} | {:.1} | {}, {} ({}) | {}, {} | {} | {} | {:.1} | {} | {} to {} | {} |",
        row.scenario.title,
        row.on,
        row.rate,
        verdict.owed,
        verdict.lost,
        verdict.disordered,
        verdict.wrong,
        verdict.invented,
        verdict.repeats.map(|count| count.to_string()).join("/"),
        row.parked.0,
        row.parked.1,
        verdict.pause.as_secs_f64(),
        row.take_overs,
        seconds(row.take_over_p99),
        row.take_over_max.as_secs(),
        row.hand_overs,
        seconds(row.hand_over_p99),
        row.losses,
        row.redelivered,
        row.drained.as_secs_f64(),
        seconds(row.fresh),
        row.memory.0 / 1024,
        row.memory.1 / 1024,
        match (complaints.is_empty(), row.misses().as_slice()) {
            (true, []) => "kept".to_owned(),
            (true, misses) => format!("kept, {}", misses.join(", ")),
            (false, _) => format!("**failed**: {}", complaints.join("; ")),
        },
    );
    line
}
