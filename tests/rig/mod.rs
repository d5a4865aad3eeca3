//! The rig: real servers for integration tests, `mod rig;` in a test file, or `#[path = "rig/mod.rs"] mod rig;`.
//!
//! There are two generations of servers, see [`Generation`]; a function without one in its name gives the older.
//!
//! [`rabbitmq`] and [`etcd`] give the one server that the whole run shares; it is started by the first test that asks, and
//! stopped by `make test` (or `tests/rig/stop-all.sh`), never by a test: name your queues and keys so that neighbours do
//! not meet, or take a [`Rabbit::vhost`]. A test that kills, freezes or stops a server takes [`own_rabbitmq`] or
//! [`own_etcd`]; the guard removes it, state and all, when the test ends.
//!
//! All knowledge about the servers is in the scripts beside this file; here they are only called.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses its own part of the rig")]

mod destinations;

#[allow(unused_imports, reason = "each test file uses its own part of the rig")]
pub use destinations::*;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Which servers: those of which Debian.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Generation {
    /// RabbitMQ 3.10 and etcd 3.4, of Debian 12.
    Three,
    /// RabbitMQ 4.0 and etcd 3.5, of Debian 13. What RabbitMQ calls deprecated is denied: among others queues that are neither
    /// durable nor exclusive, as OpenStack's main queues are by default; for those [`rabbitmq_with_deprecated`].
    Four,
}

impl Generation {
    /// Both.
    pub const ALL: [Generation; 2] = [Generation::Three, Generation::Four];

    /// The number, as the scripts know it: that of RabbitMQ's release.
    pub fn number(self) -> &'static str {
        match self {
            Generation::Three => "3",
            Generation::Four => "4",
        }
    }
}

/// A RabbitMQ node that runs.
#[derive(Clone, Debug)]
pub struct Rabbit {
    /// `amqp://guest:guest@127.0.0.1:<port>/%2f`
    pub url: String,
    /// AMQP port on 127.0.0.1.
    pub port: u16,
    /// Of which release it is.
    pub generation: Generation,
    slot: u8,
}

/// An etcd that runs.
#[derive(Clone, Debug)]
pub struct Etcd {
    /// `127.0.0.1:<port>`, without a scheme.
    pub endpoint: String,
    /// Client port on 127.0.0.1.
    pub port: u16,
}

/// The RabbitMQ that the whole test run shares, started if it is not there.
///
/// Panics in one line that says what to install when there is no server program.
pub fn rabbitmq() -> Rabbit {
    rabbitmq_of(Generation::Three)
}

/// The RabbitMQ of this generation that the whole test run shares.
pub fn rabbitmq_of(generation: Generation) -> Rabbit {
    start_rabbitmq(&Place::of(generation, 0))
}

/// Another RabbitMQ of this generation that the whole test run shares, which allows what is deprecated, as RabbitMQ does where nothing
/// is configured. For generation three it is [`rabbitmq`].
pub fn rabbitmq_with_deprecated(generation: Generation) -> Rabbit {
    let slot = if generation == Generation::Three { 0 } else { 9 };
    start_rabbitmq(&Place::of(generation, slot))
}

/// The etcd that the whole test run shares, started if it is not there.
///
/// Panics in one line that says what to install when there is no server program.
pub fn etcd() -> Etcd {
    etcd_of(Generation::Three)
}

/// The etcd of this generation that the whole test run shares.
pub fn etcd_of(generation: Generation) -> Etcd {
    start_etcd(&Place::of(generation, 0))
}

/// A RabbitMQ for one test alone, with nothing in it. Five can run side by side; the sixth asker waits.
pub fn own_rabbitmq() -> Own<Rabbit> {
    own_rabbitmq_of(Generation::Three)
}

/// A RabbitMQ of this generation for one test alone, with nothing in it.
pub fn own_rabbitmq_of(generation: Generation) -> Own<Rabbit> {
    own_rabbitmq_with(generation, "")
}

/// A RabbitMQ of this generation for one test alone, with further lines of `rabbitmq.conf`, also when it is started again.
pub fn own_rabbitmq_with(generation: Generation, configuration: &str) -> Own<Rabbit> {
    Own::fresh("rabbitmq.sh", generation, configuration, start_rabbitmq)
}

/// An etcd for one test alone, with nothing in it. Five can run side by side; the sixth asker waits.
pub fn own_etcd() -> Own<Etcd> {
    own_etcd_of(Generation::Three)
}

