//! Destinations: not there, not looked at, and a Gnocchi that lacks something.

use super::{folder, nobody, seen};
use crate::field::Folder;
use crate::rig::{self, Metricd};

/// An agent alone whose broker is nobody's; what is said of that is not looked at.
fn publishing(name: &str, samples: &[&str], more: &str) -> Folder {
    let folder = folder(name, "amqp://127.0.0.1:1/", more);
    folder.pipelines(samples, &["test://"]);
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_away_or_not_looked_at() {
    let closed = nobody();
    let scrape = nobody();
    let urls = [format!("tcp://127.0.0.1:{closed}"), format!("prometheus-scrape://127.0.0.1:{scrape}")];
    let patient = publishing("doctor-away", &[&urls[0], &urls[1], "file://{folder}/samples.jsonl?json"], "");
    let found = seen(&patient, &[]).await;
    found.expect("publisher.unreachable", &urls[0], "Connection refused");
    found.expect("publisher.not_looked_at", "file://", "nephoscope check");
    found.expect("publisher.not_looked_at", &urls[1], "nephoscope check");
    assert!(!patient.file("samples.jsonl").exists(), "a file was made");
    std::net::TcpListener::bind(("127.0.0.1", scrape)).expect("the port is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_wrong() {
    let patient = publishing("doctor-pipeline", &["kafka://h"], "");
    let found = seen(&patient, &[]).await;
    found.expect("configuration.wrong", "pipeline.yaml:", "use notifier://");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gnocchi_lacks_what_samples_need() {
    let login =
        |url: &str| format!("[service_credentials]\nauth_type = gnocchi-basic\nuser = admin\nendpoint = {url}\n");
    let samples = ["gnocchi://?enable_filter_project=false"];
    let away = publishing("doctor-no-gnocchi", &samples, &login(&format!("http://127.0.0.1:{}", nobody())));
    seen(&away, &[]).await.expect("gnocchi.refused", "user admin", "Connection refused");

    let Some(gnocchi) = tokio::task::block_in_place(|| rig::own_gnocchi(Metricd::No)) else { return };
    let patient = publishing("doctor-gnocchi", &samples, &login(&gnocchi.url));
    // A type that somebody made in another way.
    let body = r#"{"name": "image", "attributes": {"name": {"type": "number", "required": false}}}"#;
    let (status, _) = gnocchi.ask(reqwest::Method::POST, "/v1/resource_type", Some(body.to_owned())).await.unwrap();
    assert_eq!(status, 201);
    let found = seen(&patient, &[]).await;
    found.expect("gnocchi.missing", "resource type instance", "nephoscope gnocchi-setup");
    found.expect("gnocchi.missing", "archive policy ceilometer-low", &gnocchi.url);
    found.expect("gnocchi.differs", &gnocchi.url, "attribute name of resource type image is number");

    let mut setup = tokio::process::Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    setup.args(["gnocchi-setup", "--config-file"]).arg(patient.file("ceilometer.conf"));
    assert!(setup.output().await.unwrap().status.success());
    let found = seen(&patient, &[]).await;
    assert_eq!(found.of("gnocchi.missing").len(), 0, "{:#?}", found.findings);
}
