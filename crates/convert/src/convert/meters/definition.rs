//! One meter definition, from what the operator wrote to what it means.

use super::attributes::{Attributes, UserMetadata};
use super::fault::{LoadFault, compile};
use super::lookup::{Found, Lookup};
use crate::convert::field::Field;
use crate::convert::options::ConvertOptions;
use crate::convert::sampling::Sampling;
use crate::model::python::{Pattern, Raised};
use crate::model::{Complaint, ContextMembers, Data, Node, Notification, Place, SampleType, Text, Value};
use std::collections::HashMap;

/// The keys that must be true in Python's sense, in the order in which their absence is reported.
const REQUIRED: [&str; 6] = ["name", "type", "event_type", "unit", "volume", "resource_id"];

/// A meter definition in force.
pub(crate) struct MeterDefinition {
    /// Where it is written.
    pub(crate) place: Place,
    /// Its name as written: a literal or a path.
    pub(crate) name: Value,
    /// Regular expressions, met at the start of the event type; with their text.
    event_types: Vec<(String, Pattern)>,
    /// Where each value is found.
    attributes: Attributes,
    /// Named metadata, in order.
    metadata: Vec<(Text, Field)>,
    /// Definitions with the same number find the same metadata in a notification.
    metadata_number: usize,
    /// The user's own metadata.
    user_metadata: Option<UserMetadata>,
    /// One sample, or as many as names are found.
    lookup: Option<Lookup>,
    /// Whether one of the paths looks at the `priority` of before 9.0.
    reads_priority: bool,
}

impl MeterDefinition {
    /// Reads a definition in the order of Ceilometer, whose first complaint decides.
    pub(super) fn load(
        entry: &Node,
        options: &ConvertOptions,
        numbers: &mut MetadataNumbers,
        complaints: &mut Vec<Complaint>,
    ) -> Result<Self, LoadFault> {
        if let Some(fault) = incomplete(entry) {
            return Err(fault);
        }
        let event_types = event_types(entry)?;
        let lookup = entry.get("lookup");
        check_type(entry, lookup)?;
        let attributes = Attributes::load(entry, options, complaints)?;
        let metadata = metadata(entry)?;
        let user_metadata = match entry.get("user_metadata").filter(|node| node.is_truthy()) {
            Some(node) => {
                let reserved = options.reserved_metadata.clone();
                Some(UserMetadata { field: compile("user_metadata", node)?, reserved })
            }
            None => None,
        };
        // An empty text is a list of one name, which no attribute has.
        let lookup = lookup.filter(|node| node.is_truthy() || node.as_str().is_some());
        let lookup = lookup.map(|node| Lookup::load(node, options));
        if let Some(lookup) = &lookup {
            lookup.check(entry, &attributes, complaints);
        }
        let name = entry.get("name").map(Node::to_value).unwrap_or_default();
        let mut definition = MeterDefinition {
            place: entry.place.clone(),
            name,
            event_types,
            attributes,
            metadata,
            metadata_number: 0,
            user_metadata,
            lookup,
            reads_priority: false,
        };
        let reads_priority = definition.fields().any(|(_, field)| field.reads_priority());
        definition.reads_priority = reads_priority;
        definition.metadata_number = numbers.of(entry, reads_priority);
        Ok(definition)
    }

