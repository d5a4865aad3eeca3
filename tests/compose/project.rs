//! One running compose project, by whichever of `docker compose` and `docker-compose` is there; removed on drop.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(dead_code, reason = "tests/compose.rs and tests/chaos are crates of their own; each uses its own part")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) struct Project {
    name: String,
    /// `["docker", "compose"]` or `["docker-compose"]`.
    program: Vec<&'static str>,
    env_file: PathBuf,
    /// `docker-compose.yml`, and what changes it.
    files: Vec<PathBuf>,
    /// What the files interpolate, beside the `env_file`.
    variables: RefCell<HashMap<&'static str, String>>,
    /// Files of the test itself.
    pub(crate) scratch: tempfile::TempDir,
    /// Containers by their service. `docker-compose ps` takes a second; stopping and starting keeps the container.
    containers: RefCell<HashMap<String, String>>,
    succeeded: Cell<bool>,
}

impl Project {
    /// Make the images with `binary` in them. `more` are files that change `docker-compose.yml`; `name` tells projects of
    /// one checkout apart. The error is the reason why nothing can be started here.
    pub(crate) fn prepare(name: &str, binary: &str, more: &[&str]) -> Result<Self, String> {
        if !answers(&["docker", "info"]) {
            return Err("no Docker engine answers".to_owned());
        }
        let program = if answers(&["docker", "compose", "version"]) {
            vec!["docker", "compose"]
        } else if answers(&["docker-compose", "version"]) {
            vec!["docker-compose"]
        } else {
            return Err("neither `docker compose` nor `docker-compose` is installed".to_owned());
        };
        let env_file = if let Some(own) = std::env::var_os("NEPHOSCOPE_COMPOSE_ENV") {
            PathBuf::from(own)
        } else {
            let binary = std::env::var("NEPHOSCOPE_BINARY").unwrap_or_else(|_| binary.to_owned());
            run(Command::new(repository().join("deploy/local-images.sh")).env("NEPHOSCOPE_BINARY", binary));
            repository().join("target/compose.env")
        };
        // A name per checkout, so that two of them do not take each other's project down.
        let name = format!("nephoscope_{name}_{:08x}", short_hash(repository().to_str().unwrap_or_default()));
        let project = Self {
            name,
            program,
            env_file,
            files: ["docker-compose.yml"].iter().chain(more).map(|file| repository().join(file)).collect(),
            variables: RefCell::default(),
            scratch: tempfile::tempdir().unwrap(),
            containers: RefCell::default(),
            succeeded: Cell::default(),
        };
        // What a run that was killed left behind.
        project.compose(&["down", "-v", "--remove-orphans", "-t", "1"]);
        Ok(project)
    }

    /// Run a compose command to its end; panics with what it said when it fails.
    pub(crate) fn compose(&self, arguments: &[&str]) {
        run(self.command().args(arguments));
    }

    /// What a file interpolates from now on; containers that depend on it are made anew when they are next brought up.
    pub(crate) fn set(&self, variable: &'static str, value: &str) {
        self.variables.borrow_mut().insert(variable, value.to_owned());
        self.containers.borrow_mut().clear();
    }

    pub(crate) fn is_healthy(&self, service: &str) -> bool {
        self.inspect(service, "{{.State.Health.Status}}") == "healthy"
    }

    /// A detail of a service's container, by a template of `docker inspect`.
    pub(crate) fn inspect(&self, service: &str, template: &str) -> String {
        run(Command::new("docker").args(["inspect", "-f", template, &self.container(service)])).trim().to_owned()
    }

    /// A service's address on one of the networks; this machine reaches it there.
    pub(crate) fn address(&self, service: &str, network: &str) -> String {
        let network = self.network(network);
        self.inspect(service, &format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}"))
    }

    /// This machine's own address on one of the networks.
    pub(crate) fn gateway(&self, network: &str) -> String {
        let network = self.network(network);
        let template = "{{range .IPAM.Config}}{{.Gateway}}{{end}}";
        run(Command::new("docker").args(["network", "inspect", "-f", template, &network])).trim().to_owned()
    }

