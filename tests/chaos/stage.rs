//! The servers of a run, and a virtual host, a group and a folder for each scenario on them.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::project::{Project, until};
use super::rig::{self, Cluster, Etcd, Generation, Own, Rabbit};

/// How many nodes, and which kind of queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One node, classic pipeline queues.
    Classic,
    /// One node, quorum queues, main queues too.
    Quorum,
    /// Three nodes each of RabbitMQ and etcd, quorum queues.
    Cluster,
    /// `docker-compose.yml`: one node, classic pipeline queues, and agents in containers.
    Compose,
}

impl Kind {
    /// What the report calls it, with RabbitMQ's release.
    pub fn name_on(self, generation: Generation) -> String {
        format!("RabbitMQ {}, {}", generation.number(), self.name())
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Classic => "classic",
            Kind::Quorum => "quorum",
            Kind::Cluster => "cluster of 3, quorum",
            Kind::Compose => "compose, classic",
        }
    }

    /// `[nephoscope] queue_type`.
    pub fn queue_type(self) -> &'static str {
        match self {
            Kind::Classic | Kind::Compose => "classic",
            Kind::Quorum | Kind::Cluster => "quorum",
        }
    }

    /// Whether main queues are quorum queues: in a cluster a classic one would be gone with its node.
    pub fn main_is_quorum(self) -> bool {
        self.queue_type() == "quorum"
    }

    /// Whether there are such servers: the images of the compose project are of Debian 13.
    pub fn is_of(self, generation: Generation) -> bool {
        self != Kind::Compose || generation == Generation::Four
    }
}

/// Servers that belong to this run alone.
pub struct Servers {
    /// Of which release.
    pub generation: Generation,
    /// How many, and which queues are on them.
    pub kind: Kind,
    given: Given,
}

enum Given {
    One(Own<Rabbit>, Own<Etcd>),
    Three(Cluster<Rabbit>, Cluster<Etcd>),
    Compose(Rc<Project>),
}

/// What members of a stage are.
pub enum Place {
    /// Processes beside the test.
    Processes,
    /// Containers of a project.
    Containers(Rc<Project>),
}

impl Servers {
    /// Starts them; about ten seconds, half a minute for a cluster or containers. A single broker has these lines of `rabbitmq.conf`. The error is why there can be none here.
    pub fn start(generation: Generation, kind: Kind, broker: &str) -> Result<Self, String> {
        let given = match kind {
            Kind::Cluster => Given::Three(rig::rabbitmq_cluster_of(generation), rig::etcd_cluster_of(generation)),
            Kind::Classic | Kind::Quorum => {
                Given::One(rig::own_rabbitmq_with(generation, broker), rig::own_etcd_of(generation))
            }
            Kind::Compose => Given::Compose(Rc::new(compose()?)),
        };
        if let (Given::One(one, _), false) = (&given, broker.is_empty()) {
            // RabbitMQ looks for deliveries that are too old once a minute, and takes this from no file.
            one.ctl(&["eval", "application:set_env(rabbit, channel_tick_interval, 2000)."]);
        }
        Ok(Servers { generation, kind, given })
    }

    /// The node that faults happen to: in a cluster one of three. Panics where it is a container.
    pub fn broker(&self) -> &Own<Rabbit> {
        match &self.given {
            Given::One(one, _) => one,
            Given::Three(three, _) => &three.members[0],
            Given::Compose(_) => panic!("no fault happens to the broker of the compose project"),
        }
    }

    /// The etcd that faults happen to: in a cluster one of three. Panics where it is a container.
    pub fn etcd(&self) -> &Own<Etcd> {
        match &self.given {
            Given::One(_, etcd) => etcd,
            Given::Three(_, three) => &three.members[0],
            Given::Compose(_) => panic!("no fault happens to the etcd of the compose project"),
        }
    }

