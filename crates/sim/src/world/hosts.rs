//! Machines whose agents are started, stopped, killed and frozen.

use rand::Rng;
use std::sync::Arc;
use std::time::Duration;

use super::{DRAIN, Host, News, Process, Then, World};
use crate::network::{GroupLine, Network, Reached, ReachedGroup};
use crate::outlet::Outlet;
use crate::plan::{Happening, Over};
use crate::witness::Invariant;
use nephoscope::agent::{Agent, Blueprint, MainPrefetch, OverflowOptions, wiring};
use nephoscope::observe::{Board, Metrics};
use nephoscope::publish::{Context, Publisher};
use nephoscope::tasks::Gate;
use nephoscope::transport::Broker;

/// More polls of an agent's tasks in one moment of the virtual clock than it can have a reason for.
const POLLS_MAX: u64 = 100_000;
/// Of small state logs: their bytes, those of a segment, and those between two snapshots.
const SMALL_LOG: (usize, i64, (usize, usize)) = (128 * 1024, 4 * 1024, (1_000, 16 * 1024));

impl World {
    pub(super) fn start(&mut self, host: usize) {
        if let Some(process) = &self.hosts[host].process {
            if !process.doomed && !process.gate.is_ended() {
                return;
            }
            self.end(host);
        }
        let (id, number) = (Arc::clone(&self.hosts[host].id), self.hosts[host].started + 1);
        self.trace.say(&id, format_args!("starts (process {number})"));
        let (trace, witness) = (self.trace.clone(), self.witness.clone());
        let network =
            Network::new(Arc::clone(&id), self.broker.clone(), self.rng.random(), trace.clone(), witness.clone());
        let line = GroupLine::new(Arc::clone(&id), self.group.clone(), self.rng.random(), trace, witness.clone());
        let seed: u64 = self.rng.random();
        let outlets: Vec<Arc<dyn Publisher>> = (0_u64..)
            .zip(self.weather.iter().cloned().enumerate())
            .map(|(n, (destination, weather))| -> Arc<dyn Publisher> {
                Arc::new(Outlet::new(Arc::clone(&id), destination, weather, witness.clone(), seed ^ n))
            })
            .collect();
        let outlet = move |name: &str| Arc::clone(&outlets[name.parse().unwrap_or(0)]);
        let context =
            Context { metrics: Metrics::new(), test_publishers: Some(Arc::new(outlet)), ..Context::default() };
        let definitions = (self.definitions.clone(), Vec::new());
        let (Some(blueprint), _) = Blueprint::build_of(&self.settings, definitions, &context, None) else { return };
        let gate = Gate::new();
        let (restless, who) = (self.witness.clone(), Arc::clone(&id));
        gate.bound(POLLS_MAX, move || {
            restless.broken(Invariant::Life, format!("{who}: more than {POLLS_MAX} polls in one moment"));
        });
        let agent = gate.within(|| {
            let broker: Arc<dyn Broker> = Arc::new(Reached(Arc::clone(&network)));
            let broker = match self.mistake {
                Some(mistake) => mistake.at(broker, &id),
                None => broker,
            };
            let coordinator = Arc::new(ReachedGroup(Arc::clone(&line)));
            let metrics = context.metrics.clone();
            let mut parts =
                wiring::in_process(&self.settings, &id, blueprint, broker, coordinator, metrics, Board::new());
            parts.brokers.iter_mut().for_each(|place| place.main_queues.clone_from(&self.main_queues));
            parts.options.main_prefetch =
                MainPrefetch { messages: self.plan.main_prefetch, by_size: self.plan.main_by_size };
            parts.options.pipeline_prefetch = self.plan.pipeline_prefetch;
            parts.options.intake.messages_max = self.plan.taken_at_once;
            parts.options.packet.notifications_max = self.plan.packet_notifications;
            parts.options.moves_at_once = self.plan.moves_at_once;
            parts.options.overflow =
                OverflowOptions { after: self.plan.overflow_after, bytes_max: self.plan.overflow_bytes_max };
            parts.options.clock = self.clock();
            if self.plan.small_logs {
                let state = &mut parts.options.state;
                (state.log_bytes_max, state.segment_bytes, state.snapshot_after_bytes) = SMALL_LOG;
            }
            Arc::new(Agent::start(parts))
        });
        let (news, ending) = (self.news.0.clone(), Arc::clone(&agent));
        gate.spawn(async move {
            let outcome = ending.ended().await;
            let _over = news.send(News::Ended { host, number, outcome }).await;
        });
        let process = Process { number, gate, agent, network, line, draining: None, doomed: false };
        let host = &mut self.hosts[host];
        (host.process, host.started, host.frozen) = (Some(process), number, false);
    }

    /// The process is gone, if it was not already.
    pub(super) fn end(&mut self, host: usize) {
        if let Some(process) = self.hosts[host].process.take() {
            if !self.plan.partitioned {
                // Alone, nothing keeps a new process from a queue whose messages a dead connection still holds, and order
                // is not promised then (docs/delivery.md): here the broker finds out first.
                process.network.dropped_by_broker();
            }
            process.network.die();
            process.gate.end();
        }
    }

    pub(super) fn kill(&mut self, host: usize, polls: u64, back: Duration) {
        let id = Arc::clone(&self.hosts[host].id);
        let Some(process) = &mut self.hosts[host].process else { return };
        process.doomed = true;
        self.witness.fault();
        self.trace.say(&id, format_args!("is to die after {polls} polls, and to be back after {back:?}"));
        let (network, trace) = (Arc::clone(&process.network), self.trace.clone());
        process.gate.end_after(polls, move || {
            trace.say(&id, "is killed");
            network.die();
        });
        // One that does not come to its last poll by then dies then.
        self.plan_in(back, Happening::Start(host));
    }

    pub(super) fn drain(&mut self, host: usize, then: Then) {
        let Host { id, process, frozen, .. } = &mut self.hosts[host];
        let Some(process) = process.as_mut().filter(|process| process.draining.is_none() && !process.gate.is_ended())
        else {
            return;
        };
        if *frozen {
            return;
        }
        self.trace.say(id, "is told to stop");
        process.draining = Some(then);
        let (news, agent, number) = (self.news.0.clone(), Arc::clone(&process.agent), process.number);
        process.gate.spawn(async move {
            let failed = agent.drain(DRAIN).await.err().map(|e| e.to_string());
            let _over = news.send(News::Drained { host, number, failed }).await;
        });
    }

    pub(super) fn freeze(&mut self, host: usize, lasts: Duration, dropped: Option<Duration>) {
        let Host { id, process: Some(process), frozen, .. } = &mut self.hosts[host] else { return };
        if *frozen || process.gate.is_ended() {
            return;
        }
        self.witness.fault();
        self.trace.say(id, format_args!("is frozen for {lasts:?}"));
        *frozen = true;
        process.gate.hold();
        self.plan_in(lasts, Happening::Over(Over::Freeze(host)));
        if let Some(dropped) = dropped {
            self.plan_in(dropped, Happening::Over(Over::Dropped(host)));
        }
    }

    pub(super) fn thaw(&mut self, host: usize) {
        let Host { id, process, frozen, .. } = &mut self.hosts[host];
        if let (true, Some(process)) = (*frozen, process) {
            self.trace.say(id, "goes on");
            process.gate.release();
        }
        *frozen = false;
    }
}
