//! Sensor readings that Ironic sends: one gauge sample for each sensor of a metric (Ceilometer reference §4.4).

use super::item;
use crate::convert::field::Raised;
use crate::convert::sampling::{Draft, Sampling, copy_with_origin, read_timestamp, shown};
use crate::model::python;
use crate::model::{Place, SampleType, Value};

/// Units that become SI's.
const UNITS: [(&str, &str); 2] = [("Watts", "W"), ("Volts", "V")];

/// Why a sensor gave no sample.
enum Skip {
    /// It is off, or belongs to another meter.
    Silent,
    /// Its data is incomplete or no reading; Ceilometer warns.
    Invalid(String),
    /// Ceilometer raises.
    Raised(Raised),
}

impl From<Raised> for Skip {
    fn from(raised: Raised) -> Self {
        Skip::Raised(raised)
    }
}

/// The samples of one metric; one sensor's trouble costs only that sensor.
pub(super) fn build(metric: &str, sampling: &mut Sampling<'_>) -> Result<(), Raised> {
    let outer = sampling.notification().payload();
    let Value::Dict(outer_dict) = outer else {
        return Err(Raised::new("TypeError", "the payload is no dictionary".to_owned()));
    };
    let Some(inner) = outer_dict.get("payload") else { return Ok(()) };
    let Value::Dict(inner) = inner else {
        return Err(Raised::new("TypeError", "payload.payload is no dictionary".to_owned()));
    };
    let Some(sensors) = inner.get(metric) else { return Ok(()) };
    let Value::Dict(sensors) = sensors else {
        return Err(Raised::new("AttributeError", format!("payload.payload.{metric} is no dictionary")));
    };
    let place = Place { file: "built-in endpoint hardware.ipmi".into(), line: 0 };
    for (name, sensor) in sensors.iter() {
        match read(metric, outer, sensor, sampling) {
            Ok(draft) => sampling.push(draft),
            Err(Skip::Silent) => {}
            Err(Skip::Invalid(why)) => sampling.warn(&place, format!("sensor {name}: {why}")),
            Err(Skip::Raised(raised)) => sampling.complain(&place, &format!("sensor {name}"), &raised),
        }
    }
    Ok(())
}

fn read(metric: &str, outer: &Value, sensor: &Value, sampling: &Sampling<'_>) -> Result<Draft, Skip> {
    let node = required(outer, "node_uuid")?;
    let sensor_id = match required(sensor, "Sensor ID")? {
        Value::Str(id) => id,
        other => return Err(Raised::new("AttributeError", format!("Sensor ID is {}", shown(other))).into()),
    };
    if metric == "Current" && sensor_id.contains("Pwr Consumption") {
        return Err(Skip::Silent);
    }
    let timestamp = item(outer, "timestamp")?;
    let event_type = item(outer, "event_type")?;
    let reading = match required(sensor, "Sensor Reading")? {
        Value::Str(reading) if &**reading == "Disabled" => return Err(Skip::Silent),
        Value::Str(reading) => reading,
        other => return Err(Raised::new("AttributeError", format!("Sensor Reading is {}", shown(other))).into()),
    };
    let (volume, unit) =
        parse_reading(reading).ok_or_else(|| Skip::Invalid(format!("cannot read \"{reading}\" as number and unit")))?;
    if !timestamp.is_truthy() {
        // Ceilometer then looks for the notification's own timestamp in a copy that has none.
        return Err(Raised::new("KeyError", "payload.timestamp is empty".to_owned()).into());
    }
    let mut described = sensor.clone();
    if let Value::Dict(described) = &mut described {
        described.insert("node", node.clone());
    }
    let any = |key| outer.as_dict().and_then(|d| d.get(key)).cloned().unwrap_or_default();
    Ok(Draft {
        name: format!("hardware.ipmi.{}", metric.to_lowercase()).into(),
        kind: SampleType::Gauge,
        unit: unit.into(),
        volume: Value::Float(volume),
        user_id: any("user_id"),
        project_id: any("project_id"),
        resource_id: format!("{}-{}", python::str(node)?, sensor_id.to_lowercase().replace(' ', "_")).into(),
        timestamp: read_timestamp(timestamp)?,
        metadata: copy_with_origin(&described, event_type, sampling.notification().publisher_id()).into(),
    })
}

/// A key whose absence Ceilometer only warns of.
fn required<'v>(value: &'v Value, key: &str) -> Result<&'v Value, Skip> {
    let dict = super::dict(value, key)?;
    dict.get(key).ok_or_else(|| Skip::Invalid(format!("no \"{key}\"")))
}

/// `"35 (+/- 1) degrees C"`: the number before the first space, the unit after the last.
fn parse_reading(reading: &str) -> Option<(f64, &str)> {
    let (volume, rest) = reading.split_once(' ')?;
    let unit = rest.rsplit_once(' ').map_or(rest, |(_, unit)| unit);
    let volume = python::float(&Value::from(volume)).ok()?;
    Some((volume, UNITS.iter().find(|(long, _)| *long == unit).map_or(unit, |(_, short)| short)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Notification, Parts, Priority, json};
    use rstest::rstest;

    #[rstest]
    #[case("26 (+/- 0.500) degrees C", Some((26.0, "C")))]
    #[case("12.137 (+/- 0) Volts", Some((12.137, "V")))]
    #[case("130 Watts", Some((130.0, "W")))]
    #[case("Disabled?", None)]
    #[case("No Reading", None)]
    #[case("", None)]
    fn a_reading_is_a_number_and_a_unit(#[case] text: &str, #[case] read: Option<(f64, &str)>) {
        assert_eq!(parse_reading(text), read);
    }

    #[test]
    fn one_sensor_s_trouble_costs_only_that_sensor() {
        let payload = br#"{"node_uuid": "n", "timestamp": "2026-03-01", "event_type": "e", "payload": {"Current": {
            "a": {"Sensor ID": "Pwr Consumption (0x1)", "Sensor Reading": "1 Watts"},
            "b": {"Sensor ID": "Off (0x2)", "Sensor Reading": "Disabled"},
            "c": {"Sensor Reading": "2 Watts"}, "d": null,
            "e": {"Sensor ID": "Avg Power (0x3)", "Sensor Reading": "3 Watts"}}}}"#;
        let parts = Parts { payload: json::read(payload).unwrap(), ..Parts::default() };
        let notification = Notification::new(Priority::Info, parts);
        let (mut samples, mut complaints) = (Vec::new(), Vec::new());
        build("Current", &mut Sampling::new(&notification, &"s".into(), &mut samples, &mut complaints)).unwrap();
        assert_eq!(samples.len(), 1);
        assert_eq!(samples[0].resource_id, Value::from("n-avg_power_(0x3)"));
        assert_eq!(samples[0].resource_metadata.get("node"), Some(&Value::from("n")));
        let texts: Vec<_> = complaints.iter().map(|c| c.text.as_str()).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(
            texts[0].contains("sensor c: no \"Sensor ID\"") && texts[1].contains("sensor d: TypeError"),
            "{texts:?}"
        );
    }
}
