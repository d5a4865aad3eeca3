//! `make bench`: the agent beside loops that do no more than any client of the broker must, and beside Ceilometer.
//!
//! One machine, RabbitMQ and etcd on loopback, 20,000 mixed notifications pre-filled, no two the same, the file
//! publisher. Printed, never gated on: absolute figures drift by a factor of two between runs on shared machines, ratios
//! do less. `docs/performance.md` says how to read the table.
//!
//! `cargo bench --bench throughput -- bare relay50 group` drains in these loops only; `restore` and `latency` are the other
//! parts; `growth` is what plain `make bench` leaves out.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench fails by panicking")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures for people")]

#[path = "throughput/agent.rs"]
mod agent;
#[path = "throughput/broker.rs"]
mod broker;
#[path = "throughput/ceilometer.rs"]
mod ceilometer;
#[path = "throughput/drain.rs"]
mod drain;
#[path = "throughput/growth.rs"]
mod growth;
#[path = "throughput/latency.rs"]
mod latency;
#[path = "throughput/measures.rs"]
mod measures;
#[path = "throughput/mix.rs"]
mod mix;
mod process;
#[path = "../tests/rig/mod.rs"]
mod rig;
#[path = "throughput/table.rs"]
mod table;
#[path = "throughput/watchers.rs"]
mod watchers;
#[path = "throughput/yardsticks.rs"]
mod yardsticks;

use agent::Setup;
use broker::Broker;
use measures::Drain;
use std::fs;
use table::{Loop, Yardstick};

const NOTIFICATIONS: usize = 20_000;
/// Ceilometer is slower by more than an order.
const FOR_CEILOMETER: usize = 4_000;
const ROUNDS: usize = 3;
/// As many as take seconds, with so many who look.
const WATCHED_NOTIFICATIONS: usize = 100_000;
const WATCHED_ROUNDS: usize = 5;
const WATCHERS: usize = 100;
/// The loops, each with what its CPU is compared with.
const LOOPS: [(&str, Yardstick); 7] = [
    ("bare", Yardstick::Bare),
    ("relay50", Yardstick::Relay50),
    ("alone", Yardstick::Bare),
    ("group", Yardstick::Relay50),
    ("rated", Yardstick::Relay50),
    ("samples", Yardstick::Bare),
    ("ceilometer", Yardstick::Bare),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == yardsticks::MODE) {
        return yardsticks::run(&arguments[1..]);
    }
    let wanted: Vec<String> = arguments.into_iter().filter(|argument| !argument.starts_with('-')).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (broker, bodies) = (Broker::connect().await, mix::bundled());
        println!(
            "{NOTIFICATIONS} notifications, mean {} bytes, {} cores, load {} before, RabbitMQ on loopback, classic queues, file publisher",
            bodies.iter().map(Vec::len).sum::<usize>() / bodies.len(),
            std::thread::available_parallelism().map_or(0, usize::from),
            load()
        );
        println!("the agent is {}", process::agent_program().display());
        drain_all(&broker, &bodies, wants).await;
        if wants("watched") {
            watched(&broker, &bodies).await;
        }
        if wants("restore") {
            latency::restore(&broker, &bodies).await;
        }
        if wants("latency") {
            latency::latency(&broker, "alone", &Setup::alone("latency"), &bodies).await;
            latency::latency(&broker, "group", &Setup::grouped("latency"), &bodies).await;
        }
        if wanted.iter().any(|wanted| wanted == "growth") {
            growth::grow(&broker, &bodies).await;
        }
        println!("load {} after", load());
    });
}

/// Drains in every loop that is wanted, round after round, and prints a line for each.
async fn drain_all(broker: &Broker, bodies: &[Vec<u8>], wants: impl Fn(&str) -> bool) {
    let version = ceilometer::version();
    let mut loops: Vec<Loop> = LOOPS
        .into_iter()
        .filter(|(name, _)| wants(name) && (*name != "ceilometer" || version.is_some()))
        .map(|(name, yardstick)| Loop { name, yardstick, rounds: Vec::new() })
        .collect();
    if wants("ceilometer") {
        match &version {
            Some(version) => println!("ceilometer is Ceilometer {version}, one worker, {FOR_CEILOMETER} notifications"),
            None => println!("skipped: ceilometer: it is not installed (apt-get install python3-ceilometer)"),
        }
    }
    for round in 0..=ROUNDS {
        // Interleaved, so that a slow minute of the machine hits all of them.
        for one in &mut loops {
            let drain = drain_once(one.name, broker, bodies).await;
            // The first one does not count: the broker makes queues and streams in it that the others find.
            if round > 0 {
                one.rounds.push(drain);
            }
        }
    }
    if !loops.is_empty() {
        table::print(&loops);
    }
}

async fn drain_once(name: &str, broker: &Broker, bodies: &[Vec<u8>]) -> Drain {
    let alone = Setup::alone(name);
    let setup = match name {
        "bare" | "relay50" => {
            let queues = alone.queues();
            broker.fill(&queues, mix::repeated(bodies, NOTIFICATIONS)).await;
            return yardsticks::measure(agent::this_program(), name, broker, &queues[0], NOTIFICATIONS);
        }
        "ceilometer" => return ceilometer::drain(broker, bodies, FOR_CEILOMETER).await,
        "group" => Setup::grouped(name),
        // A group that has seen these notifications would leave them out.
        "rated" => Setup { rates: true, ..Setup::in_new_group(name) },
        "samples" => Setup { events: false, ..alone },
        _ => alone,
    };
    drain::drain(broker, &setup, bodies, NOTIFICATIONS).await
}

/// Drains with nobody who looks and with a hundred, in turn.
async fn watched(broker: &Broker, bodies: &[Vec<u8>]) {
    let (mut quiet, mut crowded) = (Vec::new(), Vec::new());
    for _ in 0..WATCHED_ROUNDS {
        for (watchers, drains) in [(0, &mut quiet), (WATCHERS, &mut crowded)] {
            let setup = Setup { watchers, ..Setup::alone("watched") };
            drains.push(drain::drain(broker, &setup, bodies, WATCHED_NOTIFICATIONS).await);
        }
    }
    let of = |drains: &[Drain], figure: fn(&Drain) -> f64| measures::median(drains.iter().map(figure));
    let (without, with) = (of(&quiet, |drain| drain.rate), of(&crowded, |drain| drain.rate));
    println!(
        "watched: {without:.0} per s with nobody who looks, {with:.0} with {WATCHERS} at the page and the tap: {:.1} %; RSS {:.1} and {:.1} MiB",
        100.0 * with / without,
        of(&quiet, |drain| drain.rss_mib),
        of(&crowded, |drain| drain.rss_mib),
    );
    let each = |drains: &[Drain]| drains.iter().map(|drain| format!("{:.0}", drain.rate)).collect::<Vec<_>>().join(" ");
    println!("watched: each round: {}; {}", each(&quiet), each(&crowded));
}

/// The load averages of the machine.
fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap().split(' ').take(3).collect::<Vec<_>>().join(" ")
}
