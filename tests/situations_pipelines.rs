//! Situations from public configurations and bug reports, as far as they are about pipelines and definitions: what
//! `check`, `run` and `convert` say of them. Each folder of `situations_pipelines/` is one; what is asked of others of
//! the same kinds is written here.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use rstest::rstest;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CONF: &str = "[DEFAULT]\ntransport_url = rabbit://a:b@127.0.0.1:1/\n[nephoscope]\nlisten =\n";
const PIPELINE: &str =
    "sources: [{name: all, meters: ['*'], sinks: [out]}]\nsinks: [{name: out, publishers: ['test://']}]\n";
const EVENT_PIPELINE: &str =
    "sources: [{name: all, events: ['*'], sinks: [out]}]\nsinks: [{name: out, publishers: ['test://']}]\n";
/// Longer than an agent takes to start where all cores compile.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command said.
struct Said {
    code: i32,
    out: String,
    errors: Vec<String>,
}

impl Said {
    /// The lines of errors that begin and go on so, each of which has to be there.
    #[track_caller]
    fn has(&self, expected: &[(&str, &str)]) -> &Self {
        for (start, text) in expected {
            let found = self.errors.iter().any(|line| line.starts_with(start) && line.contains(text));
            assert!(found, "no line {start} … {text} in\n{}\n{}", self.errors.join("\n"), self.out);
        }
        self
    }

    #[track_caller]
    fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}\n{}", self.errors.join("\n"), self.out);
        self
    }

    #[track_caller]
    fn says_nothing_of(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(!self.errors.iter().any(|line| line.contains(word)), "{word} in\n{}", self.errors.join("\n"));
        }
        self
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    let (name, others) = arguments.split_first().unwrap();
    command.args([name, "--config-file", "ceilometer.conf"]).args(others);
    // The folders that are searched beside this one.
    command.current_dir(folder).env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

fn nephoscope(folder: &Path, arguments: &[&str]) -> Said {
    let output = command(folder, arguments).output().unwrap();
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: lines(&output.stderr),
    }
}

fn situation(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/situations_pipelines").join(name)
}

