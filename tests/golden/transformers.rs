//! Transformers in chains: what goes in at which time, and what comes out at the end of each scope.

use crate::{run, same};
use chrono::{DateTime, NaiveDateTime, Utc};
use nephoscope::model::{Dict, Node, Place, Sample, SampleType, Value, json};
use nephoscope::pipeline::{Cell, CellChange, CellKey, Chain, ChainOptions, Kind, Plan};
use std::collections::BTreeMap;

#[test]
fn transformers_give_the_samples_of_the_original() {
    run("transformers", &[], |case| check(case, |_| {}));
}

#[test]
fn transformers_give_the_same_after_their_state_went_elsewhere_between_any_two_scopes() {
    run("transformers", &[], |case| {
        let mut log: BTreeMap<CellKey, Vec<u8>> = BTreeMap::new();
        check(case, |at_work| {
            for CellChange { key, value } in at_work.changes() {
                match value {
                    Some(value) => drop(log.insert(key, value)),
                    None => drop(log.remove(&key)),
                }
            }
            let folded: Vec<Cell> =
                log.iter().map(|(key, value)| Cell { key: key.clone(), value: value.clone() }).collect();
            let mut cells = at_work.cells();
            cells.sort_by(|a, b| a.key.cmp(&b.key));
            assert_eq!(cells, folded, "what the changes come to");
            *at_work = case.get("transformers").map(chain).unwrap().unwrap();
            assert_eq!(at_work.restore(folded), []);
        })
    });
}

/// The scopes of a case through a chain; `between` is called after each.
fn check(case: &Dict, mut between: impl FnMut(&mut Chain)) -> Result<(), String> {
    let mut chain = chain(case.get("transformers").ok_or("no transformers")?)?;
    let name = case.get("name").and_then(Value::as_str).unwrap_or_default();
    for (n, step) in case.get("steps").and_then(Value::as_list).ok_or("no steps")?.iter().enumerate() {
        let step = step.as_dict().ok_or("a step is an object")?;
        let samples = step.get("samples").and_then(Value::as_list).ok_or("no samples")?;
        let samples = samples.iter().map(sample).collect::<Option<Vec<_>>>().ok_or("a sample cannot be read")?;
        let now = step.get("now").and_then(Value::as_str).and_then(time).ok_or("no time")?;
        let mut complaints = Vec::new();
        let published = chain.take("pipeline", &Value::from(format!("message {n}")), samples, now, &mut complaints);
        let got: Vec<Value> = published.iter().map(|sample| Value::Dict(comparable(sample))).collect();
        let expected = step.get("published").ok_or("nothing published")?;
        if !same(&Value::List(got.clone()), expected) {
            let (got, expected) = (json::to_string(&Value::List(got)), json::to_string(expected));
            return Err(format!("{name}, step {n}: {got}, expected {expected}; {complaints:?}"));
        }
        between(&mut chain);
    }
    Ok(())
}

fn chain(transformers: &Value) -> Result<Chain, String> {
    let sink = Dict::from_iter([
        ("name", Value::from("s")),
        ("publishers", Value::List(vec![Value::from("test://")])),
        ("transformers", transformers.clone()),
    ]);
    let source = r#"{"name": "s", "meters": ["*"], "sinks": ["s"]}"#;
    let source = json::read(source.as_bytes()).map_err(|e| e.to_string())?;
    let file =
        Dict::from_iter([("sources", Value::List(vec![source])), ("sinks", Value::List(vec![Value::Dict(sink)]))]);
    let node = Node::from_value(&Value::Dict(file), &Place { file: "pipeline.yaml".into(), line: 1 });
    let plan = Plan::read(Kind::Samples, &node).map_err(|complaints| format!("refused to load: {complaints:?}"))?;
    let sink = plan.sinks.into_iter().next().ok_or("no sink")?;
    Ok(Chain::new(sink.transformers, "s", ChainOptions::default()))
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(naive.and_utc())
}

fn sample(value: &Value) -> Option<Sample> {
    let dict = value.as_dict()?;
    let any = |key: &str| dict.get(key).cloned().unwrap_or_default();
    Some(Sample {
        name: dict.get("name")?.as_str()?.into(),
        kind: SampleType::from_name(dict.get("type")?.as_str()?)?,
        unit: any("unit"),
        volume: any("volume"),
        user_id: any("user_id"),
        user_name: Value::Null,
        project_id: any("project_id"),
        project_name: Value::Null,
        resource_id: any("resource_id"),
        timestamp: dict.get("timestamp")?.as_str()?.into(),
        resource_metadata: dict.get("resource_metadata")?.as_dict()?.clone().into(),
        source: "openstack".into(),
        id: "id".into(),
        monotonic_time: any("monotonic_time"),
    })
}

/// The fields that the cases have.
fn comparable(sample: &Sample) -> Dict {
    let all = sample.as_dict();
    let left_out = ["user_name", "project_name", "source", "id"];
    all.into_iter().filter(|(key, _)| !left_out.contains(&&**key)).collect()
}
