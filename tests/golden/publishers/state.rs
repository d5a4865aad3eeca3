//! gnocchi, by its end: the state of a real Gnocchi after the calls, which `nephoscope gnocchi-setup` has made ready.

use super::case::{Said, calls, id_text, list, logged, plain, text};
use super::{Judged, cases, conclude, differs};
use crate::rig::{Gnocchi, Metricd, own_gnocchi};
use nephoscope::agent::wiring;
use nephoscope::config;
use nephoscope::model::{Dict, Value, json};
use nephoscope::observe::Metrics;
use nephoscope::publish::{Batch, Context, Kind, PublishError, Publisher, build};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn state_of_a_real_gnocchi() {
    let all = cases("gnocchi_state");
    let Some(gnocchi) = all.first().and_then(|_| own_gnocchi(Metricd::No)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let configuration =
        format!("[service_credentials]\nauth_type = gnocchi-basic\nuser = admin\nendpoint = {}\n", gnocchi.url);
    let file = folder.path().join("ceilometer.conf");
    std::fs::write(&file, &configuration).unwrap();
    set_up(&file);
    let settings = config::load_text("ceilometer.conf", &configuration).0.unwrap();
    let asked = Asked { context: wiring::publish_context(&settings, &Metrics::default()), gnocchi: (*gnocchi).clone() };
    let mut judged = Vec::new();
    for (line, case) in all {
        judged.push((line, text(&case, "name").to_owned(), asked.judge(&case).await));
    }
    conclude("gnocchi_state", judged);
}

/// Nothing is made by a dry run, everything by the first one, nothing by the second.
fn set_up(file: &Path) {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
        let done = command.arg("gnocchi-setup").arg("--config-file").arg(file).args(arguments).output().unwrap();
        let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
        assert!(done.status.success(), "{out}{err}");
        assert_eq!(err, "");
        out.lines().last().unwrap().to_owned()
    };
    // 22 types and four policies.
    assert_eq!(run(&["--dry-run"]), "26 to create, 0 there already");
    assert_eq!(run(&[]), "26 created, 0 there already");
    assert_eq!(run(&[]), "0 created, 26 there already");
}

/// The Gnocchi, as it is published to and asked.
struct Asked {
    context: Context,
    gnocchi: Gnocchi,
}

impl Asked {
    async fn judge(&self, case: &Dict) -> Judged {
        if let Some(expected) = case.get("resource_types") {
            let found = self.get("/v1/resource_type").await;
            differs("resource types", &by_name(&found), &by_name(expected))?;
            return Ok(BTreeSet::new());
        }
        if let Some(expected) = case.get("archive_policies") {
            let found = self.get("/v1/archive_policy").await;
            let ours = |policy: &&Value| text(policy.as_dict().unwrap(), "name").starts_with("ceilometer-");
            let found: Vec<Value> = found.as_list().unwrap().iter().filter(ours).cloned().collect();
            differs("archive policies", &by_name(&Value::List(found)), &by_name(expected))?;
            return Ok(BTreeSet::new());
        }
        let mut outcomes = Vec::new();
        let publisher = |kind| build(text(case, "url"), kind, &self.context).map_err(|error| error.to_string());
        let (samples, events): (Arc<dyn Publisher>, Arc<dyn Publisher>) =
            (publisher(Kind::Samples)?, publisher(Kind::Events)?);
        let calls = calls(case);
        for batch in &calls {
            let to = if matches!(batch, Batch::Samples(_)) { &samples } else { &events };
            outcomes.push(to.publish(batch).await);
        }
        self.compare(case, &calls, &outcomes).await
    }

    /// The state that the case left, resource by resource.
    async fn compare(&self, case: &Dict, calls: &[Batch], outcomes: &[Result<(), PublishError>]) -> Judged {
        let mut rows = BTreeSet::new();
        let recorded: Vec<&Dict> = list(case, "state").iter().filter_map(Value::as_dict).collect();
        let mut ids: BTreeSet<String> = calls.iter().flat_map(ids).collect();
        ids.extend(recorded.iter().map(|resource| text(resource, "original_resource_id").to_owned()));
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        for id in &ids {
            for resource in self.search(id).await {
                found.insert(text(resource.as_dict().unwrap(), "id").to_owned(), resource);
            }
        }
        let mut problems = Vec::new();
        for theirs in &recorded {
            let Some(ours) = found.get(text(theirs, "id")) else {
                return Err(format!("{} is missing; says {outcomes:?}", text(theirs, "original_resource_id")));
            };
            problems.extend(
                differs(text(theirs, "original_resource_id"), ours, &plain(&Value::Dict((*theirs).clone()))).err(),
            );
            keeps(ours.as_dict().unwrap(), theirs)?;
        }
        let known: BTreeSet<&str> = recorded.iter().map(|resource| text(resource, "id")).collect();
        let more = found.iter().filter(|(id, _)| !known.contains(&***id)).map(|(_, more)| json::to_string(more));
        problems.extend(more);
        if problems.is_empty() {
            return Ok(rows);
        }
        let had_trouble = logged(case) || !case.get("raised").is_none_or(Value::is_null) || case.contains_key("note");
        if !had_trouble {
            return Err(format!("{}; says {outcomes:?}", problems.join("; ")));
        }
        // Ceilometer lost something. Ours holds what it says.
        let ours: Vec<&Dict> = found.values().filter_map(Value::as_dict).collect();
        for (batch, outcome) in calls.iter().zip(outcomes) {
            honest(batch, outcome, &ours)?;
        }
        last_name_holds(calls, &ours)?;
        rows.insert(if ids.iter().any(|id| id.contains(['#', '?', '_'])) { "gnocchi-ids" } else { "gnocchi-held" });
        Ok(rows)
    }

