//! The rig: real servers for integration tests, `mod rig;` in a test file, or `#[path = "rig/mod.rs"] mod rig;`.
//!
//! [`rabbitmq`] and [`etcd`] give the one server that the whole run shares; it is started by the first test that asks, and
//! stopped by `make test` (or `tests/rig/stop-all.sh`), never by a test: name your queues and keys so that neighbours do
//! not meet, or take a [`Rabbit::vhost`]. A test that kills, freezes or stops a server takes [`own_rabbitmq`] or
//! [`own_etcd`]; the guard removes it, state and all, when the test ends.
//!
//! All knowledge about the servers is in the scripts beside this file; here they are only called.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses its own part of the rig")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A RabbitMQ node that runs.
#[derive(Clone, Debug)]
pub struct Rabbit {
    /// `amqp://guest:guest@127.0.0.1:<port>/%2f`
    pub url: String,
    /// AMQP port on 127.0.0.1.
    pub port: u16,
    slot: u8,
}

/// An etcd that runs.
#[derive(Clone, Debug)]
pub struct Etcd {
    /// `127.0.0.1:<port>`, without a scheme.
    pub endpoint: String,
    /// Client port on 127.0.0.1.
    pub port: u16,
    slot: u8,
}

/// The RabbitMQ that the whole test run shares, started if it is not there.
///
/// Panics in one line that says what to install when there is no server program.
pub fn rabbitmq() -> Rabbit {
    start_rabbitmq(0)
}

/// The etcd that the whole test run shares, started if it is not there.
///
/// Panics in one line that says what to install when there is no server program.
pub fn etcd() -> Etcd {
    start_etcd(0)
}

/// A RabbitMQ for one test alone, with nothing in it. Five can run side by side; the sixth asker waits.
pub fn own_rabbitmq() -> Own<Rabbit> {
    Own::fresh("rabbitmq.sh", start_rabbitmq)
}

/// An etcd for one test alone, with nothing in it. Five can run side by side; the sixth asker waits.
pub fn own_etcd() -> Own<Etcd> {
    Own::fresh("etcd.sh", start_etcd)
}

/// [`own_rabbitmq`] with further lines of `rabbitmq.conf`, until it is started again.
pub fn own_rabbitmq_with(conf: &str) -> Own<Rabbit> {
    Own::fresh("rabbitmq.sh", |slot| rabbit(slot, &[("RABBITMQ_CONF_EXTRA", conf)]))
}

/// [`own_etcd`] with further arguments, in which `PORT` is its client port, until it is started again.
pub fn own_etcd_with(arguments: &str) -> Own<Etcd> {
    Own::fresh("etcd.sh", |slot| etcd_in(slot, &[("ETCD_EXTRA", arguments)]))
}

/// Three RabbitMQ nodes that form one cluster; there is one per checkout, the second asker waits.
pub fn rabbitmq_cluster() -> Cluster<Rabbit> {
    Cluster::fresh("rabbitmq", start_rabbitmq)
}

/// Three etcd members that form one cluster; there is one per checkout, the second asker waits.
pub fn etcd_cluster() -> Cluster<Etcd> {
    Cluster::fresh("etcd", start_etcd)
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

    /// `rabbitmqctl` against this node (about a second per call); gives what it printed.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let slot = self.slot.to_string();
        script("rabbitmq.sh", &[&["ctl", &slot], arguments].concat())
    }
}

/// A server that belongs to one test: it may be killed, frozen, started again, and is removed on drop.
#[derive(Debug)]
pub struct Own<S> {
    /// The running server, as the shared one.
    pub server: S,
    script: &'static str,
    slot: String,
    /// Held for as long as the slot is ours; `None` in a cluster, which holds one for all its slots.
    _claim: Option<File>,
}

impl<S> Own<S> {
    fn fresh(script_name: &'static str, start: impl Fn(u8) -> S) -> Self {
        let (slot, claim) = free_slot(script_name);
        // What a test that was killed left behind is not this test's beginning.
        wipe(script_name, &slot.to_string());
        Self { server: start(slot), script: script_name, slot: slot.to_string(), _claim: Some(claim) }
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
        script(self.script, &[verb, &self.slot]);
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
        wipe(self.script, &self.slot);
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
    fn fresh(kind: &'static str, start: fn(u8) -> S) -> Self {
        let claim = claim_file(kind, "cluster");
        claim.lock().unwrap();
        let member_script = if kind == "etcd" { "etcd.sh" } else { "rabbitmq.sh" };
        for slot in 6..=8 {
            wipe(member_script, &slot.to_string());
        }
        script(&format!("{kind}-cluster.sh"), &["start"]);
        let member =
            |slot: u8| Own { server: start(slot), script: member_script, slot: slot.to_string(), _claim: None };
        Self { members: (6..=8).map(member).collect(), _claim: claim }
    }
}

fn start_rabbitmq(slot: u8) -> Rabbit {
    rabbit(slot, &[])
}

fn rabbit(slot: u8, settings: &[(&str, &str)]) -> Rabbit {
    let port = port_of(&script_with("rabbitmq.sh", &["start", &slot.to_string()], settings));
    Rabbit { url: format!("amqp://guest:guest@127.0.0.1:{port}/%2f"), port, slot }
}

fn start_etcd(slot: u8) -> Etcd {
    etcd_in(slot, &[])
}

fn etcd_in(slot: u8, settings: &[(&str, &str)]) -> Etcd {
    let port = port_of(&script_with("etcd.sh", &["start", &slot.to_string()], settings));
    Etcd { endpoint: format!("127.0.0.1:{port}"), port, slot }
}

/// A slot from 1 to 5 that no other test of this checkout holds, and the lock that says so: it goes with the file, so also
/// when the test is killed.
fn free_slot(script_name: &str) -> (u8, File) {
    let claims: Vec<File> = (1..=5).map(|slot| claim_file(script_name, &slot.to_string())).collect();
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

fn claim_file(kind: &str, slot: &str) -> File {
    let state = std::env::var_os("NEPHOSCOPE_RIG")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/rig"), PathBuf::from);
    std::fs::create_dir_all(&state).unwrap();
    File::create(state.join(format!("{kind}-{slot}.claim"))).unwrap()
}

/// `READY … port=<n> …` → n.
fn port_of(ready: &str) -> u16 {
    let word = ready.split_whitespace().find_map(|word| word.strip_prefix("port="));
    word.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {ready:?}"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig")
}

/// Run a script of the rig to its end; panics with its last line of complaint when it fails.
fn script(name: &str, arguments: &[&str]) -> String {
    script_with(name, arguments, &[])
}

/// The same with these variables set.
fn script_with(name: &str, arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let done = Command::new(folder().join(name))
        .args(arguments)
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run tests/rig/{name}: {error}"));
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{}",
        complaint.trim_end().lines().last().unwrap_or("a rig script failed in silence")
    );
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Remove a server and its state. Never panics: it runs on drop.
fn wipe(script_name: &str, slot: &str) {
    let _gone = Command::new(folder().join(script_name))
        .args(["stop", slot])
        .env("FAST", "1")
        .env("WIPE", "1")
        .stdout(Stdio::null())
        .status();
}
