//! The topology that the agent declares: the main queues as oslo.messaging has them, and its own queues.
//!
//! Never here: transient exclusive-less queues of our own, mirrored queues; RabbitMQ 4 has neither.

use std::collections::BTreeMap;

use super::{Argument, Binding, Exchange, Queue, Subscription, Topology};
use crate::model::Priority;

/// Redeliveries after which a quorum queue of the agent drops a message. RabbitMQ 4 would do so after 20, and 3.10 knows no
/// "never": a member that crashes again and again must not lose a message.
pub const DELIVERY_LIMIT: i64 = 1_000_000;
/// Messages a parking queue takes unless configured otherwise; a full one refuses, and what cannot be parked is returned.
pub const PARKED_MESSAGES_MAX: i64 = 100_000;

/// Notes in the books are kept for so long, in RabbitMQ's words: two months and a few days, so that a month can be looked at in the
/// next one.
pub const BOOKS_AGE: &str = "70D";
/// The broker cuts the books off by segments of so many bytes.
const BOOKS_SEGMENT_BYTES: i64 = 16 * 1024 * 1024;

/// How oslo.messaging declares: `[oslo_messaging_rabbit]` (Ceilometer reference §2.6). Every process on the broker must
/// say the same, or it is refused (406).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsloQueues {
    /// `amqp_durable_queues`.
    pub durable: bool,
    /// `amqp_auto_delete`.
    pub auto_delete: bool,
    /// `rabbit_quorum_queue`, which means durable.
    pub quorum: Option<QuorumLimits>,
    /// `rabbit_ha_queues`: an argument that RabbitMQ 4 ignores, but compares.
    pub ha: bool,
}

/// `rabbit_quorum_…`; zero leaves a limit out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuorumLimits {
    /// `rabbit_quorum_delivery_limit`, in deliveries.
    pub delivery_limit: u32,
    /// `rabbit_quorum_max_memory_length`, in messages.
    pub max_memory_length: u32,
    /// `rabbit_quorum_max_memory_bytes`.
    pub max_memory_bytes: u32,
}

impl OsloQueues {
    fn is_durable(&self) -> bool {
        self.durable || self.quorum.is_some()
    }

    fn exchange(&self, name: &str) -> Exchange {
        Exchange {
            name: name.to_owned(),
            durable: self.is_durable(),
            auto_delete: self.auto_delete,
            fallback_transient: self.is_durable(),
        }
    }

    fn queue(&self, name: String) -> Queue {
        let mut arguments = BTreeMap::new();
        if self.ha {
            arguments.insert("x-ha-policy".to_owned(), Argument::Text("all".to_owned()));
        }
        if let Some(limits) = self.quorum {
            arguments.insert("x-queue-type".to_owned(), Argument::Text("quorum".to_owned()));
            let named = [
                ("x-delivery-limit", limits.delivery_limit),
                ("x-max-in-memory-length", limits.max_memory_length),
                ("x-max-in-memory-bytes", limits.max_memory_bytes),
            ];
            for (name, limit) in named.into_iter().filter(|(_, limit)| *limit > 0) {
                arguments.insert(name.to_owned(), Argument::Integer(i64::from(limit)));
            }
        }
        // A quorum queue is durable or not at all.
        let fallback_transient = self.durable && self.quorum.is_none();
        Queue {
            name,
            durable: self.is_durable(),
            auto_delete: self.auto_delete,
            exclusive: false,
            arguments,
            fallback_transient,
        }
    }
}

/// The main queues of a listener: one per topic and priority, bound to every exchange (Ceilometer reference §3.1). With
/// the default 14 exchanges and one topic: 7 queues, 98 bindings.
pub fn main_queues(exchanges: &[String], topics: &[String], oslo: &OsloQueues) -> Topology {
    let mut topology =
        Topology { exchanges: exchanges.iter().map(|name| oslo.exchange(name)).collect(), ..Topology::default() };
    for topic in topics {
        for priority in Priority::ALL {
            let name = main_queue(topic, priority);
            for exchange in exchanges {
                let binding = Binding { exchange: exchange.clone(), queue: name.clone(), routing_key: name.clone() };
                topology.bindings.push(binding);
            }
            topology.queues.push(oslo.queue(name));
        }
    }
    topology
}

