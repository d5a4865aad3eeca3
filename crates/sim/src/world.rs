//! One world, from its beginning to its judgement.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Run;
use crate::group::{GroupLine, ReachedGroup};
use crate::logs::Logs;
use crate::mistakes::Mistake;
use crate::network::{Network, Reached};
use crate::oracle::Oracle;
use crate::outlet::{Outlet, Weather};
use crate::plan::{Happening, MainQueues, Over, Plan};
use crate::sender::{self, Sender};
use crate::trace::Trace;
use crate::witness::{Invariant, Witness};
use nephoscope::agent::{Agent, Blueprint, Clock, Outcome, OverflowOptions, wiring};
use nephoscope::config::{self, Definitions, Settings};
use nephoscope::convert::{ConvertOptions, Converter, Sources};
use nephoscope::coordination::{Coordinator, MemoryGroup};
use nephoscope::model::Complaint;
use nephoscope::observe::{Board, Metrics};
use nephoscope::publish::{Context, Publisher};
use nephoscope::tasks::Gate;
use nephoscope::transport::{Broker, ConsumeOptions, MemoryBroker, topology};

/// Virtual time in which everything must have come to rest after the last fault.
const REST: Duration = Duration::from_secs(180);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(250);
/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(30);
/// After which an agent that ended by itself is started again, as systemd does.
const RESTART: Duration = Duration::from_secs(1);
/// Before a change of the number of queues is tried again.
const REPARTITION_AGAIN: Duration = Duration::from_millis(500);
/// More polls of an agent's tasks in one moment of the virtual clock than it can have a reason for.
const POLLS_MAX: u64 = 100_000;
/// Of small state logs: their bytes, those of a segment, and those between two snapshots.
const SMALL_LOG: (usize, i64, (usize, usize)) = (128 * 1024, 4 * 1024, (1_000, 16 * 1024));
/// The parking queue of the group.
const PARKED: &str = "nephoscope.ceilometer.parked";

/// What the queues of answers begin with: one for each process, which outlives it by minutes.
const ANSWERS: &str = "nephoscope.ceilometer.answers.";

const METERS: &str = "
metric:
  - {name: size, event_type: volume.usage, type: cumulative, unit: B, volume: $.payload.size,
     resource_id: $.payload.id, project_id: $.payload.tenant_id, user_id: $.payload.user_id}
";
const EVENTS: &str = "
- event_type: volume.usage
  traits: {resource_id: {fields: payload.id}, size: {type: int, fields: payload.size}}
";
/// Where the transformers and the destinations of the world are put in.
const PIPELINE: &str = "
sources: [{name: source, meters: ['*'], sinks: [sink]}]
sinks: [{name: sink, transformers: [TRANSFORMERS], publishers: [PUBLISHERS]}]
";
const EVENT_PIPELINE: &str = "
sources: [{name: source, events: ['*'], sinks: [sink]}]
sinks: [{name: sink, publishers: [PUBLISHERS]}]
";

/// Plays a seed.
pub(crate) async fn play(seed: u64, mistake: Option<Mistake>) -> Run {
    let plan = Plan::of(seed);
    let trace = Trace::new();
    let witness = Witness::new(trace.clone(), plan.destinations, plan.main != MainQueues::Shared);
    let repeats_per_fault = plan.repeats_per_fault();
    match World::new(seed, plan, mistake, trace.clone(), witness.clone()) {
        Ok(world) => world.run().await,
        Err(complaints) => complaints.iter().for_each(|c| witness.broken(Invariant::Life, c.to_string())),
    }
    let repeats_max = witness.faults() * repeats_per_fault;
    let (tally, violations) = witness.judge(repeats_max);
    violations.iter().for_each(|violation| trace.say("witness", violation));
    Run { timeline: trace.take(), tally, violations }
}

struct World {
    plan: Plan,
    mistake: Option<Mistake>,
    settings: Settings,
    definitions: Definitions,
    broker: MemoryBroker,
    group: MemoryGroup,
    /// Of each destination.
    weather: Vec<Weather>,
    trace: Trace,
    witness: Witness,
    rng: StdRng,
    began: Instant,
    hosts: Vec<Host>,
    /// What is still to happen, by when, and in the order in which it was planned.
    agenda: BTreeMap<(Duration, u32), Happening>,
    planned: u32,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    main_queues: Vec<String>,
}

/// One machine with one agent, or none.
struct Host {
    id: Arc<str>,
    process: Option<Process>,
    /// Processes so far.
    started: u32,
    frozen: bool,
}

