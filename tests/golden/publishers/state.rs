//! gnocchi, by its end: the state of a real Gnocchi after the calls, which `nephoscope gnocchi-setup` has made ready.

use super::case::{calls, list, logged, raised, text};
use super::{Judged, cases, conclude, differs};
use crate::rig::{Metricd, own_gnocchi};
use nephoscope::agent::outside;
use nephoscope::config;
use nephoscope::model::{Dict, Value, json};
use nephoscope::observe::Metrics;
use nephoscope::publish::{Batch, Context, Kind, PublishError, Publisher, build};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// `admin`, without a password.
const LOGIN: &str = "basic YWRtaW46";

#[tokio::test(flavor = "multi_thread")]
async fn state_of_a_real_gnocchi() {
    let all = cases("gnocchi_state");
    let Some(gnocchi) = all.first().and_then(|_| own_gnocchi(Metricd::No)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let configuration = format!("[service_credentials]\nauth_type = gnocchi-basic\nuser = admin\nendpoint = {}\n", gnocchi.url);
    let file = folder.path().join("ceilometer.conf");
    std::fs::write(&file, &configuration).unwrap();
    set_up(&file);
    let settings = config::load_text("ceilometer.conf", &configuration).0.unwrap();
    let asked = Asked {
        context: outside::publish_context(&settings, &Metrics::default()),
        url: gnocchi.url.clone(),
        client: client(),
    };
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

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// The Gnocchi, as it is published to and asked.
struct Asked {
    context: Context,
    url: String,
    client: reqwest::Client,
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
        let (samples, events): (Arc<dyn Publisher>, Arc<dyn Publisher>) = (publisher(Kind::Samples)?, publisher(Kind::Events)?);
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
        let had_trouble = logged(case) || !case.get("raised").is_none_or(Value::is_null) || case.contains_key("note");
        let mut problems = Vec::new();
        for theirs in recorded {
            let Some(ours) = found.remove(text(theirs, "id")) else {
                problems.push(format!("{} is missing", text(theirs, "original_resource_id")));
                continue;
            };
            if let Err(why) = differs(text(theirs, "original_resource_id"), &ours, &Value::Dict(theirs.clone())) {
                problems.push(why);
            }
        }
        for more in found.values() {
            problems.push(format!("more: {}", json::to_string(more)));
        }
        if problems.is_empty() {
            return Ok(rows);
        }
        rows.insert("x");
        let _ = had_trouble;
        Err(format!("{}; says {outcomes:?}", problems.join("; ")))
    }

    async fn search(&self, id: &str) -> Vec<Value> {
        let query = Dict::from_iter([("=", Value::Dict(Dict::from_iter([("original_resource_id", Value::from(id))])))]);
        let found = self.ask(reqwest::Method::POST, "/v1/search/resource/generic", Some(json::to_string(&Value::Dict(query)))).await;
        let mut all = Vec::new();
        for resource in found.as_list().unwrap_or_else(|| panic!("{}", json::to_string(&found))) {
            let resource = resource.as_dict().unwrap();
            let path = format!("/v1/resource/{}/{}", text(resource, "type"), text(resource, "id"));
            let mut whole = self.get(&path).await.as_dict().unwrap().clone();
            for left_out in ["started_at", "revision_start", "revision_end"] {
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
        let request = self.client.request(method, format!("{}{path}", self.url)).header("authorization", LOGIN);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body),
            None => request,
        };
        let body = request.send().await.unwrap().bytes().await.unwrap();
        json::read(&body).unwrap_or_else(|error| panic!("{path}: {error}: {}", String::from_utf8_lossy(&body)))
    }
}

/// The ids that a call names, as Gnocchi knows them.
fn ids(batch: &Batch) -> Vec<String> {
    let plain = |value: &Value| value.as_str().map_or_else(|| json::to_string(value), |text| text.replace('/', "_"));
    match batch {
        Batch::Samples(all) => all.iter().filter(|s| !s.resource_id.is_null()).map(|sample| plain(&sample.resource_id)).collect(),
        Batch::Events(all) => {
            let traits = all.iter().flat_map(|event| &event.traits);
            traits.filter(|one| matches!(&*one.name, "resource_id" | "instance_id")).map(|one| plain(&one.value.to_value())).collect()
        }
    }
}

fn by_name(all: &Value) -> Value {
    let mut all = all.as_list().unwrap().to_vec();
    all.sort_by_cached_key(|one| text(one.as_dict().unwrap(), "name").to_owned());
    Value::List(all)
}
