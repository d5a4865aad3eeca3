//! The queues that there are to be consumed, by the names that the group knows them by.

use std::sync::Arc;

use super::agent_context::AgentContext;
use crate::agent::resize::sealed_mark;
use crate::agent::sinks::overflow::OverflowQueue;
use crate::agent::sinks::sink::SinkSlot;
use crate::agent::stages::route::Routes;

/// What a queue is.
#[derive(Clone)]
pub(in crate::agent) enum Kind {
    /// A main queue of one of the brokers.
    Main {
        /// Position of the broker in [`AgentContext::brokers`].
        broker: usize,
        /// The queue.
        queue: String,
    },
    /// A pipeline queue.
    Pipeline {
        /// Its sink.
        slot: Arc<SinkSlot>,
        /// Its name at the broker.
        queue: String,
        /// The generation of queues that it is of.
        generation: u64,
    },
    /// A pipeline queue that is sealed.
    Old {
        /// Its name at the broker.
        queue: String,
        /// The generation that its mark is of.
        generation: u64,
    },
    /// The overflow queue of one of a sink's destinations.
    Overflow {
        /// The sink.
        slot: Arc<SinkSlot>,
        /// The destination's key.
        key: Arc<str>,
        /// Its name at the broker.
        queue: String,
    },
}

impl Kind {
    /// Position of its broker in [`AgentContext::brokers`].
    pub(in crate::agent) fn broker(&self) -> usize {
        match self {
            Kind::Main { broker, .. } => *broker,
            Kind::Pipeline { .. } | Kind::Old { .. } | Kind::Overflow { .. } => 0,
        }
    }
}

/// The queues that the routes ask for, by name, in order: every main queue of every broker, the overflow queues, and with
/// partitioning every queue of every sink. While the number of queues changes there are no main queues until all of them are
/// closed; a new queue is among them once nothing can come from the old ones any more, an old one until it is deleted.
pub(in crate::agent) fn all(agent: &AgentContext, routes: &Routes) -> Vec<(String, Kind)> {
    let overflow = agent.overflow.queues(&routes.sinks).map(|OverflowQueue { name, slot, key }| {
        let kind = Kind::Overflow { slot: Arc::clone(slot), key, queue: name.clone() };
        (name, kind)
    });
    let mut queues: Vec<_> = overflow.collect();
    let group_layout = agent.layouts.get().filter(|_| agent.options.partitioned);
    let Some(group_layout) = group_layout else {
        queues.extend(main(agent));
        return queues;
    };
    if group_layout.routing().is_some() {
        queues.extend(main(agent));
    }
    for slot in &routes.sinks {
        let sealed = group_layout.is_sealed(slot);
        for (queue, generation) in group_layout.queues(slot) {
            if sealed || generation == group_layout.spec.present.generation {
                queues.push((queue.clone(), Kind::Pipeline { slot: Arc::clone(slot), queue, generation }));
            }
        }
    }
    queues.retain(|(queue, _)| !group_layout.has(&sealed_mark(queue)));
    queues.extend(group_layout.sealed().map(|(queue, generation)| {
        let queue = queue.to_owned();
        (queue.clone(), Kind::Old { queue, generation })
    }));
    queues
}

/// The main queues of every broker, by the names that the group has for them.
fn main(agent: &AgentContext) -> Vec<(String, Kind)> {
    let mut queues = Vec::new();
    for (broker, place) in agent.brokers.iter().enumerate() {
        for queue in &place.main_queues {
            // The first broker's main queues go by their own names; of further ones by name and position.
            let name = if broker == 0 { format!("main:{queue}") } else { format!("main:{queue}@{broker}") };
            queues.push((name, Kind::Main { broker, queue: queue.clone() }));
        }
    }
    queues
}

impl AgentContext {
    /// The names that the group has for the main queues.
    pub(in crate::agent) fn main_queue_names(&self) -> Vec<String> {
        main(self).into_iter().map(|(queue, _)| queue).collect()
    }
}
