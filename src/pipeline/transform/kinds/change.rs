//! `rate_of_change` and `delta`: what became of a volume since the last sample of its meter and resource.

use super::naming::Naming;
use super::scaling::Scaling;
use crate::model::python::{self, Comparison, Operator, Raised};
use crate::model::{Dict, Sample, SampleType, Value, time};
use crate::pipeline::transform::Failure;
use crate::pipeline::transform::scope::{Draft, Scope, shown};
use crate::pipeline::transform::store::{Address, Kept, Store, address};

/// The last sample of a meter and resource.
#[derive(Debug, Clone)]
pub(in crate::pipeline::transform) struct Point {
    volume: Value,
    /// Microseconds since 1970.
    time: i64,
    monotonic_time: Value,
}

impl Kept for Point {
    fn write(&self) -> Dict {
        Dict::from_iter([
            ("volume", self.volume.clone()),
            ("time", Value::Int(self.time)),
            ("monotonic_time", self.monotonic_time.clone()),
        ])
    }

    fn read(mut dict: Dict) -> Option<Point> {
        let (volume, monotonic_time) = (dict.remove("volume")?, dict.remove("monotonic_time")?);
        match dict.remove("time")? {
            Value::Int(time) => Some(Point { volume, time, monotonic_time }),
            _ => None,
        }
    }
}

/// Where the point of a sample is, and the sample as a point.
///
/// Ceilometer joins name and resource into one text, so that `a` of `bc` meets `ab` of `c`; here each is its own.
fn point_of(sample: &Sample) -> Result<(Address, Point), Failure> {
    let Some(resource) = sample.resource_id.as_str() else {
        return Err(Failure::from(Raised::new("TypeError", "the resource id is no text")));
    };
    let time = instant(&sample.timestamp)?;
    let point = Point { volume: slim(&sample.volume), time, monotonic_time: slim(&sample.monotonic_time) };
    Ok((address(resource, &sample.name), point))
}

/// A value to be kept. What is no number only ever raises a `TypeError`, for which its beginning is enough.
fn slim(value: &Value) -> Value {
    const TEXT_CHARS_MAX: usize = 64;
    match value {
        Value::Str(text) => Value::from(text.chars().take(TEXT_CHARS_MAX).collect::<String>()),
        Value::List(_) => Value::List(Vec::new()),
        Value::Dict(_) => Value::Dict(Dict::new()),
        number => number.clone(),
    }
}

/// A timestamp in microseconds since 1970.
pub(in crate::pipeline::transform) fn instant(timestamp: &str) -> Result<i64, Raised> {
    let parsed = time::parse(timestamp).ok_or_else(|| {
        let cut: String = timestamp.chars().take(60).collect();
        Raised::new("ValueError", format!("unable to parse date string {cut:?}"))
    })?;
    Ok(parsed.timestamp_micros())
}

/// The seconds between two points by their timestamps, as Ceilometer's `delta_seconds`.
fn seconds_between(earlier: &Point, later: &Point) -> Result<Value, Raised> {
    python::divide(&Value::Int(later.time.saturating_sub(earlier.time)), &Value::Int(1_000_000))
}

fn is_negative(value: &Value) -> Result<bool, Raised> {
    python::compare(Comparison::Less, value, &Value::Int(0))
}

/// Puts the point in, and gives the one before and the seconds since, unless those run backwards: then the point
/// before stays. The point stays in even if what follows fails, as in Ceilometer.
fn advance(
    points: &mut Store<Point>,
    sample: &Sample,
    elapsed: impl Fn(&Point, &Point) -> Result<Value, Raised>,
    scope: &mut Scope<'_>,
) -> Result<Option<(Point, Value)>, Failure> {
    let (address, point) = point_of(sample)?;
    let Some(before) = points.get(&address).cloned() else {
        points.put(&address, scope.now, point);
        return Ok(None);
    };
    let elapsed = elapsed(&before, &point).and_then(|elapsed| Ok((is_negative(&elapsed)?, elapsed)));
    match elapsed {
        Ok((true, _)) => {
            scope.warn(&format!("left out {}: it is older than the last one", shown(sample)));
            Ok(None)
        }
        Ok((false, elapsed)) => {
            points.put(&address, scope.now, point);
            Ok(Some((before, elapsed)))
        }
        Err(raised) => {
            points.put(&address, scope.now, point);
            Err(raised.into())
        }
    }
}

/// `rate_of_change`: volume per second, scaled.
pub(in crate::pipeline::transform) fn rate(
    scaling: &Scaling,
    points: &mut Store<Point>,
    sample: &Sample,
    scope: &mut Scope<'_>,
) -> Result<Option<Sample>, Failure> {
    let elapsed = |before: &Point, now: &Point| {
        if before.monotonic_time.is_null() || now.monotonic_time.is_null() {
            return seconds_between(before, now);
        }
        python::arithmetic(Operator::Subtract, &now.monotonic_time, &before.monotonic_time)
    };
    let Some((before, elapsed)) = advance(points, sample, elapsed, scope)? else { return Ok(None) };
    // A cumulative volume that falls was reset: what it is now is the least that was added.
    let risen = python::compare(Comparison::LessOrEqual, &before.volume, &sample.volume)?;
    let growth = if risen || sample.kind != SampleType::Cumulative {
        python::arithmetic(Operator::Subtract, &sample.volume, &before.volume)?
    } else {
        sample.volume.clone()
    };
    let rate = if elapsed.is_truthy() {
        let growth = python::arithmetic(Operator::Multiply, &Value::Float(1.0), &growth)?;
        python::divide(&growth, &elapsed)?
    } else {
        Value::Float(0.0)
    };
    scaling.convert(sample, &rate, scope).map(Some)
}

/// What `delta` is told.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline::transform) struct Delta {
    pub(in crate::pipeline::transform) name: Naming,
    pub(in crate::pipeline::transform) growth_only: bool,
}

/// `delta`: the difference of volumes.
pub(in crate::pipeline::transform) fn delta(
    told: &Delta,
    points: &mut Store<Point>,
    sample: &Sample,
    scope: &mut Scope<'_>,
) -> Result<Option<Sample>, Failure> {
    let Some((before, _)) = advance(points, sample, seconds_between, scope)? else { return Ok(None) };
    let difference = python::bounded(python::arithmetic(Operator::Subtract, &sample.volume, &before.volume)?)?;
    if told.growth_only && is_negative(&difference)? {
        return Ok(None);
    }
    let draft = Draft {
        name: told.name.name(&sample.name)?,
        unit: sample.unit.clone(),
        kind: SampleType::Delta,
        volume: difference,
    };
    Ok(Some(scope.make(sample, draft)))
}
