//! A server that plays the written answers of a case and keeps what it was asked.

use super::case::{number, text, whole};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nephoscope::model::{Dict, Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The project that the recorded Keystone knows.
const SERVICE_PROJECT: &str = "9d3b1f0e5a7c4b6d8e2f001122334455";

/// What was asked, and with which status it was answered.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// The number of the publish call in which it came.
    pub call: usize,
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Nothing where the connection was closed instead.
    pub status: Option<u16>,
    /// Whether it showed the client's certificate (https).
    pub certificate: bool,
}

impl Request {
    pub(super) fn json(&self) -> Value {
        json::read(&self.body).unwrap_or_default()
    }

    pub(super) fn is_good(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

pub(super) struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Shared {
    address: SocketAddr,
    rules: Mutex<Vec<Rule>>,
    /// Whether what no rule names is answered as Gnocchi does that has no complaints.
    is_gnocchi: bool,
    keystone: Keystone,
    call: AtomicUsize,
    asked: Mutex<Vec<Request>>,
}

struct Rule {
    method: Option<String>,
    path: String,
    id: Option<Value>,
    answers: Vec<Value>,
    given: usize,
}

/// What case says of Keystone.
struct Keystone {
    projects: Vec<(String, String)>,
    /// The endpoint of the services, none where the catalogue has none.
    endpoint: Option<String>,
    fails: Option<(String, Value)>,
    tokens: AtomicUsize,
}

impl Server {
    /// Listens on a port of loopback, with TLS where it is given.
    pub(super) async fn start(case: &Dict, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            address,
            rules: Mutex::new(
                case.get("server").and_then(Value::as_list).unwrap_or_default().iter().map(rule).collect(),
            ),
            is_gnocchi: text(case, "publisher") == "gnocchi",
            keystone: keystone(case.get("identity").and_then(Value::as_dict), address),
            call: AtomicUsize::new(0),
            asked: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), tls));
        Server { address, shared, accepting }
    }

    /// What comes from now on belongs to this call.
    pub(super) fn set_call(&self, call: usize) {
        self.shared.call.store(call, Ordering::SeqCst);
    }

    pub(super) fn asked(&self) -> Vec<Request> {
        self.shared.asked.lock().unwrap().clone()
    }
}

fn rule(value: &Value) -> Rule {
    let rule = value.as_dict().unwrap();
    Rule {
        method: rule.get("method").and_then(Value::as_str).map(str::to_owned),
        path: text(rule, "path").to_owned(),
        id: rule.get("id").cloned(),
        answers: rule.get("answers").and_then(Value::as_list).unwrap().to_vec(),
        given: 0,
    }
}

fn keystone(identity: Option<&Dict>, address: SocketAddr) -> Keystone {
    let get = |key: &str| identity.and_then(|identity| identity.get(key));
    let projects = match get("projects").and_then(Value::as_dict) {
        Some(projects) => {
            projects.iter().map(|(name, id)| (name.to_owned(), id.as_str().unwrap_or_default().to_owned())).collect()
        }
        None => vec![("service".to_owned(), SERVICE_PROJECT.to_owned())],
    };
    let endpoint = match get("metric") {
        None => Some(format!("http://{address}")),
        Some(value) => value.as_str().map(|text| text.replace("{server}", &address.to_string())),
    };
    let fails = get("fail")
        .and_then(Value::as_dict)
        .map(|fail| (text(fail, "on").to_owned(), fail.get("answer").cloned().unwrap_or_default()));
    Keystone { projects, endpoint, fails, tokens: AtomicUsize::new(0) }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(socket, shared, false).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(socket).await else { return };
                    let certificate = stream.get_ref().1.peer_certificates().is_some_and(|all| !all.is_empty());
                    serve(stream, shared, certificate).await;
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>, certificate: bool) {
    let service = service_fn(|request| answer(Arc::clone(&shared), request, certificate));
    // An error is what closes the connection without an answer.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed")
    }
}

impl std::error::Error for Closed {}

type Response = hyper::Response<Full<bytes::Bytes>>;

async fn answer(shared: Arc<Shared>, request: hyper::Request<Incoming>, certificate: bool) -> Result<Response, Closed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes().to_vec();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if let Some(at) = path.strip_prefix("/identity") {
        return shared.keystone.answer(head.method.as_str(), at, shared.address);
    }
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let answer = shared.choose(head.method.as_str(), &path, &body);
    let status = answer.get("status").and_then(whole);
    let asked = Request {
        call: shared.call.load(Ordering::SeqCst),
        method: head.method.to_string(),
        path,
        headers,
        body,
        status: None,
        certificate,
    };
    let at = {
        let mut all = shared.asked.lock().unwrap();
        all.push(asked);
        all.len() - 1
    };
    if let Some(seconds) = answer.get("delay").and_then(number) {
        // Whoever does not wait for it ends this here.
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }
    if !answer.contains_key("close") {
        shared.asked.lock().unwrap()[at].status = status;
    }
    written(&answer, shared.address)
}

