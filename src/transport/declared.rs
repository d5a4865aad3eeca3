//! What is declared at a broker: exchanges, queues, bindings.

use std::collections::BTreeMap;

/// An argument of a queue or consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A string.
    Text(String),
    /// A signed integer, sent as `long-long`... RabbitMQ compares by value.
    Integer(i64),
    /// A boolean.
    Bool(bool),
}

/// What must be there before anything flows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Topic exchanges.
    pub exchanges: Vec<Exchange>,
    /// Queues.
    pub queues: Vec<Queue>,
    /// Which exchange feeds which queue.
    pub bindings: Vec<Binding>,
}

impl Topology {
    /// What one of the queues needs of it.
    #[must_use]
    pub fn of_queue(&self, name: &str) -> Topology {
        Topology {
            exchanges: self.exchanges.clone(),
            queues: self.queues.iter().filter(|queue| queue.name == name).cloned().collect(),
            bindings: self.bindings.iter().filter(|binding| binding.queue == name).cloned().collect(),
        }
    }
}

/// A topic exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
    /// Whether it goes with its last binding.
    pub auto_delete: bool,
    /// See [`Session::declare`](super::Session::declare).
    pub fallback_transient: bool,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "AMQP's own flags")]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether it survives a restart of the broker.
    pub durable: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// Whether it is this session's alone, and goes with it.
    pub exclusive: bool,
    /// `x-…` arguments.
    pub arguments: BTreeMap<String, Argument>,
    /// See [`Session::declare`](super::Session::declare).
    pub fallback_transient: bool,
}

/// A binding by routing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// From this exchange …
    pub exchange: String,
    /// … to this queue …
    pub queue: String,
    /// … for messages with this key.
    pub routing_key: String,
}

/// A queue of one session's own that hears what an exchange is sent. It goes with its consumer, it is bounded, and when it is
/// full the oldest message goes: who hears slowly misses something and holds nobody up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub queue: String,
    /// What it hears.
    pub exchange: String,
    /// With this key.
    pub routing_key: String,
    /// Messages that wait in it at most.
    pub messages_max: i64,
    /// Bytes of these messages at most.
    pub bytes_max: i64,
    /// Messages that its consumer has beside these, at most.
    pub prefetch_messages: u16,
    /// How long a message waits in it at most, in milliseconds.
    pub age_max_ms: i64,
}

impl Subscription {
    /// The arguments of the queue.
    pub(super) fn arguments(&self) -> BTreeMap<String, Argument> {
        BTreeMap::from([
            ("x-queue-type".to_owned(), Argument::Text("classic".to_owned())),
            ("x-max-length".to_owned(), Argument::Integer(self.messages_max)),
            ("x-max-length-bytes".to_owned(), Argument::Integer(self.bytes_max)),
            ("x-message-ttl".to_owned(), Argument::Integer(self.age_max_ms)),
            ("x-overflow".to_owned(), Argument::Text("drop-head".to_owned())),
        ])
    }

    /// How the queue is consumed.
    pub(super) fn consume_options(&self) -> super::ConsumeOptions {
        super::ConsumeOptions { prefetch_messages: self.prefetch_messages, exclusive: true, arguments: BTreeMap::new() }
    }
}
