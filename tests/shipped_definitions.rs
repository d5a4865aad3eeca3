//! The shipped definitions over the bundled notifications: what comes of each is written in `golden/shipped.txt`.
//!
//! `NEPHOSCOPE_BLESS=1` writes that file anew: read the difference before committing it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use nephoscope::config::yaml;
use nephoscope::convert::{ConvertOptions, Converted, Converter, Outcome, Repairs, Sources};
use nephoscope::model::{Dict, Notification, TraitValue, Value, envelope, json};
use rstest::rstest;
use std::fmt::Write as _;

const METERS: &str = include_str!("../config/meters.d/meters.yaml");
const EVENTS: &str = include_str!("../config/event_definitions.yaml");
const NOTIFICATIONS: &str = include_str!("../config/notifications.jsonl");
const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/shipped.txt");

fn sources() -> Sources {
    Sources {
        meters: vec![yaml::read("meters.yaml", METERS).unwrap()],
        events: yaml::read("event_definitions.yaml", EVENTS).unwrap(),
    }
}

fn shipped(options: ConvertOptions) -> Converter {
    Converter::build(&sources(), options).0.unwrap()
}

fn bundled() -> impl Iterator<Item = Notification> {
    NOTIFICATIONS.lines().map(|line| envelope::open(line.as_bytes()).unwrap())
}

fn of_type(event_type: &str) -> Notification {
    bundled().find(|n| n.event_type() == Some(event_type)).unwrap_or_else(|| panic!("no {event_type}"))
}

#[test]
fn there_is_nothing_to_complain_about_in_the_shipped_definitions() {
    let (converter, complaints) = Converter::build(&sources(), ConvertOptions::default());
    assert_eq!(converter.unwrap().meter_names().len(), 38);
    let texts: Vec<_> = complaints.iter().map(ToString::to_string).collect();
    assert_eq!(texts, Vec::<String>::new());
}