struct Process {
    number: u32,
    gate: Gate,
    agent: Arc<Agent>,
    network: Arc<Network>,
    line: Arc<GroupLine>,
    /// Told to stop.
    draining: Option<Then>,
    /// About to be killed.
    doomed: bool,
}

/// What comes after a drain.
#[derive(Clone, Copy)]
enum Then {
    BackAfter(Duration),
    Nothing,
}

/// What an agent's end is made known by.
enum News {
    Ended { host: usize, number: u32, outcome: Outcome },
    Drained { host: usize, number: u32, failed: Option<String> },
}

impl World {
    fn new(
        seed: u64,
        plan: Plan,
        mistake: Option<Mistake>,
        trace: Trace,
        witness: Witness,
    ) -> Result<Self, Vec<Complaint>> {
        let settings = settings(&plan)?;
        let definitions = definitions(&plan)?;
        let hosts = (1..=plan.agents)
            .map(|n| Host { id: format!("agent-{n}").into(), process: None, started: 0, frozen: false })
            .collect();
        let main_queues = if plan.polled { vec!["info", "sample"] } else { vec!["info"] };
        let mut world = World {
            settings,
            definitions,
            broker: MemoryBroker::new("simulated"),
            group: MemoryGroup::new(plan.lease_ttl),
            weather: vec![Weather::default(); plan.destinations],
            trace,
            witness,
            rng: StdRng::seed_from_u64(seed ^ 0x77_6f72_6c64),
            began: Instant::now(),
            hosts,
            agenda: BTreeMap::new(),
            planned: 0,
            news: mpsc::channel(64),
            main_queues: main_queues.into_iter().map(|priority| format!("notifications.{priority}")).collect(),
            mistake,
            plan,
        };
        if world.plan.transformers.is_some() && world.plan.partitioned {
            world.witness.watch(Logs::new(world.broker.clone(), wiring::state_options(&world.settings).window));
        }
        for (at, happening) in std::mem::take(&mut world.plan.happenings) {
            world.plan_for(at, happening);
        }
        Ok(world)
    }

    async fn run(mut self) {
        let Plan { agents, partitioned, queues, events, calm, small_logs, .. } = self.plan;
        let stateful = self.plan.transformers.is_some();
        self.trace.say(
            "world",
            format_args!(
                "{agents} agents, {}, main queues {} ({:?}), lease {:?}{}",
                if partitioned { format!("{queues} pipeline queues a sink") } else { "alone".to_owned() },
                self.main_queues.join(" and "),
                self.plan.main,
                self.plan.lease_ttl,
                [(events, ", with events"), (calm, ", calm"), (stateful, ", stateful"), (small_logs, ", small logs")]
                    .iter()
                    .filter_map(|(is, text)| is.then_some(*text))
                    .collect::<String>(),
            ),
        );
        let messages = std::mem::take(&mut self.plan.messages);
        let Some(sender) = self.sender() else { return };
        let sent = tokio::spawn(sender.send_all(messages));
        while let Some(((at, order), happening)) = self.agenda.pop_first() {
            if self.until(self.began + at).await {
                self.agenda.insert((at, order), happening);
            } else if let Happening::Repartition { queues, tries } = happening {
                self.repartition(queues, tries).await;
            } else {
                self.happen(happening);
            }
        }
        let _sent = sent.await;
        self.trace.say("world", "all is sent, the faults are over");
        self.heal();
        if self.come_to_rest().await {
            self.close_down().await;
            self.witness.judge_state();
        }
        self.take_parked().await;
    }

    /// The services of the cloud. They declare the queues they send to, so that nothing is lost before the first agent runs.
    fn sender(&self) -> Option<Sender> {
        let Definitions { meters, events: Some(events), .. } = self.definitions.clone() else { return None };
        let (converter, _) = Converter::build(&Sources { meters, events }, ConvertOptions::default());
        let seed = self.rng.clone().random();
        let oracle = match self.plan.transformers {
            None => None,
            Some(_) => Some(Oracle::of(&self.definitions, self.settings.transformers.clone(), self.clock())?),
        };
        let queues = wiring::oslo_queues(&self.settings.transport.rabbit);
        let place = (self.broker.clone(), queues);
        Some(Sender::new(place, (converter?, oracle), self.witness.clone(), seed, self.plan.events))
    }

    fn clock(&self) -> Clock {
        Clock::Since { at: sender::BEGINNING, began: self.began }
    }

