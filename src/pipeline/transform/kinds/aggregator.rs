//! `aggregator`: samples of one meter and resource become one, when there are enough of them or enough time has passed.

use super::change::instant;
use super::scaling::Scaling;
use crate::model::python::{self, Operator, Raised};
use crate::model::{Dict, Sample, SampleType, Text, Value, grouping_text};
use crate::pipeline::transform::Failure;
use crate::pipeline::transform::scope::Scope;
use crate::pipeline::transform::store::{Address, Keep as _, Kept, Store, address};
use std::sync::Arc;

/// What an aggregator is told.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline::transform) struct Aggregating {
    pub(in crate::pipeline::transform) scaling: Scaling,
    /// Flush when so many samples came.
    pub(in crate::pipeline::transform) size: Option<i64>,
    /// Flush when the first sample's timestamp is so many microseconds old.
    pub(in crate::pipeline::transform) retention: Option<i64>,
    /// Whether the timestamp follows the samples.
    pub(in crate::pipeline::transform) last_timestamp: bool,
    /// What becomes of the project; nothing makes it part of the key.
    pub(in crate::pipeline::transform) project_id: Option<Policy>,
    /// What becomes of the user; nothing makes it part of the key.
    pub(in crate::pipeline::transform) user_id: Option<Policy>,
    pub(in crate::pipeline::transform) resource_metadata: Policy,
}

/// Which of several values stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::pipeline::transform) enum Policy {
    First,
    #[default]
    Last,
    /// None: metadata become empty.
    Drop,
}

/// What a key's samples came to so far.
#[derive(Debug)]
pub(in crate::pipeline::transform) struct Aggregate {
    /// How many samples there were, those that failed included.
    count: i64,
    /// The timestamp of the first of them.
    began: Text,
    /// The converted first sample with what was added; nothing if none could be converted.
    sample: Option<Sample>,
}

impl Kept for Aggregate {
    fn write(&self) -> Dict {
        Dict::from_iter([
            ("count", Value::Int(self.count)),
            ("began", Value::Str(self.began.clone())),
            ("sample", self.sample.as_ref().map_or(Value::Null, |sample| Value::Dict(sample.as_dict()))),
        ])
    }

    fn read(mut dict: Dict) -> Option<Aggregate> {
        let (Some(Value::Int(count)), Some(Value::Str(began))) = (dict.remove("count"), dict.remove("began")) else {
            return None;
        };
        let sample = match dict.remove("sample")? {
            Value::Null => None,
            Value::Dict(sample) => Some(Sample::from_dict(sample).ok()?),
            _ => return None,
        };
        Some(Aggregate { count: count.max(0), began, sample })
    }
}

/// An aggregator at work.
#[derive(Debug, Default)]
pub(in crate::pipeline::transform) struct Aggregator {
    pub(in crate::pipeline::transform) aggregates: Store<Aggregate>,
    /// Of all aggregates.
    count: i64,
}

impl Aggregator {
    /// Counts again, after the aggregates were changed from outside.
    pub(in crate::pipeline::transform) fn recount(&mut self) {
        self.count = self.aggregates.values().fold(0, |sum, aggregate| sum.saturating_add(aggregate.count));
    }

    /// Takes a sample in. What fails here was counted, as in Ceilometer, unless its time is what failed.
    pub(in crate::pipeline::transform) fn add(
        &mut self,
        told: &Aggregating,
        sample: &Sample,
        scope: &mut Scope<'_>,
    ) -> Result<(), Failure> {
        if self.aggregates.len() == 0 {
            instant(&sample.timestamp)?;
        }
        self.count = self.count.saturating_add(1);
        let resource = grouping_text(&sample.resource_id);
        let key = key(told, sample);
        // Without a key a sample is counted and nothing more.
        let address = address(&resource, key.as_deref().unwrap_or_default());
        if let Some(aggregate) = self.aggregates.get_mut(&address) {
            aggregate.count = aggregate.count.saturating_add(1);
        } else {
            let aggregate = Aggregate { count: 1, began: sample.timestamp.detached(), sample: None };
            self.aggregates.put(&address, self.aggregates.later(scope.now), aggregate);
        }
        key?;
        let Some(aggregate) = self.aggregates.get_mut(&address) else { return Ok(()) };
        match &mut aggregate.sample {
            Some(sum) => merge(told, sum, sample),
            none => {
                let mut first = told.scaling.convert(sample, &Value::Int(1), scope)?;
                if told.resource_metadata == Policy::Drop {
                    first.resource_metadata = Dict::new().into();
                }
                *none = Some(first.detached());
                Ok(())
            }
        }
    }