#[test]
fn bundled_notifications_give_what_is_written_down() {
    let converter = shipped(ConvertOptions::default());
    let mut table = String::new();
    for (n, notification) in bundled().enumerate() {
        let converted = converter.convert(&notification);
        let event_type = notification.event_type().unwrap();
        writeln!(table, "{n} {event_type} {}", notification.priority()).unwrap();
        describe(&converted, &mut table);
    }
    if std::env::var_os("NEPHOSCOPE_BLESS").is_some() {
        std::fs::write(EXPECTED, &table).unwrap();
    }
    let expected = std::fs::read_to_string(EXPECTED).unwrap();
    for (n, (ours, theirs)) in table.lines().zip(expected.lines()).enumerate() {
        assert_eq!(ours, theirs, "golden/shipped.txt:{}", n + 1);
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}

fn describe(converted: &Converted, table: &mut String) {
    for s in &converted.samples {
        let line = [&s.volume, &s.unit, &s.user_id, &s.project_id, &s.resource_id].map(json::to_string).join(" ");
        let metadata = json::to_string(&Value::Dict(Dict::clone(&s.resource_metadata)));
        let kind = s.kind.name();
        writeln!(table, "  {} {kind} {line} {} {} {metadata}", s.name, s.timestamp, s.id).unwrap();
    }
    for event in &converted.events {
        let serialized = event.serialize();
        writeln!(table, "  event {}", json::to_string(serialized.get("generated").unwrap())).unwrap();
        for t in event.traits.iter() {
            writeln!(table, "    {} {} {}", t.name, t.value.dtype(), json::to_string(&t.value.to_value())).unwrap();
        }
    }
    for complaint in &converted.complaints {
        writeln!(table, "  {complaint}").unwrap();
    }
}

#[test]
fn every_shipped_meter_is_fed_by_some_bundled_notification() {
    let converter = shipped(ConvertOptions::default());
    let names: Vec<String> =
        bundled().flat_map(|n| converter.convert(&n).samples).map(|sample| sample.name.into_string()).collect();
    let literal = converter.meter_names().filter_map(Value::as_str).filter(|name| !name.starts_with('$'));
    let unfed: Vec<_> = literal.filter(|literal| !names.iter().any(|name| name == literal)).collect();
    assert!(unfed.is_empty(), "{unfed:?}");
}

#[test]
fn classic_listeners_count_only_when_asked() {
    let counted = |event_type: &str, disabled| {
        let converter = shipped(ConvertOptions { disable_non_metric_meters: disabled, ..ConvertOptions::default() });
        let samples = converter.convert(&of_type(event_type)).samples;
        samples.into_iter().map(|s| format!("{} {} {:?}", s.name, s.kind.name(), s.volume)).collect::<Vec<_>>()
    };
    assert_eq!(counted("port.create.end", true), [""; 0]);
    assert_eq!(counted("port.create.end", false), ["port gauge Int(1)", "port.create delta Int(1)"]);
    assert_eq!(counted("port.update.start", false), ["port gauge Int(1)", "port.update delta Int(1)"]);
    assert_eq!(
        counted("floatingip.create.end", false),
        ["ip.floating gauge Int(1)", "ip.floating.create delta Int(1)"]
    );
    assert_eq!(counted("compute.instance.exists", false)[0], "instance gauge Int(1)");
}

/// Ceilometer reference §1.4: every network listener, over every notification it takes or leaves.
#[rstest]
#[case("network", "network", "network")]
#[case("subnet", "subnet", "subnet")]
#[case("port", "port", "port")]
#[case("router", "router", "router")]
#[case("floatingip", "ip.floating", "ip")]
#[case("pool", "network.services.lb.pool", "pool")]
#[case("vip", "network.services.lb.vip", "vip")]
#[case("member", "network.services.lb.member", "member")]
#[case("health_monitor", "network.services.lb.health_monitor", "health_monitor")]
#[case("firewall", "network.services.firewall", "firewall")]
#[case("firewall_policy", "network.services.firewall.policy", "firewall_policy")]
#[case("firewall_rule", "network.services.firewall.rule", "firewall_rule")]
#[case("vpnservice", "network.services.vpn", "vpnservice")]
#[case("ipsecpolicy", "network.services.vpn.ipsecpolicy", "ipsecpolicy")]
#[case("ikepolicy", "network.services.vpn.ikepolicy", "ikepolicy")]
#[case("ipsec_site_connection", "network.services.vpn.connections", "ipsec_site_connection")]
fn a_classic_network_listener_counts(#[case] resource: &str, #[case] counter: &str, #[case] unit: &str) {
    let sources = Sources { meters: Vec::new(), events: yaml::read("e", "[]").unwrap() };
    let options = ConvertOptions { disable_non_metric_meters: false, ..ConvertOptions::default() };
    let converter = Converter::build(&sources, options).0.unwrap();
    let counted = |what: &str, payload: String| {
        let message = format!(
            r#"{{"event_type":"{resource}.{what}","priority":"INFO","_context_user_id":"u","_context_tenant_id":"t",
            "timestamp":"2026-03-01","publisher_id":"n","payload":{payload}}}"#
        );
        let converted = converter.convert(&envelope::open(message.as_bytes()).unwrap());
        assert_eq!(converted.complaints, []);
        let told = converted.samples.iter().map(|s| {
            assert_eq!((&s.unit, &s.volume), (&unit.into(), &Value::Int(1)));
            assert_eq!((&s.user_id, &s.project_id), (&"u".into(), &"t".into()));
            assert_eq!(s.resource_metadata.get("host"), Some(&"n".into()));
            format!("{} {} {}", s.name, s.kind.name(), s.resource_id.as_str().unwrap())
        });
        told.collect::<Vec<_>>()
    };
    let one = || format!(r#"{{"id":"outer","{resource}":{{"id":"r","x":1}}}}"#);
    let gauge = |id: &str| format!("{counter} gauge {id}");
    assert_eq!(counted("create.end", one()), [gauge("r"), format!("{counter}.create delta r")]);
    assert_eq!(counted("update.start", one()), [gauge("outer"), format!("{counter}.update delta outer")]);
    assert_eq!(counted("update.end", one()), [gauge("r"), format!("{counter}.update delta r")]);
    let several = format!(r#"{{"{resource}s":[{{"id":"r1"}},{{"id":"r2"}}]}}"#);
    assert_eq!(counted("exists", several), [gauge("r1"), gauge("r2")]);
    for what in ["create.start", "delete.start", "delete.end", "exists.not"] {
        let expected: &[String] =
            if what == "exists.not" { &[gauge("r"), format!("{counter}.exists delta r")] } else { &[] };
        assert_eq!(counted(what, one()), expected, "{what}");
    }
}

#[test]
fn a_classic_instance_is_scheduled() {
    let options = ConvertOptions { disable_non_metric_meters: false, ..ConvertOptions::default() };
    let message = br#"{"event_type":"scheduler.run_instance.scheduled","priority":"INFO","timestamp":"2026-03-01",
        "payload":{"instance_id":"i","request_spec":{"instance_properties":{"project_id":"p"}}}}"#;
    let samples = shipped(options).convert(&envelope::open(message).unwrap()).samples;
    let told =
        samples.iter().map(|s| (s.name.as_str(), s.kind.name(), &s.unit, &s.user_id, &s.project_id, &s.resource_id));
    let expected = ("instance.scheduled", "delta", &"instance".into(), &Value::Null, &"p".into(), &"i".into());
    assert_eq!(told.collect::<Vec<_>>(), [expected]);
}

