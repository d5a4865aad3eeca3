//! The queues that there are to be consumed, by the names that the group knows them by.

use std::sync::Arc;

use super::ground::Ground;
use crate::agent::resize::sealed_mark;
use crate::agent::sinks::overflow::OverflowQueue;
use crate::agent::sinks::sink::SinkSlot;
use crate::agent::stages::route::Routes;

/// What a unit's name stands for.
#[derive(Clone)]
pub(in crate::agent) enum Kind {
    /// A main queue of one of the brokers.
    Main {
        /// Position of the broker in [`Ground::brokers`].
        broker: usize,
        /// The queue.
        queue: String,
    },
    /// A pipeline queue.
    Pipeline {
        /// Its sink.
        slot: Arc<SinkSlot>,
        /// The queue; also the unit's name.
        queue: String,
        /// The generation of queues that it is of.
        generation: u64,
    },
    /// A pipeline queue that is sealed.
    Old {
        /// The queue; also the unit's name.
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
        /// The queue; also the unit's name.
        queue: String,
    },
}

impl Kind {
    /// Position of its broker in [`Ground::brokers`].
    pub(in crate::agent) fn broker(&self) -> usize {
        match self {
            Kind::Main { broker, .. } => *broker,
            Kind::Pipeline { .. } | Kind::Old { .. } | Kind::Overflow { .. } => 0,
        }
    }
}

/// The units that the routes ask for, by name, in order: every main queue of every broker, the overflow queues, and with
/// partitioning every queue of every sink. While the number of queues changes there are no main queues until all of them are
/// closed; a new queue is a unit when nothing can come from the old ones any more, an old one until it is deleted.
pub(in crate::agent) fn all(ground: &Ground, routes: &Routes) -> Vec<(String, Kind)> {
    let overflow = ground.overflow.queues(&routes.sinks).map(|OverflowQueue { name, slot, key }| {
        let kind = Kind::Overflow { slot: Arc::clone(slot), key, queue: name.clone() };
        (name, kind)
    });
    let mut units: Vec<_> = overflow.collect();
    let shape = ground.layouts.get().filter(|_| ground.options.partitioned);
    let Some(shape) = shape else {
        units.extend(main(ground));
        return units;
    };
    if shape.routing().is_some() {
        units.extend(main(ground));
    }
    for slot in &routes.sinks {
        let sealed = shape.is_sealed(slot);
        for (queue, generation) in shape.queues(slot) {
            if sealed || generation == shape.spec.present.generation {
                units.push((queue.clone(), Kind::Pipeline { slot: Arc::clone(slot), queue, generation }));
            }
        }
    }
    units.retain(|(unit, _)| !shape.has(&sealed_mark(unit)));
    units.extend(shape.sealed().map(|(queue, generation)| {
        let queue = queue.to_owned();
        (queue.clone(), Kind::Old { queue, generation })
    }));
    units
}

/// The main queues of every broker, by unit.
fn main(ground: &Ground) -> Vec<(String, Kind)> {
    let mut units = Vec::new();
    for (broker, place) in ground.brokers.iter().enumerate() {
        for queue in &place.main_queues {
            // The first broker's main queues go by their own names; of further ones by name and position.
            let name = if broker == 0 { format!("main:{queue}") } else { format!("main:{queue}@{broker}") };
            units.push((name, Kind::Main { broker, queue: queue.clone() }));
        }
    }
    units
}

impl Ground {
    /// The units of the main queues.
    pub(in crate::agent) fn main_units(&self) -> Vec<String> {
        main(self).into_iter().map(|(unit, _)| unit).collect()
    }
}