    async fn search(&self, id: &str) -> Vec<Value> {
        let query = Dict::from_iter([("=", Value::Dict(Dict::from_iter([("original_resource_id", Value::from(id))])))]);
        let found = self
            .ask(reqwest::Method::POST, "/v1/search/resource/generic", Some(json::to_string(&Value::Dict(query))))
            .await;
        let mut all = Vec::new();
        for resource in found.as_list().unwrap_or_else(|| panic!("{}", json::to_string(&found))) {
            let resource = resource.as_dict().unwrap();
            let path = format!("/v1/resource/{}/{}", text(resource, "type"), text(resource, "id"));
            let mut whole = self.get(&path).await.as_dict().unwrap().clone();
            for left_out in
                ["started_at", "revision_start", "revision_end", "created_by_user_id", "created_by_project_id"]
            {
                whole.remove(left_out);
            }
            if !whole.get("ended_at").is_none_or(Value::is_null) {
                whole.insert("ended_at", "NOW");
            }
            let mut metrics = Dict::new();
            for (name, id) in whole.get("metrics").and_then(Value::as_dict).unwrap().iter() {
                metrics.insert(name, self.metric(id.as_str().unwrap()).await);
            }
            whole.insert("metrics", metrics);
            all.push(Value::Dict(whole));
        }
        all
    }

    async fn metric(&self, id: &str) -> Value {
        let metric = self.get(&format!("/v1/metric/{id}")).await;
        let metric = metric.as_dict().unwrap();
        let policy = metric.get("archive_policy").and_then(Value::as_dict).unwrap();
        let mut measures = Dict::new();
        for method in list(policy, "aggregation_methods") {
            let method = method.as_str().unwrap();
            let path = format!("/v1/metric/{id}/measures?refresh=true&aggregation={method}");
            measures.insert(method, self.get(&path).await);
        }
        Value::Dict(Dict::from_iter([
            ("archive_policy", Value::from(text(policy, "name"))),
            ("unit", metric.get("unit").cloned().unwrap_or_default()),
            ("measures", Value::Dict(measures)),
        ]))
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(reqwest::Method::GET, path, None).await
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<String>) -> Value {
        let (_, body) = self.gnocchi.ask(method, path, body).await.unwrap();
        json::read(&body).unwrap_or_else(|error| panic!("{path}: {error}: {}", String::from_utf8_lossy(&body)))
    }
}

/// Whatever is recorded of a resource is there, perhaps with more beside it.
fn keeps(ours: &Dict, theirs: &Dict) -> Result<(), String> {
    for (metric, recorded) in theirs.get("metrics").and_then(Value::as_dict).unwrap().iter() {
        let times = |of: &Dict| -> BTreeSet<String> {
            let measures =
                of.get("metrics").and_then(Value::as_dict).and_then(|all| all.get(metric)).and_then(Value::as_dict);
            let measures = measures.and_then(|metric| metric.get("measures")).and_then(Value::as_dict);
            measures
                .iter()
                .flat_map(|all| list(all, "mean"))
                .map(|point| json::to_string(&point.as_list().unwrap()[0]))
                .collect()
        };
        if !times(theirs).is_subset(&times(ours)) {
            return Err(format!("measures of {metric} are missing: recorded {}", json::to_string(recorded)));
        }
    }
    Ok(())
}

