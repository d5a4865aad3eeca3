//! What `unit_conversion`, `rate_of_change` and `aggregator` share: a new volume, name, unit and type.

use super::naming::Naming;
use crate::model::python::{self, Comparison, Operator, Raised, type_name};
use crate::model::{Sample, SampleType, Value};
use crate::pipeline::transform::Failure;
use crate::pipeline::transform::expression::{Expression, Seed};
use crate::pipeline::transform::scope::{Draft, Scope};

/// `target`, with the maps.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline::transform) struct Scaling {
    pub(in crate::pipeline::transform) name: Naming,
    pub(in crate::pipeline::transform) unit: Naming,
    pub(in crate::pipeline::transform) kind: Option<SampleType>,
    pub(in crate::pipeline::transform) scale: Scale,
    /// The largest volume; nothing is no limit.
    pub(in crate::pipeline::transform) max: Option<Value>,
}

/// `target.scale`.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline::transform) enum Scale {
    /// The volume as it is.
    #[default]
    Same,
    /// 1, so that what it is multiplied with stays: a rate.
    One,
    /// The volume times a number.
    Factor(Value),
    /// The value of an expression.
    Of(Expression),
}

impl Scaling {
    /// The scaled volume of a sample.
    pub(in crate::pipeline::transform) fn scaled(&self, sample: &Sample) -> Result<Value, Failure> {
        match &self.scale {
            Scale::Same => Ok(sample.volume.clone()),
            Scale::One => Ok(Value::Int(1)),
            Scale::Factor(factor) => Ok(multiply(&sample.volume, factor)?),
            Scale::Of(expression) => Ok(expression.evaluate(Seed::Fields(sample))?),
        }
    }

    /// The sample that a sample becomes, its scaled volume times `growth`.
    pub(in crate::pipeline::transform) fn convert(
        &self,
        sample: &Sample,
        growth: &Value,
        scope: &mut Scope<'_>,
    ) -> Result<Sample, Failure> {
        let volume = multiply(&self.scaled(sample)?, growth)?;
        let volume = match &self.max {
            Some(max) if python::compare(Comparison::Less, max, &volume)? => max.clone(),
            _ => volume,
        };
        let draft = Draft {
            name: self.name.name(&sample.name)?,
            unit: self.unit.of(&sample.unit)?,
            kind: self.kind.unwrap_or(sample.kind),
            volume,
        };
        Ok(scope.make(sample, draft))
    }
}

/// A product that can be a volume.
pub(in crate::pipeline::transform) fn multiply(volume: &Value, factor: &Value) -> Result<Value, Raised> {
    let product = python::bounded(python::arithmetic(Operator::Multiply, volume, factor)?)?;
    match product {
        Value::List(_) | Value::Dict(_) | Value::Null => {
            Err(Raised::new("TypeError", format!("a '{}' is no volume", type_name(&product))))
        }
        product => Ok(product),
    }
}