    fn plan_for(&mut self, at: Duration, happening: Happening) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), happening);
    }

    fn plan_in(&mut self, wait: Duration, happening: Happening) {
        self.plan_for(self.began.elapsed() + wait, happening);
    }

    /// Waits until then; whether there was news before, which may have changed the agenda.
    async fn until(&mut self, then: Instant) -> bool {
        tokio::select! {
            biased;
            Some(news) = self.news.1.recv() => {
                self.hear(news);
                true
            }
            () = tokio::time::sleep_until(then) => false,
        }
    }

    fn hear(&mut self, news: News) {
        let (host, number) = match &news {
            News::Ended { host, number, .. } | News::Drained { host, number, .. } => (*host, *number),
        };
        let Some(process) = self.hosts[host].process.as_ref().filter(|process| process.number == number) else {
            return;
        };
        let draining = process.draining;
        let id = Arc::clone(&self.hosts[host].id);
        match news {
            News::Ended { outcome, .. } => {
                if draining.is_some() {
                    return; // the drain goes on until everything is closed
                }
                self.trace.say(&id, format_args!("ended by itself: {outcome:?}"));
                self.witness.broken(Invariant::Life, format!("{id} ended by itself: {outcome:?}"));
                self.plan_in(RESTART, Happening::Start(host));
            }
            News::Drained { failed: None, .. } => self.trace.say(&id, "has stopped"),
            News::Drained { failed: Some(why), .. } => {
                self.trace.say(&id, format_args!("did not stop in time: {why}"));
                if self.plan.calm {
                    self.witness.broken(Invariant::Life, format!("{id}: {why}"));
                }
                self.witness.fault();
            }
        }
        self.end(host);
        if let Some(Then::BackAfter(back)) = draining {
            self.plan_in(back, Happening::Start(host));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start(host) => self.start(host),
            Happening::Kill { agent, polls, back } => self.kill(agent, polls, back),
            Happening::Drain { agent, back } => self.drain(agent, Then::BackAfter(back)),
            Happening::Freeze { agent, lasts, dropped } => self.freeze(agent, lasts, dropped),
            Happening::Reset(agent) => {
                if let Some(network) = self.network(agent) {
                    self.fault(agent, "its connection is reset");
                    network.reset();
                }
            }
            Happening::Overlook { agent, lasts } => {
                if let Some(network) = self.network(agent) {
                    self.fault(agent, &format!("is overlooked by the broker's queues for {lasts:?}"));
                    network.overlooked_by_queues();
                    self.plan_in(lasts, Happening::Over(Over::Overlooked(agent)));
                }
            }
            Happening::CutBroker { agent, stall, lasts } => {
                if let Some(network) = self.network(agent) {
                    self.fault(agent, &format!("is cut from the broker for {lasts:?}: {stall:?}"));
                    network.cut(stall);
                    self.plan_in(lasts, Happening::Over(Over::Broker(agent)));
                }
            }
            Happening::Slow { agent, extra, lasts } => {
                if let Some(network) = self.network(agent) {
                    self.trace
                        .say(&self.hosts[agent].id, format_args!("everything takes {extra:?} longer for {lasts:?}"));
                    network.slow_down(extra);
                    self.plan_in(lasts, Happening::Over(Over::Broker(agent)));
                }
            }
            Happening::CutGroup { agent, lost, lasts } => {
                if let Some(line) = self.line(agent) {
                    // No fault by which anything may come out twice: it works on, and its successors wait.
                    self.trace
                        .say(&self.hosts[agent].id, format_args!("is cut from the group for {lasts:?}: {lost:?}"));
                    line.cut(lost);
                    self.plan_in(lasts, Happening::Over(Over::Group(agent)));
                }
            }
            Happening::Deafen { agent, lasts } => {
                if let Some(line) = self.line(agent) {
                    self.trace.say(&self.hosts[agent].id, format_args!("its watch is deaf for {lasts:?}"));
                    line.deafen();
                    self.plan_in(lasts, Happening::Over(Over::Group(agent)));
                }
            }
            Happening::BrokerRestart { lasts } => {
                self.trace.say("broker", format_args!("stops for {lasts:?}"));
                self.witness.fault();
                self.broker.stop();
                self.plan_in(lasts, Happening::Over(Over::BrokerBack));
            }
            Happening::GroupAway { lasts } => {
                self.trace.say("group", format_args!("is away for {lasts:?}"));
                self.witness.fault();
                self.group.set_away(true);
                self.plan_in(lasts, Happening::Over(Over::GroupBack));
            }
            Happening::PublishersAway { destination, forgetful, lasts } => {
                let how = if forgetful { "answers 503 to what it takes" } else { "answers 503" };
                self.trace.say("outlet", format_args!("{destination} {how} for {lasts:?}"));
                // An agent that stops meanwhile gives back what one of two publishers has taken.
                self.witness.fault();
                self.weather[destination].set_away(true, forgetful);
                self.plan_in(lasts, Happening::Over(Over::Publishers(destination)));
            }
            Happening::PublishersSlow { destination, extra, lasts } => {
                self.trace.say("outlet", format_args!("{destination} takes {extra:?} longer for {lasts:?}"));
                if self.plan.destinations > 1 {
                    // What one of several is asked to take for too long goes to its overflow queue, and it may have taken it.
                    self.witness.fault();
                }
                self.weather[destination].slow_down(extra);
                self.plan_in(lasts, Happening::Over(Over::Publishers(destination)));
            }
            Happening::Pause { lasts } => {
                self.trace.say("operator", format_args!("pauses moving for {lasts:?}"));
                self.group.set_paused(true);
                self.plan_in(lasts, Happening::Over(Over::Pause));
            }
            // The one that asks the group: see `repartition`.
            Happening::Repartition { .. } => {}
            Happening::Over(over) => self.over(over),
        }
    }

    /// An operator changes the number of queues, by the rules of `nephoscope partitions`.
    async fn repartition(&mut self, queues: u16, tries: u32) {
        let view = self.group.view().await.ok().filter(|view| view.marks.is_empty());
        let spec = view.and_then(|view| view.spec).filter(|(spec, _)| spec.next.is_none());
        let Some((spec, revision)) = spec else {
            if tries > 0 {
                self.plan_in(REPARTITION_AGAIN, Happening::Repartition { queues, tries: tries - 1 });
            }
            return;
        };
        let Ok(planned) = spec.planned(queues) else { return };
        let planned = if self.mistake == Some(Mistake::NoQuiet) { planned.quieted() } else { planned };
        if queues != spec.present.table.queues()
            && self.group.put_spec(&planned, Some(revision)).await.is_ok_and(|done| done)
        {
            let before = spec.present.table.queues();
            self.trace.say("operator", format_args!("changes the number of queues from {before} to {queues}"));
        }
    }

    fn over(&mut self, over: Over) {
        match over {
            Over::Freeze(agent) => self.thaw(agent),
            Over::Overlooked(agent) => {
                if let Some(network) = self.network(agent) {
                    network.dropped_by_broker();
                }
            }
            Over::Dropped(agent) => {
                if let Some(network) = self.network(agent).filter(|_| self.hosts[agent].frozen) {
                    network.dropped_by_broker();
                }
            }
            Over::Broker(agent) => {
                if let Some(network) = self.network(agent) {
                    self.trace.say(&self.hosts[agent].id, "reaches the broker as before");
                    network.heal();
                }
            }
            Over::Group(agent) => {
                if let Some(line) = self.line(agent) {
                    self.trace.say(&self.hosts[agent].id, "reaches the group as before");
                    line.heal();
                }
            }
            Over::BrokerBack => {
                self.trace.say("broker", "runs");
                self.broker.start();
            }
            Over::GroupBack => {
                self.trace.say("group", "is back");
                self.group.set_away(false);
            }
            Over::Publishers(destination) => {
                self.trace.say("outlet", "is well");
                self.weather[destination].set_away(false, false);
                self.weather[destination].slow_down(Duration::ZERO);
            }
            Over::Pause => {
                self.trace.say("operator", "lets move");
                self.group.set_paused(false);
            }
        }
    }

    fn network(&self, host: usize) -> Option<Arc<Network>> {
        self.hosts[host].process.as_ref().map(|process| Arc::clone(&process.network))
    }

    fn line(&self, host: usize) -> Option<Arc<GroupLine>> {
        self.hosts[host].process.as_ref().map(|process| Arc::clone(&process.line))
    }

    fn fault(&self, host: usize, what: &str) {
        self.witness.fault();
        self.trace.say(&self.hosts[host].id, what);
    }

    fn start(&mut self, host: usize) {
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
            parts.options.main_prefetch = self.plan.main_prefetch;
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
    fn end(&mut self, host: usize) {
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

    fn kill(&mut self, host: usize, polls: u64, back: Duration) {
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

    fn drain(&mut self, host: usize, then: Then) {
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

    fn freeze(&mut self, host: usize, lasts: Duration, dropped: Option<Duration>) {
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

    fn thaw(&mut self, host: usize) {
        let Host { id, process, frozen, .. } = &mut self.hosts[host];
        if let (true, Some(process)) = (*frozen, process) {
            self.trace.say(id, "goes on");
            process.gate.release();
        }
        *frozen = false;
    }

    /// Everything works again, and whoever is gone is started.
    fn heal(&mut self) {
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
    async fn come_to_rest(&mut self) -> bool {
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
        let (generation, queues) = match &view.spec {
            Some((spec, _)) if spec.next.is_some() || !view.marks.is_empty() => {
                return Some(format!("the number of queues changes: {:?}", view.marks.keys()));
            }
            Some((spec, _)) => (spec.present.generation, usize::from(spec.present.table.queues())),
            None if self.plan.partitioned => return Some("the group has no specification".to_owned()),
            None => (0, 0),
        };
        let generation = format!(".g{generation}.");
        let (mut units, mut logs) = (0, 0);
        for queue in self.broker.queues() {
            let ours = queue.name.starts_with("nephoscope.") && queue.name != PARKED;
            if queue.name == PARKED
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
                // It stays, and is no unit: whoever has its queue takes from it.
                if (queue.ready, queue.unacked) != (0, 0) {
                    return Some(format!("{queue:?}"));
                }
                continue;
            }
            if queue.name.strip_suffix(".state").is_some() {
                logs += 1;
                continue;
            }
            units += 1;
            if (queue.ready, queue.unacked) != (0, 0) || queue.consumers != 1 {
                return Some(format!("{queue:?}"));
            }
            let unit = if ours { queue.name.clone() } else { format!("main:{}", queue.name) };
            if !view.owners.contains_key(&unit) {
                return Some(format!("{unit} has no owner"));
            }
        }
        let sinks = 1 + usize::from(self.plan.events);
        let overflow = if self.plan.destinations > 1 { sinks * self.plan.destinations } else { 0 };
        let expected = (
            self.main_queues.len() + overflow + sinks * queues,
            queues * usize::from(self.plan.transformers.is_some()),
        );
        ((units, logs) != expected).then(|| format!("{units} queues and {logs} logs, expected {expected:?}"))
    }

    /// Looks into the parking queue.
    async fn take_parked(&self) {
        let Ok(session) = self.broker.connect().await else { return };
        let options = ConsumeOptions { prefetch_messages: 0, exclusive: false, arguments: BTreeMap::new() };
        let Ok(mut consumer) = session.consume(PARKED, options).await else { return };
        while let Some(delivery) = consumer.ready() {
            let kind = delivery.headers.get("x-nephoscope-kind").map_or("", String::as_str);
            self.witness.parked(kind, &delivery.body);
            delivery.receipt.settle(nephoscope::model::Verdict::Kept);
        }
    }

    /// Everybody stops in order: in time, and without leaving anything behind.
    async fn close_down(&mut self) {
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

fn settings(plan: &Plan) -> Result<Settings, Vec<Complaint>> {
    let sharing = if plan.partitioned {
        format!(
            "workload_partitioning = true\npipeline_processing_queues = {}\n\
             [coordination]\nbackend_url = etcd3://unused\ncheck_watchers = {}\n",
            plan.queues,
            plan.view_period.as_secs()
        )
    } else {
        String::new()
    };
    let text = format!(
        "[notification]\nnotification_control_exchanges = {}\n{sharing}\
         [oslo_messaging_rabbit]\namqp_durable_queues = true\nrabbit_quorum_queue = {}\n\
         [nephoscope]\nmain_queue_exclusive = {}\nlease_ttl = {}\npublish_retry_min = 0.1\npublish_retry_max = 2\nparked_messages_max = 10000\n",
        sender::EXCHANGE,
        plan.main != MainQueues::Classic,
        plan.main != MainQueues::Shared,
        plan.lease_ttl.as_secs()
    );
    let (settings, complaints) = config::load_text("simulated", &text);
    settings.ok_or(complaints)
}

fn definitions(plan: &Plan) -> Result<Definitions, Vec<Complaint>> {
    let destinations: Vec<String> = (0..plan.destinations).map(|n| format!("'test://{n}'")).collect();
    let destinations = destinations.join(", ");
    let pipeline = PIPELINE.replace("TRANSFORMERS", plan.transformers.unwrap_or_default());
    let pipeline = pipeline.replace("PUBLISHERS", &destinations);
    let event_pipeline = EVENT_PIPELINE.replace("PUBLISHERS", &destinations);
    let node = |name: &str, text: &str| config::yaml::read(name, text).map_err(|complaint| vec![complaint]);
    Ok(Definitions {
        meters: vec![node("meters.yaml", METERS)?],
        events: Some(node("event_definitions.yaml", EVENTS)?),
        pipeline: Some(node("pipeline.yaml", &pipeline)?),
        event_pipeline: if plan.events { Some(node("event_pipeline.yaml", &event_pipeline)?) } else { None },
        ..Definitions::default()
    })
}