/// A folder with a configuration that can be run, and these files instead or beside.
fn configured(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let whole = [("ceilometer.conf", CONF), ("pipeline.yaml", PIPELINE), ("event_pipeline.yaml", EVENT_PIPELINE)];
    for (name, text) in whole.iter().chain(files) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn checked(files: &[(&str, &str)]) -> Said {
    nephoscope(configured(files).path(), &["check"])
}

#[test]
fn unknown_keys_in_pipelines() {
    let said = nephoscope(&situation("unknown-keys-in-pipelines"), &["check"]);
    said.ends_with(0).has(&[
        ("warning: pipeline.yaml:6: ", "resource_filter is not a key of a source"),
        (
            "warning: pipeline.yaml:9: ",
            "transformer is not a key of a sink and is passed over; did you mean transformers?",
        ),
        ("warning: pipeline.yaml:14: ", "no source names the sink \"archive\""),
        ("warning: pipeline.yaml:16: ", "channels is not a section of a pipeline file"),
    ]);
    assert!(said.out.contains("the configuration can be run, 4 warnings"), "{}", said.out);
}

#[test]
fn keys_that_polling_agents_read_are_not_misspelt() {
    let said = checked(&[(
        "pipeline.yaml",
        "sources:\n- name: old\n  interval: 600\n  counters: ['*']\n  resources: []\n  discovery: []\n  \
         max_polling_jitter: 1\n  sinks: [out]\nsinks:\n- {name: out, transformers: , publishers: ['test://']}\n",
    )]);
    said.ends_with(0).says_nothing_of(&["interval", "counters", "resources", "discovery", "max_polling"]);
}

#[test]
fn keys_stand_where_they_do_not_count() {
    let said = checked(&[
        (
            "pipeline.yaml",
            "sources:\n- name: a\n  meters: ['*']\n  publishers: ['test://']\n  sinks: [out]\nsinks:\n- name: out\n  \
             transformers:\n  - name: delta\n    growth_only: true\n    parameters:\n      grwoth_only: true\n      target: {nmae: x}\n  \
             publishers: ['test://']\n",
        ),
        (
            "event_pipeline.yaml",
            "sources:\n- {name: a, events: ['*'], meters: [cpu], sinks: [out]}\nsinks:\n- {name: out, publisher: ['x://'], publishers: ['test://']}\n",
        ),
    ]);
    said.ends_with(0).has(&[
        ("warning: pipeline.yaml:4: ", "publishers is not a key of a source and is passed over; it belongs to a sink"),
        (
            "warning: pipeline.yaml:10: ",
            "growth_only is not a key of a transformer and is passed over; it belongs under",
        ),
        (
            "warning: pipeline.yaml:12: ",
            "grwoth_only is not a parameter of delta and is passed over; did you mean growth_only?",
        ),
        (
            "warning: pipeline.yaml:13: ",
            "nmae is not part of the target of delta and is passed over; did you mean name?",
        ),
        (
            "warning: event_pipeline.yaml:2: ",
            "meters is not a key of a source and is passed over; it belongs to a source of pipeline.yaml",
        ),
        ("warning: event_pipeline.yaml:4: ", "did you mean publishers?"),
    ]);
}

#[test]
fn unknown_keys_in_definitions() {
    let said = checked(&[
        ("ceilometer.conf", &format!("{CONF}[meter]\nmeter_definitions_dirs = meters.d\n")),
        (
            "meters.d/m.yaml",
            "metrics: []\nmetric:\n- name: m\n  event_type: e\n  type: gauge\n  unit: B\n  resource: x\n  \
             volume: {fields: $.payload.v, plugins: split}\n  resource_id: $.payload.id\n  lookup: [volum]\n",
        ),
        (
            "event_definitions.yaml",
            "- event_type: e\n  traits:\n    a: {field: x, fields: payload.a, typ: int}\n    \
             b: {fields: payload.b, plugin: {name: split, parameter: {}, parameters: {seperator: '-'}}}\n  trait: {}\n",
        ),
    ]);
    said.ends_with(0).has(&[
        (
            "warning: meters.d/m.yaml:1: ",
            "metrics is not a section of a file of meters and is passed over; did you mean metric?",
        ),
        ("warning: meters.d/m.yaml:7: ", "resource is not a key of a meter"),
        (
            "warning: meters.d/m.yaml:8: ",
            "plugins is not a key of an attribute and is passed over; did you mean plugin?",
        ),
        ("warning: meters.d/m.yaml:10: ", "lookup: volum is no attribute of a meter; did you mean volume?"),
        (
            "warning: event_definitions.yaml:3: ",
            "field is not a key of a trait and is passed over; did you mean fields?",
        ),
        ("warning: event_definitions.yaml:3: ", "typ is not a key of a trait and is passed over; did you mean type?"),
        (
            "warning: event_definitions.yaml:4: ",
            "parameter is not a key of a plugin and is passed over; did you mean parameters?",
        ),
        (
            "warning: event_definitions.yaml:4: ",
            "seperator is not a parameter of split and is passed over; did you mean separator?",
        ),
        (
            "warning: event_definitions.yaml:5: ",
            "trait is not a key of an event definition and is passed over; did you mean traits?",
        ),
    ]);
}

#[rstest]
#[case::number("sources: []\nsinks: 5\n", "pipeline.yaml:2: expected a list under `sinks:`, this is the number 5")]
#[case::nothing(
    "sources:\nsinks: []\n",
    "nothing is written under `sources:`; write a list of sources, or `sources: []` for none"
)]
#[case::absent("sinks: []\n", "the section `sources:` is missing")]
#[case::empty("", "the file is empty")]
#[case::of_2013("- name: meter_pipeline\n  interval: 600\n", "this is a list, as pipelines were before Icehouse")]
#[case::text_for_a_source(
    "sources: [all]\nsinks: []\n",
    "expected a source, which is a mapping of name, meters, sinks; this is the text \"all\""
)]
#[case::sinks_of_a_source(
    "sources: [{name: a, meters: ['*'], sinks: out}]\nsinks: []\n",
    "expected a list of names of sinks under `sinks:`, this is the text \"out\""
)]
#[case::meters(
    "sources: [{name: a, meters: {cpu: 1}, sinks: [o]}]\nsinks: [{name: o, publishers: [test]}]\n",
    "expected a list of names or patterns, this is a mapping"
)]
#[case::publishers(
    "sources: []\nsinks: [{name: o, publishers: 'notifier://'}]\n",
    "expected a list of URLs under `publishers:`, this is the text \"notifier://\""
)]
#[case::publisher(
    "sources: []\nsinks:\n- name: o\n  publishers:\n  - notifier: //\n",
    "pipeline.yaml:5: expected the URL of a publisher, \"notifier://\" for example; this is a mapping"
)]
#[case::transformers(
    "sources: []\nsinks: [{name: o, transformers: delta, publishers: [test]}]\n",
    "expected a list of transformers, each with `name:` and `parameters:`; this is the text \"delta\""
)]
#[case::parameters(
    "sources: []\nsinks: [{name: o, transformers: [{name: delta, parameters: [x]}], publishers: [test]}]\n",
    "expected the parameters of delta as a mapping, this is a list"
)]
#[case::transformer(
    "sources: []\nsinks: [{name: o, transformers: [{name: rate_of_chnage, parameters: {}}], publishers: [test]}]\n",
    "there is no transformer rate_of_chnage; did you mean rate_of_change?"
)]
#[case::sink(
    "sources: [{name: a, meters: ['*'], sinks: [ouput]}]\nsinks: [{name: output, publishers: [test]}]\n",
    "there is no sink \"ouput\"; did you mean output?"
)]
fn a_wrong_type_is_no_absence(#[case] pipeline: &str, #[case] expected: &str) {
    checked(&[("pipeline.yaml", pipeline)]).ends_with(78).has(&[("error: pipeline.yaml:", ""), ("error: ", expected)]);
}

