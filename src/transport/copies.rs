//! Queues that get a copy of every notification, beside the main queues, and count what they could not hold.
//!
//! They belong to one session and go with it. A full one forgets its oldest message and never refuses one: a sender that waits
//! for confirms notices nothing. What the copy queue forgets falls into a second queue, which is only counted, by purging it;
//! what that one forgets falls into a third, which says that the count is too low.
//!
//! Never here: what a message means; anything that takes a message away from another queue.

use std::collections::BTreeMap;

use super::{Argument, Binding, Queue, Session, Topology, TransportError};
use crate::model::Priority;
use crate::transport::topology::main_queue;

/// Messages that wait to be counted. More are counted as "at least".
const MISSED_MESSAGES_MAX: i64 = 200_000;
/// Bytes that wait to be counted.
const MISSED_BYTES_MAX: i64 = 128 << 20;

/// What a copy queue may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyBounds {
    /// Messages that are ready.
    pub messages: u32,
    /// Bytes of messages that are ready.
    pub bytes: u64,
}

/// The queues of one copy, by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyQueues {
    /// Holds the copies.
    pub copy: String,
    /// Holds what the copy queue forgot, until it is counted.
    pub missed: String,
    /// Holds one message if what was missed was forgotten too.
    pub uncounted: String,
}

/// How many messages a copy queue forgot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missed {
    /// So many …
    pub messages: u64,
    /// … and more, if they came faster than they could be counted.
    pub more: bool,
}

impl CopyQueues {
    /// `nephoscope.<group>.copy.<process>`, and two beside it.
    pub fn named(group: &str, process: &str) -> Self {
        let copy = format!("nephoscope.{group}.copy.{process}");
        CopyQueues { missed: format!("{copy}.missed"), uncounted: format!("{copy}.uncounted"), copy }
    }

    /// The three queues.
    pub fn queues(&self, bounds: CopyBounds) -> Topology {
        let most = |messages: i64, bytes: i64| {
            [("x-max-length", Argument::Integer(messages)), ("x-max-length-bytes", Argument::Integer(bytes))]
        };
        let copy = most(i64::from(bounds.messages), i64::try_from(bounds.bytes).unwrap_or(i64::MAX));
        let queues = vec![
            queue(&self.uncounted, false, most(1, MISSED_BYTES_MAX)),
            queue(
                &self.missed,
                false,
                most(MISSED_MESSAGES_MAX, MISSED_BYTES_MAX).into_iter().chain(falls_to(&self.uncounted)),
            ),
            queue(&self.copy, true, copy.into_iter().chain(falls_to(&self.missed))),
        ];
        Topology { queues, ..Topology::default() }
    }

    /// The copy queue alone, where the user may not have dead letters: nothing is counted then.
    pub fn uncounted_queue(&self, bounds: CopyBounds) -> Topology {
        let mut queues = self.queues(bounds).queues;
        queues.retain(|queue| queue.name == self.copy);
        for queue in &mut queues {
            queue.arguments.retain(|name, _| !name.starts_with("x-dead-letter"));
        }
        Topology { queues, ..Topology::default() }
    }

    /// What binds the copy queue to one exchange, with the keys of the main queues. The exchange is not declared: who copies
    /// makes nothing that others use.
    pub fn bindings(&self, exchange: &str, topics: &[String]) -> Topology {
        let keys =
            topics.iter().flat_map(|topic| Priority::ALL.into_iter().map(move |priority| main_queue(topic, priority)));
        let binding = |routing_key| Binding { exchange: exchange.to_owned(), queue: self.copy.clone(), routing_key };
        Topology { bindings: keys.map(binding).collect(), ..Topology::default() }
    }

    /// What was missed since the last count, without a look into it.
    pub async fn count_missed(&self, session: &dyn Session) -> Result<Missed, TransportError> {
        let messages = u64::from(session.purge(&self.missed).await?);
        let more = session.purge(&self.uncounted).await? > 0;
        Ok(Missed { messages, more })
    }
}

/// A queue of this session's own that forgets its oldest message when it is full.
fn queue(name: &str, auto_delete: bool, arguments: impl IntoIterator<Item = (&'static str, Argument)>) -> Queue {
    let always = [
        ("x-queue-type", Argument::Text("classic".to_owned())),
        // Never reject-publish: RabbitMQ would refuse the message to its sender, for all queues that it goes to.
        ("x-overflow", Argument::Text("drop-head".to_owned())),
    ];
    let arguments: BTreeMap<String, Argument> =
        always.into_iter().chain(arguments).map(|(name, value)| (name.to_owned(), value)).collect();
    Queue { name: name.to_owned(), durable: false, auto_delete, exclusive: true, arguments, fallback_transient: false }
}

fn falls_to(queue: &str) -> [(&'static str, Argument); 2] {
    [
        ("x-dead-letter-exchange", Argument::Text(String::new())),
        ("x-dead-letter-routing-key", Argument::Text(queue.to_owned())),
    ]
}
