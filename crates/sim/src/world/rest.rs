//! The end of a world: everything comes to rest, and everybody stops.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

use super::{BOOKS, DRAIN, RESTART, Then, World};
use crate::witness::Invariant;
use nephoscope::coordination::Coordinator;
use nephoscope::model::Verdict;
use nephoscope::transport::{Broker, ConsumeOptions, topology};

/// Virtual time in which everything must have come to rest after the last fault.
const REST: Duration = Duration::from_secs(180);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(250);
/// The parking queue of the group.
const PARKED: &str = "nephoscope.ceilometer.parked";
/// What the queues of answers begin with: one for each process, which outlives it by minutes.
const ANSWERS: &str = "nephoscope.ceilometer.answers.";

impl World {
    /// Everything works again, and whoever is gone is started.
    pub(super) fn heal(&mut self) {
        self.broker.start();
        self.group.set_away(false);
        self.group.set_paused(false);
        for weather in &self.weather {
            weather.set_away(false, false);
            weather.slow_down(Duration::ZERO);
        }
        for host in 0..self.hosts.len() {
            self.thaw(host);
            self.start(host);
        }
        for process in self.hosts.iter().filter_map(|host| host.process.as_ref()) {
            process.network.heal();
            process.line.heal();
        }
    }

    /// Waits until everything is owned, consumed and settled; whether it was in time.
    pub(super) async fn come_to_rest(&mut self) -> bool {
        let until = Instant::now() + REST;
        // For so long, that the leases of the dead have run out and everybody has looked at the group.
        let long_enough = self.plan.lease_ttl + self.plan.view_period;
        let mut since = Instant::now();
        loop {
            if let Some(unrest) = self.unrest().await {
                since = Instant::now();
                if since >= until {
                    self.witness.broken(Invariant::Rest, format!("not in {REST:?}: {unrest}"));
                    return false;
                }
            }
            if since.elapsed() >= long_enough {
                self.trace.say("world", "is at rest");
                return true;
            }
            self.until(Instant::now() + LOOK).await;
            // What the news has planned.
            while let Some(entry) = self.agenda.first_entry().filter(|e| self.began + e.key().0 <= Instant::now()) {
                let happening = entry.remove();
                self.happen(happening);
            }
        }
    }

    /// What is not as it should be, if anything.
    async fn unrest(&self) -> Option<String> {
        let view = match self.group.view().await {
            Ok(view) => view,
            Err(error) => return Some(error.to_string()),
        };
        let (generation, pipeline_queues) = match &view.spec {
            Some((spec, _)) if spec.next.is_some() || !view.marks.is_empty() => {
                return Some(format!("the number of queues changes: {:?}", view.marks.keys()));
            }
            Some((spec, _)) => (spec.present.generation, usize::from(spec.present.table.queues())),
            None if self.plan.partitioned => return Some("the group has no specification".to_owned()),
            None => (0, 0),
        };
        let generation = format!(".g{generation}.");
        let (mut owned, mut logs) = (0, 0);
        for queue in self.broker.queues() {
            let ours = queue.name.starts_with("nephoscope.") && queue.name != PARKED && queue.name != BOOKS;
            if queue.name == PARKED
                || queue.name == BOOKS
                || queue.name.starts_with(ANSWERS)
                || !ours && !self.main_queues.contains(&queue.name)
            {
                continue;
            }
            let rescued_from = queue.name.strip_prefix(&topology::rescue_queue_name(""));
            let of_main_queue = rescued_from.is_some_and(|from| self.main_queues.iter().any(|main| main == from));
            let of_overflow = topology::is_overflow_queue(rescued_from.unwrap_or(&queue.name));
            if ours && !of_main_queue && !of_overflow && !queue.name.contains(&generation) {
                return Some(format!("{} is left", queue.name));
            }
            if rescued_from.is_some() {
                // It stays, and has no owner of its own: the owner of its main queue takes from it.
                if (queue.ready, queue.unacked) != (0, 0) {
                    return Some(format!("{queue:?}"));
                }
                continue;
            }
            if queue.name.strip_suffix(".state").is_some() {
                logs += 1;
                continue;
            }
            owned += 1;
            if (queue.ready, queue.unacked) != (0, 0) || queue.consumers != 1 {
                return Some(format!("{queue:?}"));
            }
            let name = if ours { queue.name.clone() } else { format!("main:{}", queue.name) };
            if !view.owners.contains_key(&name) {
                return Some(format!("{name} has no owner"));
            }
        }
        let sinks = 1 + usize::from(self.plan.events);
        let overflow = if self.plan.destinations > 1 { sinks * self.plan.destinations } else { 0 };
        let expected = (
            self.main_queues.len() + overflow + sinks * pipeline_queues,
            pipeline_queues * usize::from(self.plan.transformers.is_some()),
        );
        ((owned, logs) != expected).then(|| format!("{owned} queues and {logs} logs, expected {expected:?}"))
    }

    /// Looks into the parking queue.
    pub(super) async fn take_parked(&self) {
        let Ok(session) = self.broker.connect().await else { return };
        let options = ConsumeOptions { prefetch_messages: 0, exclusive: false, arguments: BTreeMap::new() };
        let Ok(mut consumer) = session.consume(PARKED, options).await else { return };
        while let Some(delivery) = consumer.ready() {
            let kind = delivery.headers.get("x-nephoscope-kind").map_or("", String::as_str);
            self.witness.parked(kind, &delivery.body);
            delivery.receipt.settle(Verdict::Kept);
        }
    }

    /// Everybody stops in order: in time, and without leaving anything behind.
    pub(super) async fn close_down(&mut self) {
        for host in 0..self.hosts.len() {
            self.drain(host, Then::Nothing);
        }
        let until = Instant::now() + DRAIN + RESTART;
        while self.hosts.iter().any(|host| host.process.is_some()) && Instant::now() < until {
            self.until(until).await;
        }
        let left: Vec<&str> = self.hosts.iter().filter(|host| host.process.is_some()).map(|host| &*host.id).collect();
        if !left.is_empty() {
            self.witness.broken(Invariant::Life, format!("not stopped in {DRAIN:?}: {}", left.join(" ")));
        }
        if let Ok(view) = self.group.view().await
            && !view.owners.is_empty()
        {
            self.witness.broken(Invariant::Life, format!("all have left, still owned: {:?}", view.owners));
        }
    }
}
