//! Against a server that plays Zaqar, and Keystone where that counts.

mod odd;

use rstest::rstest;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::config;
use crate::model::{Sample, Value, json as text};
use crate::publish::record::tests::{event, sample};
use crate::publish::{Batch, Context, Kind, Partly, PublishError, Publisher, build, check, identity};
use crate::publish::{Look, check_with};

const AT: &str = "/v2/queues/q/messages";

fn context(section: &str) -> Context {
    let text = format!("[service_credentials]\n{section}\n");
    let (gnocchi, zaqar) = identity::logins(&config::load_text("test", &text).0.unwrap().logins);
    Context { gnocchi, zaqar, ..Context::default() }
}

/// A login without Keystone.
fn nobody(server: &MockServer) -> Context {
    context(&format!("auth_type = none\nendpoint = http://{}", server.address()))
}

fn publisher(server: &MockServer, options: &str) -> Arc<dyn Publisher> {
    build(&format!("zaqar://?queue=q&{options}"), Kind::Samples, &nobody(server)).unwrap()
}

async fn answering(answer: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

fn created() -> ResponseTemplate {
    ResponseTemplate::new(201).set_body_json(json!({"resources": []}))
}

/// Keystone and Zaqar on one server: a password gives `token-1`, `token-2` and so on.
async fn with_keystone(messaging: &str, zaqar: impl Respond + 'static) -> (MockServer, Context) {
    let server = MockServer::start().await;
    let given = std::sync::atomic::AtomicUsize::new(1);
    let url = messaging.replace("SERVER", &format!("http://{}", server.address()));
    let give = move |_: &Request| {
        let number = given.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let endpoints = json!([{"interface": "public", "region": "R", "url": url}]);
        let catalogue = if url.is_empty() { json!([]) } else { json!([{"type": "messaging", "endpoints": endpoints}]) };
        ResponseTemplate::new(201)
            .insert_header("x-subject-token", format!("token-{number}"))
            .set_body_json(json!({"token": {"catalog": catalogue}}))
    };
    Mock::given(path("/v3/auth/tokens")).respond_with(give).mount(&server).await;
    Mock::given(method("POST")).respond_with(zaqar).with_priority(9).mount(&server).await;
    let login = format!(
        "auth_type = password\nauth_url = http://{}\nusername = u\npassword = SeCrEt\nuser_domain_id = d\nproject_id = p",
        server.address()
    );
    let context = context(&login);
    (server, context)
}

/// What Zaqar was asked.
async fn posts(server: &MockServer) -> Vec<Request> {
    let requests = server.received_requests().await.unwrap();
    requests.into_iter().filter(|request| request.url.path().ends_with("/messages")).collect()
}

/// The ids of the samples of each post.
async fn ids(server: &MockServer) -> Vec<Vec<String>> {
    let id = |message: &serde_json::Value| message["body"]["id"].as_str().unwrap().to_owned();
    let of = |request: &Request| {
        let body: serde_json::Value = request.body_json().unwrap();
        body["messages"].as_array().unwrap().iter().map(id).collect()
    };
    posts(server).await.iter().map(of).collect()
}

fn batch(ids: &[&str]) -> Batch {
    Batch::Samples(ids.iter().map(|id| sample("cpu", id)).collect())
}

fn many(count: usize) -> Batch {
    Batch::Samples((0..count).map(|n| sample("cpu", &n.to_string())).collect())
}

/// Positions of what is refused and of what is left.
fn said(outcome: Result<(), PublishError>) -> (Vec<usize>, Vec<usize>) {
    match outcome {
        Ok(()) => (Vec::new(), Vec::new()),
        Err(PublishError::Partly(Partly { refused, left })) => {
            (refused.iter().map(|refused| refused.record).collect(), left.map(|left| left.records).unwrap_or_default())
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_batch_is_one_post_with_a_token_and_the_same_client() {
    let (server, context) = with_keystone("SERVER/zaqar/", created()).await;
    let publisher = build("zaqar://host/path?queue=q&ttl=60", Kind::Samples, &context).unwrap();
    publisher.publish(&batch(&["1", "2"])).await.unwrap();
    publisher.publish(&batch(&["3"])).await.unwrap();
    build("zaqar://?queue=q", Kind::Samples, &context).unwrap().publish(&batch(&["4"])).await.unwrap();
    let posts = posts(&server).await;
    let message = |id: &str| {
        let body: serde_json::Value =
            serde_json::from_str(&text::to_string(&Value::Dict(sample("cpu", id).as_dict()))).unwrap();
        json!({"body": body, "ttl": 60})
    };
    assert_eq!(posts[0].url.path(), "/zaqar/v2/queues/q/messages");
    assert_eq!(posts[0].body_json::<serde_json::Value>().unwrap(), json!({"messages": [message("1"), message("2")]}));
    assert_eq!(posts[0].headers["content-type"], "application/json");
    assert!(posts.iter().all(|post| post.headers["x-auth-token"] == "token-1"), "one login for all");
    let client = |n: usize| posts[n].headers["client-id"].to_str().unwrap();
    assert!(uuid::Uuid::parse_str(client(0)).is_ok(), "{}", client(0));
    assert_eq!(client(0), client(1));
    assert_ne!(client(0), client(2), "another publisher is another client");
}

#[tokio::test]
async fn an_event_is_posted_as_it_is_serialised() {
    let server = answering(created()).await;
    let publisher = build("zaqar://?queue=q", Kind::Events, &nobody(&server)).unwrap();
    publisher.publish(&Batch::Events(vec![event("m")])).await.unwrap();
    let body: serde_json::Value = posts(&server).await[0].body_json().unwrap();
    let expected: serde_json::Value =
        serde_json::from_str(&text::to_string(&Value::Dict(event("m").serialize()))).unwrap();
    assert_eq!(body, json!({"messages": [{"body": expected, "ttl": 3600}]}));
}

#[rstest]
#[case("queue=a&queue=b&ttl=60&ttl=70", "/v2/queues/a/messages", 60)]
#[case("queue=&queue=b&ttl=&ttl=%2080%20", "/v2/queues/b/messages", 80)]
#[tokio::test]
async fn of_several_queues_the_first_counts(#[case] options: &str, #[case] path: &str, #[case] ttl: u32) {
    let server = answering(created()).await;
    let publisher = build(&format!("zaqar://?{options}"), Kind::Samples, &nobody(&server)).unwrap();
    publisher.publish(&batch(&["1"])).await.unwrap();
    let post = &posts(&server).await[0];
    assert_eq!(post.url.path(), path);
    assert_eq!(post.body_json::<serde_json::Value>().unwrap()["messages"][0]["ttl"], ttl);
}

#[rstest]
#[case("SERVER", AT)]
#[case("SERVER/", AT)]
#[case("SERVER/v2", AT)]
#[case("SERVER/v2/", AT)]
#[case("SERVER/messaging/v2", "/messaging/v2/queues/q/messages")]
#[tokio::test]
async fn the_catalogue_may_have_the_version_in_it(#[case] endpoint: &str, #[case] at: &str) {
    let (server, context) = with_keystone(endpoint, created()).await;
    build("zaqar://?queue=q", Kind::Samples, &context).unwrap().publish(&batch(&["1"])).await.unwrap();
    assert_eq!(posts(&server).await[0].url.path(), at);
}

#[rstest]
#[case("", "queue is missing")]
#[case("queue=", "queue is missing")]
#[case("queue=a%20b%2Fc", "ASCII letters, digits, underscores and dashes")]
#[case("queue=t%C3%BCr", "ASCII letters, digits, underscores and dashes")]
#[case("queue=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "at most 64")]
#[case("queue=q&ttl=long", "ttl=long: expected a whole number of seconds from 60 to 2147483647")]
#[case("queue=q&ttl=59", "ttl=59: expected")]
#[case("queue=q&ttl=-1", "ttl=-1: expected")]
#[case("queue=q&ttl=1e3", "ttl=1e3: expected")]
#[case("ttl=1.5", "queue is missing: write ?queue=NAME behind zaqar://; ttl=1.5: expected")]
#[case("queue=q&max_messages=0", "max_messages=0: expected a number of at least 1")]
#[case("queue=q&max_bytes=1023", "max_bytes=1023: expected a number of at least 1024")]
#[case("queue=q&max_bytes=1000000000", "at most 67108864 bytes")]
#[case("queue=q&timeout=1e9", "at most 3600 seconds")]
#[case("queu=q", "did you mean queue?")]
fn a_wrong_zaqar_option_is_said(#[case] options: &str, #[case] why: &str) {
    let url = format!("zaqar://?{options}");
    let error = check(&url, Kind::Events, &|_| Ok(())).unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(build(&url, Kind::Events, &Context::default()).err().unwrap(), error);
}

#[rstest]
#[case::none(None, "there is no login")]
#[case::empty(Some("region_name = R"), "auth_type is missing")]
#[case::file(
    Some("auth_type = none\nendpoint = http://z\ncafile = /nowhere/ca.pem"),
    "cafile=/nowhere/ca.pem: No such file"
)]
fn a_wrong_login_is_said_when_it_is_checked_and_when_it_is_built(#[case] section: Option<&str>, #[case] why: &str) {
    let context = section.map_or_else(Context::default, context);
    let look = Look { broker: &|_| Ok(()), search: &[], gnocchi: None, zaqar: Some(&context.zaqar) };
    let error = check_with("zaqar://?queue=q", Kind::Samples, look).unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(build("zaqar://?queue=q", Kind::Samples, &context).err().unwrap(), error);
}

#[rstest]
#[case("", &[20, 20, 5])]
#[case("max_messages=1000", &[45])]
#[case("max_messages=44", &[44, 1])]
// A message has 307 to 309 bytes.
#[case("max_messages=1000&max_bytes=4096", &[13, 13, 13, 6])]
#[tokio::test]
async fn a_large_batch_goes_in_posts_that_zaqar_takes(#[case] options: &str, #[case] lengths: &[usize]) {
    let server = answering(created()).await;
    publisher(&server, options).publish(&many(45)).await.unwrap();
    let ids = ids(&server).await;
    assert_eq!(ids.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
    let in_order: Vec<String> = (0..45).map(|n| n.to_string()).collect();
    assert_eq!(ids.concat(), in_order);
}

#[tokio::test]
async fn a_message_past_the_bound_goes_by_itself_and_a_post_at_the_bound_is_taken() {
    let server = answering(created()).await;
    let mut giant = sample("cpu", "giant");
    giant.unit = "u".repeat(3000).into();
    let all = vec![sample("cpu", "1"), sample("cpu", "2"), giant, sample("cpu", "3")];
    publisher(&server, "max_bytes=2048").publish(&Batch::Samples(all)).await.unwrap();
    assert_eq!(ids(&server).await, [vec!["1", "2"], vec!["giant"], vec!["3"]]);
}

#[rstest]
#[case::at_the_bound(0, 1)]
#[case::past_it(1, 2)]
#[tokio::test]
async fn a_post_is_never_larger_than_its_bound(#[case] past: usize, #[case] expected: usize) {
    let server = answering(created()).await;
    let of = |id: &str| Sample { unit: "u".repeat(1024).into(), ..sample("cpu", id) };
    let all = Batch::Samples(vec![of("1"), of("2")]);
    publisher(&server, "").publish(&all).await.unwrap();
    let bytes = posts(&server).await[0].body.len();
    publisher(&server, &format!("max_bytes={}", bytes - past)).publish(&all).await.unwrap();
    assert_eq!(posts(&server).await.len() - 1, expected);
}

/// Takes so many messages at once, and no more.
struct Limited {
    messages_max: usize,
    status: u16,
}

impl Respond for Limited {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body: serde_json::Value = request.body_json().unwrap();
        let fits = body["messages"].as_array().unwrap().len() <= self.messages_max;
        if fits { created() } else { ResponseTemplate::new(self.status) }
    }
}

#[rstest]
#[case(400)]
#[case(413)]
#[case(422)]
#[tokio::test]
async fn a_post_that_is_too_large_for_zaqar_is_halved(#[case] status: u16) {
    let server = answering(Limited { messages_max: 6, status }).await;
    publisher(&server, "").publish(&many(20)).await.unwrap();
    let ids = ids(&server).await;
    assert_eq!(ids.iter().map(Vec::len).collect::<Vec<_>>(), [20, 10, 5, 5, 10, 5, 5]);
    let taken: Vec<String> = ids.into_iter().filter(|ids| ids.len() <= 6).flatten().collect();
    assert_eq!(taken, (0..20).map(|n| n.to_string()).collect::<Vec<_>>(), "each once, in order");
}

/// Refuses what contains a bad record.
struct Picky(u16);

impl Respond for Picky {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let bad = String::from_utf8_lossy(&request.body).contains("bad");
        if bad { ResponseTemplate::new(self.0).set_body_string("no good") } else { created() }
    }
}

#[rstest]
#[case(400)]
#[case(409)]
#[case(413)]
#[tokio::test]
async fn only_the_bad_records_of_a_post_are_refused(#[case] status: u16) {
    let server = answering(Picky(status)).await;
    let outcome = publisher(&server, "").publish(&batch(&["0", "1", "bad2", "3", "bad4"])).await;
    let cause = outcome.as_ref().unwrap_err().to_string();
    assert!(cause.contains(&status.to_string()) && cause.contains("no good"), "{cause}");
    assert_eq!(said(outcome), (vec![2, 4], vec![]));
}

#[rstest]
#[case(200, false)]
#[case(204, false)]
#[case(302, false)]
#[case(403, true)]
#[case(404, false)]
#[case(405, false)]
#[case(408, true)]
#[case(429, true)]
#[case(500, true)]
#[case(503, true)]
#[tokio::test]
async fn what_zaqar_does_not_take_now_is_offered_again(#[case] status: u16, #[case] asks: bool) {
    let answer =
        ResponseTemplate::new(status).insert_header("Retry-After", "7").insert_header("Location", "/elsewhere");
    let server = answering(answer).await;
    let error = publisher(&server, "max_messages=1").publish(&batch(&["1", "2"])).await.unwrap_err();
    let PublishError::Retry { cause, after } = error else { panic!("{error}") };
    assert!(cause.starts_with(&status.to_string()), "{cause}");
    assert_eq!(after, asks.then_some(Duration::from_secs(7)));
    assert_eq!(posts(&server).await.len(), 1, "nothing younger goes before it");
}

#[tokio::test]
async fn a_server_that_breaks_down_midway_is_asked_for_the_rest_again() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(created()).up_to_n_times(1).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(429)).mount(&server).await;
    let outcome = publisher(&server, "max_messages=2").publish(&batch(&["1", "2", "3", "4", "5"])).await;
    assert_eq!(said(outcome), (vec![], vec![2, 3, 4]));
}

