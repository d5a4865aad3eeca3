use std::sync::Arc;
use tokio::net::UdpSocket;

use crate::model::{Sample, Value};
use crate::publish::outcome::{Left, Partly};
use crate::publish::record::tests::sample;
use crate::publish::{Batch, Context, Kind, PublishError, Publisher, build};

async fn receiver() -> (UdpSocket, Arc<dyn Publisher>) {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("udp://{}", receiver.local_addr().unwrap());
    (receiver, build(&url, Kind::Samples, &Context::default()).unwrap())
}

async fn datagram(receiver: &UdpSocket) -> Vec<u8> {
    let mut datagram = vec![0; 1 << 16];
    let bytes = receiver.recv(&mut datagram).await.unwrap();
    datagram.truncate(bytes);
    datagram
}

fn batch(ids: &[&str]) -> Batch {
    Batch::Samples(ids.iter().map(|id| sample("cpu", id)).collect())
}

/// A sample whose datagram has `bytes` more than it has without metadata of that length.
fn long(id: &str, blob: usize) -> Sample {
    let mut sample = sample("cpu", id);
    sample.resource_metadata.insert("blob", Value::from("x".repeat(blob)));
    sample
}

#[tokio::test]
async fn each_sample_is_one_datagram() {
    let (receiver, publisher) = receiver().await;
    publisher.publish(&batch(&["first", "second"])).await.unwrap();
    for id in ["first", "second"] {
        let datagram = datagram(&receiver).await;
        // A map of 15 members, of which the id is one.
        assert_eq!(datagram[..8], *b"\x8f\xa6source");
        assert!(datagram.windows(id.len()).any(|window| window == id.as_bytes()));
    }
    assert_eq!(publisher.reach().await, Ok(()));
}

#[tokio::test]
async fn a_sample_beyond_a_datagram_is_refused_and_the_longest_arrives() {
    let (receiver, publisher) = receiver().await;
    publisher.publish(&Batch::Samples(vec![long("1", 60_000)])).await.unwrap();
    let rest = 65_507 - datagram(&receiver).await.len();
    let samples = vec![long("1", 60_000 + rest), long("2", 60_000 + rest + 1), sample("cpu", "3")];
    let outcome = publisher.publish(&Batch::Samples(samples)).await;
    assert_eq!(outcome, Err(PublishError::refuse([1], "65508 bytes, where a datagram holds 65507")));
    assert_eq!(datagram(&receiver).await.len(), 65_507);
    assert!(datagram(&receiver).await.len() < 1000);
}

#[tokio::test]
async fn where_nobody_listens_the_batch_is_held_and_arrives_later() {
    let (receiver, publisher) = receiver().await;
    let address = receiver.local_addr().unwrap();
    drop(receiver);
    for ids in [&["1"][..], &["1", "2"]] {
        let Err(PublishError::Retry { cause, .. }) = publisher.publish(&batch(ids)).await else { panic!("{ids:?}") };
        assert!(cause.starts_with("the last datagram did not arrive: "), "{cause}");
    }
    let samples = vec![sample("cpu", "1"), long("2", 70_000), sample("cpu", "3")];
    let Err(PublishError::Partly(Partly { refused, left })) = publisher.publish(&Batch::Samples(samples)).await else {
        panic!("the long one is not refused")
    };
    assert_eq!(refused.iter().map(|refused| refused.record).collect::<Vec<_>>(), [1]);
    let Left { records, .. } = left.unwrap();
    assert_eq!(records, [0, 2]);
    let receiver = UdpSocket::bind(address).await.unwrap();
    publisher.publish(&batch(&["1", "2"])).await.unwrap();
    datagram(&receiver).await;
    datagram(&receiver).await;
}

#[tokio::test]
async fn an_address_of_ipv6_is_preferred() {
    let Ok(receiver) = UdpSocket::bind("[::1]:0").await else {
        eprintln!("skipped: this machine has no IPv6");
        return;
    };
    let address = receiver.local_addr().unwrap();
    let publisher = build(&format!("udp://{address}"), Kind::Samples, &Context::default()).unwrap();
    publisher.publish(&batch(&["1"])).await.unwrap();
    datagram(&receiver).await;
}

#[tokio::test]
async fn a_host_without_a_name_holds() {
    let publisher = build("udp://no-such-host.invalid", Kind::Samples, &Context::default()).unwrap();
    let error = publisher.publish(&batch(&["1"])).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot publish now: cannot resolve no-such-host.invalid"), "{error}");
}
