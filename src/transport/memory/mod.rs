//! A broker in this process, of RabbitMQ's semantics as far as the agent leans on them: topic and default exchange,
//! prefetch, return in order with `redelivered`, exclusive and single active consumer, mandatory and confirms,
//! `x-max-length` and `x-max-length-bytes` with `reject-publish` or with dead letters to a queue, exclusive queues, streams with offsets that are cut off by segments.
//!
//! The same calls give the same deliveries: no clock, no thread, no randomness, so that a simulator can drive whole
//! agents on it. `tests/transport_contract.rs` runs the same circumstances here and on a real RabbitMQ.
//!
//! Never here: priorities, dead letters over other exchanges, time to live.

mod session;
mod state;
mod stream;
mod topic;

use async_trait::async_trait;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Broker, Session, StreamRecord, TransportError};
use session::MemorySession;
use state::State;

/// The broker. A clone is another way to the same one.
#[derive(Debug, Clone)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    state: Mutex<State>,
}

/// One line of [`MemoryBroker::queues`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// The queue.
    pub name: String,
    /// Messages that wait for a consumer with room.
    pub ready: usize,
    /// Messages that a consumer has and did not settle.
    pub unacked: usize,
    /// Consumers, active or waiting.
    pub consumers: usize,
}

impl Default for MemoryBroker {
    fn default() -> Self {
        MemoryBroker::new("memory")
    }
}

impl MemoryBroker {
    /// An empty broker that runs. The name is for logs.
    pub fn new(name: impl Into<String>) -> Self {
        MemoryBroker { shared: Arc::new(Shared { name: name.into(), state: Mutex::new(State::running()) }) }
    }

    /// Stops as a broker does that is shut down: all sessions end, what is not durable is gone, connecting fails.
    pub fn stop(&self) {
        self.state().stop();
    }

    /// Ends all sessions with these words, as an operator does that closes connections.
    pub fn close_sessions(&self, words: &str) {
        self.state().close_sessions(words);
    }

    /// Starts again after [`stop`](MemoryBroker::stop), with what is durable.
    pub fn start(&self) {
        self.state().running = true;
    }

    /// All queues, by name.
    pub fn queues(&self) -> Vec<QueueView> {
        self.state().views()
    }

    /// Deletes a queue with everything in it, as an operator might: its consumers end. Whether it was there.
    pub fn delete_queue(&self, queue: &str) -> bool {
        self.state().delete_queue(queue)
    }

    /// Deletes an exchange with its bindings, as an operator might. Whether it was there.
    pub fn delete_exchange(&self, exchange: &str) -> bool {
        self.state().delete_exchange(exchange)
    }

    /// Takes the bindings of a queue to an exchange away, as an operator might.
    pub fn unbind(&self, exchange: &str, queue: &str) {
        self.state().unbind(exchange, queue);
    }

    /// Takes away what waits in a queue, as an operator might; how many messages.
    pub fn purge(&self, queue: &str) -> usize {
        self.state().purge(queue)
    }

    /// Quorum queues drop what came back more often than this, unless their arguments say otherwise: 20 on RabbitMQ 4. Without
    /// it they drop nothing, as on RabbitMQ 3.
    pub fn limit_deliveries(&self, limit: Option<u32>) {
        self.state().delivery_limit = limit;
    }

    /// Ends the consumers of a queue, as RabbitMQ does with one that keeps a delivery for longer than `consumer_timeout`.
    pub fn end_consumers(&self, queue: &str) {
        self.state().end_consumers(queue);
    }

    /// How many messages of a queue were dropped because they came back too often.
    pub fn dropped(&self, queue: &str) -> u64 {
        self.state().dropped.get(queue).copied().unwrap_or_default()
    }

    /// A queue takes nothing more, or takes again: as with a policy of `max-length` and `overflow=reject-publish`.
    pub fn refuse(&self, queue: &str, refuses: bool) {
        let mut state = self.state();
        if refuses {
            state.refusing.insert(queue.to_owned());
        } else {
            state.refusing.remove(queue);
        }
    }

    /// Rejects every larger message, as RabbitMQ does with one above `max_message_size`.
    pub fn limit_message_bytes(&self, limit: Option<usize>) {
        self.state().message_bytes_max = limit;
    }

    /// The records of a stream that are still there.
    pub fn stream_records(&self, stream: &str) -> Vec<StreamRecord> {
        self.stream_records_from(stream, 0)
    }

    /// Those of them that have this offset or a later one.
    pub fn stream_records_from(&self, stream: &str, offset: u64) -> Vec<StreamRecord> {
        self.state().stream_records(stream, offset)
    }

    /// Loses the newest records of a stream, as a broker may that was cut from power: streams are not fsynced. Its
    /// followers end.
    pub fn lose_newest(&self, stream: &str, count: usize) {
        self.state().lose_newest(stream, count);
    }

    /// A session, and its number.
    pub fn open(&self) -> Result<(u64, Arc<dyn Session>), TransportError> {
        let mut state = self.state();
        if !state.running {
            return Err(self.away("it is stopped"));
        }
        let (id, over, why) = state.open_session();
        Ok((id, Arc::new(MemorySession::new(self.clone(), id, over, why))))
    }

    /// Queues take a session's consumers for gone, as in a cluster where their node is out of sight: what those hold is
    /// delivered to others. The session learns nothing of it, and what it publishes is taken as before.
    pub fn overlook(&self, session: u64) {
        self.state().overlook(session);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    fn away(&self, cause: &str) -> TransportError {
        TransportError::Away { broker: self.shared.name.clone(), cause: cause.to_owned() }
    }
}

impl Shared {
    /// A panic elsewhere leaves the state whole: every change of it is one function without a way out in the middle.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn connect(&self) -> Result<Arc<dyn Session>, TransportError> {
        self.open().map(|(_, session)| session)
    }

    async fn version(&self) -> Option<String> {
        self.state().delivery_limit.map(|_| "4.0.5".to_owned())
    }

    fn name(&self) -> &str {
        &self.shared.name
    }
}
