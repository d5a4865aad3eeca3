//! The faults, and how each is done; those that happen to queues and to where agents publish are in `queues`.

use std::time::Duration;
use tokio::time::{Instant, sleep};

use super::fleet::Fleet;
use super::home::Link;
use super::queues::{self, Found};
use super::run::Scene;
use super::stage::Stage;

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
    /// Queues, a stream, an exchange and a binding are deleted, one after the other.
    Deleted,
    /// One pipeline queue takes no more than a few packets, while nobody takes its rates, for so many seconds.
    Refuses { seconds: u64 },
    /// The same queue takes no more than three packets, and every publisher is slow.
    RefusesSlow,
    /// All agents end and start again so many times, by SIGKILL and SIGTERM in turn, while nobody takes what they publish.
    RestartsWhileAway { times: usize },
    /// Nobody takes what agents publish for so many seconds, longer than RabbitMQ lets a delivery be.
    AwayPastTimeout { seconds: u64 },
    /// Policies come, change and go on main and pipeline queues.
    Policies,
}

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

/// Does it, for as long as the load lasts; everything is whole again at the end.
pub async fn happen(fault: Fault, until: Instant, scene: &Scene<'_>, fleet: &mut Fleet) -> Found {
    let (servers, stage) = (scene.servers, scene.stage);
    let mut found = Found::default();
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
        Fault::Deleted => found = queues::deleted(scene).await,
        Fault::Refuses { seconds } => queues::refuses(seconds, scene).await,
        Fault::RefusesSlow => queues::refuses_slow(until, scene).await,
        Fault::RestartsWhileAway { times } => queues::restarts(times, scene, fleet).await,
        Fault::AwayPastTimeout { seconds } => queues::away(seconds, scene).await,
        Fault::Policies => queues::policies(scene, fleet).await,
    }
    tokio::time::sleep_until(until).await;
    found
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