/// `<topic>.<priority>`: a main queue's name, and the routing key to it.
pub fn main_queue(topic: &str, priority: Priority) -> String {
    format!("{topic}.{priority}")
}

/// Where a sender of notifications sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyTarget {
    /// To this exchange …
    pub exchange: String,
    /// … with this key.
    pub routing_key: String,
    /// What a sender declares first: the exchange, and a queue of the key's name, so that nothing is lost before an agent
    /// first runs (Ceilometer reference §3.1).
    pub topology: Topology,
}

/// The target of notifications of one topic and priority, as an oslo.messaging sender has it.
pub fn notify_target(exchange: &str, topic: &str, priority: Priority, oslo: &OsloQueues) -> NotifyTarget {
    let routing_key = main_queue(topic, priority);
    let binding =
        Binding { exchange: exchange.to_owned(), queue: routing_key.clone(), routing_key: routing_key.clone() };
    let topology = Topology {
        exchanges: vec![oslo.exchange(exchange)],
        queues: vec![oslo.queue(routing_key.clone())],
        bindings: vec![binding],
    };
    NotifyTarget { exchange: exchange.to_owned(), routing_key, topology }
}

/// Whether our own queues are replicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueKind {
    /// On one node.
    #[default]
    Classic,
    /// On several: for clusters.
    Quorum,
}

/// `nephoscope.<group>.<pipeline>.g<generation>.<n>`
pub fn pipeline_queue_name(group: &str, pipeline: &str, generation: u64, n: u32) -> String {
    format!("nephoscope.{group}.{pipeline}.g{generation}.{n}")
}

/// Whether a queue is a pipeline queue of this sink, of whatever generation.
pub fn is_of_sink(queue: &str, group: &str, sink: &str) -> bool {
    let generation_of_sink = queue.rsplit_once('.').and_then(|(before, _)| before.rsplit_once(".g"));
    generation_of(queue).is_some()
        && generation_of_sink.is_some_and(|(of, _)| of == format!("nephoscope.{group}.{sink}"))
}

/// The generation of a pipeline queue; `None` of a queue that is none.
pub fn generation_of(queue: &str) -> Option<u64> {
    let (before, number) = queue.strip_prefix("nephoscope.")?.rsplit_once('.')?;
    let generation = before.rsplit_once('.')?.1.strip_prefix('g')?.parse().ok();
    generation.filter(|_| number.parse::<u32>().is_ok())
}

/// A pipeline queue: durable, with a single active consumer. It is fed over the default exchange.
pub fn pipeline_queue(name: String, kind: QueueKind) -> Queue {
    let one_consumer = [("x-single-active-consumer", Argument::Bool(true))];
    own_queue(name, one_consumer.into_iter().chain(replicated(kind)))
}

