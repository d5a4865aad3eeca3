//! Mistakes of where something goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::seams::{Otherwise, numbered};
use nephoscope::agent::packet;
use nephoscope::cluster::hash;
use nephoscope::transport::{Outgoing, Topology, topology};

/// Sends every packet to another queue of its generation, by the agent's id.
pub(super) struct OwnHash {
    shift: usize,
    /// By generation of a sink, the numbers of the queues that the agent has declared.
    queues: Mutex<BTreeMap<String, BTreeSet<usize>>>,
}

impl OwnHash {
    /// The hash of this agent.
    pub(super) fn of(agent: &str) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let shift = hash::stable(agent.as_bytes()) as u16;
        OwnHash { shift: usize::from(shift), queues: Mutex::default() }
    }
}

impl Otherwise for OwnHash {
    fn declares(&self, topology: &Topology) {
        let mut known = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        for (generation, number) in topology.queues.iter().filter_map(|queue| numbered(&queue.name)) {
            known.entry(generation.to_owned()).or_default().insert(number);
        }
    }

    fn publishes(&self, mut message: Outgoing) -> Outgoing {
        if message.routing_key.starts_with(&topology::rescue_queue_name("")) {
            return message;
        }
        let Some((generation, number)) = numbered(&message.routing_key) else { return message };
        let known = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queues = known.get(generation).map_or(1, BTreeSet::len).max(number + 1);
        message.routing_key = format!("{generation}.{}", (number + self.shift) % queues);
        message
    }
}

/// Answers the agent's question itself, so that it does not wait behind anything in the overflow queue.
pub(super) struct AnsweredAtOnce;

impl Otherwise for AnsweredAtOnce {
    fn publishes(&self, message: Outgoing) -> Outgoing {
        let question = if topology::is_overflow_queue(&message.routing_key) {
            packet::read(&message.body).ok().and_then(|packet| packet.question)
        } else {
            None
        };
        match question {
            Some(question) => Outgoing::to_queue(&question.answer_to, question.token.into(), message.content_type),
            None => message,
        }
    }
}