#[test]
fn no_password_is_in_a_complaint_about_a_wrong_type() {
    let pipeline = "sources: []\nsinks:\n- {name: o, publishers: 'https://u:opensesame@h/'}\n- {name: p, 'https://u:opensesame@h': x}\n";
    let said = checked(&[("pipeline.yaml", pipeline)]);
    said.ends_with(78).says_nothing_of(&["opensesame"]).has(&[("error: ", "the text \"https://…\"")]);
}

#[test]
fn the_meters_of_a_source_are_no_list() {
    let said = checked(&[("pipeline.yaml", &PIPELINE.replace("['*']", "cpu"))]);
    said.ends_with(0).has(&[(
        "warning: pipeline.yaml:1: expected a list of names or patterns, this is the text \"cpu\"",
        "letter by letter",
    )]);
}

#[test]
fn no_events_wanted() {
    let said = nephoscope(&situation("no-events-wanted"), &["check"]);
    let how = "if no events are wanted, write [notification] pipelines = meter in ceilometer.conf, or sources: [] and sinks: []";
    said.ends_with(78).has(&[
        ("warning: event_pipeline.yaml:4: this source takes nothing", how),
        ("error: event_pipeline.yaml:9: sink event_sink: ", "the path of a file is missing"),
        ("error: event_pipeline.yaml:9: ", how),
    ]);
}

#[rstest]
#[case::empty("[]")]
#[case::nothing("")]
fn the_publishers_of_a_sink_are_not_installed(#[case] publishers: &str) {
    let said = checked(&[("event_pipeline.yaml", &EVENT_PIPELINE.replace("['test://']", publishers))]);
    said.ends_with(78)
        .has(&[("error: event_pipeline.yaml:2: a sink needs at least one publisher", "pipelines = meter")]);
}

#[rstest]
#[case("ceilometer.conf", "[DEFAULT]\ntransport_url = rabbit://a:b@127.0.0.1/\n[notification]\npipelines = meter\n")]
#[case("event_pipeline.yaml", "sources: []\nsinks: []\n")]
fn events_are_switched_off_as_the_complaint_says(#[case] name: &str, #[case] text: &str) {
    checked(&[(name, text)]).ends_with(0).says_nothing_of(&["event"]);
}

