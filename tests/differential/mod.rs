//! The installed Ceilometer and ours, asked the same: notifications that were changed at random, the shipped
//! definitions, the installed package's own, and definitions made of every construct of the dialect (`dialect/`).
//!
//! Debian's `python3-ceilometer` is 19.0.0, while the cases of `tests/golden` were recorded from the development tree:
//! where the two differ, the development tree wins, and the difference stands in [`known`].
//!
//! `NEPHOSCOPE_DIFFERENTIAL_SEED` and `NEPHOSCOPE_DIFFERENTIAL_CASES` choose other notifications and more of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod mutation;

use nephoscope::model::{Dict, Notification, Value, envelope, json};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The interpreter whose packages Debian installs.
const PYTHON: &str = "/usr/bin/python3";
/// Notifications for each set of definitions.
const CASES: u64 = 1_500;
/// Differences that are printed, the smallest notifications first.
const SHOWN_MAX: usize = 5;

#[test]
fn the_shipped_definitions_give_what_the_installed_ceilometer_gives() {
    let Some(_) = installed() else { return };
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    compare("shipped", &own.join("meters.d"), &own.join("event_definitions.yaml"));
}

#[test]
fn the_installed_definitions_give_what_the_installed_ceilometer_gives() {
    let Some(installed) = installed() else { return };
    compare("installed", &installed.join("data/meters.d"), &installed.join("pipeline/data/event_definitions.yaml"));
}

#[test]
fn every_construct_gives_what_the_installed_ceilometer_gives() {
    let Some(_) = installed() else { return };
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/dialect");
    compare("dialect", &own.join("meters.d"), &own.join("event_definitions.yaml"));
}

