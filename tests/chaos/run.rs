//! One run: scenarios one after the other, each on a group of its own, and the table at the end.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::audit;
use super::collector::Collector;
use super::faults::{self, Fault};
use super::fleet::Fleet;
use super::journal::{Journal, p99};
use super::ledger;
use super::memory;
use super::report::{self, Row};
use super::rig::Generation;
use super::scenarios::{SCENARIOS, Scenario};
use super::sender::{self, Fates, Load, Pause};
use super::stage::{Kind, Servers, Stage};

/// Past this what has not come does not come.
const PATIENCE: Duration = Duration::from_secs(180);

/// How much is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Six faults in two minutes, on one kind of servers and queues.
    Short(Generation, Kind),
    /// All of them, on all kinds.
    Full,
}

/// What a fault happens in.
pub struct Scene<'a> {
    /// RabbitMQ and etcd.
    pub servers: &'a Servers,
    /// The place on them.
    pub stage: &'a Stage,
    /// Where agents publish.
    pub collector: &'a Collector,
    /// What is sent …
    pub load: Load,
    /// … what became of it …
    pub fates: &'a Fates,
    /// … and whether the sender waits.
    pub pause: &'a Pause,
}

impl Scene<'_> {
    /// Records that are owed and have not come yet.
    pub fn missing(&self) -> usize {
        ledger::missing(&self.fates.lock().unwrap(), &self.collector.book.lock().unwrap(), self.load)
    }
}

/// What the environment wishes.
struct Wishes {
    /// `NEPHOSCOPE_CHAOS_SCENARIO`: names, separated by commas.
    scenarios: Option<String>,
    /// `NEPHOSCOPE_CHAOS_RATE`: notifications per second.
    rate: Option<u32>,
    /// `NEPHOSCOPE_CHAOS_SECONDS`: of load.
    seconds: Option<u64>,
    /// `NEPHOSCOPE_CHAOS_QUEUES`: classic, quorum, cluster, compose, separated by commas.
    kinds: Option<String>,
    /// `NEPHOSCOPE_CHAOS_GENERATION`: 3, 4, separated by a comma.
    generations: Option<String>,
}

impl Wishes {
    fn read() -> Self {
        let text = |name: &str| std::env::var(format!("NEPHOSCOPE_CHAOS_{name}")).ok().filter(|text| !text.is_empty());
        let number = |name: &str| text(name).map(|text| text.parse::<u32>().unwrap());
        Wishes {
            scenarios: text("SCENARIO"),
            rate: number("RATE"),
            seconds: number("SECONDS").map(u64::from),
            kinds: text("QUEUES"),
            generations: text("GENERATION"),
        }
    }

    fn wants(list: Option<&String>, name: &str) -> bool {
        list.is_none_or(|list| list.split(',').any(|wanted| wanted == name))
    }
}

/// The servers of one node on which this scenario is wished.
pub fn wished(scenario: &str) -> Vec<(Generation, Kind)> {
    let wishes = Wishes::read();
    let kinds = [(Kind::Classic, "classic"), (Kind::Quorum, "quorum")];
    let all = Generation::ALL.into_iter().flat_map(|generation| kinds.map(|(kind, name)| (generation, kind, name)));
    all.filter(|(generation, _, name)| {
        Wishes::wants(wishes.scenarios.as_ref(), scenario)
            && Wishes::wants(wishes.generations.as_ref(), generation.number())
            && Wishes::wants(wishes.kinds.as_ref(), name)
    })
    .map(|(generation, kind, _)| (generation, kind))
    .collect()
}

