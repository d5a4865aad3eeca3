//! What the commands print, and how they end: `check`, `convert` in every form of input, `--explain`, `--help`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use nephoscope::model::{Dict, Value, json};
use nephoscope::publish::signature;
use rstest::rstest;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const METERS: &str = "\
metric:
  - name: image.size
    event_type: image.update
    type: gauge
    unit: B
    volume: $.payload.size
    resource_id: $.payload.id
  - name: cpu
    event_type: compute.*
    type: gauge
    unit: '%'
    volume: $.payload.cpu
    resource_id: $.payload.id
  - name: vcpus
    event_type: ['compute.instance.(?!update).*']
    type: gauge
    unit: vcpu
    volume: $.payload.vcpus
    resource_id: $.payload.id
    metadata: {host: $.payload.host}
";

const EVENTS: &str = "\
- event_type: [compute.instance.*, image.update]
  traits:
    vcpus: {type: int, fields: payload.vcpus}
- event_type: image.*
  traits:
    size: {type: int, fields: payload.size}
";

const PIPELINE: &str = "\
sources:
  - {name: cores, meters: [vcpus], sinks: [billing]}
  - {name: all, meters: ['*'], sinks: [billing, archive]}
sinks:
  - {name: billing, publishers: ['test://']}
  - {name: archive, publishers: ['test://']}
";

const EVENT_PIPELINE: &str = "\
sources:
  - {name: events, events: ['!image.*'], sinks: [archive]}
sinks:
  - {name: archive, publishers: ['test://']}
";

