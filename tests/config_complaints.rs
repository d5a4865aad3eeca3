//! Everything an operator can get wrong, at once: the exact list of complaints.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use nephoscope::config::{self, Settings, definitions, yaml};
use nephoscope::model::{Complaint, Severity};
use nephoscope::pipeline::{Kind, Plan};
use std::path::{Path, PathBuf};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// `! file:line: text` for errors, `? …` for warnings, without the folder's own path.
fn printed(complaints: &[Complaint], folder: &Path) -> String {
    let folder = format!("{}/", folder.display());
    let line = |c: &Complaint| {
        let mark = if c.severity == Severity::Error { '!' } else { '?' };
        format!("{mark} {c}\n").replace(&folder, "")
    };
    complaints.iter().map(line).collect()
}

fn load(folder: &Path) -> (Option<Settings>, Vec<Complaint>) {
    config::load(&[folder.join("ceilometer.conf")], &[])
}

const AWFUL: &str = "\
stray = 1
[DEFAULT]
transport_url = amqp://user:opensesame@host/
nova_control_exchange = nova
rpc_response_timeout = 60
  going on
[notification
workers = 0
[notification]
workload_partitioning = yes
batch_size = ten
bacth_timeout = 3
messaging_urls = rabbit://u:opense/same@h:1
messaging_urls = rabbit://h/?rabbit_qos_prefetch_cuont=1
messaging_urls = rabbit://h/?ssl=perhaps
pipelines = meter
pipelines = metre
workers = 4
pipeline_processing_queues = 2000
[coordination]
heartbeat = 1
[oslo_messaging_rabbit]
rabbit_quorum_queue = true
rabbit_ha_queues = true
heartbeat_rate = often
kombu_compression = zip
rabbit_hosts = a,b
[event]
store_raw = warn
[nephoscope]
listen = localhost
weight = 0
group = a/b
publish_retry_max = 0
colour = blue
[service_credentials]
username = u
password = opensesame
[keystone_authtoken]
whatever = 1
";

#[test]
fn everything_in_ceilometer_conf_is_wrong() {
    let dir = folder(&[("ceilometer.conf", AWFUL)]);
    let (_, complaints) = load(dir.path());
    insta::assert_snapshot!(printed(&complaints, dir.path()));
}

#[test]
fn no_secret_is_in_a_complaint() {
    let dir = folder(&[("ceilometer.conf", AWFUL)]);
    assert!(!printed(&load(dir.path()).1, dir.path()).contains("opense"));
}

#[test]
fn everything_in_pipeline_yaml_is_wrong() {
    let text = r#"
sources:
  - name: a
    meters: ["disk.*", "!disk.read"]
    sinks: [s, t]
  - name: a
    meters: []
    sinks: []
  - name: 7
    meters: [cpu, 1]
    sinks: [s, s]
  - meters: cpu
    sinks: [s]
  - name: b
    sinks: s
    interval: 600
  - nonsense
sinks:
  - name: s
    transformers:
      - name: unit_conversion
    publishers: [notifier, "", 4]
  - name: s
    publishers: []
  - name: u
"#;
    let node = yaml::read("pipeline.yaml", text).unwrap();
    let complaints = Plan::read(Kind::Samples, &node).unwrap_err();
    insta::assert_snapshot!(printed(&complaints, Path::new("/none")));
}

#[test]
fn everything_about_transformers_is_wrong() {
    let text = r#"
sources: [{name: a, meters: ["*"], sinks: [s, t]}]
sinks:
  - name: s
    publishers: [notifier]
    transformers:
      - nonsense
      - name: unit_conversion
      - parameters: {}
      - name: user_defined
        parameters: {}
      - name: delta
        parameters: [target]
      - name: rate_of_change
        parameters:
          source: {map_from: "disk"}
          target:
            type: rate
            name: 7
            max: much
            scale: "max(volume, 1)"
      - name: unit_conversion
        parameters:
          target: {scale: "volume * (1"}
      - name: accumulator
        parameters: {size: "many"}
      - name: aggregator
        parameters:
          size: many
          retention_time: soon
      - name: arithmetic
        parameters:
          target: {expr: "$(cpu) +", type: what}
  - name: t
    publishers: [notifier]
    transformers: {name: delta}
"#;
    let node = yaml::read("pipeline.yaml", text).unwrap();
    let complaints = Plan::read(Kind::Samples, &node).unwrap_err();
    insta::assert_snapshot!(printed(&complaints, Path::new("/none")));
}

#[test]
fn what_the_original_passes_over_in_transformers_is_a_warning() {
    let text = r#"
sources: [{name: a, meters: ["*"], sinks: [s]}]
sinks:
  - name: s
    publishers: [notifier]
    transformers:
      - name: unit_conversion
        parameter: {}
        parameters:
          colour: blue
          source: {map_from: {name: "("}, unit: B}
          target: {map_to: {name: "x", unit: y}, scale: 0, max: 0, expr: "1"}
      - name: rate_of_change
        parameters:
          source: {unit: B, map_from: {name: "a(.)"}}
          target: {name: "b", map_to: {unit: "c"}}
      - name: unit_conversion
        parameters:
          source: {map_from: {name: "a(.)"}}
          target: {name: "b", map_to: {name: '\2'}}
      - name: delta
        parameters:
          source: {map_from: {name: "a"}}
          target: {name: "b", unit: "c", map_to: {name: "b"}}
      - name: accumulator
        parameters: {size: 0}
      - name: aggregator
        parameters: {timestamp: middle, user_id: drop, resource_metadata: all}
      - name: arithmetic
        parameters:
          target: {name: nothing}
      - name: arithmetic
        parameters:
          target: {expr: "1 + 1"}
"#;
    let node = yaml::read("pipeline.yaml", text).unwrap();
    let plan = Plan::read(Kind::Samples, &node).unwrap();
    insta::assert_snapshot!(printed(&plan.warnings, Path::new("/none")));
}

#[test]
fn transformers_are_what_is_written_not_how() {
    let digest = |text: &str| {
        let text = format!(
            "sources: [{{name: a, meters: [x], sinks: [a]}}]\nsinks: [{{name: a, publishers: [test], transformers: {text}}}]"
        );
        let plan = Plan::read(Kind::Samples, &yaml::read("pipeline.yaml", &text).unwrap()).unwrap();
        let transformers = &plan.sinks[0].transformers;
        (transformers.digest(), transformers.is_stateful())
    };
    let (one, stateful) = digest("[{name: delta, parameters: {growth_only: true, target: {name: x}}}]");
    assert!(stateful);
    assert_eq!(one, digest("[{parameters: {target: {name: x}, growth_only: true}, name: delta}]").0);
    assert_ne!(one, digest("[{name: delta, parameters: {growth_only: false, target: {name: x}}}]").0);
    assert!(!digest("[{name: accumulator, parameters: {size: 1}}, {name: unit_conversion, parameters: {}}]").1);
    assert!(digest("[{name: accumulator, parameters: {size: 2}}]").1);
}

#[test]
fn a_pipeline_file_is_no_mapping() {
    for (text, complaints) in [("", 1), ("[]", 1), ("just text", 1), ("sources: {}\nsinks: 1\n", 2)] {
        let node = yaml::read("p.yaml", text).unwrap();
        assert_eq!(Plan::read(Kind::Events, &node).unwrap_err().len(), complaints, "{text:?}");
    }
}

#[test]
fn definition_files_cannot_be_had() {
    let dir = folder(&[
        ("ceilometer.conf", ""),
        ("event_pipeline.yaml", "sources: [\n"),
        ("event_definitions.yaml", "- event_type: a\n  event_type: b\n"),
        ("meters/a.yaml", "metric: *nowhere\n"),
        ("meters/b.yaml", "metric:\n\t- tab\n"),
    ]);
    let conf = format!(
        "[DEFAULT]\npipeline_cfg_file = mine.yaml\n[meter]\nmeter_definitions_dirs = {0}/meters\nmeter_definitions_dirs = {0}/absent\n",
        dir.path().display()
    );
    std::fs::write(dir.path().join("ceilometer.conf"), conf).unwrap();
    let (settings, complaints) = load(dir.path());
    assert_eq!(complaints, []);
    let (definitions, complaints) = definitions::read(&settings.unwrap());
    assert!(definitions.pipeline.is_none(), "a named file that is missing is never replaced by another");
    // Where else it was looked for depends on the home folder.
    let text = printed(&complaints, dir.path());
    let text: String =
        text.lines().map(|l| l.split(", neither").next().unwrap_or_default().to_owned() + "\n").collect();
    insta::assert_snapshot!(text);
}

#[test]
fn a_folder_of_meters_is_empty_or_not_there() {
    let none = "sources: []\nsinks: []\n";
    let dir = folder(&[
        ("empty/.hidden.yaml", "metric: ["),
        ("empty/meters.yml", "metric: ["),
        ("pipeline.yaml", none),
        ("event_pipeline.yaml", none),
    ]);
    let mut told = String::new();
    for name in ["empty", "absent"] {
        let conf = format!("[meter]\nmeter_definitions_dirs = {}/{name}\n", dir.path().display());
        std::fs::write(dir.path().join("ceilometer.conf"), conf).unwrap();
        let (definitions, complaints) = definitions::read(&load(dir.path()).0.unwrap());
        assert_eq!(definitions.meters, []);
        told += &printed(&complaints, dir.path());
    }
    insta::assert_snapshot!(told);
}

#[test]
fn nothing_is_configured() {
    let dir = folder(&[("ceilometer.conf", "")]);
    let (settings, complaints) = load(dir.path());
    assert_eq!(complaints, []);
    let settings = settings.unwrap();
    assert_eq!(settings.transport.to_string(), "rabbit://localhost:5672/");
    assert_eq!(settings.intake.topics, ["notifications"]);
    assert_eq!(settings.intake.exchanges.len(), 14);
    assert_eq!(settings.transport.rabbit.prefetch.messages, 100);
    let (definitions, complaints) = definitions::read(&settings);
    let told = complaints.iter().map(|c| (c.severity, &*c.place.file)).collect::<Vec<_>>();
    let warned = (Severity::Warning, "pipeline.yaml");
    assert_eq!(told, [warned, (Severity::Warning, "event_pipeline.yaml")], "it is said where samples and events go");
    let plan = Plan::read(Kind::Samples, &definitions.pipeline.unwrap()).unwrap();
    assert_eq!(&*plan.pipelines[0].name, "meter_source:meter_sink");
    assert_eq!(plan.sinks[0].publishers[0].url, "gnocchi://", "as Ceilometer has it");
    let plan = Plan::read(Kind::Events, &definitions.event_pipeline.unwrap()).unwrap();
    assert_eq!(&*plan.pipelines[0].name, "event:event_source:event_sink");
}

#[test]
fn the_sample_file_says_what_holds_without_it() {
    let sample = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/ceilometer.conf.sample"));
    let uncommented: String = sample
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("# "))
        .map(|line| line.strip_prefix('#').unwrap_or(line).to_owned() + "\n")
        .collect();
    let dir = folder(&[("ceilometer.conf", ""), ("written/ceilometer.conf", &uncommented)]);
    let (plain, _) = load(dir.path());
    let (written, complaints) = load(&dir.path().join("written"));
    assert_eq!(complaints, []);
    let (mut plain, mut written) = (plain.unwrap(), written.unwrap());
    // The folders are named in one and taken for granted in the other.
    assert_eq!(written.conversion.meter_definitions_dirs.take(), Some(vec![PathBuf::from("/etc/ceilometer/meters.d")]));
    plain.sources = written.sources.clone();
    // A login that is written in part is told what is missing, at its place.
    plain.logins = written.logins.clone();
    // A prefetch that is not written is one by sizes, where that can be.
    let urls = written.intake.urls.iter_mut();
    for url in urls.chain([&mut written.transport]) {
        assert!(std::mem::take(&mut url.rabbit.prefetch.is_written));
    }
    plain.intake.exchanges.sort();
    written.intake.exchanges.sort();
    written.intake.exchanges.retain(|e| e != "sahara" && e != "magnetodb");
    assert_eq!(format!("{plain:?}"), format!("{written:?}"));
}