/// An etcd of this generation for one test alone, with nothing in it.
pub fn own_etcd_of(generation: Generation) -> Own<Etcd> {
    own_etcd_with(generation, "")
}

/// An etcd of this generation for one test alone, with further arguments, in which `PORT` is its client port.
pub fn own_etcd_with(generation: Generation, arguments: &str) -> Own<Etcd> {
    Own::fresh("etcd.sh", generation, arguments, start_etcd)
}

/// Three RabbitMQ nodes that form one cluster; there is one per checkout and generation, the second asker waits.
pub fn rabbitmq_cluster() -> Cluster<Rabbit> {
    rabbitmq_cluster_of(Generation::Three)
}

/// Three RabbitMQ nodes of this generation that form one cluster.
pub fn rabbitmq_cluster_of(generation: Generation) -> Cluster<Rabbit> {
    Cluster::fresh("rabbitmq", generation, start_rabbitmq)
}

/// Three etcd members that form one cluster; there is one per checkout and generation, the second asker waits.
pub fn etcd_cluster() -> Cluster<Etcd> {
    etcd_cluster_of(Generation::Three)
}

/// Three etcd members of this generation that form one cluster.
pub fn etcd_cluster_of(generation: Generation) -> Cluster<Etcd> {
    Cluster::fresh("etcd", generation, start_etcd)
}

impl Rabbit {
    /// A fresh virtual host of this broker: the transport URL of an empty RabbitMQ, for the price of one `rabbitmqctl`
    /// (about a second). It is not removed; the state of the rig is.
    pub fn vhost(&self, about: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{about}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.ctl(&[
            "eval",
            &format!(
                "rabbit_vhost:add(<<\"{name}\">>, <<\"guest\">>), rabbit_auth_backend_internal:set_permissions(\
                 <<\"guest\">>, <<\"{name}\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"guest\">>)."
            ),
        ]);
        format!("amqp://guest:guest@127.0.0.1:{}/{name}", self.port)
    }

    /// The address of its management API, of a node whose configuration has the line `# rig: management`.
    pub fn management(&self) -> String {
        format!("http://127.0.0.1:{}", self.port + 10)
    }

    /// `rabbitmqctl` against this node (about a second per call); gives what it printed.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let slot = self.slot.to_string();
        Place::of(self.generation, self.slot).script("rabbitmq.sh", &[&["ctl", &slot], arguments].concat())
    }
}

/// A server that belongs to one test: it may be killed, frozen, started again, and is removed on drop.
#[derive(Debug)]
pub struct Own<S> {
    /// The running server, as the shared one.
    pub server: S,
    script: &'static str,
    place: Place,
    /// Held for as long as the slot is ours; `None` in a cluster, which holds one for all its slots.
    _claim: Option<File>,
}

impl<S> Own<S> {
    fn fresh(script_name: &'static str, generation: Generation, configuration: &str, start: fn(&Place) -> S) -> Self {
        let (slot, claim) = free_slot(script_name, generation);
        let place = Place { configuration: configuration.to_owned(), ..Place::of(generation, slot) };
        // What a test that was killed left behind is not this test's beginning.
        place.wipe(script_name);
        Self { server: start(&place), script: script_name, place, _claim: Some(claim) }
    }

    /// SIGKILL; what is on disk stays.
    pub fn kill(&self) {
        self.order("kill");
    }

    /// SIGTERM, and wait until it is gone; what is on disk stays.
    pub fn stop(&self) {
        self.order("stop");
    }

    /// Start it again, after [`Own::kill`] or [`Own::stop`], on the same port with the same state; returns when it serves.
    pub fn start(&self) {
        self.order("start");
    }

    /// [`Own::stop`], then [`Own::start`].
    pub fn restart(&self) {
        self.stop();
        self.start();
    }

    /// SIGSTOP: connections stay open, and nothing answers.
    pub fn freeze(&self) {
        self.order("freeze");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.order("thaw");
    }

    fn order(&self, verb: &str) {
        self.place.script(self.script, &[verb, &self.place.slot.to_string()]);
    }
}

impl<S> std::ops::Deref for Own<S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.server
    }
}

impl<S> Drop for Own<S> {
    fn drop(&mut self) {
        self.place.wipe(self.script);
    }
}

/// Three servers that form one cluster, removed on drop.
#[derive(Debug)]
pub struct Cluster<S> {
    /// The members, each of which may be killed, frozen and started again.
    pub members: Vec<Own<S>>,
    _claim: File,
}

