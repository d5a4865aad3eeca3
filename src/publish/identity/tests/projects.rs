//! The id of a project by its name and domain.

use super::*;
use wiremock::matchers::query_param;

/// Two domains with a project `service` each. As Keystone's, a name is found whatever its capitals are.
async fn two_domains() -> MockServer {
    let server = keystone(tokens()).await;
    let some = |kind: &str, all: &[(&str, &str)]| {
        let all: Vec<Value> = all.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
        ResponseTemplate::new(200).set_body_json(json!({kind: all, "links": {}}))
    };
    let found = [
        ("domains", "Default", None, vec![("default", "Default")]),
        ("domains", "default", None, vec![("default", "Default")]),
        ("domains", "Other & Co", None, vec![("d2", "Other & Co")]),
        ("projects", "service", Some("default"), vec![("p1", "service")]),
        ("projects", "service", Some("d2"), vec![("p9", "SERVICE2"), ("p2", "service")]),
        ("projects", "Service", Some("d2"), vec![("p2", "service")]),
    ];
    for (kind, name, domain, all) in found {
        let mut mock = Mock::given(path(format!("/identity/v3/{kind}"))).and(query_param("name", name));
        if let Some(domain) = domain {
            mock = mock.and(query_param("domain_id", domain));
        }
        mock.respond_with(some(kind, &all)).mount(&server).await;
    }
    for kind in ["domains", "projects"] {
        let mock = Mock::given(path(format!("/identity/v3/{kind}"))).respond_with(some(kind, &[]));
        mock.with_priority(9).mount(&server).await;
    }
    server
}

#[rstest]
#[case::by_names("Default", "service", Some("p1"))]
#[case::another_domain("Other & Co", "service", Some("p2"))]
#[case::by_the_id_of_the_domain("d2", "service", Some("p2"))]
#[case::capitals_of_the_domain("default", "service", Some("p1"))]
#[case::capitals("d2", "Service", Some("p2"))]
#[case::unknown_project("Default", "nobody", None)]
#[case::unknown_domain("nowhere", "service", None)]
#[tokio::test]
async fn a_project_is_found_by_its_name_in_its_domain(
    #[case] domain: &str,
    #[case] name: &str,
    #[case] id: Option<&str>,
) {
    let server = two_domains().await;
    let found = identity(&server, PASSWORD).project_id(domain, name).await.unwrap();
    assert_eq!(found.as_deref(), id);
    let requests = server.received_requests().await.unwrap();
    let asked = requests.iter().filter(|request| request.url.path() != TOKENS);
    assert!(
        asked.clone().count() == 2 && asked.into_iter().all(|request| request.headers["x-auth-token"] == "token-1")
    );
}

#[rstest]
#[case::forbidden(ResponseTemplate::new(403), "the login may not list domains: give it a role that may")]
#[case::broken(ResponseTemplate::new(500), "said 500 Internal Server Error; the agent goes on trying")]
#[case::unknown_token(ResponseTemplate::new(401), "said 401 Unauthorized; see user, password")]
#[case::no_json(ResponseTemplate::new(200).set_body_string("<html>"), "an answer is no JSON of Keystone v3")]
#[case::another_json(ResponseTemplate::new(200).set_body_json(json!([1])), "an answer is no JSON of Keystone v3")]
#[case::no_list(ResponseTemplate::new(200).set_body_json(json!({"domains": 7})), "an answer is no JSON of Keystone v3")]
#[tokio::test]
async fn while_keystone_does_not_tell_a_project_everything_waits(#[case] answer: ResponseTemplate, #[case] why: &str) {
    let server = keystone(tokens()).await;
    on(&server, "GET", "/identity/v3/domains", answer).await;
    let cause = waits(identity(&server, PASSWORD).project_id("Default", "service").await);
    assert!(cause.starts_with("[service_credentials]: Keystone") && cause.contains(why), "{cause}");
}

#[tokio::test]
async fn a_login_without_keystone_knows_no_projects() {
    let server = MockServer::start().await;
    let identity = identity(&server, "auth_type = none\nendpoint = SERVER");
    let cause = waits(identity.project_id("Default", "service").await);
    assert!(cause.contains("has no Keystone that could tell"), "{cause}");
}
