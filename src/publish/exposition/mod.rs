//! Samples in the text format of Prometheus (version 0.0.4): names, labels and values as `prometheus://` and
//! `prometheus-scrape://` share them (Ceilometer reference §6.4).
//!
//! Every name that comes out is valid, every label escaped, every value a number that Go reads.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::python::str_scalar;
use crate::model::python::{float, str as python_str, write_float};
use crate::model::{Sample, SampleType, Value};

/// One line of a page, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The metric's name.
    pub name: String,
    /// The labels between the braces, escaped.
    pub labels: String,
    /// The value, as it is written.
    pub value: String,
    /// What `# TYPE` says of it; a change since the last sample has no type of Prometheus.
    pub kind: Option<&'static str>,
}

impl Line {
    /// Of a sample; `Err` is why there is none.
    pub(super) fn of(sample: &Sample) -> Result<Line, String> {
        Ok(Line {
            name: metric_name(&sample.name),
            labels: labels(sample),
            value: number(&sample.volume)?,
            kind: match sample.kind {
                SampleType::Cumulative => Some("counter"),
                SampleType::Gauge => Some("gauge"),
                SampleType::Delta => None,
            },
        })
    }

    /// Appends the line.
    pub(super) fn write(&self, out: &mut String) {
        let Line { name, labels, value, .. } = self;
        // Writing to a String cannot fail; the same holds below.
        let _ = writeln!(out, "{name}{{{labels}}} {value}");
    }
}

/// Appends the lines of one metric with its type: that of the first line that has one.
pub(super) fn write_metric(lines: &[&Line], out: &mut String) {
    if let Some((name, kind)) = lines.iter().find_map(|line| Some((&line.name, line.kind?))) {
        let _ = writeln!(out, "# TYPE {name} {kind}");
    }
    lines.iter().for_each(|line| line.write(out));
}

/// A meter's name as a metric's: what Prometheus does not allow becomes `_`.
fn metric_name(meter: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut name: String = meter.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

fn labels(sample: &Sample) -> String {
    let mut out = String::with_capacity(160);
    let pairs =
        [("resource_id", &sample.resource_id), ("user_id", &sample.user_id), ("project_id", &sample.project_id)];
    for (n, (label, value)) in pairs.into_iter().enumerate() {
        out.push_str(if n > 0 { ", " } else { "" });
        out.push_str(label);
        out.push_str("=\"");
        for c in text(value).chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
    }
    out
}

/// A field as text: `None` where there is nothing, as Ceilometer writes it.
pub(super) fn text(value: &Value) -> Cow<'_, str> {
    python_str(value).unwrap_or(Cow::Borrowed(""))
}

/// A volume as Go reads it: an integer keeps its digits.
fn number(volume: &Value) -> Result<String, String> {
    let read = float(volume).ok();
    let number = read.ok_or("the volume is no number, or beyond the largest double")?;
    let mut out = String::new();
    match (volume, number) {
        (_, f64::INFINITY) => out.push_str("+Inf"),
        (_, f64::NEG_INFINITY) => out.push_str("-Inf"),
        (_, nan) if nan.is_nan() => out.push_str("NaN"),
        (Value::Int(_) | Value::Big(_), _) => str_scalar(volume, &mut out),
        (_, number) => write_float(number, &mut out),
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
