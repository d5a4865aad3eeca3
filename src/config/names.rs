//! Warns of names of exchanges and topics that are probably several names in one, or have signs of another file format.
//!
//! RabbitMQ takes them all: the agent would declare an exchange that nobody sends to, and hear nothing.

use super::options::{self, Kind, Opt};
use super::values::Values;
use crate::model::Complaint;

/// How many lines are written out of what was meant.
const LINES_MAX: usize = 3;

/// Warns of each that is written.
pub(super) fn complain(v: &mut Values<'_>) {
    for row in options::rows().filter(|row| names_one(row)) {
        let mut entries = v.many(row.section, row.name).unwrap_or_default();
        if row.kind != Kind::Multi {
            // The last one counts.
            entries.drain(..entries.len().saturating_sub(1));
        }
        for entry in entries {
            let names: Vec<&str> = match row.kind {
                // A comma at the end, or two in a row, are nobody's name.
                Kind::List => entry.text.split(',').map(str::trim).collect(),
                _ => vec![&entry.text],
            };
            for name in names {
                let Some(what) = odd(name) else { continue };
                let text = format!(
                    "[{}] {}: {name:?} is one name, with {what} in it; {}",
                    row.section,
                    row.name,
                    form(row, &entry.text)
                );
                v.complain(Complaint::warning(&entry.place, text));
            }
        }
    }
}

/// Whether an option is the name of an exchange or the topic of a queue.
fn names_one(row: &Opt) -> bool {
    row.effect == options::Effect::Honoured
        && (row.name.ends_with("_exchange")
            || row.name == "notification_control_exchanges"
            || row.name.ends_with("topic")
            || row.name == "topics")
}

/// The sign that no name is likely to have.
fn odd(name: &str) -> Option<&'static str> {
    let has = |signs: &[char]| name.contains(signs);
    match () {
        () if has(&['\n']) => Some("a line end"),
        () if name.contains(char::is_whitespace) => Some("a blank"),
        () if has(&['[', ']', '(', ')', '{', '}']) => Some("a bracket"),
        () if has(&['"', '\'']) => Some("a quote"),
        () if has(&[',', ';']) => Some("a comma or semicolon"),
        () => None,
    }
}

/// What to write for it.
fn form(row: &Opt, text: &str) -> String {
    let signs = |c: char| c.is_whitespace() || ",;[](){}\"'".contains(c);
    let meant: Vec<&str> = text.split(signs).filter(|name| !name.is_empty()).collect();
    match row.kind {
        Kind::List => format!("names are separated by commas alone: {} = {}", row.name, meant.join(",")),
        Kind::Multi if meant.len() > 1 => {
            let lines: Vec<String> =
                meant.iter().take(LINES_MAX).map(|name| format!("{} = {name}", row.name)).collect();
            let more = if meant.len() > LINES_MAX { ", and so on" } else { "" };
            format!("write one a line: {}{more}", lines.join(", then "))
        }
        _ => format!("write one name, without quotes: {} = {}", row.name, meant.first().unwrap_or(&"name")),
    }
}
