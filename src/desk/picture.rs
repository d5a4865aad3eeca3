//! The group at a glance: what `nephoscope top` and the page show, and `top -o json` prints.
//!
//! Rates are per second, over the last three seconds. A number that nobody said is absent.

use serde::Serialize;

use crate::observe::desk::minutes::Minute;

/// Queues of a picture, at most; the others are summed in one.
pub const QUEUES_MAX: usize = 2_000;
/// Publishers of a picture, at most.
pub const PUBLISHERS_MAX: usize = 500;

/// The group at a glance.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Picture {
    /// The group's name.
    pub group: String,
    /// When this was so, RFC 3339, UTC.
    pub at: String,
    /// What is not seen now, in words: the broker, etcd.
    pub unseen: Vec<String>,
    /// Whether the agents share their work by a group in etcd.
    pub shared: bool,
    /// Whether an operator has paused rebalancing.
    pub paused: bool,
    /// Pipeline queues of each sink; nothing without a group.
    pub queues_per_sink: Option<u16>,
    /// Sums over all members.
    pub now: Now,
    /// The members, by id.
    pub members: Vec<Member>,
    /// The queues, by name.
    pub queues: Vec<Queue>,
    /// The publishers, by sink and name.
    pub publishers: Vec<Publisher>,
    /// What was parked since the members started, by reason, the most first.
    pub parked: Vec<Count>,
    /// How often a definition gave nothing, since the members started, the most first.
    pub complaints: Vec<Count>,
    /// The newest moves of queues, newest first.
    pub moves: Vec<QueueMove>,
    /// The last hour, oldest minute first: sums over the members; times are those of the slowest member.
    pub minutes: Vec<Minute>,
}

/// Sums over all members that are heard.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Now {
    /// Notifications taken from main queues, per second.
    pub received: Option<f64>,
    /// Samples made, per second.
    pub samples: Option<f64>,
    /// Events made, per second.
    pub events: Option<f64>,
    /// Samples and events that publishers accepted, per second.
    pub published: Option<f64>,
    /// Messages that wait at the broker.
    pub ready: Option<u64>,
    /// Messages that are taken and not settled.
    pub held: u64,
    /// How long the oldest of these is held, in seconds.
    pub oldest_s: Option<u64>,
    /// Records that wait for a publisher.
    pub waiting: u64,
    /// What was parked since the members started.
    pub parked: u64,
    /// Times from taking to settling, of main queues.
    pub main: Times,
    /// Times from taking to settling, of pipeline queues and all others.
    pub pipeline: Times,
}

/// Two times of the last three seconds, in microseconds; each is the end of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Half of the messages took no longer.
    pub p50_us: Option<u64>,
    /// 99 of 100 took no longer.
    pub p99_us: Option<u64>,
}

/// One member.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its machine.
    pub host: String,
    /// The version of its program.
    pub version: String,
    /// `running`, `silent`, `draining`, `starting`; `drained` by an operator; `not heard` where it is in the group and says nothing;
    /// `gone` where it is not in the group any more.
    pub state: String,
    /// What it waits for, in words.
    pub waiting_for: Vec<String>,
    /// Since when it runs, RFC 3339, UTC.
    pub started: String,
    /// How long ago it was heard, in seconds.
    pub heard_s: Option<u64>,
    /// Its share of the work; nothing without a group.
    pub weight: Option<u32>,
    /// Queues that it owns.
    pub queues: usize,
    /// Notifications taken, per second.
    pub received: Option<f64>,
    /// Samples and events that publishers accepted, per second.
    pub published: Option<f64>,
    /// CPU, in percent of one core.
    pub cpu: Option<f64>,
    /// Memory, in bytes.
    pub rss_bytes: Option<u64>,
    /// Time for which its lease is certain, in milliseconds.
    pub lease_margin_ms: Option<u64>,
}

/// One queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Queue {
    /// Its name in the group.
    pub name: String,
    /// `main`, `pipeline` or `overflow`.
    pub kind: String,
    /// `running`, `opening`, `closing`, `waiting`; `free` where no member owns it; `not heard` where its owner says nothing.
    pub state: String,
    /// The member that owns it.
    pub owner: Option<String>,
    /// The member that an operator has pinned it to.
    pub pinned_to: Option<String>,
    /// The epoch of its ownership.
    pub epoch: Option<i64>,
    /// Since when it is in that state, RFC 3339, UTC.
    pub since: Option<String>,
    /// Why it is not open.
    pub error: Option<String>,
    /// Messages taken, per second.
    pub taken: Option<f64>,
    /// Messages settled, per second.
    pub settled: Option<f64>,
    /// Messages that wait at the broker.
    pub ready: Option<u64>,
    /// Messages that are taken and not settled.
    pub held: u64,
    /// How long the oldest of these is held, in seconds.
    pub oldest_s: Option<u64>,
    /// Bytes that its owner wrote to its state log since it started.
    pub log_bytes: u64,
}

/// One publisher of one sink, over all members.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Publisher {
    /// The sink.
    pub sink: String,
    /// The publisher, a URL without secrets.
    pub name: String,
    /// `works`; `tried` and `left alone` by its circuit breaker; `held` where records wait for it.
    pub state: String,
    /// Records that it accepted, per second.
    pub accepted: Option<f64>,
    /// The same, since the members started.
    pub accepted_in_all: u64,
    /// Records that wait for it.
    pub waiting: u64,
    /// Calls that failed and were repeated.
    pub retries: u64,
    /// Records that it refused for good.
    pub refused: u64,
    /// Records that went to its overflow queue.
    pub overflowed: u64,
    /// Since when records wait, RFC 3339, UTC.
    pub held_since: Option<String>,
    /// What it said last.
    pub why: Option<String>,
    /// The members for which records wait.
    pub held_at: Vec<String>,
}

/// How often something was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// A queue came to a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueMove {
    /// When, RFC 3339, UTC.
    pub at: String,
    /// The queue.
    pub queue: String,
    /// From whom.
    pub from: Option<String>,
    /// To whom.
    pub to: String,
    /// `first`, `again`, `lost`, `joined`, `moved`: see `nephoscope cluster history`.
    pub reason: String,
}

impl Picture {
    /// Whether every member of the group that is alive has said enough for rates.
    pub fn is_whole(&self) -> bool {
        let heard = |member: &Member| member.received.is_some() || member.state == "gone";
        !self.members.is_empty() && self.members.iter().all(heard)
    }
}
