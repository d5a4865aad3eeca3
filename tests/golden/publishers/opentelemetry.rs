//! opentelemetryhttp: in Ceilometer's form, request by request; and in OTLP, where each sample must be a data point.

use super::case::{comparable, logged, raised_at, recorded, taken, text};
use super::drive::over_http;
use super::server::Server;
use super::{Judged, differs, run, web};
use nephoscope::model::{Dict, Sample, SampleType, Value, json, time};
use nephoscope::publish::Batch;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetryhttp_as_recorded() {
    run("opentelemetryhttp", |case| async move {
        let mut rows = as_the_original(&case).await?;
        rows.extend(as_otlp(&case).await?);
        Ok(rows)
    })
    .await;
}

fn with(option: &str) -> impl Fn(String) -> String {
    move |url| format!("{url}{}{option}", if url.contains('?') { '&' } else { '?' })
}

async fn as_the_original(case: &Dict) -> Judged {
    let server = Server::start(case, None).await;
    let seen = over_http(case, server, "", with("format=ceilometer")).await;
    if let Some(complaints) = &seen.refused {
        return web::refused(case, complaints);
    }
    let mut rows = BTreeSet::new();
    for (n, (batch, outcome)) in seen.calls.iter().zip(&seen.outcomes).enumerate() {
        let about = |why: String| format!("format=ceilometer, call {n}: {why}");
        let recorded = recorded(case, n);
        let asked = seen.asked_in(n);
        let good = asked.iter().all(|request| request.is_good());
        for (ours, theirs) in asked.iter().zip(&recorded) {
            let (mine, line) = (
                format!("{} {}", ours.method, ours.path),
                format!("{} {}", text(theirs, "method"), text(theirs, "path")),
            );
            if mine != line {
                return Err(about(format!("asks {mine}, recorded {line}")));
            }
            let (body, had_none) = comparable(&json::read(text(theirs, "body").as_bytes()).unwrap());
            if had_none {
                rows.insert("nan");
            }
            differs("body", &ours.json(), &body).map_err(about)?;
        }
        // Ceilometer goes on after an answer that is not good, and not after a sample without a unit.
        let enough = match (good, raised_at(case, n)) {
            (true, false) => asked.len() == recorded.len(),
            (true, true) => asked.len() >= recorded.len(),
            (false, _) => !asked.is_empty(),
        };
        if !enough {
            return Err(about(format!("{} requests, recorded {}", asked.len(), recorded.len())));
        }
        if !good || asked.len() != recorded.len() || outcome.is_err() {
            if !logged(case) && !raised_at(case, n) {
                return Err(about(format!("Ceilometer had no trouble, ours says {outcome:?}")));
            }
            rows.insert("otlp-records");
        }
        let good = asked.iter().filter(|request| request.is_good()).count();
        if good != taken(batch, outcome).map_err(about)?.len() {
            return Err(about(format!("{good} requests were taken, ours says {outcome:?}")));
        }
    }
    Ok(rows)
}

async fn as_otlp(case: &Dict) -> Judged {
    let server = Server::start(case, None).await;
    let seen = over_http(case, server, "", |url| url).await;
    if let Some(complaints) = &seen.refused {
        return web::refused(case, complaints);
    }
    let mut rows = BTreeSet::new();
    for (n, (batch, outcome)) in seen.calls.iter().zip(&seen.outcomes).enumerate() {
        let about = |why: String| format!("call {n}: {why}");
        let asked = seen.asked_in(n);
        if !asked.is_empty() {
            rows.insert("otlp-json");
        }
        let mut found = Vec::new();
        for request in asked.iter().filter(|request| request.is_good()) {
            points(&request.json(), &mut found);
        }
        let mut expected: Vec<Value> = taken(batch, outcome).map_err(about)?.into_iter().map(point).collect();
        let order = |all: &mut Vec<Value>| all.sort_by_cached_key(json::to_string);
        order(&mut found);
        order(&mut expected);
        differs("points", &Value::List(found), &Value::List(expected)).map_err(about)?;
        if outcome.is_err() && asked.iter().all(|request| request.is_good()) {
            // Refused by ourselves: what has no number or no time.
            let refused = batch.len() - taken(batch, outcome).map_err(about)?.len();
            let unsendable =
                |sample: &&Sample| time::parse(&sample.timestamp).is_none() || volume(&sample.volume).is_none();
            let Batch::Samples(samples) = batch else { continue };
            let expected = samples.iter().filter(unsendable).count();
            if refused != expected {
                return Err(about(format!("{refused} are refused, {expected} cannot be sent: {outcome:?}")));
            }
            rows.insert("otlp-records");
        }
    }
    Ok(rows)
}

