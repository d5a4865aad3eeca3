//! One world, from its beginning to its judgement.

mod configuration;
mod faults;
mod hosts;
mod rest;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Run;
use crate::mistakes::Mistake;
use crate::network::{GroupLine, Network};
use crate::oracle::Oracle;
use crate::outlet::Weather;
use crate::plan::{Happening, MainQueues, Plan};
use crate::sender::{self, Sender};
use crate::trace::Trace;
use crate::witness::Logs;
use crate::witness::{Invariant, Witness};
use nephoscope::agent::{Agent, Clock, Outcome, wiring};
use nephoscope::config::{Definitions, Settings};
use nephoscope::convert::{ConvertOptions, Converter, Sources};
use nephoscope::coordination::MemoryGroup;
use nephoscope::model::Complaint;
use nephoscope::tasks::Gate;
use nephoscope::transport::MemoryBroker;

/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(30);
/// The books of the group.
const BOOKS: &str = "nephoscope.ceilometer.books";
/// After which an agent that ended by itself is started again, as systemd does.
const RESTART: Duration = Duration::from_secs(1);

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
        let settings = configuration::settings(&plan)?;
        let definitions = configuration::definitions(&plan)?;
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
            self.witness.judge_books(&self.broker.stream_records(BOOKS));
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
}
