//! Meter definitions: what loads, in which order, and the samples of one notification (before volumes are looked at).

use super::run;
use nephoscope::config::yaml;
use nephoscope::convert::{ConvertOptions, Converter, Sources};
use nephoscope::model::{Dict, Notification, Priority, Sample, Value, json};

#[test]
fn meters_give_the_samples_of_the_original() {
    run("meters", &[], check);
}

fn check(case: &Dict) -> Result<(), String> {
    let files = case.get("files").and_then(Value::as_list).ok_or("no files")?;
    let read = |(n, text): (usize, &Value)| {
        yaml::read(&format!("{n}.yaml"), text.as_str().unwrap_or_default()).map_err(|e| e.to_string())
    };
    let meters: Result<Vec<_>, String> = files.iter().enumerate().map(read).collect();
    let built = meters.map(|meters| {
        let events = yaml::read("events.yaml", "[]").map_err(|e| e.to_string())?;
        let (converter, complaints) = Converter::build(&Sources { meters, events }, ConvertOptions::default());
        converter.ok_or_else(|| complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    });
    let converter = match (case.get("load_error"), built.and_then(|built| built)) {
        (Some(_), Err(_)) => return Ok(()),
        (Some(error), Ok(_)) => return Err(format!("loaded, where Ceilometer raises {}", json::to_string(error))),
        (None, Err(why)) => return Err(format!("refused to load: {why}")),
        (None, Ok(converter)) => converter,
    };
    let loaded = Value::List(converter.meter_names().cloned().collect());
    if case.get("loaded").is_some_and(|expected| *expected != loaded) {
        return Err(format!("loaded {}", json::to_string(&loaded)));
    }
    let Some(Value::Dict(root)) = case.get("notification") else { return Ok(()) };
    let converted = converter.convert(&Notification::from_root(Priority::Sample, root.clone()));
    let expected = case.get("samples").and_then(Value::as_list).ok_or("no samples")?;
    let got: Vec<Value> = converted.samples.iter().map(|sample| Value::Dict(sample.as_dict())).collect();
    let complaints: Vec<_> = converted.complaints.iter().map(ToString::to_string).collect();
    let failed = case.get("error");
    if failed.is_some() && converted.complaints.is_empty() {
        return Err("no complaint where Ceilometer raises".to_owned());
    }
    if let Some(class) = failed.and_then(Value::as_str)
        && !complaints.iter().any(|complaint| complaint.contains(&format!("{class}:")))
    {
        return Err(format!("complains of {complaints:?}, Ceilometer raises {class}"));
    }
    if failed.is_none() && got.len() != expected.len() || got.len() < expected.len() {
        return Err(format!("{} samples, Ceilometer gives {}; {complaints:?}", got.len(), expected.len()));
    }
    for (n, (expected, sample)) in expected.iter().zip(&converted.samples).enumerate() {
        compare(expected, sample).map_err(|why| format!("sample {n}: {why}"))?;
    }
    let again = converter.convert(&Notification::from_root(Priority::Sample, root.clone()));
    if again == converted { Ok(()) } else { Err("a repeat gives something else".to_owned()) }
}

fn compare(expected: &Value, sample: &Sample) -> Result<(), String> {
    let got = sample.as_dict();
    for (key, value) in expected.as_dict().ok_or("no dictionary")?.iter() {
        let ours = got.get(key).unwrap_or(&Value::Null);
        if !super::same(value, ours) {
            return Err(format!("{key} is {}, expected {}", json::to_string(ours), json::to_string(value)));
        }
    }
    Ok(())
}
