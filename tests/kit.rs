//! The kit of those who change this project: the check of commit messages, the toolchain, the workflows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use rstest::rstest;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const BODY: &str = "\n\nIt was wrong. Now it is right.\nProof: tests/kit.rs.";

/// A program in a folder, with nothing of this machine's or this user's git.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    for (name, value) in [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")] {
        command.env(name, value);
    }
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@b");
    }
    command.args(arguments).current_dir(folder).output().unwrap()
}

fn git(folder: &Path, arguments: &[&str]) {
    let came = run(folder, "git", arguments);
    assert!(came.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&came.stderr));
}

fn commit(folder: &Path, message: &str) {
    git(folder, &["commit", "-q", "--allow-empty", "-m", message]);
}

/// A repository where the check came with the second commit; the first breaks the rule. `None` without git.
fn repository() -> Option<TempDir> {
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("skipped: git is not installed");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q", "-b", "main"]);
    commit(folder.path(), "before the rule");
    fs::create_dir(folder.path().join(".ci")).unwrap();
    fs::copy(Path::new(ROOT).join(".ci/commits"), folder.path().join(".ci/commits")).unwrap();
    git(folder.path(), &["add", ".ci"]);
    commit(folder.path(), "the rule comes");
    Some(folder)
}

fn checked(folder: &Path) -> (bool, String) {
    let came = run(folder, "bash", &[".ci/commits"]);
    (came.status.success(), String::from_utf8([came.stdout, came.stderr].concat()).unwrap())
}

#[rstest]
#[case::as_it_should_be("area: what, in seventy-two characters at most, of which … is one, in all", BODY, "")]
#[case::no_area("it is right now", BODY, "the subject is not")]
#[case::long("area: what, in seventy-two characters at most, of which … is one; in all!", BODY, "73 characters")]
#[case::no_body("area: what", "", "there is no body")]
#[case::a_body_of_signatures("area: what", "\n\nSigned-off-by: A <a@b>\nReviewed-by: B <b@b>", "there is no body")]
fn a_message_is_checked(#[case] subject: &str, #[case] body: &str, #[case] complaint: &str) {
    let Some(folder) = repository() else { return };
    commit(folder.path(), &format!("{subject}{body}"));
    // A branch of before the rule keeps its words when it is merged.
    git(folder.path(), &["checkout", "-q", "-b", "older", "HEAD~2"]);
    commit(folder.path(), "begun before the rule");
    git(folder.path(), &["checkout", "-q", "main"]);
    git(folder.path(), &["merge", "-q", "--no-edit", "older"]);
    let (well, said) = checked(folder.path());
    assert_eq!(well, complaint.is_empty(), "{said}");
    assert!(said.contains(complaint) && said.lines().count() == usize::from(!well), "{said}");
}

#[test]
fn messages_that_cannot_be_seen_are_passed_over_with_a_reason() {
    let Some(folder) = repository() else { return };
    commit(folder.path(), "wrong");
    let shallow = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    git(shallow.path(), &["clone", "-q", "--depth", "1", &url, "."]);
    let said = "commit messages are not checked: a shallow clone (git fetch --unshallow)\n";
    assert_eq!(checked(shallow.path()), (true, said.to_owned()));
    fs::remove_dir_all(folder.path().join(".git")).unwrap();
    assert_eq!(checked(folder.path()), (true, "commit messages are not checked: not a clone\n".to_owned()));
}

/// A channel would make rustup download a compiler on machines that have a newer one (docs/decisions/0037).
#[test]
fn the_toolchain_file_names_no_channel() {
    let file = fs::read_to_string(Path::new(ROOT).join("rust-toolchain.toml")).unwrap();
    let set = |name: &str| file.lines().any(|line| line.starts_with(name));
    assert!(set("components") && !set("channel") && !set("path"), "{file}");
}

/// `make` and the scripts that workflows call are there; a workflow is nothing that a person would not run.
#[test]
fn workflows_call_what_there_is() {
    let makefile = fs::read_to_string(Path::new(ROOT).join("Makefile")).unwrap();
    let mut called = Vec::new();
    for file in fs::read_dir(Path::new(ROOT).join(".github/workflows")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines() {
            let Some(command) = line.trim_start().strip_prefix("- run: ") else { continue };
            let words: Vec<&str> = command.split_whitespace().collect();
            if words[0] == "make" {
                assert!(makefile.contains(&format!("\n{}:", words[1])), "{command}: there is no such target");
                called.push(words[1].to_owned());
            } else if words[0].starts_with(".ci/") {
                assert!(Path::new(ROOT).join(words[0]).exists(), "{command}: there is no such file");
            }
        }
    }
    assert!(["check", "test", "release"].iter().all(|target| called.iter().any(|name| name == target)), "{called:?}");
}
