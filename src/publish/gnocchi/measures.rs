//! A batch of samples as Gnocchi's resources and metrics, and the bodies of the requests that carry them.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::api::path;
use super::definitions::{Definitions, ResourceType};
use super::filter::Filtered;
use super::odd;
use super::tally::Tally;
use crate::model::json::{self, NonFinite};
use crate::model::{Dict, Sample, Value};

/// The samples that go to Gnocchi, sorted by resource and metric; within a metric in their order.
#[derive(Debug)]
pub(super) struct Measures<'b> {
    /// Each is one measure.
    pub items: Vec<Item<'b>>,
    /// The resources that the items are of.
    pub resources: Vec<Resource<'b>>,
    /// Meters that stand in no definition.
    pub unknown: BTreeSet<&'b str>,
    /// Attributes that could not be worked out, with why.
    pub failed: Vec<String>,
}

/// One measure.
#[derive(Debug)]
pub(super) struct Item<'b> {
    /// The position of its sample in the batch.
    pub position: usize,
    /// The number of its resource.
    pub resource: usize,
    /// The archive policy of its metric.
    pub policy: &'b str,
    /// By whose definition the sample describes its resource.
    kind: &'b ResourceType,
    metric: &'b str,
    sample: &'b Sample,
}

/// One resource, as the samples of the batch describe it together.
#[derive(Debug)]
pub(super) struct Resource<'b> {
    /// Its id in Gnocchi.
    pub id: Box<str>,
    /// The type of the first sample's metric.
    pub kind: &'b ResourceType,
    /// Attributes that are kept up to date; a later sample's win.
    pub extra: Dict,
    user_id: &'b Value,
    metrics: Vec<&'b str>,
}

