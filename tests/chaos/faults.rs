//! The table of faults, and how each is done.

use std::time::Duration;
use tokio::time::{Instant, sleep};

use super::fleet::Fleet;
use super::home::Link;
use super::stage::{Kind, Servers, Stage};

/// What happens while notifications flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of one after the other, every so many seconds, each started again after so many: at once, as a service manager
    /// does, or later than its lease lasts, as a machine.
    Kill { every: u64, away: u64 },
    /// SIGTERM of one after the other, every so many seconds, each started again when it has ended.
    Roll { every: u64 },
    /// The owner of the main queue is stopped without its knowing for so many seconds; one pause after the other.
    Freeze { pauses: &'static [u64] },
    /// Members until there are so many; downwards by SIGTERM.
    Join { counts: &'static [usize] },
    /// SIGKILL of all at once, started again after so many seconds.
    KillAll { pause: u64 },
    /// So many agents, the owner of the main queue first, are without these links for so many seconds.
    Cut { links: &'static [Link], agents: usize, seconds: u64 },
    /// etcd is restarted, then stopped for so many seconds.
    EtcdAway { seconds: u64 },
    /// The broker (one node of a cluster) is killed, and started again.
    BrokerKilled,
    /// All connections of one agent to the broker are closed, every so many seconds.
    Connections { every: u64 },
    /// Pipeline queues until there are so many; one agent is killed in the middle.
    Partitions { counts: &'static [usize] },
    /// Nothing but what nobody can read.
    Poison,
}

/// What a scenario may repeat at its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Nothing at all.
    None,
    /// One batch of each unit that changed its owner unasked.
    Batch,
}

/// One row of the table.
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
    /// Whether units must have changed hands or come back, else the run proves nothing.
    pub must_move: bool,
}

impl Scenario {
    /// Containers and processes have rows of their own.
    pub fn runs_on(&self, kind: Kind) -> bool {
        self.containers == (kind == Kind::Compose)
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
};

/// All of them, in the order in which they run: what hurts the servers comes last.
pub const SCENARIOS: [Scenario; 19] = [
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

/// After what time servers take for gone whom the fault hits.
pub fn released_after(fault: Fault, stage: &Stage) -> Duration {
    match fault {
        // Nobody closes its connections: the broker misses heartbeats.
        Fault::Freeze { .. } | Fault::Cut { .. } => stage.ttl.max(3 * stage.heartbeat),
        // All leases end while nobody is there, and the next ones begin after the pause.
        Fault::KillAll { pause } => stage.ttl + Duration::from_secs(pause),
        _ => stage.ttl,
    }
}

/// Does it, for as long as the load lasts; everything is whole again at the end. Names what could not be done.
pub async fn happen(fault: Fault, until: Instant, servers: &Servers, stage: &Stage, fleet: &mut Fleet) {
    // A little undisturbed, so that every resource has its first sample.
    sleep(Duration::from_secs(2)).await;
    match fault {
        Fault::Kill { every, away } => kill(every, away, until, fleet).await,
        Fault::Roll { every } => roll(every, until, fleet).await,
        Fault::Freeze { pauses } => freeze(pauses, stage, fleet).await,
        Fault::Join { counts } => join(counts, until, stage, fleet).await,
        Fault::KillAll { pause } => {
            sleep(Duration::from_secs(3)).await;
            fleet.running().into_iter().for_each(|at| fleet.kill(at));
            sleep(Duration::from_secs(pause)).await;
            (0..fleet.size()).for_each(|at| fleet.start(at));
        }
        Fault::Cut { links, agents, seconds } => cut(links, agents, seconds, fleet).await,
        Fault::EtcdAway { seconds } => {
            tokio::task::block_in_place(|| servers.etcd().restart());
            sleep(Duration::from_secs(5)).await;
            tokio::task::block_in_place(|| servers.etcd().stop());
            sleep(Duration::from_secs(seconds)).await;
            tokio::task::block_in_place(|| servers.etcd().start());
        }
        Fault::BrokerKilled => {
            tokio::task::block_in_place(|| servers.broker().kill());
            tokio::task::block_in_place(|| servers.broker().start());
        }
        Fault::Connections { every } => connections(every, until, fleet).await,
        Fault::Partitions { counts } => partitions(counts, stage, fleet).await,
        Fault::Poison => {}
    }
    tokio::time::sleep_until(until).await;
}

/// The `turn`th victim: the one that listens to the main queue every other time.
fn victim(turn: usize, fleet: &Fleet) -> usize {
    let running = fleet.running();
    let busy = fleet.owner("main:notifications.info").filter(|_| turn.is_multiple_of(2));
    busy.unwrap_or(running[turn % running.len()])
}

async fn kill(every: u64, away: u64, until: Instant, fleet: &mut Fleet) {
    let mut turn = 0;
    while Instant::now() < until {
        let at = victim(turn, fleet);
        fleet.kill(at);
        sleep(Duration::from_secs(away)).await;
        fleet.start(at);
        turn += 1;
        sleep(Duration::from_secs(every - away)).await;
    }
}

async fn roll(every: u64, until: Instant, fleet: &mut Fleet) {
    let mut turn = 0;
    while Instant::now() < until {
        let at = victim(turn, fleet);
        fleet.stop(at).await;
        fleet.start(at);
        turn += 1;
        sleep(Duration::from_secs(every)).await;
    }
}

async fn freeze(pauses: &[u64], stage: &Stage, fleet: &mut Fleet) {
    for (turn, pause) in pauses.iter().enumerate() {
        let at = victim(2 * turn, fleet);
        if Duration::from_secs(*pause) > stage.ttl {
            fleet.note_end(at);
        }
        fleet.home(at).freeze();
        sleep(Duration::from_secs(*pause)).await;
        fleet.home(at).thaw();
        sleep(Duration::from_secs(3)).await;
    }
}

async fn join(counts: &[usize], until: Instant, stage: &Stage, fleet: &mut Fleet) {
    let each = (until - Instant::now()) / u32::try_from(counts.len()).unwrap();
    for count in counts {
        while fleet.size() < *count {
            fleet.join(stage).await;
        }
        while fleet.running().len() > *count {
            let last = *fleet.running().last().unwrap();
            fleet.stop(last).await;
        }
        for at in 0..*count {
            if !fleet.running().contains(&at) {
                fleet.start(at);
            }
        }
        sleep(each).await;
    }
}

async fn cut(links: &[Link], agents: usize, seconds: u64, fleet: &mut Fleet) {
    let first = victim(0, fleet);
    let others = fleet.running().into_iter().filter(|at| *at != first);
    let victims: Vec<usize> = std::iter::once(first).chain(others).take(agents).collect();
    for at in &victims {
        // Without etcd alone it works on, and is followed only when it hears of it.
        if links.contains(&Link::Broker) {
            fleet.note_end(*at);
        }
        links.iter().for_each(|link| fleet.home(*at).cut(*link));
    }
    sleep(Duration::from_secs(seconds)).await;
    for at in &victims {
        links.iter().for_each(|link| fleet.home(*at).mend(*link));
    }
    sleep(Duration::from_secs(2)).await;
}

async fn connections(every: u64, until: Instant, fleet: &Fleet) {
    let mut turn = 0;
    while Instant::now() < until {
        fleet.home(victim(turn, fleet)).proxy(Link::Broker).cut();
        turn += 1;
        sleep(Duration::from_secs(every)).await;
    }
}

async fn partitions(counts: &[usize], stage: &Stage, fleet: &mut Fleet) {
    let patience = stage.ttl + Duration::from_secs(120);
    for count in counts {
        let asked = Instant::now();
        loop {
            let told = ask(fleet, &["apply", &count.to_string()]).await;
            if told.status.success() {
                break;
            }
            // The queues before the last change are looked for until every member has looked twice.
            let why = String::from_utf8_lossy(&told.stderr);
            assert!(why.contains("try again") && asked.elapsed() < patience, "{why}");
            sleep(Duration::from_secs(1)).await;
        }
        sleep(Duration::from_millis(300)).await;
        let at = victim(0, fleet);
        fleet.kill(at);
        fleet.start(at);
        let began = Instant::now();
        loop {
            let shown: serde_json::Value =
                serde_json::from_slice(&ask(fleet, &["show", "-o", "json"]).await.stdout).unwrap_or_default();
            if shown["next_generation"].is_null() && shown["queues"] == *count {
                break;
            }
            assert!(began.elapsed() < patience, "the change to {count} queues does not end: {shown}");
            sleep(Duration::from_millis(250)).await;
        }
        println!(
            "    {count} pipeline queues after {:.1} s, one agent killed meanwhile",
            began.elapsed().as_secs_f64()
        );
        sleep(Duration::from_secs(5)).await;
    }
}

async fn ask(fleet: &Fleet, words: &[&str]) -> std::process::Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    command.arg("partitions").args(words).arg("--config-file").arg(fleet.folder.join("a0.conf"));
    command.output().await.unwrap()
}
