//! prometheus: what is pushed, read as the Pushgateway reads it.
//!
//! The recorded text is compared as it is. Where ours is another (characters beyond Latin-1, escapes, names, paths), it must say
//! of each resource what the samples say: each series once, with the last value, under its metric's type.

use super::case::{calls, id_text, logged, raised_at, recorded, taken, text};
use super::drive::over_http;
use super::server::{Request, Server};
use super::{run, web};
use base64::Engine as _;
use nephoscope::model::{Dict, Sample, SampleType, Value};
use nephoscope::publish::{Batch, PublishError};
use std::collections::{BTreeMap, BTreeSet};

/// A metric's name, its type and its series: labels in their order, and the value.
type Metrics = BTreeMap<String, (Option<String>, BTreeMap<Vec<(String, String)>, String>)>;

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_as_recorded() {
    run("prometheus", |case| async move {
        let server = Server::start(&case, None).await;
        let seen = over_http(&case, server, "", |url| url).await;
        if let Some(complaints) = &seen.refused {
            return web::refused(&case, complaints);
        }
        let mut rows = BTreeSet::new();
        for (n, (batch, outcome)) in calls(&case).iter().zip(&seen.outcomes).enumerate() {
            let about = |why: String| format!("call {n}: {why}");
            let asked = seen.asked_in(n);
            let recorded = recorded(&case, n);
            let failed = asked.iter().any(|request| !request.is_good());
            if failed {
                if !logged(&case) && !raised_at(&case, n) {
                    return Err(about("Ceilometer had no trouble".to_owned()));
                }
                rows.insert("prometheus-answers");
            }
            if outcome.is_err() && asked.is_empty() && !raised_at(&case, n) {
                return Err(about(format!("ours says {outcome:?}")));
            }
            same_or_else(&asked, &recorded, &mut rows).map_err(about)?;
            says(batch, &asked, outcome).map_err(about)?;
        }
        Ok(rows)
    })
    .await;
}

/// By which rows the requests differ from the recorded ones, request by request.
fn same_or_else(asked: &[&Request], recorded: &[&Dict], rows: &mut BTreeSet<&'static str>) -> Result<(), String> {
    for (ours, theirs) in asked.iter().zip(recorded) {
        if ours.method != text(theirs, "method") {
            return Err(format!("{}, recorded {}", ours.method, text(theirs, "method")));
        }
        for name in ["content-type", "authorization"] {
            let theirs = theirs.get("headers").and_then(Value::as_dict).and_then(|all| all.get(name));
            if ours.headers.get(name).map(String::as_str) != theirs.and_then(Value::as_str) {
                return Err(format!("header {name}: {:?}, recorded {theirs:?}", ours.headers.get(name)));
            }
        }
        let by_resource = |path: &str| path.contains("/resource_id");
        if by_resource(&ours.path) != by_resource(text(theirs, "path")) {
            return Err(format!("pushes to {}, recorded {}", ours.path, text(theirs, "path")));
        }
        if ours.path != text(theirs, "path") {
            rows.insert("prometheus-paths");
        }
        if theirs.get("body").and_then(Value::as_str).map(str::as_bytes) != Some(&ours.body) {
            rows.insert("prometheus-text");
        }
    }
    if asked.len() < recorded.len() && asked.iter().all(|request| request.is_good()) {
        return Err(format!("{} requests, recorded {}", asked.len(), recorded.len()));
    }
    if asked.len() > recorded.len() {
        rows.insert("prometheus-text");
    }
    Ok(())
}

