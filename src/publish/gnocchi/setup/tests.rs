//! Against a server that plays Gnocchi.

use serde_json::json;
use std::path::Path;
use std::time::Duration;
use wiremock::matchers::{method, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Created, READ_TIMEOUT, Setup};
use crate::config::{self, Settings};

fn settings(server: &MockServer, more: &str) -> Settings {
    let address = server.address();
    let text =
        format!("[service_credentials]\nauth_type = gnocchi-basic\nuser = ada\nendpoint = http://{address}\n{more}\n");
    config::load_text("ceilometer.conf", &text).0.unwrap()
}

/// A Gnocchi with nothing in it, which answers these POSTs so.
async fn gnocchi(posts: &[(&str, ResponseTemplate)]) -> MockServer {
    let server = MockServer::start().await;
    let none = ResponseTemplate::new(200).set_body_json(json!([]));
    Mock::given(method("GET")).respond_with(none).mount(&server).await;
    for (path, answer) in posts {
        Mock::given(method("POST")).and(path_regex(*path)).respond_with(answer.clone()).mount(&server).await;
    }
    server
}

async fn created(server: &MockServer) -> (usize, Created) {
    let (setup, _) = Setup::new(&settings(server, ""), None, false).unwrap();
    let plan = setup.plan().await.unwrap();
    (plan.steps.len(), setup.create(&plan.steps, |_| ()).await)
}

async fn posts(server: &MockServer) -> usize {
    let requests = server.received_requests().await.unwrap();
    requests.iter().filter(|request| request.method.as_str() == "POST").count()
}

#[tokio::test]
async fn a_user_without_rights_is_told_so_once() {
    let server = gnocchi(&[("", ResponseTemplate::new(403))]).await;
    let (steps, created) = created(&server).await;
    let [failure] = &created.failures[..] else { panic!("{created:?}") };
    assert_eq!((steps, created.steps, posts(&server).await), (26, 0, 2));
    let expected = format!(
        "user ada of [service_credentials] has no right to `create resource type` (22 not created) and `create archive policy` \
         (4 not created) at http://{}/: 403 Forbidden",
        server.address()
    );
    assert!(failure.starts_with(&expected), "{failure}");
}

#[tokio::test]
async fn a_missing_right_does_not_keep_the_others_from_use() {
    let server =
        gnocchi(&[("resource_type", ResponseTemplate::new(201)), ("archive_policy", ResponseTemplate::new(403))]).await;
    let (_, created) = created(&server).await;
    assert_eq!((created.steps, created.failures.len()), (22, 1));
    assert!(created.failures[0].contains("`create archive policy` (4 not created) at"), "{created:?}");
}

#[tokio::test]
async fn a_gnocchi_that_goes_away_is_not_asked_for_the_rest() {
    let server = gnocchi(&[("", ResponseTemplate::new(503))]).await;
    let (_, created) = created(&server).await;
    assert_eq!((created.steps, created.failures.len(), posts(&server).await), (0, 1, 1));
    assert!(created.failures[0].ends_with("; 25 after it were not tried"), "{created:?}");
}

#[tokio::test]
async fn the_timeout_of_the_section_holds_and_a_frozen_gnocchi_is_named() {
    assert!(READ_TIMEOUT <= Duration::from_secs(10), "somebody waits");
    let server = MockServer::start().await;
    let frozen = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(method("GET")).respond_with(frozen).mount(&server).await;
    let (setup, _) = Setup::new(&settings(&server, "timeout = 0.05"), None, false).unwrap();
    let why = setup.plan().await.unwrap_err();
    assert!(why.starts_with(&format!("http://{}: no answer in time", server.address())), "{why}");
    assert!(why.ends_with("write a longer timeout into [service_credentials]"), "{why}");
}

#[tokio::test]
async fn a_file_that_is_named_must_be_there() {
    let server = MockServer::start().await;
    let settings = settings(&server, "");
    for name in ["no-such-file.yaml", "gnocchi_resources.yaml"] {
        let wrong = Setup::new(&settings, Some(Path::new(name)), false).err().unwrap();
        let [wrong] = &wrong[..] else { panic!("{wrong:?}") };
        let told = wrong.to_string();
        assert!(told.starts_with(&format!("{name}: cannot find this file of --resources-definition-file")), "{told}");
    }
    assert!(Setup::new(&settings, None, false).is_ok(), "the shipped one");
}
