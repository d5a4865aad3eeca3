//! Against a server that plays Keystone and a service.

mod catalogue;
mod projects;
mod tokens;
mod verdicts;

use rstest::rstest;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::{Identity, Login, Service, logins};
use crate::config;
use crate::publish::outcome::Answer;
use crate::publish::web::{Reply, Secrets, Web};

const GNOCCHI: Service = Service { types: &["metric"], name: Some("gnocchi") };
const PASSWORD: &str = "auth_type = password\nauth_url = SERVER/identity\nusername = ceilometer\npassword = SeCrEt\n\
    user_domain_name = Default\nproject_name = service\nproject_domain_name = Default";
const CREDENTIAL: &str = "auth_type = v3applicationcredential\nauth_url = SERVER/identity\n\
    application_credential_id = 7f\napplication_credential_secret = SeCrEt";
const TOKENS: &str = "/identity/v3/auth/tokens";

/// The login of a section; `SERVER` is the server.
fn login(server: &MockServer, section: &str) -> Login {
    let section = section.replace("SERVER", &format!("http://{}", server.address()));
    let settings = config::load_text("ceilometer.conf", &format!("[service_credentials]\n{section}\n")).0.unwrap();
    logins(&settings.logins).0
}

fn identity(server: &MockServer, section: &str) -> std::sync::Arc<Identity> {
    login(server, section).unwrap()
}

/// Gives `token-1`, `token-2` and so on.
struct Tokens {
    catalogue: Value,
    /// For how many seconds; nothing is said otherwise.
    lasts: Option<i64>,
    given: AtomicUsize,
}

impl Respond for Tokens {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let number = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        let mut token = json!({"catalog": self.catalogue});
        if let Some(seconds) = self.lasts {
            // Keystone's clock may be another.
            let issued = chrono::DateTime::parse_from_rfc3339("2020-02-29T12:00:00Z").unwrap();
            token["issued_at"] = json!(issued.to_rfc3339());
            token["expires_at"] = json!((issued + chrono::TimeDelta::seconds(seconds)).to_rfc3339());
        }
        ResponseTemplate::new(201)
            .insert_header("x-subject-token", format!("token-{number}"))
            .set_body_json(json!({"token": token}))
    }
}

fn tokens() -> Tokens {
    Tokens { catalogue: json!([]), lasts: None, given: AtomicUsize::new(0) }
}

/// Keystone that gives tokens so, and answers everything else with 200.
async fn keystone(logs_in: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path(TOKENS)).respond_with(logs_in).with_priority(7).mount(&server).await;
    Mock::given(path_regex("^/service")).respond_with(ResponseTemplate::new(200)).with_priority(9).mount(&server).await;
    server
}

