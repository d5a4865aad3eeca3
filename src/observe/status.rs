//! The status model: what an agent says of itself when asked, and whether it is ready.

use serde::Serialize;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// What an agent is doing now. The agent writes it, `/status` and `/readyz` read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The program's version.
    pub version: &'static str,
    /// Since when it runs, RFC 3339, UTC.
    pub started: String,
    /// `starting`, `running`, `silent` (the group does not answer: it works on and takes nothing over), `draining`.
    pub phase: &'static str,
    /// What it waits for before it can work, in words; ready when there is nothing.
    pub waiting_for: Vec<String>,
    /// Its place in the group; nothing without coordination.
    pub member: Option<Member>,
    /// Main queues that it listens to.
    pub main_queues: Vec<String>,
    /// Pipeline queues that it owns, by name.
    pub units: BTreeMap<String, Unit>,
    /// Connections to servers, by name without secrets.
    pub links: BTreeMap<String, Link>,
    /// Pipelines, by name.
    pub pipelines: BTreeMap<String, Pipeline>,
}

/// A place in the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its stable id.
    pub id: String,
    /// The machine.
    pub host: String,
    /// Ids of all members, itself included.
    pub group: Vec<String>,
    /// Whether moving is paused by an operator.
    pub paused: bool,
}

/// An owned pipeline queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unit {
    /// Since which change of owner.
    pub epoch: i64,
    /// `opening`, `running`, `closing`.
    pub state: &'static str,
}

/// A connection to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// `connecting`, `up`, `waiting`, `refused`, `stopped`.
    pub state: &'static str,
    /// What was last said about it, e.g. why it is down.
    pub detail: String,
}

/// A pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pipeline {
    /// Its publishers, as URLs without secrets.
    pub publishers: Vec<String>,
    /// Why it holds, if it does: the publisher that is away, and what it said.
    pub held_by: Option<String>,
}

/// Where the agent writes its [`Status`]. Clones write to the same.
#[derive(Debug, Clone)]
pub struct Board(watch::Sender<Status>);

impl Default for Board {
    fn default() -> Self {
        Board::new()
    }
}

impl Board {
    /// A board that says `starting`.
    pub fn new() -> Self {
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            started: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            phase: "starting",
            waiting_for: vec!["the agent to start".to_owned()],
            ..Status::default()
        };
        Board(watch::Sender::new(status))
    }

    /// Changes what is said.
    pub fn change(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_modify(change);
    }

    /// What is said now.
    pub fn read(&self) -> Status {
        self.0.borrow().clone()
    }

    /// A view that can wait for changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }
}