/// A folder with a whole configuration.
fn configured(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    let conf = format!(
        "[DEFAULT]\npipeline_cfg_file = {at}/pipeline.yaml\n\
         event_pipeline_cfg_file = {at}/event_pipeline.yaml\n[meter]\nmeter_definitions_dirs = {at}/meters.d\n\
         [event]\ndefinitions_cfg_file = {at}/event_definitions.yaml\n"
    );
    std::fs::create_dir(folder.path().join("meters.d")).unwrap();
    let whole = [
        ("ceilometer.conf", &*conf),
        ("meters.d/meters.yaml", METERS),
        ("event_definitions.yaml", EVENTS),
        ("pipeline.yaml", PIPELINE),
        ("event_pipeline.yaml", EVENT_PIPELINE),
    ];
    for (name, text) in whole.iter().chain(files) {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The same with this pipeline, and this login in `ceilometer.conf`.
fn with_login(pipeline: &str, login: &str) -> TempDir {
    let folder = configured(&[("pipeline.yaml", pipeline)]);
    let conf = folder.path().join("ceilometer.conf");
    let text = std::fs::read_to_string(&conf).unwrap() + login;
    std::fs::write(&conf, text).unwrap();
    folder
}

fn nephoscope(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    command.args(arguments).env("COLUMNS", "100").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Exit code, output and errors as one text; the folder's own path is cut.
fn told(output: &Output, folder: &Path) -> String {
    let mut all = format!("exit {}\n", output.status.code().unwrap_or(-1));
    for (mark, bytes) in [("", &output.stdout), ("! ", &output.stderr)] {
        for line in String::from_utf8_lossy(bytes).lines() {
            writeln!(all, "{mark}{line}").unwrap();
        }
    }
    let user = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    all.replace(&format!("{}/", folder.display()), "").replace(&format!("by uid {user}"), "by uid [user]")
}

fn run(folder: &TempDir, arguments: &[&str], input: &str) -> String {
    let conf = folder.path().join("ceilometer.conf");
    let mut all = vec![arguments[0], "--config-file", conf.to_str().unwrap()];
    all.extend(&arguments[1..]);
    told(&nephoscope(&all, input), folder.path())
}

#[test]
fn the_shipped_configuration_is_checked() {
    let folder = configured(&[("event_definitions.yaml", include_str!("../config/event_definitions.yaml"))]);
    std::fs::write(folder.path().join("meters.d/meters.yaml"), include_str!("../config/meters.d/meters.yaml")).unwrap();
    insta::assert_snapshot!(run(&folder, &["check"], ""));
}

#[test]
fn every_definition_that_does_not_do_what_it_says_is_named() {
    let meters = "\
metric:
  - {name: cpu, event_type: x, type: gauge, unit: ns, volume: 1, resource_id: $.payload.id}
  - {name: cpu, event_type: y, type: gauge, unit: ns, volume: 1, resource_id: $.payload.id}
  - {name: load, event_type: x, type: gauge, unit: '%', volume: 1, resource_id: $.payload.id}
  - {name: payload.size, event_type: x, type: level, unit: B, volume: 1, resource_id: $.payload.id}
  - {name: $.payload.name, event_type: x, type: gauge, unit: ctxt, volume: 1, resource_id: r, lookup: name}
";
    let events = "\
- {event_type: image.create, traits: {size: {fields: payload.size}}}
- {event_type: [image.*], traits: {}}
- {event_type: '!*', traits: {}}
";
    let folder = configured(&[("meters.d/meters.yaml", meters), ("event_definitions.yaml", events)]);
    insta::assert_snapshot!(run(&folder, &["check"], ""));
}

#[test]
fn a_wrong_configuration_is_refused_with_every_complaint() {
    let folder = configured(&[
        (
            "meters.d/meters.yaml",
            "metric:\n  - {name: a, event_type: '*', type: gauge, unit: a, volume: 1, resource_id: r}\n",
        ),
        ("event_definitions.yaml", "- {event_type: a, traits: {t: {type: string, fields: a..}}}\n- {traits: {}}\n"),
        ("pipeline.yaml", "sources:\n  - {name: a, meters: ['*', b], sinks: [nowhere]}\nsinks: []\n"),
    ]);
    insta::assert_snapshot!(run(&folder, &["check"], ""));
}

const WIRE: &str = r#"{"_context_user_id":"u","publisher_id":"compute.h","event_type":"compute.instance.exists","payload":{"id":"i","vcpus":2,"host":"h"},"message_id":"m","timestamp":"2026-01-02T03:04:05","priority":"INFO"}"#;

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[rstest]
#[case(WIRE.to_owned())]
#[case(format!(r#"{{"oslo.version":"2.0","oslo.message":{}}}"#, quoted(WIRE)))]
#[case(format!(r#"{{"message":{WIRE},"priority":"info"}}"#))]
#[case(format!(r#"{{"message":{{"oslo.version":"2.0","oslo.message":{}}},"priority":"info"}}"#, quoted(WIRE)))]
#[case(r#"{"message":{"ctxt":{"user_id":"u"},"publisher_id":"compute.h","event_type":"compute.instance.exists","payload":{"id":"i","vcpus":2,"host":"h"},"metadata":{"message_id":"m","timestamp":"2026-01-02T03:04:05"}},"priority":"info"}"#.to_owned())]
fn every_form_of_a_notification_gives_the_same(#[case] line: String) {
    let folder = configured(&[]);
    insta::allow_duplicates! {
        insta::assert_snapshot!("every_form", run(&folder, &["convert", "-o", "json", "-"], &line));
    }
}

#[test]
fn a_volume_is_no_number() {
    let folder = configured(&[]);
    let line = WIRE.replace("\"vcpus\":2", "\"vcpus\":NaN");
    let told = run(&folder, &["convert", "-o", "json", "--definitions-only", "-"], &line);
    assert!(told.contains("\"volume\":null") && !told.contains("\"volume\":NaN"), "{told}");
}

/// A notification of the polling agent: signed, changed afterwards, not signed, and no sample at all.
fn polled() -> String {
    let sample = |volume: f64, signature: &str| {
        Value::from(Dict::from_iter([
            ("source", Value::from("openstack")),
            ("counter_name", "cpu".into()),
            ("counter_type", "gauge".into()),
            ("counter_unit", "ns".into()),
            ("counter_volume", volume.into()),
            ("user_id", Value::Null),
            ("project_id", "p".into()),
            ("resource_id", "r".into()),
            ("timestamp", "2026-01-02T03:04:05".into()),
            ("resource_metadata", Dict::new().into()),
            ("message_id", "m".into()),
            ("message_signature", signature.into()),
        ]))
    };
    let signature = signature::compute(sample(1.5, "").as_dict().unwrap(), "s3cret");
    let samples = vec![sample(1.5, &signature), sample(15.0, &signature), sample(2.5, ""), 7.into()];
    let samples = format!("\"samples\":{}", json::to_string(&samples.into()));
    WIRE.replace("compute.instance.exists", "telemetry.polling").replace("\"id\":\"i\"", &samples)
}

#[rstest]
#[case::verified("polled_verified", "[nephoscope]\nverify_signatures = true\n[publisher]\ntelemetry_secret = s3cret\n")]
#[case::as_the_original("polled_unverified", "[publisher]\ntelemetry_secret = s3cret\n")]
#[case::no_secret("polled_no_secret", "[nephoscope]\nverify_signatures = true\n[publisher]\ntelemetry_secret =\n")]
fn polled_samples_are_forged(#[case] name: &str, #[case] more: &str) {
    let folder = configured(&[]);
    let conf = folder.path().join("ceilometer.conf");
    let whole = format!("{}{more}", std::fs::read_to_string(&conf).unwrap());
    std::fs::write(&conf, whole).unwrap();
    let checked = run(&folder, &["check"], "");
    insta::assert_snapshot!(name, format!("{checked}{}", run(&folder, &["convert", "-"], &polled())));
}

#[test]
fn lines_that_are_no_notifications_are_complained_of_in_their_places() {
    let folder = configured(&[]);
    let broken = folder.path().join("broken.jsonl");
    std::fs::write(&broken, "{\n\n[1]\n{\"oslo.version\":\"3.0\",\"oslo.message\":\"{}\"}\n{\"event_type\":\"x\"}\n")
        .unwrap();
    let arguments = ["convert", "-o", "json", broken.to_str().unwrap(), "-"];
    insta::assert_snapshot!(run(&folder, &arguments, &WIRE.replace("INFO", "audit")));
}

#[test]
fn a_file_that_is_not_there() {
    let folder = configured(&[]);
    insta::assert_snapshot!(run(&folder, &["convert", "/nowhere/at/all"], ""));
}

#[test]
fn text_for_reading() {
    let folder = configured(&[]);
    insta::assert_snapshot!(run(&folder, &["convert", "-"], WIRE));
}

#[test]
fn an_explanation() {
    let folder = configured(&[]);
    let image = WIRE.replace("compute.instance.exists", "image.update").replace("\"vcpus\":2", "\"size\":\"big\"");
    let lines = format!("{WIRE}\n{image}\n{}\n", WIRE.replace("INFO", "ERROR"));
    insta::assert_snapshot!(run(&folder, &["convert", "--explain", "-"], &lines));
}

#[rstest]
#[case("help", &["--help"])]
#[case("help_check", &["check", "--help"])]
#[case("help_convert", &["convert", "--help"])]
#[case("help_cluster", &["cluster", "--help"])]
#[case("help_cluster_move", &["cluster", "move", "--help"])]
#[case("help_cluster_drain", &["cluster", "drain", "--help"])]
#[case("help_parked", &["parked", "--help"])]
#[case("help_parked_requeue", &["parked", "requeue", "--help"])]
fn help(#[case] name: &str, #[case] arguments: &[&str]) {
    insta::assert_snapshot!(name, told(&nephoscope(arguments, ""), Path::new("/nowhere")));
}

/// A login that a publisher needs: what is missing or wrong is an error of the line that names the publisher.
#[rstest]
#[case::no_login("", "[service_credentials] has no login, and SCHEME needs one; write into it auth_type = password")]
#[case::empty(
    "[service_credentials]\nregion_name = R",
    "ceilometer.conf:8: [service_credentials] auth_type is missing; write"
)]
#[case::another_section(
    "[SECTION]\nauth_section = mine\n[mine]\nauth_type = password\nauth_url = http://k/v2.0\nuser_id = u",
    "ceilometer.conf:10: [mine] password is missing; write password = …; ceilometer.conf:12: [mine] auth_url = \
     \"http://k/v2.0\": expected http://k/v3, as Keystone speaks v3 only"
)]
#[case::file(
    "[service_credentials]\nauth_type = token\nauth_url = https://k\ntoken = SeCrEt\ncafile = /nowhere/ca.pem",
    "[service_credentials] cafile=/nowhere/ca.pem: No such file or directory"
)]
#[case::file_without_keystone(
    "[service_credentials]\nauth_type = none\nendpoint = http://h\ncertfile = /nowhere/me.pem",
    "[service_credentials] certfile=/nowhere/me.pem: No such file or directory"
)]
fn a_login_is_missing_or_wrong(
    #[case] login: &str,
    #[case] why: &str,
    #[values("gnocchi://", "zaqar://?queue=q")] publisher: &str,
) {
    let pipeline = PIPELINE.replacen("test://", publisher, 1);
    let (scheme, section) = (publisher.split('?').next().unwrap(), publisher.split(':').next().unwrap());
    let folder = with_login(&pipeline, &(login.replace("SECTION", section) + "\n"));
    let errors = |command: &str| {
        let said = run(&folder, &[command], "");
        assert!(said.starts_with("exit 78\n"), "{said}");
        said.lines().filter(|line| line.starts_with("! error: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let checked = errors("check");
    assert_eq!(checked.len(), 1, "{checked:?}");
    assert!(checked[0].starts_with("! error: pipeline.yaml:5: sink billing: "), "{}", checked[0]);
    assert!(checked[0].contains(&why.replace("SCHEME", scheme)) && !checked[0].contains("SeCrEt"), "{}", checked[0]);
    assert_eq!(errors("run"), checked, "at start the same");
}

#[test]
fn what_is_not_looked_at_of_services_that_a_login_leads_to() {
    let pipeline = PIPELINE.replacen("'test://'", "'gnocchi://ignored', 'zaqar://?queue=q'", 1);
    let login = "[service_credentials]\nauth_type = password\nauth_url = http://k:5000/v3\nusername = ada\npassword = SeCrEt\n\
                 user_domain_name = Default\nproject_name = service\nproject_domain_name = Default\n\
                 [zaqar]\nauth_section = z\n[z]\nauth_type = none\nendpoint = http://z:8888\n";
    let folder = with_login(&pipeline, login);
    let said = run(&folder, &["check"], "");
    for line in [
        "Keystone at http://k:5000/v3 answers and takes the login of [service_credentials]",
        "Gnocchi at the address in Keystone's catalogue answers, takes the login, and has the resource types that samples need \
         (`nephoscope gnocchi-setup --dry-run` asks it)",
        "Zaqar at http://z:8888 answers, takes the login",
    ] {
        assert!(said.contains(&format!("  whether {line}\n")), "{line}: {said}");
    }
    assert!(!said.contains("gnocchi://ignored answers"), "its host says nothing: {said}");
}

#[test]
fn gnocchi_setup_is_refused_a_file_that_is_not_there() {
    let folder = with_login(PIPELINE, "[service_credentials]\nauth_type = none\nendpoint = http://127.0.0.1:1\n");
    let said = run(&folder, &["gnocchi-setup", "--resources-definition-file", "no-such-file.yaml"], "");
    let expected = "exit 78\n! error: no-such-file.yaml: cannot find this file of --resources-definition-file";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn gnocchi_setup_has_no_room_for_what_it_says() {
    let login = "[service_credentials]\nauth_type = password\nauth_url = http://127.0.0.1:1/v3\nusername = u\npassword = p\n\
        project_name = p\nuser_domain_name = d\nproject_domain_name = d\n";
    let folder = with_login(PIPELINE, login);
    let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    command.args(["gnocchi-setup", "--config-file"]).arg(folder.path().join("ceilometer.conf"));
    command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write to standard output: No space left on device"), "{said}");
}

#[test]
fn gnocchi_setup_says_whom_it_asks() {
    let folder = with_login(
        PIPELINE,
        "[service_credentials]\nauth_type = gnocchi-basic\nuser = ada\nendpoint = http://127.0.0.1:1\n",
    );
    let said = run(&folder, &["gnocchi-setup"], "");
    let expected = "exit 1\nasking http://127.0.0.1:1/ (Gnocchi), as user ada of [service_credentials]\n\
                    ! nephoscope: cannot set up Gnocchi: http://127.0.0.1:1: no connection";
    assert!(said.starts_with(expected), "{said}");
}

#[rstest]
#[case::unknown_sink(&["shadow", "--sink", "other"], "the pipelines have archive, billing")]
#[case::no_folder(&["shadow", "--compare", "/nowhere/at/all"], "there is no folder /nowhere/at")]
#[case::no_login(&["shadow", "--compare-gnocchi", "gnocchi:"], "service_credentials")]
#[case::file_is_there(&["capture", "/"], "nothing is overwritten")]
#[case::no_such_file(&["replay", "/nowhere/at/all"], "cannot read /nowhere/at/all")]
#[case::no_capture(&["replay", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], "nephoscope capture wrote")]
#[case::rate(&["replay", "x", "--rate=-1"], "at least 0")]
fn a_copy_that_cannot_be_made_says_why(#[case] arguments: &[&str], #[case] why: &str) {
    let folder = configured(&[]);
    let output = Command::new(env!("CARGO_BIN_EXE_nephoscope"))
        .args(arguments)
        .arg("--config-file")
        .arg(folder.path().join("ceilometer.conf"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(why), "{said}");
}
