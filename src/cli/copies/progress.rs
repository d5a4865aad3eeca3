//! How far a command is, on standard error: one line that is written anew on a terminal, a line from time to time elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Between two looks on a terminal, and between two lines elsewhere.
const ON_A_TERMINAL: Duration = Duration::from_secs(1);
const ELSEWHERE: Duration = Duration::from_secs(10);
/// Cells of the bar.
const BAR: u64 = 20;

/// A line about what goes on.
pub(super) struct Progress {
    terminal: bool,
    said: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { terminal: io::stderr().is_terminal(), said: None }
    }

    /// Says it if it is time.
    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        let interval = if self.terminal { ON_A_TERMINAL } else { ELSEWHERE };
        if self.said.is_none_or(|said| said.elapsed() >= interval) {
            self.said = Some(Instant::now());
            self.write(&line());
        }
    }

    fn write(&self, line: &str) {
        let mut out = io::stderr().lock();
        // A closed standard error needs no progress.
        let _written = if self.terminal {
            write!(out, "\r\x1b[K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }

    /// Leaves the line: what is printed next begins a new one.
    pub(super) fn done(&self) {
        if self.terminal && self.said.is_some() {
            self.write("");
        }
    }
}

/// `[#####---------------]  25 %`
pub(super) fn bar(done: u64, all: u64) -> String {
    let all = all.max(1);
    let done = done.min(all);
    let (cells, percent) = (done.saturating_mul(BAR) / all, done.saturating_mul(100) / all);
    let full = "#".repeat(usize::try_from(cells).unwrap_or_default());
    let rest = "-".repeat(usize::try_from(BAR - cells).unwrap_or_default());
    format!("[{full}{rest}] {percent:>3} %")
}

/// A rate with as many digits as it needs.
pub(super) fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        assert_eq!(bar(0, 10), "[--------------------]   0 %");
        assert_eq!(bar(5, 20), "[#####---------------]  25 %");
        assert_eq!(bar(20, 20), "[####################] 100 %");
        assert_eq!(bar(1, 0), "[####################] 100 %");
        assert_eq!(bar(u64::MAX / 200, u64::MAX).len(), 28);
    }
}
