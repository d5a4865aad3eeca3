//! From `transformers:` as it is written to what it means: every complaint at once, each with its place.

use super::definition::{Told, Transformer, Transformers, digest};
use super::expression::Expression;
use super::kinds::aggregator::{Aggregating, Policy};
use super::kinds::arithmetic::Formula;
use super::kinds::change::Delta;
use super::kinds::naming::Naming;
use super::kinds::scaling::{Scale, Scaling};
use super::known::{KNOWN, Known, TRANSFORMER_KEYS};
use crate::model::python::Substitution;
use crate::model::{Complaint, Data, Keys, Node, Place, SampleType, Text, Value, did_you_mean, python};

/// The longest list of transformers.
const TRANSFORMERS_MAX: usize = 100;

impl Transformers {
    /// The transformers of a sink. What Ceilometer refuses is an error, what it passes over a warning; with an error,
    /// what is given back is of no use.
    pub(crate) fn read(node: &Node, errors: &mut Vec<Complaint>, warnings: &mut Vec<Complaint>) -> Transformers {
        let mut reading = Reading { errors, warnings };
        let Some(items) = node.items() else {
            let found = node.described();
            let text = format!("expected a list of transformers, each with `name:` and `parameters:`; this is {found}");
            reading.wrong(node, text);
            return Transformers::default();
        };
        if items.len() > TRANSFORMERS_MAX {
            reading.wrong(node, format!("a sink has at most {TRANSFORMERS_MAX} transformers"));
            return Transformers::default();
        }
        Transformers { all: items.iter().filter_map(|item| reading.transformer(item)).collect() }
    }
}

struct Reading<'r> {
    errors: &'r mut Vec<Complaint>,
    warnings: &'r mut Vec<Complaint>,
}