#[test]
fn the_classic_instance_keeps_reserved_user_metadata_only() {
    let converter = shipped(ConvertOptions { disable_non_metric_meters: false, ..ConvertOptions::default() });
    let samples = converter.convert(&of_type("compute.instance.exists")).samples;
    let metadata = &samples[0].resource_metadata;
    assert!(!metadata.contains_key("metadata"));
    let kept = metadata.get("user_metadata").and_then(Value::as_dict).unwrap();
    assert_eq!(kept.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["server_group", "cost_center"]);
}

#[test]
fn a_notification_without_http_request_costs_only_its_own_sample() {
    let converter = shipped(ConvertOptions::default());
    let mut root = of_type("http.request").root().as_dict().cloned().unwrap();
    root.insert("payload", Dict::new());
    let converted = converter.convert(&Notification::from_root(nephoscope::model::Priority::Info, root));
    assert_eq!(converted.samples, []);
    assert_eq!(converted.events.len(), 1);
    assert_eq!(converted.complaints.len(), 1);
    assert!(converted.complaints[0].text.contains("KeyError"), "{:?}", converted.complaints);
}

#[test]
fn one_unreadable_polled_sample_costs_only_itself() {
    let converter = shipped(ConvertOptions::default());
    let mut root = of_type("telemetry.polling").root().as_dict().cloned().unwrap();
    let Some(Value::Dict(payload)) = root.get_mut("payload") else { panic!("no payload") };
    let Some(Value::List(samples)) = payload.get_mut("samples") else { panic!("no samples") };
    let good = samples.len();
    let mut bad = samples[0].as_dict().cloned().unwrap();
    bad.remove("counter_unit");
    samples.insert(0, Value::Dict(bad));
    samples.insert(0, Value::Null);
    let converted = converter.convert(&Notification::from_root(nephoscope::model::Priority::Sample, root));
    assert_eq!(converted.samples.len(), good);
    assert_eq!(converted.complaints.len(), 2);
    assert!(converted.samples.iter().all(|s| s.timestamp.starts_with("2026-03-01T10:00:") && s.timestamp.len() == 26));
}