#[test]
fn nobody_reads_what_is_published() {
    let said = nephoscope(&situation("nobody-reads-what-is-published"), &["check"]);
    // Whoever has a Gnocchi has a login for it.
    said.ends_with(78).has(&[
        (
            "warning: pipeline.yaml: it is not in ",
            "samples go to Gnocchi (gnocchi://), with the login of [service_credentials]",
        ),
        ("error: shipped pipeline.yaml:", "[service_credentials] has no login, and gnocchi:// needs one"),
        (
            "warning: event_pipeline.yaml: it is not in ",
            "events go to the queue event.sample of the exchange ceilometer, which needs a reader",
        ),
    ]);
    // A notifier:// that an operator wrote has a reader.
    let written = PIPELINE.replace("test://", "notifier://");
    checked(&[("pipeline.yaml", &written)]).ends_with(0).says_nothing_of(&["reader"]);
}

#[test]
fn check_agrees_with_run() {
    let folder = situation("check-agrees-with-run");
    let said = nephoscope(&folder, &["check"]);
    said.ends_with(78).has(&[
        ("error: pipeline.yaml:9: ", "the folder /nowhere does not exist"),
        ("error: pipeline.yaml:10: ", "verify_ssl=/nowhere/ca.pem: No such file"),
        ("error: pipeline.yaml:11: ", "clientcert=/nowhere/client.pem: No such file"),
    ]);
    assert_eq!(said.errors.len(), 3);
    let run = nephoscope(&folder, &["run"]);
    assert_eq!((run.ends_with(78).errors.as_slice(), run.out.as_str()), (said.errors.as_slice(), ""));
}

/// What looks like a certificate and is none.
const PEM: &str = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";

#[test]
fn files_that_options_name_are_looked_at() {
    let conf = "[DEFAULT]\ntransport_url = rabbit://a:b@127.0.0.1:1/\nlog_file = /nowhere/log/agent.log\n\
                [oslo_messaging_rabbit]\nssl = true\nssl_ca_file = /nowhere/ca.pem\nssl_cert_file = client.pem\nssl_key_file = /nowhere/key.pem\n\
                [notification]\nworkload_partitioning = true\n\
                [coordination]\nbackend_url = etcd3+https://127.0.0.1:1?ca_cert=client.pem\n\
                [nephoscope]\nlisten = 192.0.2.7:9187\nlog_level = nephoscope=loud\naccept_notifications = payload.x=(\n";
    let events = EVENT_PIPELINE
        .replace("'test://'", "'notifier://h/?ssl=1&ssl_ca_file=/nowhere/other.pem', 'notifier://h?polcy=drop'");
    let folder = configured(&[("ceilometer.conf", conf), ("client.pem", PEM), ("event_pipeline.yaml", &events)]);
    let said = nephoscope(folder.path(), &["check"]);
    said.ends_with(78).has(&[
        ("error: ceilometer.conf:3: ", "cannot write the log file /nowhere/log/agent.log: No such file"),
        ("error: ceilometer.conf:6: ", "cannot read ssl_ca_file /nowhere/ca.pem: No such file"),
        ("error: ceilometer.conf:8: ", "cannot read ssl_key_file /nowhere/key.pem: No such file"),
        ("error: ceilometer.conf:12: ", "cannot use ca_cert client.pem: "),
        ("error: ceilometer.conf:14: ", "[nephoscope] listen = 192.0.2.7:9187: cannot listen there"),
        ("error: ceilometer.conf:15: ", "cannot read the log level"),
        ("error: ceilometer.conf:16: ", "accept_notifications"),
        ("error: event_pipeline.yaml:2: ", "cannot read ssl_ca_file /nowhere/other.pem: No such file"),
        ("error: event_pipeline.yaml:2: ", "polcy is none"),
        ("error: event_pipeline.yaml:2: ", "polcy: did you mean policy?"),
    ]);
    let run = nephoscope(folder.path(), &["run"]);
    assert_eq!(run.ends_with(78).errors, said.errors);
}