#[tokio::test]
async fn a_token_that_is_not_known_any_more_is_renewed_once() {
    let forgets = |request: &Request| {
        let known = request.headers["x-auth-token"] == "token-2";
        if known { created() } else { ResponseTemplate::new(401) }
    };
    let (server, context) = with_keystone("SERVER", forgets).await;
    let publisher = build("zaqar://?queue=q", Kind::Samples, &context).unwrap();
    publisher.publish(&batch(&["1"])).await.unwrap();
    publisher.publish(&batch(&["2"])).await.unwrap();
    assert_eq!(ids(&server).await, [["1"], ["1"], ["2"]]);
}

#[tokio::test]
async fn a_secret_that_zaqar_quotes_is_not_shown() {
    let says = |request: &Request| {
        let token = request.headers["x-auth-token"].to_str().unwrap();
        ResponseTemplate::new(401).set_body_string(format!("token {token}, password SeCrEt"))
    };
    let (_server, context) = with_keystone("SERVER", says).await;
    let publisher = build("zaqar://?queue=q", Kind::Samples, &context).unwrap();
    let error = publisher.publish(&batch(&["1"])).await.unwrap_err().to_string();
    assert!(error.contains("401 Unauthorized: token ***, password ***"), "{error}");
}

#[tokio::test]
async fn without_an_address_in_the_catalogue_everything_waits() {
    let (server, context) = with_keystone("", created()).await;
    let publisher = build("zaqar://?queue=q", Kind::Samples, &context).unwrap();
    let error = publisher.publish(&batch(&["1"])).await.unwrap_err();
    assert!(matches!(error, PublishError::Retry { .. }), "{error}");
    assert!(error.to_string().contains("no public address of a messaging or message service"), "{error}");
    assert!(publisher.reach().await.unwrap_err().contains("no public address"));
    assert!(posts(&server).await.is_empty());
}

