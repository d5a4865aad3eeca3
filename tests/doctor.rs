//! `nephoscope doctor` as a process, against real servers brought into the state that it has to find.
//!
//! One node of RabbitMQ serves many states, each in a virtual host of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "doctor/broker.rs"]
mod broker;
#[path = "doctor/etcd.rs"]
mod etcd;
#[path = "doctor/impostor.rs"]
mod impostor;
#[path = "doctor/publishers.rs"]
mod publishers;
#[path = "doctor/ward.rs"]
mod ward;

use crate::field::Folder;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;

/// What was found: exit code, and the findings.
struct Seen {
    code: i32,
    findings: Vec<Value>,
}

impl Seen {
    /// The findings of this name.
    fn of(&self, id: &str) -> Vec<&Value> {
        self.findings.iter().filter(|finding| finding["id"] == id).collect()
    }

    /// One that is about this, and says that: in what was found, or in what mends it.
    fn has(&self, id: &str, object: &str, says: &str) -> bool {
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        self.of(id).into_iter().any(|finding| {
            text(finding, "object").contains(object)
                && [text(finding, "found"), text(finding, "mend")].iter().any(|text| text.contains(says))
        })
    }

    /// It must be there.
    #[track_caller]
    fn expect(&self, id: &str, object: &str, says: &str) {
        assert!(self.has(id, object, says), "no {id} of {object} that says {says:?}: {:#?}", self.findings);
    }

    /// Whether a right on this name is told to be missing: `("read queue", "notifications.info")`.
    fn lacks(&self, right: &str, name: &str) -> bool {
        let all = self.of("rabbitmq.right.missing").into_iter().filter_map(|finding| finding["object"].as_str());
        let mut names = all.filter_map(|object| object.strip_prefix(right)).flat_map(|names| names.trim().split(", "));
        names.any(|there| there == name)
    }

    /// Names of errors and warnings.
    fn bad(&self) -> BTreeSet<String> {
        let bad = self.findings.iter().filter(|finding| finding["severity"] != "note");
        bad.map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Runs doctor with the configuration of a folder.
async fn doctor(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    command.arg("doctor").arg("--config-file").arg(folder.file("ceilometer.conf")).args(arguments);
    tokio::time::timeout(Duration::from_secs(60), command.output()).await.unwrap().unwrap()
}

/// The same, read.
async fn seen(folder: &Folder, arguments: &[&str]) -> Seen {
    let output = doctor(folder, &[arguments, &["-o", "json"]].concat()).await;
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let findings = report["findings"].as_array().unwrap().clone();
    let code = output.status.code().unwrap();
    let count = |severity: &str| findings.iter().filter(|finding| finding["severity"] == severity).count();
    let counts = ["error", "warning", "note"].map(count);
    for (key, count) in ["errors", "warnings", "notes"].into_iter().zip(counts) {
        assert_eq!(report[key], count, "{key}");
    }
    let expected = match counts {
        [0, 0, _] => 0,
        [0, ..] => 3,
        _ => 4,
    };
    assert_eq!(code, expected);
    // Worst first.
    let order = |finding: &Value| ["error", "warning", "note"].iter().position(|name| finding["severity"] == *name);
    assert!(findings.is_sorted_by_key(order), "{findings:#?}");
    Seen { code, findings }
}

/// A folder with a broker, pipelines to nowhere, and more configuration.
fn folder(name: &str, transport_url: &str, more: &str) -> Folder {
    let folder = Folder::new(name);
    folder.configure(transport_url, more);
    folder.pipelines(&["test://"], &["test://"]);
    folder
}

/// A port at which nobody listens now.
fn nobody() -> u16 {
    crate::field::free_port()
}

/// A row of the table that no test brings about would be a promise.
#[test]
fn every_finding_is_brought_about_by_a_test() {
    let tests = [
        include_str!("doctor/broker.rs"),
        include_str!("doctor/etcd.rs"),
        include_str!("doctor/impostor.rs"),
        include_str!("doctor/publishers.rs"),
        include_str!("../src/doctor/etcd.rs"),
        include_str!("../src/doctor/broker/mod.rs"),
    ]
    .concat();
    let reference = nephoscope::doctor::reference();
    let ids = reference.lines().filter_map(|row| row.split('`').nth(1));
    let untested: Vec<&str> = ids.filter(|id| !tests.contains(&format!("\"{id}\""))).collect();
    assert_eq!(untested, [""; 0]);
}
