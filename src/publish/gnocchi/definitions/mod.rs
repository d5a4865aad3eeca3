//! `gnocchi_resources.yaml`: which meter is a metric of which resource type, which event creates, changes or ends a resource,
//! and which archive policies there must be (Ceilometer reference §6.1, §D.3).
//!
//! A resource that cannot be understood is left out with a warning, as in Ceilometer. Never here: requests.

use std::collections::HashMap;

use super::api::query::Query;
use crate::convert::field::Field;
use crate::model::{Complaint, Data, Dict, Event, Glob, Keys, Node, Sample, Value};

/// The archive policy of a metric where the file names none.
const POLICY: &str = "ceilometer-low";

const FILE: Keys<'static> = Keys {
    what: "a section of a file of Gnocchi's resources",
    known: &["archive_policy_default", "archive_policies", "resources"],
    elsewhere: &[("metrics", "to a resource"), ("resource_type", "to a resource")],
    foreign: &[],
};
const RESOURCE: Keys<'static> = Keys {
    what: "a key of a resource",
    known: &[
        "resource_type",
        "metrics",
        "attributes",
        "event_create",
        "event_delete",
        "event_update",
        "event_attributes",
        "event_associated_resources",
        "archive_policy",
    ],
    elsewhere: &[("archive_policy_name", "to a metric, under its name")],
    foreign: &[],
};
const METRIC: Keys<'static> = Keys {
    what: "a key of a metric",
    known: &["archive_policy_name"],
    elsewhere: &[("attributes", "to the resource")],
    foreign: &["unit"],
};

/// What a file says.
#[derive(Debug)]
pub(super) struct Definitions {
    /// The archive policies to create, in order.
    pub policies: Vec<Policy>,
    resources: Vec<ResourceType>,
    /// By the name of the meter.
    metrics: HashMap<Box<str>, Metric>,
}

/// An archive policy, as Gnocchi is told to create it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Policy {
    /// Its name.
    pub name: Box<str>,
    /// The body of the request.
    pub body: Value,
}

/// Where the measures of a meter go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metric {
    resource: usize,
    /// The archive policy with which the metric is created.
    pub policy: Box<str>,
}

/// One entry of `resources`.
#[derive(Debug)]
pub(super) struct ResourceType {
    /// Its name in Gnocchi.
    pub name: Box<str>,
    attributes: Vec<(Box<str>, Field)>,
    create: Vec<Glob>,
    delete: Vec<Glob>,
    update: Vec<Glob>,
    /// Names of attributes, each with the name of its trait.
    event_attributes: Vec<(Box<str>, Box<str>)>,
    /// Resource types whose resources end with one of this type, each with how they are found.
    pub associated: Vec<(Box<str>, Query)>,
}

/// What an event does to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// It comes to be.
    Create,
    /// It ends.
    Delete,
    /// Its attributes change.
    Update,
}

impl Definitions {
    /// Understands a file: what it says, with what is not meant or left out; or why nothing can be made of it. `over` is the
    /// archive policy that the URL sets for all metrics.
    pub(super) fn read(file: &Node, over: Option<&str>) -> Result<(Definitions, Vec<Complaint>), Complaint> {
        if !matches!(file.data, Data::Map(_)) {
            let text = format!(
                "expected a mapping with archive_policies and resources, this is {}; write them, or remove the file to use the shipped one",
                file.described()
            );
            return Err(Complaint::error(&file.place, text));
        }
        let mut warnings = Vec::new();
        FILE.warn_of_others(file, &mut warnings);
        let default = file.get("archive_policy_default").and_then(Node::as_str).unwrap_or(POLICY);
        let policies = policies(file, &mut warnings)?;
        let mut definitions = Definitions { policies, resources: Vec::new(), metrics: HashMap::new() };
        for entry in list(file, "resources")? {
            let reading = Reading { entry, default, over, warnings: &mut warnings };
            match reading.resource() {
                Ok((resource, metrics)) => {
                    let number = definitions.resources.len();
                    definitions.resources.push(resource);
                    let placed = metrics.into_iter().map(|(name, policy)| (name, Metric { resource: number, policy }));
                    definitions.metrics.extend(placed);
                }
                Err(Complaint { place, text, .. }) => {
                    warnings.push(Complaint::warning(
                        &place,
                        format!("this resource is left out, with its metrics and events: {text}"),
                    ));
                }
            }
        }
        Ok((definitions, warnings))
    }

