//! What is sent for a token, how long it is used, and who waits for it.

use super::*;
use futures_util::future::join_all;
use std::sync::Arc;
use tokio::sync::Notify;

/// A user with a password, and a scope.
fn user(user: &Value, scope: Option<&Value>) -> Value {
    let mut user = user.clone();
    user["password"] = json!("SeCrEt");
    let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": user}}});
    if let Some(scope) = scope {
        auth["scope"] = scope.clone();
    }
    json!({"auth": auth})
}

fn by_id(scope: Option<&Value>) -> Value {
    user(&json!({"id": "u"}), scope)
}

fn credential(credential: &Value) -> Value {
    json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": credential}}})
}

const BY_ID: &str = "auth_type = password\nauth_url = SERVER/identity\nuser_id = u\npassword = SeCrEt";
const NAMED: &str = "auth_type = v3applicationcredential\nauth_url = SERVER/identity\n\
    application_credential_name = c\napplication_credential_secret = SeCrEt";

#[rstest]
#[case::names(PASSWORD, user(
    &json!({"name": "ceilometer", "domain": {"name": "Default"}}),
    Some(&json!({"project": {"name": "service", "domain": {"name": "Default"}}})),
))]
#[case::domain_ids(
    "auth_type = v3password\nauth_url = SERVER/identity\nusername = u\npassword = SeCrEt\nuser_domain_id = d1\n\
     project_name = p\nproject_domain_id = d2",
    user(&json!({"name": "u", "domain": {"id": "d1"}}), Some(&json!({"project": {"name": "p", "domain": {"id": "d2"}}}))),
)]
#[case::default_domain(
    "auth_type = password\nauth_url = SERVER/identity\nusername = u\npassword = SeCrEt\ndefault_domain_id = d\n\
     project_name = p\nproject_domain_name = P",
    user(&json!({"name": "u", "domain": {"id": "d"}}), Some(&json!({"project": {"name": "p", "domain": {"name": "P"}}}))),
)]
#[case::no_scope(BY_ID, by_id(None))]
#[case::project_id(&format!("{BY_ID}\nproject_id = p\nproject_name = n"), by_id(Some(&json!({"project": {"id": "p"}}))))]
#[case::domain(&format!("{BY_ID}\ndomain_name = d"), by_id(Some(&json!({"domain": {"name": "d"}}))))]
#[case::domain_id(&format!("{BY_ID}\ndomain_id = d"), by_id(Some(&json!({"domain": {"id": "d"}}))))]
#[case::system(&format!("{BY_ID}\nsystem_scope = all"), by_id(Some(&json!({"system": {"all": true}}))))]
#[case::trust(&format!("{BY_ID}\ntrust_id = t"), by_id(Some(&json!({"OS-TRUST:trust": {"id": "t"}}))))]
#[case::credential(CREDENTIAL, credential(&json!({"id": "7f", "secret": "SeCrEt"})))]
#[case::credential_has_its_project(
    &format!("{CREDENTIAL}\nproject_id = p"),
    credential(&json!({"id": "7f", "secret": "SeCrEt"})),
)]
#[case::named_credential(
    &format!("{NAMED}\nusername = u\nuser_domain_name = D"),
    credential(&json!({"name": "c", "secret": "SeCrEt", "user": {"name": "u", "domain": {"name": "D"}}})),
)]
#[case::named_credential_of_an_id(
    &format!("{NAMED}\nuser_id = u"),
    credential(&json!({"name": "c", "secret": "SeCrEt", "user": {"id": "u"}})),
)]
#[case::token(
    "auth_type = v3token\nauth_url = SERVER/identity\ntoken = SeCrEt\nproject_id = p",
    json!({"auth": {"identity": {"methods": ["token"], "token": {"id": "SeCrEt"}}, "scope": {"project": {"id": "p"}}}}),
)]
#[tokio::test]
async fn keystone_is_sent_what_the_section_says(#[case] section: &str, #[case] body: Value) {
    let server = keystone(tokens()).await;
    ask(&server, &identity(&server, section)).await.unwrap();
    let requests = logged_in(&server).await;
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body_json::<Value>().unwrap(), body);
    assert_eq!(requests[0].headers["content-type"], "application/json");
    assert!(!requests[0].headers.contains_key("x-auth-token"));
}

#[rstest]
#[case("SERVER", "/v3/auth/tokens")]
#[case("SERVER/", "/v3/auth/tokens")]
#[case("SERVER/v3", "/v3/auth/tokens")]
#[case("SERVER/v3/", "/v3/auth/tokens")]
#[case("SERVER/identity", "/identity/v3/auth/tokens")]
#[case("SERVER/identity/v3", "/identity/v3/auth/tokens")]
#[tokio::test]
async fn keystone_is_asked_at_its_address_with_or_without_the_version(#[case] url: &str, #[case] at: &str) {
    let server = MockServer::start().await;
    on(&server, "POST", at, tokens()).await;
    let section = format!("auth_type = token\ntoken = t\nauth_url = {url}");
    identity(&server, &section).token().await.unwrap();
}

