//! The state of the in-process broker, and every change of it as a plain function: no await, no clock, the same order every time.

mod queue;
mod streams;
mod topology;

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::queue::QueueEntry;
use super::super::ledger::Ledger;
use super::super::{ConsumeOptions, NACKED, Outgoing, StreamRecord, TransportError, UNROUTABLE, Why, prefetch_bound};
use super::topic;

/// Queues that a message may fall through, one into the next, because each is full.
const DEAD_LETTER_HOPS: usize = 8;

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
    pub(super) exchange: String,
    pub(super) routing_key: String,
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
        self.delete_exclusive(session);
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
        if entry.is_full() && entry.rejects_publish() {
            return false;
        }
        let kept = Message {
            body: message.body.clone(),
            exchange: message.exchange.clone(),
            routing_key: message.routing_key.clone(),
            content_type: message.content_type,
            headers: message.headers.clone(),
            redelivered: false,
            returns: 0,
        };
        let mut next = self.place(queue, kept);
        // RabbitMQ drops what comes round in a circle.
        for _ in 0..DEAD_LETTER_HOPS {
            let Some((to, message)) = next.take() else { break };
            next = self.place(&to, Message { exchange: String::new(), routing_key: to.clone(), ..message });
            self.dispatch(&to);
        }
        true
    }

    /// Puts a message at the end of a queue; the oldest that no longer fits, with where it goes, if it goes anywhere.
    fn place(&mut self, queue: &str, message: Message) -> Option<(String, Message)> {
        let entry = self.queues.get_mut(queue)?;
        let fallen = if entry.is_full() { entry.ready.pop_first() } else { None };
        entry.last_position += 1;
        entry.ready.insert(entry.last_position, message);
        entry.dead_letters_to().zip(fallen.map(|(_, message)| message))
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
