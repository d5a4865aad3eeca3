//! The table: what happens, to how many agents, under which load, and what it may repeat.

use super::faults::Fault;
use super::home::Link;
use super::stage::Kind;

/// What a scenario may repeat at its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Nothing at all.
    None,
    /// One batch of each queue that changed its owner unasked.
    Batch,
}

/// One row of the table.
#[expect(clippy::struct_excessive_bools, reason = "each is a column of the table, and independent of the others")]
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name, for `SCENARIO=`.
    pub name: &'static str,
    /// As the report tells it.
    pub title: &'static str,
    /// What happens in `make chaos`.
    pub full: Fault,
    /// What happens in `make test`, if it is there at all.
    pub short: Option<Fault>,
    /// Agents at the beginning.
    pub agents: usize,
    /// Pipeline queues of each sink.
    pub queues: usize,
    /// Seconds of load in `make chaos`.
    pub seconds: u64,
    /// Seconds of load in `make test`.
    pub short_seconds: u64,
    /// Of a hundred notifications.
    pub poison_percent: u32,
    /// Whether agents reach their servers through proxies.
    pub proxies: bool,
    /// Whether agents are containers of the compose project, and cut by its networks.
    pub containers: bool,
    /// What may come again.
    pub repeats: Repeats,
    /// Whether queues must have changed hands or come back, else the run proves nothing.
    pub must_move: bool,
    /// Whether there is one agent without a group.
    pub alone: bool,
    /// `rabbit_qos_prefetch_count`, where it is written.
    pub prefetch: Option<u16>,
    /// Whether nobody takes what agents publish from the beginning on: then nothing is acknowledged before the fault.
    pub begins_away: bool,
    /// Lines of `rabbitmq.conf`, on a broker of its own; only where there is one node.
    pub broker: &'static str,
    /// What must stand in the logs, else the run proves nothing.
    pub must_say: &'static [&'static str],
}

impl Scenario {
    /// Containers and processes have rows of their own.
    pub fn runs_on(&self, kind: Kind) -> bool {
        let one_node = matches!(kind, Kind::Classic | Kind::Quorum);
        self.containers == (kind == Kind::Compose) && (self.broker.is_empty() || one_node)
    }
}

const ROW: Scenario = Scenario {
    name: "",
    title: "",
    full: Fault::Poison,
    short: None,
    agents: 3,
    queues: 8,
    seconds: 60,
    short_seconds: 12,
    poison_percent: 0,
    proxies: false,
    containers: false,
    repeats: Repeats::Batch,
    must_move: true,
    alone: false,
    prefetch: None,
    begins_away: false,
    broker: "",
    must_say: &[],
};

