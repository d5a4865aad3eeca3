//! Ids, names and metadata with whatever a sender may put there: one record stays one record everywhere.
//!
//! What arrived is read by the decoders of the field (see [`decode`](crate::decode)). Labels of Prometheus are read by the real
//! servers, in [`wire`](crate::wire).

use nephoscope::config;
use nephoscope::model::{Dict, Event, Sample, Trait, TraitValue, Value};
use nephoscope::publish::{Batch, Context, Kind, Partly, PublishError, Publisher, build, identity};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use percent_encoding::percent_decode_str;
use prost::Message;
use rstest::rstest;
use std::sync::Arc;

use crate::contract::{Destination, ROWS, Row, Shows, publisher_to};
use crate::decode::{self, Arrived};
use crate::records::{LONG_BYTES, event, odd, sample};
use crate::server::{Answer, Request, Server, well};

/// Rows whose destination has room for 64 KB in no field.
const SHORT: &[&str] = &["udp"];

/// Where everything else than the sample's id is odd.
fn odd_sample(text: &str, volume: Value, is_metric: bool) -> Sample {
    let name = if is_metric { "volume.size".to_owned() } else { text.to_owned() };
    Sample {
        name: name.into(),
        unit: text.into(),
        volume,
        user_id: text.into(),
        project_id: text.into(),
        resource_metadata: Dict::from_iter([(text, Value::from(text))]).into(),
        ..sample(text, &format!("id of {text}"))
    }
}

/// Publishes and gives the positions of what is refused.
async fn refused(publisher: &dyn Publisher, batch: Batch) -> Vec<usize> {
    match publisher.publish(&batch).await {
        Ok(()) => Vec::new(),
        Err(PublishError::Partly(Partly { refused, left: None })) => refused.iter().map(|one| one.record).collect(),
        Err(other) => panic!("{other}"),
    }
}

/// What has arrived once so many have, in the order of their volumes.
async fn arrived(destination: &dyn Destination, count: usize) -> Vec<Arrived> {
    let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while destination.arrived().await.len() < count && tokio::time::Instant::now() < patience {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut arrived = destination.arrived().await;
    arrived.sort_by_key(|(_, volume)| volume.parse::<i64>().ok());
    arrived
}

/// The rows of samples whose destination shows every record.
fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| row.kind == Kind::Samples && row.shows == Shows::Everything)
}

#[tokio::test]
async fn a_sample_of_odd_ids_names_and_metadata_stays_one_sample() {
    for row in rows() {
        let destination = row.play.begin(row.scheme).await;
        let publisher = publisher_to(row, &*destination);
        let (texts, is_metric) = (odd(), row.scheme == "gnocchi");
        let of = |(n, text): (i64, &String)| odd_sample(text, Value::Int(n), is_metric);
        let samples = (0..).zip(&texts).map(of).collect();
        let refused = refused(&*publisher, Batch::Samples(samples)).await;
        let too_long = |n: &usize| SHORT.contains(&row.scheme) && texts[*n].len() >= LONG_BYTES / 2;
        assert_eq!(refused, (0..texts.len()).filter(too_long).collect::<Vec<_>>(), "{}", row.scheme);
        let taken = (0..texts.len()).filter(|n| !too_long(n));
        // Gnocchi allows no slash.
        let id = |text: &str| if is_metric { text.replace('/', "_") } else { text.to_owned() };
        let expected: Vec<Arrived> = taken.clone().map(|n| (id(&texts[n]), n.to_string())).collect();
        let arrived = arrived(&*destination, expected.len()).await;
        assert!(arrived == expected, "{}: {:.4000}", row.scheme, format!("{arrived:?}"));
        let records = destination.records().await;
        for (record, n) in records.iter().zip(taken) {
            let field = |names: [&str; 2]| names.iter().find_map(|name| record[name].as_str()).unwrap().to_owned();
            let text = &texts[n];
            assert_eq!(field(["name", "counter_name"]), *text);
            assert_eq!(field(["unit", "counter_unit"]), *text);
            assert_eq!(field(["id", "message_id"]), format!("id of {text}"));
            assert_eq!(record["resource_metadata"], serde_json::json!({ text: text }));
        }
    }
}