/// The answer that a case has written.
fn written(answer: &Dict, address: SocketAddr) -> Result<Response, Closed> {
    if answer.contains_key("close") {
        return Err(Closed);
    }
    let (kind, body) = match answer.get("json") {
        Some(value) => ("application/json", json::to_string(value)),
        None => ("text/plain", text(answer, "text").to_owned()),
    };
    let kind = answer.get("type").and_then(Value::as_str).unwrap_or(kind);
    let status = answer.get("status").and_then(whole).unwrap_or(200);
    let mut response = hyper::Response::builder().status(status).header("content-type", kind);
    for (name, value) in answer.get("headers").and_then(Value::as_dict).iter().flat_map(|all| all.iter()) {
        response = response.header(name, value.as_str().unwrap().replace("{server}", &address.to_string()));
    }
    Ok(response.body(Full::from(body)).unwrap())
}

impl Shared {
    /// The first fitting rule counts; its answers go out in order, the last one again and again.
    fn choose(&self, method: &str, path: &str, body: &[u8]) -> Dict {
        let path = path.split('?').next().unwrap_or_default();
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        let id = json::read(body).ok().and_then(|body| body.as_dict().and_then(|body| body.get("id").cloned()));
        let fits = |rule: &&mut Rule| {
            let at = match rule.path.strip_suffix('*') {
                Some(start) => path.starts_with(start) || decoded.starts_with(start),
                None => path == rule.path || decoded == rule.path,
            };
            at && rule.method.as_deref().is_none_or(|wanted| wanted == method)
                && rule.id.as_ref().is_none_or(|wanted| id.as_ref() == Some(wanted))
        };
        if let Some(rule) = self.rules.lock().unwrap().iter_mut().find(fits) {
            let answer = rule.answers[rule.given.min(rule.answers.len() - 1)].clone();
            rule.given += 1;
            return answer.as_dict().unwrap().clone();
        }
        let well = |status: i64, body: Value| Dict::from_iter([("status", Value::Int(status)), ("json", body)]);
        let at = &decoded[decoded.find("/v1/").unwrap_or_default()..];
        match (method, at) {
            _ if !self.is_gnocchi => well(404, Value::Null),
            ("POST", at) if at.starts_with("/v1/batch/") => well(202, Value::Dict(Dict::new())),
            ("POST", at) if at.starts_with("/v1/search/") => well(200, Value::List(Vec::new())),
            ("POST", _) => well(201, Value::Dict(Dict::new())),
            _ => well(200, Value::Dict(Dict::new())),
        }
    }
}

impl Keystone {
    fn answer(&self, method: &str, at: &str, address: SocketAddr) -> Result<Response, Closed> {
        if let Some((on, answer)) = &self.fails
            && format!("{method} {at}").starts_with(on)
        {
            return written(answer.as_dict().unwrap(), address);
        }
        let (path, query) = at.split_once('?').unwrap_or((at, ""));
        let asked = |key: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{key}=")));
            pair.map(|value| percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        let named = |name: &str, id: &str| serde_json::json!({"id": id, "name": name});
        let (status, body) = match (method, path) {
            ("POST", "/v3/auth/tokens") => (201, self.token()),
            ("GET", "/v3/domains") => {
                let wanted = asked("name").is_none_or(|name| name == "Default");
                (
                    200,
                    serde_json::json!({"domains": wanted.then(|| named("Default", "default")).into_iter().collect::<Vec<_>>()}),
                )
            }
            ("GET", "/v3/projects") => {
                let wanted = |name: &str| {
                    asked("name").is_none_or(|wanted| wanted == name)
                        && asked("domain_id").is_none_or(|domain| domain == "default")
                };
                let known = self.projects.iter().filter(|(name, _)| wanted(name));
                (200, serde_json::json!({"projects": known.map(|(name, id)| named(name, id)).collect::<Vec<_>>()}))
            }
            _ => (404, serde_json::json!({"error": {"code": 404, "message": "no such thing", "title": "Not Found"}})),
        };
        let mut response = hyper::Response::builder().status(status).header("content-type", "application/json");
        if status == 201 {
            let number = self.tokens.fetch_add(1, Ordering::SeqCst) + 1;
            response = response.header("x-subject-token", format!("token-{number}"));
        }
        Ok(response.body(Full::from(body.to_string())).unwrap())
    }

    fn token(&self) -> serde_json::Value {
        let endpoints = self.endpoint.iter().map(|url| {
            serde_json::json!({"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": url})
        });
        let endpoints: Vec<_> = endpoints.collect();
        serde_json::json!({"token": {
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2026-01-01T12:00:00.000000Z",
            "catalog": [
                {"type": "metric", "name": "gnocchi", "endpoints": endpoints},
                {"type": "messaging", "name": "zaqar", "endpoints": endpoints},
            ],
        }})
    }
}
