//! What is in `deploy/`, held to the program and to the tools that read it: alert rules and dashboard, the unit, the package,
//! manifests and charts. Whatever needs a tool that is not installed is skipped, and says so.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "deploy/kubernetes.rs"]
mod kubernetes;
#[path = "deploy/watching.rs"]
mod watching;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Is this program installed?
fn has(program: &str) -> bool {
    let mut asked = Command::new(program);
    asked.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What a command printed; panics with everything that it said if it failed.
fn printed(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).current_dir(ROOT).output();
    let done = done.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(done.status.success(), "{command:?}:\n{said}");
    said
}

/// All that is wrong, at once.
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