#[test]
fn a_file_of_the_liberty_era() {
    let dir = folder(&[(
        "ceilometer.conf",
        "[DEFAULT]\nhost = compute$tail\ntail = 1\nnotification_topics = a, b,\nnova_control_exchange = nova-cell\n\
         sahara_control_exchange = sahara\nmetering_secret = s3cret\ndebug = true\nlog_dir = /var/log/ceilometer\n\
         [oslo_messaging_rabbit]\nrabbit_use_ssl = true\nkombu_ssl_ca_certs = /ca.pem\n\
         [notification]\nmessaging_urls = rabbit://u:p%40ss@[::1]:5673,h2/v%2Fh?heartbeat_timeout_threshold=0\n\
         store_events = False\n[coordination]\nbackend_url = etcd3+https://root:pw@e1:1,e2?ca_cert=/c&timeout=2\nheartbeat = 15\n",
    )]);
    let (settings, complaints) = load(dir.path());
    assert_eq!(printed(&complaints, dir.path()), "? ceilometer.conf:3: [DEFAULT] tail is not known\n");
    let settings = settings.unwrap();
    assert_eq!(settings.intake.topics, ["a", "b"]);
    assert_eq!(settings.intake.exchanges[0], "nova-cell");
    assert_eq!(settings.intake.exchanges.last().unwrap(), "sahara");
    assert_eq!(settings.publishing.telemetry_secret.as_ref().unwrap().reveal(), "s3cret");
    assert_eq!(settings.observing.log_level, "debug");
    assert_eq!(settings.observing.log_file, Some("/var/log/ceilometer/nephoscope.log".into()));
    assert!(!settings.pipelines.events);
    let url = &settings.intake.urls[0];
    assert_eq!(url.to_string(), "rabbit://[::1]:5673,h2:5672/v/h");
    assert_eq!(url.hosts[0].user.as_ref().map(|(u, p)| (u.as_str(), p.reveal())), Some(("u", "p@ss")));
    assert_eq!(url.hosts[1].user, None);
    assert_eq!(url.rabbit.heartbeat, None);
    assert!(url.rabbit.tls.as_ref().unwrap().verify_hostname);
    let backend = settings.cluster.backend.as_ref().unwrap();
    assert_eq!(backend.to_string(), "etcd3+https://e1:1,e2:2379");
    assert_eq!(settings.cluster.lease_ttl.as_secs(), 15);
    let further = settings.transport_url("rabbit://h3/").unwrap();
    assert_eq!(further.rabbit.tls.unwrap().ca_file, Some("/ca.pem".into()), "a publisher's broker");
    let shown = format!("{settings:?}");
    assert!(!["p@ss", "p%40ss", "s3cret"].iter().any(|secret| shown.contains(secret)));
}

