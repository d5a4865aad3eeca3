//! Ours beside what Gnocchi has: the means of some metrics at the times of our samples.
//!
//! Gnocchi keeps aggregates and no samples. A mean is compared where all samples of its time are in the window; at the ends it is
//! only looked whether there is one. Which resources are looked at goes by a hash of their ids: the same in every run.
//!
//! Never here: asking; that is `publish`'s.

use serde::Serialize;
use siphasher::sip::SipHasher13;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;

use super::compare::Verdict;
use super::theirs;
use crate::model::{Sample, Value, json, shown};
use crate::publish::GnocchiMeasure;

/// Samples of one metric that are kept; more are not looked for.
const SAMPLES_MAX: usize = 10_000;
/// Metrics of one resource.
const METRICS_MAX: usize = 100;
/// Differences that are told.
const TOLD_MAX: usize = 20;
/// Characters of an id or a name.
const SHOWN_CHARS_MAX: usize = 120;
/// Floats of two programs are equal within this part of the larger one.
const EQUAL: f64 = 1e-9;

/// Samples of some resources, while they come.
pub struct Chosen {
    resources_max: usize,
    /// By the hash of the resource.
    resources: BTreeMap<u64, Resource>,
    /// From the first to the last notification, in microseconds since 1970.
    window: Option<(i64, i64)>,
}

struct Resource {
    id: Value,
    metrics: BTreeMap<String, Vec<(i64, f64)>>,
}

/// One metric to ask for.
pub struct Metric {
    /// Whose.
    pub resource: Value,
    /// The meter.
    pub meter: String,
    samples: Vec<(i64, f64)>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The answer.
    pub verdict: Verdict,
    /// The same in a sentence.
    pub sentence: String,
    /// Metrics that were asked for.
    pub metrics: u64,
    /// Means that are there and equal.
    pub same: u64,
    /// Means that are there, and of which we do not have all samples.
    pub not_judged: u64,
    /// Means or metrics that are missing or different.
    pub different: u64,
    /// Some of them.
    pub examples: Vec<String>,
}

impl Chosen {
    /// Of so many resources at most.
    pub fn new(resources_max: usize) -> Chosen {
        Chosen { resources_max: resources_max.max(1), resources: BTreeMap::new(), window: None }
    }

    /// Notes the time of a notification.
    pub fn sent(&mut self, at: i64) {
        let (first, last) = self.window.unwrap_or((at, at));
        self.window = Some((first.min(at), last.max(at)));
    }

    /// Keeps a sample, if its resource is one of those.
    pub fn take(&mut self, sample: &Sample) {
        let (Some(at), Some(volume)) = (theirs::micros(&Value::Str(sample.timestamp.clone())), number(&sample.volume))
        else {
            return;
        };
        let mut hasher = SipHasher13::new();
        hasher.write(json::to_string(&sample.resource_id).as_bytes());
        let hash = hasher.finish();
        if !self.resources.contains_key(&hash) {
            if self.resources.len() >= self.resources_max {
                // One that is among those with the lowest hashes was so from its first sample on.
                match self.resources.last_key_value() {
                    Some((last, _)) if *last > hash => drop(self.resources.pop_last()),
                    _ => return,
                }
            }
            self.resources.insert(hash, Resource { id: sample.resource_id.detached(), metrics: BTreeMap::new() });
        }
        let Some(of) = self.resources.get_mut(&hash) else { return };
        if !of.metrics.contains_key(&*sample.name) && of.metrics.len() >= METRICS_MAX {
            return;
        }
        let samples = of.metrics.entry(sample.name.to_string()).or_default();
        if samples.len() < SAMPLES_MAX {
            samples.push((at, volume));
        }
    }

    /// The window, and the metrics to ask for.
    pub fn metrics(self) -> Option<((i64, i64), Vec<Metric>)> {
        let of = |Resource { id, metrics }: Resource| {
            metrics.into_iter().map(move |(meter, samples)| Metric { resource: id.clone(), meter, samples })
        };
        Some((self.window?, self.resources.into_values().flat_map(of).collect()))
    }
}