/// Runs what is wished, prints the table, and fails if a promise was broken.
pub async fn all(form: Form) {
    let wishes = Wishes::read();
    let kinds =
        [(Kind::Classic, "classic"), (Kind::Quorum, "quorum"), (Kind::Cluster, "cluster"), (Kind::Compose, "compose")];
    let wished = |generation: Generation, kind: Kind, name: &str| {
        kind.is_of(generation)
            && Wishes::wants(wishes.generations.as_ref(), generation.number())
            && Wishes::wants(wishes.kinds.as_ref(), name)
    };
    let places: Vec<(Generation, Kind)> = match form {
        Form::Short(generation, kind) => vec![(generation, kind)],
        Form::Full => Generation::ALL
            .into_iter()
            .flat_map(|generation| kinds.iter().map(move |(kind, name)| (generation, *kind, *name)))
            .filter(|(generation, kind, name)| wished(*generation, *kind, name))
            .map(|(generation, kind, _)| (generation, kind))
            .collect(),
    };
    let (mut lines, mut failed) = (vec![report::head().to_owned()], Vec::new());
    println!("{}", report::head());
    for (generation, kind) in places {
        let on = kind.name_on(generation);
        let wanted = |row: &&Scenario| row.runs_on(kind) && Wishes::wants(wishes.scenarios.as_ref(), row.name);
        let rows: Vec<&Scenario> = SCENARIOS.iter().filter(wanted).collect();
        if rows.is_empty() {
            continue;
        }
        let servers = match tokio::task::block_in_place(|| Servers::start(generation, kind, "")) {
            Ok(servers) => servers,
            Err(reason) => {
                println!("SKIPPED: {on}: {reason}");
                continue;
            }
        };
        for scenario in rows {
            let (fault, seconds) = match (form, scenario.short) {
                (Form::Full, _) => (scenario.full, scenario.seconds),
                (Form::Short(..), Some(fault)) => (fault, scenario.short_seconds),
                (Form::Short(..), None) => continue,
            };
            let own = (!scenario.broker.is_empty())
                .then(|| tokio::task::block_in_place(|| Servers::start(generation, kind, scenario.broker)).unwrap());
            let servers = own.as_ref().unwrap_or(&servers);
            let row = one(form, *scenario, fault, wishes.seconds.unwrap_or(seconds), wishes.rate, servers).await;
            println!("{}", report::line(&row));
            if !row.troubles.is_empty() {
                println!("    in the logs of {}: {}", scenario.name, row.troubles);
            }
            failed.extend(row.complaints().iter().map(|what| format!("{} ({on}): {what}", scenario.name)));
            lines.push(report::line(&row));
        }
    }
    let name = match form {
        Form::Short(generation, kind) => format!("chaos-short-{}-{}.md", generation.number(), kind.queue_type()),
        Form::Full => "chaos-full.md".to_owned(),
    };
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&kept, lines.join("\n") + "\n").unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn one(form: Form, scenario: Scenario, fault: Fault, seconds: u64, rate: Option<u32>, servers: &Servers) -> Row {
    let short = form != Form::Full;
    let (ttl, default_rate) = if short { (3, 500) } else { (10, 2_000) };
    let rate = rate.unwrap_or(default_rate);
    let load = Load { rate, resources: (rate / 10).max(20), poison_percent: scenario.poison_percent };
    let queues = if short { 4 } else { scenario.queues };
    let mut stage = tokio::task::block_in_place(|| {
        servers.stage(scenario.name, Duration::from_secs(ttl), queues, scenario.proxies)
    });
    (stage.alone, stage.prefetch) = (scenario.alone, scenario.prefetch);
    let collector = Collector::start(stage.outlet).await;
    collector.be_away(scenario.begins_away);
    let mut fleet = Fleet::new(&stage, collector.address);
    for _ in 0..scenario.agents {
        fleet.join(&stage).await;
    }
    fleet.until_open(stage.queues_in_all()).await;

    let (fates, pause) = (Fates::default(), Pause::default());
    let stop = CancellationToken::new();
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let sending = tokio::spawn(sender::send(stage.urls(), load, Arc::clone(&fates), Arc::clone(&pause), stop.clone()));
    sleep(Duration::from_secs(2)).await;
    let memory_before = memory::largest(&stage.folder).unwrap_or_default();
    let watching = tokio::spawn(memory::watch(stage.folder.clone(), stop.clone()));
    let scene = Scene { servers, stage: &stage, collector: &collector, load, fates: &fates, pause: &pause };
    let found = faults::happen(fault, until, &scene, &mut fleet).await;
    let load_time = began.elapsed();
    stop.cancel();
    sending.await.unwrap();
    let minutes = watching.await.unwrap();
    if !minutes.is_empty() {
        let told: Vec<String> = minutes.iter().map(ToString::to_string).collect();
        println!("    resident memory of the largest agent, MiB, minute by minute, least to most: {}", told.join(" "));
    }
    let rate_reached = fates.lock().unwrap().len() as f64 / load_time.as_secs_f64();

    let (drained, ended) = drain(&fates, &collector, load, &mut fleet).await;
    let fresh = fresh(&stage.urls(), load, &fates, &collector).await;
    let memory = (memory_before, memory::largest(&stage.folder).unwrap_or_default());
    let redelivered = fleet.counter("nephoscope_redelivered_total").await;
    let parked = found.parked + depth(&stage.urls()[0], &format!("nephoscope.{}.parked", stage.group)).await;
    let journal = Journal::read(&stage.folder);
    let take_overs = journal.take_overs(&fleet.ends);
    let hand_overs = journal.hand_overs();
    let silent = scenario.must_say.iter().filter(|event| !journal.said.contains_key(**event));
    let silent = silent.map(|event| format!("nobody said {event}: it proves nothing"));
    let mut wrong: Vec<String> = found.wrong.into_iter().chain(silent).collect();
    // What was settled last is noted within a second.
    sleep(Duration::from_secs(2)).await;
    let audited = audit::ask(&stage).await;
    let (fates, book) = (fates.lock().unwrap(), collector.book.lock().unwrap());
    let verdict = ledger::judge(&fates, &book, load, began);
    match audited {
        Ok(audit) => wrong.extend(audit.disagrees(&verdict, &book)),
        Err(why) => wrong.push(why),
    }
    Row {
        parked: (parked, verdict.poison),
        verdict,
        scenario,
        on: servers.kind.name_on(servers.generation),
        rate: rate_reached,
        take_overs: take_overs.len(),
        take_over_p99: p99(&take_overs),
        take_over_max: faults::released_after(fault, &stage) + Duration::from_secs(2),
        hand_overs: hand_overs.len(),
        hand_over_p99: p99(&hand_overs),
        losses: journal.losses(),
        redelivered,
        fresh,
        memory,
        batch_max: book.batch_max,
        drained,
        ended,
        wrong,
        troubles: journal
            .troubles
            .iter()
            .map(|(event, count)| format!("{event} x {count}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Waits until everything that is owed has come, or for as long as there is hope; whoever ended by himself is started again.
async fn drain(fates: &Fates, collector: &Collector, load: Load, fleet: &mut Fleet) -> (Duration, Vec<String>) {
    let (began, mut ended) = (Instant::now(), Vec::new());
    while began.elapsed() < PATIENCE {
        if ledger::missing(&fates.lock().unwrap(), &collector.book.lock().unwrap(), load) == 0 {
            break;
        }
        ended.extend(fleet.revive());
        sleep(Duration::from_millis(250)).await;
    }
    ended.extend(fleet.revive());
    (began.elapsed(), ended)
}

/// How long one more takes to come out everywhere.
async fn fresh(
    urls: &[String],
    load: Load,
    fates: &Mutex<Vec<sender::Fate>>,
    collector: &Collector,
) -> Option<Duration> {
    let began = Instant::now();
    let n = sender::send_one(&urls[0], load, fates).await;
    while began.elapsed() < Duration::from_secs(30) {
        if let Some(at) = ledger::came(&collector.book.lock().unwrap(), n, load) {
            return Some(at.saturating_duration_since(began));
        }
        sleep(Duration::from_millis(5)).await;
    }
    None
}

/// Messages in a queue.
async fn depth(url: &str, queue: &str) -> u32 {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
    declared.map_or(0, |queue| queue.message_count())
}
