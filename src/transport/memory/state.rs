//! The state of the in-process broker, and every change of it as a plain function: no await, no clock, the same order every time.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::ledger::Ledger;
use super::super::{
    Argument, Binding, ConsumeOptions, Exchange, NACKED, Outgoing, Queue, QueueState, StreamRecord, StreamStart,
    TransportError, UNROUTABLE, Why, fallback, prefetch_bound,
};
use super::stream::Log;
use super::{QueueView, topic};

/// Position of a message in its queue; it keeps it when it comes back.
type Position = u64;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) running: bool,
    last_id: u64,
    exchanges: BTreeMap<String, ExchangeEntry>,
    queues: BTreeMap<String, QueueEntry>,
    sessions: BTreeMap<u64, (CancellationToken, Why)>,
    consumers: BTreeMap<u64, ConsumerEntry>,
    followers: BTreeMap<u64, FollowerEntry>,
    /// How often a message of a quorum queue may come back, where the queue's own arguments do not say: RabbitMQ 4's default.
    pub(super) delivery_limit: Option<u32>,
    /// Larger messages are rejected.
    pub(super) message_bytes_max: Option<usize>,
    /// Messages that were dropped because they came back too often, by queue.
    pub(super) dropped: BTreeMap<String, u64>,
    /// Queues that take nothing more, as by a policy of an operator.
    pub(super) refusing: BTreeSet<String>,
}

#[derive(Debug)]
struct FollowerEntry {
    session: u64,
    stream: String,
    next: u64,
    wake: Arc<Notify>,
}

/// What [`State::read`] found.
pub(super) enum Read {
    Record(StreamRecord),
    Nothing,
    Over,
}

#[derive(Debug)]
struct ExchangeEntry {
    durable: bool,
    auto_delete: bool,
    bindings: Vec<(String, String)>,
}

#[derive(Debug)]
struct QueueEntry {
    durable: bool,
    auto_delete: bool,
    arguments: BTreeMap<String, Argument>,
    last_position: Position,
    ready: BTreeMap<Position, Message>,
    /// Its records, if it is a stream.
    log: Option<Log>,
    /// In the order in which they came; the first is the active one of a single-active-consumer queue.
    consumers: VecDeque<u64>,
}

#[derive(Debug)]
struct ConsumerEntry {
    session: u64,
    queue: String,
    exclusive: bool,
    prefetch: usize,
    last_tag: u64,
    ledger: Ledger,
    unacked: BTreeMap<u64, (Position, Message)>,
    inbox: VecDeque<u64>,
    wake: Arc<Notify>,
    /// Its queue takes it for gone: see [`State::overlook`].
    overlooked: bool,
    /// Cancelled when it is over.
    over: CancellationToken,
}

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) body: Bytes,
    pub(super) content_type: &'static str,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) redelivered: bool,
    /// How often it came back; only quorum queues count.
    pub(super) returns: u32,
}

/// What [`State::take`] found.
pub(super) enum Taken {
    Message(u64, Message),
    Nothing,
    Over,
}

impl QueueEntry {
    fn flag(&self, name: &str) -> bool {
        self.arguments.get(name) == Some(&Argument::Bool(true))
    }

    fn length_max(&self) -> Option<usize> {
        match self.arguments.get("x-max-length") {
            Some(Argument::Integer(length)) => usize::try_from(*length).ok(),
            _ => None,
        }
    }

    /// Bytes of bodies, of what is ready.
    fn bytes_max(&self) -> Option<usize> {
        match self.arguments.get("x-max-length-bytes") {
            Some(Argument::Integer(bytes)) => usize::try_from(*bytes).ok(),
            _ => None,
        }
    }

    fn is_full(&self) -> bool {
        let is_long = self.length_max().is_some_and(|max| self.ready.len() >= max);
        let bytes = || self.ready.values().map(|message| message.body.len()).sum::<usize>();
        is_long || self.bytes_max().is_some_and(|max| bytes() >= max)
    }

    fn rejects_publish(&self) -> bool {
        matches!(self.arguments.get("x-overflow"), Some(Argument::Text(what)) if what.starts_with("reject-publish"))
    }

    fn is_quorum(&self) -> bool {
        self.arguments.get("x-queue-type") == Some(&Argument::Text("quorum".to_owned()))
    }

    /// How often a message may come back; classic queues do not count.
    fn delivery_limit(&self, default: Option<u32>) -> Option<u32> {
        if !self.is_quorum() {
            return None;
        }
        match self.arguments.get("x-delivery-limit") {
            Some(Argument::Integer(limit)) => u32::try_from(*limit).ok(),
            _ => default,
        }
    }