impl<S> Cluster<S> {
    fn fresh(kind: &'static str, generation: Generation, start: fn(&Place) -> S) -> Self {
        let claim = claim_file(kind, generation, "cluster");
        claim.lock().unwrap();
        let member_script = if kind == "etcd" { "etcd.sh" } else { "rabbitmq.sh" };
        let place = |slot| Place::of(generation, slot);
        for slot in 6..=8 {
            place(slot).wipe(member_script);
        }
        place(6).script(&format!("{kind}-cluster.sh"), &["start"]);
        let member =
            |slot| Own { server: start(&place(slot)), script: member_script, place: place(slot), _claim: None };
        Self { members: (6..=8).map(member).collect(), _claim: claim }
    }
}

fn start_rabbitmq(place: &Place) -> Rabbit {
    let port = port_of(&place.script("rabbitmq.sh", &["start", &place.slot.to_string()]));
    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    Rabbit { url, port, generation: place.generation, slot: place.slot }
}

fn start_etcd(place: &Place) -> Etcd {
    let port = port_of(&place.script("etcd.sh", &["start", &place.slot.to_string()]));
    Etcd { endpoint: format!("127.0.0.1:{port}"), port }
}

/// A slot from 1 to 5 that no other test of this checkout holds, and the lock that says so: it goes with the file, so also
/// when the test is killed.
fn free_slot(script_name: &str, generation: Generation) -> (u8, File) {
    let claims: Vec<File> = (1..=5).map(|slot| claim_file(script_name, generation, &slot.to_string())).collect();
    let mut slots = (1..=5).zip(claims);
    let (first_slot, first) = slots.next().unwrap();
    if first.try_lock().is_ok() {
        return (first_slot, first);
    }
    if let Some(free) = slots.find(|(_, claim)| claim.try_lock().is_ok()) {
        return free;
    }
    first.lock().unwrap();
    (first_slot, first)
}

fn claim_file(kind: &str, generation: Generation, slot: &str) -> File {
    let state = std::env::var_os("NEPHOSCOPE_RIG")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/rig"), PathBuf::from);
    std::fs::create_dir_all(&state).unwrap();
    File::create(state.join(format!("{kind}-{}-{slot}.claim", generation.number()))).unwrap()
}

/// `READY … port=<n> …` → n.
fn port_of(ready: &str) -> u16 {
    let word = ready.split_whitespace().find_map(|word| word.strip_prefix("port="));
    word.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {ready:?}"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig")
}

/// Where a server is, and what its scripts are told.
#[derive(Clone, Debug)]
struct Place {
    generation: Generation,
    slot: u8,
    /// Further lines of `rabbitmq.conf`, which the scripts keep; or arguments of etcd; or what the other scripts take.
    configuration: String,
}

impl Place {
    fn of(generation: Generation, slot: u8) -> Self {
        Place { generation, slot, configuration: String::new() }
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(folder().join(name));
        command.args(arguments).env("NEPHOSCOPE_GENERATION", self.generation.number()).stdin(Stdio::null());
        if !self.configuration.is_empty() {
            for name in ["RABBITMQ_CONF_EXTRA", "ETCD_EXTRA", "GNOCCHI_METRICD", "PROMETHEUS_SCRAPE"] {
                command.env(name, &self.configuration);
            }
        }
        command
    }

    /// Run a script of the rig to its end; panics with its last line of complaint when it fails.
    fn script(&self, name: &str, arguments: &[&str]) -> String {
        self.try_script(name, arguments).unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// The same; `Err` is the reason why what the script starts cannot be had on this machine.
    fn try_script(&self, name: &str, arguments: &[&str]) -> Result<String, String> {
        let done = self.command(name, arguments).output();
        let done = done.unwrap_or_else(|error| panic!("cannot run tests/rig/{name}: {error}"));
        let complaint = String::from_utf8_lossy(&done.stderr);
        let complaint = complaint.trim_end().lines().last().unwrap_or("a rig script failed in silence");
        // As `unavailable` in rig.sh ends.
        if done.status.code() == Some(77) {
            return Err(complaint.to_owned());
        }
        assert!(done.status.success(), "{complaint}");
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Remove a server and its state. Never panics: it runs on drop.
    fn wipe(&self, script_name: &str) {
        let mut command = self.command(script_name, &["stop", &self.slot.to_string()]);
        let _gone = command.env("FAST", "1").env("WIPE", "1").stdout(Stdio::null()).status();
    }
}
