//! gnocchi: the requests to Gnocchi, call by call.

use super::case::{Said, comparable, id_text, kind, list, logged, raised, raised_at, recorded, text, whole};
use super::drive::{Seen, over_http};
use super::server::{Request, Server};
use super::{Judged, differs, run};
use nephoscope::model::{Dict, Event, Sample, TraitValue, Value, json, time};
use nephoscope::publish::{Batch, Kind, PublishError};
use std::collections::{BTreeMap, BTreeSet};

#[tokio::test(flavor = "multi_thread")]
async fn gnocchi_as_recorded() {
    run("gnocchi", |case| async move {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in case.get("files").and_then(Value::as_dict).iter().flat_map(|all| all.iter()) {
            std::fs::write(folder.path().join(name), content.as_str().unwrap()).unwrap();
        }
        let server = Server::start(&case, None).await;
        let seen = over_http(&case, server, &folder.path().display().to_string(), |url| url).await;
        judge(&case, &seen)
    })
    .await;
}

/// A request as it is compared.
#[derive(Debug, Clone)]
struct Asked {
    /// Method and path, with ids out of their escapes.
    line: String,
    /// As it went over the wire.
    raw: String,
    body: Value,
    policies: usize,
    /// Headers that the recorder kept, a token as `token`.
    headers: BTreeMap<String, String>,
    is_good: bool,
    /// 404 or 409.
    is_moot: bool,
}

const MEASURES: &str = "/v1/batch/resources/metrics/measures";
const HEADERS: [&str; 7] =
    ["accept", "content-type", "authorization", "x-auth-token", "x-user-id", "x-project-id", "x-roles"];

fn judge(case: &Dict, seen: &Seen) -> Judged {
    let mut rows = BTreeSet::new();
    if let Some(complaints) = &seen.refused {
        return match complaints {
            _ if raised(case, &"init".into()) => Ok(rows),
            text if text.contains("enable_filter_project") && raised_at(case, 0) => {
                Ok(BTreeSet::from(["gnocchi-filter"]))
            }
            _ => Err(format!("ours does not start: {complaints}")),
        };
    }
    if raised(case, &"init".into()) {
        // Ceilometer does without the publisher from then on; ours holds until the login works.
        let held = seen.outcomes.iter().all(|outcome| matches!(outcome, Err(PublishError::Retry { .. })));
        return if held && seen.asked.is_empty() {
            Ok(BTreeSet::from(["gnocchi-held"]))
        } else {
            Err(format!("{:?}", seen.outcomes))
        };
    }
    let mut diverged = false;
    for (n, (batch, outcome)) in seen.calls.iter().zip(&seen.outcomes).enumerate() {
        let about = |why: String| format!("call {n}: {why}; says {outcome:?}");
        if batch.is_empty() {
            continue;
        }
        let recorded = recorded(case, n);
        let counted = recorded.iter().any(|sent| sent.contains_key("archive_policies"));
        let mut ours = summed(&seen.asked_in(n), counted, kind(case));
        let mut theirs: Vec<Asked> = recorded.iter().map(|sent| said(sent)).collect();
        as_agreed(case, batch, &mut ours, &mut theirs, &mut rows).map_err(about)?;
        if diverged {
            // What the cache of attributes and of policies knows is another thing now.
            let is_kept = |asked: &Asked| {
                !asked.line.starts_with("PATCH") && asked.policies == 0 && !asked.line.contains("archive_policy")
            };
            ours.retain(is_kept);
            theirs.retain(is_kept);
        }
        diverged |= together(&ours, &theirs, raised_at(case, n), &mut rows).map_err(about)?;
        honest(batch, outcome, &ours, &recorded).map_err(about)?;
        let timeless = samples_of(batch).any(|sample| sample.timestamp.is_empty());
        if outcome.is_err()
            && !timeless
            && !logged(case)
            && !raised_at(case, n)
            && ours.iter().all(|asked| asked.is_good)
        {
            return Err(about("Ceilometer had no trouble".to_owned()));
        }
        diverged |= outcome.is_err();
    }
    Ok(rows)
}

