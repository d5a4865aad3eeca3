//! `nephoscope audit`: what became of all that was taken in a window of time, and whether it adds up.
//!
//! It reads the books that the agents keep on the broker, and asks the broker what waits now. Nothing is changed.
//!
//! Never here: adding up (`books`), reading the stream (`agent::books`).

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use std::fmt::Write as _;

use super::cluster::{Answer, Shown, print, table};
use super::{ConfigArguments, Failure, refuse_errors, runtime, unwritten};
use crate::agent::{BooksError, Window, audit_books, wiring};
use crate::books::{Offered, Report, SinkRow};
use crate::model::shown::on_one_line;
use crate::transport::Broker;

/// A longer text is cut.
const SHOWN_CHARS_MAX: usize = 1_000;

/// The window, and how it is shown.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Begin of the window: 2026-03-01, '2026-03-01 10:00:00' (UTC) or with a zone
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<DateTime<Utc>>,
    /// End of the window, written in the same way; without it, now
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<DateTime<Utc>>,
    /// Window up to now: 90s, 15m, 12h, 7d; without it and --from, all there is
    #[arg(long, value_name = "AGE", value_parser = super::parked::age, conflicts_with_all = ["from", "to"])]
    last: Option<std::time::Duration>,
    #[command(flatten)]
    shown: Shown,
}

/// The report, and whose it is.
#[derive(Serialize)]
struct Audited {
    group: String,
    /// RFC 3339.
    from: String,
    to: String,
    balanced: bool,
    #[serde(flatten)]
    report: Report,
}

/// Reads the books and prints what they say; fails where they do not balance.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, complaints) = arguments.config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let asked = Utc::now();
    let window = arguments.window(asked)?;
    let cannot = |error: &dyn std::fmt::Display| Failure::Other(format!("cannot read the books: {error}"));
    let group = settings.cluster.group.clone();
    let mut report = runtime()?.block_on(async {
        let session = wiring::broker(&settings.intake.urls[0]).connect().await.map_err(|error| cannot(&error))?;
        let report = audit_books(&*session, &group, window).await.map_err(|error| match error {
            BooksError::Transport(error) => cannot(&error),
            error => Failure::Other(error.to_string()),
        })?;
        session.close().await;
        Ok(report)
    })?;
    if arguments.to.is_none() {
        report.to_ms = report.to_ms.max(asked.timestamp_millis());
    }
    let (from, to, balanced) = (rfc3339(report.from_ms), rfc3339(report.to_ms), report.is_balanced());
    let audited = Audited { group, from, to, balanced, report };
    print(arguments.shown, &audited).map_err(unwritten)?;
    if balanced {
        return Ok(());
    }
    let queues = shown(&audited.report.wrong_queues().join(", "));
    Err(Failure::Other(format!(
        "the books do not balance: see the differences in {queues}; look for agent.packet.missing and for what was deleted or purged \
         in the logs of this time"
    )))
}

/// What agents wrote is text on a terminal.
fn shown(text: &str) -> String {
    on_one_line(text, SHOWN_CHARS_MAX)
}

impl Arguments {
    fn window(&self, now: DateTime<Utc>) -> Result<Window, Failure> {
        let from = match self.last {
            // Longer than there is time: from the beginning on.
            Some(last) => TimeDelta::from_std(last).ok().and_then(|last| now.checked_sub_signed(last)),
            None => self.from,
        };
        if let (Some(from), Some(to)) = (from, self.to)
            && from > to
        {
            return Err(Failure::Other(
                "cannot read the books: the window ends before it begins; change --from or --to".to_owned(),
            ));
        }
        Ok(Window { from_ms: from.map(|at| at.timestamp_millis()), to_ms: self.to.map(|at| at.timestamp_millis()) })
    }
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN));
    let time = time
        .or_else(day)
        .ok_or("expected a time such as 2026-03-01, '2026-03-01 10:00' (UTC) or 2026-03-01T10:00:00+01:00")?;
    Ok(time.and_utc())
}

