//! One transformer at work: what it was told, and what it keeps.

use super::Failure;
use super::definition::{Told, Transformer};
use super::kinds::accumulator::{self, Held};
use super::kinds::aggregator::Aggregator;
use super::kinds::arithmetic::Arithmetic;
use super::kinds::change::{self, Point};
use super::scope::{Scope, shown};
use super::store::{Keep, Store};
use crate::model::python;
use crate::model::{Sample, Value};

/// What a transformer keeps.
#[derive(Debug)]
pub(super) enum Work {
    Nothing,
    Points(Store<Point>),
    Held(Store<Held>),
    Aggregator(Aggregator),
    Arithmetic(Arithmetic),
}

impl Work {
    pub(super) fn new(transformer: &Transformer) -> Work {
        match &transformer.told {
            Told::UnitConversion { .. } | Told::Arithmetic(None) => Work::Nothing,
            Told::RateOfChange(_) | Told::Delta(_) => Work::Points(Store::default()),
            Told::Accumulator { .. } => Work::Held(Store::default()),
            Told::Aggregator(_) => Work::Aggregator(Aggregator::default()),
            Told::Arithmetic(Some(_)) => Work::Arithmetic(Arithmetic::default()),
        }
    }

    /// What becomes of a sample: nothing if it is left out or kept for the flush. The error says what failed, and with
    /// which sample.
    pub(super) fn handle(
        &mut self,
        told: &Told,
        sample: Sample,
        scope: &mut Scope<'_>,
    ) -> Result<Option<Sample>, String> {
        let made = match (told, self) {
            (Told::UnitConversion { unit: Some(unit), .. }, _) if !python::equal(unit, &sample.unit) => {
                return Ok(Some(sample));
            }
            (Told::UnitConversion { scaling, .. }, _) => scaling.convert(&sample, &Value::Int(1), scope).map(Some),
            (Told::RateOfChange(scaling), Work::Points(points)) => change::rate(scaling, points, &sample, scope),
            (Told::Delta(delta), Work::Points(points)) => change::delta(delta, points, &sample, scope),
            (Told::Aggregator(told), Work::Aggregator(aggregator)) => {
                aggregator.add(told, &sample, scope).map(|()| None)
            }
            (Told::Accumulator { size }, Work::Held(held)) if *size >= 1.0 => {
                accumulator::hold(held, sample, scope);
                return Ok(None);
            }
            (Told::Arithmetic(Some(formula)), Work::Arithmetic(arithmetic)) => {
                arithmetic.see(formula, sample, scope);
                return Ok(None);
            }
            (Told::Arithmetic(None), _) => return Ok(None),
            (_, _) => return Ok(Some(sample)),
        };
        made.map_err(|failure| format!("{failure}; {} is left out", shown(&sample)))
    }

    /// What is given out at the end of a scope; with `early`, also what would wait for more.
    pub(super) fn flush(&mut self, told: &Told, early: bool, scope: &mut Scope<'_>) -> Result<Vec<Sample>, Failure> {
        match (told, self) {
            (Told::Accumulator { size }, Work::Held(held)) if early || held.len() as f64 >= *size => {
                Ok(accumulator::release(held))
            }
            (Told::Aggregator(told), Work::Aggregator(aggregator)) if early || aggregator.is_due(told, scope.now) => {
                aggregator.flush(told, scope)
            }
            (Told::Arithmetic(Some(formula)), Work::Arithmetic(arithmetic)) => Ok(arithmetic.flush(formula, scope)),
            _ => Ok(Vec::new()),
        }
    }

    /// Whether what is kept is data to be given out, not memory of the past.
    pub(super) fn holds_data(&self) -> bool {
        matches!(self, Work::Held(_) | Work::Aggregator(_))
    }

    pub(super) fn kept(&self) -> Option<&dyn Keep> {
        match self {
            Work::Nothing => None,
            Work::Points(points) => Some(points),
            Work::Held(held) => Some(held),
            Work::Aggregator(aggregator) => Some(&aggregator.aggregates),
            Work::Arithmetic(arithmetic) => Some(&arithmetic.latest),
        }
    }

    pub(super) fn kept_mut(&mut self) -> Option<&mut dyn Keep> {
        match self {
            Work::Nothing => None,
            Work::Points(points) => Some(points),
            Work::Held(held) => Some(held),
            Work::Aggregator(aggregator) => Some(&mut aggregator.aggregates),
            Work::Arithmetic(arithmetic) => Some(&mut arithmetic.latest),
        }
    }

    /// After what is kept was changed from outside: sums are made again.
    pub(super) fn recount(&mut self) {
        match self {
            Work::Nothing | Work::Points(_) | Work::Held(_) | Work::Arithmetic(_) => {}
            Work::Aggregator(aggregator) => aggregator.recount(),
        }
    }
}
