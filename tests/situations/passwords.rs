//! A password is hidden by where it stands: generated texts, most of them no URLs or others than their authors meant,
//! through everything that prints what an operator wrote.

use nephoscope::agent::{definitions, wiring};
use nephoscope::config::{self, broker::TransportUrl, coordination_url::CoordinationUrl, yaml};
use nephoscope::model::Severity;
use nephoscope::pipeline::{self, Plan};
use nephoscope::publish::{self, Kind};
use nephoscope::transport::Broker;
use proptest::prelude::*;
use std::fmt::Write;

/// Stands in every password.
const SESAME: &str = "SESAME";

/// What may stand in a password, escaped or not.
fn password() -> impl Strategy<Value = String> {
    let signs = "/ @ # ? , : % = & ; [ ] + ! * $ $$ :// %40 %2F %23 %3a 12 5672 \\ ' | rabbit://";
    let piece = prop_oneof![
        2 => Just(SESAME.to_owned()),
        5 => prop::sample::select(signs.split(' ').collect::<Vec<_>>()).prop_map(str::to_owned),
    ];
    let pieces = prop::collection::vec(piece, 0..5);
    (pieces.clone(), pieces).prop_map(|(before, after)| format!("{}{SESAME}{}", before.concat(), after.concat()))
}

/// What is meant as one URL, with passwords where passwords stand.
fn one() -> impl Strategy<Value = String> {
    let schemes = "rabbit:// kombu+x:// amqp:// etcd3:// etcd3+https:// redis:// http:// https:// file:// notifier:// test:// \
                   RABBIT:// ://  rabbit:/ rabbit:";
    let scheme = prop::sample::select(schemes.split(' ').collect::<Vec<_>>());
    let user = prop::sample::select(vec!["u", "", "a.b%40c"]);
    let host = prop::sample::select(vec!["h", "h:5672", "[::1]:1", "10.0.0.1", "", "h1,h2:1"]);
    let tail = prop::sample::select(vec![
        "",
        "/",
        "//v",
        "/v?ssl=true",
        "?password=SESAME",
        "/?rabbit_password=SESAME&api_key=SESAME",
        "/v#SESAME",
        "/a/b?timeout=2&token=SESAME",
    ]);
    (scheme, user, password(), host, tail)
        .prop_map(|(scheme, user, password, host, tail)| format!("{scheme}{user}:{password}@{host}{tail}"))
}

/// One, or several in one value.
fn text() -> impl Strategy<Value = String> {
    let between = prop::sample::select(vec![",", " ", ", ", ";", "\n  ", "|"]);
    prop_oneof![
        3 => one(),
        1 => (one(), between, one()).prop_map(|(one, between, other)| format!("{one}{between}{other}")),
    ]
}

/// The options that the text is written for: of every type, honoured or not.
const OPTIONS: [&str; 28] = [
    "[DEFAULT]\ntransport_url",
    "[DEFAULT]\nnotification_transport_url",
    "[DEFAULT]\nrpc_backend",
    "[DEFAULT]\nrabbit_hosts",
    "[DEFAULT]\nrabbit_host",
    "[DEFAULT]\nrabbit_port",
    "[DEFAULT]\nrabbit_userid",
    "[DEFAULT]\nrabbit_virtual_host",
    "[DEFAULT]\nrabbit_password",
    "[DEFAULT]\ndebug",
    "[DEFAULT]\ngraceful_shutdown_timeout",
    "[DEFAULT]\npipeline_polling_interval",
    "[DEFAULT]\nno_such_option",
    "[DEFAULT]\nmax_parallel_requests",
    "[oslo_messaging_notifications]\ntransport_url",
    "[oslo_messaging_rabbit]\nkombu_compression",
    "[oslo_messaging_rabbit]\nssl",
    "[notification]\nmessaging_urls",
    "[notification]\nmessaging_urls = rabbit://h\nmessaging_urls",
    "[notification]\npipelines",
    "[notification]\nbatch_size",
    "[coordination]\nbackend_url",
    "[notification]\nworkload_partitioning = true\n[coordination]\nbackend_url",
    "[coordination]\nheartbeat",
    "[event]\nstore_raw",
    "[nephoscope]\ngroup",
    "[nephoscope]\nlisten",
    "[nephoscope]\nlog_format",
];

/// Everything that is printed of a broker once it can be used.
fn printed_of_broker(out: &mut String, url: &TransportUrl) {
    let broker = wiring::broker(url);
    write!(out, "{url} {url:?} {}", broker.name()).unwrap();
}

fn printed_of_group(out: &mut String, url: &CoordinationUrl) {
    write!(out, "{url} {url:?}").unwrap();
}

/// Everything that the program prints of a text that is written for an option or a publisher.
fn printed(text: &str) -> String {
    let mut out = publish::shown(text);
    for option in OPTIONS {
        let (settings, complaints) = config::load_text("ceilometer.conf", &format!("{option} = {text}\n"));
        complaints.iter().for_each(|complaint| writeln!(out, "{complaint} {complaint:?}").unwrap());
        let Some(settings) = settings.filter(|_| !complaints.iter().any(|c| c.severity == Severity::Error)) else {
            continue;
        };
        std::iter::once(&settings.transport)
            .chain(&settings.intake.urls)
            .for_each(|url| printed_of_broker(&mut out, url));
        settings.cluster.backend.iter().for_each(|url| printed_of_group(&mut out, url));
    }
    printed_of_pipelines(&mut out, text);
    // A line of its own, without an option before it.
    let (_, complaints) = config::load_text("ceilometer.conf", &format!("[notification]\n{text}\n"));
    complaints.iter().for_each(|complaint| writeln!(out, "{complaint}").unwrap());
    let (settings, _) = config::load_text("ceilometer.conf", "");
    match settings.unwrap().transport_url(text) {
        Ok(url) => printed_of_broker(&mut out, &url),
        Err(why) => out.push_str(&why),
    }
    // As pipelines hand it over: `notifier` is `notifier://`.
    let publisher = if text.contains("://") { text.to_owned() } else { format!("{text}://") };
    for kind in [Kind::Samples, Kind::Events] {
        if let Err(error) = publish::check(&publisher, kind, &|_| Ok(())) {
            write!(out, "{error} {error:?}").unwrap();
        }
    }
    out.push_str(&publish::shown(&publisher));
    out
}