    /// Puts a message back where it was; `false` where it has come back too often and is dropped.
    fn put_back(&mut self, position: Position, message: Message, default_limit: Option<u32>) -> bool {
        let returns = if self.is_quorum() { message.returns + 1 } else { 0 };
        if self.delivery_limit(default_limit).is_some_and(|limit| returns > limit) {
            return false;
        }
        self.ready.insert(position, Message { redelivered: true, returns, ..message });
        true
    }
}

impl State {
    pub(super) fn running() -> Self {
        State { running: true, ..State::default() }
    }

    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    // Sessions

    pub(super) fn open_session(&mut self) -> (u64, CancellationToken, Why) {
        let (id, over, why) = (self.fresh_id(), CancellationToken::new(), Why::default());
        self.sessions.insert(id, (over.clone(), Arc::clone(&why)));
        (id, over, why)
    }

    /// Ends all sessions with these words.
    pub(super) fn close_sessions(&mut self, words: &str) {
        for (_, why) in self.sessions.values() {
            let _said_before = why.set(words.to_owned());
        }
        // Who consumes may hear of it before who holds the session.
        self.consumers.values().for_each(|consumer| consumer.over.cancel());
        let sessions: Vec<u64> = self.sessions.keys().copied().collect();
        sessions.into_iter().for_each(|session| self.end_session(session));
    }

    /// Ends a session: its consumers end, oldest first.
    pub(super) fn end_session(&mut self, session: u64) {
        let Some((over, _)) = self.sessions.remove(&session) else { return };
        over.cancel();
        self.end_followers(|follower| follower.session == session);
        // All channels of a dead connection are gone before a queue looks for the next consumer.
        let own: Vec<u64> = self.consumers.iter().filter(|(_, c)| c.session == session).map(|(id, _)| *id).collect();
        let queues: Vec<String> = own.iter().filter_map(|id| self.detach(*id)).collect();
        for queue in queues {
            self.after_consumer_left(&queue);
        }
    }

