//! Copy queues: a session's own, never in the way of a sender, and exact about what they forget.

use nephoscope::transport::copies::{CopyBounds, CopyQueues, Missed};

use super::*;

const BOUNDS: CopyBounds = CopyBounds { messages: 10, bytes: 1 << 20 };

struct Copied {
    place: Place,
    session: Arc<dyn Session>,
    queues: CopyQueues,
    main: String,
    exchange: String,
    topic: String,
}

/// A main queue, and a copy queue bound beside it.
async fn copied(kind: Kind) -> Copied {
    let place = Place::new(kind);
    let (exchange_name, topic) = (place.name("service"), place.name("topic"));
    let main = format!("{topic}.info");
    let sender = place.session().await;
    let binding = Binding { exchange: exchange_name.clone(), queue: main.clone(), routing_key: main.clone() };
    let topology = Topology {
        exchanges: vec![exchange(exchange_name.clone(), true)],
        queues: vec![queue(main.clone())],
        bindings: vec![binding],
    };
    sender.declare(&topology).await.unwrap();
    let session = place.session().await;
    let queues = CopyQueues::named("contract", &place.name("process"));
    session.declare(&queues.queues(BOUNDS)).await.unwrap();
    session.declare(&queues.bindings(&exchange_name, std::slice::from_ref(&topic))).await.unwrap();
    Copied { place, session, queues, main, exchange: exchange_name, topic }
}

impl Copied {
    async fn send(&self, bodies: impl IntoIterator<Item = usize>) {
        let sender = self.place.session().await;
        for n in bodies {
            let sent = Outgoing { exchange: self.exchange.clone(), ..message(&self.main, &n.to_string()) };
            // A full copy queue refuses nothing.
            sender.publish(sent).await.unwrap().wait().await.unwrap();
        }
        sender.close().await;
    }

    /// What was missed, once the dead letters of a broker have arrived.
    async fn missed(&self, expected: u64) -> Missed {
        let mut all = Missed::default();
        for _ in 0..100 {
            let more = self.queues.count_missed(&*self.session).await.unwrap();
            all = Missed { messages: all.messages + more.messages, more: all.more || more.more };
            if all.messages >= expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        all
    }
}

#[rstest]
#[tokio::test]
async fn a_copy_takes_nothing_away_and_says_where_it_came_from(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
) {
    let copied = copied(kind).await;
    copied.send(0..3).await;
    let options = ConsumeOptions { prefetch_messages: 64, exclusive: false, arguments: BTreeMap::new() };
    let mut consumer = copied.session.consume(&copied.queues.copy, options).await.unwrap();
    for n in 0..3 {
        let delivery = timeout(SOON, consumer.next()).await.unwrap().unwrap();
        assert_eq!(&delivery.body[..], n.to_string().as_bytes());
        assert_eq!((&delivery.exchange, &delivery.routing_key), (&copied.exchange, &copied.main));
        delivery.receipt.settle(Verdict::Kept);
    }
    assert_eq!(copied.session.inspect(&copied.main).await.unwrap().messages, 3);
    assert_eq!(copied.missed(0).await, Missed::default());
}

#[rstest]
#[tokio::test]
async fn what_a_full_copy_queue_forgets_is_counted_exactly(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let copied = copied(kind).await;
    copied.send(0..137).await;
    assert_eq!(copied.missed(127).await, Missed { messages: 127, more: false });
    copied.send(137..140).await;
    assert_eq!(copied.missed(3).await, Missed { messages: 3, more: false });
    assert_eq!(copied.session.inspect(&copied.queues.copy).await.unwrap().messages, 10);
    assert_eq!(copied.session.inspect(&copied.main).await.unwrap().messages, 140);
}

#[rstest]
#[tokio::test]
async fn what_cannot_be_counted_any_more_is_said(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let copied = copied(kind).await;
    // As if what was missed had been forgotten: it falls over the default exchange.
    let lost = message(&copied.queues.uncounted, "lost");
    copied.session.publish(lost).await.unwrap().wait().await.unwrap();
    copied.send(0..11).await;
    assert_eq!(copied.missed(1).await, Missed { messages: 1, more: true });
}

#[rstest]
#[tokio::test]
async fn a_copy_queue_is_its_sessions_alone_and_goes_with_it(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
) {
    let copied = copied(kind).await;
    let other = copied.place.session().await;
    let looked = other.inspect(&copied.queues.copy).await;
    assert!(matches!(looked, Err(TransportError::Occupied(_))), "{looked:?}");
    copied.session.close().await;
    let other = copied.place.session().await;
    for _ in 0..100 {
        match other.inspect(&copied.queues.copy).await {
            Err(TransportError::NoQueue(_)) => break,
            // The broker may still be busy with the end of the connection.
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    let gone = other.inspect(&copied.queues.copy).await;
    assert!(matches!(gone, Err(TransportError::NoQueue(_))), "{gone:?}");
    copied.send(0..1).await;
    assert_eq!(other.inspect(&copied.main).await.unwrap().messages, 1);
}

#[rstest]
#[tokio::test]
async fn an_exchange_that_is_not_there_is_not_made(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let copied = copied(kind).await;
    let nowhere = copied.place.name("nowhere");
    let bindings = copied.queues.bindings(&nowhere, std::slice::from_ref(&copied.topic));
    for _ in 0..2 {
        let refused = copied.session.declare(&bindings).await;
        assert!(matches!(refused, Err(TransportError::Refused(_))), "{refused:?}");
    }
    copied.send(0..1).await;
    assert_eq!(copied.session.inspect(&copied.queues.copy).await.unwrap().messages, 1);
}