/// Every data point of a request, with its metric.
fn points(request: &Value, found: &mut Vec<Value>) {
    let all = |value: &Value, key: &str| -> Vec<Value> {
        value.as_dict().and_then(|dict| dict.get(key)).and_then(Value::as_list).unwrap_or_default().to_vec()
    };
    for of in all(request, "resourceMetrics") {
        let resource =
            of.as_dict().and_then(|of| of.get("resource")).map(|of| all(of, "attributes")).unwrap_or_default();
        for metric in all(&of, "scopeMetrics").iter().flat_map(|scope| all(scope, "metrics")) {
            let metric = metric.as_dict().unwrap().clone();
            for (kind, data) in ["sum", "gauge"].iter().filter_map(|kind| Some((kind, metric.get(kind)?))) {
                let data = data.as_dict().unwrap();
                let kind = match (*kind, data.get("isMonotonic"), data.get("aggregationTemporality")) {
                    ("sum", Some(Value::Bool(true)), Some(Value::Int(2))) => "cumulative",
                    ("sum", None | Some(Value::Bool(false)), Some(Value::Int(1))) => "delta",
                    ("gauge", None, None) => "gauge",
                    other => panic!("no type of ours: {other:?}"),
                };
                for point in all(&Value::Dict(data.clone()), "dataPoints") {
                    let point = point.as_dict().unwrap().clone();
                    let attributes = [&resource[..], &all(&Value::Dict(point.clone()), "attributes")].concat();
                    let attribute = |wanted: &str| {
                        let is = |one: &&Value| text(one.as_dict().unwrap(), "key") == wanted;
                        let value = attributes.iter().find(is).and_then(|one| one.as_dict().unwrap().get("value"));
                        value
                            .and_then(Value::as_dict)
                            .and_then(|value| value.get("stringValue"))
                            .cloned()
                            .unwrap_or_default()
                    };
                    let number = match (point.get("asInt"), point.get("asDouble")) {
                        (Some(int), None) => {
                            int.as_str().map_or_else(|| int.clone(), |text| Value::Int(text.parse().unwrap()))
                        }
                        (None, Some(Value::Str(name))) => Value::from(&**name),
                        (None, Some(double)) => double.clone(),
                        other => panic!("no number: {other:?}"),
                    };
                    found.push(Value::List(vec![
                        metric.get("name").cloned().unwrap_or_default(),
                        metric.get("unit").cloned().unwrap_or_else(|| "".into()),
                        kind.into(),
                        attribute("resource_id"),
                        attribute("user_id"),
                        attribute("project_id"),
                        number,
                        point.get("timeUnixNano").cloned().unwrap_or_default(),
                    ]));
                }
            }
        }
    }
}

/// The point that a sample must become.
fn point(sample: &Sample) -> Value {
    let nanoseconds = time::parse(&sample.timestamp).unwrap().timestamp_nanos_opt().unwrap();
    let kind = match sample.kind {
        SampleType::Gauge => "gauge",
        SampleType::Cumulative => "cumulative",
        SampleType::Delta => "delta",
    };
    Value::List(vec![
        sample.name.as_str().into(),
        if sample.unit.is_null() { "".into() } else { sample.unit.clone() },
        kind.into(),
        sample.resource_id.clone(),
        sample.user_id.clone(),
        sample.project_id.clone(),
        volume(&sample.volume).unwrap(),
        nanoseconds.to_string().into(),
    ])
}

/// A volume as OTLP/JSON has it.
fn volume(volume: &Value) -> Option<Value> {
    let float = |float: f64| match float {
        float if float.is_nan() => "NaN".into(),
        float if float.is_infinite() => (if float > 0.0 { "Infinity" } else { "-Infinity" }).into(),
        float => Value::Float(float),
    };
    match volume {
        Value::Int(_) => Some(volume.clone()),
        Value::Big(big) => Some(float(big.to_string().parse().unwrap())),
        Value::Bool(truth) => Some(Value::Int((*truth).into())),
        Value::Float(number) => Some(float(*number)),
        Value::Str(text) => text.trim().replace('_', "").parse().ok().map(float),
        Value::Null | Value::List(_) | Value::Dict(_) => None,
    }
}
