//! Which address is taken out of the catalogue, and what is said where there is none.

use super::*;

/// A service with endpoints: interface, region, address.
fn service(kind: &str, name: Option<&str>, endpoints: &[(&str, &str, &str)]) -> Value {
    let endpoint = |(interface, region, url): &(&str, &str, &str)| json!({"interface": interface, "region": region, "region_id": region, "url": url});
    json!({"type": kind, "name": name, "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>()})
}

fn three() -> Value {
    json!([
        service("image", Some("glance"), &[("public", "R1", "http://image")]),
        service(
            "metric",
            Some("gnocchi"),
            &[
                ("admin", "R1", "http://admin1/"),
                ("internal", "R1", "http://internal1"),
                ("public", "R1", "http://public1/metric/"),
                ("public", "R2", "https://public2:8041/a/b?x=y#z"),
                ("internalURL", "R2", "http://internal2"),
            ]
        ),
    ])
}

#[rstest]
#[case::public("", "http://public1/metric")]
#[case::public_url("interface = publicURL", "http://public1/metric")]
#[case::internal("interface = internal", "http://internal1/")]
#[case::internal_url("os_endpoint_type = internalURL", "http://internal1/")]
#[case::admin("interface = admin", "http://admin1/")]
#[case::region("region_name = R2", "https://public2:8041/a/b")]
#[case::both("region_name = R2\ninterface = internal", "http://internal2/")]
#[tokio::test]
async fn an_address_is_found_by_interface_and_region(#[case] more: &str, #[case] url: &str) {
    let server = keystone(Tokens { catalogue: three(), ..tokens() }).await;
    let identity = identity(&server, &format!("{PASSWORD}\n{more}"));
    assert_eq!(identity.endpoint(&GNOCCHI).await.unwrap().as_str(), url);
}

const ANY: Service = Service { types: &["messaging", "message"], name: None };
const AT: &[(&str, &str, &str)] = &[("public", "R", "http://here")];

#[rstest]
#[case::a_name_that_counts(service("metric", Some("gnocchi"), AT), GNOCCHI, true)]
#[case::no_name(service("metric", None, AT), GNOCCHI, true)]
#[case::another_name(service("metric", Some("aetos"), AT), GNOCCHI, false)]
#[case::another_type(service("metering", Some("gnocchi"), AT), GNOCCHI, false)]
#[case::a_name_that_does_not_count(service("messaging", Some("mq"), AT), ANY, true)]
#[case::another_of_its_types(service("message", Some("zaqar"), AT), ANY, true)]
#[case::no_type(json!({"name": "gnocchi", "endpoints": []}), GNOCCHI, false)]
#[case::no_endpoints(json!({"name": "gnocchi", "type": "metric"}), GNOCCHI, false)]
#[case::no_url(json!({"type": "metric", "endpoints": [{"interface": "public", "region": "R"}]}), GNOCCHI, false)]
#[tokio::test]
async fn an_address_is_found_by_type_and_name(#[case] entry: Value, #[case] wanted: Service, #[case] found: bool) {
    let server = keystone(Tokens { catalogue: json!([entry]), ..tokens() }).await;
    let identity = identity(&server, PASSWORD);
    assert_eq!(identity.endpoint(&wanted).await.is_ok(), found);
}

#[rstest]
#[case::region(
    "region_name = R3",
    three(),
    "has no public address of a metric service named gnocchi in region R3; it has image glance (public in R1), metric gnocchi (admin in R1)"
)]
#[case::empty("", json!([]), "it is empty: write the project that the login is for (project_name)")]
#[case::no_address("", json!([service("metric", None, &[("public", "R", "nonsense")])]), "the service's address \"nonsense\" is none")]
#[case::other_scheme("", json!([service("metric", None, &[("public", "R", "file:///etc/passwd")])]), "expected http or https and a host")]
#[case::user("", json!([service("metric", None, &[("public", "R", "http://me:SeCrEt@h")])]), "it has a user in it")]
#[case::large("region_name = R3", json!([service("x".repeat(9_999).as_str(), Some("\u{1b}[31m"), &[("public", "R", "http://h"); 50])]), ", others; correct interface")]
#[tokio::test]
async fn an_address_that_is_missing_is_said_with_what_there_is(
    #[case] more: &str,
    #[case] catalogue: Value,
    #[case] why: &str,
) {
    let server = keystone(Tokens { catalogue, ..tokens() }).await;
    let identity = identity(&server, &format!("{PASSWORD}\n{more}"));
    let cause = waits(identity.endpoint(&GNOCCHI).await);
    assert!(cause.starts_with("[service_credentials]: ") && cause.contains(why), "{cause}");
    assert!(cause.len() < 4_000 && !cause.contains("SeCrEt") && !cause.contains('\u{1b}'), "{cause}");
}

#[tokio::test]
async fn a_catalogue_without_the_service_is_asked_for_again_after_ten_seconds() {
    let server = MockServer::start().await;
    Mock::given(path(TOKENS)).respond_with(tokens()).up_to_n_times(1).mount(&server).await;
    let later = Tokens { catalogue: three(), ..tokens() };
    Mock::given(path(TOKENS)).respond_with(later).with_priority(9).mount(&server).await;
    let identity = identity(&server, PASSWORD);
    waits(identity.endpoint(&GNOCCHI).await);
    pass(9).await;
    waits(identity.endpoint(&GNOCCHI).await);
    assert_eq!(logged_in(&server).await.len(), 1);
    pass(2).await;
    // The one who finds nothing has it asked for by the next.
    waits(identity.endpoint(&GNOCCHI).await);
    assert_eq!(identity.endpoint(&GNOCCHI).await.unwrap().as_str(), "http://public1/metric");
    assert_eq!(logged_in(&server).await.len(), 2);
}

#[tokio::test]
async fn an_address_that_is_written_counts_before_the_catalogue_and_keystone_is_not_asked() {
    let server = keystone(Tokens { catalogue: three(), ..tokens() }).await;
    let identity = identity(&server, &format!("{PASSWORD}\nendpoint_override = http://mine:8041/x/"));
    assert_eq!(identity.endpoint(&GNOCCHI).await.unwrap().as_str(), "http://mine:8041/x");
    assert!(logged_in(&server).await.is_empty());
}

#[rstest]
#[case("http://169.254.169.254/")]
#[case("http://[fe80::1]:80/")]
#[case("http://[::ffff:169.254.169.254]/")]
#[tokio::test]
async fn a_link_local_address_in_the_catalogue_is_not_asked(#[case] url: &str) {
    let catalogue = json!([service("metric", None, &[("public", "R", url)])]);
    let server = keystone(Tokens { catalogue, ..tokens() }).await;
    let identity = identity(&server, PASSWORD);
    let endpoint = identity.endpoint(&GNOCCHI).await.unwrap();
    let web = web(&identity);
    let cause = waits(identity.ask(&web, web.request(reqwest::Method::GET, endpoint), 100).await);
    assert!(cause.contains("a link-local address"), "{cause}");
}

#[rstest]
#[case("auth_type = none\nendpoint = http://169.254.169.254/")]
#[case(&format!("{PASSWORD}\nendpoint_override = http://[fe80::1]/"))]
#[tokio::test]
async fn a_link_local_address_that_is_written_is_refused_unless_it_is_meant(#[case] section: &str) {
    let server = MockServer::start().await;
    let identity = identity(&server, section);
    let web = |link_local| identity.web(Duration::from_secs(1), link_local, Secrets::default()).map(drop);
    assert!(web(false).unwrap_err().join("; ").contains("write link_local=true"));
    assert_eq!(web(true), Ok(()));
}
