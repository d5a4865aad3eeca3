//! The chart, the plain manifest and Kolla's files: Kubernetes' schemas take them, and the agent takes the files in them.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{ROOT, assert_none, path, read};

const CHART: &str = "deploy/helm/nephoscope";
const PLAIN: &str = "deploy/kubernetes/nephoscope.yaml";

/// `tests/deploy/render.py`, with what `.ci/tools charts` has installed. `None` where that is not there.
fn render(arguments: &[&str]) -> Option<Output> {
    let done = Command::new("python3")
        .arg("tests/deploy/render.py")
        .args(arguments)
        .env("PYTHONPATH", path("target/tools/charts"))
        .current_dir(ROOT)
        .stdin(Stdio::null())
        .output();
    let done = done.ok()?;
    if done.status.code() == Some(77) {
        println!("SKIPPED: {}", String::from_utf8_lossy(&done.stderr).trim());
        return None;
    }
    Some(done)
}

/// The chart with these values: its manifests, or why it is refused.
fn chart(values: &Value) -> Option<Result<Vec<Value>, String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.json");
    std::fs::write(&file, values.to_string()).unwrap();
    render(&["chart", CHART, file.to_str().unwrap()]).map(manifests)
}

fn manifests(done: Output) -> Result<Vec<Value>, String> {
    if done.status.success() {
        Ok(serde_json::from_slice(&done.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

fn kind<'a>(manifests: &'a [Value], kind: &str) -> &'a Value {
    manifests.iter().find(|manifest| manifest["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

/// Manifests in the order of their kinds, without what tells Helm that a file changed.
fn comparable(mut manifests: Vec<Value>) -> Vec<Value> {
    for manifest in &mut manifests {
        if let Some(Value::Object(annotations)) = manifest.pointer_mut("/spec/template/metadata/annotations") {
            annotations.retain(|name, _| !name.starts_with("checksum/"));
        }
    }
    manifests.sort_by_key(|manifest| manifest["kind"].to_string());
    manifests
}

#[test]
fn the_chart_and_the_plain_manifest_are_one_and_kubernetes_takes_both() {
    let Some(rendered) = chart(&json!({})) else { return };
    let rendered = comparable(rendered.unwrap());
    let plain = comparable(manifests(render(&["file", PLAIN]).unwrap()).unwrap());
    assert_eq!(plain.len(), 6);
    for (plain, rendered) in plain.iter().zip(&rendered) {
        assert_eq!(plain, rendered, "{PLAIN} and the chart differ: write the right side into it");
    }
    assert_eq!(plain.len(), rendered.len());
}

#[test]
fn a_member_of_the_chart_keeps_its_id_and_has_no_rights() {
    let Some(rendered) = chart(&json!({})) else { return };
    let rendered = rendered.unwrap();
    let set = &kind(&rendered, "StatefulSet")["spec"];
    let pod = &set["template"]["spec"];
    let member = &pod["containers"][0];
    let variable = |name: &str| member["env"].as_array().unwrap().iter().find(|v| v["name"] == name).unwrap();
    assert_eq!(variable("OS_NEPHOSCOPE__MEMBER_ID")["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
    assert_eq!(variable("OS_DEFAULT__TRANSPORT_URL")["valueFrom"]["secretKeyRef"]["key"], "transport_url");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(member["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(member["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    for (probe, at) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(member[probe]["httpGet"]["path"], at);
    }
    assert_eq!(kind(&rendered, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    let apart = &pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(apart["labelSelector"], set["selector"]);
    assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() > 30, "longer than the drain");
}

#[test]
fn every_value_of_the_chart_can_be_another() {
    let values = json!({
        "image": {"repository": "r/n", "tag": "9", "pullPolicy": "Always"}, "imagePullSecrets": [{"name": "p"}], "replicas": 5,
        "transportUrl": "", "backendUrl": "", "existingSecret": "mine", "files": {"more.yaml": "a: b\n"}, "port": 9999,
        "podAnnotations": {"a": "b"}, "resources": {"limits": {"cpu": "1"}}, "podDisruptionBudget": {"enabled": true, "maxUnavailable": "30%"},
        "antiAffinity": "soft", "nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}], "priorityClassName": "high",
        "terminationGracePeriodSeconds": 90, "serviceAccount": {"create": false, "name": "s"}, "extraEnv": [{"name": "A", "value": "b"}],
        "extraVolumes": [{"name": "ca", "secret": {"secretName": "ca"}}], "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    });
    let Some(rendered) = chart(&values) else { return };
    let rendered = rendered.unwrap();
    let kinds: Vec<&str> = rendered.iter().map(|manifest| manifest["kind"].as_str().unwrap()).collect();
    assert!(!kinds.contains(&"Secret") && !kinds.contains(&"ServiceAccount"), "{kinds:?}");
    let set = kind(&rendered, "StatefulSet").to_string();
    for part in [
        "r/n:9",
        "\"mine\"",
        "9999",
        "\"high\"",
        "/ca",
        "preferredDuring",
        "\"Exists\"",
        "\"serviceAccountName\":\"s\"",
    ] {
        assert!(set.contains(part), "{part} is not in {set}");
    }
    assert!(kind(&rendered, "ConfigMap")["data"]["ceilometer.conf"].is_string(), "the defaults stay");
}

#[test]
fn wrong_values_of_the_chart_are_refused_with_their_place() {
    let cases = [
        (json!({"replicas": 0}), "/replicas"),
        (json!({"replica": 3}), "replica"),
        (json!({"transportUrl": ""}), "/transportUrl"),
        (json!({"transportUrl": "kafka://h"}), "/transportUrl"),
        (json!({"backendUrl": "redis://h"}), "/backendUrl"),
        (json!({"antiAffinity": "never"}), "/antiAffinity"),
        (json!({"terminationGracePeriodSeconds": 10}), "/terminationGracePeriodSeconds"),
        (json!({"files": {"a/b": "x"}}), "a/b"),
        // The schema of Kubernetes, not the chart's.
        (json!({"tolerations": [{"wrongly": "Exists"}]}), "wrongly"),
    ];
    let mut wrong = Vec::new();
    for (values, place) in cases {
        let Some(came) = chart(&values) else { return };
        match came {
            Ok(_) => wrong.push(format!("{values} is taken")),
            Err(why) if !why.contains(place) => wrong.push(format!("{values}: {place} is not in {why}")),
            Err(_) => {}
        }
    }
    assert_none(&wrong);
}

/// `nephoscope check` of these files, with these variables.
fn check(files: &[(&str, &str)], first: &str, variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    command.arg("check").current_dir(folder.path()).env("HOME", folder.path()).envs(variables.iter().copied());
    let mut order: Vec<&(&str, &str)> = files.iter().collect();
    order.sort_by_key(|(name, _)| *name != first);
    for (name, text) in order {
        let mut text = (*text).to_owned();
        if Path::new(name).extension().is_some_and(|end| end == "conf") {
            command.arg("--config-file").arg(folder.path().join(name));
            for (option, file) in
                [("pipeline_cfg_file", "pipeline.yaml"), ("event_pipeline_cfg_file", "event_pipeline.yaml")]
            {
                if *name == first && files.iter().any(|(name, _)| *name == file) {
                    write!(text, "\n[DEFAULT]\n{option} = {}\n", folder.path().join(file).display()).unwrap();
                }
            }
        }
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(!said.contains("warning: ceilometer") && !said.contains("warning: override"), "{said}");
}

#[test]
fn the_agent_takes_the_files_of_the_chart() {
    let Some(rendered) = chart(&json!({})) else { return };
    let rendered = rendered.unwrap();
    let files = kind(&rendered, "ConfigMap")["data"].as_object().unwrap();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str().unwrap())).collect();
    let secret = &kind(&rendered, "Secret")["stringData"];
    check(
        &files,
        "ceilometer.conf",
        &[
            ("OS_DEFAULT__TRANSPORT_URL", secret["transport_url"].as_str().unwrap()),
            ("OS_COORDINATION__BACKEND_URL", secret["backend_url"].as_str().unwrap()),
            ("OS_NEPHOSCOPE__MEMBER_ID", "nephoscope-0"),
            ("OS_NEPHOSCOPE__LISTEN", "0.0.0.0:9187"),
        ],
    );
}

/// What Kolla-Ansible merges into the agent's file; Kolla fills what stands in braces.
#[test]
fn the_agent_takes_what_kolla_merges() {
    let text = read("deploy/kolla-ansible/config/ceilometer/ceilometer-notification.conf");
    let braces = regex::Regex::new(r"\{\{.*?\}\}|\{%.*?%\}").unwrap();
    let filled: Vec<String> = text
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("backend_url", _)) => "backend_url = etcd3://10.0.0.1:2379,10.0.0.2:2379".to_owned(),
            _ => braces.replace_all(line, "controller1").into_owned(),
        })
        .collect();
    assert!(filled.contains(&"member_id = controller1".to_owned()), "{filled:?}");
    let merged = "[DEFAULT]\ntransport_url = rabbit://openstack:x@10.0.0.1:5672,openstack:x@10.0.0.2:5672//\n";
    let pipeline = "sources:\n- {name: a, meters: ['*'], sinks: [a]}\nsinks:\n- {name: a, publishers: ['test://']}\n";
    let files = [
        ("ceilometer.conf", merged),
        ("override.conf", &filled.join("\n")),
        ("pipeline.yaml", pipeline),
        ("event_pipeline.yaml", &pipeline.replace("meters", "events")),
    ];
    check(&files, "ceilometer.conf", &[]);
}
