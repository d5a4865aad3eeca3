//! A bad example for each rule, and good ones that look like it.

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
    let text = "use std::time::Duration; /// the await of tokio\nfn now(x: crate::model::time::Timestamp) { x.now }";
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

fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let doors = [("lib.rs", "pub mod a;"), ("a/mod.rs", "mod x; mod y; mod z;")];
    let doors = doors.iter().filter(|(door, _)| files.iter().all(|(file, _)| file != door));
    let sources = files.iter().chain(doors).map(|(file, text)| Source::new(file, text)).collect();
    Links::of(&Tree::of(MAP, sources)).circles()
}

#[rstest::rstest]
#[case::by_use(&[("a/x.rs", "use super::y::Y; pub struct X;"), ("a/y.rs", "use super::x::X; pub struct Y;")])]
#[case::by_a_path_in_the_code(&[("a/x.rs", "struct X(super::y::Y);"), ("a/y.rs", "fn y() { crate::a::x::new() } struct Y;")])]
#[case::over_a_third(
    &[("a/x.rs", "use crate::a::y::f;"), ("a/y.rs", "use super::z::f;"), ("a/z.rs", "use super::x; fn f() { x::g() }")]
)]
#[case::through_a_door(
    &[
        ("a/mod.rs", "//! A.\nmod x;\nmod y;\npub use x::X as Ex;\npub(crate) use y::{Y};"),
        ("a/x.rs", "use super::Y; pub struct X;"),
        ("a/y.rs", "use crate::a::Ex; pub struct Y;"),
    ]
)]
#[case::through_a_door_that_hands_on_all(
    &[
        ("a/mod.rs", "mod x; mod y; pub use x::*;"),
        ("a/x.rs", "use super::y::Y; pub fn f() {}"),
        ("a/y.rs", "fn y() { super::f() } struct Y;"),
    ]
)]
#[case::with_a_door_beside_them(
    &[("a/x.rs", "use super::y; struct X(y::Y);"), ("a/y/mod.rs", "use super::x::X; pub struct Y;")]
)]
#[case::by_a_glob(&[("a/x.rs", "use super::y::*;"), ("a/y.rs", "use super::x::X;")])]
fn files_name_each_other(#[case] files: &[(&str, &str)]) {
    let found = circles(files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("a/x.rs:1 names "), "{found:?}");
}

#[rstest::rstest]
#[case::a_chain(&[("a/x.rs", "use super::y::Y;"), ("a/y.rs", "use super::z::Z; struct Y;"), ("a/z.rs", "struct Z;")])]
#[case::a_door_only_hands_on(
    &[("a/mod.rs", "mod x; pub use x::X; pub struct A;"), ("a/x.rs", "use super::A; pub struct X;")]
)]
#[case::a_door_builds_what_is_behind_it(
    &[("a/mod.rs", "mod x; pub struct A; fn f() { x::new() }"), ("a/x.rs", "use crate::a::A; pub fn new() {}")]
)]
#[case::a_sibling_behind_the_same_door(
    &[("a/mod.rs", "mod x; mod y; use y::Y; fn f(y: Y) { x::x() }"), ("a/x.rs", "use super::Y; pub fn x() {}"), ("a/y.rs", "pub struct Y;")]
)]
#[case::a_test_names_what_it_tests(
    &[
        ("a/x.rs", "use super::y::Y; struct X;\n#[cfg(test)]\nmod tests { use super::super::z::Z; fn f() { if x { } } }"),
        ("a/y.rs", "#[cfg(test)] mod tests; #[cfg(test)] pub(crate) fn t() -> [super::x::X; 1] { } struct Y;"),
        ("a/y/tests.rs", "use crate::a::x::X;"),
        ("a/z.rs", "use super::x::X; struct Z;"),
    ]
)]
#[case::of_another_crate(&[("a/x.rs", "use tokio::y; use super::y::Y;"), ("a/y.rs", "use a::x::X; use std::x;")])]
#[case::in_a_comment(&[("a/x.rs", "use super::y::Y;"), ("a/y.rs", "/// [`super::x::X`]\nstruct Y;")])]
fn files_name_each_other_one_way(#[case] files: &[(&str, &str)]) {
    assert_eq!(circles(files), Vec::<String>::new());
}

#[rstest::rstest]
#[case(400, 0)]
#[case(401, 1)]
fn a_file_is_too_long(#[case] lines: usize, #[case] found: usize) {
    let tree = Tree::of(MAP, vec![Source::new("agent/x.rs", &"// a comment\n".repeat(lines))]);
    assert_eq!(too_long(&tree).len(), found);
}

#[rstest::rstest]
#[case(12, 0)]
#[case(13, 1)]
fn a_folder_is_too_full(#[case] files: usize, #[case] found: usize) {
    let below = Source::new("agent/state/mod.rs", "");
    let sources = (0..files).map(|n| Source::new(&format!("agent/f{n}.rs"), "")).chain([below]).collect();
    assert_eq!(too_full(&Tree::of(MAP, sources)).len(), found);
}

#[test]
fn a_place_where_a_rule_holds_by_now_must_leave_the_list() {
    let complaints = ["agent/x.rs is so".to_owned(), "model/y.rs is so".to_owned()];
    assert_eq!(against(&complaints, &["agent/", "state/"]), (vec!["model/y.rs is so"], vec!["state/"]));
}

#[test]
fn a_manifest_brings_in_a_runtime() {
    let manifest = "[package]\nname = \"tokio\"\n[dependencies]\nserde = \"1\"\ntokio-util = \"1\"\nlapin = { version = \"4\" }\n\
                    [dev-dependencies]\ntracing = \"1\"\n";
    assert_eq!(impure_dependencies(manifest), ["tokio-util", "lapin"]);
}

#[test]
fn a_room_is_not_on_the_map() {
    let tree = Tree::of("pub mod model;", vec![Source::new("model/mod.rs", ""), Source::new("extra/mod.rs", "")]);
    assert_eq!(tree.unlisted_rooms(), ["extra"]);
}