    /// The names of all resource types, in order.
    pub(super) fn types(&self) -> impl Iterator<Item = &str> {
        self.resources.iter().map(|resource| &*resource.name)
    }

    /// The metric of a meter and its resource type; of two types that have it, the later one.
    pub(super) fn metric(&self, meter: &str) -> Option<(&Metric, &ResourceType)> {
        let metric = self.metrics.get(meter)?;
        Some((metric, self.resources.get(metric.resource)?))
    }

    /// What an event does, and to which resource type: the first type that takes it.
    pub(super) fn operation(&self, event_type: &str) -> Option<(&ResourceType, Operation)> {
        self.resources.iter().find_map(|resource| Some((resource, resource.operation(event_type)?)))
    }
}

impl ResourceType {
    fn operation(&self, event_type: &str) -> Option<Operation> {
        let order =
            [(&self.create, Operation::Create), (&self.delete, Operation::Delete), (&self.update, Operation::Update)];
        let takes = |globs: &Vec<Glob>| globs.iter().any(|glob| glob.matches(event_type));
        order.into_iter().find(|(globs, _)| takes(globs)).map(|(_, operation)| operation)
    }

    /// Adds the attributes that a sample has; a later sample's win. Those that cannot be worked out are named, with why.
    pub(super) fn sample_attributes(&self, sample: &Sample, out: &mut Dict) -> Vec<String> {
        if self.attributes.is_empty() {
            return Vec::new();
        }
        let root = Value::Dict(sample.as_dict());
        let mut failed = Vec::new();
        for (name, field) in &self.attributes {
            match field.first(&root) {
                Ok(Some(value)) if !value.is_null() => out.insert(name.clone(), value.into_owned()),
                Ok(_) => {}
                Err(raised) => failed.push(format!("{name}: {raised}")),
            }
        }
        failed
    }

    /// The attributes that an event has, its `id` among them; of a trait that is there twice, the last.
    pub(super) fn event_attributes(&self, event: &Event) -> Dict {
        let value = |wanted: &str| event.traits.iter().rev().find(|of| of.name == wanted).map(|of| of.value.to_value());
        let found = self.event_attributes.iter().filter_map(|(name, of)| Some((name.clone(), value(of)?)));
        found.filter(|(_, value)| !value.is_null()).collect()
    }
}

/// The items of a list; none where it is not written.
fn list<'n>(file: &'n Node, key: &str) -> Result<&'n [Node], Complaint> {
    let Some(node) = file.get(key).filter(|node| node.scalar() != Some(&Value::Null)) else { return Ok(&[]) };
    let wrong = || Complaint::error(&node.place, format!("{key}: expected a list, this is {}", node.described()));
    node.items().ok_or_else(wrong)
}

fn policies(file: &Node, warnings: &mut Vec<Complaint>) -> Result<Vec<Policy>, Complaint> {
    let mut policies = Vec::new();
    for entry in list(file, "archive_policies")? {
        match entry.get("name").and_then(Node::as_str) {
            Some(name) => policies.push(Policy { name: name.into(), body: entry.to_value() }),
            None => warnings.push(Complaint::warning(&entry.place, "this archive policy has no name and is left out")),
        }
    }
    Ok(policies)
}

/// One resource while it is read.
struct Reading<'r> {
    entry: &'r Node,
    default: &'r str,
    over: Option<&'r str>,
    warnings: &'r mut Vec<Complaint>,
}

/// Names of metrics, each with its archive policy.
type Metrics = Vec<(Box<str>, Box<str>)>;