#[tokio::test]
async fn a_zaqar_that_listens_is_reached_and_one_that_does_not_is_not() {
    let (_server, context) = with_keystone("SERVER", created()).await;
    assert_eq!(build("zaqar://?queue=q", Kind::Samples, &context).unwrap().reach().await, Ok(()));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_server, context) = with_keystone(&format!("http://{free}"), created()).await;
    let publisher = build("zaqar://?queue=q", Kind::Samples, &context).unwrap();
    let why = publisher.reach().await.unwrap_err();
    assert!(why.starts_with("Zaqar: cannot connect to 127.0.0.1:"), "{why}");
    let error = publisher.publish(&batch(&["1"])).await.unwrap_err();
    assert!(matches!(&error, PublishError::Retry { cause, .. } if cause.contains("no connection")), "{error}");
}

#[rstest]
#[case("", true)]
#[case("nan=python", false)]
#[tokio::test]
async fn what_json_cannot_say_is_posted_as_null(#[case] options: &str, #[case] strict: bool) {
    let server = answering(created()).await;
    let mut one = sample("cpu", "1");
    one.volume = Value::Float(f64::NAN);
    publisher(&server, options).publish(&Batch::Samples(vec![one])).await.unwrap();
    let body = String::from_utf8_lossy(&posts(&server).await[0].body).into_owned();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), strict, "{body}");
}