#[test]
fn faults_of_the_original_are_repaired_one_by_one() {
    let repaired = |name: &str| {
        let dir = folder(&[("ceilometer.conf", &format!("[nephoscope]\n{name} = repaired\n"))]);
        let (settings, complaints) = load(dir.path());
        assert_eq!(complaints, []);
        let settings = settings.unwrap();
        let (conversion, transformers) = (settings.conversion.repairs, settings.transformers.repairs);
        let all = [
            conversion.context_fallback,
            conversion.unparsable_literals,
            conversion.lookup_constants,
            conversion.failed_traits,
            conversion.polled_monotonic_time,
            transformers.renamed_gauge_aggregates,
            transformers.arithmetic_timestamps,
        ];
        let on: Vec<usize> = (0..all.len()).filter(|n| all[*n]).collect();
        on
    };
    assert_eq!(repaired("user_id_fallback"), [0]);
    assert_eq!(repaired("unparsable_literals"), [1]);
    assert_eq!(repaired("lookup_constants"), [2]);
    assert_eq!(repaired("failed_traits"), [3]);
    assert_eq!(repaired("polled_monotonic_time"), [4]);
    assert_eq!(repaired("renamed_gauge_aggregates"), [5]);
    assert_eq!(repaired("arithmetic_timestamps"), [6]);
}