    /// Run a program in a service's container; panics with what it said when it fails.
    pub(crate) fn exec(&self, service: &str, command: &[&str]) -> String {
        run(Command::new("docker").args(["exec", &self.container(service)]).args(command))
    }

    /// A command of the engine to a service's container; at once, where the compose program takes a second.
    pub(crate) fn docker(&self, command: &[&str], service: &str) {
        run(Command::new("docker").args(command).arg(self.container(service)));
    }

    /// Take a service's container away at once, if there is one.
    pub(crate) fn remove(&self, service: &str) {
        if let Some(container) = self.containers.borrow_mut().remove(service) {
            let _gone = Command::new("docker").args(["rm", "-f", &container]).stdout(Stdio::null()).status();
        }
    }

    /// Take a service off one of the networks; its connections there hang, as with a pulled cable.
    pub(crate) fn cut(&self, service: &str, network: &str) {
        let network = self.network(network);
        run(Command::new("docker").args(["network", "disconnect", &network, &self.container(service)]));
    }

    pub(crate) fn join(&self, service: &str, network: &str) {
        let network = self.network(network);
        run(Command::new("docker").args(["network", "connect", &network, &self.container(service)]));
    }

    /// The broker as a notifier outside of the containers sees it.
    pub(crate) fn broker_url(&self) -> String {
        format!("rabbit://nephoscope:nephoscope@{}/", self.broker_address())
    }

    /// Host and port of it.
    pub(crate) fn broker_address(&self) -> String {
        run(self.command().args(["port", "rabbitmq", "5672"])).trim().to_owned()
    }

    /// The JSON lines of a file on the output volume; none if it is not there yet. A last line without its end is not read.
    pub(crate) fn output(&self, file: &str) -> Vec<Value> {
        // The one agent that is never stopped or paused.
        let read = format!("cat /output/{file} 2> /dev/null || true");
        let text = run(Command::new("docker").args(["exec", &self.container("agent3"), "sh", "-c", &read]));
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{file}: {error} in {line:?}"));
        whole.lines().map(parse).collect()
    }

    /// Nothing to see: no logs on drop.
    pub(crate) fn succeeded(&self) {
        self.succeeded.set(true);
    }

    /// The engine's name of one of the networks.
    fn network(&self, network: &str) -> String {
        format!("{}_{network}", self.name)
    }

    /// Container names differ between the two compose programs; ids do not.
    fn container(&self, service: &str) -> String {
        if let Some(known) = self.containers.borrow().get(service) {
            return known.clone();
        }
        let id = run(self.command().args(["ps", "-q", service])).trim().to_owned();
        self.containers.borrow_mut().insert(service.to_owned(), id.clone());
        id
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program[0]);
        command
            .args(&self.program[1..])
            .args(["-p", &self.name, "--env-file"])
            .arg(&self.env_file)
            .args(self.files.iter().flat_map(|file| [Path::new("-f"), file]))
            .envs(&*self.variables.borrow())
            .current_dir(repository());
        command
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if !self.succeeded.get() {
            let _shown = self.command().args(["logs", "--no-color", "--tail", "40"]).status();
        }
        let _gone = self
            .command()
            .args(["down", "-v", "--remove-orphans", "-t", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Ask twice a second until the answer is `Ok`; panics with the last complaint when `within` is over.
pub(crate) fn until(within: Duration, mut ask: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while let Err(complaint) = ask() {
        assert!(start.elapsed() < within, "not within {} s: {complaint}", within.as_secs());
        let _waited = Command::new("sleep").arg("0.5").status();
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Does the command end well within ten seconds?
fn answers(command: &[&str]) -> bool {
    let asked = Command::new("timeout").arg("10").args(command).stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {complaint}{}", String::from_utf8_lossy(&done.stdout));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A short name for a path; not a checksum of anything.
fn short_hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