async fn on(server: &MockServer, verb: &str, at: &str, answer: impl Respond + 'static) {
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

/// Requests for tokens.
async fn logged_in(server: &MockServer) -> Vec<Request> {
    let requests = server.received_requests().await.unwrap();
    requests.into_iter().filter(|request| request.url.path() == TOKENS).collect()
}

/// Asks the service.
async fn ask(server: &MockServer, identity: &Identity) -> Result<Reply, Answer> {
    let web = web(identity);
    let url = format!("http://{}/service", server.address());
    identity.ask(&web, web.request(reqwest::Method::GET, url.parse().unwrap()), 64 * 1024).await
}

fn web(identity: &Identity) -> Web {
    identity.web(Duration::from_secs(5), false, Secrets::default()).unwrap()
}

/// Why everything waits.
#[track_caller]
fn waits<T: std::fmt::Debug>(outcome: Result<T, Answer>) -> String {
    match outcome {
        Err(Answer::Later { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

/// Time passes, and no request is under way meanwhile.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[rstest]
#[case::gnocchi_basic("auth_type = gnocchi-basic\nendpoint = SERVER", &[("authorization", "Basic YWRtaW46")])]
#[case::gnocchi_basic_user("auth_type = gnocchi-basic\nuser = me\nendpoint = SERVER", &[("authorization", "Basic bWU6")])]
#[case::gnocchi_noauth(
    "auth_type = gnocchi-noauth\nuser_id = u\nproject_id = p\nroles = reader\nendpoint = SERVER",
    &[("x-user-id", "u"), ("x-project-id", "p"), ("x-roles", "reader")]
)]
#[case::none("auth_type = none\nendpoint = SERVER", &[])]
#[case::noauth("auth_type = noauth\nendpoint_override = SERVER", &[])]
#[tokio::test]
async fn a_login_without_keystone_says_who_it_is_in_headers(#[case] section: &str, #[case] said: &[(&str, &str)]) {
    let server = keystone(tokens()).await;
    let identity = identity(&server, section);
    assert!(!identity.has_keystone());
    assert_eq!(ask(&server, &identity).await.unwrap().status, 200);
    let endpoint = identity.endpoint(&GNOCCHI).await.unwrap();
    assert_eq!(endpoint.as_str(), format!("http://{}/", server.address()));
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1, "Keystone is not asked");
    for name in ["authorization", "x-user-id", "x-project-id", "x-roles", "x-auth-token"] {
        let expected = said.iter().find(|(said, _)| *said == name).map(|(_, value)| *value);
        assert_eq!(requests[0].headers.get(name).map(|value| value.to_str().unwrap()), expected, "{name}");
    }
}

/// Why a login cannot be made, before anything is asked. The file and the line are said where there are any.
#[rstest]
#[case::nothing("", "[service_credentials] has no login, and gnocchi:// needs one; write into it auth_type = password")]
#[case::part(
    "\nusername = u",
    "ceilometer.conf:1: [service_credentials] auth_type is missing; write auth_type = password"
)]
#[case::kind(
    "\nauth_type = v2password",
    "ceilometer.conf:3: [service_credentials] auth_type = \"v2password\": expected password"
)]
#[case::secret("auth_type = token\nauth_url = http://k", "ceilometer.conf:1: [service_credentials] token is missing")]
#[case::url(
    "auth_type = token\ntoken = t\nauth_url = k:5000",
    "ceilometer.conf:4: [service_credentials] auth_url = \"k:5000\": expected"
)]
#[case::link_local(
    "auth_type = token\ntoken = t\nauth_url = http://169.254.169.254",
    "auth_url is a link-local address"
)]
#[case::file(
    "auth_type = token\ntoken = t\nauth_url = https://k\ncafile = /nowhere/ca.pem",
    "[service_credentials] cafile=/nowhere/ca.pem: No such file"
)]
#[case::header(
    "auth_type = gnocchi-noauth\nuser_id = a\u{7f}\nproject_id = p\nendpoint = http://g",
    "user_id has a character"
)]
#[tokio::test]
async fn a_login_that_is_missing_or_wrong_is_said_with_its_place(#[case] section: &str, #[case] why: &str) {
    let server = MockServer::start().await;
    let said = login(&server, section).unwrap_err().join("; ");
    assert!(said.contains(why), "{said}");
    assert!(!said.contains("configuration:"), "{said}");
}

#[tokio::test]
async fn publishers_that_log_in_alike_share_a_login() {
    let shares = |text: &str| {
        let (gnocchi, zaqar) = logins(&config::load_text("c", text).0.unwrap().logins);
        std::sync::Arc::ptr_eq(&gnocchi.unwrap(), &zaqar.unwrap())
    };
    let other =
        "[zaqar]\nauth_type = none\nendpoint = http://z\n[service_credentials]\nauth_type = none\nendpoint = http://h";
    assert!(shares("[service_credentials]\nauth_type = none\nendpoint = http://h"));
    assert!(!shares(&format!("{other}\n[zaqar]\nauth_section = zaqar")));
}

/// Neither in what is said, nor in what is printed.
#[rstest]
#[case::password(PASSWORD)]
#[case::credential(CREDENTIAL)]
#[case::token("auth_type = token\nauth_url = SERVER/identity\ntoken = SeCrEt")]
#[tokio::test]
async fn a_secret_that_keystone_quotes_is_not_shown(#[case] section: &str) {
    let quotes = |request: &Request| {
        let sent = String::from_utf8_lossy(&request.body).into_owned();
        ResponseTemplate::new(400).set_body_string(format!("what is \"SeCrEt\"? {sent}"))
    };
    let server = keystone(quotes).await;
    let identity = identity(&server, section);
    let cause = waits(ask(&server, &identity).await);
    assert!(cause.contains("what is \"***\"?") && !cause.contains("SeCrEt"), "{cause}");
    assert_eq!(format!("{identity:?}"), "Identity(\"service_credentials\")");
}

#[rstest]
#[case("SeCrEt")]
#[case("token-1")]
#[tokio::test]
async fn a_secret_that_the_service_quotes_is_not_shown(#[case] secret: &'static str) {
    let server = keystone(tokens()).await;
    let quotes = ResponseTemplate::new(307)
        .insert_header("Location", format!("http://h/?t={secret}"))
        .set_body_string(format!("who is {secret}?"));
    on(&server, "GET", "/service", quotes).await;
    let identity = identity(&server, PASSWORD);
    let reply = ask(&server, &identity).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&reply.body), "who is ***?");
    assert_eq!(reply.headers["location"], "http://h/?t=***");
}
