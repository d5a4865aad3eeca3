//! What `nephoscope doctor` prints, as text and as JSON.
//!
//! Servers' words stand in it: names of queues and policies, refusals. On a terminal, characters that would do something there are
//! shown by their numbers.

use serde::Serialize;
use std::fmt::Write as _;

use crate::cli::cluster::Answer;
use crate::doctor::{Finding, Report};
use crate::model::shown::without_secrets;

/// Characters of one server's text that are shown.
const CHARACTERS_MAX: usize = 600;

/// A report, to be printed.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Found(pub(super) Report);

impl Answer for Found {
    fn text(&self) -> String {
        let Report { errors, warnings, notes, findings } = &self.0;
        let mut out =
            format!("{}, {}, {}\n", counted(*errors, "error"), counted(*warnings, "warning"), counted(*notes, "note"));
        for finding in findings {
            let Finding { severity, id, object, found, meaning, mend } = finding;
            let [object, found, mend] = [object, found, mend].map(|text| plain(&without_secrets(text)));
            // Writing to a string cannot fail.
            let _written = write!(
                out,
                "\n{:<8} {id}  {object}\n         found: {found}\n         means: {meaning}\n         mend:  {mend}\n",
                severity.name()
            );
        }
        out
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A text in which no character moves the cursor, hides or turns text round: such a one is shown by its number.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (n, c) in text.chars().enumerate() {
        if n == CHARACTERS_MAX {
            out.push('…');
            break;
        }
        match c {
            '\n' | '\t' => out.push(' '),
            c if c.is_control() || acts(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Marks that have no width, and those that turn the direction of text.
fn acts(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("notifications.info", "notifications.info")]
    #[case("a\u{1b}[2Jb", "a\\u{1b}[2Jb")]
    #[case("a\u{202e}b\u{200b}", "a\\u{202e}b\\u{200b}")]
    #[case("a\nb", "a b")]
    #[case("é ü 中", "é ü 中")]
    fn a_text_does_nothing_on_a_terminal(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(plain(text), shown);
    }

    #[test]
    fn a_text_without_end_is_cut() {
        assert_eq!(plain(&"x".repeat(10_000)).chars().count(), CHARACTERS_MAX + 1);
    }
}