/// `null` where JSON has no word for it, and its reader may be strict.
#[tokio::test]
async fn a_volume_that_is_no_finite_number_stays_one_sample() {
    for row in rows() {
        let destination = row.play.begin(row.scheme).await;
        let publisher = publisher_to(row, &*destination);
        let volumes = [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2.5];
        let of =
            |(n, volume): (usize, f64)| Sample { volume: volume.into(), ..sample(&format!("r-{n}"), &n.to_string()) };
        let samples = volumes.into_iter().enumerate().map(of).collect();
        assert_eq!(refused(&*publisher, Batch::Samples(samples)).await, [0; 0], "{}", row.scheme);
        let mut arrived = arrived(&*destination, volumes.len()).await;
        arrived.sort();
        let found: Vec<&str> = arrived.iter().map(|(_, volume)| volume.as_str()).collect();
        let expected = match row.scheme {
            "http" | "https" | "file" | "notifier" | "zaqar" => ["1", "null", "null", "null", "2.5"],
            _ => ["1", "NaN", "inf", "-inf", "2.5"],
        };
        assert_eq!(found, expected, "{}", row.scheme);
    }
}

/// The ids of the events that a request brings.
type Ids = fn(&Request) -> Vec<String>;

fn of_http(request: &Request) -> Vec<String> {
    decode::samples(request).iter().map(|event| decode::text(&event["message_id"])).collect()
}

fn of_logs(request: &Request) -> Vec<String> {
    let request = ExportLogsServiceRequest::decode(&*request.body).unwrap();
    let records = request.resource_logs.iter().flat_map(|of| &of.scope_logs).flat_map(|of| &of.log_records);
    records.map(|record| record.event_name.clone()).collect()
}

fn of_structured(request: &Request) -> Vec<String> {
    use cloudevents::AttributesReader;
    let event: cloudevents::Event = serde_json::from_slice(&request.body).unwrap();
    vec![event.id().to_owned()]
}

fn of_batched(request: &Request) -> Vec<String> {
    use cloudevents::AttributesReader;
    let events: Vec<cloudevents::Event> = serde_json::from_slice(&request.body).unwrap();
    events.iter().map(|event| event.id().to_owned()).collect()
}

fn of_headers(request: &Request) -> Vec<String> {
    vec![percent_decode_str(request.header("ce-id")).decode_utf8().unwrap().into_owned()]
}

/// The resource that a change is for: one segment of the path.
fn of_path(request: &Request) -> Vec<String> {
    let Some(id) = request.target.strip_prefix("/v1/resource/volume/") else { return Vec::new() };
    assert!(!id.contains(['/', '?', '#']), "{}", request.target);
    vec![percent_decode_str(id).decode_utf8().unwrap().into_owned()]
}

#[rstest]
#[case::http("http://PLACE/in", of_http)]
#[case::otlp_http("otlp+http://PLACE", of_logs)]
#[case::cloudevents("cloudevents+http://PLACE/in", of_structured)]
#[case::cloudevents_in_batches("cloudevents+http://PLACE/in?mode=batch", of_batched)]
#[case::cloudevents_in_headers("cloudevents+http://PLACE/in?mode=binary", of_headers)]
#[case::gnocchi("gnocchi://", of_path)]
#[tokio::test]
async fn an_event_of_odd_ids_types_and_traits_stays_one_event(#[case] url: &str, #[case] ids: Ids) {
    let is_gnocchi = url.starts_with("gnocchi");
    let server = Server::start(|request| Answer::Whole(well(request))).await;
    let text = format!("[service_credentials]\nauth_type = gnocchi-basic\nendpoint = http://{}\n", server.address);
    let (gnocchi, _) = identity::logins(&config::load_text("test", &text).0.unwrap().logins);
    let url = url.replace("PLACE", &server.address.to_string());
    let context = Context { gnocchi, ..Context::default() };
    let publisher: Arc<dyn Publisher> = build(&url, Kind::Events, &context).unwrap();
    let of = |text: &String| {
        let mut odd: Event = event(text, text);
        if !is_gnocchi {
            odd.event_type = text.into();
        }
        odd.traits.push(Trait { name: text.clone().into(), value: TraitValue::Text(text.clone().into()) });
        odd.traits.push(Trait { name: "load".into(), value: TraitValue::Float(f64::NAN) });
        odd.raw = Dict::from_iter([(text.as_str(), Value::Float(f64::INFINITY))]);
        odd
    };
    let mut texts = odd();
    let events = texts.iter().map(of).collect();
    let refused = refused(&*publisher, Batch::Events(events)).await;
    if is_gnocchi {
        // No path has room for these.
        assert_eq!(refused, [texts.len() - 2, texts.len() - 1]);
        texts.retain(|text| text.len() < LONG_BYTES / 2);
        // No path leads to these: their resource is searched for, and here there is none.
        texts.retain(|text| !matches!(text.as_str(), "." | ".."));
        texts.iter_mut().for_each(|text| *text = text.replace('/', "_"));
    } else {
        assert_eq!(refused, [0; 0]);
    }
    let arrived: Vec<String> = server.requests().iter().flat_map(|(request, _)| ids(request)).collect();
    assert!(arrived == texts, "{:.4000}", format!("{arrived:?}"));
}