/// Where the package is; or the reason why there is nothing to compare with.
fn installed() -> Option<PathBuf> {
    let ask = "import ceilometer, os; print(os.path.dirname(ceilometer.__file__))";
    let answer = Command::new(PYTHON).args(["-c", ask]).output();
    match answer {
        Ok(answer) if answer.status.success() => Some(PathBuf::from(String::from_utf8(answer.stdout).unwrap().trim())),
        _ => {
            println!("skipped: no Ceilometer for {PYTHON} (apt-get install python3-ceilometer)");
            None
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: not a number")))
}

/// The bundled notifications, in the shape that definitions look at.
fn bundled() -> Vec<Notification> {
    let lines = include_str!("../../config/notifications.jsonl").lines();
    lines.map(|line| envelope::open(line.as_bytes()).unwrap()).collect()
}

/// Lines of `{"message", "priority"}`: the bundled notifications as they are, then changed ones.
fn inputs(seed: u64, cases: u64) -> Vec<String> {
    let bundled = bundled();
    let donors: Vec<Dict> = bundled.iter().map(|n| n.root().as_dict().unwrap().clone()).collect();
    let line = |root: Dict, priority: &str| {
        json::to_string(&Value::from(Dict::from_iter([("message", Value::from(root)), ("priority", priority.into())])))
    };
    let plain = bundled.iter().zip(&donors).map(|(n, root)| line(root.clone(), n.priority().name()));
    let mut lines: Vec<String> = plain.collect();
    for n in 0..cases {
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(n));
        let of = usize::try_from(n).unwrap() % donors.len();
        let mut root = donors[of].clone();
        mutation::mutate(&mut root, &donors, &mut rng);
        let priority = ["info", "info", "info", "sample", "error"][usize::try_from(n / 7).unwrap() % 5];
        lines.push(line(root, priority));
    }
    lines
}

fn compare(title: &str, meters: &Path, events: &Path) {
    let seed = setting("NEPHOSCOPE_DIFFERENTIAL_SEED", 1);
    let lines = inputs(seed, setting("NEPHOSCOPE_DIFFERENTIAL_CASES", CASES));
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("notifications.jsonl");
    std::fs::write(&input, lines.join("\n") + "\n").unwrap();
    let theirs = theirs(&input, meters, events);
    let ours = ours(folder.path(), &input, meters, events);
    assert_eq!((theirs.len(), ours.len()), (lines.len(), lines.len()), "every notification has an answer");
    let mut differences = Vec::new();
    let mut met = std::collections::BTreeMap::new();
    for ((line, theirs), ours) in lines.iter().zip(&theirs).zip(&ours) {
        let Some(why) = difference(theirs, ours) else { continue };
        match known(line, &why) {
            Some(row) => *met.entry(row).or_insert(0) += 1,
            None => differences.push((line, why)),
        }
    }
    println!("{title}: {} notifications, {} unexpected differences (seed {seed})", lines.len(), differences.len());
    for (row, times) in met {
        println!("  known, {times} times: docs/compatibility.md, row {row}");
    }
    differences.sort_by_key(|(line, _)| line.len());
    let mut shown = String::new();
    for (line, why) in differences.iter().take(SHOWN_MAX) {
        write!(shown, "\n{why}\n  of {line}").unwrap();
    }
    assert!(differences.is_empty(), "{} differences, seed {seed}:{shown}", differences.len());
}

/// Differences that are meant: the row of `docs/compatibility.md` that says so.
fn known(line: &str, why: &str) -> Option<&'static str> {
    // A sample's name, timestamp and source are text here; Ceilometer carries anything along.
    let polled = line.contains(r#""event_type":"telemetry.polling"#);
    let refused = why.contains("polled sample") && ["TypeError: ", "counter_type is "].iter().any(|t| why.contains(t));
    if polled && (refused || why.contains(", source: ")) {
        return Some("polled-sample-types");
    }
    // Release 19 does not look at the type yet.
    if why.contains("ValueError: the type is") {
        return Some("partial-lookup");
    }
    // Ceilometer carries it to its pipelines, whose filters raise.
    why.contains("TypeError: the name is no text").then_some("sample-names")
}

fn theirs(input: &Path, meters: &Path, events: &Path) -> Vec<Dict> {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/ceilometer_answers.py");
    let mut python = Command::new(PYTHON);
    python.arg(driver).args([meters, events]).stdin(std::fs::File::open(input).unwrap());
    answers(python)
}

fn ours(folder: &Path, input: &Path, meters: &Path, events: &Path) -> Vec<Dict> {
    let config = folder.join("ceilometer.conf");
    let text = format!(
        "[meter]\nmeter_definitions_dirs = {}\n[event]\ndefinitions_cfg_file = {}\nstore_raw = error\n",
        meters.display(),
        events.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut convert = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    convert.args(["convert", "--definitions-only", "-o", "json-python", "--config-file"]).arg(config).arg(input);
    answers(convert)
}

fn answers(mut command: Command) -> Vec<Dict> {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let read = |line: &[u8]| match json::read(line) {
        Ok(Value::Dict(answer)) => answer,
        other => panic!("{command:?} answers {other:?}"),
    };
    output.stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(read).collect()
}

/// What differs: the first sample or the event, then what was raised and is not complained of, or the other way round.
fn difference(theirs: &Dict, ours: &Dict) -> Option<String> {
    let list = |of: &Dict, key: &str| of.get(key).and_then(Value::as_list).unwrap_or_default().to_vec();
    let complaints = list(ours, "complaints");
    for key in ["samples", "events"] {
        let (theirs, ours) = (list(theirs, key), list(ours, key));
        if theirs.len() != ours.len() {
            let names = |all: &[Value]| all.iter().map(|s| shown(s.as_dict().and_then(|d| d.get("name")))).collect();
            let (theirs, ours): (Vec<_>, Vec<_>) = (names(&theirs), names(&ours));
            return Some(format!("{key}: theirs {theirs:?}, ours {ours:?}; {}", shown(Some(&complaints.into()))));
        }
        for (n, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
            let (theirs, ours) = (theirs.as_dict().unwrap(), ours.as_dict().unwrap());
            // An id is made anew by Ceilometer; names of users and projects came after its release 19.
            let compared = |key: &&str| !["id", "user_name", "project_name"].contains(key);
            for name in theirs.iter().map(|(key, _)| key).filter(compared) {
                if !theirs.get(name).zip(ours.get(name)).is_some_and(|(a, b)| same(a, b)) {
                    let (theirs, ours) = (shown(theirs.get(name)), shown(ours.get(name)));
                    return Some(format!("{key} {n}, {name}: theirs {theirs}, ours {ours}"));
                }
            }
        }
    }
    let classes = list(theirs, "errors");
    let mut texts: Vec<String> = complaints.iter().filter_map(|c| c.as_str().map(str::to_owned)).collect();
    for class in classes.iter().filter_map(Value::as_str) {
        match texts.iter().position(|text| text.contains(&format!("{class}:"))) {
            Some(at) => drop(texts.remove(at)),
            None => return Some(format!("errors: theirs {class}, ours {texts:?}")),
        }
    }
    let raised = texts.iter().find(|text| text.contains("Error: ") || text.contains("Exception: "));
    raised.map(|text| format!("errors: ours alone {text}"))
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("nothing".to_owned(), json::to_string)
}

/// Equal by value and type; the order of keys does not count.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Dict(a), Value::Dict(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).is_none_or(std::cmp::Ordering::is_eq),
        (a, b) => a == b,
    }
}