/// In lockstep. They may part where ours got an answer that is not good (what Ceilometer then does is not copied), and where the
/// original ends its call over a record; whether they part.
fn together(ours: &[Asked], theirs: &[Asked], raised: bool, rows: &mut BTreeSet<&'static str>) -> Result<bool, String> {
    for at in 0..ours.len().max(theirs.len()) {
        let why = if let (Some(ours), Some(theirs)) = (ours.get(at), theirs.get(at)) {
            let Err(why) = same(ours, theirs, rows) else { continue };
            why
        } else {
            let lines = |all: &[Asked]| all.iter().map(|asked| asked.line.clone()).collect::<Vec<_>>().join(" | ");
            format!("ours {}; recorded {}", lines(ours), lines(theirs))
        };
        let before = &ours[..at.min(ours.len())];
        match before.iter().find(|asked| !asked.is_good) {
            Some(bad) if bad.line.contains("/archive_policy") => rows.insert("gnocchi-policies"),
            Some(_) => rows.insert("gnocchi-held"),
            None if raised && at == theirs.len() => rows.insert("gnocchi-records"),
            None => return Err(why),
        };
        return Ok(true);
    }
    Ok(false)
}

fn same(ours: &Asked, theirs: &Asked, rows: &mut BTreeSet<&'static str>) -> Result<(), String> {
    if ours.line != theirs.line || ours.policies != theirs.policies {
        return Err(format!("ours {} {}, recorded {} {}", ours.line, ours.policies, theirs.line, theirs.policies));
    }
    differs(&ours.line, &ours.body, &theirs.body)?;
    if ours.policies == 0 && ours.headers != theirs.headers {
        return Err(format!("{}: headers {:?}, recorded {:?}", ours.line, ours.headers, theirs.headers));
    }
    if ours.raw != theirs.raw {
        rows.insert("gnocchi-ids");
    }
    Ok(())
}

/// Takes out of both what ours does otherwise on purpose, after a look at whether it is what it should be.
fn as_agreed(
    case: &Dict,
    batch: &Batch,
    ours: &mut Vec<Asked>,
    theirs: &mut Vec<Asked>,
    rows: &mut BTreeSet<&'static str>,
) -> Result<(), String> {
    let is_empty = |asked: &Asked| asked.line.contains(MEASURES) && asked.body.as_dict().is_some_and(Dict::is_empty);
    if take_out(theirs, is_empty) {
        rows.insert("gnocchi-empty");
    }
    for asked in ours.iter_mut().chain(theirs.iter_mut()) {
        let (body, had_none) = comparable(&asked.body);
        asked.body = body;
        if had_none {
            rows.insert("nan");
        }
    }
    let Batch::Events(events) = batch else {
        // A measure without a time is one of which Gnocchi keeps nothing; its sample tells nothing of the resource then.
        if samples_of(batch).any(|sample| sample.timestamp.is_empty()) {
            let is_update = |asked: &Asked| asked.line.starts_with("PATCH");
            take_out(ours, is_update);
            take_out(theirs, is_update);
        }
        for asked in theirs.iter_mut() {
            let with_times = with_times(&asked.body);
            if !crate::same(&with_times, &asked.body) {
                rows.insert("gnocchi-records");
                asked.body = with_times;
            }
        }
        return Ok(());
    };
    for asked in theirs.iter_mut() {
        let Value::Dict(body) = &mut asked.body else { continue };
        if let Some(Value::Str(id)) = body.get("id").filter(|id| id.as_str().is_some_and(|id| id.contains('/'))) {
            let id = id.replace('/', "_");
            body.insert("id", &*id);
            rows.insert("gnocchi-ids");
        }
    }
    // Nobody can be created without an id.
    let without_id = |asked: &Asked| {
        asked.line.starts_with("POST /v1/resource/")
            && asked.body.as_dict().is_some_and(|body| !body.contains_key("id"))
    };
    if take_out(theirs, without_id) {
        rows.insert("gnocchi-records");
    }
    let times: BTreeSet<String> = events.iter().map(|event| time::isoformat_naive(&event.generated)).collect();
    let mut early = false;
    for asked in ours.iter_mut() {
        let Value::Dict(body) = &mut asked.body else { continue };
        let Some(Value::Str(ended)) = body.get("ended_at") else { continue };
        if !times.contains(&**ended) && !early {
            return Err(format!("{}: ended_at is {ended}, which is the time of no event", asked.line));
        }
        // Where Gnocchi refuses the event's time, the present follows.
        early = !asked.is_good;
        body.insert("ended_at", "2026-01-01T00:00:00");
        rows.insert("gnocchi-ended-at");
    }
    // A quote in an id breaks Ceilometer's search; ours searches.
    let quoted = |asked: &Asked| asked.line.contains("/v1/search/") && json::to_string(&asked.body).contains("\\\"");
    if !theirs.iter().any(quoted) && take_out(ours, quoted) {
        rows.insert("gnocchi-ids");
    }
    // A number as an id and a time as an attribute cost Ceilometer the event.
    let odd: Vec<String> = events.iter().filter(|event| is_odd(event)).flat_map(ids_of).collect();
    let of_odd = |asked: &Asked| {
        let id = asked.body.as_dict().and_then(|body| body.get("id")).map(id_text);
        odd.iter().any(|odd| Some(odd) == id.as_ref() || asked.line.ends_with(&format!("/{odd}")))
    };
    if logged(case) && !theirs.iter().any(of_odd) && take_out(ours, of_odd) {
        rows.insert("gnocchi-records");
    }
    // An update changes only its own resource: Ceilometer sends those that belong to it their own attributes back.
    let mut at = 0;
    while at < theirs.len() {
        let is_search = theirs[at].line.contains("/v1/search/");
        let differs_here = ours.get(at).is_none_or(|ours| ours.line != theirs[at].line);
        if is_search && differs_here && case.contains_key("files") {
            theirs.remove(at);
            // Its own resource, then one that was found.
            if theirs.get(at + 1).is_some_and(|asked| asked.line.starts_with("PATCH")) {
                theirs.remove(at + 1);
            }
            rows.insert("gnocchi-update-associated");
            continue;
        }
        at += 1;
    }
    Ok(())
}