impl<'b> Measures<'b> {
    /// What of a batch goes to Gnocchi. A sample that can be no measure is refused.
    pub(super) fn of(
        samples: &'b [Sample],
        definitions: &'b Definitions,
        filtered: Option<&Filtered>,
        tally: &mut Tally,
    ) -> Measures<'b> {
        let mut sorted: Vec<(usize, &Sample)> = samples.iter().enumerate().collect();
        // Ids that differ only in their slashes become one: in this order, as in Ceilometer.
        sorted.sort_by(|(_, a), (_, b)| a.resource_id.as_str().cmp(&b.resource_id.as_str()));
        let mut measures = Measures {
            items: Vec::with_capacity(samples.len()),
            resources: Vec::new(),
            unknown: BTreeSet::new(),
            failed: Vec::new(),
        };
        let mut numbers: HashMap<Box<str>, usize> = HashMap::new();
        let mut orders = Vec::with_capacity(samples.len());
        for (position, sample) in sorted {
            let metric = definitions.metric(&sample.name);
            if filtered.is_some_and(|filtered| filtered.drops(sample, metric.map(|(_, kind)| kind))) {
                continue;
            }
            let Some((metric, kind)) = metric else {
                measures.unknown.insert(&sample.name);
                continue;
            };
            let Some(id) = path::text_of(&sample.resource_id) else {
                tally.refuse(position, "the sample has no resource_id, or one that is neither text nor a whole number");
                continue;
            };
            // Gnocchi takes it, and keeps nothing of it.
            if sample.timestamp.trim().is_empty() {
                tally.refuse(position, "the sample has no timestamp; correct the meter's definition");
                continue;
            }
            let id = path::id(&id);
            let known = numbers.get(&*id).copied();
            let resource = known.unwrap_or_else(|| {
                let (id, number): (Box<str>, usize) = (Box::from(&*id), measures.resources.len());
                numbers.insert(id.clone(), number);
                let (extra, user_id) = (Dict::new(), &sample.user_id);
                measures.resources.push(Resource { id, kind, extra, user_id, metrics: Vec::new() });
                number
            });
            let of = &mut measures.resources[resource];
            measures.failed.extend(describe(sample, kind, &mut of.extra));
            let order = of.metrics.iter().position(|known| *known == sample.name).unwrap_or_else(|| {
                of.metrics.push(&sample.name);
                of.metrics.len() - 1
            });
            orders.push((resource, order));
            measures.items.push(Item {
                position,
                resource,
                policy: &metric.policy,
                kind,
                metric: &sample.name,
                sample,
            });
        }
        let mut items: Vec<_> = orders.into_iter().zip(measures.items).collect();
        items.sort_by_key(|(order, _)| *order);
        measures.items = items.into_iter().map(|(_, item)| item).collect();
        measures
    }

    /// The items of a resource.
    pub(super) fn of_resource(&self, resource: usize) -> &[Item<'b>] {
        let from = self.items.partition_point(|item| item.resource < resource);
        let len = self.items[from..].partition_point(|item| item.resource == resource);
        &self.items[from..from + len]
    }

    /// The body of a measures request for these items.
    pub(super) fn body<'i>(&self, items: impl Iterator<Item = &'i Item<'b>>) -> Vec<u8>
    where
        'b: 'i,
    {
        let mut out = vec![b'{'];
        let mut before: Option<&Item<'b>> = None;
        for item in items {
            let same_resource = before.is_some_and(|before| before.resource == item.resource);
            let same_metric = same_resource && before.is_some_and(|before| before.metric == item.metric);
            if before.is_some() && !same_metric {
                out.extend_from_slice(if same_resource { b"]}," } else { b"]}}," });
            }
            if !same_resource {
                json::write_str(&self.resources[item.resource].id, &mut out);
                out.extend_from_slice(b":{");
            }
            if same_metric {
                out.push(b',');
            } else {
                json::write_str(item.metric, &mut out);
                out.extend_from_slice(b":{\"unit\":");
                json::write_as(&item.sample.unit, NonFinite::Python, &mut out);
                out.extend_from_slice(b",\"archive_policy_name\":");
                json::write_str(item.policy, &mut out);
                out.extend_from_slice(b",\"measures\":[");
            }
            out.extend_from_slice(b"{\"timestamp\":");
            json::write_str(&item.sample.timestamp, &mut out);
            out.extend_from_slice(b",\"value\":");
            // Gnocchi reads what Python writes, and keeps NaN and the infinities.
            json::write_as(&item.sample.volume, NonFinite::Python, &mut out);
            out.push(b'}');
            before = Some(item);
        }
        if before.is_some() {
            out.extend_from_slice(b"]}}");
        }
        out.push(b'}');
        out
    }

    /// The body that creates a resource with these attributes.
    pub(super) fn creation(&self, resource: usize, extra: &Dict) -> Dict {
        let of = &self.resources[resource];
        let mut body = Dict::from_iter([("id", Value::from(&*of.id)), ("user_id", of.user_id.clone())]);
        extra.iter().for_each(|(name, value)| body.insert(name, value.clone()));
        body
    }

    /// The attributes that the samples of a resource give one by one, as far as they differ from all together; the last first.
    pub(super) fn extras(&self, resource: usize) -> Vec<Dict> {
        let mut extras: Vec<Dict> = Vec::new();
        for item in self.of_resource(resource).iter().rev() {
            let mut extra = Dict::new();
            drop(describe(item.sample, item.kind, &mut extra));
            if extra != self.resources[resource].extra && !extras.contains(&extra) {
                extras.push(extra);
            }
        }
        extras
    }

    /// The first odd item of a part, with those like it behind it: over which Gnocchi may break down.
    pub(super) fn odd(&self, part: &Range<usize>) -> Option<Range<usize>> {
        let within = self.items.get(part.clone())?;
        let is = |item: &Item<'_>| odd::is_odd_sample(item.sample);
        let from = within.iter().position(is)?;
        let len = within[from..].iter().take_while(|item| is(item)).count();
        Some(part.start + from..part.start + from + len)
    }

    /// Of the items in `part`, those that a refusal names: `[resource, metric, "measures", number, …]`, as far as it says so.
    pub(super) fn named(&self, part: &Range<usize>, detail: &[Value]) -> Option<Range<usize>> {
        let mut words = detail.iter().filter_map(Value::as_str);
        let (id, metric) = (words.next()?, words.next());
        let is = |item: &Item<'_>| {
            *self.resources[item.resource].id == *id && metric.is_none_or(|metric| item.metric == metric)
        };
        let within = self.items.get(part.clone())?;
        let from = within.iter().position(is)?;
        let len = within[from..].iter().take_while(|item| is(item)).count();
        Some(part.start + from..part.start + from + len).filter(|named| named.len() < part.len())
    }
}

/// Adds a sample's attributes.
fn describe(sample: &Sample, kind: &ResourceType, extra: &mut Dict) -> Vec<String> {
    extra.insert("project_id", sample.project_id.clone());
    kind.sample_attributes(sample, extra)
}