    /// What its paths are evaluated on.
    fn root_of<'n>(&self, notification: &'n Notification) -> &'n Value {
        if self.reads_priority { notification.flat_root() } else { notification.root() }
    }

    /// Whether it looks at this event type. An expression that takes too long to match does not match.
    pub(crate) fn matches(&self, event_type: &str) -> bool {
        self.event_types.iter().any(|(_, pattern)| pattern.matches(event_type).unwrap_or(false))
    }

    /// The event types as written.
    pub(crate) fn event_types(&self) -> impl Iterator<Item = &str> {
        self.event_types.iter().map(|(text, _)| text.as_str())
    }

    /// Makes its samples. A sample that cannot be made is a complaint; the others are made.
    pub(crate) fn sample(&self, sampling: &mut Sampling<'_>) {
        let made = match &self.lookup {
            None => self.sample_one(sampling),
            Some(lookup) => self.sample_each(lookup, sampling),
        };
        if let Err(raised) = made {
            self.complain(sampling, &raised);
        }
    }

    fn complain(&self, sampling: &mut Sampling<'_>, raised: &Raised) {
        sampling.complain(&self.place, &format!("meter {}", self.shown_name()), raised);
    }

    /// The name for complaints.
    pub(crate) fn shown_name(&self) -> String {
        match &self.name {
            Value::Str(name) => name.to_string(),
            other => crate::model::json::to_string(other),
        }
    }

    /// Every attribute with a path: its key, the path, and what it finds, for the operator's eyes.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &Field)> {
        let metadata = self.metadata.iter().map(|(name, field)| (&**name, field));
        let user = self.user_metadata.iter().map(|user| ("user_metadata", &user.field));
        self.attributes.fields().chain(metadata).chain(user)
    }

    /// Adds what it may look at in the request context.
    pub(crate) fn add_context_members(&self, members: &mut ContextMembers) {
        let fields = self.fields().map(|(_, field)| field).chain(self.attributes.fallbacks());
        fields.for_each(|field| field.add_context_members(members));
    }

    fn sample_one(&self, sampling: &mut Sampling<'_>) -> Result<(), Raised> {
        let root = self.root_of(sampling.notification());
        let metadata = sampling.metadata(self.metadata_number, |notification| self.metadata(notification))?;
        let found = self.attributes.first(root)?;
        let draft = found.draft(metadata, sampling)?;
        sampling.push(draft);
        Ok(())
    }

    /// As many samples as names are found. One that cannot be made costs only itself.
    fn sample_each(&self, lookup: &Lookup, sampling: &mut Sampling<'_>) -> Result<(), Raised> {
        let root = self.root_of(sampling.notification());
        let metadata = sampling.metadata(self.metadata_number, |notification| self.metadata(notification))?;
        match lookup.find(&self.attributes, root)? {
            Found::Rows(rows) => {
                for row in rows {
                    match row.draft(metadata.clone(), sampling) {
                        Ok(draft) => sampling.push(draft),
                        Err(raised) => self.complain(sampling, &raised),
                    }
                }
            }
            // Too few or too many: Ceilometer warns and makes none.
            Found::Uneven { key, names, values } => {
                let meter = self.shown_name();
                let text = format!("meter {meter}: {names} names but {values} values of {key}: no sample");
                sampling.warn(&self.place, text);
            }
        }
        Ok(())
    }

    /// The metadata that the definition names: only what is true in Python's sense.
    fn metadata(&self, notification: &Notification) -> Result<crate::model::Dict, Raised> {
        let root = self.root_of(notification);
        let mut pairs = Vec::with_capacity(self.metadata.len());
        for (name, field) in &self.metadata {
            if let Some(value) = field.first(root)?.filter(|value| value.is_truthy()) {
                pairs.push((name.clone(), value.into_owned()));
            }
        }
        let mut metadata = crate::model::Dict::from_pairs(pairs);
        if let Some(user) = &self.user_metadata {
            user.copy(root, &mut metadata)?;
        }
        Ok(metadata)
    }
}

/// The numbers of metadata: entries that name the same have the same number.
#[derive(Default)]
pub(super) struct MetadataNumbers(HashMap<String, usize>);

impl MetadataNumbers {
    fn of(&mut self, entry: &Node, reads_priority: bool) -> usize {
        let mut named = reads_priority.to_string();
        for key in ["metadata", "user_metadata"] {
            named.push('\n');
            if let Some(node) = entry.get(key) {
                write_named(node, &mut named);
            }
        }
        let next = self.0.len();
        *self.0.entry(named).or_insert(next)
    }
}