fn samples_of(batch: &Batch) -> impl Iterator<Item = &Sample> {
    let all: &[Sample] = match batch {
        Batch::Samples(all) => all,
        Batch::Events(_) => &[],
    };
    all.iter()
}

fn with_times(value: &Value) -> Value {
    match value {
        Value::Dict(dict) => Value::Dict(dict.iter().map(|(key, value)| (key, with_times(value))).collect()),
        Value::List(all) => {
            let timeless =
                |one: &&Value| one.as_dict().and_then(|one| one.get("timestamp")).is_some_and(Value::is_null);
            Value::List(all.iter().filter(|one| !timeless(one)).map(with_times).collect())
        }
        other => other.clone(),
    }
}

fn take_out(all: &mut Vec<Asked>, which: impl Fn(&Asked) -> bool) -> bool {
    let before = all.len();
    all.retain(|asked| !which(asked));
    all.len() < before
}

fn ids_of(event: &Event) -> Vec<String> {
    let is_id = |name: &str| matches!(name, "resource_id" | "instance_id" | "id");
    event.traits.iter().filter(|one| is_id(&one.name)).map(|one| id_text(&one.value.to_value())).collect()
}

fn is_odd(event: &Event) -> bool {
    event.traits.iter().any(|one| match &one.value {
        TraitValue::Int(_) => matches!(&*one.name, "resource_id" | "instance_id" | "id"),
        // These are attributes of nothing.
        TraitValue::Datetime(_) => !one.name.ends_with("_at"),
        _ => false,
    })
}

fn said(sent: &Dict) -> Asked {
    let empty = Asked {
        line: String::new(),
        raw: String::new(),
        body: Value::Null,
        policies: 0,
        headers: BTreeMap::new(),
        is_good: true,
        is_moot: false,
    };
    if let Some(count) = sent.get("archive_policies").and_then(whole) {
        return Asked { policies: count.into(), ..empty };
    }
    let body = sent.get("body").and_then(Value::as_str).map(|body| json::read(body.as_bytes()).unwrap());
    let headers = sent.get("headers").and_then(Value::as_dict).unwrap();
    let headers = headers.iter().map(|(name, value)| (name.to_owned(), id_text(value)));
    let raw = format!("{} {}", text(sent, "method"), text(sent, "path"));
    Asked { line: line(&raw), raw, body: body.unwrap_or_default(), headers: kept(headers), ..empty }
}