/// The good requests of a call say what its samples say; what they do not say, ours does not call taken.
fn says(batch: &Batch, asked: &[&Request], outcome: &Result<(), PublishError>) -> Result<(), String> {
    let by_resource = asked.iter().any(|request| request.path.contains("/resource_id"));
    let mut expected: BTreeMap<Option<String>, Metrics> = BTreeMap::new();
    for sample in taken(batch, outcome)? {
        let group = by_resource.then(|| shown(&sample.resource_id));
        let metrics = expected.entry(group).or_default();
        let (kind, series) = metrics.entry(name(&sample.name)).or_default();
        let said = match sample.kind {
            SampleType::Gauge => Some("gauge"),
            SampleType::Cumulative => Some("counter"),
            SampleType::Delta => None,
        };
        if series.is_empty() || kind.is_none() {
            *kind = kind.take().or_else(|| said.map(str::to_owned));
        }
        series.insert(labels(sample), value(&sample.volume)?);
    }
    let mut found: BTreeMap<Option<String>, Metrics> = BTreeMap::new();
    for request in asked.iter().filter(|request| request.is_good()) {
        let group = by_resource.then(|| resource(&request.path)).transpose()?;
        let body = std::str::from_utf8(&request.body).map_err(|e| e.to_string())?;
        let metrics = found.entry(group).or_default();
        for (name, (kind, series)) in parsed(body)? {
            let here = metrics.entry(name).or_default();
            here.0 = here.0.take().or(kind);
            here.1.extend(series);
        }
    }
    if found == expected { Ok(()) } else { Err(format!("ours says {found:?}, the samples say {expected:?}")) }
}

/// The id at the end of a path, out of its escapes or base64.
fn resource(path: &str) -> Result<String, String> {
    let path = path.split('?').next().unwrap_or_default();
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    if let Some((_, id)) = path.rsplit_once("/resource_id@base64/") {
        let id = id.trim_end_matches('=');
        let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(id).map_err(|e| e.to_string())?;
        return String::from_utf8(id).map_err(|e| e.to_string());
    }
    path.rsplit_once("/resource_id/").map(|(_, id)| decode(id)).ok_or_else(|| format!("no resource in {path}"))
}

fn shown(value: &Value) -> String {
    if value.is_null() { "None".to_owned() } else { id_text(value) }
}

fn labels(sample: &Sample) -> Vec<(String, String)> {
    [("resource_id", &sample.resource_id), ("user_id", &sample.user_id), ("project_id", &sample.project_id)]
        .map(|(name, value)| (name.to_owned(), shown(value)))
        .to_vec()
}

/// Only what Prometheus allows: letters, digits, `_`, `:`.
fn name(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == ':' { c } else { '_' };
    let name: String = name.chars().map(allowed).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// The value as Go reads it, in one form.
fn value(volume: &Value) -> Result<String, String> {
    let number = match volume {
        Value::Int(int) => return Ok(format!("{:?}", *int as f64)),
        Value::Big(big) => big.to_string().parse::<f64>().map_err(|e| e.to_string())?,
        Value::Float(float) => *float,
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Str(text) => text.trim().parse().map_err(|_| format!("{text:?} is said to be taken"))?,
        other => return Err(format!("{other:?} is said to be taken")),
    };
    Ok(format!("{number:?}"))
}

/// Reads the text format.
fn parsed(body: &str) -> Result<Metrics, String> {
    let mut all = Metrics::new();
    for line in body.split_terminator('\n') {
        if let Some(said) = line.strip_prefix("# TYPE ") {
            let (name, kind) = said.split_once(' ').ok_or("a TYPE without a type")?;
            let here = all.entry(name.to_owned()).or_default();
            if !here.1.is_empty() || here.0.replace(kind.to_owned()).is_some() {
                return Err(format!("TYPE of {name} comes twice, or too late"));
            }
            continue;
        }
        let (name, rest) = line.split_once('{').ok_or_else(|| format!("no labels: {line}"))?;
        let (labels, value) = labels_of(rest).ok_or_else(|| format!("cannot be read: {line}"))?;
        let value: f64 = value.replace("Inf", "inf").parse().map_err(|_| format!("no number: {line}"))?;
        if all.entry(name.to_owned()).or_default().1.insert(labels, format!("{value:?}")).is_some() {
            return Err(format!("a series comes twice: {line}"));
        }
    }
    Ok(all)
}

/// `a="…", b="…"} value`
fn labels_of(text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let (mut rest, mut labels) = (text, Vec::new());
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    _ => return None,
                }),
                (_, c) => value.push(c),
            }
        };
        labels.push((name.trim_start_matches([',', ' ']).to_owned(), value));
        rest = &after[end + 1..];
        if let Some(value) = rest.strip_prefix("} ") {
            return Some((labels, value));
        }
    }
}
