//! How long one notification takes where the agent is not busy, and how long a state takes to restore.

use crate::agent::{self, Process, Setup};
use crate::broker::Broker;
use crate::drain::{PATIENCE, QUIET, until_quiet};
use crate::measures::Meter;
use crate::mix;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Notifications per second.
const RATE: u64 = 100;
const SECONDS: u64 = 10;
/// Notifications of as many resources with a rate, for the time that restoring them takes.
const RESTORED: usize = 10_000;

/// From handing a notification to the broker to its event's line in the file, one after the other.
pub(crate) async fn latency(broker: &Broker, name: &str, setup: &Setup, bodies: &[Vec<u8>]) {
    let queues = setup.queues();
    broker.fill(&queues, mix::repeated(bodies, 1)).await;
    let written = setup.write(broker, 0);
    let agent = Process::start(agent::program(&written.file));
    let mut lines = Lines::open(&written.events[0]);
    let began = Instant::now();
    while lines.count() < 1 {
        assert!(began.elapsed() < PATIENCE, "the agent publishes nothing");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut latencies = Vec::new();
    let with_event: Vec<&Vec<u8>> = bodies.iter().filter(|body| mix::makes_an_event(body)).collect();
    let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    let mut meter = Meter::start(vec![agent.pid()], broker.pid);
    for body in with_event.iter().cycle().take((RATE * SECONDS) as usize) {
        beat.tick().await;
        let sent = Instant::now();
        let _confirm = broker.send(&queues[0], body).await;
        while lines.count() < latencies.len() + 2 {
            assert!(sent.elapsed() < PATIENCE, "one notification got lost");
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        latencies.push(sent.elapsed());
    }
    meter.mark();
    let count = latencies.len();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((count - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "latency at {RATE}/s, {name}: p50 {:.1} ms, p99 {:.1} ms, {:.0} us client CPU each, {count} notifications",
        at(0.5),
        at(0.99),
        meter.drain(count, 0.0, 0.0).client_us,
    );
}

/// How long a new owner of a queue needs until it has the state of many resources.
pub(crate) async fn restore(broker: &Broker, bodies: &[Vec<u8>]) {
    let one_queue = "pipeline_processing_queues = 1\n".to_owned();
    let setup = Setup { rates: true, lines: one_queue, ..Setup::in_new_group("restore") };
    let polled: Vec<&Vec<u8>> = bodies.iter().filter(|body| !mix::makes_an_event(body)).collect();
    let each = polled.iter().cycle().take(RESTORED).enumerate();
    let queues = setup.queues();
    broker.fill(&queues, each.map(|(n, body)| mix::distinct(body, n, 0, &["message_id", "resource_id"]))).await;
    for started in 0..2 {
        // The first has work to do; the second only restores.
        let written = setup.write(broker, 0);
        let agent = Process::start(agent::program(&written.file));
        let mut meter = Meter::start(vec![agent.pid()], broker.pid);
        let restored = || agent::total(&agent::metrics(written.port), "nephoscope_state_restore_seconds_count") >= 1.0;
        until_quiet(broker, &queues, &written.samples, restored, &mut meter).await;
        // What is committed last may wait for its snapshot.
        tokio::time::sleep(QUIET).await;
        if started == 1 {
            let seconds = agent::total(&agent::metrics(written.port), "nephoscope_state_restore_seconds_sum");
            println!("restore: the rates of {RESTORED} notifications, as many resources, in {:.0} ms", seconds * 1e3);
        }
    }
}

/// Counts the lines of a growing file without reading any of it twice.
struct Lines {
    path: PathBuf,
    read: u64,
    count: usize,
}

impl Lines {
    fn open(path: &Path) -> Self {
        Lines { path: path.to_owned(), read: 0, count: 0 }
    }

    fn count(&mut self) -> usize {
        let Ok(mut file) = File::open(&self.path) else { return 0 };
        let mut new = Vec::new();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        file.read_to_end(&mut new).unwrap();
        self.read += new.len() as u64;
        self.count += new.split(|byte| *byte == b'\n').count() - 1;
        self.count
    }
}
