//! The servers of a run, and a virtual host, a group and a folder for each scenario on them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rig::{self, Cluster, Etcd, Own, Rabbit};

/// Which RabbitMQ, and which kind of queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One node, classic pipeline queues.
    Classic,
    /// One node, quorum pipeline queues.
    Quorum,
    /// Three nodes, quorum queues.
    Cluster,
}

impl Kind {
    /// As the report calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Classic => "classic",
            Kind::Quorum => "quorum",
            Kind::Cluster => "cluster of 3, quorum",
        }
    }

    /// `[nephoscope] queue_type`.
    pub fn queue_type(self) -> &'static str {
        if self == Kind::Classic { "classic" } else { "quorum" }
    }

    /// Whether main queues are quorum queues: a classic one would be gone with its node.
    pub fn main_is_quorum(self) -> bool {
        self == Kind::Cluster
    }
}

/// Servers that belong to this run alone.
pub struct Servers {
    kind: Kind,
    brokers: Brokers,
    /// Where members meet.
    pub etcd: Own<Etcd>,
}

enum Brokers {
    One(Own<Rabbit>),
    Three(Cluster<Rabbit>),
}

impl Servers {
    /// Starts them; about ten seconds, half a minute for a cluster.
    pub fn start(kind: Kind) -> Self {
        let brokers = match kind {
            Kind::Cluster => Brokers::Three(rig::rabbitmq_cluster()),
            Kind::Classic | Kind::Quorum => Brokers::One(rig::own_rabbitmq()),
        };
        Servers { kind, brokers, etcd: rig::own_etcd() }
    }

    /// The node that faults happen to: in a cluster one of three.
    pub fn broker(&self) -> &Own<Rabbit> {
        match &self.brokers {
            Brokers::One(one) => one,
            Brokers::Three(three) => &three.members[0],
        }
    }

    /// A place for one scenario.
    pub fn stage(&self, name: &str, ttl: Duration, queues: usize, proxies: bool) -> Stage {
        let group = format!("chaos-{name}-{}-{}", self.kind.queue_type(), std::process::id());
        let url = self.broker().vhost(&group);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&group);
        let _there = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let broker_ports = match &self.brokers {
            Brokers::One(one) => vec![one.port],
            Brokers::Three(three) => three.members.iter().map(|member| member.port).collect(),
        };
        Stage {
            kind: self.kind,
            vhost: url.rsplit('/').next().unwrap().to_owned(),
            etcd_port: self.etcd.port,
            broker_ports,
            folder,
            group,
            ttl,
            heartbeat: Duration::from_secs(ttl.as_secs() * 2 / 3),
            queues,
            proxies,
        }
    }
}

/// One scenario's place.
pub struct Stage {
    /// Queues are of this kind.
    pub kind: Kind,
    /// The group's name.
    pub group: String,
    /// Configuration and logs.
    pub folder: PathBuf,
    /// All nodes.
    pub broker_ports: Vec<u16>,
    /// etcd's.
    pub etcd_port: u16,
    /// Of the members' leases.
    pub ttl: Duration,
    /// AMQP heartbeat: a frozen agent keeps its queues for up to three.
    pub heartbeat: Duration,
    /// Pipeline queues of each sink.
    pub queues: usize,
    /// Whether agents reach their servers through proxies.
    pub proxies: bool,
    vhost: String,
}

impl Stage {
    /// `transport_url` with these ports.
    pub fn transport(&self, ports: &[u16]) -> String {
        let hosts: Vec<String> = ports.iter().map(|port| format!("guest:guest@127.0.0.1:{port}")).collect();
        format!("rabbit://{}/{}", hosts.join(","), self.vhost)
    }

    /// Where the sender connects: any node.
    pub fn urls(&self) -> Vec<String> {
        let url = |port| format!("amqp://guest:guest@127.0.0.1:{port}/{}", self.vhost);
        self.broker_ports.iter().map(url).collect()
    }

    /// Units there are: the main queues of seven priorities, and the queues of three sinks.
    pub fn units(&self) -> usize {
        7 + 3 * self.queues
    }
}
