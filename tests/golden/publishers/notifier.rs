//! notifier: the messages that a real RabbitMQ routed, and the queues that they are in.

use super::case::{calls, comparable, kind, list, logged, raised, text};
use super::drive::{made, settled};
use super::{Judged, cases, conclude, differs};
use crate::rig;
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use nephoscope::model::{Dict, Value, json};
use nephoscope::publish::Kind;
use std::collections::BTreeSet;

/// The queue to which every exchange of a case sends a copy of everything.
const ALL: &str = "golden.all";

#[tokio::test(flavor = "multi_thread")]
async fn notifier_as_recorded() {
    let all = cases("notifier");
    if all.is_empty() {
        return;
    }
    let rabbit = rig::rabbitmq();
    let url = rabbit.vhost("golden");
    let (_, vhost) = url.rsplit_once('/').unwrap();
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let mut judged = Vec::new();
    // One after the other: they use the same exchange.
    for (line, case) in all {
        let channel = connection.create_channel().await.unwrap();
        let outcome = judge(&case, &format!("127.0.0.1:{}/{vhost}", rabbit.port), &channel).await;
        judged.push((line, text(&case, "name").to_owned(), outcome));
    }
    conclude("notifier", judged);
}

async fn judge(case: &Dict, amqp: &str, channel: &Channel) -> Judged {
    // The virtual host of the test stands where the recorder had the default one.
    let fill = |text: &str| text.replace("{amqp}/", "{amqp}").replace("{amqp}", amqp);
    let control_exchange =
        case.get("conf").and_then(Value::as_dict).and_then(|all| all.get("DEFAULT.control_exchange"));
    let exchange = control_exchange.and_then(Value::as_str).unwrap_or("ceilometer").to_owned();
    channel
        .exchange_declare(
            exchange.as_str().into(),
            ExchangeKind::Topic,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    channel.queue_declare(ALL.into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    channel
        .queue_bind(
            ALL.into(),
            exchange.as_str().into(),
            "#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    let outcome = published(case, fill, channel).await;
    channel.queue_delete(ALL.into(), QueueDeleteOptions::default()).await.unwrap();
    channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    outcome
}

async fn published(case: &Dict, fill: impl Fn(&str) -> String, channel: &Channel) -> Judged {
    let context = match settled(case, &fill) {
        Ok(context) => context,
        Err(complaint) => return refused(case, &complaint),
    };
    let publisher = match made(&fill(text(case, "url")), case, &context) {
        Ok(publisher) => publisher,
        Err(complaint) => return refused(case, &complaint),
    };
    let mut rows = BTreeSet::new();
    if raised(case, &"init".into()) {
        // The recorded publisher does not load; ours works, and has to publish.
        rows.insert("notifier-host");
    }
    for batch in calls(case).iter().filter(|batch| !batch.is_empty()) {
        publisher.publish(batch).await.map_err(|error| error.to_string())?;
    }
    publisher.close().await;
    let mut found = Vec::new();
    // What `policy=queue` keeps is sent in the background.
    for _ in 0..50 {
        while let Some(message) = channel.basic_get(ALL.into(), BasicGetOptions { no_ack: true }).await.unwrap() {
            found.push(message.delivery);
        }
        if found.len() >= list(case, "sent").len().max(usize::from(!rows.is_empty())) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut recorded: Vec<&Dict> = list(case, "sent").iter().filter_map(Value::as_dict).collect();
    // Ceilometer sends a message without a record for a call without one.
    let is_empty = |sent: &&Dict| list(sent.get("message").and_then(Value::as_dict).unwrap(), "payload").is_empty();
    if recorded.iter().any(is_empty) {
        recorded.retain(|sent| !is_empty(sent));
        rows.insert("empty-batches");
    }
    let mut queues = BTreeSet::new();
    for message in &found {
        // A queue of that name has it too.
        let key = message.routing_key.as_str().to_owned();
        if queues.insert(key.clone()) {
            let expected = found.iter().filter(|other| other.routing_key.as_str() == key).count();
            let queue = channel.queue_delete(key.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
            if queue as usize != expected {
                return Err(format!("the queue {key} has {queue} messages, {expected} were sent"));
            }
        }
    }
    if rows.contains("notifier-host") {
        return if found.is_empty() { Err("nothing is published".to_owned()) } else { Ok(rows) };
    }
    if found.len() != recorded.len() {
        return Err(format!("{} messages, recorded {}", found.len(), recorded.len()));
    }
    for (ours, theirs) in found.iter().zip(recorded) {
        message(ours, theirs, &mut rows)?;
    }
    Ok(rows)
}

fn message(ours: &lapin::message::Delivery, theirs: &Dict, rows: &mut BTreeSet<&'static str>) -> Result<(), String> {
    let body = json::read(&ours.data).map_err(|error| error.to_string())?;
    let (envelope, said) = match body.as_dict().and_then(|body| body.get("oslo.message")) {
        Some(inner) => (
            Value::Dict(Dict::from_iter([(
                "oslo.version",
                body.as_dict().unwrap().get("oslo.version").cloned().unwrap(),
            )])),
            json::read(inner.as_str().unwrap().as_bytes()).map_err(|error| error.to_string())?,
        ),
        None => (Value::Null, body),
    };
    differs("envelope", &envelope, theirs.get("envelope").unwrap())?;
    let key = ours.routing_key.as_str();
    if key != text(theirs, "routing_key") {
        // A meter's own queue.
        let event_type = text(theirs.get("message").and_then(Value::as_dict).unwrap(), "event_type");
        if key != format!("{event_type}.sample") {
            return Err(format!("routing key {key}, recorded {}", text(theirs, "routing_key")));
        }
        rows.insert("per_meter_topic");
    }
    if ours.exchange.as_str() != text(theirs, "exchange") {
        return Err(format!("exchange {}, recorded {}", ours.exchange, text(theirs, "exchange")));
    }
    let properties = &ours.properties;
    let shown = Value::Dict(Dict::from_iter([
        ("application_headers", Value::Dict(Dict::new())),
        ("content_encoding", properties.content_encoding().as_ref().map_or(Value::Null, |text| text.as_str().into())),
        ("content_type", properties.content_type().as_ref().map_or(Value::Null, |text| text.as_str().into())),
        ("delivery_mode", properties.delivery_mode().map_or(Value::Null, |mode| Value::Int(mode.into()))),
        ("priority", Value::Int(properties.priority().unwrap_or_default().into())),
    ]));
    differs("properties", &shown, theirs.get("properties").unwrap())?;
    if properties.headers().as_ref().is_some_and(|headers| !headers.inner().is_empty()) {
        return Err(format!("headers {:?}", properties.headers()));
    }
    let recorded = theirs.get("message").unwrap();
    let (theirs, had_none) = comparable(recorded);
    if had_none {
        rows.insert("nan");
    }
    let another = !crate::same(&theirs, recorded);
    differs("message", &marked(&said, another)?, &marked(&theirs, another)?)
}

/// Without what is another in every message: ids, the time; without signatures over what is written otherwise.
fn marked(message: &Value, without_signatures: bool) -> Result<Value, String> {
    let mut message = message.as_dict().ok_or("a message is an object")?.clone();
    for id in ["message_id", "_unique_id"] {
        let said = message.get(id).and_then(Value::as_str).unwrap_or_default();
        if said != "UUID" && uuid::Uuid::parse_str(said).is_err() {
            return Err(format!("{id} is {said:?}"));
        }
        message.insert(id, "UUID");
    }
    let time = message.get("timestamp").and_then(Value::as_str).unwrap_or_default();
    if chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.f").is_err() {
        return Err(format!("timestamp is {time:?}"));
    }
    message.insert("timestamp", "NOW");
    if without_signatures && let Some(Value::List(records)) = message.get_mut("payload") {
        for record in records {
            if let Value::Dict(record) = record {
                record.remove("message_signature");
            }
        }
    }
    Ok(Value::Dict(message))
}

fn refused(case: &Dict, complaint: &str) -> Judged {
    match kind(case) {
        _ if raised(case, &"init".into()) => Ok(BTreeSet::new()),
        Kind::Samples if logged(case) || text(case, "url").contains('?') => Ok(BTreeSet::from(["publisher-options"])),
        Kind::Samples if complaint.contains("telemetry_driver") => Ok(BTreeSet::from(["telemetry-driver"])),
        _ => Err(format!("ours does not start: {complaint}")),
    }
}