/// Options that are to name files.
fn printed_of_paths(text: &str) -> String {
    let mut out = String::new();
    for option in [
        "[DEFAULT]\npipeline_cfg_file",
        "[DEFAULT]\nlog_file",
        "[meter]\nmeter_definitions_dirs",
        "[event]\ndefinitions_cfg_file",
        "[oslo_messaging_rabbit]\nssl = true\nssl_ca_file",
        "[nephoscope]\naccept_notifications",
    ] {
        let (settings, complaints) = config::load_text("ceilometer.conf", &format!("{option} = {text}\n"));
        let settings = settings.unwrap();
        let more = definitions::check(&settings, &|_| Ok(()));
        complaints.iter().chain(&more).for_each(|complaint| writeln!(out, "{complaint}").unwrap());
    }
    out
}

/// Pipelines in which the text stands where something else belongs.
fn printed_of_pipelines(out: &mut String, text: &str) {
    let quoted = format!("{text:?}");
    for (key, value) in [
        ("sinks: [a, b], name: a", "publishers: [test://], name: b"),
        ("sinks: [TEXT, a], name: a", "publishers: [TEXT, TEXT, '://'], name: a"),
        ("sinks: [TEXT, TEXT], name: TEXT", "publishers: [test://], name: TEXT, transformers: [{name: TEXT}]"),
        (
            "sinks: [a], meters: [TEXT, '!TEXT'], events: [TEXT, '!x'], name: a",
            "publishers: [test://], name: a, TEXT: 1",
        ),
        ("sinks: [a], meters: TEXT, events: TEXT, name: a", "TEXT: 1, TEXT: 2, publishers: TEXT, name: a"),
    ] {
        let yaml = format!("sources:\n- {{meters: ['*'], events: ['*'], {key}}}\nsinks:\n- {{{value}}}\n");
        let yaml = yaml.replace("'!TEXT'", &format!("{:?}", format!("!{text}"))).replace("TEXT", &quoted);
        let node = match yaml::read_with_warnings("pipeline.yaml", &yaml) {
            Ok((node, warnings)) => {
                warnings.iter().for_each(|complaint| writeln!(out, "{complaint}").unwrap());
                node
            }
            Err(complaint) => {
                writeln!(out, "{complaint}").unwrap();
                continue;
            }
        };
        for kind in [pipeline::Kind::Samples, pipeline::Kind::Events] {
            let complaints = Plan::read(kind, &node).map_or_else(|errors| errors, |plan| plan.warnings);
            complaints.iter().for_each(|complaint| writeln!(out, "{complaint} {complaint:?}").unwrap());
        }
    }
}

proptest! {
    #[test]
    fn a_password_is_shown_nowhere(text in text()) {
        let printed = printed(&text);
        let lines: Vec<&str> = printed.lines().filter(|line| line.contains(SESAME)).collect();
        prop_assert!(lines.is_empty(), "{lines:#?}");
    }
}

proptest! {
    // Each case reads all definitions several times.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_password_stands_where_a_file_is_named(text in text()) {
        let printed = printed_of_paths(&text);
        let lines: Vec<&str> = printed.lines().filter(|line| line.contains(SESAME)).collect();
        prop_assert!(lines.is_empty(), "{lines:#?}");
    }
}

#[test]
fn a_name_is_written_like_a_login() {
    for option in ["rabbit_userid = u:SESAME", "rabbit_virtual_host = /v:SESAME"] {
        let (_, complaints) = config::load_text("ceilometer.conf", &format!("[DEFAULT]\n{option}\n"));
        let said = format!("{complaints:?}");
        assert!(said.contains("***") && !said.contains("SESAME"), "{said}");
    }
}

#[test]
fn a_sink_is_named_by_a_url_and_convert_prints_it() {
    let folder = tempfile::tempdir().unwrap();
    let samples = "sources: [{name: s, meters: ['*'], sinks: ['http://u:SESAME@h/x']}]\n\
                   sinks: [{name: 'http://u:SESAME@h/x', publishers: ['test://']}]\n";
    let notification = r#"{"message_id": "m", "publisher_id": "image.h", "event_type": "image.upload", "priority": "INFO",
        "timestamp": "2026-03-01 10:00:00.000001", "payload": {"id": "i", "owner": "p", "size": 3, "name": "n"}}"#;
    for (name, text) in [
        ("c.conf", "[nephoscope]\nlisten =\n"),
        ("pipeline.yaml", samples),
        ("event_pipeline.yaml", "sources: []\nsinks: []\n"),
        ("n", &notification.replace('\n', "")),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let told = super::nephoscope(folder.path(), &["convert", "--config-file", "c.conf", "n"]).all();
    assert!(told.contains("to the sink \"http://u:***@h/x\"") && !told.contains(SESAME), "{told}");
}
