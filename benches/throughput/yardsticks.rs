//! The loops that the agent is measured by: no more than any client of the broker must do.
//!
//! Each runs in a process of its own, which is this program again, so that its CPU and memory are its own.

use crate::broker::Broker;
use crate::measures::{Drain, Meter};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The argument that makes this program one of the loops.
pub(crate) const MODE: &str = "yardstick";
/// Messages that the broker may have given and that are not acknowledged.
const PREFETCH: u16 = 1_000;
/// Messages to one acknowledgement.
const ACKNOWLEDGED_AT_ONCE: usize = 100;
/// Notifications in a packet.
const PACKED: usize = 50;
/// Packets on their way back, as many as an agent takes.
const PACKETS_PREFETCH: u16 = 20;
/// Where the packets go.
const PACKETS: &str = "relay50.packets";

/// Runs a loop as a process over a queue that is filled; `command` is this program.
pub(crate) fn measure(mut command: Command, name: &str, broker: &Broker, queue: &str, count: usize) -> Drain {
    let arguments = [MODE, name, &broker.rabbit.url, queue, &count.to_string(), &broker.pid.to_string()];
    let done = command.args(arguments).stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "the loop {name} failed");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// The process: prints its [`Drain`] as JSON.
pub(crate) fn run(arguments: &[String]) {
    let [name, url, queue, count, broker] = arguments else { panic!("{MODE} needs five arguments: {arguments:?}") };
    let (count, broker) = (count.parse().unwrap(), broker.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let drain = runtime.block_on(async {
        match name.as_str() {
            "bare" => bare(url, queue, count, broker).await,
            _ => relay(url, queue, count, broker).await,
        }
    });
    println!("{}", serde_json::to_string(&drain).unwrap());
}

/// Consumes, and acknowledges every hundredth with all before it.
async fn bare(url: &str, queue: &str, count: usize, broker: u32) -> Drain {
    let began = Instant::now();
    let (channel, mut consumer) = consume(url, queue, PREFETCH).await;
    let mut started = None;
    for n in 1..=count {
        let delivery = consumer.next().await.unwrap().unwrap();
        started.get_or_insert_with(|| start(began, broker));
        if n % ACKNOWLEDGED_AT_ONCE == 0 || n == count {
            channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await.unwrap();
        }
    }
    end(started, count, 0)
}

/// Consumes, publishes packs of 50 to a second queue, acknowledges what is confirmed; consumes and acknowledges the packs too.
async fn relay(url: &str, queue: &str, count: usize, broker: u32) -> Drain {
    let began = Instant::now();
    let declaring = connect(url).await;
    // As the agent's own: what is confirmed must outlive the broker.
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    declaring.queue_declare(PACKETS.into(), options, FieldTable::default()).await.unwrap();
    declaring.queue_purge(PACKETS.into(), QueuePurgeOptions::default()).await.unwrap();
    let packets = count.div_ceil(PACKED);
    let (second, mut arrivals) = consume(url, PACKETS, PACKETS_PREFETCH).await;
    let back = tokio::spawn(async move {
        for _ in 0..packets {
            let delivery = arrivals.next().await.unwrap().unwrap();
            second.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await.unwrap();
        }
    });
    let publishing = connect(url).await;
    publishing.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let (channel, mut consumer) = consume(url, queue, PREFETCH).await;
    let (mut started, mut taken, mut pack, mut confirms) = (None, 0, Vec::new(), FuturesOrdered::new());
    loop {
        tokio::select! {
            delivery = consumer.next(), if taken < count => {
                let delivery = delivery.unwrap().unwrap();
                started.get_or_insert_with(|| start(began, broker));
                taken += 1;
                pack.extend_from_slice(&delivery.data);
                if taken % PACKED == 0 || taken == count {
                    let properties = BasicProperties::default().with_delivery_mode(2);
                    let options = BasicPublishOptions::default();
                    let sent = publishing.basic_publish("".into(), PACKETS.into(), options, &pack, properties).await;
                    let (confirm, tag) = (sent.unwrap(), delivery.delivery_tag);
                    confirms.push_back(async move {
                        confirm.await.unwrap();
                        tag
                    });
                    pack.clear();
                }
            }
            Some(tag) = confirms.next(), if !confirms.is_empty() => {
                channel.basic_ack(tag, BasicAckOptions { multiple: true }).await.unwrap();
            }
            else => break,
        }
    }
    back.await.unwrap();
    end(started, count, packets)
}

fn start(began: Instant, broker: u32) -> (Meter, f64) {
    (Meter::start(vec![std::process::id()], broker), began.elapsed().as_secs_f64() * 1e3)
}

fn end(started: Option<(Meter, f64)>, count: usize, packets: usize) -> Drain {
    let (mut meter, first_ms) = started.unwrap();
    meter.mark();
    meter.drain(count, first_ms, packets as f64)
}

async fn connect(url: &str) -> Channel {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    // It ends with the process.
    std::mem::forget(connection);
    channel
}

async fn consume(url: &str, queue: &str, prefetch: u16) -> (Channel, Consumer) {
    let channel = connect(url).await;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.unwrap();
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(queue.into(), "bench".into(), options, FieldTable::default()).await.unwrap();
    (channel, consumer)
}
