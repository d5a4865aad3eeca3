//! The project whose samples are dropped, and the logins that cannot tell its id.

use super::*;
use crate::publish::{Look, check_with};

const BASIC: &str = "auth_type = gnocchi-basic\nendpoint = SERVER";
const NOAUTH: &str = "auth_type = gnocchi-noauth\nuser_id = u\nproject_id = p\nendpoint = SERVER";
const NONE: &str = "auth_type = none\nendpoint = SERVER";
const PASSWORD: &str = "auth_type = password\nauth_url = SERVER\nuser_id = u\npassword = SeCrEt\nproject_id = p\n\
    endpoint_override = SERVER";

#[rstest]
#[case::basic(BASIC, "auth_type = gnocchi-basic")]
#[case::noauth(NOAUTH, "auth_type = gnocchi-noauth")]
#[case::none(NONE, "auth_type = none")]
#[tokio::test]
async fn a_filter_without_a_keystone_is_refused_at_start_and_when_it_is_checked(
    #[case] section: &str,
    #[case] kind: &str,
) {
    let server = MockServer::start().await;
    let context = logged_in(&server, section);
    let look = Look { broker: &|_| Ok(()), search: &[], gnocchi: Some(&context.gnocchi), zaqar: None };
    let built = |url: &str, kind| build(url, kind, &context).map(drop);
    let error = check_with("gnocchi://?filter_project=mine", Kind::Samples, look).unwrap_err();
    assert_eq!(built("gnocchi://?filter_project=mine", Kind::Samples).unwrap_err(), error);
    let expected = format!("[service_credentials] {kind} has no Keystone, which alone knows the id of project mine");
    assert!(error.to_string().contains(&expected), "{error}");
    assert!(error.to_string().contains("write enable_filter_project=false into the URL"), "{error}");
    assert_eq!(built("gnocchi://?enable_filter_project=false", Kind::Samples), Ok(()));
    assert_eq!(check_with("gnocchi://?enable_filter_project=false", Kind::Samples, look), Ok(Vec::new()));
    assert_eq!(built("gnocchi://", Kind::Events), Ok(()), "events are not filtered");
}

fn named(id: &str, name: &str) -> serde_json::Value {
    json!([{"id": id, "name": name}])
}

#[rstest]
#[case::forbidden("/v3/domains", 403)]
#[case::broken("/v3/projects", 500)]
#[tokio::test]
async fn a_filter_that_cannot_be_resolved_holds_and_says_so(#[case] at: &str, #[case] status: u16) {
    let server = gnocchi().await;
    let token = ResponseTemplate::new(201).insert_header("x-subject-token", "t").set_body_json(json!({"token": {}}));
    let fails = Mock::given(method("GET")).and(path(at)).respond_with(ResponseTemplate::new(status));
    fails.with_priority(1).up_to_n_times(1).mount(&server).await;
    on(&server, "POST", "/v3/auth/tokens", token).await;
    let domains = ResponseTemplate::new(200).set_body_json(json!({"domains": named("d", "Default")}));
    on(&server, "GET", "/v3/domains", domains).await;
    let projects = ResponseTemplate::new(200).set_body_json(json!({"projects": named("p", "service")}));
    on(&server, "GET", "/v3/projects", projects).await;

    let publisher = build("gnocchi://", Kind::Samples, &logged_in(&server, PASSWORD)).unwrap();
    // Of project p, and of another.
    let mut other = volume("b", 2);
    other.project_id = "q".into();
    let batch = samples(&[volume("a", 1), other]);
    let error = publisher.publish(&batch).await.unwrap_err();
    assert!(matches!(error, PublishError::Retry { .. }), "{error}");
    assert!(error.to_string().contains("enable_filter_project=false"), "{error}");
    assert!(error.to_string().contains(&status.to_string()), "{error}");
    assert_eq!(measures(&server).await.len(), 0);

    publisher.publish(&batch).await.unwrap();
    let all = measures(&server).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["b"], "those of the project are dropped");
}
