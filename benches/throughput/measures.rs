//! What a loop costs: its clients, the broker, the machine.

use crate::process::{cpu_seconds, peak_mib};
use serde::{Deserialize, Serialize};
use std::fs;
use std::time::Instant;

/// What one drain of a queue showed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Drain {
    /// Notifications per second, from the first that was taken to the last that came out.
    pub(crate) rate: f64,
    /// CPU of the loop's own processes for each notification, in µs; their start does not count.
    pub(crate) client_us: f64,
    /// CPU of RabbitMQ for each notification, in µs.
    pub(crate) broker_us: f64,
    /// Share of the machine that nobody used meanwhile.
    pub(crate) idle: f64,
    /// Messages on pipeline queues for each notification; a loop without a second hop has none.
    pub(crate) packets: f64,
    /// Peak resident size of its processes, in MiB.
    pub(crate) rss_mib: f64,
    /// From its start to the first message that it took, in ms.
    pub(crate) first_ms: f64,
    /// The largest share that one of several agents had of the CPU of all.
    pub(crate) busiest: f64,
}

/// Reads what clients, broker and machine have used, at the start and at each mark.
pub(crate) struct Meter {
    clients: Vec<u32>,
    broker: u32,
    first: Reading,
    last: Reading,
}

struct Reading {
    at: Instant,
    clients: Vec<f64>,
    broker: f64,
    idle: f64,
    machine: f64,
}

impl Meter {
    /// Begins now.
    pub(crate) fn start(clients: Vec<u32>, broker: u32) -> Self {
        let (first, last) = (Reading::now(&clients, broker), Reading::now(&clients, broker));
        Meter { clients, broker, first, last }
    }

    /// Something happened: what is counted ends here until the next mark.
    pub(crate) fn mark(&mut self) {
        self.last = Reading::now(&self.clients, self.broker);
    }

    /// The loop of `count` notifications, between the start and the last mark.
    pub(crate) fn drain(&self, count: usize, first_ms: f64, packets: f64) -> Drain {
        let (first, last, count) = (&self.first, &self.last, count as f64);
        let used: Vec<f64> = last.clients.iter().zip(&first.clients).map(|(last, first)| last - first).collect();
        let client: f64 = used.iter().sum();
        Drain {
            rate: count / (last.at - first.at).as_secs_f64(),
            client_us: client / count * 1e6,
            broker_us: (last.broker - first.broker) / count * 1e6,
            idle: (last.idle - first.idle) / (last.machine - first.machine).max(1.0),
            packets: packets / count,
            rss_mib: self.clients.iter().map(|pid| peak_mib(*pid)).sum(),
            first_ms,
            busiest: used.into_iter().fold(0.0, f64::max) / client,
        }
    }
}

impl Reading {
    fn now(clients: &[u32], broker: u32) -> Self {
        let (idle, machine) = machine();
        let clients = clients.iter().map(|pid| cpu_seconds(*pid)).collect();
        Reading { at: Instant::now(), clients, broker: cpu_seconds(broker), idle, machine }
    }
}

/// Ticks of all cores so far: idle or waiting for a disk, and all.
pub(crate) fn machine() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let fields = stat.lines().next().unwrap().split_whitespace().skip(1).take(8);
    let ticks: Vec<f64> = fields.map(|field| field.parse().unwrap()).collect();
    (ticks[3] + ticks[4], ticks.iter().sum())
}

/// The middle one of these.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
