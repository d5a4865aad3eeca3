//! What is sent over HTTP as it comes: http, https, zaqar, prometheus, opentelemetryhttp.

use super::case::{Said, comparable, kind, list, logged, raised, raised_at, recorded, text};
use super::drive::{Seen, over_http};
use super::server::{Request, Server};
use super::{Judged, differs, run};
use nephoscope::model::{Dict, Value, json};
use nephoscope::publish::{Batch, Kind, PublishError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Headers that the recorder kept; no others are compared.
const HEADERS: [&str; 5] = ["accept", "content-type", "authorization", "x-auth-token", "client-id"];

#[tokio::test(flavor = "multi_thread")]
async fn http_as_recorded() {
    run("http", |case| async move {
        let server = Server::start(&case, None).await;
        let seen = over_http(&case, server, "", |url| url).await;
        judge(&case, &seen)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zaqar_as_recorded() {
    run("zaqar", |case| async move {
        let server = Server::start(&case, None).await;
        let seen = over_http(&case, server, "", |url| url).await;
        judge(&case, &seen)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn https_as_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificates(folder.path());
    let dir = folder.path().display().to_string();
    run("https", |case| {
        let (tls, dir) = (tls.clone(), dir.clone());
        async move {
            let server = Server::start(&case, Some(tls)).await;
            let seen = over_http(&case, server, &dir, |url| url).await;
            judge(&case, &seen)
        }
    })
    .await;
}

/// Writes what the cases name into the folder, and makes the server that belongs to it.
fn certificates(folder: &Path) -> tokio_rustls::TlsAcceptor {
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let (mut authority, authority_key) = (CertificateParams::default(), KeyPair::generate().unwrap());
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = authority.self_signed(&authority_key).unwrap();
    write("ca.pem", ca.pem());
    let issuer = Issuer::new(authority, authority_key);
    let signed = |params: CertificateParams| {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &issuer).unwrap(), key)
    };
    let (server, server_key) = signed(CertificateParams::new(["127.0.0.1".to_owned()]).unwrap());
    let mut agent = CertificateParams::default();
    agent.distinguished_name.push(DnType::CommonName, "agent");
    agent.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let (client, client_key) = signed(agent);
    write("client.pem", client.pem());
    write("client.key", client_key.serialize_pem());
    write("both.pem", client.pem() + &client_key.serialize_pem());

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        .with_single_cert(vec![server.der().clone()], PrivateKeyDer::Pkcs8(server_key.serialize_der().into()))
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// Each call in turn. The first request of a call is the recorded one whatever was answered; where all answers are good, all
/// requests are; else what ours says of each record must be true of it.
pub(super) fn judge(case: &Dict, seen: &Seen) -> Judged {
    let mut rows = BTreeSet::new();
    if let Some(complaints) = &seen.refused {
        return refused(case, complaints);
    }
    if raised(case, &"init".into()) {
        return Err(format!("Ceilometer does not start, ours does and says {:?}", seen.outcomes));
    }
    for (n, (batch, outcome)) in seen.calls.iter().zip(&seen.outcomes).enumerate() {
        if batch.is_empty() {
            continue;
        }
        let about = |why: String| format!("call {n}: {why}");
        let recorded = recorded(case, n);
        let asked = seen.asked_in(n);
        let all_good = asked.iter().all(|request| request.is_good());
        let same = if all_good { recorded.len().max(asked.len()) } else { recorded.len().min(1) };
        for at in 0..same {
            let (Some(ours), Some(theirs)) = (asked.get(at), recorded.get(at)) else {
                if asked.is_empty() && outcome.is_err() && raised_at(case, n) {
                    break;
                }
                return Err(about(format!("{} requests, recorded {}", asked.len(), recorded.len())));
            };
            request(ours, theirs, &mut rows).map_err(about)?;
        }
        honest(case, batch, &asked, outcome, &mut rows).map_err(about)?;
        if outcome.is_err() && !logged(case) && !raised_at(case, n) && asked.iter().all(|r| r.is_good()) {
            return Err(about(format!("Ceilometer had no trouble, ours says {outcome:?}")));
        }
    }
    Ok(rows)
}

/// Ours does not start: rightly where Ceilometer does not either, and else by a row.
pub(super) fn refused(case: &Dict, complaints: &str) -> Judged {
    if raised(case, &"init".into()) {
        return Ok(BTreeSet::new());
    }
    if kind(case) == Kind::Events && raised_at(case, 0) {
        return Ok(BTreeSet::from(["events-refused"]));
    }
    if list(case, "sent").is_empty() && list(case, "calls").iter().any(|_| logged(case)) {
        return Ok(BTreeSet::from(["publisher-options"]));
    }
    let url = text(case, "url");
    let options = url.split_once('?').map_or("", |(_, query)| query).split('&').filter_map(|o| o.split('=').next());
    if options.filter(|name| !name.is_empty()).any(|name| complaints.contains(name)) {
        return Ok(BTreeSet::from(["publisher-options"]));
    }
    Err(format!("ours does not start: {complaints}"))
}

/// Whether a request is the recorded one.
pub(super) fn request(ours: &Request, recorded: &Dict, rows: &mut BTreeSet<&'static str>) -> Result<(), String> {
    let line = |method: &str, path: &str| format!("{method} {path}");
    let (mine, theirs) = (line(&ours.method, &ours.path), line(text(recorded, "method"), text(recorded, "path")));
    if mine != theirs {
        return Err(format!("ours asks {mine}, recorded {theirs}"));
    }
    let wanted = recorded.get("headers").and_then(Value::as_dict).unwrap();
    for name in HEADERS {
        let (mine, theirs) = (ours.headers.get(name).map(String::as_str), wanted.get(name).and_then(Value::as_str));
        let is_uuid = |text: Option<&str>| text.is_some_and(|text| uuid::Uuid::parse_str(text).is_ok());
        // Which token it is depends on how often somebody logged in.
        let is_token = |text: Option<&str>| text.is_some_and(|text| text.starts_with("token-"));
        if is_token(mine) && is_token(theirs) {
            continue;
        }
        if mine != theirs && !(theirs == Some("UUID") && is_uuid(mine)) {
            if name == "authorization" && unescaped(theirs) == unescaped(mine) {
                rows.insert("http-userinfo");
                continue;
            }
            return Err(format!("header {name}: ours {mine:?}, recorded {theirs:?}"));
        }
    }
    if let Some(certificate) = recorded.get("client_cert")
        && certificate.is_null() == ours.certificate
    {
        return Err(format!("shows a certificate: {}, recorded {certificate:?}", ours.certificate));
    }
    let theirs = json::read(text(recorded, "body").as_bytes()).map_err(|e| e.to_string())?;
    let (theirs, had_none) = comparable(&theirs);
    if had_none {
        rows.insert("nan");
    }
    differs("body", &ours.json(), &theirs)
}

/// User and password of a header without percent signs.
fn unescaped(header: Option<&str>) -> Option<String> {
    use base64::Engine as _;
    let said = base64::engine::general_purpose::STANDARD.decode(header?.strip_prefix("Basic ")?).ok()?;
    Some(percent_encoding::percent_decode(&said).decode_utf8_lossy().into_owned())
}

/// What ours says of each record is true: taken is what stood in a request with a good answer, refused what stood alone in one
/// that was refused, and all the rest is left.
pub(super) fn honest(
    case: &Dict,
    batch: &Batch,
    asked: &[&Request],
    outcome: &Result<(), PublishError>,
    rows: &mut BTreeSet<&'static str>,
) -> Result<(), String> {
    let is_zaqar = text(case, "publisher") == "zaqar";
    let (by_status, halved) =
        if is_zaqar { ("zaqar-answers", "zaqar-bad-records") } else { ("http-status", "http-bad-records") };
    let records = records(case, batch);
    let position: BTreeMap<String, usize> =
        records.iter().enumerate().filter_map(|(n, record)| Some((record.clone()?, n))).collect();
    let mut taken: BTreeSet<usize> = (0..records.len()).filter(|n| records[*n].is_none()).collect();
    let mut refused = BTreeSet::new();
    for request in asked {
        let body = request.json();
        let body = body.as_dict().and_then(|body| body.get("messages")).cloned().unwrap_or(body);
        let said = match &body {
            Value::List(all) => {
                all.iter().map(|one| one.as_dict().and_then(|one| one.get("body")).unwrap_or(one)).collect()
            }
            one => vec![one],
        };
        let here = said.iter().map(|one| position.get(&key(one)).copied());
        let here: Vec<usize> = here.collect::<Option<_>>().ok_or("a request has what is in no call")?;
        match request.status {
            Some(200..=299) => taken.extend(here),
            Some(300..=399) => {
                rows.insert("http-redirects");
                refused.extend(here);
            }
            Some(401 | 403 | 407 | 408 | 425 | 429 | 500..) | None => rows.extend([by_status]),
            // There is no Zaqar at this address.
            Some(404) if is_zaqar => rows.extend([by_status]),
            Some(400 | 413 | 422) if here.len() > 1 => rows.extend([by_status, halved]),
            Some(_) => {
                rows.insert(by_status);
                refused.extend(here);
            }
        }
    }
    let said = Said::of(outcome, records.len())?;
    let (mine_taken, mine_refused) = (said.taken(), said.refused);
    if mine_taken == taken && mine_refused == refused {
        return Ok(());
    }
    Err(format!(
        "says taken {mine_taken:?} and refused {mine_refused:?}, but taken are {taken:?} and refused {refused:?}"
    ))
}

/// How each record of a call is known again in a body; nothing for one that is not sent.
fn records(case: &Dict, batch: &Batch) -> Vec<Option<String>> {
    let mut options = text(case, "url").split(['?', '&']).filter_map(|option| option.strip_prefix("raw_only="));
    let raw_only = options
        .next_back()
        .is_some_and(|value| matches!(&*value.to_lowercase(), "1" | "true" | "t" | "yes" | "y" | "on"));
    match batch {
        Batch::Samples(all) => all.iter().map(|sample| Some(key(&Value::Dict(sample.as_dict())))).collect(),
        Batch::Events(all) if raw_only => {
            all.iter().map(|event| event.raw.get("payload").filter(|payload| payload.is_truthy()).map(key)).collect()
        }
        Batch::Events(all) => all.iter().map(|event| Some(key(&Value::Dict(event.serialize())))).collect(),
    }
}

fn key(value: &Value) -> String {
    let id = value.as_dict().and_then(|dict| dict.get("id").or_else(|| dict.get("message_id")));
    id.map_or_else(|| json::to_string(value), json::to_string)
}
