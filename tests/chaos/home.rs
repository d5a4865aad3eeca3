//! Where a member runs, a process here or a container of the compose project, and what can be done to it there.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use super::project::Project;
use super::proxy::Proxy;
use super::stage::{Place, Stage};

/// What an agent cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// To RabbitMQ.
    Broker,
    /// To etcd.
    Etcd,
}

/// Where one member runs; killed on drop.
pub enum Home {
    /// A child of the test; its links are proxies, where the scenario wants them.
    Process {
        /// None before the start and after the end.
        child: Option<Child>,
        /// Before the first broker.
        broker: Option<Proxy>,
        /// Before etcd.
        etcd: Option<Proxy>,
    },
    /// A service of the compose project, on a network for each link.
    Container {
        /// The running project.
        project: Rc<Project>,
        /// `agent1` to `agent3`, and its host name.
        service: String,
    },
}

/// The port for metrics and the health check of the image.
const CONTAINER_PORT: u16 = 9187;
/// A program of an older version: members begin with it, and each restart is an upgrade.
const BEFORE: &str = "NEPHOSCOPE_CHAOS_BEFORE";
/// How a process ends that drained.
const WELL: &str = "exit status: 0";

impl Home {
    /// A place for the `at`th member; nothing runs there yet.
    pub async fn new(stage: &Stage, at: usize) -> Self {
        match &stage.place {
            Place::Processes => {
                let (broker, etcd) = if stage.proxies {
                    let (broker, etcd) = (&stage.brokers[0], &stage.etcd);
                    (Some(Proxy::before(port_of(broker)).await), Some(Proxy::before(port_of(etcd)).await))
                } else {
                    (None, None)
                };
                Home::Process { child: None, broker, etcd }
            }
            Place::Containers(project) => {
                Home::Container { project: Rc::clone(project), service: format!("agent{}", at + 1) }
            }
        }
    }

    /// The brokers and the etcd as a member here reaches them, and where it listens: `host:port` each.
    pub fn addresses(&self, stage: &Stage) -> (Vec<String>, String, String) {
        let proxied = |proxy: &Proxy| format!("127.0.0.1:{}", proxy.port);
        match self {
            Home::Process { broker, etcd, .. } => (
                broker.as_ref().map_or(stage.brokers.clone(), |proxy| vec![proxied(proxy)]),
                etcd.as_ref().map_or(stage.etcd.clone(), proxied),
                // A port that is chosen here may be another's before the agent takes it.
                "127.0.0.1:0".to_owned(),
            ),
            Home::Container { .. } => (stage.brokers.clone(), stage.etcd.clone(), format!("0.0.0.0:{CONTAINER_PORT}")),
        }
    }

    /// Where the agent with this log is asked for its metrics; `None` where it does not listen yet.
    pub fn metrics(&self, log: &Path) -> Option<SocketAddr> {
        match self {
            Home::Process { .. } => {
                let text = fs::read_to_string(log).ok()?;
                let line = text.lines().find(|line| line.contains("observe.http.listening"))?;
                serde_json::from_str::<serde_json::Value>(line).ok()?["address"].as_str()?.parse().ok()
            }
            Home::Container { project, service } => {
                Some((project.address(service, "outlet").parse::<std::net::IpAddr>().unwrap(), CONTAINER_PORT).into())
            }
        }
    }

    /// Starts an agent with this configuration, whose standard error becomes this log. Its `turn` in this place counts
    /// from 1: the first may be the program before this one ([`BEFORE`]).
    pub fn start(&mut self, config: &Path, log: &Path, turn: usize) {
        match self {
            Home::Process { child, .. } => {
                let before = std::env::var(BEFORE).ok().filter(|path| turn == 1 && !path.is_empty());
                let program = before.unwrap_or_else(|| env!("CARGO_BIN_EXE_nephoscope").to_owned());
                let started = Command::new(program)
                    .args(["run", "--config-file"])
                    .arg(config)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(File::create(log).unwrap())
                    .spawn();
                *child = Some(started.unwrap());
            }
            Home::Container { project, service } => {
                let folder = config.parent().unwrap();
                let (config, log) = (config.display(), log.display());
                // What tests/compose/chaos.yml runs; the folder has the same path in the container.
                let script = format!("exec nephoscope run --config-file {config} 2> {log}\n");
                fs::write(folder.join(format!("{service}.sh")), script).unwrap();
                // Creates the container, or starts the one that ended.
                project.compose(&["up", "-d", "--no-deps", service]);
            }
        }
    }

    /// SIGKILL, and wait.
    pub fn kill(&mut self) {
        match self {
            Home::Process { child, .. } => {
                if let Some(mut child) = child.take() {
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
            }
            Home::Container { project, service } => project.docker(&["kill"], service),
        }
    }

    /// SIGTERM; `ended` tells when it has.
    pub fn terminate(&self) {
        match self {
            Home::Process { child, .. } => signal(child.as_ref().unwrap(), "TERM"),
            Home::Container { project, service } => project.docker(&["kill", "-s", "TERM"], service),
        }
    }

    /// Whether what was started has ended, and well.
    pub fn ended(&mut self) -> Option<bool> {
        self.how_it_ended().map(|how| how == WELL)
    }

    /// How what was started has ended: its exit status, or what ended it.
    pub fn how_it_ended(&mut self) -> Option<String> {
        match self {
            Home::Process { child, .. } => child.as_mut()?.try_wait().unwrap().map(|status| status.to_string()),
            Home::Container { project, service } => {
                let state = project.inspect(service, "{{.State.Running}} {{.State.ExitCode}}");
                let code = state.strip_prefix("false ")?;
                Some(format!("exit status: {code}"))
            }
        }
    }

    /// Stops it without its knowing, as a virtual machine that is moved: SIGSTOP, or all of the container's processes at once.
    pub fn freeze(&self) {
        match self {
            Home::Process { child, .. } => signal(child.as_ref().unwrap(), "STOP"),
            Home::Container { project, service } => project.docker(&["pause"], service),
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        match self {
            Home::Process { child, .. } => signal(child.as_ref().unwrap(), "CONT"),
            Home::Container { project, service } => project.docker(&["unpause"], service),
        }
    }

    /// Cuts a link such that nobody at either end is told.
    pub fn cut(&self, link: Link) {
        match self {
            Home::Process { .. } => self.proxy(link).hole(true),
            Home::Container { project, service } => project.cut(service, network(link)),
        }
    }

    /// Mends it; a container may have another address then.
    pub fn mend(&self, link: Link) {
        match self {
            Home::Process { .. } => self.proxy(link).hole(false),
            Home::Container { project, service } => project.join(service, network(link)),
        }
    }

    /// The proxy of a process's link; panics where the scenario has none.
    pub fn proxy(&self, link: Link) -> &Proxy {
        let Home::Process { broker, etcd, .. } = self else { panic!("a container has networks, not proxies") };
        let proxy = if link == Link::Broker { broker } else { etcd };
        proxy.as_ref().unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        match self {
            Home::Process { child, .. } => {
                if let Some(mut child) = child.take() {
                    let _gone = child.kill();
                    let _status = child.wait();
                }
            }
            Home::Container { project, service } => project.remove(service),
        }
    }
}

/// The network of docker-compose.yml that carries a link.
fn network(link: Link) -> &'static str {
    match link {
        Link::Broker => "broker",
        Link::Etcd => "coordination",
    }
}

fn port_of(address: &str) -> u16 {
    address.rsplit(':').next().unwrap().parse().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}
