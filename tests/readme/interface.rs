//! `docs/interface.md` against the program: everything that it lists is there, and everything that is there is listed.

use super::pages::{self, Page};
use super::{assert_none, nephoscope, page};
use nephoscope::observe::Metrics;
use std::collections::BTreeSet;

/// The first cells of the table with this title in its first column, without their ticks.
fn first_cells(page: &Page, title: &str) -> BTreeSet<String> {
    let table = page.text.split(&format!("\n| {title} |")).nth(1).unwrap_or_default();
    assert!(!table.is_empty(), "no table of {title}");
    let rows = table.split("\n\n").next().unwrap().lines().skip(2);
    let first = rows.filter_map(|row| row.strip_prefix("| ")?.split(" | ").next());
    first.flat_map(|cell| cell.split(", ")).map(|word| word.trim_matches('`').to_owned()).collect()
}

/// What is on one side only.
fn assert_equal(listed: &BTreeSet<String>, there: &BTreeSet<String>) {
    let unknown = listed.difference(there).map(|name| format!("`{name}` is listed and not there"));
    let unlisted = there.difference(listed).map(|name| format!("`{name}` is there and not listed"));
    assert_none(&unknown.chain(unlisted).collect::<Vec<_>>());
}

/// The commands below `nephoscope WORDS`, as its help lists them.
fn commands_below(words: &[&str]) -> Vec<String> {
    let help = nephoscope(&[words, &["--help"]].concat());
    let text = String::from_utf8(help.stdout).unwrap();
    let Some((_, list)) = text.split_once("\nCommands:\n") else { return Vec::new() };
    let names =
        list.split("\n\n").next().unwrap().lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_is_in_the_interface() {
    let mut there = BTreeSet::new();
    for command in commands_below(&[]) {
        let below = commands_below(&[&command]);
        if below.is_empty() {
            there.insert(format!("nephoscope {command}"));
        }
        there.extend(below.iter().map(|name| format!("nephoscope {command} {name}")));
    }
    assert!(there.len() > 15, "{there:?}");
    assert_equal(&first_cells(&page("docs/interface.md"), "command"), &there);
}

#[test]
fn every_label_is_in_the_interface() {
    let metrics = Metrics::new();
    let rows = metrics.reference().lines().filter_map(|row| row.split(" | ").nth(2));
    let labels = rows.flat_map(|cell| cell.split(", ")).map(|label| label.trim_matches('`').trim().to_owned());
    assert_equal(
        &first_cells(&page("docs/interface.md"), "label"),
        &labels.filter(|label| !label.is_empty()).collect(),
    );
}

#[test]
fn every_log_event_is_in_the_interface_and_has_three_parts() {
    let sources = pages::product();
    let named = sources.split("event = \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let there: BTreeSet<String> = named.filter(|name| name.contains('.')).collect();
    let parts = |name: &&String| {
        let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        name.split('.').count() == 3 && name.split('.').all(word)
    };
    let odd = there.iter().filter(|name| !parts(name)).map(|name| format!("`{name}` is not area.thing.happened"));
    assert_none(&odd.collect::<Vec<_>>());
    assert_equal(&first_cells(&page("docs/interface.md"), "event"), &there);
}

/// A log line of ours without a name could not be found by a script.
#[test]
fn every_log_line_has_a_name() {
    let mut nameless = Vec::new();
    let sources = pages::product();
    for level in ["trace!(", "debug!(", "info!(", "warn!(", "error!("] {
        for call in sources.split(level).skip(1) {
            if !call.trim_start().starts_with("event = \"") {
                nameless.push(format!("{level}{}", call.trim_start().lines().next().unwrap()));
            }
        }
    }
    assert_none(&nameless);
}

#[test]
fn every_path_is_in_the_interface() {
    let sources = pages::product();
    let routes = sources.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    assert_equal(&first_cells(&page("docs/interface.md"), "path"), &routes.collect());
}
