//! Samples that a polling agent already made, unwrapped (Ceilometer reference §4.4, TelemetryIpc). Ceilometer
//! looks at no signature here in any release; where a verifier is configured, we do.

use super::{dict, item, optional};
use crate::convert::field::Raised;
use crate::convert::options::{ConvertOptions, Verifier};
use crate::convert::sampling::{Sampling, shown};
use crate::model::python;
use crate::model::{Dict, Place, Sample, SampleType, Text, Value};

/// Every sample of `payload.samples` stands for itself: one that cannot be read costs only itself.
/// Their monotonic time is kept only where that fault of Ceilometer is repaired.
///
/// With a verifier, neither is one taken whose signature is missing or another's.
pub(super) fn build(sampling: &mut Sampling<'_>, options: &ConvertOptions) -> Result<(), Raised> {
    let (verifier, monotonic_time) = (options.polled_signatures.as_ref(), options.repairs.polled_monotonic_time);
    let samples = match item(sampling.notification().payload(), "samples")? {
        Value::List(samples) => samples,
        Value::Str(text) if text.is_empty() => return Ok(()),
        Value::Dict(dict) if dict.is_empty() => return Ok(()),
        other => return Err(Raised::new("TypeError", format!("samples is no list but {}", shown(other)))),
    };
    let place = Place { file: "built-in endpoint _sample".into(), line: 0 };
    for (n, polled) in samples.iter().enumerate() {
        let forged = |verifier: &Verifier| polled.as_dict().is_some_and(|message| !verifier.vouches_for(message));
        if verifier.is_some_and(forged) {
            let text = "its message_signature is not made with [publisher] telemetry_secret: it is not taken";
            sampling.refuse(&place, format!("polled sample {n}: {text}"));
            continue;
        }
        match read(polled, sampling) {
            Ok(sample) if monotonic_time => {
                let monotonic_time = item(polled, "monotonic_time").cloned().unwrap_or_default();
                sampling.push_made(Sample { monotonic_time, ..sample });
            }
            Ok(sample) => sampling.push_made(sample),
            Err(raised) => sampling.complain(&place, &format!("polled sample {n}"), &raised),
        }
    }
    Ok(())
}

fn read(polled: &Value, sampling: &mut Sampling<'_>) -> Result<Sample, Raised> {
    let name = text(polled, "counter_name")?;
    let kind = item(polled, "counter_type")?;
    let kind = kind.as_str().and_then(SampleType::from_name).ok_or_else(|| {
        Raised::new("ValueError", format!("counter_type is {}, not gauge, delta or cumulative", shown(kind)))
    })?;
    let resource_metadata = match item(polled, "resource_metadata")? {
        Value::Dict(metadata) => metadata.clone(),
        other if !other.is_truthy() => Dict::new(),
        other => return Err(Raised::new("TypeError", format!("resource_metadata is {}", shown(other)))),
    };
    let any = |key| item(polled, key).cloned();
    let source = Some(item(polled, "source")?).filter(|s| s.is_truthy());
    let id = Some(item(polled, "message_id")?).filter(|id| id.is_truthy());
    let by_name = dict(polled, "user_name")?;
    let source = match source {
        Some(source) => python::text(source)?,
        None => sampling.source().clone(),
    };
    let id = match id {
        Some(id) => python::text(id)?,
        None => sampling.next_id(),
    };
    Ok(Sample {
        name,
        kind,
        unit: any("counter_unit")?,
        volume: any("counter_volume")?,
        user_id: any("user_id")?,
        user_name: optional(by_name, "user_name"),
        project_id: any("project_id")?,
        project_name: optional(by_name, "project_name"),
        resource_id: any("resource_id")?,
        timestamp: text(polled, "timestamp")?,
        resource_metadata: resource_metadata.into(),
        source,
        id,
        monotonic_time: Value::Null,
    })
}

fn text(polled: &Value, key: &str) -> Result<Text, Raised> {
    match item(polled, key)? {
        Value::Str(text) => Ok(text.clone()),
        other => Err(Raised::new("TypeError", format!("{key} is no text but {}", shown(other)))),
    }
}
