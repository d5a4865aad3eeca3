//! The rules of docs/architecture.md that a machine can hold.
//!
//! - A room names only the rooms above it in the list of `src/lib.rs`; `convert`, `pipeline` and `cluster` never name
//!   each other.
//! - A client library is named only in its room; the pure floor knows no runtime, clock, log or socket.
//! - No junk drawers; every `mod.rs` is a front door; `src/lib.rs` lists every room.
//!
//! Each rule is a function from source text to complaints, and is shown below to complain about a bad example.

#[path = "architecture/source.rs"]
mod source;

use source::{Source, Tree};

/// Rooms that sit side by side and are assembled in `agent`, although they are listed one after another.
const SIDE_BY_SIDE: [&str; 3] = ["convert", "pipeline", "cluster"];

/// No async, clock, I/O or logging: the rooms, and the paths that would bring them in.
const PURE: [&str; 5] = ["model", "convert", "pipeline", "cluster", "state"];
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
const ONLY_IN: [(&str, &str); 11] = [
    ("lapin", "transport"),
    ("etcd_client", "coordination"),
    ("reqwest", "publish"),
    ("axum", "observe"),
    ("hyper", "observe"),
    ("hyper_util", "observe"),
    ("prometheus_client", "observe"),
    ("tracing_subscriber", "observe"),
    ("clap", "cli"),
    ("clap_complete", "cli"),
    ("clap_mangen", "cli"),
];

