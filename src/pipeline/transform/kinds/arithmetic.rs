//! `arithmetic`: one sample of several meters of a resource, by an expression.

use crate::model::python::{self, Raised};
use crate::model::{Dict, Sample, SampleType, Text, Value, grouping_text, json, time};
use crate::pipeline::transform::expression::{Expression, Meters, Seed};
use crate::pipeline::transform::scope::{Draft, Scope, shown};
use crate::pipeline::transform::store::{Address, Kept, Store, address};
use std::collections::BTreeMap;

/// What arithmetic is told.
#[derive(Debug, Clone)]
pub(in crate::pipeline::transform) struct Formula {
    pub(in crate::pipeline::transform) expression: Expression,
    pub(in crate::pipeline::transform) meters: Meters,
    pub(in crate::pipeline::transform) name: Option<Text>,
    pub(in crate::pipeline::transform) unit: Option<Value>,
    pub(in crate::pipeline::transform) kind: Option<SampleType>,
}

/// The newest sample of a meter of a resource.
#[derive(Debug)]
pub(in crate::pipeline::transform) struct Latest {
    order: Order,
    sample: Sample,
}

/// The place of a resource among all: when its first sample came, and as which of the new ones in that scope. It
/// depends on nothing that is not in cells.
type Order = (i64, i64);

impl Kept for Latest {
    fn write(&self) -> Dict {
        let order = vec![Value::Int(self.order.0), Value::Int(self.order.1)];
        Dict::from_iter([("order", Value::List(order)), ("sample", Value::Dict(self.sample.as_dict()))])
    }

    fn read(mut dict: Dict) -> Option<Latest> {
        let order = match dict.remove("order")?.as_list()? {
            [Value::Int(at), Value::Int(n)] => (*at, *n),
            _ => return None,
        };
        match dict.remove("sample")? {
            Value::Dict(sample) => Some(Latest { order, sample: Sample::from_dict(sample).ok()? }),
            _ => None,
        }
    }
}

/// Arithmetic at work.
#[derive(Debug, Default)]
pub(in crate::pipeline::transform) struct Arithmetic {
    pub(in crate::pipeline::transform) latest: Store<Latest>,
    /// The resources that this scope brought something of, with their places.
    seen: BTreeMap<(Box<str>, Box<str>), Order>,
    /// How many of them were new.
    new: i64,
    /// The timestamp of the last sample in this scope, whatever it was of.
    timestamp: Text,
}

impl Arithmetic {
    /// Takes a sample in, if its meter is needed. Nothing comes out before the flush.
    pub(in crate::pipeline::transform) fn see(&mut self, formula: &Formula, sample: Sample, scope: &Scope<'_>) {
        self.timestamp = sample.timestamp.detached();
        if !formula.meters.names().any(|name| name == sample.name) {
            return;
        }
        let resource: (Box<str>, Box<str>) = (grouping_text(&sample.resource_id).into(), suffix(&sample.resource_id));
        let known = formula.meters.names().find_map(|name| Some(self.latest.get(&place(&resource, name))?.order));
        let order = known.unwrap_or_else(|| {
            self.new = self.new.saturating_add(1);
            (scope.now, self.new)
        });
        let address = place(&resource, &sample.name);
        self.latest.put(&address, scope.now, Latest { order, sample: sample.detached() });
        self.seen.insert(resource, order);
    }

    /// What the resources come to that have all their meters now; these begin anew, also where they come to nothing.
    pub(in crate::pipeline::transform) fn flush(&mut self, formula: &Formula, scope: &mut Scope<'_>) -> Vec<Sample> {
        // Only a resource that this scope brought something of can have become whole.
        let mut seen: Vec<_> = std::mem::take(&mut self.seen).into_iter().collect();
        self.new = 0;
        seen.sort_by_key(|(_, order)| *order);
        let mut made = Vec::new();
        for (resource, _) in seen {
            let addresses: Vec<Address> = formula.meters.names().map(|name| place(&resource, name)).collect();
            if !addresses.iter().all(|address| self.latest.get(address).is_some()) {
                continue;
            }
            let samples: Vec<Sample> =
                addresses.iter().filter_map(|at| self.latest.remove(at)).map(|latest| latest.sample).collect();
            let Some(reference) = samples.first() else { continue };
            match volume(formula, &samples) {
                Ok(volume) => made.push(self.sample(formula, reference, &samples, volume, scope)),
                Err(why) => scope.complain(&format!("{why}; nothing is made for {}", shown(reference))),
            }
        }
        made
    }

    fn sample(
        &self,
        formula: &Formula,
        reference: &Sample,
        samples: &[Sample],
        volume: f64,
        scope: &mut Scope<'_>,
    ) -> Sample {
        let draft = Draft {
            name: formula.name.clone().unwrap_or_else(|| reference.name.clone()),
            unit: formula.unit.clone().unwrap_or_else(|| reference.unit.clone()),
            kind: formula.kind.unwrap_or(reference.kind),
            volume: Value::Float(volume),
        };
        let mut made = scope.make(reference, draft);
        if scope.options.repairs.arithmetic_timestamps {
            let newest = samples.iter().max_by_key(|sample| time::parse(&sample.timestamp));
            newest.into_iter().for_each(|sample| made.timestamp.clone_from(&sample.timestamp));
        } else {
            made.timestamp.clone_from(&self.timestamp);
        }
        made
    }
}

/// The value of the expression as a float; what is no number, or NaN, is an error.
fn volume(formula: &Formula, samples: &[Sample]) -> Result<f64, String> {
    let named: Vec<(&str, &Sample)> =
        formula.meters.identifiers().map(|(_, identifier)| identifier).zip(samples).collect();
    let value = formula.expression.evaluate(Seed::Samples(&named)).map_err(|error| error.to_string())?;
    let number = match &value {
        Value::Str(_) => Err(Raised::new("TypeError", "the result is a text, not a number")),
        value => python::float(value),
    };
    match number {
        Ok(number) if number.is_nan() => Err("the expression came to NaN".to_owned()),
        Ok(number) => Ok(number),
        Err(raised) => Err(raised.to_string()),
    }
}

/// What tells resources apart whose text is the same: `5` and `"5"`.
fn suffix(resource: &Value) -> Box<str> {
    match resource {
        Value::Str(_) => "".into(),
        other => format!("\n{}", json::to_string(other)).into(),
    }
}

/// Where the newest sample of a meter is.
fn place((resource, suffix): &(Box<str>, Box<str>), meter: &str) -> Address {
    address(resource, &format!("{meter}{suffix}"))
}
