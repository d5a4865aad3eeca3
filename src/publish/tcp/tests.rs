use rstest::rstest;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::model::json;
use crate::model::{Sample, Value};
use crate::publish::outcome::{Left, Partly, Refused};
use crate::publish::record::tests::sample;
use crate::publish::{Batch, Context, Kind, PublishError, Publisher, build};
use std::sync::Arc;

struct Receiver {
    listener: TcpListener,
}

impl Receiver {
    async fn new() -> Receiver {
        Receiver { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn publisher(&self, options: &str) -> Arc<dyn Publisher> {
        let url = format!("tcp://{}?{options}", self.listener.local_addr().unwrap());
        build(&url, Kind::Samples, &Context::default()).unwrap()
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }
}

/// One frame: the id of its message.
async fn frame(connection: &mut TcpStream) -> String {
    let length = connection.read_u64_le().await.unwrap();
    let mut body = vec![0; usize::try_from(length).unwrap()];
    connection.read_exact(&mut body).await.unwrap();
    id(&body)
}

/// The id in a packed message: behind its key, as a text of up to 31 bytes.
fn id(packed: &[u8]) -> String {
    let key = b"\xaamessage_id";
    let at = packed.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    let length = usize::from(packed[at] & 0x1f);
    String::from_utf8(packed[at + 1..=at + length].to_vec()).unwrap()
}

fn batch(ids: &[&str]) -> Batch {
    Batch::Samples(ids.iter().map(|id| sample("cpu", id)).collect())
}

fn with_volume(id: &str, volume: &str) -> Sample {
    Sample { volume: json::read(volume.as_bytes()).unwrap(), ..sample("cpu", id) }
}

fn cause(error: PublishError) -> String {
    match error {
        PublishError::Retry { cause, after: None } => cause,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn frames_go_over_one_connection_in_order() {
    let receiver = Receiver::new().await;
    let publisher = receiver.publisher("");
    publisher.publish(&batch(&["1", "2"])).await.unwrap();
    publisher.publish(&batch(&["3"])).await.unwrap();
    let mut connection = receiver.accept().await;
    for id in ["1", "2", "3"] {
        assert_eq!(frame(&mut connection).await, id);
    }
    publisher.close().await;
    assert_eq!(connection.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_sample_that_cannot_be_packed_takes_nobody_with_it() {
    let receiver = Receiver::new().await;
    let samples = vec![sample("cpu", "1"), with_volume("2", "18446744073709551616"), sample("cpu", "3")];
    let outcome = receiver.publisher("").publish(&Batch::Samples(samples.clone())).await;
    let cause = "counter_volume: an integer of more than 64 bits, for which msgpack has no form".to_owned();
    let refused = vec![Refused { record: 1, cause }];
    assert_eq!(outcome, Err(PublishError::Partly(Partly { refused: refused.clone(), left: None })));
    let mut connection = receiver.accept().await;
    assert_eq!((frame(&mut connection).await, frame(&mut connection).await), ("1".to_owned(), "3".to_owned()));
    // Where the receiver is away, it is parked all the same, and the others are left.
    let publisher = receiver.publisher("");
    drop((receiver, connection));
    let Err(PublishError::Partly(partly)) = publisher.publish(&Batch::Samples(samples)).await else { panic!() };
    assert_eq!(partly.refused, refused);
    let Left { records, cause, .. } = partly.left.unwrap();
    assert_eq!(records, [0, 2]);
    assert!(cause.starts_with("cannot connect to 127.0.0.1:"), "{cause}");
}

#[tokio::test]
async fn a_batch_after_the_receiver_closed_goes_over_a_new_connection() {
    let receiver = Receiver::new().await;
    let publisher = receiver.publisher("");
    publisher.publish(&batch(&["1"])).await.unwrap();
    let mut connection = receiver.accept().await;
    // What a receiver says is nobody's business.
    connection.write_all(b"hello").await.unwrap();
    assert_eq!(frame(&mut connection).await, "1");
    drop(connection);
    publisher.publish(&batch(&["2"])).await.unwrap();
    assert_eq!(frame(&mut receiver.accept().await).await, "2");
}

/// More than the buffers of both sides hold.
fn large() -> Batch {
    let long = |id: &str| {
        let mut sample = sample("cpu", id);
        sample.resource_metadata.insert("blob", Value::from("x".repeat(1 << 20)));
        sample
    };
    Batch::Samples((0..24).map(|id| long(&id.to_string())).collect())
}

#[tokio::test]
async fn a_receiver_that_does_not_read_is_left_and_gets_all_again() {
    let receiver = Receiver::new().await;
    let publisher = receiver.publisher("timeout=0.2");
    assert_eq!(cause(publisher.publish(&large()).await.unwrap_err()), "the receiver did not read on within 0.2 s");
    drop(receiver.accept().await);
    let reading = tokio::spawn(async move {
        let mut connection = receiver.accept().await;
        let mut ids = Vec::new();
        for _ in 0..24 {
            ids.push(frame(&mut connection).await);
        }
        ids
    });
    publisher.publish(&large()).await.unwrap();
    assert_eq!(reading.await.unwrap(), (0..24).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_connection_that_breaks_within_a_batch_leaves_all_of_it() {
    let receiver = Receiver::new().await;
    let publisher = receiver.publisher("");
    let breaking = tokio::spawn(async move {
        let mut connection = receiver.accept().await;
        assert_eq!(frame(&mut connection).await, "0");
        receiver
    });
    let said = cause(publisher.publish(&large()).await.unwrap_err());
    assert!(said.starts_with("cannot write: "), "{said}");
    let receiver = breaking.await.unwrap();
    // Nothing of the broken frame comes over the next connection.
    publisher.publish(&batch(&["9"])).await.unwrap();
    assert_eq!(frame(&mut receiver.accept().await).await, "9");
}

#[tokio::test]
async fn a_batch_that_is_cut_short_leaves_no_half_frame_behind() {
    let receiver = Receiver::new().await;
    let publisher = receiver.publisher("timeout=60");
    let cut = tokio::time::timeout(Duration::from_millis(200), publisher.publish(&large())).await;
    assert!(cut.is_err());
    let _stalled = receiver.accept().await;
    publisher.publish(&batch(&["9"])).await.unwrap();
    assert_eq!(frame(&mut receiver.accept().await).await, "9");
}

#[rstest]
#[case("tcp://no-such-host.invalid", "cannot resolve no-such-host.invalid")]
#[case("tcp://127.0.0.1:1", "cannot connect to 127.0.0.1:1: ")]
#[tokio::test]
async fn a_receiver_that_is_not_there_holds(#[case] url: &str, #[case] said: &str) {
    let publisher = build(url, Kind::Samples, &Context::default()).unwrap();
    let error = cause(publisher.publish(&batch(&["1"])).await.unwrap_err());
    assert!(error.starts_with(said), "{error}");
    assert_eq!(publisher.reach().await.unwrap_err(), error);
}