/// What is written in a file, so that two texts are the same only where the two nodes are: the keys of a mapping keep their types.
fn write_named(node: &Node, out: &mut String) {
    match &node.data {
        Data::Scalar(value) => out.push_str(&crate::model::json::to_string(value)),
        Data::List(items) => {
            out.push('[');
            for item in items {
                write_named(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Data::Map(pairs) => {
            out.push('{');
            for (key, value) in pairs {
                write_named(key, out);
                out.push(':');
                write_named(value, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

/// What keys a definition lacks, those that are written with nothing in them apart.
fn incomplete(entry: &Node) -> Option<LoadFault> {
    let (mut missing, mut whys, mut place) = (Vec::new(), Vec::new(), &entry.place);
    for key in REQUIRED {
        match entry.get(key) {
            None => missing.push(key),
            Some(node) if !node.is_truthy() => {
                place = &node.place;
                whys.push(format!("{key}: {} counts as missing", node.described()));
            }
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        place = &entry.place;
        whys.insert(0, format!("{} missing", missing.join(", ")));
    }
    (!whys.is_empty()).then(|| LoadFault::Skipped(place.clone(), whys.join("; ")))
}

fn event_types(entry: &Node) -> Result<Vec<(String, Pattern)>, LoadFault> {
    let Some(node) = entry.get("event_type") else { return Ok(Vec::new()) };
    let refused = |node: &Node, why: String| LoadFault::Refused(node.place.clone(), format!("event_type: {why}"));
    let read = |node: &Node| {
        let text = node
            .as_str()
            .ok_or_else(|| refused(node, format!("expected a regular expression, this is {}", node.described())))?;
        let pattern = Pattern::new(text).map_err(|raised| {
            refused(node, format!("{raised} (a regular expression is expected here, not a glob: .* for any text)"))
        })?;
        Ok((text.to_owned(), pattern))
    };
    match &node.data {
        Data::Scalar(Value::Str(_)) => Ok(vec![read(node)?]),
        Data::List(items) => items.iter().map(read).collect(),
        Data::Map(pairs) => pairs.iter().map(|(key, _)| read(key)).collect(),
        Data::Scalar(_) => {
            Err(refused(node, format!("expected a regular expression or a list of them, this is {}", node.described())))
        }
    }
}

/// A type that is not looked up must be one of the three.
fn check_type(entry: &Node, lookup: Option<&Node>) -> Result<(), LoadFault> {
    let looked_up = match lookup.map(|node| (node, &node.data)) {
        None => false,
        // Python's `in` on a text: as part of it.
        Some((_, Data::Scalar(Value::Str(text)))) => text.contains("type"),
        Some((_, Data::List(items))) => items.iter().any(|item| item.as_str() == Some("type")),
        Some((_, Data::Map(pairs))) => pairs.iter().any(|(key, _)| key.as_str() == Some("type")),
        Some((node, Data::Scalar(_))) => {
            let why = format!("lookup: expected an attribute's name or a list of them, this is {}", node.described());
            return Err(LoadFault::Refused(node.place.clone(), why));
        }
    };
    let Some(kind) = entry.get("type") else { return Ok(()) };
    if looked_up || kind.as_str().and_then(SampleType::from_name).is_some() {
        return Ok(());
    }
    let written = crate::model::json::to_string(&kind.to_value());
    Err(LoadFault::Skipped(kind.place.clone(), format!("type: {written} is not gauge, delta or cumulative")))
}

fn metadata(entry: &Node) -> Result<Vec<(Text, Field)>, LoadFault> {
    let Some(node) = entry.get("metadata") else { return Ok(Vec::new()) };
    match &node.data {
        Data::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| {
                let name = key.key_text();
                let field = compile(&format!("metadata {name}"), value)?;
                Ok((name.into(), field))
            })
            .collect(),
        Data::List(items) if items.is_empty() => Ok(Vec::new()),
        Data::Scalar(Value::Str(text)) if text.is_empty() => Ok(Vec::new()),
        _ => {
            let why = format!("metadata: expected a mapping of names to paths, this is {}", node.described());
            Err(LoadFault::Refused(node.place.clone(), why))
        }
    }
}
