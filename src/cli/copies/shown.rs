//! What shadow prints when it is over, as text and as JSON.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

use super::live::rows_shown;
use super::progress::rate;
use crate::cli::cluster::table;
use crate::shadow::compare::Report;
use crate::shadow::copies::CopyState;
use crate::shadow::gnocchi;
use crate::shadow::own::Own;
use crate::shadow::tally::{Table, Tally};

/// Rows of a table of text; JSON has all.
const ROWS: usize = 200;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 160;

/// Everything there is to say.
pub(super) struct Answer<'a> {
    pub(super) took: Duration,
    /// CPU time of the window.
    pub(super) cpu: Duration,
    pub(super) own: Own,
    pub(super) tally: &'a Tally,
    pub(super) state: &'a CopyState,
    pub(super) report: Option<&'a Report>,
    pub(super) gnocchi: Option<&'a gnocchi::Report>,
}

impl Answer<'_> {
    pub(super) fn text(&self) -> String {
        let Answer { tally, state, .. } = self;
        let seconds = self.took.as_secs_f64().max(0.001);
        let mut out = format!(
            "{} notifications in {seconds:.1} s ({}/s), {} of them looked at by nothing, {} unreadable; {}\n\
             {} samples and {} events would be published, with {} complaints\n\
             CPU {:.1} s, memory {} MiB\n",
            tally.notifications,
            rate(tally.notifications as f64 / seconds),
            tally.unwanted,
            tally.unreadable,
            state.lost,
            tally.samples,
            tally.events,
            tally.complaints,
            self.cpu.as_secs_f64(),
            self.own.memory_bytes >> 20,
        );
        if !state.unbound.is_empty() {
            let names: Vec<&str> = state.unbound.keys().map(|(_, exchange)| &**exchange).collect();
            let _written = writeln!(out, "no such exchange, or no right to read it: {}", names.join(", "));
        }
        for (title, rows) in [
            ("METER", &tally.by_meter),
            ("EVENT TYPE OF EVENTS", &tally.by_event_type),
            ("EVENT TYPE OF NOTIFICATIONS", &tally.by_notification),
            ("COMPLAINT", &tally.by_complaint),
        ] {
            if !rows.rows().is_empty() {
                let _written = write!(out, "\n{}", rows_shown(title, rows, ROWS, NAME_CHARS_MAX));
            }
        }
        if let Some(report) = self.report {
            out.push('\n');
            out.push_str(&compared(report));
        }
        if let Some(gnocchi) = self.gnocchi {
            let examples: String = gnocchi.examples.iter().map(|example| format!("{example}\n")).collect();
            let _written = write!(out, "\n{examples}{}\n", gnocchi.sentence);
        }
        out
    }

    pub(super) fn json(&self) -> String {
        let Answer { tally, state, .. } = self;
        let unbound: Vec<&str> = state.unbound.keys().map(|(_, exchange)| &**exchange).collect();
        let answer = json!({
            "seconds": self.took.as_secs_f64(),
            "notifications": tally.notifications,
            "bytes": tally.bytes,
            "unwanted": tally.unwanted,
            "unreadable": tally.unreadable,
            "missed": state.lost.missed.messages,
            "missed_more": state.lost.missed.more,
            "missed_is_counted": state.uncounted.is_none(),
            "interruptions": state.lost.interruptions,
            "unbound_exchanges": unbound,
            "samples": tally.samples,
            "events": tally.events,
            "complaints": tally.complaints,
            "cpu_seconds": self.cpu.as_secs_f64(),
            "memory_bytes": self.own.memory_bytes,
            "by_meter": counts(&tally.by_meter),
            "by_event_type": counts(&tally.by_event_type),
            "by_notification": counts(&tally.by_notification),
            "by_complaint": counts(&tally.by_complaint),
            "comparison": self.report,
            "gnocchi": self.gnocchi,
        });
        format!("{answer}\n")
    }
}

fn counts(table: &Table) -> Value {
    json!({"rows": table.rows(), "other": table.other()})
}

/// The comparison: what was paired, what differs, and the sentence at the end.
fn compared(report: &Report) -> String {
    let rows: Vec<[String; 6]> = report
        .records
        .iter()
        .map(|(kind, of)| {
            let counts = [of.ours, of.theirs, of.same, of.different, of.not_judged].map(|count| count.to_string());
            let [ours, theirs, same, different, not_judged] = counts;
            [format!("{}s", kind.name()), ours, theirs, same, different, not_judged]
        })
        .collect();
    let mut out = table(["RECORDS", "HERE", "THERE", "SAME", "DIFFERENT", "NOT JUDGED"], &rows);
    // Writing to a string cannot fail.
    for (kind, of) in report.records.iter().filter(|(_, of)| !of.fields_not_compared.is_empty()) {
        let fields = of.fields_not_compared.join(", ");
        let _written = writeln!(out, "not compared of {}s, because the files do not have it: {fields}", kind.name());
    }
    if !report.differences.is_empty() {
        let row =
            |difference: &crate::shadow::compare::Difference| [difference.count.to_string(), difference.in_words()];
        let rows: Vec<[String; 2]> = report.differences.iter().take(ROWS).map(row).collect();
        let _written = write!(out, "\n{}", table(["COUNT", "DIFFERENCE"], &rows));
        let rest = report.differences.iter().skip(ROWS).map(|one| one.count).sum::<u64>() + report.other_differences;
        if rest > 0 {
            let _written = writeln!(out, "{rest} differences of further kinds");
        }
        for difference in report.differences.iter().take(ROWS) {
            let _written = writeln!(out, "\n{}, for example", difference.in_words());
            for example in &difference.examples {
                let _written = writeln!(out, "  {example}");
            }
        }
    }
    let _written = writeln!(out, "\n{}", report.sentence);
    out
}
