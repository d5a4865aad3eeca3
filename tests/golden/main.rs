//! Recorded cases: inputs, and what the real Ceilometer answered (format in `README.md` beside this file).
//!
//! `NEPHOSCOPE_VECTORS` names another folder of the same file names; a file absent there is skipped.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod events;
mod filters;
mod meters;
mod paths;
mod publishers;
#[path = "../rig/mod.rs"]
mod rig;
mod signatures;
mod transformers;

use nephoscope::model::{Dict, Value, json};
use std::path::PathBuf;

/// The kinds of cases there are: one file each.
const KINDS: [&str; 6] = ["paths", "meters", "events", "filters", "signatures", "transformers"];

fn folder() -> PathBuf {
    match std::env::var_os("NEPHOSCOPE_VECTORS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden"),
    }
}

#[test]
fn at_least_one_file_of_cases_is_there() {
    let found = KINDS.iter().filter(|kind| folder().join(format!("{kind}.jsonl")).exists()).count();
    let found = found + std::fs::read_dir(folder().join("publishers")).map_or(0, Iterator::count);
    assert!(found > 0, "no file of cases in {}: nothing would be tested", folder().display());
}

/// A difference from Ceilometer that is meant: the line's number (from 1) in the project's own file, and the row of
/// `docs/compatibility.md` that says so.
struct Deliberate {
    line: usize,
    row: &'static str,
}

/// Runs every case of a kind; prints passed and failed; fails unless exactly the deliberate ones differ.
///
/// `check` gives `Err(what is different)`. Deliberate differences are asserted for the project's own cases; in another
/// folder, where the lines are others, they are recognised by the text that `check` gives for them: `row: …`.
fn run(kind: &str, deliberate: &[Deliberate], check: impl Fn(&Dict) -> Result<(), String>) {
    let file = folder().join(format!("{kind}.jsonl"));
    let own = std::env::var_os("NEPHOSCOPE_VECTORS").is_none();
    let Ok(text) = std::fs::read_to_string(&file) else {
        assert!(!own, "{} is missing", file.display());
        println!("{kind}: skipped, no {}", file.display());
        return;
    };
    let (mut passed, mut failures, mut differing) = (0, Vec::new(), Vec::new());
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Value::Dict(case) = json::read(line.as_bytes()).unwrap() else { panic!("line {}: not an object", n + 1) };
        match check(&case) {
            Ok(()) => passed += 1,
            Err(why) if !own && deliberate.iter().any(|d| why.starts_with(&format!("{}: ", d.row))) => passed += 1,
            Err(why) => {
                differing.push(n + 1);
                failures.push(format!("{kind}.jsonl:{}: {why}", n + 1));
            }
        }
    }
    let meant: Vec<usize> = deliberate.iter().map(|d| d.line).collect();
    println!("{kind}: {passed} passed, {} failed, {} of them deliberate differences", differing.len(), meant.len());
    for d in deliberate {
        println!("  deliberate: {kind}.jsonl:{} see docs/compatibility.md, row {}", d.line, d.row);
    }
    if own {
        assert!(
            differing == meant,
            "unexpected differences:\n{}",
            failures.join("\n").chars().take(20_000).collect::<String>()
        );
    } else {
        assert!(failures.is_empty(), "differences:\n{}", failures.join("\n").chars().take(20_000).collect::<String>());
    }
}

/// Equal by value and type; the order of keys does not count.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Dict(a), Value::Dict(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::Float(a), Value::Float(b)) => {
            a.is_nan() && b.is_nan() || a.partial_cmp(b) == Some(std::cmp::Ordering::Equal)
        }
        (a, b) => a == b,
    }
}
