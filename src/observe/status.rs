//! The status of an agent, as `/status` and `/readyz` show it.
//!
//! The agent writes it on a [`Board`]. Never here: a decision.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How often an agent that waits for a server notes that it goes on.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// What an agent is doing now. The agent writes it, `/status` and `/readyz` read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The program's version.
    pub version: &'static str,
    /// Since when it runs, RFC 3339, UTC.
    pub started: String,
    /// `starting`, `running`, `silent` (etcd does not answer: it works on and takes over nothing), `draining`.
    pub phase: &'static str,
    /// What it waits for before it can work, in words; ready when there is nothing, and nothing stands still.
    pub waiting_for: Vec<String>,
    /// What cannot go on until an operator acts, in words.
    pub standstill: Vec<String>,
    /// Its place in the group; nothing without coordination.
    pub member: Option<Member>,
    /// The main and pipeline queues that it should consume or still has, by name: `main:…` or `pipeline:…`.
    pub queues: BTreeMap<String, Queue>,
    /// Connections to servers, by name without secrets.
    pub links: BTreeMap<String, Link>,
    /// Pipelines, by name.
    pub pipelines: BTreeMap<String, Pipeline>,
}

impl Status {
    /// Why the agent is not ready, one sentence a reason; nothing when it is.
    pub fn not_ready(&self) -> Vec<String> {
        let blocked = |(name, link): (&String, &Link)| {
            let why = link.blocked.as_ref()?;
            Some(format!("the broker at {name} to take messages again: it has blocked this connection ({why})"))
        };
        let links = self.links.iter().filter_map(blocked);
        self.waiting_for.iter().chain(&self.standstill).cloned().chain(links).collect()
    }
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
    /// Whether an operator has paused rebalancing.
    pub paused: bool,
}

/// A main or pipeline queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// `main` or `pipeline`.
    pub kind: &'static str,
    /// `waiting` (for the group or the broker), `opening`, `running`, `closing`.
    pub state: &'static str,
    /// Since when it is in that state, RFC 3339, UTC.
    pub since: String,
    /// The epoch of its ownership, once it has one.
    pub epoch: Option<i64>,
    /// Why it is not open, in the broker's words; nothing where it is, or where nothing went wrong.
    pub error: Option<String>,
}

/// A connection to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// `connecting`, `up`, `waiting`, `refused`, `stopped`.
    pub state: &'static str,
    /// What was last said about it, e.g. why it is down.
    pub detail: String,
    /// Why the broker takes no messages now (an alarm of memory or disk), if it does not.
    pub blocked: Option<String>,
}

/// A pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pipeline {
    /// Its publishers, as URLs without secrets.
    pub publishers: Vec<String>,
    /// The publisher that holds it, if one does.
    pub held_by: Option<Held>,
    /// All publishers that take nothing now: the one that holds it, and those that go their own way.
    #[serde(skip)]
    pub held: Vec<Held>,
}

/// What holds a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The publisher, as a URL without secrets.
    pub publisher: String,
    /// Since when, RFC 3339, UTC.
    pub since: String,
    /// What it said last.
    pub why: String,
    /// Samples or events that were offered to it and wait.
    pub waiting: usize,
}

/// Where the agent writes its [`Status`]. Clones write to the same.
#[derive(Debug, Clone)]
pub struct Board(watch::Sender<Status>, Arc<AtomicU64>);

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
        Board(watch::Sender::new(status), Arc::default())
    }

    /// Changes what is said.
    pub fn change(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_modify(change);
    }

    /// What is said now.
    pub fn read(&self) -> Status {
        self.0.borrow().clone()
    }

    /// The agent goes on: noted each time that it has looked after all its work.
    pub fn beat(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for a server, which has bounds of its own and may take long: the agent goes on meanwhile.
    pub async fn beating<T>(&self, wait: impl Future<Output = T>) -> T {
        tokio::pin!(wait);
        let mut tick = tokio::time::interval(BEAT_EVERY);
        loop {
            tokio::select! {
                biased;
                done = &mut wait => return done,
                _ = tick.tick() => self.beat(),
            }
        }
    }

    /// How often the agent has noted that it goes on.
    pub fn beats(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }

    /// A view that can wait for changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }
}
