//! `nephoscope notify`: sends a notification, as an OpenStack service does.

use std::io::Read;
use uuid::Uuid;

use super::{ConfigArguments, Failure, print_line, refuse_errors, runtime};
use crate::agent::wiring;
use crate::model::envelope::{self, Form};
use crate::model::{Dict, Priority, Value, json};
use crate::transport::{Broker, Outgoing, TransportError, topology};

/// The arguments of `nephoscope notify`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Event type, e.g. compute.instance.exists
    #[arg(long)]
    event_type: String,
    /// Payload as JSON, or - to read it from standard input
    #[arg(long, default_value = "{}")]
    payload: String,
    /// Priority: audit, critical, debug, error, info, sample or warn
    #[arg(long, default_value = "info", value_parser = priority)]
    priority: Priority,
    /// Publisher ID of the sender
    #[arg(long, default_value = "nephoscope.notify")]
    publisher_id: String,
    /// Request context, a JSON object
    #[arg(long, default_value = "{}")]
    context: String,
    /// Exchange of the sending service
    #[arg(long, default_value = "nova")]
    exchange: String,
    /// Form of the message, named after the driver of oslo.messaging
    #[arg(long, value_enum, default_value_t = Driver::Messagingv2)]
    driver: Driver,
    /// Number of notifications; each has IDs of its own
    #[arg(long, default_value_t = 1)]
    count: u32,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Driver {
    /// Version 1: the bare message
    Messaging,
    /// Version 2: in an envelope
    Messagingv2,
}

fn priority(name: &str) -> Result<Priority, String> {
    Priority::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Priority::ALL.iter().map(|p| p.name()).collect();
        format!("expected one of {}", known.join(", "))
    })
}

/// Sends, waits until the broker confirms, and prints the message IDs.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, complaints) = arguments.config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let payload = if arguments.payload == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|e| Failure::Other(format!("cannot read the payload from standard input: {e}")))?;
        text
    } else {
        arguments.payload.clone()
    };
    let payload = json::read(payload.as_bytes())
        .map_err(|e| Failure::Other(format!("cannot read --payload as JSON: it is {e}")))?;
    let Ok(Value::Dict(context)) = json::read(arguments.context.as_bytes()) else {
        return Err(Failure::Other("cannot read --context: it is not a JSON object".to_owned()));
    };
    runtime()?.block_on(async {
        let url = &settings.intake.urls[0];
        let broker = wiring::broker(url);
        let cannot = |e: TransportError| Failure::Other(format!("cannot send: {e}"));
        let mut session = broker.connect().await.map_err(cannot)?;
        let topic = &settings.intake.topics[0];
        let oslo = wiring::oslo_queues(&url.rabbit);
        let target = topology::notify_target(&arguments.exchange, topic, arguments.priority, &oslo);
        let mut declared = session.declare(&target.topology).await;
        if matches!(declared, Err(TransportError::Away { .. })) {
            // A broker that denies what an exchange of another kind asks for ends the connection, and is then asked otherwise.
            session = broker.connect().await.map_err(cannot)?;
            declared = session.declare(&target.topology).await;
        }
        declared.map_err(cannot)?;
        for _ in 0..arguments.count {
            let message = message(arguments, &context, payload.clone());
            let form = match arguments.driver {
                Driver::Messaging => Form::Bare,
                Driver::Messagingv2 => Form::Enveloped,
            };
            let outgoing = Outgoing {
                exchange: target.exchange.clone(),
                routing_key: target.routing_key.clone(),
                body: envelope::seal(&message, form).into(),
                content_type: "application/json",
                headers: std::collections::BTreeMap::new(),
                alone: false,
            };
            session.publish(outgoing).await.map_err(cannot)?.wait().await.map_err(cannot)?;
            print_line(message.get("message_id").and_then(Value::as_str).unwrap_or_default())?;
        }
        session.close().await;
        Ok(())
    })
}

/// A message in wire form, with the keys in the order of oslo.messaging.
fn message(arguments: &Arguments, context: &Dict, payload: Value) -> Dict {
    let now = chrono::Utc::now().naive_utc().format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let own = [
        ("message_id", Value::from(Uuid::new_v4().to_string())),
        ("publisher_id", Value::from(arguments.publisher_id.as_str())),
        ("event_type", Value::from(arguments.event_type.as_str())),
        ("priority", Value::from(arguments.priority.name().to_uppercase())),
        ("payload", payload),
        ("timestamp", Value::from(now)),
        ("_unique_id", Value::from(Uuid::new_v4().simple().to_string())),
    ];
    let context = context.iter().map(|(key, value)| (format!("_context_{key}"), value.clone()));
    own.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(context).collect()
}