/// Names that say nothing about what is inside, so that everything ends up there.
const JUNK_DRAWERS: [&str; 10] =
    ["utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "shared", "stuff"];

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

mod the_rules_can_fail {
    use super::*;

    const MAP: &str = "pub mod model;\npub mod convert; // c\npub mod pipeline;\npub mod cluster;\npub mod config;\n\
                       pub mod observe;\npub mod transport;\npub mod coordination;\npub mod publish;\npub mod agent;\npub mod cli;\n";

    /// The complaints of `rule` about one file of this text.
    fn complaints(rule: fn(&Tree, &Source) -> Vec<String>, file: &str, text: &str) -> Vec<String> {
        let tree = Tree::of(MAP, vec![Source::new(file, text)]);
        rule(&tree, &tree.sources[0])
    }

    #[rstest::rstest]
    #[case::by_its_full_path("model/sample.rs", "fn f() { crate::transport::connect() }")]
    #[case::by_use("model/sample.rs", "use crate::publish::PublishError;")]
    #[case::in_braces("pipeline/mod.rs", "use crate::{model::Sample, agent::{Agent, Drain}};")]
    #[case::in_braces_over_lines("pipeline/mod.rs", "use crate::{\n    model::Sample,\n    cli,\n};")]
    #[case::by_a_glob("config/mod.rs", "use crate::*;")]
    #[case::renamed("config/mod.rs", "use crate::agent as a;")]
    #[case::through_super_from_the_front_door("transport/mod.rs", "use super::agent::Agent;")]
    #[case::through_super_twice_from_a_file("transport/memory.rs", "use super::super::agent::Agent;")]
    #[case::through_super_from_an_inner_module("transport/mod.rs", "mod tests { use super::super::agent::Agent; }")]
    #[case::by_the_name_of_the_crate("transport/mod.rs", "use nephoscope::agent::Agent;")]
    #[case::side_by_side("pipeline/filter.rs", "use crate::convert::Converter;")]
    #[case::side_by_side_upward("cluster/mod.rs", "use crate::pipeline::Plan;")]
    #[case::in_a_visibility("model/sample.rs", "pub(in crate::agent) fn f() {}")]
    fn a_room_looks_down(#[case] file: &str, #[case] text: &str) {
        assert_ne!(complaints(looks_down, file, text), Vec::<String>::new());
    }

    #[rstest::rstest]
    #[case::upward("pipeline/mod.rs", "use crate::model::{Sample, Event};")]
    #[case::itself("pipeline/mod.rs", "use crate::pipeline::filter;")]
    #[case::its_own_submodule_that_is_called_like_a_room("publish/file.rs", "use super::config::Rotation;")]
    #[case::in_a_comment("model/sample.rs", "// crate::transport carries it\n/* crate::agent /* nested */ */")]
    #[case::in_a_string(
        "model/sample.rs",
        r##"const A: &str = "crate::agent \" crate::cli"; const B: &str = r#"crate::"agent"#;"##
    )]
    #[case::in_a_character(
        "model/json.rs",
        r#"fn f(c: char) -> bool { c == '"' || c == '\'' } use crate::model::Value; // ""#
    )]
    #[case::a_lifetime("model/json.rs", "fn f<'a>(x: &'a str) -> &'a str { x } // crate::agent")]
    #[case::the_top("main.rs", "use nephoscope::cli::Cli;")]
    fn a_room_looks_up(#[case] file: &str, #[case] text: &str) {
        assert_eq!(complaints(looks_down, file, text), Vec::<String>::new());
    }

    #[rstest::rstest]
    #[case("agent/mod.rs", "use lapin::Channel;")]
    #[case("agent/mod.rs", "fn f(c: ::etcd_client::Client) {}")]
    #[case("main.rs", "use clap::Parser;")]
    #[case("agent/mod.rs", "#[derive(clap::Args)] struct A;")]
    #[case("transport/mod.rs", "use {reqwest::Client, lapin::Channel};")]
    fn a_library_is_away_from_home(#[case] file: &str, #[case] text: &str) {
        assert_eq!(complaints(names_a_foreign_library, file, text).len(), 1);
    }

    #[test]
    fn a_library_is_at_home() {
        assert_eq!(
            complaints(names_a_foreign_library, "transport/rabbit.rs", "use lapin::{Channel, options::*};"),
            Vec::<String>::new()
        );
        assert_eq!(
            complaints(names_a_foreign_library, "agent/mod.rs", "fn lapin() { self.clap.reqwest() }"),
            Vec::<String>::new()
        );
    }

    #[rstest::rstest]
    #[case("use tokio::sync::mpsc;")]
    #[case("use std::{collections::BTreeMap, time::{Duration, Instant}};")]
    #[case("fn f() { std::fs::read(p); }")]
    #[case("fn f() { chrono::Utc::now(); }")]
    #[case("use chrono::Utc; fn f() { g(Utc::now) }")]
    #[case("fn f() { tracing::info!(\"x\"); }")]
    #[case("async fn f() {}")]
    fn the_pure_floor_is_wet(#[case] text: &str) {
        assert_ne!(complaints(is_impure, "cluster/ring.rs", text), Vec::<String>::new());
        assert_eq!(complaints(is_impure, "agent/mod.rs", text), Vec::<String>::new(), "elsewhere it is fine");
    }

    #[test]
    fn the_pure_floor_may_speak_of_durations_and_instants_of_its_own() {
        let text =
            "use std::time::Duration; /// the await of tokio\nfn now(x: crate::model::time::Timestamp) { x.now }";
        assert_eq!(complaints(is_impure, "cluster/ring.rs", text), Vec::<String>::new());
    }

    #[rstest::rstest]
    #[case("agent/utils.rs", 1)]
    #[case("agent/common/queue.rs", 1)]
    #[case("agent/common_cause.rs", 0)]
    fn a_drawer_is_called_by_its_name(#[case] file: &str, #[case] found: usize) {
        assert_eq!(complaints(is_a_junk_drawer, file, "").len(), found);
    }

    #[rstest::rstest]
    #[case("agent/mod.rs", "use std::fmt;", 1)]
    #[case("agent/mod.rs", "", 1)]
    #[case("agent/mod.rs", "//! Agent.", 1)]
    #[case("agent/mod.rs", "//! The assembled machine.\n", 0)]
    #[case("agent/drain.rs", "use std::fmt;", 0)]
    fn a_front_door_is_missing(#[case] file: &str, #[case] text: &str, #[case] found: usize) {
        assert_eq!(complaints(has_no_front_door, file, text).len(), found);
    }

    #[test]
    fn a_room_is_not_on_the_map() {
        let tree = Tree::of("pub mod model;", vec![Source::new("model/mod.rs", ""), Source::new("extra/mod.rs", "")]);
        assert_eq!(tree.unlisted_rooms(), ["extra"]);
    }
}
