//! What is said names the true cause and what to do.

use super::*;
use crate::publish::check;
use crate::publish::{Look, check_with};

fn refused(result: Result<(), PublishError>) -> String {
    match result {
        Err(PublishError::Partly(Partly { refused, left: None })) => refused[0].cause.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_policy_that_is_missing_is_looked_for_where_it_was_written() {
    let server = gnocchi().await;
    on(&server, "POST", MEASURES, bad_request(json!("Archive policy nope does not exist"))).await;
    let batch = samples(&[volume("a", 1)]);
    let error = publisher(&server, "archive_policy=nope").publish(&batch).await.unwrap_err().to_string();
    let says = "create it, or name another as archive_policy in place of nope, which the publisher's URL says";
    assert!(error.contains(says), "{error}");
}

#[tokio::test]
async fn an_id_that_is_too_long_is_said_to_be_too_long() {
    let server = gnocchi().await;
    let extra =
        bad_request(json!({"cause": "Invalid input", "detail": ["x"], "reason": "extra keys not allowed @ data['x']"}));
    on(&server, "POST", MEASURES, extra).await;
    on(&server, "POST", "/v1/resource/instance", bad_request(json!({"cause": "Invalid input"}))).await;
    let id = "i".repeat(256);
    let says = "the id of the resource has 256 characters, and Gnocchi takes 255 at most";
    let of_sample = refused(publisher(&server, "").publish(&samples(&[volume(&id, 1)])).await);
    assert!(of_sample.starts_with(says), "{of_sample}");
    let batch = Batch::Events(vec![event("compute.instance.create.end", &id)]);
    let of_event = refused(events_publisher(&server, "").publish(&batch).await);
    assert!(of_event.starts_with(says), "{of_event}");
}

#[tokio::test]
async fn a_path_that_is_too_long_is_not_sent_and_gnocchi_is_not_blamed() {
    let server = gnocchi().await;
    let batch = Batch::Events(vec![event("image.delete", &"i".repeat(70_000))]);
    let cause = refused(events_publisher(&server, "").publish(&batch).await);
    assert!(cause.starts_with("the id of the resource has 70000 characters"), "{cause}");
    assert!(!cause.contains("breaks down"), "{cause}");
    assert_eq!(asked(&server).await, [""; 0]);
}

#[rstest]
#[case("?archive_policy=", "archive_policy= is empty")]
#[case("?archive_policy=low#x", "a # and everything behind it has no effect in the URL")]
#[case("#x", "a # and everything behind it has no effect in the URL")]
fn what_says_nothing_in_a_url_is_warned_of(#[case] rest: &str, #[case] says: &str) {
    let look = Look { broker: &|_| Ok(()), search: &[], gnocchi: None, zaqar: None };
    let warnings = check_with(&format!("gnocchi://{rest}"), Kind::Samples, look).unwrap();
    assert!(warnings.iter().any(|warning| warning.contains(says)), "{warnings:?}");
}

#[test]
fn options_that_gnocchi_basic_does_not_have_are_warned_of() {
    let text = "[service_credentials]\nauth_type = gnocchi-basic\nusername = u\npassword = SeCrEt\n";
    let (settings, complaints) = config::load_text("test", text);
    assert!(settings.is_some(), "{complaints:?}");
    let said: Vec<String> =
        complaints.iter().map(ToString::to_string).filter(|text| text.contains("has no effect")).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("username") && said[1].contains("password"), "{said:?}");
    assert!(said.iter().all(|text| !text.contains("SeCrEt")), "{said:?}");
}

#[rstest]
#[case("ended_at=then", "expected event or now")]
#[case("max_batch=0", "at least 1")]
#[case("timeout=0", "at least 0.001")]
#[case("archive_polici=x", "did you mean archive_policy?")]
#[case("resources_definition_file=/", "")]
fn a_wrong_option_is_said(#[case] options: &str, #[case] why: &str) {
    let error = check(&format!("gnocchi://?{options}"), Kind::Samples, &|_| Ok(())).unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
}
