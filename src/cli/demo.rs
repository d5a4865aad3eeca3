//! `nephoscope demo`: runs three agents in one process, without a server, and kills one of them midway.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Failure, runtime};
use crate::agent::{Agent, Blueprint, definitions, wiring};
use crate::config::{self, Settings};
use crate::coordination::memory::MemoryGroup;
use crate::model::{Dict, Priority, Value, envelope, json};
use crate::observe::{Board, Metrics};
use crate::transport::memory::MemoryBroker;
use crate::transport::topology::{self, NotifyTarget, OsloQueues};
use crate::transport::{Broker, Outgoing, Session, TransportError};

/// The bundled notifications: real-shaped ones of Nova, Cinder, Neutron, Glance, Keystone, Heat and a polling agent.
const NOTIFICATIONS: &str = include_str!("../../config/notifications.jsonl");
/// The agents' lease: short, so that the take-over can be watched.
const TTL: Duration = Duration::from_secs(1);
/// Past this the demo has failed.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pipeline queues of each sink.
const QUEUES: u16 = 6;

/// The arguments of `nephoscope demo`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Folder for samples and events; its *.json files are overwritten
    #[arg(long, value_name = "DIR", default_value = "demo-output")]
    output: PathBuf,
    /// Number of notifications
    #[arg(long, value_name = "COUNT", default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    notifications: u32,
}

/// Runs it; fails unless nothing is lost.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    runtime()?.block_on(play(arguments))
}

async fn play(arguments: &Arguments) -> Result<(), Failure> {
    let output = prepare(&arguments.output)?;
    let messages = messages(arguments.notifications);
    let settings = settings(&output)?;
    let expected = expected(&settings, &messages)?;
    let (broker, group) = (MemoryBroker::new("memory"), MemoryGroup::new(TTL));
    println!("three agents on an in-process broker and group, {QUEUES} queues for samples and {QUEUES} for events");
    let context = wiring::publish_context(&settings, &Metrics::new());
    let mut agents = BTreeMap::new();
    for id in ["agent-1", "agent-2", "agent-3"] {
        let board = Board::new();
        let (broker, group) = (Arc::new(broker.clone()), Arc::new(group.clone()));
        let (blueprint, complaints) = Blueprint::build(&settings, &context, None);
        let blueprint = blueprint.ok_or(Failure::Config(complaints))?;
        let metrics = context.metrics.clone();
        let parts = wiring::in_process(&settings, id, blueprint, broker, group, metrics, board.clone());
        agents.insert(id, (Agent::start(parts), board));
    }
    until("every queue has its owner, and every agent its queues", || {
        let owned = owned(&agents);
        owned.values().map(BTreeSet::len).sum::<usize>() == usize::from(2 * QUEUES)
            && !owned.values().any(BTreeSet::is_empty)
    })
    .await?;
    let before = owned(&agents);
    let session = broker.connect().await.map_err(|e| Failure::Other(e.to_string()))?;
    let target = topology::notify_target("nova", "notifications", Priority::Info, &OsloQueues::default());
    session.declare(&target.topology).await.map_err(|e| Failure::Other(e.to_string()))?;
    let half = messages.len() / 2;
    let mut victim = None;
    for (n, message) in messages.iter().enumerate() {
        if n == half {
            let dead = most_loaded(&before);
            println!("{dead} is killed; its queues move when its lease of {TTL:?} has run out");
            if let Some((agent, _)) = agents.remove(dead.as_str()) {
                agent.kill();
                group.kill(&dead);
            }
            victim = Some(dead);
        }
        send(&*session, &target, message).await?;
        if n % 500 == 499 {
            println!("{} of {} notifications sent", n + 1, messages.len());
        }
    }
    until("everything is published", || {
        owned(&agents).values().map(BTreeSet::len).sum::<usize>() == usize::from(2 * QUEUES)
            && broker.queues().iter().all(|q| q.ready == 0 && q.unacked == 0)
    })
    .await?;
    let after = owned(&agents);
    for (agent, _) in agents.values() {
        agent.drain(Duration::from_secs(10)).await.map_err(|e| Failure::Other(e.to_string()))?;
    }
    let found = read_back(&output)?;
    report(&messages, &expected, &found, &before, &after, victim.as_deref());
    let lost = expected.keys().filter(|id| !found.ids.contains_key(*id)).count();
    println!("\nsamples and events are in {}", output.display());
    if lost > 0 { Err(Failure::Other(format!("{lost} samples or events were lost; please report it"))) } else { Ok(()) }
}

