//! What an agent of this configuration needs on a broker: exchanges, queues, rights.
//!
//! Never here: a connection.

use std::collections::BTreeSet;

use crate::agent::{definitions, wiring};
use crate::config::Settings;
use crate::config::broker::transport_url::TransportUrl;
use crate::pipeline::Plan;
use crate::transport::topology::{self, QueueKind};
use crate::transport::{Argument, Ask, Denied, Exchange, Queue};

/// What an agent uses a queue for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Services send notifications to it.
    Main,
    /// Between the agents of a group.
    Pipeline,
    /// The state of transformers, which is a stream.
    State,
    /// What a publisher that is away does not take.
    Overflow,
    /// What could not be used.
    Parked,
    /// What came back from a main queue so often that the broker would drop it.
    Rescue,
}

/// A queue that an agent uses, as it declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    /// What it is for.
    pub role: Role,
    /// Its declaration.
    pub queue: Queue,
}

impl Need {
    /// `classic`, `quorum` or `stream`, as it is declared.
    pub(super) fn kind(&self) -> &str {
        match self.queue.arguments.get("x-queue-type") {
            Some(Argument::Text(kind)) => kind,
            _ => "classic",
        }
    }
}

/// What an agent needs on one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The exchanges of the services.
    pub exchanges: Vec<Exchange>,
    /// All queues.
    pub queues: Vec<Need>,
    /// Whether transformers keep state.
    pub has_state: bool,
}

/// The layout of the pipeline queues: generation, and queues of each pipeline.
pub(super) type Layout = (u64, u16);

impl Needs {
    /// On a broker of the configuration. Pipeline queues, state logs and the parking queue are on the first alone.
    pub(super) fn of(settings: &Settings, plans: &[Plan], url: &TransportUrl, is_first: bool, layout: Layout) -> Needs {
        let intake = &settings.intake;
        let main = topology::main_queues(&intake.exchanges, &intake.topics, &wiring::oslo_queues(&url.rabbit));
        let mut needs = Needs { exchanges: main.exchanges, ..Needs::default() };
        for queue in main.queues {
            let rescue = topology::rescue_queue(&queue.name);
            needs.queues.push(Need { role: Role::Main, queue });
            needs.queues.push(Need { role: Role::Rescue, queue: rescue });
        }
        if is_first {
            needs.add_own(settings, plans, layout);
        }
        needs
    }

    fn add_own(&mut self, settings: &Settings, plans: &[Plan], (generation, queues): Layout) {
        let (cluster, kind) = (&settings.cluster, wiring::queue_kind(settings));
        let parked_max = i64::try_from(cluster.parked_messages_max).unwrap_or(i64::MAX);
        self.add(Role::Parked, topology::parking_queue(&cluster.group, kind, parked_max));
        for (plan, sink) in plans.iter().flat_map(|plan| plan.sinks.iter().map(move |sink| (plan, sink))) {
            let name = definitions::slot_name(plan.kind, &sink.name);
            let is_stateful = sink.transformers.is_stateful();
            for n in (0..u32::from(queues)).filter(|_| cluster.workload_partitioning) {
                let queue = topology::pipeline_queue_name(&cluster.group, &name, generation, n);
                self.add_pipeline(settings, queue, kind, is_stateful);
            }
        }
        let overflow_max = i64::try_from(settings.publishing.overflow_bytes_max).unwrap_or(i64::MAX);
        for sink in definitions::sinks(settings).iter().filter(|sink| sink.publishers.len() > 1 && overflow_max > 0) {
            for (_, key) in &sink.publishers {
                let name = topology::overflow_queue_name(&cluster.group, &sink.name, key);
                self.add(Role::Overflow, topology::overflow_queue(name, overflow_max));
            }
        }
    }

    fn add_pipeline(&mut self, settings: &Settings, queue: String, kind: QueueKind, is_stateful: bool) {
        if is_stateful {
            self.has_state = true;
            let options = wiring::state_options(settings);
            let bytes_max = i64::try_from(options.log_bytes_max).unwrap_or(i64::MAX);
            let log = topology::state_log(topology::state_log_name(&queue), bytes_max, options.segment_bytes);
            self.add(Role::State, log);
        }
        self.add(Role::Pipeline, topology::pipeline_queue(queue, kind));
    }

    fn add(&mut self, role: Role, queue: Queue) {
        self.queues.push(Need { role, queue });
    }

    /// The queues of this role.
    pub(super) fn role(&self, role: Role) -> impl Iterator<Item = &Need> {
        self.queues.iter().filter(move |need| need.role == role)
    }

    /// What is asked of the broker to learn whether the user has its rights on queues. Of queues whose names differ in a number
    /// alone, the first stands for all.
    pub(super) fn asks(&self) -> Vec<Ask> {
        let consume = self.names().map(|queue| Ask::Consume { queue: queue.to_owned() });
        let first = self.exchanges.first();
        let mains = self.role(Role::Main);
        let binds = mains.filter_map(|need| Some(bind(&need.queue.name, &first?.name)));
        consume.chain(binds).collect()
    }

    /// The same for its rights on exchanges: RabbitMQ looks at them only where the user may write the queue.
    pub(super) fn exchange_asks(&self, denied: &[Denied]) -> Vec<Ask> {
        let may_write =
            |need: &&Need| !denied.iter().any(|right| right.right == "write" && right.name == need.queue.name);
        let Some(need) = self.role(Role::Main).find(may_write) else { return Vec::new() };
        self.exchanges.iter().map(|exchange| bind(&need.queue.name, &exchange.name)).collect()
    }

    /// The names of the queues, one for those whose names differ in a number alone.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let mut seen = BTreeSet::new();
        self.queues.iter().map(|need| &*need.queue.name).filter(move |name| {
            let log_of = name.strip_suffix(".state");
            let stem = log_of.unwrap_or(name).trim_end_matches(|c: char| c.is_ascii_digit());
            seen.insert((stem.to_owned(), log_of.is_some()))
        })
    }
}

fn bind(queue: &str, exchange: &str) -> Ask {
    Ask::Bind { queue: queue.to_owned(), exchange: exchange.to_owned() }
}
