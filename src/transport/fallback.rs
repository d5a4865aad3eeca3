//! What is done where the broker has an exchange or queue otherwise (406): oslo.messaging's fallback, and no more.
//!
//! oslo.messaging declares exchange, queue and binding together; where that fails on `durable` it declares both again
//! as transient (Ceilometer reference §3.1). So a queue follows an exchange that fell back, unless it is there as
//! durable already.

use std::collections::BTreeSet;

use super::{Exchange, Queue, Topology, TransportError};

/// The broker has something of this name with another property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unequal {
    name: String,
    on_durable: bool,
    text: String,
}

impl Unequal {
    /// From a broker's text: `PRECONDITION_FAILED - inequivalent arg 'durable' for …`.
    pub(super) fn from_reply(name: &str, text: &str) -> Self {
        Unequal { name: name.to_owned(), on_durable: text.contains("arg 'durable'"), text: text.to_owned() }
    }

    /// It differs in `durable`.
    pub(super) fn durable(name: &str) -> Self {
        Unequal::other(name, "durable")
    }

    /// It differs in this property.
    pub(super) fn other(name: &str, property: &str) -> Self {
        Unequal::from_reply(name, &format!("PRECONDITION_FAILED - inequivalent arg '{property}' for '{name}'"))
    }

    fn refused(self) -> TransportError {
        TransportError::Refused(format!("{} is there and differs from what is configured: {}", self.name, self.text))
    }
}

/// The exchanges that fell back in one declaration.
#[derive(Debug, Default)]
pub(super) struct Fallen {
    exchanges: BTreeSet<String>,
}

impl Fallen {
    /// With which `durable` to try this exchange, in order.
    pub(super) fn exchange_attempts(exchange: &Exchange) -> Vec<bool> {
        if exchange.durable && exchange.fallback_transient { vec![true, false] } else { vec![exchange.durable] }
    }

    /// Notes a refused attempt: `Ok` where the next one may help.
    pub(super) fn exchange_refused(
        &mut self,
        exchange: &Exchange,
        durable: bool,
        unequal: Unequal,
    ) -> Result<(), TransportError> {
        if durable && exchange.fallback_transient && unequal.on_durable {
            self.exchanges.insert(exchange.name.clone());
            return Ok(());
        }
        Err(unequal.refused())
    }

    /// With which `durable` to try this queue, in order.
    pub(super) fn queue_attempts(&self, queue: &Queue, topology: &Topology) -> Vec<bool> {
        if !(queue.durable && queue.fallback_transient) {
            return vec![queue.durable];
        }
        let follows = |b: &super::Binding| b.queue == queue.name && self.exchanges.contains(&b.exchange);
        if topology.bindings.iter().any(follows) { vec![false, true] } else { vec![true, false] }
    }

    /// Notes a refused attempt: `Ok` where the next one may help.
    pub(super) fn queue_refused(
        &self,
        queue: &Queue,
        topology: &Topology,
        durable: bool,
        unequal: Unequal,
    ) -> Result<(), TransportError> {
        let last = self.queue_attempts(queue, topology).last() == Some(&durable);
        if last || !unequal.on_durable { Err(unequal.refused()) } else { Ok(()) }
    }
}
