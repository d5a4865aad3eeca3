//! Publishers: what Ceilometer put on the wire, and what a real Gnocchi then held (format in `../README.md`).
//!
//! Where ours does otherwise on purpose, the comparison asks what ours must do there instead, and names the row of
//! `docs/compatibility.md` that says so. Which line differs by which rows stands in `differences/NAME.txt`, and must be exactly what
//! the run finds (`NEPHOSCOPE_REGENERATE=1` writes it). With `NEPHOSCOPE_VECTORS=DIR` the cases are `DIR/publishers/*.jsonl`: there
//! too nothing may differ but by a row.

mod case;
mod drive;
mod files;
mod gnocchi;
mod notifier;
mod opentelemetry;
mod prometheus;
mod server;
mod sockets;
mod state;
mod web;

use futures_util::StreamExt;
use nephoscope::model::{Dict, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Rows of `docs/compatibility.md` by which a case differs from Ceilometer; or what differs without one.
type Judged = Result<BTreeSet<&'static str>, String>;

/// At once: most of them wait.
const CASES_AT_ONCE: usize = 16;
/// How much of what differs is printed, in characters.
const PRINTED_MAX: usize = 30_000;

const LISTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/publishers/differences");

fn file(name: &str) -> PathBuf {
    crate::folder().join("publishers").join(format!("{name}.jsonl"))
}

/// The cases of a publisher with their lines (from 1); nothing where another folder has none.
fn cases(name: &str) -> Vec<(usize, Dict)> {
    let path = file(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("NEPHOSCOPE_VECTORS").is_some(), "{} is missing", path.display());
        println!("publishers {name}: skipped, no {}", path.display());
        return Vec::new();
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let case = |(n, line): (usize, &str)| match json::read(line.as_bytes()).unwrap() {
        Value::Dict(case) => (n + 1, case),
        _ => panic!("{name}.jsonl:{}: not an object", n + 1),
    };
    let only: Option<usize> = std::env::var("NEPHOSCOPE_CASE").ok().map(|line| line.parse().unwrap());
    lines.map(case).filter(|(line, _)| only.is_none_or(|only| only == *line)).collect()
}

/// Judges every case of a publisher; fails where one differs without a row, or by other rows than the list has.
async fn run<F: Future<Output = Judged>>(name: &'static str, judge: impl Fn(Dict) -> F) {
    let judged = futures_util::stream::iter(cases(name))
        .map(|(line, case)| {
            let about = case::text(&case, "name").to_owned();
            let judged = judge(case);
            async move { (line, about, judged.await) }
        })
        .buffered(CASES_AT_ONCE)
        .collect()
        .await;
    conclude(name, judged);
}

fn conclude(name: &str, judged: Vec<(usize, String, Judged)>) {
    let (mut failures, mut rows) = (Vec::new(), BTreeMap::new());
    let total = judged.len();
    for (line, about, judged) in judged {
        match judged {
            Ok(by) if by.is_empty() => {}
            Ok(by) => drop(rows.insert(line, by.into_iter().map(str::to_owned).collect::<Vec<_>>())),
            Err(why) => failures.push(format!("{name}.jsonl:{line} ({about}): {why}")),
        }
    }
    println!("publishers {name}: {total} cases, {} differ on purpose, {} otherwise", rows.len(), failures.len());
    let text = failures.join("\n").chars().take(PRINTED_MAX).collect::<String>();
    assert!(failures.is_empty(), "{} differences without a row:\n{text}", failures.len());
    if total > 0 {
        every_row_is_in_the_documentation(&rows);
        if std::env::var_os("NEPHOSCOPE_VECTORS").is_none() && std::env::var_os("NEPHOSCOPE_CASE").is_none() {
            compare_with_list(name, &rows);
        }
    }
}

fn every_row_is_in_the_documentation(rows: &BTreeMap<usize, Vec<String>>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compatibility.md");
    let table = std::fs::read_to_string(path).unwrap();
    for row in rows.values().flatten().collect::<BTreeSet<_>>() {
        assert!(table.contains(&format!("\n| {row} |")), "docs/compatibility.md has no row {row}");
    }
}

fn compare_with_list(name: &str, rows: &BTreeMap<usize, Vec<String>>) {
    let path = format!("{LISTS}/{name}.txt");
    let found: String = rows.iter().map(|(line, rows)| format!("{line} {}\n", rows.join(" "))).collect();
    if std::env::var_os("NEPHOSCOPE_REGENERATE").is_some() {
        std::fs::write(path, found).unwrap();
        return;
    }
    let listed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, listed, "the deliberate differences of {name} are not those of {path}");
}

/// What is not the same, shown.
fn differs(what: &str, ours: &Value, recorded: &Value) -> Result<(), String> {
    if crate::same(ours, recorded) {
        return Ok(());
    }
    let shown = |value: &Value| json::to_string(value).chars().take(1_500).collect::<String>();
    Err(format!("{what}: ours {}, recorded {}", shown(ours), shown(recorded)))
}
