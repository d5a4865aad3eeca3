//! The fallback of oslo.messaging if the broker has an exchange or queue with other arguments (406), and no more.
//!
//! oslo.messaging declares exchange, queue and binding together; where that fails on `durable` it declares both again
//! as transient (Ceilometer reference §3.1). So a queue follows an exchange that fell back, unless it is there as
//! durable already, or the broker denies queues that are not durable (541, which closes the connection): then a queue that is
//! configured as durable is declared so at the next connection, and goes well with an exchange that is not.

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
        let why = format!("{}; {}", self.text, self.advice());
        TransportError::Differs { name: self.name, why }
    }

    /// What to do about it: the option that would make the declaration fit, where there is one.
    fn advice(&self) -> String {
        let argument = self.text.split_once("arg '").and_then(|(_, rest)| rest.split('\'').next()).unwrap_or_default();
        let own = self.name.starts_with("nephoscope.");
        let option = match argument {
            "x-queue-type" | "type" if own => Some("[nephoscope] queue_type"),
            "x-max-length-bytes" if own => Some("[nephoscope] overflow_max_bytes"),
            "x-max-length" if own => Some("[nephoscope] parked_messages_max"),
            _ if own => None,
            "durable" => Some("[oslo_messaging_rabbit] amqp_durable_queues"),
            "auto_delete" => Some("[oslo_messaging_rabbit] amqp_auto_delete"),
            "x-queue-type" => Some("[oslo_messaging_rabbit] rabbit_quorum_queue"),
            "x-delivery-limit" => Some("[oslo_messaging_rabbit] rabbit_quorum_delivery_limit"),
            "x-max-in-memory-length" => Some("[oslo_messaging_rabbit] rabbit_quorum_max_memory_length"),
            "x-max-in-memory-bytes" => Some("[oslo_messaging_rabbit] rabbit_quorum_max_memory_bytes"),
            "x-ha-policy" => Some("[oslo_messaging_rabbit] rabbit_ha_queues"),
            _ => None,
        };
        match option {
            Some(option) => format!("set {option} as the services that declared it have it, or delete it"),
            None => "delete it; it is declared again as configured".to_owned(),
        }
    }
}

/// The exchanges that fell back in one declaration.
#[derive(Debug, Default)]
pub(super) struct Fallen {
    exchanges: BTreeSet<String>,
    /// Whether the broker has denied queues that are not durable.
    transient_denied: bool,
}

impl Fallen {
    /// None yet, at a broker that has denied queues that are not durable, or has not.
    pub(super) fn new(transient_denied: bool) -> Self {
        Fallen { exchanges: BTreeSet::new(), transient_denied }
    }

    /// With which `durable` to try this exchange, in order.
    pub(super) fn exchange_attempts(exchange: &Exchange) -> Vec<bool> {
        if exchange.durable && exchange.fallback_transient { vec![true, false] } else { vec![exchange.durable] }
    }

    /// It is there as a transient one.
    pub(super) fn exchange_is_transient(&mut self, exchange: &Exchange) {
        self.exchanges.insert(exchange.name.clone());
    }

    /// Notes a refused attempt: `Ok` where the next one may help.
    pub(super) fn exchange_refused(
        &mut self,
        exchange: &Exchange,
        durable: bool,
        unequal: Unequal,
    ) -> Result<(), TransportError> {
        if exchange.fallback_transient && unequal.on_durable {
            if durable {
                self.exchanges.insert(exchange.name.clone());
            }
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
        let follows_one = !self.transient_denied && topology.bindings.iter().any(follows);
        if follows_one { vec![false, true] } else { vec![true, false] }
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

#[cfg(test)]
mod tests {
    use super::super::Binding;
    use super::*;
    use rstest::rstest;
    use std::collections::BTreeMap;

    #[rstest]
    #[case::allowed(false, &[false, true])]
    #[case::denied(true, &[true, false])]
    fn a_queue_follows_an_exchange_that_fell_back_unless_the_broker_denies_that(
        #[case] denied: bool,
        #[case] attempts: &[bool],
    ) {
        let (exchange, queue) = ("ceilometer".to_owned(), "notifications.info".to_owned());
        let (durable, auto_delete, fallback_transient) = (true, false, true);
        let exchange = Exchange { name: exchange, durable, auto_delete, fallback_transient };
        let queue = Queue {
            name: queue,
            durable,
            auto_delete,
            exclusive: false,
            arguments: BTreeMap::default(),
            fallback_transient,
        };
        let (routing_key, name) = (queue.name.clone(), queue.name.clone());
        let bindings = vec![Binding { exchange: exchange.name.clone(), queue: name, routing_key }];
        let topology = Topology { bindings, ..Topology::default() };
        let mut fallen = Fallen::new(denied);
        fallen.exchange_is_transient(&exchange);
        assert_eq!(fallen.queue_attempts(&queue, &topology), attempts);
    }

    #[rstest]
    #[case("notifications.info", "x-queue-type", "set [oslo_messaging_rabbit] rabbit_quorum_queue as")]
    #[case("notifications.info", "durable", "set [oslo_messaging_rabbit] amqp_durable_queues as")]
    #[case("notifications.info", "x-max-length", "; delete it; it is declared again")]
    #[case("nephoscope.ceilometer.parked", "x-max-length", "set [nephoscope] parked_messages_max as")]
    #[case("nephoscope.ceilometer.sink.g1.0", "x-queue-type", "set [nephoscope] queue_type as")]
    fn who_is_refused_is_told_which_option_would_fit(#[case] name: &str, #[case] argument: &str, #[case] advice: &str) {
        let text = format!(
            "PRECONDITION_FAILED - inequivalent arg '{argument}' for queue '{name}' in vhost '/': received none but current is x"
        );
        let told = Unequal::from_reply(name, &text).refused().to_string();
        assert!(told.contains(advice), "{told}");
    }
}
