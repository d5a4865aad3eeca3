//! What is declared, bound, deleted, and what there is of it.

use std::collections::{BTreeMap, VecDeque};

use super::queue::QueueEntry;
use super::{ExchangeEntry, State};
use crate::transport::memory::QueueView;
use crate::transport::memory::stream::Log;
use crate::transport::{Argument, Binding, Exchange, Queue, QueueState, TransportError, fallback};

impl State {
    pub(in crate::transport::memory) fn declare_exchange(
        &mut self,
        wanted: &Exchange,
        durable: bool,
    ) -> Result<(), fallback::Unequal> {
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

    pub(in crate::transport::memory) fn declare_queue(
        &mut self,
        wanted: &Queue,
        durable: bool,
        of_session: Option<u64>,
    ) -> Result<(), fallback::Unequal> {
        if let Some(there) = self.queues.get(&wanted.name) {
            if there.durable != durable {
                return Err(fallback::Unequal::durable(&wanted.name));
            }
            if there.auto_delete != wanted.auto_delete {
                return Err(fallback::Unequal::other(&wanted.name, "auto_delete"));
            }
            let keys = there.arguments.keys().chain(wanted.arguments.keys());
            // A queue whose type nobody named is a classic one.
            let value = |of: &BTreeMap<String, Argument>, key: &str| match of.get(key) {
                None if key == "x-queue-type" => Some(Argument::Text("classic".to_owned())),
                value => value.cloned(),
            };
            let differs = |key: &&String| value(&there.arguments, key) != value(&wanted.arguments, key);
            return match keys.into_iter().find(differs) {
                Some(key) => Err(fallback::Unequal::other(&wanted.name, key)),
                None => Ok(()),
            };
        }
        let entry = QueueEntry {
            durable,
            auto_delete: wanted.auto_delete,
            of_session,
            arguments: wanted.arguments.clone(),
            last_position: 0,
            ready: BTreeMap::new(),
            log: Log::of(&wanted.arguments),
            consumers: VecDeque::new(),
        };
        self.queues.insert(wanted.name.clone(), entry);
        Ok(())
    }

    pub(in crate::transport::memory) fn bind(&mut self, binding: &Binding) -> Result<(), TransportError> {
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

    /// Refuses to touch a queue that another session has for itself.
    pub(in crate::transport::memory) fn refuse_foreign(&self, session: u64, queue: &str) -> Result<(), TransportError> {
        match self.queues.get(queue).and_then(|entry| entry.of_session) {
            Some(other) if other != session => Err(TransportError::Occupied(queue.to_owned())),
            _ => Ok(()),
        }
    }

    /// Deletes the queues that a session had for itself.
    pub(super) fn delete_exclusive(&mut self, session: u64) {
        let own = self.queues.iter().filter(|(_, entry)| entry.of_session == Some(session));
        let own: Vec<String> = own.map(|(name, _)| name.clone()).collect();
        for queue in own {
            self.delete_queue(&queue);
        }
    }

    /// Deletes an exchange with its bindings; whether it was there.
    pub(in crate::transport::memory) fn delete_exchange(&mut self, exchange: &str) -> bool {
        self.exchanges.remove(exchange).is_some()
    }

    /// Takes away what an exchange feeds to a queue.
    pub(in crate::transport::memory) fn unbind(&mut self, exchange: &str, queue: &str) {
        if let Some(exchange) = self.exchanges.get_mut(exchange) {
            exchange.bindings.retain(|(_, to)| to != queue);
        }
    }

    /// Takes everything that waits away; how many messages.
    pub(in crate::transport::memory) fn purge(&mut self, queue: &str) -> usize {
        self.queues.get_mut(queue).map_or(0, |entry| std::mem::take(&mut entry.ready).len())
    }

    pub(in crate::transport::memory) fn delete_queue(&mut self, queue: &str) -> bool {
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

    pub(in crate::transport::memory) fn inspect(&self, queue: &str) -> Option<QueueState> {
        let entry = self.queues.get(queue)?;
        Some(QueueState {
            messages: u32::try_from(entry.ready.len()).unwrap_or(u32::MAX),
            consumers: u32::try_from(entry.consumers.len()).unwrap_or(u32::MAX),
        })
    }

    pub(in crate::transport::memory) fn views(&self) -> Vec<QueueView> {
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

    pub(in crate::transport::memory) fn is_unused_and_empty(&self, queue: &str) -> bool {
        self.queues.get(queue).is_none_or(|entry| entry.ready.is_empty() && entry.consumers.is_empty())
    }

    pub(in crate::transport::memory) fn has_exchange(&self, exchange: &str) -> bool {
        exchange.is_empty() || self.exchanges.contains_key(exchange)
    }
}
