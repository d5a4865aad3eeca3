//! `nephoscope cluster` as a process, against a real etcd in which members are joined.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use crate::rig;

use nephoscope::cluster::Spec;
use nephoscope::coordination::{Coordinator, EtcdGroup, EtcdOptions, MemberRecord, Membership};
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const TTL: Duration = Duration::from_secs(30);

/// A group of its own on the shared etcd, and the configuration that leads to it.
struct Desk {
    folder: TempDir,
    group: EtcdGroup,
}

impl Desk {
    fn new(about: &str) -> Desk {
        let endpoint = rig::etcd().endpoint;
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let name = format!("{about}-{}", since.as_nanos());
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[notification]\nworkload_partitioning = true\n[coordination]\nbackend_url = etcd3://{endpoint}\n\
             [nephoscope]\ngroup = {name}\n"
        );
        std::fs::write(folder.path().join("ceilometer.conf"), text).unwrap();
        let options = EtcdOptions::parse(&format!("etcd3://{endpoint}")).unwrap();
        Desk { folder, group: EtcdGroup::new(options, &name, TTL) }
    }

    async fn join(&self, id: &str, ready: bool) -> Arc<dyn Membership> {
        let record = MemberRecord {
            format: 1,
            id: id.to_owned(),
            host: format!("{id}.example"),
            version: "0.1.0".to_owned(),
            weight: 10,
            config_digest: "5d41".to_owned(),
            ready,
            process: None,
        };
        self.group.join(record).await.unwrap()
    }

    /// Exit code, output, and errors marked by `!`.
    async fn told(&self, arguments: &[&str]) -> String {
        let output = tokio::process::Command::from(self.command(arguments)).output().await.unwrap();
        let mut told = format!("exit {}\n", output.status.code().unwrap());
        for (mark, bytes) in [("", &output.stdout), ("! ", &output.stderr)] {
            for line in String::from_utf8_lossy(bytes).lines() {
                writeln!(told, "{mark}{}", line.trim_end()).unwrap();
            }
        }
        told
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
        if arguments[0] != "partitions" {
            command.arg("cluster");
        }
        command.args(arguments).arg("--config-file").arg(self.folder.path().join("ceilometer.conf"));
        command.stdin(Stdio::null());
        command
    }

    async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let told = self.told(&[arguments, &["-o", "json"]].concat()).await;
        let body = told.strip_prefix("exit 0\n").unwrap_or_else(|| panic!("{told}"));
        serde_json::from_str(body).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_members_and_their_queues_are_shown() {
    let desk = Desk::new("shown");
    let (a, b) = (desk.join("a", true).await, desk.join("b", true).await);
    let _c = desk.join("c", false).await;
    a.put_spec(&Spec::first(4).unwrap(), None).await.unwrap();
    let epoch = a.claim("main:notifications.info").await.unwrap().unwrap();
    a.claim("q.0").await.unwrap().unwrap();
    let told = desk.told(&["list"]).await;
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[1].starts_with("group shown-") && lines[1].contains("4 queues per pipeline (generation 1)"),
        "{told}"
    );
    assert_eq!(
        lines[2..],
        [
            "MEMBER  HOST       VERSION  WEIGHT  QUEUES  CONFIG  STATE",
            "a       a.example  0.1.0    10      2       5d41    ready",
            "b       b.example  0.1.0    10      0       5d41    ready",
            "c       c.example  0.1.0    10      0       5d41    not ready",
        ]
    );
    let queues = desk.json(&["queues"]).await;
    assert_eq!(queues.as_array().unwrap().len(), 2);
    let owned = |queues: &serde_json::Value, at: usize| {
        let row = &queues[at];
        [&row["queue"], &row["owner"], &row["placed_on"], &row["pinned_to"], &row["stage"]]
            .map(|v| v.as_str().unwrap_or("-").to_owned())
    };
    // Two queues of one member, and a second member that is ready: one has to go.
    let stages: Vec<String> = (0..2).map(|at| owned(&queues, at)[4].clone()).collect();
    assert!(stages.contains(&"owned".to_owned()) && stages.contains(&"moving".to_owned()), "{queues}");
    assert_eq!(queues[0]["epoch"], epoch);
    b.leave().await;
    let history = desk.json(&["history", "q.0"]).await;
    assert_eq!((&history["q.0"][0]["member"], &history["q.0"][0]["reason"]), (&"a".into(), &"first".into()));
    let told = desk.told(&["history"]).await;
    assert!(told.starts_with("exit 0\nTIME ") && told.lines().count() == 4, "{told}");
    assert_eq!(
        desk.told(&["history", "nowhere"]).await,
        "exit 1\n! nephoscope: cannot show the history of nowhere: no member has owned such a queue; see nephoscope cluster queues\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_pauses_moves_and_drains() {
    let desk = Desk::new("operated");
    let (a, b) = (desk.join("a", true).await, desk.join("b", true).await);
    a.claim("q.0").await.unwrap().unwrap();
    let said = |text: &str| format!("exit 0\n{text}\n");
    let refused = |text: &str| format!("exit 1\n! nephoscope: {text}\n");
    assert_eq!(desk.told(&["pause"]).await, said("rebalancing is paused; nephoscope cluster resume starts it again"));
    assert!(b.view().await.unwrap().paused);
    let paused = "! warning: rebalancing is paused: nothing moves before nephoscope cluster resume";
    assert_eq!(desk.told(&["move", "q.0", "b"]).await, said(&format!("q.0 is pinned to b\n{paused}")));
    assert_eq!(desk.told(&["resume"]).await, said("rebalancing again"));
    let queues = desk.told(&["queues"]).await;
    let row: Vec<&str> = queues.lines().last().unwrap().split_whitespace().collect();
    assert_eq!([row[0], row[1], row[3], row[4], row[5]], ["q.0", "a", "b", "b", "moving"], "{queues}");
    assert_eq!(desk.told(&["move", "q.0", "--undo"]).await, said("q.0 is not pinned to b any more"));
    assert_eq!(
        desk.told(&["drain", "a", "--reason", "new disks"]).await,
        said("draining a; run nephoscope cluster list to see how many queues it still has")
    );
    assert_eq!(a.view().await.unwrap().drained["a"].reason, "new disks");
    let list = desk.json(&["list"]).await;
    assert_eq!(list["members"][0]["drained_reason"], "new disks");
    assert_eq!(desk.json(&["queues"]).await[0]["placed_on"], "b");
    assert_eq!(desk.told(&["drain", "a", "--undo"]).await, said("a gets queues again"));
    assert!(!a.view().await.unwrap().drained.contains_key("a"));

    let group = list["group"].as_str().unwrap();
    assert_eq!(
        desk.told(&["drain", "x"]).await,
        refused(&format!("cannot drain x: x is not a member of group {group}; see nephoscope cluster list"))
    );
    assert_eq!(
        desk.told(&["drain", "b", "--undo"]).await,
        refused("cannot undo the drain of b: it is not drained; see nephoscope cluster list")
    );
    assert_eq!(
        desk.told(&["move", "q.7", "b"]).await,
        refused("cannot move q.7: no member owns or has owned such a queue; see nephoscope cluster queues")
    );
    assert_eq!(
        desk.told(&["move", "q.0", "--undo"]).await,
        refused("cannot unpin q.0: it is not pinned; see nephoscope cluster queues")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_full_where_the_output_leads() {
    let desk = Desk::new("full");
    let _a = desk.join("a", true).await;
    for arguments in [&["list"][..], &["queues", "-o", "json"], &["history"], &["pause"]] {
        let mut command = desk.command(arguments);
        command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
        let child = tokio::process::Command::from(command).spawn().unwrap();
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot write to standard output: No space left on device"), "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_with_a_live_id_refuses_to_start() {
    let desk = Desk::new("twins");
    let first = desk.join("twin", true).await;
    let conf = desk.folder.path().join("ceilometer.conf");
    let mut text = std::fs::read_to_string(&conf).unwrap();
    // The broker is not needed to be refused.
    text.push_str("member_id = twin\nlease_ttl = 2\nlisten =\n[DEFAULT]\ntransport_url = rabbit://127.0.0.1:1/\n");
    // Samples would go to Gnocchi.
    text.push_str("[notification]\npipelines = event\n");
    std::fs::write(&conf, text).unwrap();
    let mut second = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    second.arg("run").arg("--config-file").arg(&conf).stdin(Stdio::null());
    let second = tokio::process::Command::from(second).kill_on_drop(true).output();
    let ended = tokio::time::timeout(Duration::from_secs(40), second).await.expect("it still tries").unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.contains("cannot join as member twin: a live process has this ID; set [nephoscope] member_id"),
        "{said}"
    );
    assert!(!first.lost().is_cancelled() && first.claim("u").await.unwrap().is_some(), "the first is not disturbed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_cannot_be_seen() {
    let desk = Desk::new("unseen");
    let conf = desk.folder.path().join("ceilometer.conf");
    std::fs::write(&conf, "").unwrap();
    let told = desk.told(&["list"]).await;
    assert!(
        told.starts_with("exit 1\n! nephoscope: cannot see a group: this configuration is that of an agent"),
        "{told}"
    );
    // Nobody listens on port 1.
    let away =
        "[notification]\nworkload_partitioning = true\n[coordination]\nbackend_url = etcd3://127.0.0.1:1?timeout=0.5\n";
    std::fs::write(&conf, away).unwrap();
    let told = desk.told(&["queues"]).await;
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0] == "exit 1" && lines.len() == 2, "{told}");
    assert!(lines[1].contains("cannot list the queues: cannot reach the group at"), "{told}");
    assert!(lines[1].ends_with("check that etcd runs and that [coordination] backend_url names it"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_number_of_queues_is_planned_and_begun() {
    let desk = Desk::new("partitions");
    let told = desk.told(&["partitions", "plan", "4"]).await;
    assert!(
        told.starts_with("exit 1\n! nephoscope: cannot see the queues: no agent of this group has run yet"),
        "{told}"
    );
    let member = desk.join("a", true).await;
    member.put_spec(&Spec::first(3).unwrap(), None).await.unwrap();
    assert_eq!(desk.told(&["partitions", "show"]).await, "exit 0\n3 queues per pipeline (generation 1)\n");
    let told = desk.told(&["partitions", "plan", "4"]).await;
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "exit 0",
            "from 3 queues per pipeline (generation 1) to 4 (generation 2): 256 of 1024 slots, about 25 % of the \
             resources, go to a queue of another number",
            "FROM  TO  SLOTS",
            "0     3   86",
        ]
    );
    assert!(desk.group.view().await.unwrap().spec.unwrap().0.next.is_none(), "a plan changes nothing");
    let plan = desk.json(&["partitions", "plan", "2"]).await;
    assert_eq!((&plan["next_queues"], &plan["slots_moved"]), (&2.into(), &341.into()));
    for (queues, why) in
        [("3", "there are 3 queues per pipeline already"), ("0", "cannot spread 1024 slots over 0 queues")]
    {
        let told = desk.told(&["partitions", "apply", queues]).await;
        assert!(told.starts_with("exit 1") && told.contains(why), "{told}");
    }
    let told = desk.told(&["partitions", "apply", "4"]).await;
    assert!(told.starts_with("exit 0") && told.contains("the change has begun"), "{told}");
    let told = desk.told(&["partitions", "show"]).await;
    assert!(told.contains("changing to 4 (generation 2): waiting until all main queues are closed"), "{told}");
    let told = desk.told(&["partitions", "apply", "5"]).await;
    assert!(told.starts_with("exit 1") && told.contains("a change to 4 queues is under way"), "{told}");
    let (spec, revision) = desk.group.view().await.unwrap().spec.unwrap();
    assert!(desk.group.put_spec(&spec.quieted(), Some(revision)).await.unwrap());
    member.mark(2, "sealed/q", "a").await.unwrap();
    let told = desk.told(&["partitions", "show"]).await;
    assert!(told.contains("the main queues are routed to the new queues, 1 old queues are sealed"), "{told}");
    let (spec, revision) = desk.group.view().await.unwrap().spec.unwrap();
    assert!(desk.group.put_spec(&spec.completed(), Some(revision)).await.unwrap());
    let told = desk.told(&["partitions", "apply", "5"]).await;
    assert!(told.contains("are not all deleted yet"), "{told}");
}