fn kept(headers: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let all = headers.filter(|(name, _)| HEADERS.contains(&&**name));
    let plain = |value: String| match value.split_once(' ') {
        _ if value.starts_with("token-") => "token".to_owned(),
        Some((scheme, said)) if scheme.eq_ignore_ascii_case("basic") => format!("Basic {said}"),
        _ => value,
    };
    all.map(|(name, value)| (name, plain(value))).collect()
}

/// Ids without their escapes, as far as Ceilometer got them over: it cuts an id off at `#`, and keeps slashes.
fn line(raw: &str) -> String {
    let Some((before, id)) = raw.split_once("/v1/resource/").and_then(|(start, rest)| {
        let (kind, id) = rest.split_once('/')?;
        Some((format!("{start}/v1/resource/{kind}/"), id))
    }) else {
        return raw.to_owned();
    };
    let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy().replace('/', "_");
    format!("{before}{}", id.split('#').next().unwrap_or_default())
}

/// Ours in the recorder's form: archive policies counted where it counted them; creations for samples sorted.
fn summed(asked: &[&Request], counted: bool, kind: Kind) -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    for request in asked {
        let raw = format!("{} {}", request.method, request.path);
        let headers = kept(request.headers.clone().into_iter());
        let is_moot = matches!(request.status, Some(404 | 409));
        let is_good = request.is_good();
        let mut asked = Asked { line: line(&raw), raw, body: request.json(), policies: 0, headers, is_good, is_moot };
        if counted && asked.line == "POST /v1/archive_policy/" {
            match all.last_mut() {
                Some(last) if last.policies > 0 => last.policies += 1,
                _ => {
                    (asked.policies, asked.line, asked.raw, asked.body) =
                        (1, String::new(), String::new(), Value::Null);
                    all.push(asked);
                }
            }
            continue;
        }
        all.push(asked);
    }
    let is_creation = |asked: &Asked| kind == Kind::Samples && asked.line.starts_with("POST /v1/resource/");
    for run in all.chunk_by_mut(|a, b| is_creation(a) && is_creation(b)) {
        run.sort_by_cached_key(|asked| (asked.line.clone(), json::to_string(&asked.body)));
    }
    all
}

/// What is said to be taken, and what Ceilometer would have sent, stood in a request with a good answer.
fn honest(batch: &Batch, outcome: &Result<(), PublishError>, ours: &[Asked], recorded: &[&Dict]) -> Result<(), String> {
    let taken = Said::of(outcome, batch.len())?.taken();
    match batch {
        Batch::Samples(samples) => {
            let sent = measures(recorded.iter().filter_map(|sent| json::read(text(sent, "body").as_bytes()).ok()));
            let good = ours.iter().filter(|asked| asked.is_good && asked.line.contains(MEASURES));
            let there = measures(good.map(|asked| asked.body.clone()));
            for (n, sample) in samples.iter().enumerate().filter(|(n, _)| taken.contains(n)) {
                let key =
                    format!("{} {} {}", id_text(&sample.resource_id).replace('/', "_"), sample.name, sample.timestamp);
                if sent.contains(&key) && !there.contains(&key) {
                    return Err(format!("sample {n} is said to be taken, and was not"));
                }
            }
        }
        Batch::Events(events) => {
            for (n, event) in events.iter().enumerate().filter(|(n, _)| taken.contains(n)) {
                let ids = ids_of(event);
                let own = |asked: &&Asked| ids.iter().any(|id| asked.line.ends_with(&format!("/{id}")));
                let last = ours.iter().rfind(own);
                // 404: there is nothing to change; 409: it is there.
                if last.is_some_and(|asked| !asked.is_good && !asked.is_moot) {
                    return Err(format!("event {n} is said to be taken, and was not"));
                }
            }
        }
    }
    Ok(())
}

/// Which measures of which metrics: id, metric, time.
fn measures(bodies: impl Iterator<Item = Value>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for body in bodies {
        let Value::Dict(resources) = &body else { continue };
        for (id, metrics) in resources.iter().filter_map(|(id, of)| Some((id, of.as_dict()?))) {
            for (metric, of) in metrics.iter().filter_map(|(metric, of)| Some((metric, of.as_dict()?))) {
                for measure in list(of, "measures").iter().filter_map(Value::as_dict) {
                    all.insert(format!("{id} {metric} {}", text(measure, "timestamp")));
                }
            }
        }
    }
    all
}