fn rfc3339(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .map_or_else(|| format!("{ms} ms"), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

impl Answer for Audited {
    fn text(&self) -> String {
        let Audited { group, from, to, report, .. } = self;
        let mut out = format!("group {group}, from {from} to {to}: {} notes of the agents\n", report.notes);
        // Writing to a string cannot fail.
        let mut line = |text: std::fmt::Arguments<'_>| {
            let _written = writeln!(out, "{text}");
        };
        if let Some(begin) = report.books_begin_ms.filter(|begin| *begin > report.from_ms) {
            line(format_args!("the books begin at {}: nothing is known of the time before", rfc3339(begin)));
        }
        if report.notes == 0 {
            line(format_args!("nothing is noted in this window"));
        }
        if report.unreadable > 0 {
            line(format_args!("{} messages in the books are no notes; they are passed over", report.unreadable));
        }
        if report.died > 0 {
            line(format_args!(
                "{} times the owner of a queue died: notifications that gave nothing in its last second are not in the books",
                report.died
            ));
        }
        out.push('\n');
        out.push_str(&main_queues(report));
        out.push('\n');
        out.push_str(&sinks(report));
        out.push('\n');
        out.push_str(&publishers(report));
        for unsplit in &report.unsplit {
            let (packets, queue, member) = (unsplit.packets, shown(&unsplit.queue), shown(&unsplit.member));
            if unsplit.deed == "unconfirmed" {
                let _written = write!(
                    out,
                    "\nsent, unconfirmed: {packets} packets of {queue}, by {member}; what is in them comes again"
                );
                continue;
            }
            let after = unsplit
                .after_ms
                .map_or_else(|| "before it noted anything".to_owned(), |at| format!("after {}", rfc3339(at)));
            let deed = unsplit.deed;
            let _written =
                write!(out, "\n{deed}, not split: {packets} packets of {queue}, by {member}, which died {after}");
        }
        for difference in &report.differences {
            let _written = write!(out, "\nDIFFERENCE in {}: {}", shown(&difference.queue), shown(&difference.what));
        }
        let verdict = if report.is_balanced() { "the books balance" } else { "the books do not balance" };
        let _written = write!(out, "\n{verdict}\n");
        out
    }
}

fn main_queues(report: &Report) -> String {
    let rows: Vec<[String; 8]> = report
        .main_queues
        .iter()
        .map(|row| {
            let counts = [row.taken, row.went_on, row.nothing, row.parked, row.again, row.given].map(|n| n.to_string());
            let [taken, went_on, nothing, parked, again, given] = counts;
            let waiting = row.waiting.map(|waiting| waiting.to_string()).unwrap_or_default();
            [row.queue.clone(), taken, went_on, nothing, parked, again, given, waiting]
        })
        .collect();
    table(["MAIN QUEUE", "TAKEN", "WENT ON", "GAVE NOTHING", "PARKED", "OF THESE AGAIN", "RECORDS", "WAITING"], &rows)
}

fn sinks(report: &Report) -> String {
    let rows: Vec<[String; 10]> = report
        .sinks
        .iter()
        .map(|row| {
            let SinkRow { given, taken, again, packets_waiting, packets_unsplit, work, .. } = row;
            let counts = [
                *given,
                *taken,
                *again,
                work.repeated,
                row.dropped(),
                work.parked,
                work.delivered,
                *packets_waiting,
                *packets_unsplit,
            ];
            let [given, taken, again, repeated, dropped, parked, delivered, waiting, unsplit] =
                counts.map(|n| n.to_string());
            [row.sink.clone(), given, taken, again, repeated, dropped, parked, delivered, waiting, unsplit]
        })
        .collect();
    let titles = [
        "SINK",
        "RECORDS",
        "TAKEN",
        "OF THESE AGAIN",
        "LEFT OUT",
        "DROPPED",
        "PARKED",
        "TO PUBLISHERS",
        "PACKETS WAITING",
        "NOT SPLIT",
    ];
    table(titles, &rows)
}

fn publishers(report: &Report) -> String {
    let rows: Vec<[String; 7]> = report
        .sinks
        .iter()
        .flat_map(|sink| sink.publishers.iter().map(move |row| (sink, row)))
        .map(|(sink, row)| {
            let Offered { published, overflow, parked, .. } = row.direct;
            let counts = [
                published.saturating_add(row.from_overflow.published),
                parked.saturating_add(row.from_overflow.parked),
                overflow,
                row.from_overflow.offered,
                row.packets_waiting,
            ];
            let [published, parked, overflow, from_overflow, waiting] = counts.map(|n| n.to_string());
            [sink.sink.clone(), row.publisher.clone(), published, parked, overflow, from_overflow, waiting]
        })
        .collect();
    let titles = ["SINK", "PUBLISHER", "PUBLISHED", "PARKED", "TO OVERFLOW", "FROM OVERFLOW", "PACKETS WAITING"];
    table(titles, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("2026-03-01", Some("2026-03-01T00:00:00Z"))]
    #[case("2026-03-01 10:20", Some("2026-03-01T10:20:00Z"))]
    #[case("2026-03-01T10:20:30+01:00", Some("2026-03-01T09:20:30Z"))]
    #[case("2026-03-01 10:20:30", Some("2026-03-01T10:20:30Z"))]
    #[case("yesterday", None)]
    #[case("", None)]
    fn a_time_is_written_as_people_write_it(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(time(text).ok().map(|at| rfc3339(at.timestamp_millis())).as_deref(), expected);
    }

    #[test]
    fn what_is_wrong_is_said_last() {
        let difference = crate::books::Difference { queue: "q".to_owned(), what: "2 packets are lost".to_owned() };
        let report = Report { differences: vec![difference], books_begin_ms: Some(500), ..Report::default() };
        let (group, from, to) = ("g".to_owned(), rfc3339(0), rfc3339(1_000));
        let text = Audited { group, from, to, balanced: false, report }.text();
        assert!(text.starts_with("group g, from 1970-01-01T00:00:00Z to 1970-01-01T00:00:01Z: 0 notes"), "{text}");
        assert!(text.contains("the books begin at 1970-01-01T00:00:00Z"), "{text}");
        assert!(text.ends_with("\nDIFFERENCE in q: 2 packets are lost\nthe books do not balance\n"), "{text}");
    }
}