#[tokio::test]
async fn one_token_serves_for_all_requests() {
    let server = keystone(tokens()).await;
    let identity = identity(&server, PASSWORD);
    for _ in 0..3 {
        ask(&server, &identity).await.unwrap();
    }
    assert_eq!(logged_in(&server).await.len(), 1);
    let requests = server.received_requests().await.unwrap();
    let with = requests.iter().filter(|request| request.headers.get("x-auth-token").is_some_and(|t| t == "token-1"));
    assert_eq!(with.count(), 3);
}

/// The service knows only the tokens from this one on.
fn knows_from(first: usize) -> impl Respond {
    move |request: &Request| {
        let token = request.headers["x-auth-token"].to_str().unwrap();
        let number: usize = token.trim_start_matches("token-").parse().unwrap();
        ResponseTemplate::new(if number >= first { 200 } else { 401 })
    }
}

#[rstest]
#[case::known(1, &[200, 200], 1)]
#[case::forgotten(2, &[200, 200], 2)]
#[case::unknown_still(3, &[401, 200], 3)]
#[case::never(99, &[401, 401], 3)]
#[tokio::test]
async fn a_token_that_is_not_known_is_renewed_once_for_a_request(
    #[case] first: usize,
    #[case] statuses: &[u16],
    #[case] tokens_given: usize,
) {
    let server = keystone(tokens()).await;
    on(&server, "GET", "/service", knows_from(first)).await;
    let identity = identity(&server, PASSWORD);
    for status in statuses {
        assert_eq!(ask(&server, &identity).await.unwrap().status, *status);
    }
    assert_eq!(logged_in(&server).await.len(), tokens_given);
}

#[rstest]
#[case::at_first(1, 1)]
#[case::when_it_is_forgotten(2, 2)]
#[tokio::test]
async fn many_who_ask_at_once_take_one_token(#[case] first: usize, #[case] tokens_given: usize) {
    let server = keystone(tokens()).await;
    on(&server, "GET", "/service", knows_from(first)).await;
    let identity = identity(&server, PASSWORD);
    let replies = join_all((0..20).map(|_| ask(&server, &identity))).await;
    assert!(replies.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.status == 200)), "{replies:?}");
    assert_eq!(logged_in(&server).await.len(), tokens_given);
}

#[tokio::test]
async fn many_who_ask_at_once_take_one_refusal_and_the_next_asks_again() {
    let server = keystone(ResponseTemplate::new(503).set_delay(Duration::from_millis(20))).await;
    let identity = identity(&server, PASSWORD);
    for answer in join_all((0..20).map(|_| ask(&server, &identity))).await {
        assert!(waits(answer).contains("503"));
    }
    assert_eq!(logged_in(&server).await.len(), 1);
    waits(ask(&server, &identity).await);
    assert_eq!(logged_in(&server).await.len(), 2);
}

#[tokio::test]
async fn somebody_who_gives_up_waiting_holds_up_nobody() {
    let is_asked = Arc::new(Notify::new());
    let asked = Arc::clone(&is_asked);
    let slow = move |_: &Request| {
        asked.notify_one();
        ResponseTemplate::new(503).set_delay(Duration::from_secs(30))
    };
    let server = MockServer::start().await;
    Mock::given(path(TOKENS)).respond_with(slow).up_to_n_times(1).mount(&server).await;
    Mock::given(path(TOKENS)).respond_with(tokens()).with_priority(9).mount(&server).await;
    on(&server, "GET", "/service", ResponseTemplate::new(200)).await;
    let identity = identity(&server, PASSWORD);
    tokio::select! {
        answer = ask(&server, &identity) => panic!("answered: {answer:?}"),
        () = is_asked.notified() => {}
    }
    assert_eq!(ask(&server, &identity).await.unwrap().status, 200);
}

/// A minute before its end at the latest; whatever Keystone says, between ten seconds and a day.
#[rstest]
#[case::lasts(Some(3600), 3539, 1)]
#[case::near_its_end(Some(3600), 3541, 2)]
#[case::short(Some(61), 9, 1)]
#[case::short_is_over(Some(61), 11, 2)]
#[case::over_already(Some(-5), 9, 1)]
#[case::over_already_and_old(Some(-5), 11, 2)]
#[case::for_ever(Some(400 * 86_400), 86_399, 1)]
#[case::for_ever_is_a_day(Some(400 * 86_400), 86_401, 2)]
#[case::nothing_is_said(None, 299, 1)]
#[case::nothing_is_said_for_long(None, 301, 2)]
#[tokio::test]
async fn a_token_near_its_end_is_renewed(
    #[case] lasts: Option<i64>,
    #[case] seconds: u64,
    #[case] tokens_given: usize,
) {
    let server = keystone(Tokens { lasts, ..tokens() }).await;
    let identity = identity(&server, PASSWORD);
    identity.token().await.unwrap();
    pass(seconds).await;
    identity.token().await.unwrap();
    assert_eq!(logged_in(&server).await.len(), tokens_given);
}