/// All of them, in the order in which they run: what hurts the servers comes last.
pub const SCENARIOS: [Scenario; 26] = [
    Scenario {
        name: "kill",
        title: "SIGKILL of one of three agents every 5 s",
        full: Fault::Kill { every: 5, away: 0 },
        // Past its lease, so that both ways of taking over are seen.
        short: Some(Fault::Kill { every: 5, away: 4 }),
        seconds: 120,
        ..ROW
    },
    Scenario {
        name: "kill-away",
        title: "SIGKILL of one of three agents every 20 s, back after 15 s",
        full: Fault::Kill { every: 20, away: 15 },
        ..ROW
    },
    Scenario {
        name: "roll",
        title: "rolling SIGTERM with restart",
        full: Fault::Roll { every: 8 },
        short: Some(Fault::Roll { every: 3 }),
        repeats: Repeats::None,
        ..ROW
    },
    Scenario {
        name: "freeze",
        title: "SIGSTOP 1, 8, 12, 30 s (in short 1, 9 s), then SIGCONT",
        full: Fault::Freeze { pauses: &[1, 8, 12, 30] },
        short: Some(Fault::Freeze { pauses: &[1, 9] }),
        seconds: 80,
        short_seconds: 14,
        ..ROW
    },
    Scenario {
        name: "join",
        title: "join 1 to 3 to 8, and back to 1",
        full: Fault::Join { counts: &[3, 8, 3, 1] },
        agents: 1,
        seconds: 80,
        repeats: Repeats::None,
        ..ROW
    },
    Scenario { name: "kill-all", title: "SIGKILL of all at once, restart", full: Fault::KillAll { pause: 2 }, ..ROW },
    Scenario {
        name: "cut-etcd",
        title: "an agent cut from etcd",
        full: Fault::Cut { links: &[Link::Etcd], agents: 1, seconds: 25 },
        short: Some(Fault::Cut { links: &[Link::Etcd], agents: 1, seconds: 7 }),
        proxies: true,
        repeats: Repeats::None,
        ..ROW
    },
    Scenario {
        name: "cut-broker",
        title: "an agent cut from the broker",
        full: Fault::Cut { links: &[Link::Broker], agents: 1, seconds: 25 },
        proxies: true,
        ..ROW
    },
    Scenario {
        name: "connections",
        title: "connections closed at random every 2 s",
        full: Fault::Connections { every: 2 },
        short: Some(Fault::Connections { every: 2 }),
        proxies: true,
        ..ROW
    },
    Scenario {
        name: "poison",
        title: "5 % that nobody can read",
        full: Fault::Poison,
        poison_percent: 5,
        seconds: 30,
        repeats: Repeats::None,
        must_move: false,
        ..ROW
    },
    Scenario {
        name: "partitions",
        title: "8 to 32 to 4 pipeline queues, an agent killed in the middle",
        full: Fault::Partitions { counts: &[32, 4] },
        ..ROW
    },
    Scenario {
        name: "etcd",
        title: "etcd restarted, then stopped for 30 s",
        full: Fault::EtcdAway { seconds: 30 },
        repeats: Repeats::None,
        must_move: false,
        ..ROW
    },
    Scenario {
        name: "broker",
        title: "broker killed and restarted",
        full: Fault::BrokerKilled,
        short: Some(Fault::BrokerKilled),
        ..ROW
    },
    Scenario {
        name: "kill-poison",
        title: "SIGKILL of one of three every 5 s, 5 % that nobody can read",
        full: Fault::Kill { every: 5, away: 0 },
        poison_percent: 5,
        ..ROW
    },
    Scenario {
        name: "deleted",
        title: "queues, a state stream, the parking queue, an exchange, a binding deleted",
        full: Fault::Deleted,
        poison_percent: 5,
        must_say: &["agent.queue.gone"],
        ..ROW
    },
    Scenario {
        name: "refuses",
        title: "one pipeline queue (max-length 1, reject-publish) refuses for 30 s, its publisher away",
        full: Fault::Refuses { seconds: 30 },
        repeats: Repeats::None,
        must_move: false,
        must_say: &["agent.packet.held"],
        ..ROW
    },
    Scenario {
        name: "refuses-slow",
        title: "one pipeline queue (max-length 3, reject-publish) refuses, publishers slow",
        full: Fault::RefusesSlow,
        repeats: Repeats::None,
        must_move: false,
        must_say: &["agent.packet.held"],
        // Else the listeners take everything out of the queue, however slow they are.
        prefetch: Some(10),
        ..ROW
    },
    Scenario {
        name: "restarts-alone",
        title: "an agent alone restarted 25 times while its publishers are away",
        full: Fault::RestartsWhileAway { times: 25 },
        agents: 1,
        alone: true,
        begins_away: true,
        ..ROW
    },
    Scenario {
        name: "restarts-group",
        title: "all of three agents restarted 25 times while their publishers are away",
        full: Fault::RestartsWhileAway { times: 25 },
        ..ROW
    },
    Scenario {
        name: "timeout",
        title: "publishers away for 40 s, consumer_timeout 8 s",
        full: Fault::AwayPastTimeout { seconds: 40 },
        broker: "consumer_timeout = 8000\n",
        ..ROW
    },
    Scenario {
        name: "policy",
        title: "policies on main and pipeline queues: delivery-limit and 12 restarts, max-length with reject-publish, none",
        full: Fault::Policies,
        must_say: &["agent.packet.held"],
        ..ROW
    },
    Scenario {
        name: "paused",
        title: "the main queue's agent paused for 12 s, then for 30 s",
        full: Fault::Freeze { pauses: &[12, 30] },
        containers: true,
        ..ROW
    },
    Scenario {
        name: "net-etcd",
        title: "an agent's network to etcd taken away for 25 s",
        full: Fault::Cut { links: &[Link::Etcd], agents: 1, seconds: 25 },
        containers: true,
        repeats: Repeats::None,
        ..ROW
    },
    Scenario {
        name: "net-broker",
        title: "an agent's network to the broker taken away for 25 s",
        full: Fault::Cut { links: &[Link::Broker], agents: 1, seconds: 25 },
        containers: true,
        ..ROW
    },
    Scenario {
        name: "net-both",
        title: "an agent's networks to etcd and the broker taken away for 25 s",
        full: Fault::Cut { links: &[Link::Etcd, Link::Broker], agents: 1, seconds: 25 },
        containers: true,
        ..ROW
    },
    Scenario {
        name: "net-two",
        title: "two of three agents' networks to the broker taken away for 25 s",
        full: Fault::Cut { links: &[Link::Broker], agents: 2, seconds: 25 },
        containers: true,
        ..ROW
    },
];