impl Reading<'_> {
    fn wrong(&mut self, node: &Node, text: impl Into<String>) {
        self.errors.push(Complaint::error(&node.place, text));
    }

    fn warn(&mut self, place: &Place, text: impl Into<String>) {
        self.warnings.push(Complaint::warning(place, text));
    }

    fn transformer(&mut self, item: &Node) -> Option<Transformer> {
        if !matches!(item.data, Data::Map(_)) {
            self.wrong(
                item,
                format!("expected a transformer: `name:` and `parameters:`; this is {}", item.described()),
            );
            return None;
        }
        TRANSFORMER_KEYS.warn_of_others(item, self.warnings);
        let parameters = item.get("parameters");
        if parameters.is_none() {
            self.wrong(item, "a transformer needs `parameters:`; write `parameters: {}` for none");
        }
        let Some(name) = item.get("name") else {
            self.wrong(item, "a transformer needs `name:`");
            return None;
        };
        let names = || KNOWN.map(|known| known.name).join(", ");
        let Some(known) = KNOWN.iter().find(|known| name.as_str() == Some(known.name)) else {
            let meant = did_you_mean(&name.key_text(), KNOWN.iter().map(|known| known.name));
            self.wrong(name, format!("there is no transformer {}{meant}; there are {}", name.key_shown(), names()));
            return None;
        };
        let parameters = parameters?;
        if parameters.is_truthy() && !matches!(parameters.data, Data::Map(_)) {
            let found = parameters.described();
            self.wrong(parameters, format!("expected the parameters of {} as a mapping, this is {found}", known.name));
            return None;
        }
        self.passed_over(parameters, known.parameters, &format!("a parameter of {}", known.name));
        let before = self.errors.len();
        let told = self.told(known, parameters, &item.place);
        (self.errors.len() == before).then(|| Transformer {
            name: known.name,
            place: item.place.clone(),
            digest: digest(known.name, &parameters.to_value()),
            told,
        })
    }

    fn told(&mut self, known: &Known, parameters: &Node, place: &Place) -> Told {
        let source = self.part(parameters, "source", known.source, known.name);
        let target = self.part(parameters, "target", known.target, known.name);
        match known.name {
            "unit_conversion" => {
                let unit = source.and_then(|source| source.get("unit"));
                Told::UnitConversion { unit: unit.map(Node::to_value), scaling: self.scaling(source, target) }
            }
            "rate_of_change" => {
                let mut scaling = self.scaling(source, target);
                // Ceilometer's default is the expression `1`, not the volume.
                if matches!(scaling.scale, Scale::Same) {
                    scaling.scale = Scale::One;
                }
                Told::RateOfChange(scaling)
            }
            "delta" => Told::Delta(Delta {
                name: self.naming(source, target, "name"),
                growth_only: parameters.get("growth_only").is_some_and(Node::is_truthy),
            }),
            "accumulator" => Told::Accumulator { size: self.accumulator_size(parameters, place) },
            "aggregator" => Told::Aggregator(self.aggregating(parameters, source, target)),
            _ => Told::Arithmetic(self.formula(target, place)),
        }
    }

    /// Names what is not looked at, which Ceilometer does silently.
    fn passed_over(&mut self, node: &Node, known: &[&str], what: &str) {
        Keys { what, known, elsewhere: &[], foreign: &[] }.warn_of_others(node, self.warnings);
    }

    /// `source` or `target`.
    fn part<'n>(&mut self, parameters: &'n Node, key: &str, known: &[&str], of: &str) -> Option<&'n Node> {
        let node = parameters.get(key).filter(|node| node.is_truthy())?;
        if known.is_empty() {
            return None;
        }
        if !matches!(node.data, Data::Map(_)) {
            let found = node.described();
            self.wrong(node, format!("expected `{key}:` as a mapping of {}, this is {found}", known.join(", ")));
            return None;
        }
        self.passed_over(node, known, &format!("part of the {key} of {of}"));
        Some(node)
    }

    fn scaling(&mut self, source: Option<&Node>, target: Option<&Node>) -> Scaling {
        Scaling {
            name: self.naming(source, target, "name"),
            unit: self.naming(source, target, "unit"),
            kind: self.kind(target),
            scale: self.scale(target),
            max: self.max(target),
        }
    }

    /// Where a name or unit comes from.
    fn naming(&mut self, source: Option<&Node>, target: Option<&Node>, attribute: &str) -> Naming {
        let mut map = |part: Option<&Node>, key: &str| {
            let node = part?.get(key).filter(|node| node.is_truthy()).cloned()?;
            if matches!(node.data, Data::Map(_)) {
                return Some(node);
            }
            // Said once, for the name.
            if attribute == "name" {
                self.wrong(&node, format!("expected `{key}:` as a mapping of name and unit"));
            }
            None
        };
        let (from, to) = (map(source, "map_from"), map(target, "map_to"));
        let entry = |map: &Option<Node>| map.as_ref()?.get(attribute).filter(|node| node.is_truthy()).cloned();
        let map = match (entry(&from), entry(&to)) {
            (Some(from), Some(to)) => self.substitution(&from, &to),
            (Some(alone), None) => {
                self.warn(&alone.place, format!("map_from has {attribute}, map_to has not: nothing is mapped"));
                None
            }
            (None, Some(alone)) => {
                self.warn(&alone.place, format!("map_to has {attribute}, map_from has not: nothing is mapped"));
                None
            }
            (None, None) => None,
        };
        let written = target.and_then(|target| target.get(attribute));
        if attribute == "name"
            && let Some(wrong) = written.filter(|name| name.as_str().is_none_or(str::is_empty))
        {
            self.wrong(wrong, "the name of a meter is text; leave it out to keep the name");
        }
        if let Some(wrong) = written.filter(|node| node.scalar().is_none()) {
            self.wrong(wrong, format!("expected the {attribute} as text"));
        }
        if map.is_some()
            && let Some(written) = written
        {
            let text = format!("{attribute} does nothing beside map_from and map_to, which make it");
            self.warn(&written.place, text);
        }
        Naming { map, target: written.map(Node::to_value) }
    }

    /// A map; one that is no regular expression maps nothing, as in Ceilometer.
    fn substitution(&mut self, from: &Node, to: &Node) -> Option<Substitution> {
        let (Some(pattern), Some(replacement)) = (from.as_str(), to.as_str()) else {
            self.warn(&from.place, "a map is of text to text: nothing is mapped");
            return None;
        };
        let made = Substitution::new(pattern, replacement);
        let tried = made.and_then(|map| map.apply("", &mut |_| Ok(())).map(|_| map));
        tried
            .map_err(|raised| self.warn(&from.place, format!("cannot map by {pattern:?}: {raised}; nothing is mapped")))
            .ok()
    }

    fn kind(&mut self, target: Option<&Node>) -> Option<SampleType> {
        let node = target?.get("type")?;
        let kind = node.as_str().and_then(SampleType::from_name);
        if kind.is_none() {
            self.wrong(node, "expected gauge, delta or cumulative; leave it out to keep the type");
        }
        kind
    }

    fn scale(&mut self, target: Option<&Node>) -> Scale {
        let Some(node) = target.and_then(|target| target.get("scale")) else { return Scale::Same };
        match node.scalar() {
            Some(Value::Str(text)) if !text.is_empty() => match Expression::of_fields(text) {
                Ok(expression) => Scale::Of(expression),
                Err(error) => {
                    self.wrong(node, format!("cannot read the expression {text:?}: {error}"));
                    Scale::Same
                }
            },
            Some(value @ (Value::Bool(_) | Value::Int(_) | Value::Big(_) | Value::Float(_))) if value.is_truthy() => {
                Scale::Factor(value.clone())
            }
            Some(value) => {
                if !value.is_null() {
                    self.warn(&node.place, "a scale of nothing is passed over: volumes stay as they are");
                }
                Scale::Same
            }
            None => {
                self.wrong(node, "expected the scale as a number or an expression");
                Scale::Same
            }
        }
    }

    fn max(&mut self, target: Option<&Node>) -> Option<Value> {
        let node = target?.get("max").filter(|node| !node.scalar().is_some_and(Value::is_null))?;
        match node.scalar() {
            Some(value @ (Value::Int(_) | Value::Big(_) | Value::Float(_))) if value.is_truthy() => Some(value.clone()),
            Some(Value::Int(_) | Value::Float(_)) => {
                self.warn(&node.place, "a max of 0 is no limit");
                None
            }
            _ => {
                self.wrong(node, "expected max as a number");
                None
            }
        }
    }

    fn accumulator_size(&mut self, parameters: &Node, place: &Place) -> f64 {
        let Some(node) = parameters.get("size") else { return 1.0 };
        let number = node.scalar().filter(|value| !matches!(value, Value::Str(_) | Value::Null));
        let Some(size) = number.and_then(|value| python::float(value).ok()).filter(|size| !size.is_nan()) else {
            self.wrong(node, "expected size as a number of samples");
            return 1.0;
        };
        if size < 1.0 {
            self.warn(place, "an accumulator of less than one sample holds none: samples pass as they are");
        }
        size
    }

    fn aggregating(&mut self, parameters: &Node, source: Option<&Node>, target: Option<&Node>) -> Aggregating {
        let size = match parameters.get("size").filter(|node| node.scalar().is_none_or(Value::is_truthy)) {
            None if parameters.get("size").is_none() => Some(1),
            None => None,
            Some(node) => {
                let size = node.scalar().and_then(|value| python::int(value).ok());
                if size.is_none() {
                    self.wrong(node, "expected size as a number of samples, or null for no limit");
                }
                match size {
                    Some(Value::Int(0)) => None,
                    Some(Value::Int(size)) => Some(size),
                    _ => Some(i64::MAX),
                }
            }
        };
        let retention = self.retention(parameters);
        let last_timestamp = match parameters.get("timestamp") {
            None => false,
            Some(node) => {
                if !matches!(node.as_str(), Some("first" | "last")) {
                    self.warn(&node.place, "expected timestamp as first or last; first is used");
                }
                node.as_str() == Some("last")
            }
        };
        Aggregating {
            scaling: self.scaling(source, target),
            // With neither, every flush gives out what there is.
            size: if size.is_none() && retention.is_none() { Some(1) } else { size },
            retention,
            last_timestamp,
            project_id: self.policy(parameters, "project_id", false),
            user_id: self.policy(parameters, "user_id", false),
            resource_metadata: self.policy(parameters, "resource_metadata", true).unwrap_or_default(),
        }
    }

    /// The retention time in microseconds.
    fn retention(&mut self, parameters: &Node) -> Option<i64> {
        let node = parameters.get("retention_time").filter(|node| node.is_truthy())?;
        let seconds = node.scalar().and_then(|value| python::float(value).ok()).filter(|s| s.abs() < 1e12);
        let Some(seconds) = seconds else {
            self.wrong(node, "expected retention_time as a number of seconds");
            return None;
        };
        #[expect(clippy::cast_possible_truncation, reason = "below 1e18")]
        let micros = (seconds * 1e6).round_ties_even() as i64;
        (seconds != 0.0).then_some(micros)
    }

    fn policy(&mut self, parameters: &Node, key: &str, droppable: bool) -> Option<Policy> {
        let node = parameters.get(key);
        if !droppable && !node.is_some_and(Node::is_truthy) {
            return None;
        }
        match node.map(|node| (node, node.as_str())) {
            None | Some((_, Some("last"))) => Some(Policy::Last),
            Some((_, Some("first"))) => Some(Policy::First),
            Some((_, Some("drop"))) if droppable => Some(Policy::Drop),
            Some((node, _)) => {
                let drop = if droppable { ", drop" } else { "" };
                self.warn(&node.place, format!("expected {key} as first, last{drop}; last is used"));
                Some(Policy::Last)
            }
        }
    }

    fn formula(&mut self, target: Option<&Node>, place: &Place) -> Option<Formula> {
        let nothing = "arithmetic needs `target: {expr: \"…\"}` with a meter in it, as $(memory.usage); without it, it \
                       swallows every sample and makes none";
        let node = target.and_then(|target| target.get("expr"));
        let Some(text) = node.map_or(Some(""), Node::as_str) else {
            node.into_iter().for_each(|node| self.wrong(node, "expected expr as text"));
            return None;
        };
        let kind = self.kind(target);
        let naming = (self.naming(None, target, "name").target, self.naming(None, target, "unit").target);
        if text.is_empty() {
            self.warn(node.map_or(place, |node| &node.place), nothing);
            return None;
        }
        match Expression::of_meters(text) {
            Ok((_, meters)) if meters.names().len() == 0 => {
                self.warn(node.map_or(place, |node| &node.place), nothing);
                None
            }
            Ok((expression, meters)) => {
                let name = naming.0.as_ref().and_then(Value::as_str).map(Text::from);
                Some(Formula { expression, meters, name, unit: naming.1, kind })
            }
            Err(error) => {
                let text = format!("cannot read the expression {text:?}: {error}");
                node.into_iter().for_each(|node| self.wrong(node, text.as_str()));
                None
            }
        }
    }
}