    /// Everything that a restart does not survive goes.
    pub(super) fn stop(&mut self) {
        self.running = false;
        let sessions: Vec<u64> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.end_session(session);
        }
        self.queues.retain(|_, queue| queue.durable);
        self.exchanges.retain(|_, exchange| exchange.durable);
        let queues = &self.queues;
        self.exchanges.values_mut().for_each(|e| e.bindings.retain(|(_, queue)| queues.contains_key(queue)));
    }

    // Declarations

    pub(super) fn declare_exchange(&mut self, wanted: &Exchange, durable: bool) -> Result<(), fallback::Unequal> {
        match self.exchanges.get(&wanted.name) {
            Some(there) if there.durable != durable => Err(fallback::Unequal::durable(&wanted.name)),
            Some(there) if there.auto_delete != wanted.auto_delete => {
                Err(fallback::Unequal::other(&wanted.name, "auto_delete"))
            }
            Some(_) => Ok(()),
            None => {
                let entry = ExchangeEntry { durable, auto_delete: wanted.auto_delete, bindings: Vec::new() };
                self.exchanges.insert(wanted.name.clone(), entry);
                Ok(())
            }
        }
    }

    pub(super) fn declare_queue(&mut self, wanted: &Queue, durable: bool) -> Result<(), fallback::Unequal> {
        if let Some(there) = self.queues.get(&wanted.name) {
            if there.durable != durable {
                return Err(fallback::Unequal::durable(&wanted.name));
            }
            if there.auto_delete != wanted.auto_delete {
                return Err(fallback::Unequal::other(&wanted.name, "auto_delete"));
            }
            let keys = there.arguments.keys().chain(wanted.arguments.keys());
            return match keys.into_iter().find(|key| there.arguments.get(*key) != wanted.arguments.get(*key)) {
                Some(key) => Err(fallback::Unequal::other(&wanted.name, key)),
                None => Ok(()),
            };
        }
        let entry = QueueEntry {
            durable,
            auto_delete: wanted.auto_delete,
            arguments: wanted.arguments.clone(),
            last_position: 0,
            ready: BTreeMap::new(),
            log: Log::of(&wanted.arguments),
            consumers: VecDeque::new(),
        };
        self.queues.insert(wanted.name.clone(), entry);
        Ok(())
    }

    pub(super) fn bind(&mut self, binding: &Binding) -> Result<(), TransportError> {
        if !self.queues.contains_key(&binding.queue) {
            return Err(TransportError::NoQueue(binding.queue.clone()));
        }
        let Some(exchange) = self.exchanges.get_mut(&binding.exchange) else {
            return Err(TransportError::Refused(format!("there is no exchange {}", binding.exchange)));
        };
        let pair = (binding.routing_key.clone(), binding.queue.clone());
        if !exchange.bindings.contains(&pair) {
            exchange.bindings.push(pair);
        }
        Ok(())
    }

    /// Deletes an exchange with its bindings; whether it was there.
    pub(super) fn delete_exchange(&mut self, exchange: &str) -> bool {
        self.exchanges.remove(exchange).is_some()
    }

    /// Takes away what an exchange feeds to a queue.
    pub(super) fn unbind(&mut self, exchange: &str, queue: &str) {
        if let Some(exchange) = self.exchanges.get_mut(exchange) {
            exchange.bindings.retain(|(_, to)| to != queue);
        }
    }

    /// Takes everything that waits away; how many messages.
    pub(super) fn purge(&mut self, queue: &str) -> usize {
        self.queues.get_mut(queue).map_or(0, |entry| std::mem::take(&mut entry.ready).len())
    }

    pub(super) fn delete_queue(&mut self, queue: &str) -> bool {
        let Some(entry) = self.queues.remove(queue) else { return false };
        for id in entry.consumers {
            if let Some(consumer) = self.consumers.remove(&id) {
                consumer.over.cancel();
                consumer.wake.notify_one();
            }
        }
        self.end_followers(|follower| follower.stream == queue);
        for exchange in self.exchanges.values_mut() {
            exchange.bindings.retain(|(_, to)| to != queue);
        }
        self.exchanges.retain(|_, exchange| !exchange.auto_delete || !exchange.bindings.is_empty());
        true
    }

    // Looking

    pub(super) fn inspect(&self, queue: &str) -> Option<QueueState> {
        let entry = self.queues.get(queue)?;
        Some(QueueState {
            messages: u32::try_from(entry.ready.len()).unwrap_or(u32::MAX),
            consumers: u32::try_from(entry.consumers.len()).unwrap_or(u32::MAX),
        })
    }

    pub(super) fn views(&self) -> Vec<QueueView> {
        let unacked = |queue: &QueueEntry| {
            queue.consumers.iter().filter_map(|id| self.consumers.get(id)).map(|c| c.unacked.len()).sum()
        };
        self.queues
            .iter()
            .map(|(name, queue)| QueueView {
                name: name.clone(),
                ready: queue.ready.len(),
                unacked: unacked(queue),
                consumers: queue.consumers.len(),
            })
            .collect()
    }

    pub(super) fn is_unused_and_empty(&self, queue: &str) -> bool {
        self.queues.get(queue).is_none_or(|entry| entry.ready.is_empty() && entry.consumers.is_empty())
    }

    // Publishing

    pub(super) fn publish(&mut self, message: Outgoing) -> Result<(), TransportError> {
        if self.message_bytes_max.is_some_and(|max| message.body.len() > max) {
            let why = format!("a message of {} bytes is larger than the twin takes", message.body.len());
            return Err(TransportError::Rejected { to: message.routing_key, why, too_large: true });
        }
        let targets: Vec<String> = if message.exchange.is_empty() {
            self.queues.contains_key(&message.routing_key).then(|| message.routing_key.clone()).into_iter().collect()
        } else {
            let bindings = self.exchanges.get(&message.exchange).map_or(&[][..], |e| &e.bindings);
            let mut targets: Vec<String> = Vec::new();
            for (pattern, queue) in bindings {
                if topic::matches(pattern, &message.routing_key) && !targets.contains(queue) {
                    targets.push(queue.clone());
                }
            }
            targets
        };
        if targets.is_empty() {
            return Err(TransportError::NotTaken { to: message.routing_key, why: UNROUTABLE });
        }
        let mut taken = true;
        for target in targets {
            taken &= self.enqueue(&target, &message);
            self.dispatch(&target);
        }
        if taken { Ok(()) } else { Err(TransportError::NotTaken { to: message.routing_key, why: NACKED }) }
    }

    pub(super) fn has_exchange(&self, exchange: &str) -> bool {
        exchange.is_empty() || self.exchanges.contains_key(exchange)
    }

    fn enqueue(&mut self, queue: &str, message: &Outgoing) -> bool {
        if self.refusing.contains(queue) {
            return false;
        }
        let Some(entry) = self.queues.get_mut(queue) else { return true };
        if let Some(log) = &mut entry.log {
            log.append(message.body.clone());
            self.followers.values().filter(|f| f.stream == queue).for_each(|f| f.wake.notify_one());
            return true;
        }
        if entry.is_full() {
            if entry.rejects_publish() {
                return false;
            }
            entry.ready.pop_first();
        }
        entry.last_position += 1;
        let kept = Message {
            body: message.body.clone(),
            content_type: message.content_type,
            headers: message.headers.clone(),
            redelivered: false,
            returns: 0,
        };
        entry.ready.insert(entry.last_position, kept);
        true
    }

    // Following

    pub(super) fn follow(
        &mut self,
        session: u64,
        stream: &str,
        start: StreamStart,
    ) -> Result<(u64, Arc<Notify>), TransportError> {
        let Some(entry) = self.queues.get(stream) else { return Err(TransportError::NoQueue(stream.to_owned())) };
        let Some(log) = &entry.log else {
            return Err(TransportError::Refused(format!("{stream} is a queue, expected a stream")));
        };
        let (next, wake) = (log.place(start), Arc::new(Notify::new()));
        let id = self.fresh_id();
        self.followers.insert(id, FollowerEntry { session, stream: stream.to_owned(), next, wake: wake.clone() });
        Ok((id, wake))
    }

    pub(super) fn read(&mut self, follower: u64) -> Read {
        let Some(entry) = self.followers.get_mut(&follower) else { return Read::Over };
        let log = self.queues.get(&entry.stream).and_then(|queue| queue.log.as_ref());
        match log.and_then(|log| log.at(entry.next)) {
            Some(record) => {
                entry.next = record.offset + 1;
                Read::Record(record)
            }
            None => Read::Nothing,
        }
    }

    pub(super) fn end_follower(&mut self, follower: u64) {
        self.followers.remove(&follower);
    }

    fn end_followers(&mut self, which: impl Fn(&FollowerEntry) -> bool) {
        let over: Vec<u64> = self.followers.iter().filter(|(_, f)| which(f)).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(follower) = self.followers.remove(&id) {
                follower.wake.notify_one();
            }
        }
    }

    pub(super) fn stream_records(&self, stream: &str, from: u64) -> Vec<StreamRecord> {
        let log = self.queues.get(stream).and_then(|entry| entry.log.as_ref());
        log.map(|log| log.records(from)).unwrap_or_default()
    }

    pub(super) fn lose_newest(&mut self, stream: &str, count: usize) {
        self.end_followers(|follower| follower.stream == stream);
        if let Some(log) = self.queues.get_mut(stream).and_then(|entry| entry.log.as_mut()) {
            log.lose_newest(count);
        }
    }

    // Consuming

    pub(super) fn consume(
        &mut self,
        session: u64,
        queue: &str,
        options: &ConsumeOptions,
    ) -> Result<(u64, Arc<Notify>, CancellationToken), TransportError> {
        let id = self.fresh_id();
        let Some(entry) = self.queues.get_mut(queue) else { return Err(TransportError::NoQueue(queue.to_owned())) };
        let taken = entry.consumers.iter().any(|id| self.consumers.get(id).is_some_and(|c| c.exclusive));
        if taken || options.exclusive && !entry.consumers.is_empty() {
            return Err(TransportError::Occupied(queue.to_owned()));
        }
        entry.consumers.push_back(id);
        // A quorum queue lets further consumers in all the same.
        let quorum = entry.is_quorum();
        let (wake, over) = (Arc::new(Notify::new()), CancellationToken::new());
        let consumer = ConsumerEntry {
            session,
            queue: queue.to_owned(),
            exclusive: options.exclusive && !quorum,
            prefetch: prefetch_bound(options.prefetch_messages),
            last_tag: 0,
            ledger: Ledger::default(),
            unacked: BTreeMap::new(),
            inbox: VecDeque::new(),
            wake: wake.clone(),
            overlooked: false,
            over: over.clone(),
        };
        self.consumers.insert(id, consumer);
        self.dispatch(queue);
        Ok((id, wake, over))
    }

    /// Hands ready messages to consumers with room: in turn, or to the first where only one may be active.
    fn dispatch(&mut self, queue: &str) {
        let Some(entry) = self.queues.get_mut(queue) else { return };
        let single = entry.flag("x-single-active-consumer");
        while !entry.ready.is_empty() {
            let candidates = if single { entry.consumers.len().min(1) } else { entry.consumers.len() };
            let has_room = |id: &u64| self.consumers.get(id).is_some_and(|c| c.unacked.len() < c.prefetch);
            let Some(at) = entry.consumers.iter().take(candidates).position(has_room) else { return };
            let Some(id) = entry.consumers.get(at).copied() else { return };
            if !single {
                entry.consumers.remove(at);
                entry.consumers.push_back(id);
            }
            let Some(consumer) = self.consumers.get_mut(&id) else { return };
            let Some((position, message)) = entry.ready.pop_first() else { return };
            consumer.last_tag += 1;
            consumer.ledger.delivered(consumer.last_tag);
            consumer.unacked.insert(consumer.last_tag, (position, message));
            consumer.inbox.push_back(consumer.last_tag);
            consumer.wake.notify_one();
        }
    }

    pub(super) fn take(&mut self, consumer: u64) -> Taken {
        let Some(entry) = self.consumers.get_mut(&consumer) else { return Taken::Over };
        let Some(tag) = entry.inbox.pop_front() else { return Taken::Nothing };
        match entry.unacked.get(&tag) {
            Some((_, message)) => Taken::Message(tag, message.clone()),
            None => Taken::Nothing,
        }
    }

    /// A delivery is done with: the settled run leaves the queue for good. Of an ended consumer nothing is known.
    pub(super) fn settled(&mut self, consumer: u64, tag: u64) {
        let Some(entry) = self.consumers.get_mut(&consumer) else { return };
        entry.ledger.settled(tag);
        if let Some(run) = entry.ledger.take_run() {
            entry.unacked = entry.unacked.split_off(&(run.last_tag + 1));
        }
        // At once, where RabbitMQ is told after a second: what is acknowledged too early shows sooner.
        for tag in entry.ledger.take_scattered() {
            entry.unacked.remove(&tag);
        }
        let queue = entry.queue.clone();
        self.dispatch(&queue);
    }

    /// Ends a consumer: what it had is back where it was, marked as redelivered.
    pub(super) fn end_consumer(&mut self, consumer: u64) {
        if let Some(queue) = self.detach(consumer) {
            self.after_consumer_left(&queue);
        }
    }

    /// Ends all consumers of a queue.
    pub(super) fn end_consumers(&mut self, queue: &str) {
        let all: Vec<u64> = self.queues.get(queue).iter().flat_map(|entry| entry.consumers.iter().copied()).collect();
        all.into_iter().for_each(|consumer| self.end_consumer(consumer));
    }

    /// A consumer gets nothing more and keeps what it has.
    pub(super) fn cancel_consumer(&mut self, consumer: u64) {
        let visible = self.consumers.get(&consumer).filter(|entry| !entry.overlooked);
        let Some(queue) = visible.map(|entry| entry.queue.clone()) else { return };
        if let Some(entry) = self.queues.get_mut(&queue) {
            entry.consumers.retain(|other| *other != consumer);
        }
        self.after_consumer_left(&queue);
    }

    /// The queues of a session's consumers go on as if those were gone; they work on with what they have.
    pub(super) fn overlook(&mut self, session: u64) {
        let mut queues = Vec::new();
        for (id, consumer) in self.consumers.iter_mut().filter(|(_, c)| c.session == session && !c.overlooked) {
            let Some(queue) = self.queues.get_mut(&consumer.queue) else { continue };
            consumer.overlooked = true;
            queue.consumers.retain(|other| other != id);
            for (position, message) in consumer.unacked.values() {
                if !queue.put_back(*position, message.clone(), self.delivery_limit) {
                    *self.dropped.entry(consumer.queue.clone()).or_default() += 1;
                }
            }
            queues.push(consumer.queue.clone());
        }
        queues.iter().for_each(|queue| self.dispatch(queue));
    }

    fn detach(&mut self, id: u64) -> Option<String> {
        let consumer = self.consumers.remove(&id)?;
        consumer.over.cancel();
        consumer.wake.notify_one();
        if consumer.overlooked {
            return None;
        }
        if let Some(queue) = self.queues.get_mut(&consumer.queue) {
            queue.consumers.retain(|other| *other != id);
            for (position, message) in consumer.unacked.into_values() {
                if !queue.put_back(position, message, self.delivery_limit) {
                    *self.dropped.entry(consumer.queue.clone()).or_default() += 1;
                }
            }
        }
        Some(consumer.queue)
    }

    fn after_consumer_left(&mut self, queue: &str) {
        let unused = self.queues.get(queue).is_some_and(|entry| entry.auto_delete && entry.consumers.is_empty());
        if unused {
            self.delete_queue(queue);
        } else {
            self.dispatch(queue);
        }
    }
}