impl Reading<'_> {
    fn resource(mut self) -> Result<(ResourceType, Metrics), Complaint> {
        let entry = self.entry;
        let name = match entry.get("resource_type") {
            Some(node) => node.as_str().ok_or_else(|| wrong(node, "resource_type", "the name of a resource type"))?,
            None => return Err(Complaint::error(&entry.place, "resource_type is missing")),
        };
        RESOURCE.warn_of_others(entry, self.warnings);
        let metrics = self.metrics()?;
        let mut attributes = Vec::new();
        for (key, node) in mapping(entry, "attributes")? {
            let field = Field::compile(node)
                .map_err(|error| Complaint::error(&node.place, format!("attribute {}: {error}", key.key_shown())))?;
            attributes.push((key.key_text().into(), field));
        }
        let [create, delete, update] = ["event_create", "event_delete", "event_update"].map(|key| globs(entry, key));
        let (create, delete, update) = (create?, delete?, update?);
        let takes_events = ["event_create", "event_delete", "event_update"].iter().any(|key| entry.get(key).is_some());
        let mut event_attributes = Vec::new();
        for (key, node) in mapping(entry, "event_attributes")? {
            let of = node.as_str().ok_or_else(|| wrong(node, "event_attributes", "the name of a trait"))?;
            event_attributes.push((Box::from(key.key_text()), Box::from(of)));
        }
        if takes_events && !event_attributes.iter().any(|(name, _)| &**name == "id") {
            return Err(Complaint::error(
                &entry.place,
                "it takes events, and event_attributes has no id: write `id: TRAIT`",
            ));
        }
        let mut associated = Vec::new();
        for (key, node) in mapping(entry, "event_associated_resources")? {
            let text = node.as_str().ok_or_else(|| wrong(node, "event_associated_resources", "a query in JSON"))?;
            let query = Query::read(text).map_err(|why| {
                Complaint::error(&node.place, format!("event_associated_resources: {}: {why}", key.key_shown()))
            })?;
            associated.push((key.key_text().into(), query));
        }
        Ok((
            ResourceType { name: name.into(), attributes, create, delete, update, event_attributes, associated },
            metrics,
        ))
    }

    /// `metrics`, as a mapping or as a list.
    fn metrics(&mut self) -> Result<Metrics, Complaint> {
        let Some(node) = self.entry.get("metrics") else {
            return Err(Complaint::error(&self.entry.place, "metrics is missing"));
        };
        let for_all = match self.entry.get("archive_policy") {
            Some(policy) => {
                let text =
                    "archive_policy of a resource type is an old key: write archive_policy_name under each metric";
                self.warnings.push(Complaint::warning(&policy.place, text));
                Some(policy.as_str().ok_or_else(|| wrong(policy, "archive_policy", "the name of an archive policy"))?)
            }
            None => self.over,
        };
        let named = |name: Option<&str>| Box::from(for_all.or(name).unwrap_or(self.default));
        match &node.data {
            Data::List(items) => {
                let text = |item: &Node| {
                    item.as_str().ok_or_else(|| wrong(item, "metrics", "the name of a meter")).map(Box::from)
                };
                items.iter().map(|item| Ok((text(item)?, named(None)))).collect()
            }
            Data::Map(pairs) => {
                let mut metrics = Vec::new();
                for (key, extra) in pairs {
                    METRIC.warn_of_others(extra, self.warnings);
                    if extra.is_truthy() && !matches!(extra.data, Data::Map(_)) {
                        return Err(wrong(extra, &key.key_shown(), "a mapping with archive_policy_name"));
                    }
                    let policy = extra.get("archive_policy_name").filter(|policy| policy.is_truthy());
                    let text = |policy: &'_ Node| match policy.as_str() {
                        Some(text) => Ok(text.to_owned()),
                        None => Err(wrong(policy, "archive_policy_name", "the name of an archive policy")),
                    };
                    let policy = policy.map(text).transpose()?;
                    metrics.push((Box::from(key.key_text()), named(policy.as_deref())));
                }
                Ok(metrics)
            }
            Data::Scalar(_) => Err(wrong(node, "metrics", "a mapping or a list of meters")),
        }
    }
}

fn wrong(node: &Node, key: &str, expected: &str) -> Complaint {
    Complaint::error(&node.place, format!("{key}: expected {expected}, this is {}", node.described()))
}

/// Keys and values of a mapping; none where it is not written.
fn mapping<'n>(entry: &'n Node, key: &str) -> Result<impl Iterator<Item = (&'n Node, &'n Node)>, Complaint> {
    let node = entry.get(key).filter(|node| node.scalar() != Some(&Value::Null));
    match node {
        Some(node) if !matches!(node.data, Data::Map(_)) => Err(wrong(node, key, "a mapping")),
        node => Ok(node.into_iter().flat_map(Node::entries)),
    }
}

/// One pattern of event types, or a list of them.
fn globs(entry: &Node, key: &str) -> Result<Vec<Glob>, Complaint> {
    let Some(node) = entry.get(key) else { return Ok(Vec::new()) };
    let nodes = node.items().unwrap_or(std::slice::from_ref(node));
    let glob = |node: &Node| node.as_str().map(Glob::new).ok_or_else(|| wrong(node, key, "an event type"));
    nodes.iter().map(glob).collect()
}

#[cfg(test)]
mod tests;
