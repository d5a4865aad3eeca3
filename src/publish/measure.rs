//! What a time series needs of a sample: a number and a moment.

use num_bigint::BigInt;

use super::outcome::Refused;
use crate::model::{Sample, Value, json, number, time};

/// A sample that can be a point of a time series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point<'s> {
    /// Its position in the batch.
    pub position: usize,
    /// The sample.
    pub sample: &'s Sample,
    /// Its volume.
    pub number: Number,
    /// Nanoseconds since 1970, UTC.
    pub nanoseconds: u64,
}

/// A volume, as exact as 64 bits can have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// An integer.
    Int(i64),
    /// Everything else, `NaN` and the infinities included.
    Float(f64),
}

impl Number {
    /// As a float; beyond 2⁵³ the nearest one.
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Number::Int(int) => int as f64,
            Number::Float(float) => float,
        }
    }
}

/// The samples of a batch that have a number and a moment, in order; the others are refused, each with its cause.
pub(super) fn points(samples: &[Sample]) -> (Vec<Point<'_>>, Vec<Refused>) {
    let (mut points, mut refused) = (Vec::with_capacity(samples.len()), Vec::new());
    for (position, sample) in samples.iter().enumerate() {
        match point(position, sample) {
            Ok(point) => points.push(point),
            Err(cause) => refused.push(Refused { record: position, cause }),
        }
    }
    (points, refused)
}

fn point(position: usize, sample: &Sample) -> Result<Point<'_>, String> {
    let number = volume(&sample.volume).ok_or("the volume is no number; correct the meter's definition")?;
    let moment = time::parse(&sample.timestamp).and_then(|time| time.timestamp_nanos_opt());
    let nanoseconds = moment
        .and_then(|nanoseconds| u64::try_from(nanoseconds).ok())
        .ok_or("the timestamp is no time between 1970 and 2262; correct the meter's definition")?;
    Ok(Point { position, sample, number, nanoseconds })
}

fn volume(volume: &Value) -> Option<Number> {
    match volume {
        Value::Int(int) => Some(Number::Int(*int)),
        Value::Bool(truth) => Some(Number::Int(i64::from(*truth))),
        Value::Float(float) => Some(Number::Float(*float)),
        Value::Big(big) => float(big).map(Number::Float),
        Value::Str(text) => number::float_of_text(text).map(Number::Float),
        Value::Null | Value::List(_) | Value::Dict(_) => None,
    }
}

/// The nearest float.
fn float(big: &BigInt) -> Option<f64> {
    big.to_string().parse().ok()
}

/// An id or name as text; nothing where there is none.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Str(text) => Some(text.to_string()),
        other => Some(json::to_string(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::record::tests::sample;
    use rstest::rstest;

    #[rstest]
    #[case(Value::Int(i64::MAX), Some(Number::Int(i64::MAX)))]
    #[case(Value::from(true), Some(Number::Int(1)))]
    #[case(Value::from(f64::INFINITY), Some(Number::Float(f64::INFINITY)))]
    #[case(Value::integer(BigInt::from(u64::MAX)), Some(Number::Float(18_446_744_073_709_551_615.0)))]
    #[case(Value::from(" 1_0.5"), Some(Number::Float(10.5)))]
    #[case(Value::from("ten"), None)]
    #[case(Value::Null, None)]
    fn volumes(#[case] value: Value, #[case] expected: Option<Number>) {
        assert_eq!(volume(&value), expected);
    }

    #[rstest]
    #[case("2020-01-01T00:00:00.5+01:00", Some(1_577_833_200_500_000_000))]
    #[case("1969-12-31T23:59:59", None)]
    #[case("9999-01-01T00:00:00", None)]
    #[case("yesterday", None)]
    fn moments(#[case] timestamp: &str, #[case] expected: Option<u64>) {
        let mut sample = sample("cpu", "1");
        sample.timestamp = timestamp.into();
        assert_eq!(point(0, &sample).ok().map(|point| point.nanoseconds), expected);
    }
}
