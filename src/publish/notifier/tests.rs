use std::sync::Arc;
use std::time::Duration;

use crate::model::{Value, Verdict, envelope};
use crate::publish::record::tests::sample;
use crate::publish::{Amqp, Batch, Context, Kind, PublishError, Publisher, build};
use crate::transport::{Broker, ConsumeOptions, MemoryBroker};

fn batch(id: &str) -> Batch {
    Batch::Samples(vec![sample("cpu", id)])
}

fn context(broker: &MemoryBroker) -> Context {
    let amqp = Amqp { durable: true, ..Amqp::default() };
    Context { broker: Some(Arc::new(broker.clone())), amqp, ..Context::default() }
}

fn publisher(url: &str, context: &Context) -> Arc<dyn Publisher> {
    build(url, Kind::Samples, context).unwrap()
}

/// The ids of all samples in a queue, in order; takes them out.
async fn ids(broker: &MemoryBroker, queue: &str) -> Vec<String> {
    let session = broker.connect().await.unwrap();
    let options = ConsumeOptions { prefetch_messages: 0, exclusive: false, arguments: [].into() };
    let mut consumer = session.consume(queue, options).await.unwrap();
    let mut ids = Vec::new();
    while let Some(delivery) = consumer.ready() {
        for message in envelope::open(&delivery.body).unwrap().payload().as_list().unwrap() {
            ids.push(message.as_dict().unwrap().get("message_id").and_then(Value::as_str).unwrap().to_owned());
        }
        delivery.receipt.settle(Verdict::Kept);
    }
    consumer.close().await.unwrap();
    ids
}

/// How many samples were lost by policy.
fn shed(context: &Context) -> usize {
    let page = context.metrics.page();
    let counts = page.lines().filter(|line| line.starts_with("nephoscope_shed_total"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn what_nobody_listens_for_waits_in_its_queue() {
    let broker = MemoryBroker::default();
    let publisher = publisher("notifier://?topic=a&topic=b", &context(&broker));
    publisher.publish(&batch("1")).await.unwrap();
    publisher.publish(&batch("2")).await.unwrap();
    publisher.close().await;
    assert_eq!(ids(&broker, "a.sample").await, ["1", "2"]);
    assert_eq!(ids(&broker, "b.sample").await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_of_its_own_is_connected_to_with_the_transports_options() {
    let broker = MemoryBroker::default();
    let own = broker.clone();
    let connect = Arc::new(move |url: &str| match url {
        "rabbit://u:p@h:5672/cloud?ssl=true" => Ok(Arc::new(own.clone()) as Arc<dyn Broker>),
        other => Err(format!("cannot read {other}")),
    });
    let context = Context { connect, ..Context::default() };
    let publisher = publisher("notifier://u:p@h:5672/cloud?policy=drop&ssl=true", &context);
    publisher.publish(&batch("1")).await.unwrap();
    assert_eq!(ids(&broker, "metering.sample").await, ["1"]);
    let error = build("notifier://h?ssl=1", Kind::Samples, &context).err().unwrap().to_string();
    assert!(error.contains("cannot read rabbit://h?ssl=1"), "{error}");
    let error = build("notifier://", Kind::Samples, &context).err().unwrap().to_string();
    assert!(error.contains("no default transport"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn while_the_broker_is_away_the_default_policy_holds() {
    let broker = MemoryBroker::default();
    let context = context(&broker);
    let publisher = publisher("notifier://", &context);
    publisher.publish(&batch("1")).await.unwrap();
    broker.stop();
    for _ in 0..2 {
        let error = publisher.publish(&batch("2")).await.unwrap_err();
        assert!(matches!(&error, PublishError::Retry { after: Some(_), .. }), "{error}");
    }
    broker.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    publisher.publish(&batch("2")).await.unwrap();
    assert_eq!(ids(&broker, "metering.sample").await, ["1", "2"]);
    assert_eq!(shed(&context), 0);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_deleted_is_declared_again() {
    let broker = MemoryBroker::default();
    let publisher = publisher("notifier://", &context(&broker));
    publisher.publish(&batch("1")).await.unwrap();
    assert!(broker.delete_queue("metering.sample"));
    let error = publisher.publish(&batch("2")).await.unwrap_err();
    assert!(matches!(&error, PublishError::Retry { cause, .. } if cause.contains("unroutable")), "{error}");
    publisher.publish(&batch("2")).await.unwrap();
    assert_eq!(ids(&broker, "metering.sample").await, ["2"]);
}

#[tokio::test(start_paused = true)]
async fn the_drop_policy_counts_what_it_loses() {
    let broker = MemoryBroker::default();
    let context = context(&broker);
    let publisher = publisher("notifier://?policy=drop", &context);
    broker.stop();
    publisher.publish(&batch("1")).await.unwrap();
    broker.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    publisher.publish(&batch("2")).await.unwrap();
    assert_eq!(ids(&broker, "metering.sample").await, ["2"]);
    assert_eq!(shed(&context), 1);
}

#[tokio::test(start_paused = true)]
async fn the_queue_policy_keeps_the_youngest_in_order() {
    let broker = MemoryBroker::default();
    let context = context(&broker);
    let publisher = publisher("notifier://?policy=queue&max_queue_length=2", &context);
    broker.stop();
    for id in ["1", "2", "3"] {
        publisher.publish(&batch(id)).await.unwrap();
    }
    assert_eq!(shed(&context), 1);
    broker.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    publisher.publish(&batch("4")).await.unwrap();
    assert_eq!(ids(&broker, "metering.sample").await, ["2", "3", "4"]);
    broker.stop();
    publisher.publish(&batch("5")).await.unwrap();
    publisher.close().await;
    assert_eq!(shed(&context), 2, "what is still queued at the end is counted");
}