#[test]
fn polled_samples_keep_their_monotonic_time_when_repaired() {
    let mut root = of_type("telemetry.polling").root().as_dict().cloned().unwrap();
    let Some(Value::Dict(payload)) = root.get_mut("payload") else { panic!("no payload") };
    let Some(Value::List(samples)) = payload.get_mut("samples") else { panic!("no samples") };
    let Value::Dict(first) = &mut samples[0] else { panic!("no sample") };
    first.insert("monotonic_time", 12.5);
    let notification = Notification::from_root(nephoscope::model::Priority::Sample, root);
    for (polled_monotonic_time, expected) in [(false, Value::Null), (true, Value::Float(12.5))] {
        let repairs = Repairs { polled_monotonic_time, ..Repairs::default() };
        let converted = shipped(ConvertOptions { repairs, ..ConvertOptions::default() }).convert(&notification);
        assert_eq!(converted.samples[0].monotonic_time, expected);
        assert_eq!(converted.complaints, []);
    }
}

#[test]
fn the_context_gives_user_and_project_only_when_the_fault_is_repaired() {
    let context_of = |context_fallback| {
        let repairs = Repairs { context_fallback, ..Repairs::default() };
        let converter = shipped(ConvertOptions { repairs, ..ConvertOptions::default() });
        let notification = of_type("capacity.backend.stor-1@ceph");
        let sample = converter.convert(&notification).samples.remove(0);
        let ctxt = notification.root().as_dict().and_then(|root| root.get("ctxt")?.as_dict().cloned()).unwrap();
        (
            Some(&sample.user_id) == ctxt.get("user_id"),
            Some(&sample.project_id) == ctxt.get("project_id"),
            sample.user_id.is_null(),
        )
    };
    assert_eq!(context_of(false), (false, false, true));
    assert_eq!(context_of(true), (true, true, false));
}

#[test]
fn a_trait_that_does_not_convert_costs_the_event_unless_repaired() {
    let mut root = of_type("compute.instance.exists").root().as_dict().cloned().unwrap();
    let Some(Value::Dict(payload)) = root.get_mut("payload") else { panic!("no payload") };
    payload.insert("vcpus", "many");
    let notification = Notification::from_root(nephoscope::model::Priority::Info, root);
    for (failed_traits, events) in [(false, 0), (true, 1)] {
        let repairs = Repairs { failed_traits, ..Repairs::default() };
        let converted = shipped(ConvertOptions { repairs, ..ConvertOptions::default() }).convert(&notification);
        assert_eq!(converted.events.len(), events);
        assert_eq!(converted.samples.len(), 4, "samples do not care");
        assert!(converted.complaints[0].text.contains("trait vcpus: ValueError"), "{:?}", converted.complaints);
        for event in &converted.events {
            assert!(!event.traits.iter().any(|t| t.name == "vcpus"));
            assert!(event.traits.iter().any(|t| matches!(&t.value, TraitValue::Text(s) if s == "active")));
        }
    }
}

#[test]
fn explain_tells_what_matched_and_what_each_path_found() {
    let explanation = shipped(ConvertOptions::default()).explain(&of_type("image.send"));
    let matched: Vec<_> =
        explanation.considered.iter().filter(|c| c.outcome == Outcome::Matched).map(|c| c.name.as_str()).collect();
    assert_eq!(matched, ["image.serve", "image.download", "image.send"]);
    let download = explanation.considered.iter().find(|c| c.name == "image.download").unwrap();
    let volume = download.found.iter().find(|f| f.key == "volume").unwrap();
    assert_eq!((volume.path.as_str(), &volume.values), ("$.payload.bytes_sent", &Ok(vec!["362546176".to_owned()])));
    let beaten = explanation.considered.iter().find(|c| c.name == "*").unwrap();
    assert!(matches!(&beaten.outcome, Outcome::Beaten(place) if place.line > 0));
    assert_eq!(explanation.converted.samples.len(), 2);
}