/// The agents that are still alive, with what they say of themselves.
type Agents = BTreeMap<&'static str, (Agent, Board)>;
/// Pipeline queues by the agent that has them open.
type Owned = BTreeMap<String, BTreeSet<String>>;

fn owned(agents: &Agents) -> Owned {
    let running = |board: &Board| {
        let queues = board.read().queues.into_iter();
        queues.filter(|(_, q)| q.kind == "pipeline" && q.state == "running").map(|(name, _)| name).collect()
    };
    agents.iter().map(|(id, (_, board))| ((*id).to_owned(), running(board))).collect()
}

fn most_loaded(owned: &Owned) -> String {
    owned.iter().max_by_key(|(_, queues)| queues.len()).map(|(id, _)| id.clone()).unwrap_or_default()
}

/// Sends one notification and waits until the broker has it.
async fn send(session: &dyn Session, target: &NotifyTarget, body: &[u8]) -> Result<(), Failure> {
    let message = Outgoing {
        exchange: target.exchange.clone(),
        routing_key: target.routing_key.clone(),
        body: body.to_vec().into(),
        content_type: "application/json",
        headers: BTreeMap::new(),
        alone: false,
    };
    let sent = async { session.publish(message).await?.wait().await };
    sent.await.map_err(|e: TransportError| Failure::Other(format!("cannot send: {e}")))
}

/// The folder, made and without what an earlier run left in it; as an absolute path, for URLs.
fn prepare(folder: &Path) -> Result<PathBuf, Failure> {
    let cannot = |e: std::io::Error| Failure::Other(format!("cannot use the folder {}: {e}", folder.display()));
    std::fs::create_dir_all(folder).map_err(cannot)?;
    for name in ["samples.json", "events.json"] {
        match std::fs::remove_file(folder.join(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(cannot(e)),
            _ => {}
        }
    }
    folder.canonicalize().map_err(cannot)
}

/// The configuration of a group of three, written into the folder as an operator would write it; definitions are the
/// shipped ones.
fn settings(output: &Path) -> Result<Settings, Failure> {
    let write = |name: &str, text: String| {
        let file = output.join(name);
        std::fs::write(&file, text).map_err(|e| Failure::Other(format!("cannot write {}: {e}", file.display())))?;
        Ok(file)
    };
    let folder = output.display();
    for (file, kind, key) in [("pipeline.yaml", "meter", "meters"), ("event_pipeline.yaml", "event", "events")] {
        let lines = if kind == "meter" { "samples" } else { "events" };
        let text = format!(
            "sources:\n- name: {kind}_source\n  {key}: ['*']\n  sinks: [{kind}_sink]\n\
             sinks:\n- name: {kind}_sink\n  publishers: ['file://{folder}/{lines}.json?json']\n"
        );
        write(file, text)?;
    }
    let text = format!(
        "# Written by `nephoscope demo`, which puts an in-process broker and group in the places of these two servers.\n\
         [DEFAULT]\ntransport_url = rabbit://\n\
         pipeline_cfg_file = {folder}/pipeline.yaml\nevent_pipeline_cfg_file = {folder}/event_pipeline.yaml\n\
         [notification]\nworkload_partitioning = true\npipeline_processing_queues = {QUEUES}\n\
         [coordination]\nbackend_url = etcd3://127.0.0.1:2379\n"
    );
    let (settings, complaints) = config::load(&[write("ceilometer.conf", text)?], &[]);
    settings.ok_or(Failure::Config(complaints))
}

/// So many notifications: the bundled ones over and over, each with an id of its own.
fn messages(count: u32) -> Vec<Vec<u8>> {
    let bundled: Vec<Dict> = NOTIFICATIONS
        .lines()
        .filter_map(|line| match json::read(line.as_bytes()) {
            Ok(Value::Dict(outer)) => envelope::unwrap(outer).ok(),
            _ => None,
        })
        .collect();
    let each = bundled.iter().cycle().zip(0..count);
    each.map(|(message, n)| {
        let mut message = message.clone();
        message.insert("message_id", Value::from(format!("00000000-0000-4000-8000-{n:012}")));
        number_polled(&mut message, n);
        let mut body = Vec::new();
        json::write_dict(&message, &mut body);
        body
    })
    .collect()
}

/// Polled samples carry ids of their own.
fn number_polled(message: &mut Dict, n: u32) {
    let Some(Value::Dict(payload)) = message.get_mut("payload") else { return };
    let Some(Value::List(samples)) = payload.get_mut("samples") else { return };
    for (nth, sample) in samples.iter_mut().enumerate() {
        if let Value::Dict(sample) = sample {
            sample.insert("message_id", Value::from(format!("{nth:08}-0000-4000-8000-{n:012}")));
        }
    }
}

/// The ids of everything that must come out, with the meter or `event` each belongs to: what one converter alone makes.
fn expected(settings: &Settings, messages: &[Vec<u8>]) -> Result<BTreeMap<String, String>, Failure> {
    let (converter, complaints) = definitions::converter(settings);
    let converter = converter.ok_or(Failure::Config(complaints))?;
    let mut expected = BTreeMap::new();
    for message in messages {
        let notification =
            envelope::open(message).map_err(|e| Failure::Other(format!("a bundled notification: {e}")))?;
        let converted = converter.convert(&notification);
        expected.extend(converted.samples.into_iter().map(|s| (s.id.into_string(), s.name.into_string())));
        expected.extend(converted.events.iter().map(|e| (json::to_string(&e.message_id), "(events)".to_owned())));
    }
    Ok(expected)
}

/// What was found in the output.
#[derive(Default)]
struct Found {
    /// How often each id was written.
    ids: BTreeMap<String, usize>,
}

fn read_back(output: &Path) -> Result<Found, Failure> {
    let mut found = Found::default();
    for (file, id) in [("samples.json", "id"), ("events.json", "message_id")] {
        let path = output.join(file);
        let text = std::fs::read(&path).map_err(|e| Failure::Other(format!("cannot read {}: {e}", path.display())))?;
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let Ok(Value::Dict(record)) = json::read(line) else {
                return Err(Failure::Other(format!("{} has a line that is not JSON", path.display())));
            };
            let id = match record.get(id) {
                Some(Value::Str(id)) if file == "samples.json" => id.to_string(),
                other => json::to_string(other.unwrap_or(&Value::Null)),
            };
            *found.ids.entry(id).or_default() += 1;
        }
    }
    Ok(found)
}