#[test]
fn a_certificate_and_a_key_are_exchanged() {
    let conf = "[DEFAULT]\ntransport_url = rabbit://a:b@127.0.0.1:1/?ssl=1&ssl_cert_file=key.pem&ssl_key_file=client.pem\n\
                [nephoscope]\nlisten =\n";
    let key = PEM.replace("CERTIFICATE", "PRIVATE KEY");
    let said = checked(&[("ceilometer.conf", conf), ("client.pem", PEM), ("key.pem", &key)]);
    said.ends_with(78).has(&[(
        "error: ceilometer.conf:2: rabbit://127.0.0.1:1/: ",
        "cannot use ssl_cert_file key.pem: there is no certificate in it; give a certificate, PEM",
    )]);
}

#[test]
fn what_only_a_running_agent_can_tell_is_named() {
    let conf = "[DEFAULT]\ntransport_url = rabbit://a:secret@broker-1/\n[notification]\nworkload_partitioning = true\n\
                [coordination]\nbackend_url = etcd3://root:secret@etcd-1\n[nephoscope]\nmember_id = me\nlisten = 127.0.0.1:9187\n";
    let folder = configured(&[
        ("ceilometer.conf", conf),
        (
            "pipeline.yaml",
            &PIPELINE.replace(
                "'test://'",
                "'https://u:secret@collector.example/x', 'file:///tmp/nephoscope-makes-no-such-file'",
            ),
        ),
    ]);
    let before = fs::read_dir(folder.path()).unwrap().count();
    let said = nephoscope(folder.path(), &["check"]);
    said.ends_with(0);
    for left_out in [
        "rabbit://broker-1:5672/ answers",
        "etcd-1:2379 answers",
        "is called me",
        "collector.example",
        "127.0.0.1:9187",
        "another user",
    ] {
        assert!(said.out.contains(left_out), "{left_out} is not in\n{}", said.out);
    }
    assert!(!said.out.contains("secret"), "{}", said.out);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before, "a check makes no file");
    assert!(!Path::new("/tmp/nephoscope-makes-no-such-file").exists());
}

#[rstest]
#[case("gnochi://", 78, "there is no publisher gnochi; did you mean gnocchi?")]
#[case("notifer://", 78, "did you mean notifier?")]
#[case("file:///tmp/x?jsn", 78, "unknown option jsn; did you mean json?")]
#[case("notifier://?per_metre_topic=1", 78, "unknown option per_metre_topic; did you mean per_meter_topic?")]
#[case(
    "https://h/x?verifyssl=no",
    0,
    "verifyssl is no option of the publisher and stays in the URL; did you mean verify_ssl?"
)]
fn a_publisher_is_misspelt(#[case] url: &str, #[case] code: i32, #[case] expected: &str) {
    let said = checked(&[("pipeline.yaml", &PIPELINE.replace("test://", url))]);
    said.ends_with(code).has(&[("", expected)]);
}

