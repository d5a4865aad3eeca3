//! The rules of docs/architecture.md that a machine can hold.
//!
//! - A room names only the rooms above it in the list of `src/lib.rs`; `convert`, `pipeline` and `cluster` never name
//!   each other.
//! - A client library is named only in its room; the pure floor knows no runtime, clock, log or socket.
//! - No junk drawers; every `mod.rs` is a front door; `src/lib.rs` lists every room.
//! - No files that name each other in a circle; no file above 400 lines; no folder of more than twelve files.
//!
//! Each rule is a function from source text to complaints, and is shown below to complain about a bad example.

#[path = "architecture/links.rs"]
mod links;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/the_rules_can_fail.rs"]
mod the_rules_can_fail;

use links::Links;
use source::{Source, Tree};
use std::collections::BTreeMap;
use std::path::Path;

/// Rooms that sit side by side and are assembled in `agent`, although they are listed one after another.
const SIDE_BY_SIDE: [&str; 3] = ["convert", "pipeline", "cluster"];

/// No async, clock, I/O or logging: the rooms, and the paths that would bring them in.
const PURE: [&str; 7] = ["model", "yaml", "convert", "pipeline", "cluster", "state", "books"];
const IMPURE: [&str; 17] = [
    "async_trait",
    "chrono::Local",
    "chrono::Utc::now",
    "fastrand",
    "futures_util",
    "rand",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tokio_util",
    "tracing",
    "tracing_subscriber",
];

/// Library → the room that is the only one to name it.
const ONLY_IN: [(&str, &str); 13] = [
    ("lapin", "transport"),
    ("etcd_client", "coordination"),
    ("reqwest", "publish"),
    ("axum", "observe"),
    ("hyper", "observe"),
    ("hyper_util", "observe"),
    ("prometheus_client", "observe"),
    ("tracing_subscriber", "observe"),
    ("sd_notify", "observe"),
    ("clap", "cli"),
    ("clap_complete", "cli"),
    ("clap_mangen", "cli"),
    ("crossterm", "cli"),
];

/// Names that say nothing about what is inside, so that everything ends up there.
const JUNK_DRAWERS: [&str; 10] =
    ["utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "shared", "stuff"];

/// Lines of a file, blank ones, comments and tests counted.
const LINES_MAX: usize = 400;
/// Files of a folder, `mod.rs` counted, folders in it not.
const FILES_MAX: usize = 12;

/// Where a rule does not hold yet. A place at which it holds by now must leave the list.
const CIRCLES_LEFT: [&str; 0] = [];
const LONG_FILES_LEFT: [&str; 0] = [];
const FULL_FOLDERS_LEFT: [&str; 0] = [];

#[test]
fn rooms_look_only_upward() {
    assert_none(&Tree::of_this_crate(), looks_down);
}

#[test]
fn a_client_library_is_named_only_in_its_room() {
    assert_none(&Tree::of_this_crate(), names_a_foreign_library);
}

#[test]
fn the_pure_floor_is_pure() {
    assert_none(&Tree::of_this_crate(), is_impure);
}

#[test]
fn the_member_that_others_use_depends_on_nothing_impure() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/convert/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap_or_default();
    assert!(manifest.contains("[dependencies]"));
    assert_eq!(impure_dependencies(&manifest), Vec::<&str>::new());
}

#[test]
fn no_file_is_a_junk_drawer() {
    assert_none(&Tree::of_this_crate(), is_a_junk_drawer);
}

#[test]
fn every_mod_rs_is_a_front_door() {
    assert_none(&Tree::of_this_crate(), has_no_front_door);
}

#[test]
fn the_map_lists_every_room() {
    let tree = Tree::of_this_crate();
    assert_eq!(tree.unlisted_rooms(), Vec::<String>::new(), "in src/, but not in src/lib.rs");
    let listed: Vec<&str> = PURE.into_iter().chain(ONLY_IN.iter().map(|(_, room)| *room)).collect();
    for room in listed {
        assert!(tree.rooms.iter().any(|known| known == room), "the rules name {room}, which src/lib.rs does not");
    }
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    assert_only(&Links::of(&Tree::of_this_crate()).circles(), &CIRCLES_LEFT);
}

#[test]
fn no_file_is_too_long() {
    assert_only(&too_long(&Tree::of_this_crate()), &LONG_FILES_LEFT);
}

#[test]
fn no_folder_is_too_full() {
    assert_only(&too_full(&Tree::of_this_crate()), &FULL_FOLDERS_LEFT);
}

/// Complaints begin with their place.
fn assert_only(complaints: &[String], left: &[&str]) {
    let (unexpected, unneeded) = against(complaints, left);
    assert!(unexpected.is_empty(), "\n{}", unexpected.join("\n"));
    assert!(unneeded.is_empty(), "the rule holds there by now: take it off the list: {}", unneeded.join(", "));
}

