//! Three agents of one group as processes, and somebody who sends.

use crate::field::{Agent, Folder, PATIENCE, Wire, free_port, notification, until};
use crate::rig;
use lapin::BasicProperties;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Seven main queues, and six pipeline queues of each of two sinks.
pub(super) const QUEUES: usize = 7 + 2 * PIPELINE_QUEUES;
const PIPELINE_QUEUES: usize = 6;
/// Notifications per second, about.
const RATE: u64 = 300;

pub(super) struct Fleet {
    pub(super) group: String,
    url: String,
    members: BTreeMap<&'static str, (Folder, u16, Option<Agent>)>,
}

/// Somebody who sends until stopped.
pub(super) struct Sending {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<usize>,
}

impl Sending {
    /// How many were sent.
    pub(super) async fn stop(mut self) -> usize {
        let _gone = self.stop.take().unwrap().send(());
        (&mut self.task).await.unwrap()
    }
}

impl Fleet {
    pub(super) async fn start(about: &str) -> Fleet {
        let (url, etcd) = (rig::rabbitmq().vhost(about), rig::etcd().endpoint);
        let mut members = BTreeMap::new();
        let group = format!("{about}-{}", std::process::id());
        for id in ["a", "b", "c"] {
            let folder = Folder::new(&format!("{about}-{id}"));
            folder.pipelines(&["file://{folder}/samples.jsonl?json"], &["file://{folder}/events.jsonl?json"]);
            let port = free_port();
            folder.write("ceilometer.conf", &configuration(&url, &etcd, &group, id, port));
            members.insert(id, (folder, port, None));
        }
        for (folder, _, agent) in members.values_mut() {
            *agent = Some(folder.start());
        }
        let fleet = Fleet { group, url, members };
        fleet
            .until(|picture| {
                let queues = picture["queues"].as_array().unwrap();
                picture["members"].as_array().unwrap().len() == 3
                    && queues.iter().filter(|queue| queue["state"] == "running").count() == QUEUES
            })
            .await;
        fleet
    }

    pub(super) fn configuration(&self, id: &str) -> String {
        self.members[id].0.file("ceilometer.conf").display().to_string()
    }

    pub(super) fn port(&self, id: &str) -> u16 {
        self.members[id].1
    }

    /// A configuration of a group in which nobody is.
    pub(super) fn other_group(&self) -> String {
        let (folder, port, _) = &self.members["a"];
        let etcd = rig::etcd().endpoint;
        folder.write("other.conf", &configuration(&self.url, &etcd, "nobody", "x", *port));
        folder.file("other.conf").display().to_string()
    }

    pub(super) async fn top(&self, arguments: &[&str]) -> String {
        let (code, said) = run_with(self, "a", &[&["top"], arguments].concat()).await;
        assert_eq!(code, 0, "{said}");
        said
    }

    pub(super) async fn picture(&self) -> Value {
        serde_json::from_str(&self.top(&["-o", "json"]).await).unwrap()
    }

    /// The first picture of which this holds.
    pub(super) async fn until(&self, so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let (code, said) = run_with(self, "a", &["top", "-o", "json"]).await;
            let picture: Value = serde_json::from_str(&said).unwrap_or_default();
            if code == 0 && so(&picture) {
                return picture;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain: {said}");
        }
    }

    pub(super) fn kill(&mut self, id: &str) {
        self.members.get_mut(id).unwrap().2.take().unwrap();
    }

    /// Sends notifications that give a sample and an event each.
    pub(super) fn send(&self) -> Sending {
        let (stop, mut stopped) = oneshot::channel();
        let url = self.url.clone();
        let task = tokio::spawn(async move {
            let wire = Wire::connect(&url).await;
            let mut sent = 0;
            while stopped.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty) {
                for _ in 0..RATE / 20 {
                    assert!(wire.put("notifications.info", &notification(sent), BasicProperties::default()).await);
                    sent += 1;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            sent
        });
        Sending { stop: Some(stop), task }
    }

    /// Waits until every notification gave its sample and its event.
    pub(super) async fn until_published(&self, sent: usize) {
        let count = |file: &str| self.members.values().map(|(folder, ..)| folder.records(file).len()).sum::<usize>();
        let both = || (count("samples.jsonl"), count("events.jsonl"));
        until("all is published", || both().0 >= sent && both().1 >= sent, || format!("{:?} of {sent}", both())).await;
    }

    pub(super) async fn stop(mut self) {
        for (_, _, agent) in self.members.values_mut() {
            if let Some(agent) = agent {
                agent.stop().await;
            }
        }
    }
}

fn configuration(url: &str, etcd: &str, group: &str, id: &str, port: u16) -> String {
    let url = url.replacen("amqp://", "rabbit://", 1);
    format!(
        "[DEFAULT]\ntransport_url = {url}\npipeline_cfg_file = {{folder}}/pipeline.yaml\n\
         event_pipeline_cfg_file = {{folder}}/event_pipeline.yaml\n\
         [notification]\nworkload_partitioning = true\npipeline_processing_queues = {PIPELINE_QUEUES}\n\
         [coordination]\nbackend_url = etcd3://{etcd}\n\
         [nephoscope]\ngroup = {group}\nmember_id = {id}\nlease_ttl = 5\nlisten = 127.0.0.1:{port}\n"
    )
}

/// Runs a command with the configuration of a member; its exit code and what it said.
pub(super) async fn run_with(fleet: &Fleet, id: &str, arguments: &[&str]) -> (i32, String) {
    run(&[arguments, &["--config-file", &fleet.configuration(id)]].concat()).await
}

pub(super) async fn run(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    command.args(arguments).stdin(Stdio::null());
    let output = tokio::process::Command::from(command).kill_on_drop(true).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}
