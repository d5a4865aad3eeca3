//! What is judged only where it has an effect, and values that have another one than their author meant.

use super::{Told, complaints, nephoscope, read};
use rstest::rstest;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const CONF: &str = "[DEFAULT]\ntransport_url = rabbit://a:b@127.0.0.1:1/\n[nephoscope]\nlisten =\n";
const FILE: &str = "test://";
const NO_SOURCES: &str = "sources: []\nsinks: []\n";

fn pipeline(kind: &str, publisher: &str) -> String {
    format!("sources: [{{name: s, {kind}: ['*'], sinks: [k]}}]\nsinks: [{{name: k, publishers: ['{publisher}']}}]\n")
}

fn put(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// What `check` says of a configuration that is right but for these files.
fn checked(files: &[(&str, &str)]) -> (Told, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (samples, events) = (pipeline("meters", FILE), pipeline("events", FILE));
    put(folder.path(), &[("c.conf", CONF), ("pipeline.yaml", &samples), ("event_pipeline.yaml", &events)]);
    put(folder.path(), files);
    (nephoscope(folder.path(), &["check", "--config-file", "c.conf"]), folder)
}

#[rstest]
#[case::no_event_pipelines("[notification]\npipelines = meter\n", "event_definitions.yaml", "events")]
#[case::events_are_off("[notification]\nstore_events = false\n", "event_definitions.yaml", "events")]
#[case::no_meter_pipelines("[notification]\npipelines = event\n", "m.d/a.yaml", "samples")]
fn definitions_are_broken_that_nothing_uses(#[case] conf: &str, #[case] file: &str, #[case] made: &str) {
    for broken in ["- [\n", "metric: 1\nx: 2\n", "- 7\n"] {
        let meters = "[meter]\nmeter_definitions_dirs = m.d\n";
        let (told, _) =
            checked(&[("c.conf", &format!("{CONF}{meters}{conf}")), ("m.d/b.yaml", "metric: []\n"), (file, broken)]);
        let about = told.about(file);
        assert!(!about.is_empty() && about.iter().all(|line| line.starts_with("warning: ")), "{}", told.errors);
        assert!(told.errors.contains(&format!("; no pipeline takes {made} now")), "{}", told.errors);
        assert_eq!(told.exit, 0, "{}", told.errors);
        let (told, _) =
            checked(&[("c.conf", &format!("{CONF}{meters}")), ("m.d/b.yaml", "metric: []\n"), (file, broken)]);
        assert_eq!(told.exit, 78, "used, it is an error: {}", told.errors);
    }
}

#[test]
fn definitions_are_broken_and_no_source_asks_for_them() {
    let (told, _) = checked(&[("event_pipeline.yaml", NO_SOURCES), ("event_definitions.yaml", "- [\n")]);
    assert_eq!((told.exit, told.about("event_definitions.yaml").len()), (0, 1), "{}", told.errors);
}

#[rstest]
#[case::a_driver("[publisher_notifier]\ntelemetry_driver = log\n", "telemetry_driver")]
#[case::a_broker(
    "[notification]\nmessaging_urls = rabbit://h\n[oslo_messaging_notifications]\ntransport_url = kafka://h:1\n",
    "transport_url"
)]
fn only_the_notifier_publisher_uses_it(#[case] conf: &str, #[case] option: &str) {
    let conf = format!("{CONF}{conf}");
    let (told, _) = checked(&[("c.conf", &conf)]);
    assert_eq!(told.exit, 0, "{}", told.errors);
    let warned = told.about("c.conf");
    assert!(
        warned.iter().any(|line| line.contains(option) && line.contains("no sink publishes to notifier://")),
        "{warned:?}"
    );
    let (told, _) = checked(&[("c.conf", &conf), ("pipeline.yaml", &pipeline("meters", "notifier://?topic=x"))]);
    assert_eq!(told.exit, 78, "{}", told.errors);
    assert!(told.errors.contains(option), "{}", told.errors);
}

#[test]
fn a_limit_of_quorum_queues_is_written_for_classic_ones() {
    let limit = "[oslo_messaging_rabbit]\nrabbit_quorum_delivery_limit = -1\n";
    let said = complaints(limit);
    assert!(said.len() == 1 && said[0].starts_with("? c:2: "), "{said:?}");
    assert!(complaints(&format!("{limit}rabbit_quorum_queue = true\n"))[0].starts_with("! c:2: "));
}

#[test]
fn options_of_events_are_wrong_and_there_are_none() {
    let wrong = "[event]\ndrop_unmatched_notifications = maybe\n";
    let said = complaints(&format!("{wrong}[notification]\npipelines = meter\n"));
    assert!(said.len() == 1 && said[0].starts_with("? c:2: "), "{said:?}");
    assert!(complaints(wrong)[0].starts_with("! c:2: "));
}

#[rstest]
#[case::exchanges(
    "[notification]\nnotification_control_exchanges = nova,cinder",
    "a comma or semicolon in it; write one a line: notification_control_exchanges = nova, then \
     notification_control_exchanges = cinder"
)]
#[case::lines("[notification]\nnotification_control_exchanges = nova\n  cinder", "a line end in it; write one a line")]
#[case::a_list("[notification]\nnotification_control_exchanges = [\"nova\"]", "a bracket in it; write one name")]
#[case::one_service("[DEFAULT]\nnova_control_exchange = nova cinder", "a blank in it; write one name")]
#[case::ours("[DEFAULT]\ncontrol_exchange = a;b", "a comma or semicolon in it")]
#[case::topics(
    "[oslo_messaging_notifications]\ntopics = 'a', 'b'",
    "names are separated by commas alone: topics = a,b"
)]
#[case::a_topic("[publisher_notifier]\nmetering_topic = a,b", "a comma or semicolon in it")]
fn a_name_is_probably_several(#[case] written: &str, #[case] what: &str) {
    let said = complaints(&format!("{written}\n"));
    assert!(!said.is_empty() && said.iter().all(|line| line.starts_with("? c:2: ")), "{said:?}");
    assert!(said[0].contains(what), "{said:?}");
}