/// The complaints of no place in the list, and the places in the list without a complaint.
fn against<'a>(complaints: &'a [String], left: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let unexpected = complaints.iter().map(String::as_str);
    let unexpected = unexpected.filter(|complaint| !left.iter().any(|place| complaint.starts_with(place)));
    let unneeded = left.iter().filter(|place| !complaints.iter().any(|complaint| complaint.starts_with(**place)));
    (unexpected.collect(), unneeded.copied().collect())
}

fn too_long(tree: &Tree) -> Vec<String> {
    let lines = tree.sources.iter().map(|source| (&source.file, source.text.lines().count()));
    let long = lines.filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(file, lines)| format!("{file} has {lines} lines: find its second noun")).collect()
}

fn too_full(tree: &Tree) -> Vec<String> {
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    for source in &tree.sources {
        *files.entry(source.file.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default() += 1;
    }
    let full = files.into_iter().filter(|(_, files)| *files > FILES_MAX);
    full.map(|(folder, files)| format!("{folder} has {files} files: find its second room")).collect()
}

fn assert_none(tree: &Tree, rule: fn(&Tree, &Source) -> Vec<String>) {
    let complaints: Vec<String> = tree.sources.iter().flat_map(|source| rule(tree, source)).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// A room may name itself and what is above it. `lib.rs` and `main.rs` are no room and may name all.
fn looks_down(tree: &Tree, source: &Source) -> Vec<String> {
    let Some(room) = Tree::room_of(source) else { return Vec::new() };
    let place = |name: &str| tree.rooms.iter().position(|known| known == name);
    let mut complaints = Vec::new();
    for (line, path) in source.paths() {
        let Some(other) = tree.room_named(source, &path) else { continue };
        if other == room {
            continue;
        }
        if place(&other) > place(&room) {
            complaints.push(format!("{}:{line} {room} names {other}, which is below it in src/lib.rs", source.file));
        } else if SIDE_BY_SIDE.contains(&room.as_str()) && SIDE_BY_SIDE.contains(&other.as_str()) {
            complaints.push(format!("{}:{line} {room} names {other}; they are side by side", source.file));
        }
    }
    complaints
}

fn names_a_foreign_library(_: &Tree, source: &Source) -> Vec<String> {
    let room = Tree::room_of(source).unwrap_or_else(|| "the top".to_owned());
    let mut complaints = Vec::new();
    for (line, path) in source.paths() {
        for (library, home) in ONLY_IN {
            if path[0] == library && room != home {
                complaints.push(format!("{}:{line} {library} is named in {room}; it belongs to {home}", source.file));
            }
        }
    }
    complaints
}

fn is_impure(_: &Tree, source: &Source) -> Vec<String> {
    if !Tree::room_of(source).is_some_and(|room| PURE.contains(&room.as_str())) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (line, path) in source.paths() {
        let whole = path.join("::");
        if let Some(impure) = IMPURE.iter().find(|bad| whole == **bad || whole.starts_with(&format!("{bad}::"))) {
            complaints.push(format!("{}:{line} {impure} on the pure floor", source.file));
        }
        // `Utc::now()` and `Instant::now()` by their short names, whatever they were imported as.
        if path.len() > 1
            && path[path.len() - 1] == "now"
            && ["Utc", "Local", "Instant", "SystemTime"].contains(&path[path.len() - 2].as_str())
        {
            complaints.push(format!("{}:{line} {whole} on the pure floor: time comes in as an argument", source.file));
        }
    }
    for (line, word) in source.words() {
        if word == "async" || word == "await" || word == "println" || word == "eprintln" {
            complaints.push(format!("{}:{line} `{word}` on the pure floor", source.file));
        }
    }
    complaints
}

/// Libraries of a manifest that only the edge of the house may have.
fn impure_dependencies(manifest: &str) -> Vec<&str> {
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let names = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split([' ', '=']).next());
    let is_impure = |name: &&str| {
        let name = name.replace('-', "_");
        IMPURE.contains(&name.as_str()) || ONLY_IN.iter().any(|(library, _)| *library == name)
    };
    names.filter(is_impure).collect()
}

fn is_a_junk_drawer(_: &Tree, source: &Source) -> Vec<String> {
    let parts = source.file.trim_end_matches(".rs").split('/');
    parts
        .filter(|part| JUNK_DRAWERS.contains(part))
        .map(|part| format!("{} is called {part}: name the thing", source.file))
        .collect()
}

/// `//!` on the first line, and more than a word of it.
fn has_no_front_door(_: &Tree, source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let door = first.strip_prefix("//! ").is_some_and(|sentence| sentence.split_whitespace().count() > 2);
    if door || !(source.file.ends_with("/mod.rs") || source.file == "lib.rs" || source.file == "main.rs") {
        return Vec::new();
    }
    vec![format!("{} does not begin with a front door: `//! what it is, what it never does`", source.file)]
}
