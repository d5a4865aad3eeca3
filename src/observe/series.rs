//! Families of counters and gauges with a bounded number of label values, and the list of registered metrics.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use crate::model::shown::without_secrets;

/// Series of one family at most; what comes later is counted under [`OTHER`] in all its labels.
pub(super) const SERIES_MAX: usize = 500;
/// The label value of everything past [`SERIES_MAX`].
pub(super) const OTHER: &str = "other";

/// What every name begins with.
pub(super) const PREFIX: &str = "nephoscope";

/// How a histogram of the page is made: buckets in seconds.
type Buckets = fn() -> Histogram;

/// A histogram that keeps the ids of one value for each bucket, the newest.
pub(super) type Traced = HistogramWithExemplars<Vec<(&'static str, String)>>;

/// Metrics of one name, told apart by `N` labels.
#[derive(Debug, Clone)]
pub(super) struct Series<const N: usize, M, C = fn() -> M> {
    labels: [&'static str; N],
    family: Family<[(&'static str, String); N], M, C>,
    count: Arc<AtomicUsize>,
    /// The label values that there are: a family does not tell them.
    rows: Arc<RwLock<BTreeSet<[String; N]>>>,
}

impl<const N: usize, M: Clone, C: MetricConstructor<M>> Series<N, M, C> {
    /// The metric with these label values, or the one for the rest when there are too many.
    pub(super) fn of(&self, values: [&str; N]) -> M {
        let wanted = self.labelled(values);
        if let Some(metric) = self.family.get(&wanted) {
            return metric.clone();
        }
        // What finds no place is looked up, and nobody waits for it.
        if self.count.load(Ordering::Relaxed) >= SERIES_MAX
            && let Some(rest) = self.family.get(&self.rest())
        {
            return rest.clone();
        }
        // Counted before it is made: two threads with the same new labels waste one place, never exceed the bound.
        if self.count.fetch_add(1, Ordering::Relaxed) < SERIES_MAX {
            self.known().insert(wanted.clone().map(|(_, value)| value));
            return self.family.get_or_create_owned(&wanted);
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.known().insert(std::array::from_fn(|_| OTHER.to_owned()));
        self.family.get_or_create_owned(&self.rest())
    }

    /// The labels of everything past the bound.
    fn rest(&self) -> [(&'static str, String); N] {
        self.labels.map(|label| (label, OTHER.to_owned()))
    }

    /// The metric with these label values, if there is one.
    pub(super) fn peek(&self, values: [&str; N]) -> Option<M> {
        self.family.get(&self.labelled(values)).map(|metric| metric.clone())
    }

    /// All metrics with their label values.
    pub(super) fn rows(&self) -> Vec<([String; N], M)> {
        let known: Vec<[String; N]> = self.known().iter().cloned().collect();
        let row = |values: [String; N]| Some((values.clone(), self.peek(values.each_ref().map(String::as_str))?));
        known.into_iter().filter_map(row).collect()
    }

    fn known(&self) -> RwLockWriteGuard<'_, BTreeSet<[String; N]>> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the series of something that is gone.
    pub(super) fn forget(&self, values: [&str; N]) {
        let gone = self.labelled(values);
        if self.family.remove(&gone) {
            self.known().remove(&gone.map(|(_, value)| value));
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The labels with these values: a sink, for one, may be named by a URL.
    fn labelled(&self, values: [&str; N]) -> [(&'static str, String); N] {
        std::array::from_fn(|n| (self.labels[n], without_secrets(values[n]).into_owned()))
    }
}

/// Counters by one label that are bumped for every sample: a look-up allocates nothing.
#[derive(Debug)]
pub(super) struct Tally {
    series: Series<1, Counter>,
    known: RwLock<HashMap<Box<str>, Counter>>,
}

impl Tally {
    /// All counters with their label value.
    pub(super) fn rows(&self) -> Vec<([String; 1], Counter)> {
        self.series.rows()
    }

    /// Counts one.
    pub(super) fn bump(&self, value: &str) {
        let is_full = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(counter) = known.get(value) {
                counter.inc();
                return;
            }
            known.len() >= SERIES_MAX
        };
        let counter = self.series.of([value]);
        counter.inc();
        if is_full {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < SERIES_MAX {
            known.insert(value.into(), counter);
        }
    }
}

/// The registry while it is filled: remembers each row for the reference page.
pub(super) struct Registrar {
    registry: Registry,
    rows: String,
}

impl Registrar {
    pub(super) fn new() -> Self {
        Registrar { registry: Registry::with_prefix(PREFIX), rows: String::new() }
    }

    /// The registry, and the rows of the page in the order of registration.
    pub(super) fn finish(self) -> (Registry, String) {
        (self.registry, self.rows)
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &'static str) -> Counter {
        self.one(name, "counter", help)
    }

    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Series<N, Counter> {
        self.many(name, labels, "counter", help, Counter::default)
    }

    pub(super) fn tally(&mut self, name: &'static str, label: &'static str, help: &'static str) -> Tally {
        Tally { series: self.counters(name, [label], help), known: RwLock::default() }
    }

    pub(super) fn gauge<M: Metric + Clone + Default>(&mut self, name: &'static str, help: &'static str) -> M {
        self.one(name, "gauge", help)
    }

    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Series<N, Gauge> {
        self.many(name, labels, "gauge", help, Gauge::default)
    }

    pub(super) fn histogram(&mut self, name: &'static str, help: &'static str, buckets: Buckets) -> Histogram {
        let histogram = buckets();
        self.registry.register(name, help, histogram.clone());
        self.row(name, "histogram", &[], help);
        histogram
    }

    pub(super) fn histograms<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
        buckets: Buckets,
    ) -> Series<N, Histogram> {
        self.many(name, labels, "histogram", help, buckets)
    }

    pub(super) fn traced<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
        buckets: fn() -> Traced,
    ) -> Series<N, Traced> {
        self.many(name, labels, "histogram", help, buckets)
    }

    fn one<M: Metric + Clone + Default>(&mut self, name: &'static str, kind: &str, help: &'static str) -> M {
        let metric = M::default();
        self.registry.register(name, help, metric.clone());
        self.row(name, kind, &[], help);
        metric
    }

    fn many<const N: usize, M>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        kind: &str,
        help: &'static str,
        make: fn() -> M,
    ) -> Series<N, M>
    where
        Family<[(&'static str, String); N], M, fn() -> M>: Metric + Clone,
    {
        let family = Family::new_with_constructor(make);
        self.registry.register(name, help, family.clone());
        self.row(name, kind, &labels, help);
        Series { labels, family, count: Arc::default(), rows: Arc::default() }
    }

    fn row(&mut self, name: &str, kind: &str, labels: &[&str], help: &str) {
        let total = if kind == "counter" { "_total" } else { "" };
        let labels = labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
        // Writing to a String cannot fail.
        let _ = writeln!(self.rows, "| `{PREFIX}_{name}{total}` | {kind} | {labels} | {help} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_past_the_bound_are_counted_together() {
        let mut registrar = Registrar::new();
        let tally = registrar.tally("things", "kind", "Things");
        for n in 0..SERIES_MAX + 40 {
            tally.bump(&format!("kind-{n}"));
            tally.bump("kind-0");
        }
        assert_eq!(tally.series.of([OTHER]).get(), 40);
        assert_eq!(tally.series.of(["kind-0"]).get(), 1 + SERIES_MAX as u64 + 40);
        assert_eq!(tally.series.count.load(Ordering::Relaxed), SERIES_MAX);
        // Nobody waits for one that finds no place.
        let (known, rows) = (tally.known.read().unwrap(), tally.series.rows.read().unwrap());
        tally.bump("one more");
        drop((known, rows));
        assert_eq!(tally.series.of([OTHER]).get(), 41);
    }

    #[test]
    fn a_label_is_a_url() {
        let mut registrar = Registrar::new();
        let counters = registrar.counters("records", ["sink"], "Records");
        counters.of(["http://u:PASS@h/x"]).inc();
        assert_eq!(counters.of(["http://u:***@h/x"]).get(), 1);
    }

    #[test]
    fn what_is_gone_leaves_the_page() {
        let mut registrar = Registrar::new();
        let gauges = registrar.gauges("links", ["link"], "Links");
        gauges.of(["a"]).set(1);
        gauges.forget(["a"]);
        assert!(gauges.family.get(&[("link", "a".to_owned())]).is_none());
        assert!(gauges.rows().is_empty());
    }

    #[test]
    fn what_was_counted_is_told() {
        let mut registrar = Registrar::new();
        let counters = registrar.counters("parked", ["origin", "reason"], "Parked");
        counters.of(["q", "refused"]).inc_by(2);
        counters.of(["http://u:PASS@h/x", "refused"]).inc();
        let told: Vec<_> = counters.rows().into_iter().map(|(values, n)| (values.join(" "), n.get())).collect();
        assert_eq!(told, [("http://u:***@h/x refused".to_owned(), 1), ("q refused".to_owned(), 2)]);
        assert!(counters.peek(["q", "unreadable"]).is_none());
    }
}