    /// Whether the aggregates are due.
    pub(in crate::pipeline::transform) fn is_due(&self, told: &Aggregating, now: i64) -> bool {
        if told.size.is_some_and(|size| self.count >= size) {
            return self.aggregates.len() > 0;
        }
        let Some(retention) = told.retention else { return false };
        // The first one that can be read: Ceilometer's is, unless it went to another queue meanwhile.
        let began = self.aggregates.in_order().find_map(|at| instant(&self.aggregates.get(at)?.began).ok());
        began.is_some_and(|began| now.saturating_sub(began) > retention)
    }

    /// Gives everything out, gauges divided by their number. If that fails, everything stays, divided as far as it came.
    pub(in crate::pipeline::transform) fn flush(
        &mut self,
        told: &Aggregating,
        scope: &Scope<'_>,
    ) -> Result<Vec<Sample>, Failure> {
        let order: Vec<Address> = self.aggregates.in_order().map(Arc::clone).collect();
        for address in &order {
            let Some(Aggregate { sample: Some(sample), count, .. }) = self.aggregates.get(address) else { continue };
            if sample.kind != SampleType::Gauge {
                continue;
            }
            let count = if scope.options.repairs.renamed_gauge_aggregates {
                *count
            } else {
                // Ceilometer looks for the number under the new name, and divides by zero.
                let resource = grouping_text(&sample.resource_id);
                let renamed = crate::pipeline::transform::store::address(&resource, &key(told, sample)?);
                self.aggregates.get(&renamed).map_or(0, |aggregate| aggregate.count)
            };
            let mean = python::divide(&sample.volume, &Value::Int(count))?;
            if let Some(Aggregate { sample: Some(sample), .. }) = self.aggregates.get_mut(address) {
                sample.volume = mean;
            }
        }
        self.count = 0;
        Ok(self.aggregates.take_all().into_iter().filter_map(|aggregate| aggregate.sample).collect())
    }
}

/// Ceilometer's text for what is aggregated together.
fn key(told: &Aggregating, sample: &Sample) -> Result<String, Raised> {
    let mut attributes = Vec::new();
    for (policy, value) in [(told.project_id, &sample.project_id), (told.user_id, &sample.user_id)] {
        match (policy, value) {
            (Some(_), _) => {}
            (None, Value::Null) => attributes.push("<undefined>"),
            (None, Value::Str(text)) => attributes.push(text),
            (None, _) => return Err(Raised::new("TypeError", "the project or user id is no text")),
        }
    }
    Ok(format!("{}-{}-{}", sample.name, python::str(&sample.resource_id)?, attributes.join("-")))
}

/// Adds a sample to what there is.
fn merge(told: &Aggregating, sum: &mut Sample, sample: &Sample) -> Result<(), Failure> {
    if told.last_timestamp {
        sum.timestamp = sample.timestamp.detached();
    }
    let scaled = told.scaling.scaled(sample)?;
    sum.volume = match sample.kind {
        SampleType::Cumulative => scaled.detached(),
        SampleType::Gauge | SampleType::Delta => {
            python::bounded(python::arithmetic(Operator::Add, &sum.volume, &scaled)?)?
        }
    };
    if told.project_id == Some(Policy::Last) {
        sum.project_id = sample.project_id.detached();
    }
    if told.user_id == Some(Policy::Last) {
        sum.user_id = sample.user_id.detached();
    }
    if told.resource_metadata == Policy::Last {
        sum.resource_metadata = sample.resource_metadata.detached();
    }
    Ok(())
}
