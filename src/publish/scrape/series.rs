//! Series: the last value of each, as long as it is not too old, and no more of them than allowed.

use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

use crate::publish::exposition::{Line, write_metric};

/// The series of one publisher.
pub(super) struct Store {
    ttl: TimeDelta,
    most: usize,
    /// By name, then by labels.
    metrics: BTreeMap<String, BTreeMap<String, Last>>,
    series: usize,
    /// Before this, none of the series is too old.
    none_ends_before: DateTime<Utc>,
}

/// The last value of a series.
#[derive(Debug, Clone)]
struct Last {
    value: String,
    kind: Option<&'static str>,
    /// The time of its sample.
    at: DateTime<Utc>,
    /// When it leaves the page.
    ends: DateTime<Utc>,
}

impl Store {
    /// An empty one.
    pub(super) fn new(ttl: TimeDelta, most: usize) -> Store {
        Store { ttl, most, metrics: BTreeMap::new(), series: 0, none_ends_before: DateTime::<Utc>::MIN_UTC }
    }

    /// Takes a value of the time `at`: it counts unless a later one is there, or it is too old already. `false` is: there is no
    /// room for another series.
    pub(super) fn take(&mut self, line: Line, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        // A clock that is ahead keeps nothing on the page for longer.
        let ends = at.min(now) + self.ttl;
        if ends <= now {
            return true;
        }
        let Line { name, labels, value, kind } = line;
        let last = Last { value, kind, at, ends };
        if let Some(known) = self.metrics.get_mut(&name).and_then(|metric| metric.get_mut(&labels)) {
            if known.at <= at || known.ends <= now {
                *known = last;
            }
            return true;
        }
        if self.series >= self.most {
            self.forget_the_old(now);
            if self.series >= self.most {
                return false;
            }
        }
        self.none_ends_before = self.none_ends_before.min(ends);
        self.metrics.entry(name).or_default().insert(labels, last);
        self.series += 1;
        true
    }

    /// Looks through all series at most once for each that can have ended.
    fn forget_the_old(&mut self, now: DateTime<Utc>) {
        if now < self.none_ends_before {
            return;
        }
        for metric in self.metrics.values_mut() {
            metric.retain(|_, last| last.ends > now);
        }
        self.metrics.retain(|_, metric| !metric.is_empty());
        self.series = self.metrics.values().map(BTreeMap::len).sum();
        let ends = self.metrics.values().flat_map(BTreeMap::values).map(|last| last.ends);
        self.none_ends_before = ends.min().unwrap_or(now);
    }
}

/// The page of several stores: metric by metric, without what is too old. Of the same series the later value counts, and the
/// type of a metric is that of its latest value that has one.
pub(super) fn page<'s>(stores: impl Iterator<Item = &'s Store>, now: DateTime<Utc>) -> String {
    let mut metrics: BTreeMap<&str, BTreeMap<&str, &Last>> = BTreeMap::new();
    for (name, metric) in stores.flat_map(|store| &store.metrics) {
        for (labels, last) in metric.iter().filter(|(_, last)| last.ends > now) {
            let shown = metrics.entry(name).or_default().entry(labels).or_insert(last);
            if shown.at < last.at {
                *shown = last;
            }
        }
    }
    let mut out = String::new();
    for (name, metric) in metrics {
        let typed = metric.values().filter(|last| last.kind.is_some());
        let kind = typed.max_by_key(|last| last.at).and_then(|last| last.kind);
        let line = |(labels, last): (&str, &Last)| Line {
            name: name.to_owned(),
            labels: labels.to_owned(),
            value: last.value.clone(),
            kind,
        };
        let lines: Vec<Line> = metric.into_iter().map(line).collect();
        write_metric(&lines.iter().collect::<Vec<_>>(), &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Sample, SampleType, Value};
    use crate::publish::record::tests::sample;

    fn line(meter: &str, resource: &str, volume: i64) -> Line {
        let sample = Sample { resource_id: resource.into(), volume: Value::Int(volume), ..sample(meter, "1") };
        Line::of(&Sample { kind: SampleType::Gauge, ..sample }).unwrap()
    }

    /// So many seconds after the epoch.
    fn second(s: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(s, 0).unwrap()
    }

    fn store(most: usize) -> Store {
        Store::new(TimeDelta::seconds(100), most)
    }

    /// `name of resource = value` of each line.
    fn shown(stores: &[&Store], now: i64) -> Vec<String> {
        let page = page(stores.iter().copied(), second(now));
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let parts = |line: &str| {
            let (name, rest) = line.split_once("{resource_id=\"").unwrap();
            format!("{name} of {} = {}", rest.split('"').next().unwrap(), rest.rsplit(' ').next().unwrap())
        };
        lines.map(parts).collect()
    }

    #[test]
    fn the_latest_value_stays_until_it_is_too_old() {
        let mut store = store(10);
        let take = |store: &mut Store, volume, at, now| store.take(line("cpu", "a", volume), second(at), second(now));
        assert!(take(&mut store, 1, 1000, 1000) && take(&mut store, 2, 1020, 1021));
        // A repeat after a crash, or a batch that waited, brings what was before.
        assert!(take(&mut store, 1, 1000, 1030));
        assert_eq!(shown(&[&store], 1119), ["cpu of a = 2"]);
        assert_eq!(shown(&[&store], 1120), [""; 0]);
        assert!(take(&mut store, 3, 1000, 1130), "of an age that is not shown");
        assert_eq!(shown(&[&store], 1130), [""; 0]);
        // A clock that is a day ahead, and was set right.
        assert!(take(&mut store, 4, 90_000, 1200) && take(&mut store, 5, 1320, 1320));
        assert_eq!(shown(&[&store], 1320), ["cpu of a = 5"]);
    }

    #[test]
    fn a_new_series_has_no_room_until_another_is_too_old() {
        let mut store = store(2);
        let mut take = |resource: &str, at| store.take(line("cpu", resource, at), second(at), second(at));
        assert!(take("a", 1000) && take("b", 1050));
        assert!(!take("c", 1099));
        assert!(take("a", 1100));
        assert!(!take("c", 1149));
        assert!(take("c", 1150));
        assert!(!take("b", 1151));
        assert_eq!(shown(&[&store], 1151), ["cpu of a = 1100", "cpu of c = 1150"]);
    }

    #[test]
    fn stores_of_one_page_are_one_metric_each() {
        let (mut first, mut second_store) = (store(10), store(10));
        let now = second(1000);
        assert!(first.take(line("cpu", "a", 1), second(990), now) && first.take(line("mem", "a", 2), now, now));
        assert!(second_store.take(line("cpu", "a", 3), second(995), now));
        let delta = Line { kind: None, ..line("cpu", "b", 4) };
        let counter = Line { kind: Some("counter"), ..line("mem", "b", 5) };
        assert!(second_store.take(delta, now, now) && second_store.take(counter, second(980), now));
        let both = [&first, &second_store];
        let expected = ["cpu of a = 3", "cpu of b = 4", "mem of a = 2", "mem of b = 5"];
        assert_eq!(shown(&both, 1000), expected);
        let page = page(both.into_iter(), now);
        let types: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        assert_eq!(types, ["# TYPE cpu gauge", "# TYPE mem gauge"]);
    }
}
