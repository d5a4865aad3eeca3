//! What is said, and how long is waited, where Keystone gives no token. Nothing is ever refused for it.

use super::*;

#[rstest]
#[case(302, None, "redirects are not followed; write the address that it leads to as auth_url")]
#[case(400, None, "see the names of the options: user, project and their domains")]
#[case(401, Some(7), "one of them is wrong, or the user is disabled or locked")]
#[case(403, Some(7), "the user may not log in to this project; give it a role there")]
#[case(404, None, "see auth_url: there is no Keystone v3")]
#[case(413, None, "the agent goes on trying")]
#[case(429, Some(7), "the agent goes on trying")]
#[case(500, Some(7), "the agent goes on trying")]
#[case(503, Some(7), "the agent goes on trying")]
#[tokio::test]
async fn a_refusal_holds_and_says_what_to_do(#[case] status: u16, #[case] after: Option<u64>, #[case] advice: &str) {
    let said = json!({"error": {"code": status, "message": "Not so.", "title": "No"}});
    let answer = ResponseTemplate::new(status).insert_header("Retry-After", "7").set_body_json(said);
    let server = keystone(answer).await;
    let Err(Answer::Later { cause, after: asks }) = ask(&server, &identity(&server, PASSWORD)).await else {
        panic!("expected to wait")
    };
    let begin = format!("[service_credentials]: Keystone at http://{}/identity/v3 said {status} ", server.address());
    assert!(cause.starts_with(&begin), "{cause}");
    assert!(cause.contains("Not so.") && cause.contains(advice), "{cause}");
    assert_eq!(asks, after.map(Duration::from_secs));
    assert_eq!(server.received_requests().await.unwrap().len(), 1, "the service is not asked without a token");
}

/// `password (or secret)` is advice of ours: it must not be hidden with the password.
#[tokio::test]
async fn advice_stays_whole_whatever_the_password_is() {
    let answer = ResponseTemplate::new(401).set_body_string("no secret for you");
    let server = keystone(answer).await;
    let cause = waits(ask(&server, &identity(&server, &PASSWORD.replace("SeCrEt", "secret"))).await);
    assert!(cause.contains("no *** for you") && cause.contains("see user, password (or secret)"), "{cause}");
}

fn token(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(201).insert_header("x-subject-token", "t").set_body_string(body)
}

#[rstest]
#[case::no_token(ResponseTemplate::new(201).set_body_string("{\"token\":{}}"), "201 Created without a token: is this a Keystone?")]
#[case::a_page(ResponseTemplate::new(200).set_body_string("<html>log in</html>"), "200 OK without a token: is this a Keystone?")]
#[case::empty_token(token("{\"token\":{}}").insert_header("x-subject-token", ""), "without a token")]
#[case::no_json(token("<html>"), "an answer is no JSON of Keystone v3")]
#[case::nothing(token(""), "an answer is no JSON of Keystone v3")]
#[case::another(token("{\"token\":7}"), "an answer is no JSON of Keystone v3")]
#[case::deep(token(&"[".repeat(100_000)), "an answer is no JSON of Keystone v3")]
#[case::long(token(&format!("{{\"token\":{{\"x\":\"{}\"}}}}", "x".repeat(5 * 1024 * 1024))), "or larger than 4194304 bytes")]
#[tokio::test]
async fn an_answer_that_is_none_of_keystone_s_holds(#[case] answer: ResponseTemplate, #[case] why: &str) {
    let server = keystone(answer).await;
    let cause = waits(ask(&server, &identity(&server, PASSWORD)).await);
    assert!(cause.starts_with("[service_credentials]: Keystone: ") && cause.contains(why), "{cause}");
}

#[tokio::test]
async fn a_keystone_that_does_not_answer_in_time_holds() {
    let server = keystone(token("{\"token\":{}}").set_delay(Duration::from_secs(30))).await;
    let identity = identity(&server, &format!("{PASSWORD}\ntimeout = 0.05"));
    let cause = waits(ask(&server, &identity).await);
    assert!(cause.contains("/identity/v3 is away: no answer in time"), "{cause}");
}

#[tokio::test]
async fn a_keystone_that_is_not_there_holds() {
    let server = MockServer::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let section = PASSWORD.replace("SERVER", &format!("http://{free}"));
    let identity = identity(&server, &section);
    let cause = waits(ask(&server, &identity).await);
    assert!(cause.contains("/identity/v3 is away: no connection"), "{cause}");
    let why = identity.reach().await.unwrap_err();
    assert!(why.starts_with("Keystone: cannot connect to 127.0.0.1:"), "{why}");
}

#[tokio::test]
async fn what_follows_from_a_service_that_does_not_answer_is_said_without_keystone() {
    let server = keystone(tokens()).await;
    let identity = identity(&server, PASSWORD);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let web = web(&identity);
    let request = web.request(reqwest::Method::GET, format!("http://{free}/").parse().unwrap());
    let cause = waits(identity.ask(&web, request, 100).await);
    assert!(cause.starts_with("no connection"), "{cause}");
}