impl Metric {
    /// From its first to its last sample, in microseconds since 1970.
    pub fn span(&self) -> (i64, i64) {
        let times = || self.samples.iter().map(|(at, _)| *at);
        (times().min().unwrap_or_default(), times().max().unwrap_or_default())
    }
}

impl Default for Report {
    fn default() -> Self {
        let (sentence, examples) = (String::new(), Vec::new());
        Report { verdict: Verdict::Unknown, sentence, metrics: 0, same: 0, not_judged: 0, different: 0, examples }
    }
}

impl Report {
    /// The answer where nothing came.
    pub fn ended() -> Report {
        let mut report = Report::default();
        report.end();
        report
    }

    /// Compares one metric with what Gnocchi has of it; nothing where it has no such metric.
    pub fn take(&mut self, metric: &Metric, window: (i64, i64), theirs: Option<&[GnocchiMeasure]>) {
        self.metrics += 1;
        let Some(theirs) = theirs else { return self.differs(metric, "Gnocchi has no such metric") };
        let Some(finest) = theirs.iter().map(|measure| measure.granularity).min() else {
            return self.differs(metric, "Gnocchi has no measures of that time");
        };
        let mut ours: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for (at, volume) in &metric.samples {
            ours.entry(at.div_euclid(finest) * finest).or_default().push(*volume);
        }
        let theirs: BTreeMap<i64, f64> =
            theirs.iter().filter(|one| one.granularity == finest).map(|one| (one.at, one.value)).collect();
        let times: BTreeSet<i64> = ours.keys().chain(theirs.keys()).copied().collect();
        for at in times {
            let whole = window.0 <= at && at.saturating_add(finest) <= window.1;
            match (ours.get(&at), theirs.get(&at)) {
                (Some(_), None) => self.differs(metric, &format!("nothing there at {}", stamp(at))),
                (None, Some(value)) if whole => {
                    self.differs(metric, &format!("nothing here at {}, there {value}", stamp(at)));
                }
                (Some(volumes), Some(value)) if whole => {
                    let mean = volumes.iter().sum::<f64>() / volumes.len() as f64;
                    if (mean - value).abs() <= EQUAL * mean.abs().max(value.abs()) {
                        self.same += 1;
                    } else {
                        self.differs(metric, &format!("at {} here {mean}, there {value}", stamp(at)));
                    }
                }
                _ => self.not_judged += 1,
            }
        }
    }

    fn differs(&mut self, metric: &Metric, what: &str) {
        self.different += 1;
        if self.examples.len() < TOLD_MAX {
            let line = format!("{} of resource {}: {what}", metric.meter, json::to_string(&metric.resource));
            self.examples.push(shown::on_one_line(&line, 2 * SHOWN_CHARS_MAX));
        }
    }