    /// A place for one scenario.
    pub fn stage(&self, name: &str, ttl: Duration, queues: usize, proxies: bool) -> Stage {
        let on = format!("{}-{}", self.generation.number(), self.kind.queue_type());
        let group = format!("chaos-{name}-{on}-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&group);
        let _there = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let local = |port: u16| format!("127.0.0.1:{port}");
        let (place, vhost, published) = match &self.given {
            Given::One(one, _) => (Place::Processes, made(one, &group), vec![local(one.port)]),
            Given::Three(three, _) => {
                let ports = three.members.iter().map(|member| local(member.port));
                (Place::Processes, made(self.broker(), &group), ports.collect())
            }
            Given::Compose(project) => {
                // The agents' user in the containers writes logs there.
                std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
                project.set("NEPHOSCOPE_CHAOS_FOLDER", folder.to_str().unwrap());
                let all = ".*";
                project.exec("rabbitmq", &["rabbitmqctl", "-q", "add_vhost", &group]);
                project.exec(
                    "rabbitmq",
                    &["rabbitmqctl", "-q", "set_permissions", "-p", &group, "nephoscope", all, all, all],
                );
                (Place::Containers(Rc::clone(project)), group.clone(), vec![project.broker_address()])
            }
        };
        let (brokers, etcd, outlet, login) = match &place {
            Place::Processes => {
                let etcd = match &self.given {
                    Given::Three(_, three) => three.members.iter().map(|member| local(member.port)).collect(),
                    _ => vec![local(self.etcd().port)],
                };
                (published.clone(), etcd.join(","), IpAddr::from([127, 0, 0, 1]), "guest:guest")
            }
            Place::Containers(project) => (
                vec!["rabbitmq:5672".to_owned()],
                "etcd:2379".to_owned(),
                project.gateway("outlet").parse().unwrap(),
                "nephoscope:nephoscope",
            ),
        };
        Stage {
            kind: self.kind,
            place,
            vhost,
            brokers,
            etcd,
            published,
            outlet,
            login,
            folder,
            group,
            ttl,
            heartbeat: Duration::from_secs(ttl.as_secs() * 2 / 3),
            queues,
            proxies,
            alone: false,
            prefetch: None,
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
    /// What its members are.
    pub place: Place,
    /// All nodes as agents reach them, `host:port`.
    pub brokers: Vec<String>,
    /// etcd as agents reach it, `host:port`; several, separated by commas, in a cluster.
    pub etcd: String,
    /// This machine as agents reach it.
    pub outlet: IpAddr,
    /// Of the members' leases.
    pub ttl: Duration,
    /// AMQP heartbeat: a frozen agent keeps its queues for up to three.
    pub heartbeat: Duration,
    /// Pipeline queues of each sink.
    pub queues: usize,
    /// Whether agents reach their servers through proxies.
    pub proxies: bool,
    /// Whether there is one agent without a group.
    pub alone: bool,
    /// `rabbit_qos_prefetch_count`, where it is written.
    pub prefetch: Option<u16>,
    /// All nodes as the sender reaches them, `host:port`.
    published: Vec<String>,
    /// `user:password`.
    login: &'static str,
    /// Where all of it is on the brokers.
    pub vhost: String,
}

/// The broker and etcd of the compose project, and its networks; agents are only made.
fn compose() -> Result<Project, String> {
    let project = Project::prepare("chaos", env!("CARGO_BIN_EXE_nephoscope"), &["tests/compose/chaos.yml"])?;
    // All three are of one image. `--no-start` makes all networks, also those that only agents are on.
    project.compose(&["build", "agent1"]);
    project.compose(&["up", "--no-start"]);
    project.compose(&["start", "rabbitmq", "etcd"]);
    for service in ["rabbitmq", "etcd"] {
        until(Duration::from_mins(2), || {
            if project.is_healthy(service) { Ok(()) } else { Err(format!("{service} is not healthy")) }
        });
    }
    // From here on the agents' own logs, which stay in the stage's folder, say more.
    project.succeeded();
    Ok(project)
}

/// A virtual host of this name, or one like it.
fn made(broker: &Rabbit, group: &str) -> String {
    broker.vhost(group).rsplit('/').next().unwrap().to_owned()
}

impl Stage {
    /// `transport_url` with these brokers.
    pub fn transport(&self, brokers: &[String]) -> String {
        let hosts: Vec<String> = brokers.iter().map(|broker| format!("{}@{broker}", self.login)).collect();
        format!("rabbit://{}/{}", hosts.join(","), self.vhost)
    }

    /// Where the sender connects: any node.
    pub fn urls(&self) -> Vec<String> {
        let url = |broker| format!("amqp://{}@{broker}/{}", self.login, self.vhost);
        self.published.iter().map(url).collect()
    }

    /// Queues there are: the main queues of seven priorities, and in a group the queues of three sinks.
    pub fn queues_in_all(&self) -> usize {
        if self.alone { 7 } else { 7 + 3 * self.queues }
    }
}
