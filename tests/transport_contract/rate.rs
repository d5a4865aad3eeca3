//! How much of a bare lapin loop is left: `cargo test --release --test servers transport_contract::rate -- --ignored --nocapture`.

use crate::rig;
use futures_util::StreamExt;
use nephoscope::model::Verdict;
use nephoscope::transport::{AmqpBroker, AmqpHost, AmqpOptions, Broker, ConsumeOptions, Outgoing, Queue, Topology};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const MESSAGES: usize = 20_000;
const BODY_BYTES: usize = 3_000;
const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: it prints, and judges nothing"]
async fn rates_beside_a_bare_loop() {
    let port = rig::rabbitmq().port;
    let name = format!("rate.{}", uuid::Uuid::new_v4());
    let options = AmqpOptions::to_host(AmqpHost::guest("127.0.0.1", port), "/");
    let session = AmqpBroker::new(options).connect().await.unwrap();
    let queue = Queue {
        name: name.clone(),
        durable: true,
        auto_delete: false,
        exclusive: false,
        arguments: BTreeMap::new(),
        fallback_transient: false,
    };
    session.declare(&Topology { queues: vec![queue], ..Topology::default() }).await.unwrap();
    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    for round in 0..ROUNDS {
        println!("round {round}");
        say("publish, bare", bare_publish(&connection, &name).await);
        say("consume, bare", bare_consume(&connection, &name).await);
        say("publish, ours", publish(&*session, &name).await);
        say("consume, ours", consume(&*session, &name).await);
    }
    assert!(session.delete_if_idle(&name).await.unwrap());
}

fn say(what: &str, took: Duration) {
    println!("  {what}: {:.0}/s", MESSAGES as f64 / took.as_secs_f64());
}

fn body() -> Vec<u8> {
    vec![b'x'; BODY_BYTES]
}

async fn publish(session: &dyn nephoscope::transport::Session, queue: &str) -> Duration {
    let body = bytes::Bytes::from(body());
    let begun = Instant::now();
    let mut confirmations = Vec::new();
    for _ in 0..MESSAGES {
        let message = Outgoing {
            exchange: String::new(),
            routing_key: queue.to_owned(),
            body: body.clone(),
            content_type: "application/json",
            headers: BTreeMap::new(),
            alone: false,
        };
        confirmations.push(session.publish(message).await.unwrap());
    }
    for confirmation in confirmations {
        confirmation.wait().await.unwrap();
    }
    begun.elapsed()
}

async fn consume(session: &dyn nephoscope::transport::Session, queue: &str) -> Duration {
    let begun = Instant::now();
    let options = ConsumeOptions { prefetch_messages: 1_000, exclusive: false, arguments: BTreeMap::new() };
    let mut consumer = session.consume(queue, options).await.unwrap();
    for _ in 0..MESSAGES {
        consumer.next().await.unwrap().receipt.settle(Verdict::Kept);
    }
    consumer.close().await.unwrap();
    begun.elapsed()
}

async fn bare_publish(connection: &lapin::Connection, queue: &str) -> Duration {
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
    let body = body();
    let begun = Instant::now();
    let mut window = std::collections::VecDeque::new();
    for _ in 0..MESSAGES {
        if window.len() >= 1_000 {
            let oldest: lapin::PublisherConfirm = window.pop_front().unwrap();
            oldest.await.unwrap();
        }
        let options = lapin::options::BasicPublishOptions { mandatory: true, immediate: false };
        let properties = lapin::BasicProperties::default().with_delivery_mode(2);
        window.push_back(channel.basic_publish("".into(), queue.into(), options, &body, properties).await.unwrap());
    }
    for confirm in window {
        confirm.await.unwrap();
    }
    channel.close(200, "OK".into()).await.unwrap();
    begun.elapsed()
}

async fn bare_consume(connection: &lapin::Connection, queue: &str) -> Duration {
    let channel = connection.create_channel().await.unwrap();
    let begun = Instant::now();
    channel.basic_qos(1_000, lapin::options::BasicQosOptions::default()).await.unwrap();
    let (options, arguments) = (lapin::options::BasicConsumeOptions::default(), lapin::types::FieldTable::default());
    let mut consumer = channel.basic_consume(queue.into(), "".into(), options, arguments).await.unwrap();
    for n in 1..=MESSAGES {
        let delivery = consumer.next().await.unwrap().unwrap();
        if n % 100 == 0 || n == MESSAGES {
            let multiple = lapin::options::BasicAckOptions { multiple: true };
            channel.basic_ack(delivery.delivery_tag, multiple).await.unwrap();
        }
    }
    channel.close(200, "OK".into()).await.unwrap();
    begun.elapsed()
}