#[test]
fn names_as_they_are() {
    let said = complaints(
        "[notification]\nnotification_control_exchanges = a-b_c.d\n[oslo_messaging_notifications]\ntopics = a, b\n",
    );
    assert_eq!(said, [""; 0]);
}

#[test]
fn pipelines_stand_in_one_line() {
    let said = complaints("[notification]\npipelines = meter,event\npipelines = event\n");
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("! c:2: ") && said[0].contains("pipelines = meter, then pipelines = event"),
        "{said:?}"
    );
}

/// The lines of sample files up to Newton.
#[rstest]
#[case::written("[DEFAULT]\nrabbit_host = h\n", "h:5672")]
#[case::written_there("[oslo_messaging_rabbit]\nrabbit_host = h\nrabbit_port = 7\n", "h:7")]
#[case::not_written("", "localhost:5672")]
fn hosts_are_written_by_other_options(#[case] others: &str, #[case] host: &str) {
    for section in ["DEFAULT", "oslo_messaging_rabbit"] {
        let (settings, said) = read(&format!("[{section}]\nrabbit_hosts = $rabbit_host:$rabbit_port\n{others}"));
        assert!(said.iter().all(|line| line.starts_with('?')), "{said:?}");
        assert_eq!(settings.transport.hosts[0].to_string(), host);
    }
}

#[rstest]
#[case::definitions("pipeline.yaml")]
#[case::configuration("c.conf")]
fn a_pipe_stands_where_a_file_belongs(#[case] name: &str) {
    let (_, folder) = checked(&[]);
    let path = folder.path().join(name);
    std::fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let told = nephoscope(folder.path(), &["check", "--config-file", "c.conf"]);
    assert_eq!(told.exit, 78);
    assert!(told.errors.contains(&format!("{name}: cannot read it: it is no regular file")), "{}", told.errors);
}

#[test]
fn an_option_is_an_environment_variable() {
    let (_, folder) = checked(&[]);
    put(folder.path(), &[("c.conf", &format!("{CONF}[notification]\npipelines = meter\n"))]);
    let told = |name: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
        command.args(["check", "--config-file", "c.conf"]).current_dir(folder.path()).env("HOME", "/nonexistent");
        let output = command.env(name, value).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = told("OS_DEFAULT__TRANSPORT_URL", "rabbit://u:SESAME@elsewhere/");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("whether rabbit://elsewhere:5672/ answers") && !said.contains("127.0.0.1:1"), "{said}");
    let (code, said) = told("OS_NOTIFICATION__PIPELINES", "metre");
    assert_eq!(code, Some(78), "{said}");
    let line = "error: environment variable OS_NOTIFICATION__PIPELINES: [notification] pipelines = \"metre\"";
    assert!(said.contains(line), "{said}");
}

#[test]
fn a_source_of_options_is_not_read() {
    let said = complaints("[DEFAULT]\nconfig_source = remote\n");
    assert!(said.len() == 1 && said[0].starts_with("? c:2: [DEFAULT] config_source has no effect"), "{said:?}");
}

#[test]
fn check_says_what_it_read() {
    let (told, _) = checked(&[("event_definitions.yaml", "[]\n")]);
    let read = told.output.split("\nread:\n").nth(1).unwrap();
    assert_eq!(read, "  c.conf\n  event_definitions.yaml\n  pipeline.yaml\n  event_pipeline.yaml\n");
}

#[rstest]
#[case("[DEFAULT]\npipeline_cfg_file =")]
#[case("[event]\ndefinitions_cfg_file =")]
fn the_name_of_a_file_is_empty(#[case] written: &str) {
    let said = complaints(&format!("{written}\n"));
    assert!(
        said.len() == 1 && said[0].starts_with("! c:2: ") && said[0].ends_with("expected the name of a file"),
        "{said:?}"
    );
}

#[test]
fn an_option_is_written_twice() {
    let said = complaints("[DEFAULT]\nhost = a\n[event]\n[DEFAULT]\nhost = b\n");
    assert_eq!(said, ["? c:5: [DEFAULT] host is already written in line 2; this one wins"]);
}

#[test]
fn a_publisher_is_named_twice() {
    let twice = pipeline("meters", "test://").replace("['test://']", "['test://', test]");
    let (told, _) = checked(&[("pipeline.yaml", &twice)]);
    let expected = "warning: pipeline.yaml:2: the publisher \"test://\" is named twice; its data come twice";
    assert_eq!((told.exit, told.about("pipeline.yaml")), (0, vec![expected]));
}

#[test]
fn a_file_of_tls_is_named_in_a_further_url() {
    let urls =
        "[notification]\nmessaging_urls = rabbit://h\nmessaging_urls = rabbit://i/?ssl=true&ssl_ca_file=/no/such\n";
    let (told, _) = checked(&[("c.conf", &format!("{CONF}{urls}"))]);
    let about = told.about("c.conf");
    assert!(about.len() == 1 && about[0].starts_with("error: c.conf:7: rabbit://i:5672/"), "{about:?}");
}