#[test]
fn convert_shows_what_is_published() {
    let folder = situation("convert-shows-what-is-published");
    let said = nephoscope(&folder, &["convert", "notifications.jsonl"]);
    said.ends_with(0);
    let expected = "0 telemetry.polling: 0 samples, 0 events\n\
                    1 telemetry.polling: 1 samples, 0 events\n  \
                    sample \"cpu_util\" = 50.0 \"%\" (\"gauge\") of \"vm-1\" at \"2026-03-01T10:01:00\" to the sink \"rates\"\n";
    assert_eq!(said.out, expected);
    let json = nephoscope(&folder, &["convert", "-o", "json", "notifications.jsonl"]).out;
    let lines: Vec<&str> = json.lines().collect();
    assert!(lines[0].contains(r#""samples":[]"#) && lines[1].contains(r#""sink":"rates""#), "{json}");
    assert!(lines[1].contains(r#""volume":50.0"#) && !json.contains("perf.instructions"), "{json}");
    let plain = nephoscope(&folder, &["convert", "--definitions-only", "notifications.jsonl"]).out;
    assert_eq!(plain.matches("sample \"perf.instructions\"").count(), 2, "{plain}");
    assert!(!plain.contains("sink"), "{plain}");
    let explained = nephoscope(&folder, &["convert", "--explain", "notifications.jsonl"]).out;
    for line in [
        "sample perf.instructions = 61000000000 of \"vm-1\": no pipeline takes it",
        "the transformers of the sink rates give nothing yet",
        "sample \"cpu_util\" = 50.0",
    ] {
        assert!(explained.contains(line), "{line} is not in\n{explained}");
    }
}

/// One polled sample.
fn polled(n: usize, minute: usize, volume: usize) -> String {
    format!(
        r#"{{"message_id": "m{n}", "publisher_id": "p", "event_type": "telemetry.polling", "priority": "SAMPLE", "timestamp": "2026-03-01 10:{minute:02}:00", "payload": {{"samples": [{{"counter_name": "cpu", "counter_type": "cumulative", "counter_unit": "ns", "counter_volume": {volume}, "user_id": "u", "project_id": "p", "resource_id": "vm-1", "timestamp": "2026-03-01T10:{minute:02}:00", "resource_metadata": {{}}, "source": "openstack", "message_id": "s{n}", "monotonic_time": null}}]}}}}"#
    )
}

#[test]
fn several_sinks_publish_and_some_hold_back() {
    let pipeline = "sources:\n- {name: all, meters: ['*'], sinks: [raw, hourly, three]}\n- {name: none, meters: ['!cpu'], sinks: [raw]}\nsinks:\n\
                    - {name: raw, publishers: [gnocchi]}\n\
                    - name: hourly\n  transformers: [{name: aggregator, parameters: {retention_time: 3600, size: null}}]\n  publishers: [test]\n\
                    - name: three\n  transformers: [{name: accumulator, parameters: {size: 3}}]\n  publishers: [test]\n";
    let lines: Vec<String> =
        [(0, 0, 1), (1, 20, 2), (1, 20, 2), (2, 40, 4)].map(|(n, minute, v)| polled(n, minute, v)).to_vec();
    let folder = configured(&[("pipeline.yaml", pipeline), ("n.jsonl", &lines.join("\n"))]);
    let said = nephoscope(folder.path(), &["convert", "n.jsonl"]);
    said.ends_with(0);
    let counted =
        |sink: &str| said.out.lines().filter(|line| line.ends_with(&format!("to the sink \"{sink}\""))).count();
    // What comes again has taken effect before where state is kept, and is published again where none is.
    assert_eq!((counted("raw"), counted("hourly"), counted("three")), (4, 0, 3), "{}", said.out);
    said.has(&[("note: sink hourly: its aggregator still holds 1 aggregate,", "")]);
    // The clock is the notifications' own: after an hour the aggregate is due.
    let later = format!("{}\n{}\n", lines.join("\n"), polled(3, 59, 8).replace("10:59", "11:30"));
    fs::write(folder.path().join("later.jsonl"), later).unwrap();
    let said = nephoscope(folder.path(), &["convert", "later.jsonl"]);
    assert_eq!(said.out.lines().filter(|line| line.ends_with("to the sink \"hourly\"")).count(), 1, "{}", said.out);
}

#[test]
fn accept_notifications_lets_one_in() {
    let folder = configured(&[
        ("ceilometer.conf", &format!("{CONF}accept_notifications = publisher_id=^other$\n")),
        (
            "n.jsonl",
            &format!("{}\n{}\n", polled(0, 0, 1), polled(1, 1, 2).replace(r#""p", "event"#, r#""other", "event"#)),
        ),
    ]);
    let out = nephoscope(folder.path(), &["convert", "n.jsonl"]).out;
    let heads: Vec<&str> = out.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(heads, ["0 telemetry.polling: 0 samples, 0 events", "1 telemetry.polling: 1 samples, 0 events"]);
}

#[rstest]
#[case(&["check"])]
#[case(&["convert", "n.jsonl"])]
#[case(&["convert", "-o", "json", "--definitions-only", "n.jsonl"])]
fn nobody_reads_what_is_printed(#[case] arguments: &[&str]) {
    let folder = configured(&[("n.jsonl", &format!("{}\n", polled(0, 0, 1)))]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(folder.path(), arguments).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()), (Some(0), String::new()));
}

/// An agent whose broker is away, with the lines of its log.
struct Agent {
    process: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Agent {
    fn start(folder: &Path) -> Agent {
        let mut process =
            command(folder, &["run"]).env("HOME", folder).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        Agent { process, log }
    }

    /// Reads its log up to a line with this, which comes or the runner's time is over.
    fn until(&mut self, what: &str) -> String {
        let began = Instant::now();
        let mut all = String::new();
        while began.elapsed() < PATIENCE {
            let mut line = String::new();
            if self.log.read_line(&mut line).unwrap() == 0 {
                break;
            }
            all += &line;
            if line.contains(what) {
                return all;
            }
        }
        panic!("no {what} in\n{all}");
    }

    fn reload(&self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

#[rstest]
#[case::samples("pipeline.yaml")]
#[case::events("event_pipeline.yaml")]
#[case::definitions("event_definitions.yaml")]
#[case::meters("meters.d")]
#[case::one_of_the_meters("meters.d/m.yaml")]
#[case::a_snippet(".ceilometer/ceilometer.conf.d/p.conf")]
#[case::all_snippets(".ceilometer/ceilometer.conf.d")]
fn a_file_vanishes_for_a_moment_while_the_agent_reads_it_again(#[case] name: &str) {
    let folder = configured(&[
        ("ceilometer.conf", &format!("{CONF}[meter]\nmeter_definitions_dirs = meters.d\n")),
        ("event_definitions.yaml", "[]\n"),
        ("meters.d/m.yaml", "metric: []\n"),
        ("meters.d/n.yaml", "metric: []\n"),
        (".ceilometer/ceilometer.conf.d/p.conf", "[DEFAULT]\nsample_source = a-snippet\n"),
    ]);
    let (there, away) = (folder.path().join(name), folder.path().join("away"));
    let mut agent = Agent::start(folder.path());
    agent.until("agent.link.changed");
    fs::rename(&there, &away).unwrap();
    agent.reload();
    let log = agent.until("agent.reload.refused");
    let named = |line: &str| {
        line.contains(name) && line.contains(": it was there when the running configuration was read, and is gone")
    };
    assert!(log.lines().any(named), "{log}");
    fs::rename(&away, &there).unwrap();
    agent.reload();
    agent.until("agent.reload.taken");
}

#[test]
fn a_definition_file_that_is_not_there_at_start_is_the_shipped_one() {
    let login = "[service_credentials]\nauth_type = password\nauth_url = http://127.0.0.1:1/v3\nusername = u\npassword = p\n\
        project_name = p\nuser_domain_name = d\nproject_domain_name = d\n";
    let folder = configured(&[("ceilometer.conf", &format!("{CONF}{login}"))]);
    fs::remove_file(folder.path().join("pipeline.yaml")).unwrap();
    let mut agent = Agent::start(folder.path());
    let log = agent.until("agent.link.changed");
    assert!(log.contains("samples go to Gnocchi"), "the warning is in the log of run too: {log}");
    // It comes, and is taken; from then on it must not go.
    fs::File::create(folder.path().join("pipeline.yaml")).unwrap().write_all(PIPELINE.as_bytes()).unwrap();
    agent.reload();
    agent.until("agent.reload.taken");
    fs::remove_file(folder.path().join("pipeline.yaml")).unwrap();
    agent.reload();
    agent.until("agent.reload.refused");
}

#[test]
fn a_publisher_of_a_reload_is_probably_not_meant_as_it_is_written() {
    let folder = configured(&[("ceilometer.conf", CONF)]);
    let mut agent = Agent::start(folder.path());
    agent.until("agent.link.changed");
    let text = fs::read_to_string(folder.path().join("pipeline.yaml")).unwrap();
    assert!(text.contains("test://"), "{text}");
    fs::write(folder.path().join("pipeline.yaml"), text.replace("test://", "test://#twice")).unwrap();
    agent.reload();
    let log = agent.until("agent.reload.taken");
    let warned =
        log.lines().filter(|line| line.contains("config.file.warned") && line.contains("everything behind it"));
    assert_eq!(warned.count(), 1, "{log}");
}
