//! The counters as a beat has them. Reading them decides nothing.

use prometheus_client::metrics::counter::Counter;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::families::Metrics;
use super::publishers::Breaker;
use crate::observe::desk::beat::{PublisherBeat, Totals};
use crate::observe::desk::minutes;
use crate::observe::desk::tally::{Tallies, Tally};
use crate::observe::tap::Taps;

impl Metrics {
    /// The counters of a queue, by its name at the broker.
    pub fn tally(&self, queue: &str) -> Arc<Tally> {
        self.0.tallies.of(queue)
    }

    /// The counters of all queues.
    pub fn tallies(&self) -> &Tallies {
        &self.0.tallies
    }

    /// Those who ask to see what passes.
    pub fn taps(&self) -> &Arc<Taps> {
        &self.0.taps
    }

    /// Sums since start.
    pub fn totals(&self) -> Totals {
        let families = &*self.0;
        Totals {
            received: sum(&families.received.rows()),
            samples: sum(&families.samples.rows()),
            events: sum(&families.events.rows()),
            published: sum(&families.published.rows()),
            parked: sum(&families.parked.rows()),
        }
    }

    /// The same as the last hour has them.
    pub fn hour_totals(&self) -> minutes::Totals {
        minutes::Totals {
            received: sum(&self.0.received.rows()),
            published: sum(&self.0.published.rows()),
            latency: self.0.tallies.latency(|_| true),
        }
    }

    /// What was parked, by reason.
    pub fn parked_by_reason(&self) -> BTreeMap<String, u64> {
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for ([_, reason], count) in self.0.parked.rows() {
            *reasons.entry(reason).or_default() += count.get();
        }
        reasons
    }

    /// Complaints, by the place of the definition.
    pub fn complaints_by_place(&self) -> BTreeMap<String, u64> {
        self.0.complaints.rows().into_iter().map(|([place], count)| (place, count.get())).collect()
    }

    /// The counters of a publisher of a sink.
    pub fn publisher_beat(&self, sink: &str, publisher: &str) -> PublisherBeat {
        let families = &*self.0;
        let breaker = families.breaker.peek([publisher]).map_or(0, |gauge| gauge.get());
        let count = |counters: &super::families::Counters2| counters.peek([sink, publisher]).map_or(0, |n| n.get());
        PublisherBeat {
            sink: sink.to_owned(),
            publisher: publisher.to_owned(),
            breaker: Breaker::of_level(breaker).shown().0.to_owned(),
            accepted: count(&families.published),
            retries: count(&families.retries),
            refused: count(&families.refused),
            overflowed: count(&families.overflowed),
            ..PublisherBeat::default()
        }
    }

    /// Time for which the lease is certain, in milliseconds.
    pub fn lease_margin_ms(&self) -> u64 {
        let margin = Duration::try_from_secs_f64(self.0.lease_margin.get()).unwrap_or_default();
        u64::try_from(margin.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The sum of counters; one that overflows begins anew, as each of them does.
fn sum<const N: usize>(rows: &[([String; N], Counter)]) -> u64 {
    rows.iter().fold(0, |sum, (_, counter)| sum.wrapping_add(counter.get()))
}