/// A queue of ours.
fn own_queue(name: String, arguments: impl IntoIterator<Item = (&'static str, Argument)>) -> Queue {
    let arguments = arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Queue { name, durable: true, auto_delete: false, exclusive: false, arguments, fallback_transient: false }
}

/// What makes a queue of ours one of this kind, whatever the virtual host's default is.
fn replicated(kind: QueueKind) -> impl Iterator<Item = (&'static str, Argument)> {
    let (kind, limit) = match kind {
        QueueKind::Classic => ("classic", None),
        QueueKind::Quorum => ("quorum", Some(("x-delivery-limit", Argument::Integer(DELIVERY_LIMIT)))),
    };
    [("x-queue-type", Argument::Text(kind.to_owned()))].into_iter().chain(limit)
}

/// `nephoscope.<group>.<sink>.overflow.<publisher>`
pub fn overflow_queue_name(group: &str, sink: &str, publisher: &str) -> String {
    format!("nephoscope.{group}.{sink}.overflow.{publisher}")
}

/// Whether a queue of ours is one: what comes behind `.overflow.` is a key without dots, unlike the number of a pipeline queue.
pub fn is_overflow_queue(name: &str) -> bool {
    name.rsplit_once(".overflow.").is_some_and(|(_, key)| !key.contains('.'))
}

/// An overflow queue: durable, with a single active consumer, and full at a bound, when it refuses instead of forgetting.
/// Always a quorum queue: a classic one that refuses at a bound forgets confirmed messages when RabbitMQ restarts
/// (`docs/rabbitmq.md`).
pub fn overflow_queue(name: String, bytes_max: i64) -> Queue {
    let arguments = [
        ("x-single-active-consumer", Argument::Bool(true)),
        ("x-max-length-bytes", Argument::Integer(bytes_max)),
        ("x-overflow", Argument::Text("reject-publish".to_owned())),
    ];
    own_queue(name, arguments.into_iter().chain(replicated(QueueKind::Quorum)))
}

/// `nephoscope.<group>.answers.<process>`
pub fn answer_queue_name(group: &str, process: &str) -> String {
    format!("nephoscope.{group}.answers.{process}")
}

/// Where one process hears what it asked others: goes by itself when nobody has consumed it for `expires_ms`.
pub fn answer_queue(name: String, expires_ms: i64) -> Queue {
    let expires = [("x-expires", Argument::Integer(expires_ms))];
    own_queue(name, expires.into_iter().chain(replicated(QueueKind::Classic)))
}

/// The sink that a queue of a group is of, and the publisher's key where it is an overflow queue; nothing of any other queue.
pub fn place_of(queue: &str, group: &str) -> Option<(String, Option<String>)> {
    let own = queue.strip_prefix("nephoscope.")?.strip_prefix(group)?.strip_prefix('.')?;
    if is_overflow_queue(queue) {
        let (sink, key) = own.rsplit_once(".overflow.")?;
        return Some((sink.to_owned(), Some(key.to_owned())));
    }
    generation_of(queue)?;
    let (sink, _) = own.rsplit_once('.')?.0.rsplit_once(".g")?;
    Some((sink.to_owned(), None))
}

/// `nephoscope.<group>.books`
pub fn books_name(group: &str) -> String {
    format!("nephoscope.{group}.books")
}

/// The books of a group: a stream, which keeps notes until it has so many bytes or they are [`BOOKS_AGE`] old.
pub fn books(name: String, bytes_max: i64) -> Queue {
    let stream = [
        ("x-queue-type", Argument::Text("stream".to_owned())),
        ("x-max-length-bytes", Argument::Integer(bytes_max)),
        ("x-max-age", Argument::Text(BOOKS_AGE.to_owned())),
        ("x-stream-max-segment-size-bytes", Argument::Integer(BOOKS_SEGMENT_BYTES.min(bytes_max / 4).max(1))),
    ];
    own_queue(name, stream)
}

/// `nephoscope.<group>.desk`: the exchange to which every member says once a second what it does.
pub fn desk_exchange_name(group: &str) -> String {
    format!("nephoscope.{group}.desk")
}

/// The routing key of every beat.
pub const BEAT_KEY: &str = "beat";
/// Beats that wait for one who watches, at most.
const BEATS_MAX: i64 = 256;
/// Bytes of these beats, at most: a watcher that stands still costs the broker no more.
const BEATS_BYTES_MAX: i64 = 8 * 1024 * 1024;
/// Beats that a watcher has and has not read yet, at most.
const BEATS_PREFETCHED: u16 = 32;
/// A beat that nobody has taken for so long is old news, in milliseconds.
const BEAT_AGE_MAX_MS: i64 = 5_000;

/// The exchange of a group's beats.
pub fn desk_exchange(group: &str) -> Topology {
    let name = desk_exchange_name(group);
    let exchange = Exchange { name, durable: true, auto_delete: false, fallback_transient: false };
    Topology { exchanges: vec![exchange], ..Topology::default() }
}

/// How one who watches hears a group's beats; `watcher` tells it from others.
pub fn desk_subscription(group: &str, watcher: &str) -> Subscription {
    let exchange = desk_exchange_name(group);
    Subscription {
        queue: format!("{exchange}.{watcher}"),
        exchange,
        routing_key: BEAT_KEY.to_owned(),
        messages_max: BEATS_MAX,
        bytes_max: BEATS_BYTES_MAX,
        prefetch_messages: BEATS_PREFETCHED,
        age_max_ms: BEAT_AGE_MAX_MS,
    }
}

/// `nephoscope.<group>.parked`
pub fn parking_queue_name(group: &str) -> String {
    format!("nephoscope.{group}.parked")
}

/// The parking queue of a group: durable, and full at a bound, when it refuses instead of forgetting. Of the kind of the
/// pipeline queues: a classic one is away with its node, and nothing is consumed while it cannot be declared.
pub fn parking_queue(group: &str, kind: QueueKind, messages_max: i64) -> Queue {
    let bound = [
        ("x-max-length", Argument::Integer(messages_max)),
        ("x-overflow", Argument::Text("reject-publish".to_owned())),
    ];
    own_queue(parking_queue_name(group), bound.into_iter().chain(replicated(kind)))
}

/// `nephoscope.rescued.<queue>`: what came back from the queue so often that the broker would drop it.
pub fn rescue_queue_name(queue: &str) -> String {
    format!("nephoscope.rescued.{queue}")
}

/// A rescue queue: classic on every broker, because only classic queues have no delivery limit, whatever policies say.
pub fn rescue_queue(queue: &str) -> Queue {
    own_queue(rescue_queue_name(queue), replicated(QueueKind::Classic))
}

/// `<queue>.state`: the log of what is held in memory for a queue.
pub fn state_log_name(queue: &str) -> String {
    format!("{queue}.state")
}

/// A state log: a stream, which keeps its last `bytes_max` bytes and forgets whole segments of `segment_bytes`, the
/// oldest first.
pub fn state_log(name: String, bytes_max: i64, segment_bytes: i64) -> Queue {
    let stream = [
        ("x-queue-type", Argument::Text("stream".to_owned())),
        ("x-max-length-bytes", Argument::Integer(bytes_max)),
        ("x-stream-max-segment-size-bytes", Argument::Integer(segment_bytes)),
    ];
    own_queue(name, stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn one_queue_per_priority_is_shared_by_all_exchanges() {
        let exchanges: Vec<String> = (0..14).map(|n| format!("service{n}")).collect();
        let topology = main_queues(&exchanges, &names(&["notifications"]), &OsloQueues::default());
        assert_eq!((topology.exchanges.len(), topology.queues.len(), topology.bindings.len()), (14, 7, 98));
        let queue = &topology.queues[0];
        assert_eq!((&*queue.name, queue.durable, queue.auto_delete), ("notifications.audit", false, false));
        assert!(queue.arguments.is_empty() && !queue.fallback_transient);
        assert!(topology.bindings.iter().all(|b| b.routing_key == b.queue));
    }

    #[test]
    fn a_pipeline_queue_says_its_generation_and_its_sink() {
        let queue = pipeline_queue_name("group", "a.sink.g7", 12, 3);
        assert_eq!(generation_of(&queue), Some(12));
        assert!(is_of_sink(&queue, "group", "a.sink.g7") && !is_of_sink(&queue, "group", "a.sink"));
        for other in ["notifications.info", "nephoscope.group.parked", &overflow_queue_name("group", "sink", "http-1")]
        {
            assert_eq!(generation_of(other), None, "{other}");
        }
    }

    #[test]
    fn quorum_queues_are_durable_and_have_no_transient_form() {
        let limits = QuorumLimits { delivery_limit: 5, ..QuorumLimits::default() };
        let oslo = OsloQueues { quorum: Some(limits), ..OsloQueues::default() };
        let target = notify_target("nova", "notifications", Priority::Info, &oslo);
        let (queue, exchange) = (&target.topology.queues[0], &target.topology.exchanges[0]);
        assert!(queue.durable && exchange.durable && exchange.fallback_transient && !queue.fallback_transient);
        let arguments: Vec<_> = queue.arguments.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        assert_eq!(
            arguments,
            [("x-delivery-limit", Argument::Integer(5)), ("x-queue-type", Argument::Text("quorum".to_owned()))]
        );
    }
}