/// Of what is said to be taken, measures are there, and what was to end has ended.
fn honest(batch: &Batch, outcome: &Result<(), PublishError>, ours: &[&Dict]) -> Result<(), String> {
    let Said { refused, left, .. } = Said::of(outcome, batch.len())?;
    if !left.is_empty() {
        return Err(format!("nothing here is to be offered again: {outcome:?}"));
    }
    let resources = |id: &str| -> Vec<&Dict> {
        let id = id.replace('/', "_");
        ours.iter().filter(|one| text(one, "original_resource_id") == id).copied().collect()
    };
    match batch {
        Batch::Samples(samples) => {
            for (n, sample) in samples.iter().enumerate() {
                let id = sample.resource_id.as_str().unwrap_or_default();
                let of = resources(id);
                let metric = of.iter().filter_map(|one| one.get("metrics")?.as_dict()?.get(&sample.name)?.as_dict());
                let points: usize =
                    metric.flat_map(|metric| list(metric.get("measures").unwrap().as_dict().unwrap(), "mean")).count();
                let is_known = of.iter().any(|one| {
                    one.get("metrics").and_then(Value::as_dict).is_some_and(|all| all.contains_key(&sample.name))
                });
                match refused.contains(&n) {
                    true if is_fine(sample) => return Err(format!("sample {n} is fine, and refused: {outcome:?}")),
                    false if is_known && points == 0 => {
                        return Err(format!("sample {n} is said to be taken, and is not there"));
                    }
                    false if !is_known && is_fine(sample) && sample.name.starts_with("volume.size") => {
                        return Err(format!("sample {n} is said to be taken, and its metric is not there"));
                    }
                    _ => {}
                }
            }
        }
        Batch::Events(events) => {
            for (n, event) in events.iter().enumerate().filter(|(n, _)| !refused.contains(n)) {
                let id = event.traits.iter().find(|one| one.name == "resource_id").map(|one| one.value.to_value());
                let Some(id) = id.as_ref().and_then(Value::as_str) else { continue };
                let open = resources(id).into_iter().any(|one| one.get("ended_at").is_none_or(Value::is_null));
                if event.event_type.contains(".delete") && open {
                    return Err(format!("event {n} is said to be taken, and {id} has not ended"));
                }
            }
        }
    }
    Ok(())
}

/// Whether Gnocchi has nothing against this sample by itself.
fn is_fine(sample: &nephoscope::model::Sample) -> bool {
    let is_number = match &sample.volume {
        Value::Str(text) => text.parse::<f64>().is_ok(),
        Value::Null | Value::List(_) | Value::Dict(_) => false,
        _ => true,
    };
    let has_id = sample.resource_id.as_str().is_some_and(|id| !id.is_empty() && id.chars().count() <= 255);
    let has_unit = sample.unit.as_str().is_some_and(|unit| unit.chars().count() <= 31);
    let said = |name: &str| sample.resource_metadata.get(name).filter(|value| !value.is_null());
    let is_text = |value: &Value| value.as_str().is_some_and(|text| text.chars().count() <= 255);
    let is_uuid = |value: &Value| value.as_str().is_some_and(|text| uuid::Uuid::parse_str(text).is_ok());
    let texts = ["display_name", "name", "volume_type", "volume_type_id"];
    // Only this type is known here.
    let attributes_fit = sample.name == "volume.size"
        && texts.into_iter().filter_map(said).all(is_text)
        && ["image_id", "instance_id"].into_iter().filter_map(said).all(is_uuid)
        && [&sample.user_id, &sample.project_id].into_iter().all(|id| id.is_null() || is_text(id));
    is_number && has_id && has_unit && attributes_fit && nephoscope::model::time::parse(&sample.timestamp).is_some()
}

/// A volume has the name that its last sample gave it: no other resource's.
fn last_name_holds(calls: &[Batch], ours: &[&Dict]) -> Result<(), String> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for batch in calls {
        let Batch::Samples(samples) = batch else { continue };
        for sample in samples.iter().filter(|sample| sample.name == "volume.size" && is_fine(sample)) {
            let name = ["display_name", "name"].iter().find_map(|name| sample.resource_metadata.get(name)?.as_str());
            let id = sample.resource_id.as_str().unwrap_or_default().replace('/', "_");
            names.extend(name.map(|name| (id, name.to_owned())));
        }
    }
    for resource in ours.iter().filter(|one| text(one, "type") == "volume") {
        let id = text(resource, "original_resource_id");
        if let Some(name) = names.get(id).filter(|name| **name != text(resource, "display_name")) {
            return Err(format!("{id} is named {}, and should be named {name}", text(resource, "display_name")));
        }
    }
    Ok(())
}

/// The ids that a call names, as Gnocchi knows them.
fn ids(batch: &Batch) -> Vec<String> {
    let id = |value: &Value| id_text(value).replace('/', "_");
    match batch {
        Batch::Samples(all) => {
            all.iter().filter(|s| !s.resource_id.is_null()).map(|sample| id(&sample.resource_id)).collect()
        }
        Batch::Events(all) => {
            let traits = all.iter().flat_map(|event| event.traits.iter());
            traits
                .filter(|one| matches!(&*one.name, "resource_id" | "instance_id"))
                .map(|one| id(&one.value.to_value()))
                .collect()
        }
    }
}

/// Gnocchi tells these in any order, and so the aggregation methods of a policy.
fn by_name(all: &Value) -> Value {
    let mut all = all.as_list().unwrap().to_vec();
    for one in &mut all {
        if let Value::Dict(one) = one
            && let Some(Value::List(methods)) = one.get_mut("aggregation_methods")
        {
            methods.sort_by_cached_key(json::to_string);
        }
    }
    all.sort_by_cached_key(|one| text(one.as_dict().unwrap(), "name").to_owned());
    Value::List(all)
}
