//! How connections and channels end on a real RabbitMQ: with the broker's words, and without a frame that reorders.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use nephoscope::transport::StreamStart;

use super::*;

#[rstest]
#[tokio::test]
async fn an_operators_reason_for_closing_a_connection_is_known(
    #[values(Generation::Three, Generation::Four)] generation: Generation,
) {
    let rabbit = rig::rabbitmq_of(generation);
    let url = rabbit.vhost("reason");
    let vhost = url.rsplit('/').next().unwrap();
    let broker = AmqpBroker::new(AmqpOptions::to_host(AmqpHost::guest("127.0.0.1", rabbit.port), vhost));
    let session = broker.connect().await.unwrap();
    assert_eq!(session.why().get(), None);
    rabbit.ctl(&["close_all_connections", "--vhost", vhost, "maintenance of rack seven"]);
    timeout(SOON, session.over().cancelled()).await.unwrap();
    let why = session.why().get().cloned().unwrap();
    assert!(why.contains("CONNECTION_FORCED") && why.contains("maintenance of rack seven"), "{why}");
    let late = session.inspect("nothing").await.unwrap_err().to_string();
    assert!(late.contains("maintenance of rack seven"), "{late}");
}

#[tokio::test]
async fn a_broker_that_denies_transient_queues_gets_a_durable_one_beside_a_transient_exchange() {
    let place = Place::new(Kind::Four);
    let (exchange_name, queue_name) = (place.name("transient"), place.name("durable"));
    let session = place.session().await;
    // As a first start without amqp_durable_queues leaves it.
    let left = vec![exchange(exchange_name.clone(), false)];
    session.declare(&Topology { exchanges: left, ..Topology::default() }).await.unwrap();
    let wanted = Topology {
        exchanges: vec![Exchange { fallback_transient: true, ..exchange(exchange_name.clone(), true) }],
        queues: vec![Queue { fallback_transient: true, ..queue(queue_name.clone()) }],
        bindings: vec![Binding {
            exchange: exchange_name,
            queue: queue_name.clone(),
            routing_key: "notifications.info".to_owned(),
        }],
    };
    let denied = session.declare(&wanted).await.unwrap_err();
    assert!(matches!(denied, TransportError::Away { .. }), "{denied}");
    timeout(SOON, session.over().cancelled()).await.unwrap();
    assert_eq!(session.refused(), None, "nobody must act");
    let session = place.session().await;
    session.declare(&wanted).await.unwrap();
    let durable = Topology { queues: vec![queue(queue_name)], ..Topology::default() };
    session.declare(&durable).await.unwrap();
}

/// `basic.cancel` on the wire: class 60, method 30, at the beginning of a method frame.
const BASIC_CANCEL: [u8; 4] = [0, 60, 0, 30];
/// The frame type, the channel, and the length.
const FRAME_HEADER: usize = 7;
const METHOD: u8 = 1;
/// `AMQP` and a version, before the first frame.
const PREAMBLE: usize = 8;

/// A port before a server that counts the `basic.cancel` of its clients.
async fn counting_cancels(server: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, cancels) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&cancels);
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
        let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
        let (mut seen, mut begin) = (Vec::new(), PREAMBLE);
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = near_in.read(&mut buffer).await {
            seen.extend_from_slice(&buffer[..read]);
            while let Some(header) = seen.get(begin..begin + FRAME_HEADER) {
                let length = u32::from_be_bytes(header[3..].try_into().unwrap()) as usize;
                let Some(frame) = seen.get(begin..begin + FRAME_HEADER + length + 1) else { break };
                if frame[0] == METHOD && frame[FRAME_HEADER..].starts_with(&BASIC_CANCEL) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                begin += frame.len();
            }
            far_out.write_all(&buffer[..read]).await.unwrap();
        }
    });
    (port, cancels)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_drops_a_follower_or_a_consumer_sends_no_basic_cancel() {
    let place = Place::new(Kind::Four);
    let (port, cancels) = counting_cancels(place.port).await;
    let session = amqp(port, Login::AmqPlain).connect().await.unwrap();
    let stream = place.name("log.state");
    let log = topology::state_log(stream.clone(), 1 << 20, 1 << 20);
    let main = place.name("main");
    session.declare(&Topology { queues: vec![log, queue(main.clone())], ..Topology::default() }).await.unwrap();
    fill(&session, &stream, 0..3).await;
    for _ in 0..50 {
        let mut follower = session.follow(&stream, StreamStart::First).await.unwrap();
        assert!(follower.next().await.is_some());
        drop(follower);
        drop(consume(&session, &main, 1).await);
    }
    session.close().await;
    assert_eq!(cancels.load(Ordering::Relaxed), 0);
}
