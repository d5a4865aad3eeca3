//! The words against reality: commands in README.md and docs/ run or parse, output is what comes out, links lead
//! somewhere, files, options and tests that are named exist.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "readme/interface.rs"]
mod interface;
#[path = "readme/pages.rs"]
mod pages;
#[path = "readme/words.rs"]
mod words;

use nephoscope::config::options;
use nephoscope::observe::Metrics;
use pages::{Block, Page, pages};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_nephoscope");

fn nephoscope(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(ROOT).env_remove("NEPHOSCOPE_LOG").output().unwrap()
}

fn page(name: &str) -> Page {
    pages().into_iter().find(|page| page.name == name).unwrap()
}

/// The pages that show what commands print.
fn shown() -> [Page; 2] {
    ["README.md", "docs/tutorial.md"].map(page)
}

/// All that is wrong, at once.
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        for link in page.links().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.path.clone() } else { page.path.parent().unwrap().join(file) };
            // A picture is no text, and a folder has none.
            let text = fs::read(&target).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let Ok(text) = text.or_else(|_| fs::read_dir(&target).map(|_| String::new())) else {
                wrong.push(format!("{}: {link}: there is no such file", page.name));
                continue;
            };
            if !anchor.is_empty() && !pages::anchors(&text).any(|known| known == anchor) {
                wrong.push(format!("{}: {link}: there is no such heading", page.name));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_file_that_is_named_exists() {
    let folders = ["src/", "tests/", "docs/", "config/", "deploy/", "benches/", ".ci/", ".github/"];
    let mut wrong = Vec::new();
    for page in pages() {
        for word in page.words().filter(|word| folders.iter().any(|folder| word.starts_with(folder))) {
            let path = word.trim_end_matches([',', '.', ';', ':']);
            if !path.contains(['<', '*', '…']) && !Path::new(ROOT).join(path).exists() {
                wrong.push(format!("{}: `{word}` does not exist", page.name));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_target_of_make_exists() {
    let makefile = fs::read_to_string(Path::new(ROOT).join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let mut wrong = Vec::new();
    for page in pages() {
        for command in page.commands("make ") {
            let target = command.split_whitespace().nth(1).unwrap();
            if !targets.contains(target) {
                wrong.push(format!("{}: `{command}`", page.name));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_command_and_option_of_nephoscope_is_in_its_help() {
    let mut wrong = Vec::new();
    for page in pages() {
        for command in page.commands("nephoscope ") {
            let mut words = command.split_whitespace().skip(1);
            let Some(subcommand) = words.next().filter(|word| !word.starts_with('-')) else { continue };
            // A command of a command has options of its own; another word changes nothing.
            let nested = words.clone().next().filter(|word| !word.starts_with('-'));
            let asked: Vec<&str> = [subcommand].into_iter().chain(nested).chain(["--help"]).collect();
            let help = nephoscope(&asked);
            let text = String::from_utf8(help.stdout).unwrap();
            if !help.status.success() {
                wrong.push(format!("{}: `{command}`: there is no {subcommand}", page.name));
            }
            let known: BTreeSet<&str> = text.split_whitespace().map(|word| word.trim_matches(',')).collect();
            for option in words.filter(|word| word.starts_with('-') && word.len() > 1) {
                if !known.contains(option) {
                    wrong.push(format!("{}: `{command}`: {subcommand} has no {option}", page.name));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_option_of_a_section_is_known() {
    let mut wrong = Vec::new();
    for page in pages().iter().filter(|page| page.name != "docs/options.md") {
        for code in page.code().filter(|code| code.starts_with('[')) {
            let Some((section, rest)) = code[1..].split_once("] ") else { continue };
            let name = rest.split([' ', '=']).next().unwrap();
            if options::find_written(section, name).is_none() && options::find_foreign(section, name).is_none() {
                wrong.push(format!("{}: `{code}`: no such option", page.name));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_metric_that_is_named_is_counted() {
    let metrics = Metrics::new();
    let known: BTreeSet<&str> = metrics.reference().split('`').skip(1).step_by(2).collect();
    let mut wrong = Vec::new();
    for page in pages() {
        for word in page.words().filter(|word| word.starts_with("nephoscope_")) {
            let name = word.split(['{', ' ', ',']).next().unwrap();
            // What a histogram consists of.
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            if !known.contains(name) {
                wrong.push(format!("{}: `{name}` is not counted", page.name));
            }
        }
    }
    assert_none(&wrong);
}

/// In tables of events: a first cell of dotted names.
#[test]
fn every_event_that_operating_lists_is_logged() {
    let page = page("docs/operating.md");
    let table = page.text.split("| event |").nth(1).unwrap().split("\n\n").next().unwrap();
    let first = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let events: Vec<&str> = first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(events.len() > 20, "{events:?}");
    let sources = pages::sources();
    let unknown = events.into_iter().filter(|event| !sources.contains(&format!("event = \"{event}\"")));
    assert_none(&unknown.map(|event| format!("`{event}` is not logged")).collect::<Vec<_>>());
}

#[test]
fn every_difference_names_a_test_that_there_is() {
    let page = page("docs/compatibility.md");
    let sources = pages::sources();
    let (mut wrong, mut names, mut table) = (Vec::new(), BTreeSet::new(), "");
    for line in page.text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            table = title;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if !line.starts_with("| ") || cells[0] == "name" {
            continue;
        }
        if !names.insert(cells[0].to_owned()) {
            wrong.push(format!("{} is there twice", cells[0]));
        }
        if table == "Not yet" {
            continue;
        }
        let tests: Vec<&str> = cells.last().unwrap().split('`').skip(1).step_by(2).collect();
        if cells.len() != 5 || tests.is_empty() {
            wrong.push(format!("{}: expected five cells, the last one with tests", cells[0]));
        }
        for test in tests.iter().filter(|test| !sources.contains(&format!("fn {test}("))) {
            wrong.push(format!("{}: there is no test {test}", cells[0]));
        }
    }
    assert_none(&wrong);
}

/// A numbered statement begins with its number; its tests stand behind `Held by`, up to its end.
#[test]
fn every_invariant_of_ownership_names_a_test_that_there_is() {
    let page = page("docs/ownership.md");
    let text = page.text.split("## Invariants").nth(1).unwrap().split("\n## ").next().unwrap();
    let sources = pages::sources();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for statement in text.split("\n\n").map(str::trim).filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
        count += 1;
        if !statement.starts_with(&format!("{count}. ")) {
            wrong.push(format!("expected number {count}: {statement}"));
        }
        let held = statement.split_once("Held by ").map_or("", |(_, held)| held);
        let tests: Vec<&str> = held.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            wrong.push(format!("no test holds {statement}"));
        }
        for test in tests.iter().filter(|test| !sources.contains(&format!("fn {test}("))) {
            wrong.push(format!("{count}: there is no test {test}"));
        }
    }
    // The tables name tests too; no option has so long a name.
    for test in page.code().filter(|code| code.matches('_').count() > 3 && !code.contains(['/', ' '])) {
        if !sources.contains(&format!("fn {test}(")) {
            wrong.push(format!("there is no test {test}"));
        }
    }
    assert!(count >= 10, "{count} invariants");
    assert_none(&wrong);
}

#[test]
fn pages_that_are_read_in_one_go_keep_their_length() {
    for (name, lines_max) in [("README.md", 90), ("docs/ownership.md", 120)] {
        let lines = page(name).text.lines().count();
        assert!(lines <= lines_max, "{name} has {lines} lines, at most {lines_max}");
    }
}

/// `convert` and `check` need no server: what the pages show is what comes out, apart from what `…` leaves out.
#[test]
fn what_the_pages_show_is_what_comes_out() {
    let (mut count, mut wrong) = (0, Vec::new());
    for page in shown() {
        for Block { command, output } in page.blocks() {
            let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
            if !command.starts_with("nephoscope ") || !["convert", "check"].contains(&arguments[0]) {
                continue;
            }
            count += 1;
            let came = nephoscope(&arguments);
            let came = [came.stderr, came.stdout].concat();
            if let Err(line) = pages::is_elided(&output, &String::from_utf8(came).unwrap(), str::to_owned) {
                wrong.push(format!("{}: `{command}` does not print: {line}", page.name));
            }
        }
    }
    assert!(count >= 2, "the tutorial shows what convert and check print");
    assert_none(&wrong);
}

/// The same for `make demo`, whatever the numbers.
#[test]
fn the_demo_prints_what_the_pages_show() {
    let folder = tempfile::tempdir().unwrap();
    let came = nephoscope(&["demo", "--output", folder.path().to_str().unwrap()]);
    assert!(came.status.success(), "{}", String::from_utf8_lossy(&came.stderr));
    let came = String::from_utf8(came.stdout).unwrap();
    assert!(came.contains(", lost 0\n"), "{came}");
    for page in shown() {
        let block = page.blocks().into_iter().find(|block| block.command == "make demo").unwrap();
        // What make and cargo say before it, and the folder after it where a page shows it, are not the demo's.
        let from = block.output.find("three agents").unwrap();
        let to = block.output.find("samples and events are in").unwrap_or(block.output.len());
        if let Err(line) = pages::is_elided(&block.output[from..to], &came, pages::without_numbers) {
            panic!("{}: `make demo` does not print: {line}\nbut\n{came}", page.name);
        }
    }
}
