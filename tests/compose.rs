//! `docker-compose.yml` started for real: RabbitMQ, etcd, three agents; one is stopped, one paused, one cut from the network
//! while OpenStack's own notifier sends. Every confirmed notification is in the output, in order per resource.
//!
//! Where no Docker engine answers it is skipped, and says so. Images come from `deploy/local-images.sh`, so that no registry is
//! needed; with NEPHOSCOPE_COMPOSE_ENV=<env file> those that the file names. `cargo nextest run --test servers compose::`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "compose/project.rs"]
mod project;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use project::{Project, until};

const RESOURCES: usize = 40;
/// Sent during each disturbance; small enough that a slow machine keeps its time.
const PER_ROUND: usize = 1_000;
/// Longer than the lease (10 s), the broker's heartbeats (2 × 10 s) and a drain together.
const SETTLES_WITHIN: Duration = Duration::from_mins(2);

#[test]
fn agents_of_the_compose_file_are_stopped_paused_and_cut_off_while_notifications_flow() {
    let project = match Project::prepare("test", env!("CARGO_BIN_EXE_nephoscope"), &[]) {
        Ok(project) => project,
        Err(reason) => {
            println!("SKIPPED: {reason}");
            return;
        }
    };
    project.compose(&["up", "-d", "--build"]);
    for agent in ["agent1", "agent2", "agent3"] {
        until(
            SETTLES_WITHIN,
            || if project.is_healthy(agent) { Ok(()) } else { Err(format!("{agent} is not healthy")) },
        );
    }
    // Nobody's user, nothing to write to but the volume.
    assert_eq!(project.inspect("agent1", "{{.HostConfig.ReadonlyRootfs}} {{.Config.User}}"), "true 10001:10001");
    assert_eq!(project.exec("agent1", &["id", "-u"]).trim(), "10001");
    project.exec("agent1", &["sh", "-c", "! touch /var/lib/nephoscope/x 2> /dev/null"]);
    let mut ledger = Ledger::default();

    ledger.round(&project, "nobody is disturbed", || {});

    ledger.round(&project, "agent1 is stopped", || project.compose(&["stop", "agent1"]));
    project.compose(&["start", "agent1"]);

    ledger.round(&project, "agent2 is paused", || project.compose(&["pause", "agent2"]));
    project.compose(&["unpause", "agent2"]);

    ledger.round(&project, "agent3 is cut from etcd", || project.cut("agent3", "coordination"));
    project.join("agent3", "coordination");

    ledger.round(&project, "agent3 is cut from the broker", || project.cut("agent3", "broker"));
    project.join("agent3", "broker");

    // Whoever came back finds its place: a last round with nobody disturbed.
    ledger.round(&project, "all are back", || {});
    let repeats = check_order(&project);
    println!(
        "compose: {} notifications confirmed, 0 lost, order kept, {repeats} samples repeated with equal ids",
        ledger.sent
    );
    project.succeeded();
}

/// What was sent and confirmed, by message id, and so must come out.
#[derive(Default)]
struct Ledger {
    confirmed: HashSet<String>,
    sent: usize,
}

impl Ledger {
    /// Send, disturb in the midst of it, and wait until everything confirmed so far is in the output.
    fn round(&mut self, project: &Project, what: &str, disturb: impl FnOnce()) {
        let began = Instant::now();
        let (first, last) = (self.sent, self.sent + PER_ROUND);
        let lines = project.scratch.path().join(format!("lines-{first}"));
        let ids = project.scratch.path().join(format!("ids-{first}"));
        std::fs::write(&lines, notifications(first, last)).unwrap();
        let mut notifier = Command::new("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_notifier.py"))
            .args(["--url", &project.broker_url(), "--out"])
            .arg(&ids)
            .arg(&lines)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // Something of this round is confirmed, and most of it is still to come.
        until(SETTLES_WITHIN, || match std::fs::metadata(&ids) {
            Ok(written) if written.len() > 0 => Ok(()),
            _ => Err("the notifier sent nothing".to_owned()),
        });
        disturb();
        assert!(
            notifier.wait().unwrap().success(),
            "the notifier failed; run `make deps` if oslo.messaging is missing"
        );
        self.sent = last;
        let written = std::fs::read_to_string(&ids).unwrap();
        self.confirmed.extend(written.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned));
        assert_eq!(self.confirmed.len(), self.sent, "every notification has its own confirmed id");
        until(SETTLES_WITHIN, || self.all_came_out(project));
        println!("compose: {what}: all out after {:.0} s", began.elapsed().as_secs_f64());
    }

    /// The event of every notification, and the sample of every notification.
    fn all_came_out(&self, project: &Project) -> Result<(), String> {
        let events = project.output("events.jsonl");
        let seen: HashSet<&str> = events.iter().filter_map(|event| event["message_id"].as_str()).collect();
        let missing: Vec<_> = self.confirmed.iter().filter(|id| !seen.contains(id.as_str())).take(3).collect();
        if !missing.is_empty() {
            return Err(format!(
                "of {} notifications {} gave events; missing are {missing:?} …",
                self.sent,
                seen.len()
            ));
        }
        let samples = project.output("samples.jsonl");
        let seen: HashSet<u64> = samples.iter().filter_map(sequence).collect();
        match (0..self.sent as u64).find(|sequence| !seen.contains(sequence)) {
            None => Ok(()),
            Some(missing) => {
                Err(format!("of {} notifications {} gave samples; missing is {missing} …", self.sent, seen.len()))
            }
        }
    }
}

/// Per resource, the first appearances are in the order of sending; a repeat has the id of the first. Gives the number of repeats.
fn check_order(project: &Project) -> usize {
    let mut ids: HashMap<u64, String> = HashMap::new();
    let mut newest: HashMap<String, u64> = HashMap::new();
    let mut repeats = 0;
    for sample in project.output("samples.jsonl") {
        let (Some(sequence), Some(id)) = (sequence(&sample), sample["id"].as_str()) else { continue };
        if let Some(first) = ids.get(&sequence) {
            assert_eq!(first, id, "notification {sequence} came twice, with two ids");
            repeats += 1;
            continue;
        }
        ids.insert(sequence, id.to_owned());
        let resource = sample["resource_id"].as_str().unwrap().to_owned();
        let before = newest.insert(resource.clone(), sequence);
        assert!(before < Some(sequence), "{resource}: {sequence} came after {before:?}");
    }
    repeats
}

/// The number of the notification that a sample `image.size` was made of: its volume.
fn sequence(sample: &serde_json::Value) -> Option<u64> {
    if sample["name"] == "image.size" { sample["volume"].as_u64() } else { None }
}

/// Lines for tests/python_notifier.py: `image.update` of some resources in turn, its number as the size.
fn notifications(first: usize, last: usize) -> String {
    let mut lines = String::new();
    for number in first..last {
        let resource = number % RESOURCES;
        writeln!(
            lines,
            r#"{{"event_type": "image.update", "publisher_id": "image.host1", "payload": {{"id": "image-{resource}", "size": {number}, "owner": "project", "name": "compose", "status": "active"}}}}"#
        )
        .unwrap();
    }
    lines
}
