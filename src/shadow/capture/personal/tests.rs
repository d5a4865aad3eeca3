use super::*;
use crate::model::envelope::{self, Form};
use rstest::rstest;
use std::collections::BTreeSet;

fn cleaned(hashes: bool, body: &str) -> String {
    let personal = Personal::new(hashes).unwrap();
    String::from_utf8(personal.clean(body.as_bytes()).unwrap().into_owned()).unwrap()
}

#[test]
fn every_rule_does_what_the_table_says() {
    let removed = json::SECRETS.into_iter().map(|name| Rule { name, action: Remove });
    for Rule { name, action } in removed.chain(RULES.iter().copied()) {
        let body = format!(r#"{{"payload":{{"{name}":"Ada Lovelace"}}}}"#);
        for (hashes, key) in [(false, name.to_owned()), (true, name.to_owned()), (true, name.to_uppercase())] {
            let body = body.replace(name, &key);
            let got = cleaned(hashes, &body);
            match (action, hashes) {
                (Remove, _) => assert_eq!(got, body.replace("Ada Lovelace", REMOVED), "{name}"),
                (Hash | HashUnlessMeasured, true) => {
                    assert!(!got.contains("Ada") && got.contains("\"h-"), "{name}: {got}");
                }
                _ => assert_eq!(got, body, "{name}"),
            }
        }
    }
}

#[test]
fn the_table_has_each_name_once_and_in_order() {
    let names: Vec<&str> = json::SECRETS.into_iter().chain(RULES.iter().map(|rule| rule.name)).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
}

#[test]
fn what_holds_nothing_personal_stays_byte_for_byte() {
    let body = r#"{"payload" : {"id":"a","size": 1.0, "e":"\u00e9"}, "message_id":"m"}"#;
    assert_eq!(cleaned(true, body), body);
}

#[rstest]
#[case::in_the_envelope(r#"{"oslo.version":"2.0","oslo.message":"{\"payload\":{\"admin_pass\":\"s3cret\"}}"}"#)]
#[case::in_a_text(r#"{"payload":{"request":"{\"server\":{\"adminPass\":\"s3cret\"}}"}}"#)]
#[case::in_a_list(r#"{"payload":[[{"password":["s3cret"]}]]}"#)]
#[case::in_the_context(r#"{"_context_auth_token":"s3cret"}"#)]
#[case::in_a_hashed_object(r#"{"payload":{"metadata":{"password":"s3cret"}}}"#)]
fn a_password_is_never_written(#[case] body: &str) {
    for hashes in [false, true] {
        let got = cleaned(hashes, body);
        assert!(!got.contains("s3cret") && got.contains(REMOVED), "{got}");
    }
}

#[test]
fn a_password_too_deep_to_be_looked_for_is_never_written() {
    let body = format!("{}{}{}", r#"{"a":"#.repeat(300), r#"{"password":"s3cret"}"#, "}".repeat(300));
    assert!(!cleaned(false, &body).contains("s3cret"));
}

#[rstest]
#[case::a_name("user_name", "Ada", "h-")]
#[case::an_id("user_id", "5d0982ecebbc8cb14c65dc29419c19aa", "")]
#[case::a_uuid("user_id", "5d0982ec-ebbc-8cb1-4c65-dc29419c19aa", "")]
#[case::mail("email", "ada@example.org", "h-")]
#[case::mail_in_a_text("note", "ada@example.org", "h-")]
#[case::ipv4("address", "192.168.7.9", "10.")]
#[case::ipv6("address", "2001:db8::17", "fd00:")]
#[case::mac("address", "fa:16:3e:00:01:02", "02:")]
fn equal_values_stay_equal_and_keep_their_form(#[case] name: &str, #[case] value: &str, #[case] begins: &str) {
    let personal = Personal::new(true).unwrap();
    let body = format!(r#"{{"payload":{{"{name}":"{value}"}},"_context_{name}":"{value}","x":{{"{name}":"other"}}}}"#);
    let Value::Dict(got) = json::read(&personal.clean(body.as_bytes()).unwrap()).unwrap() else { panic!("no object") };
    let inside = got.get("payload").and_then(Value::as_dict).and_then(|payload| payload.get(name)).cloned().unwrap();
    assert_eq!(Some(&inside), got.get(&format!("_context_{name}")));
    let text = inside.as_str().unwrap();
    assert!(text != value && text.starts_with(begins), "{text}");
    let shape = |text: &str| (text.len(), text.matches('-').count());
    if name == "user_id" {
        assert_eq!(shape(text), shape(value));
    }
    // Another run has another key.
    let other = Personal::new(true).unwrap().clean(body.as_bytes()).unwrap().into_owned();
    assert!(!String::from_utf8(other).unwrap().contains(text));
}

#[rstest]
#[case("2026-03-01T10:00:00.123456+00:00")]
#[case("10:00:00")]
#[case("5d0982ec-ebbc-8cb1-4c65-dc29419c19aa")]
#[case("compute.host-1@ceph")]
#[case("1.25")]
fn what_is_no_address_stays(#[case] text: &str) {
    let body = format!(r#"{{"payload":{{"x":"{text}"}}}}"#);
    assert_eq!(cleaned(true, &body), body);
}

#[test]
fn the_name_of_a_measurement_stays() {
    let body = r#"{"payload":{"metrics":[{"name":"cpu.frequency","value":1600}]}}"#;
    assert_eq!(cleaned(true, body), body);
}

#[test]
fn who_did_it_is_hashed() {
    let got =
        cleaned(true, r#"{"payload":{"initiator":{"id":"c9f76d3c31e142af9291de2935bde98a","typeURI":"service"}}}"#);
    assert!(!got.contains("c9f76d3c31e142af9291de2935bde98a") && got.contains("service"), "{got}");
}

#[test]
fn what_nobody_can_read_is_not_written() {
    let personal = Personal::new(false).unwrap();
    for body in [&b"not json"[..], b"[1]", br#"{"oslo.version":"2.0","oslo.message":"{"}"#] {
        assert_eq!(personal.clean(body), None);
    }
}

/// The shipped definitions are made for what services send: they must find in a hashed notification what they find in the plain one.
#[test]
fn hashed_notifications_can_still_be_opened() {
    let personal = Personal::new(true).unwrap();
    let mut changed = 0;
    for line in include_str!("../../../../config/notifications.jsonl").lines() {
        let cleaned = personal.clean(line.as_bytes()).unwrap();
        changed += usize::from(matches!(cleaned, Cow::Owned(_)));
        let (before, after) = (envelope::open(line.as_bytes()).unwrap(), envelope::open(&cleaned).unwrap());
        assert_eq!(
            (before.event_type(), before.message_id(), before.timestamp(), before.publisher_id(), before.priority()),
            (after.event_type(), after.message_id(), after.timestamp(), after.publisher_id(), after.priority())
        );
        let Ok(Value::Dict(message)) = json::read(&cleaned) else { panic!("an object") };
        let bare = envelope::unwrap(message).unwrap();
        assert_eq!(after, envelope::open(&envelope::seal(&bare, Form::Bare)).unwrap());
    }
    assert!(changed > 0);
}