    /// Comes to the answer.
    pub fn end(&mut self) {
        let Report { metrics, same, not_judged, different, .. } = self;
        (self.verdict, self.sentence) = if *different > 0 {
            (
                Verdict::Differs,
                format!(
                    "Gnocchi differs: {different} means or metrics of {metrics} metrics; {same} means are the same"
                ),
            )
        } else if *same > 0 {
            (
                Verdict::Same,
                format!(
                    "Gnocchi has the same: {same} means of {metrics} metrics; {not_judged} are only partly in the window"
                ),
            )
        } else {
            let text = "Gnocchi, not known: no mean is wholly in the window; let shadow run for longer than the granularity of the \
                        archive policies";
            (Verdict::Unknown, text.to_owned())
        };
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        Value::Str(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn stamp(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros);
    time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dict, SampleType};

    const MINUTE: i64 = 60_000_000;

    fn sample(resource: &str, meter: &str, minute: u32, second: u32, volume: f64) -> Sample {
        Sample {
            name: meter.into(),
            kind: SampleType::Gauge,
            unit: Value::Null,
            volume: Value::Float(volume),
            user_id: Value::Null,
            user_name: Value::Null,
            project_id: Value::Null,
            project_name: Value::Null,
            resource_id: Value::from(resource),
            timestamp: format!("2026-03-01T10:{minute:02}:{second:02}").into(),
            resource_metadata: Dict::new().into(),
            source: "openstack".into(),
            id: "i".into(),
            monotonic_time: Value::Null,
        }
    }

    fn at(minute: u32) -> i64 {
        theirs::micros(&Value::from(format!("2026-03-01T10:{minute:02}:00"))).unwrap()
    }

    fn mean(minute: u32, value: f64) -> GnocchiMeasure {
        GnocchiMeasure { at: at(minute), granularity: MINUTE, value }
    }

    /// Two samples a minute, for four minutes and the beginning of a fifth.
    fn chosen() -> ((i64, i64), Metric) {
        let mut chosen = Chosen::new(10);
        for minute in 0..5 {
            chosen.sent(at(minute));
            for second in [0, 30] {
                chosen.take(&sample("r", "size", minute, second, f64::from(minute * 2 + second / 30)));
            }
        }
        let (window, mut metrics) = chosen.metrics().unwrap();
        (window, metrics.remove(0))
    }

    fn compared(theirs: Option<&[GnocchiMeasure]>) -> Report {
        let (window, metric) = chosen();
        let mut report = Report::default();
        report.take(&metric, window, theirs);
        report.end();
        report
    }

    #[test]
    fn means_that_are_wholly_in_the_window_are_compared() {
        let all = [mean(0, 0.5), mean(1, 2.5), mean(2, 4.5), mean(3, 6.5), mean(4, 100.0)];
        let report = compared(Some(&all));
        assert_eq!((report.verdict, report.same, report.not_judged), (Verdict::Same, 4, 1), "{report:?}");
        let report = compared(Some(&[all[0], mean(1, 2.6), all[3], all[4]]));
        assert_eq!((report.verdict, report.same, report.different), (Verdict::Differs, 2, 2));
        assert_eq!(
            report.examples,
            [
                r#"size of resource "r": at 2026-03-01T10:01:00Z here 2.5, there 2.6"#,
                r#"size of resource "r": nothing there at 2026-03-01T10:02:00Z"#
            ]
        );
    }

    #[test]
    fn a_metric_that_is_not_there_is_a_difference() {
        for (theirs, what) in [(None, "no such metric"), (Some(&[][..]), "no measures of that time")] {
            let report = compared(theirs);
            assert!(report.verdict == Verdict::Differs && report.examples[0].contains(what), "{report:?}");
        }
    }

    #[test]
    fn a_mean_of_a_longer_time_than_the_window_is_no_answer() {
        let hour = GnocchiMeasure { at: at(0), granularity: 60 * MINUTE, value: 7.0 };
        assert_eq!(compared(Some(&[hour])).verdict, Verdict::Unknown);
    }

    #[test]
    fn the_same_resources_are_chosen_in_every_order_with_all_their_samples() {
        let ids: Vec<String> = (0..100).map(|n| format!("r-{n}")).collect();
        let run = |ids: &mut dyn Iterator<Item = &String>| {
            let mut chosen = Chosen::new(7);
            chosen.sent(at(0));
            for id in ids {
                for minute in 0..3 {
                    chosen.take(&sample(id, "size", minute, 0, 1.0));
                }
            }
            let (_, metrics) = chosen.metrics().unwrap();
            assert!(metrics.iter().all(|metric| metric.samples.len() == 3));
            metrics.into_iter().map(|metric| json::to_string(&metric.resource)).collect::<Vec<_>>()
        };
        let forwards = run(&mut ids.iter());
        assert_eq!((forwards.len(), &forwards), (7, &run(&mut ids.iter().rev())));
    }
}
