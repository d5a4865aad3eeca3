//! Agents on filled main queues, until everything has come out.

use crate::agent::{self, Process, Setup, Written};
use crate::broker::Broker;
use crate::measures::{Drain, Meter};
use crate::mix::makes_an_event;
use crate::watchers::Watchers;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Files that do not grow for so long are complete, if the main queues are empty.
pub(crate) const QUIET: Duration = Duration::from_millis(500);
/// Past this something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);
/// How often the bench looks how large the outputs are; it does not read them meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// Fills the main queues with `count` of these, and runs agents until all of it has come out.
pub(crate) async fn drain(broker: &Broker, setup: &Setup, bodies: &[Vec<u8>], count: usize) -> Drain {
    drain_with(broker, setup, bodies, count, agent::program).await
}

/// The same, with another program than the agent's.
pub(crate) async fn drain_with(
    broker: &Broker,
    setup: &Setup,
    bodies: &[Vec<u8>],
    count: usize,
    program: impl Fn(&Path) -> Command,
) -> Drain {
    let queues = setup.queues();
    broker.fill(&queues, crate::mix::repeated(bodies, count)).await;
    // Every notification but the polled samples makes one event for each pipeline.
    let due = bodies.iter().cycle().take(count).filter(|body| makes_an_event(body)).count() * setup.pipelines;
    let written: Vec<Written> = (0..setup.agents).map(|agent| setup.write(broker, agent)).collect();
    let began = Instant::now();
    let agents: Vec<Process> = written.iter().map(|written| Process::start(program(&written.file))).collect();
    let watchers: Vec<Watchers> = written.iter().map(|w| Watchers::of(w.port, setup.watchers)).collect();
    until_taken(broker, &queues, count, began).await;
    let first_ms = began.elapsed().as_secs_f64() * 1e3;
    let mut left = count;
    if setup.agents > 1 {
        until_settled(&written).await;
        left = broker.ready(&queues).await;
    }
    let sent = || written.iter().map(|w| agent::total(&agent::metrics(w.port), "nephoscope_packets_sent_total")).sum();
    let before: f64 = if setup.group.is_some() { sent() } else { 0.0 };
    let mut meter = Meter::start(agents.iter().map(Process::pid).collect(), broker.pid);
    let events: Vec<PathBuf> = written.iter().flat_map(|written| written.events.clone()).collect();
    let all: Vec<PathBuf> = written.iter().flat_map(|w| w.samples.iter().chain(&w.events).cloned()).collect();
    let events_due = if setup.events { due } else { 0 };
    until_quiet(broker, &queues, &all, || count_lines(&events) >= events_due, &mut meter).await;
    let packets = if setup.group.is_some() { sent() - before } else { 0.0 };
    let drain = meter.drain(left, first_ms, packets);
    let events = count_lines(&events);
    if events > events_due {
        println!("(in {}: {} events came twice)", setup.topic, events - events_due);
    }
    let pages: Vec<String> = written.iter().map(|written| agent::metrics(written.port)).collect();
    let watched: usize = watchers.iter().map(Watchers::count).sum();
    assert_eq!(watched, setup.watchers * setup.agents, "somebody went away");
    drop((watchers, agents));
    // A group that comes again keeps its queues.
    if setup.group != Setup::grouped(&setup.topic).group {
        for queue in pages.iter().flat_map(|page| agent::declared(page)) {
            broker.delete(&queue).await;
            broker.delete(&format!("{queue}.state")).await;
        }
    }
    drain
}

/// Waits until somebody has taken a message.
pub(crate) async fn until_taken(broker: &Broker, queues: &[String], count: usize, began: Instant) {
    while broker.ready(queues).await == count {
        assert!(began.elapsed() < PATIENCE, "nobody takes anything of {queues:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until every agent sees all of them, and each has its part of the queues.
async fn until_settled(agents: &[Written]) {
    let began = Instant::now();
    let (mut last, mut since) = (Vec::new(), Instant::now());
    loop {
        let pages: Vec<String> = agents.iter().map(|agent| agent::metrics(agent.port)).collect();
        let owned: Vec<f64> = pages.iter().map(|page| agent::total(page, "nephoscope_queues_owned")).collect();
        let complete = pages.iter().all(|page| agent::total(page, "nephoscope_members") as usize == agents.len());
        if !complete || owned != last {
            (last, since) = (owned, Instant::now());
        } else if since.elapsed() > QUIET {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{} agents do not come to rest", agents.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until nothing more comes out; what is counted ends with the last that came.
pub(crate) async fn until_quiet(
    broker: &Broker,
    queues: &[String],
    outputs: &[PathBuf],
    complete: impl Fn() -> bool,
    meter: &mut Meter,
) {
    let began = Instant::now();
    let (mut seen, mut last) = (Vec::new(), Instant::now());
    loop {
        let sizes: Vec<u64> = outputs.iter().map(|path| fs::metadata(path).map_or(0, |data| data.len())).collect();
        if sizes != seen {
            meter.mark();
            (seen, last) = (sizes, Instant::now());
        } else if last.elapsed() > QUIET && broker.ready(queues).await == 0 && complete() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "not everything of {queues:?} came out within {PATIENCE:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The lines of files.
fn count_lines(paths: &[PathBuf]) -> usize {
    let lines = |path: &PathBuf| fs::read(path).map_or(0, |text| text.split(|byte| *byte == b'\n').count() - 1);
    paths.iter().map(lines).sum()
}