fn report(
    messages: &[Vec<u8>],
    expected: &BTreeMap<String, String>,
    found: &Found,
    before: &Owned,
    after: &Owned,
    victim: Option<&str>,
) {
    let mut by_meter: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for (id, meter) in expected {
        let times = found.ids.get(id).copied().unwrap_or(0);
        let row = by_meter.entry(meter).or_default();
        row.0 += 1;
        row.1 += usize::from(times == 0);
        row.2 += times.saturating_sub(1);
    }
    println!("\n{:<44} {:>8} {:>6} {:>8}", "meter", "out", "lost", "repeats");
    for (meter, (out, lost, repeats)) in &by_meter {
        println!("{meter:<44} {:>8} {lost:>6} {repeats:>8}", out - lost);
    }
    println!("\n{:<44} {:>8} {:>8}", "pipeline queues of", "before", "after");
    for (id, queues) in before {
        let fate =
            if victim == Some(id) { "killed".to_owned() } else { after.get(id).map_or(0, BTreeSet::len).to_string() };
        println!("{id:<44} {:>8} {fate:>8}", queues.len());
    }
    let lost: usize = by_meter.values().map(|row| row.1).sum();
    let repeats: usize = by_meter.values().map(|row| row.2).sum();
    println!("\nnotifications in {}, samples and events out {}, lost {lost}", messages.len(), expected.len() - lost);
    println!("repeats after the kill, with the same ids: {repeats}");
}

/// Looks again and again until it is so.
async fn until(what: &str, so: impl Fn() -> bool) -> Result<(), Failure> {
    let began = Instant::now();
    while !so() {
        if began.elapsed() > PATIENCE {
            return Err(Failure::Other(format!("cannot wait any longer until {what}; please report it")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
