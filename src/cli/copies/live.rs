//! What shadow shows while it runs: a screen on a terminal, a line from time to time elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use super::progress::{Progress, rate};
use crate::cli::cluster::table;
use crate::model::shown;
use crate::shadow::copies::CopyState;
use crate::shadow::own::Own;
use crate::shadow::tally::{Table, Tally};

/// Rows of each table on the screen.
const ROWS: usize = 8;
/// Characters of a name on the screen.
const NAME_CHARS_MAX: usize = 60;

/// The screen, or the lines.
pub(super) struct Live {
    screen: bool,
    progress: Progress,
    last: (Duration, u64, Own),
}

impl Live {
    /// `text`: the answer is printed as text, so that standard output may be a screen before.
    pub(super) fn new(text: bool) -> Live {
        let screen = text && io::stdout().is_terminal();
        Live { screen, progress: Progress::new(), last: (Duration::ZERO, 0, Own::now()) }
    }

    /// Shows how it stands, if it is time.
    pub(super) fn show(&mut self, tally: &Tally, state: &CopyState, since: Duration) {
        let (before, notifications, own) = self.last;
        let now = Own::now();
        let seconds = since.saturating_sub(before).as_secs_f64().max(0.001);
        let per_second = (tally.notifications - notifications) as f64 / seconds;
        let cpu = now.cpu.saturating_sub(own.cpu).as_secs_f64() / seconds * 100.0;
        self.last = (since, tally.notifications, now);
        let line = || {
            let mut line = format!(
                "{} notifications ({}/s), {} samples, {} events, {} complaints, {}; CPU {cpu:.0} %, {} MiB",
                tally.notifications,
                rate(per_second),
                tally.samples,
                tally.events,
                tally.complaints,
                state.lost,
                now.memory_bytes >> 20,
            );
            if let Some(why) = &state.away {
                line.push_str("; a broker is away: ");
                line.push_str(&shown::on_one_line(why, NAME_CHARS_MAX));
            }
            line
        };
        if !self.screen {
            self.progress.say(line);
            return;
        }
        let mut text =
            format!("\x1b[H\x1b[Jnephoscope shadow, for {} s; Ctrl-C ends it\n{}\n", since.as_secs(), line());
        for (title, rows) in [
            ("METER", &tally.by_meter),
            ("EVENT TYPE OF EVENTS", &tally.by_event_type),
            ("COMPLAINT", &tally.by_complaint),
        ] {
            if !rows.rows().is_empty() {
                text.push('\n');
                text.push_str(&rows_shown(title, rows, ROWS, NAME_CHARS_MAX));
            }
        }
        let mut out = io::stdout().lock();
        // Whoever has closed the terminal looks at nothing.
        let _written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Leaves the screen to what is printed next.
    pub(super) fn done(&self) {
        self.progress.done();
        if self.screen {
            let mut out = io::stdout().lock();
            let _written = out.write_all(b"\x1b[H\x1b[J").and_then(|()| out.flush());
        }
    }
}

/// A table of counts, the largest first.
pub(super) fn rows_shown(title: &str, counts: &Table, rows_max: usize, chars_max: usize) -> String {
    let all = counts.largest_first();
    let mut rows: Vec<[String; 2]> = all
        .iter()
        .take(rows_max)
        .map(|(name, count)| [count.to_string(), shown::on_one_line(name, chars_max)])
        .collect();
    let rest = all.iter().skip(rows_max).map(|(_, count)| count).sum::<u64>() + counts.other();
    if rest > 0 {
        rows.push([rest.to_string(), "(other)".to_owned()]);
    }
    table(["COUNT", title], &rows)
}
