//! What the agent leans on a broker for, run against the in-process twin and against a real RabbitMQ.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod copies;
mod endings;
mod rate;
mod streams;
mod subscriptions;

use crate::rig;

use crate::rig::Generation;

use futures_util::future::join_all;
use nephoscope::model::Verdict;
use nephoscope::transport::topology::{self, OsloQueues, QueueKind};
use nephoscope::transport::{
    AmqpBroker, AmqpHost, AmqpOptions, Argument, Binding, Broker, Confirmation, ConsumeOptions, Consumer, Delivery,
    Exchange, Login, MemoryBroker, Outgoing, Queue, QueueState, Session, Topology, TransportError,
};
use rstest::rstest;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Longer than any answer takes.
const SOON: Duration = Duration::from_secs(10);
/// Long enough for what must not come to come.
const A_WHILE: Duration = Duration::from_millis(150);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Twin,
    /// RabbitMQ 3.
    Three,
    /// RabbitMQ 4.
    Four,
}

impl Kind {
    /// None is the twin.
    fn generation(self) -> Option<Generation> {
        match self {
            Kind::Twin => None,
            Kind::Three => Some(Generation::Three),
            Kind::Four => Some(Generation::Four),
        }
    }
}

/// One test's broker and names.
struct Place {
    broker: Arc<dyn Broker>,
    twin: Option<MemoryBroker>,
    port: u16,
    tag: String,
}

impl Place {
    fn new(kind: Kind) -> Place {
        Place::on(kind.generation().map(rig::rabbitmq_of))
    }

    /// Where transient queues are allowed.
    fn with_deprecated(kind: Kind) -> Place {
        Place::on(kind.generation().map(rig::rabbitmq_with_deprecated))
    }

    /// None is the twin.
    fn on(rabbit: Option<rig::Rabbit>) -> Place {
        let tag = uuid::Uuid::new_v4().simple().to_string();
        match rabbit {
            None => {
                let twin = MemoryBroker::default();
                Place { broker: Arc::new(twin.clone()), twin: Some(twin), port: 0, tag }
            }
            Some(rabbit) => {
                let port = rabbit.port;
                Place { broker: Arc::new(amqp(port, Login::AmqPlain)), twin: None, port, tag }
            }
        }
    }

    fn name(&self, name: &str) -> String {
        format!("contract.{name}.{}", self.tag)
    }

    async fn session(&self) -> Arc<dyn Session> {
        timeout(SOON, self.broker.connect()).await.unwrap().unwrap()
    }

    async fn delete(&self, queue: &str) {
        if let Some(twin) = &self.twin {
            assert!(twin.delete_queue(queue));
            return;
        }
        let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port);
        let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default()).await.unwrap();
        connection.close(200, "OK".into()).await.unwrap();
    }

    /// A fresh queue with this many messages, `0` first.
    async fn filled(&self, session: &Arc<dyn Session>, queue: Queue, messages: usize) -> String {
        let name = queue.name.clone();
        session.declare(&Topology { queues: vec![queue], ..Topology::default() }).await.unwrap();
        fill(session, &name, 0..messages).await;
        name
    }
}

fn amqp(port: u16, login: Login) -> AmqpBroker {
    AmqpBroker::new(AmqpOptions { login, ..AmqpOptions::to_host(AmqpHost::guest("127.0.0.1", port), "/") })
}

fn queue(name: String) -> Queue {
    Queue {
        name,
        durable: true,
        auto_delete: false,
        exclusive: false,
        arguments: BTreeMap::new(),
        fallback_transient: false,
    }
}

/// Of either kind, as a main queue: more than one consumer may be active.
fn queue_of(name: String, kind: QueueKind) -> Queue {
    let arguments = topology::pipeline_queue(name.clone(), kind).arguments;
    let shared = arguments.into_iter().filter(|(name, _)| name != "x-single-active-consumer").collect();
    Queue { arguments: shared, ..queue(name) }
}

fn exchange(name: String, durable: bool) -> Exchange {
    Exchange { name, durable, auto_delete: false, fallback_transient: durable }
}

fn message(to: &str, body: &str) -> Outgoing {
    Outgoing {
        exchange: String::new(),
        routing_key: to.to_owned(),
        body: body.to_owned().into(),
        content_type: "application/json",
        headers: BTreeMap::new(),
        alone: false,
    }
}

async fn fill(session: &Arc<dyn Session>, queue: &str, bodies: std::ops::Range<usize>) {
    let mut confirmations = Vec::new();
    for n in bodies {
        confirmations.push(session.publish(message(queue, &n.to_string())).await.unwrap());
    }
    for confirmation in confirmations {
        confirmation.wait().await.unwrap();
    }
}

async fn consume(session: &Arc<dyn Session>, queue: &str, prefetch_messages: u16) -> Box<dyn Consumer> {
    try_consume(session, queue, prefetch_messages, false).await.unwrap()
}

async fn try_consume(
    session: &Arc<dyn Session>,
    queue: &str,
    prefetch_messages: u16,
    exclusive: bool,
) -> Result<Box<dyn Consumer>, TransportError> {
    let options = ConsumeOptions { prefetch_messages, exclusive, arguments: BTreeMap::new() };
    timeout(SOON, session.consume(queue, options)).await.unwrap()
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    timeout(SOON, consumer.next()).await.expect("no delivery came").expect("the consumer is over")
}

async fn take(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(next(consumer).await);
    }
    taken
}

async fn comes_nothing(consumer: &mut Box<dyn Consumer>) -> bool {
    timeout(A_WHILE, consumer.next()).await.is_err()
}

async fn is_over(consumer: &mut Box<dyn Consumer>) -> bool {
    timeout(SOON, consumer.next()).await.expect("the consumer goes on").is_none()
}

fn bodies(deliveries: &[Delivery]) -> Vec<usize> {
    deliveries.iter().map(|d| std::str::from_utf8(&d.body).unwrap().parse().unwrap()).collect()
}

fn keep(deliveries: impl IntoIterator<Item = Delivery>) {
    deliveries.into_iter().for_each(|delivery| delivery.receipt.settle(Verdict::Kept));
}

/// Waits for the broker's numbers to become these: it counts late.
async fn settles_at(session: &Arc<dyn Session>, queue: &str, messages: u32, consumers: u32) {
    let wanted = QueueState { messages, consumers };
    let mut seen = session.inspect(queue).await.unwrap();
    for _ in 0..200 {
        if seen == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        seen = session.inspect(queue).await.unwrap();
    }
    panic!("{queue}: expected {wanted:?}, there is {seen:?}");
}

fn why(error: &TransportError) -> &'static str {
    match error {
        TransportError::NotTaken { why, .. } => why,
        other => panic!("expected NotTaken, got {other}"),
    }
}

type Answer = Result<(), TransportError>;

async fn answer(confirmation: Confirmation) -> Answer {
    timeout(SOON, confirmation.wait()).await.unwrap()
}

#[rstest]
#[tokio::test]
async fn what_is_declared_twice_stays(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::with_deprecated(kind);
    let session = place.session().await;
    let exchanges = [place.name("nova"), place.name("glance")];
    let topics = [place.name("notifications")];
    let topology = topology::main_queues(&exchanges, &topics, &OsloQueues::default());
    session.declare(&topology).await.unwrap();
    session.declare(&topology).await.unwrap();
    let info = format!("{}.info", topics[0]);
    let outgoing = Outgoing { exchange: exchanges[1].clone(), ..message(&info, "1") };
    answer(session.publish(outgoing).await.unwrap()).await.unwrap();
    settles_at(&session, &info, 1, 0).await;
    settles_at(&session, &format!("{}.error", topics[0]), 0, 0).await;
}

#[rstest]
#[tokio::test]
async fn a_transient_exchange_where_a_durable_one_is_wanted(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::with_deprecated(kind);
    let session = place.session().await;
    let (nova, topic) = (place.name("nova"), place.name("notifications"));
    let there = Topology { exchanges: vec![exchange(nova.clone(), false)], ..Topology::default() };
    session.declare(&there).await.unwrap();
    let durable = OsloQueues { durable: true, ..OsloQueues::default() };
    session
        .declare(&topology::main_queues(std::slice::from_ref(&nova), std::slice::from_ref(&topic), &durable))
        .await
        .unwrap();
    // As oslo.messaging does: the queue fell back with its exchange, so that declaring it as transient changes nothing.
    let transient = Queue { durable: false, ..queue(format!("{topic}.info")) };
    session.declare(&Topology { queues: vec![transient], ..Topology::default() }).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_queue_that_differs_in_more_than_durable_is_refused(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 1).await;
    let mut other = Queue { fallback_transient: true, ..queue_of(name.clone(), queue_kind) };
    other.arguments.insert("x-max-length".to_owned(), Argument::Integer(3));
    let error = session.declare(&Topology { queues: vec![other], ..Topology::default() }).await.unwrap_err();
    assert!(matches!(&error, TransportError::Differs { why, .. } if why.contains("x-max-length")), "{error}");
    assert!(!session.over().is_cancelled(), "a refused declaration costs a channel, not the session");
    settles_at(&session, &name, 1, 0).await;
}

#[rstest]
#[tokio::test]
async fn a_consumer_holds_no_more_than_its_prefetch(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 10).await;
    let mut consumer = consume(&session, &name, 3).await;
    let mut held = take(&mut consumer, 3).await;
    assert!(comes_nothing(&mut consumer).await && consumer.ready().is_none());
    keep([held.remove(0)]);
    held.push(next(&mut consumer).await);
    assert_eq!(bodies(&held), [1, 2, 3]);
    assert!(comes_nothing(&mut consumer).await);
}

/// What a listener looks at that would take another prefetch: a classic queue may be declared as one, whether its type was named
/// or not, and no other may.
#[rstest]
#[tokio::test]
async fn only_a_classic_queue_can_be_declared_as_one(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(None, Some("classic"), Some("quorum"))] queue_type: Option<&str>,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let of_type = |queue_type: Option<&str>| {
        let argument = queue_type.map(|text| ("x-queue-type".to_owned(), Argument::Text(text.to_owned())));
        Queue { arguments: argument.into_iter().collect(), ..queue(place.name("q")) }
    };
    let name = place.filled(&session, of_type(queue_type), 1).await;
    let again = session.declare(&Topology { queues: vec![of_type(Some("classic"))], ..Topology::default() }).await;
    match queue_type {
        Some("quorum") => assert!(matches!(&again, Err(TransportError::Differs { .. })), "{again:?}"),
        _ => again.unwrap(),
    }
    settles_at(&session, &name, 1, 0).await;
}

/// A listener that is killed may be followed by one with a smaller prefetch, which is killed too. Of a quorum queue this is not
/// true: RabbitMQ puts what comes back behind the rest of what had come back before.
#[rstest]
#[tokio::test]
async fn what_comes_back_to_a_classic_queue_keeps_its_place_whatever_the_prefetch(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), QueueKind::Classic), 200).await;
    for prefetch in [100, 10, 40, 3] {
        let other = place.session().await;
        let mut consumer = consume(&other, &name, prefetch).await;
        let held = take(&mut consumer, usize::from(prefetch)).await;
        assert_eq!(bodies(&held), (0..usize::from(prefetch)).collect::<Vec<_>>());
        other.cut();
        settles_at(&session, &name, 200, 0).await;
    }
}

#[rstest]
#[tokio::test]
async fn a_closed_consumer_gives_back_in_order(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 8).await;
    let mut first = consume(&session, &name, 5).await;
    let mut held = take(&mut first, 5).await;
    assert!(held.iter().all(|d| !d.redelivered));
    keep(held.drain(..2));
    first.close().await.unwrap();
    keep(held);
    let mut second = consume(&session, &name, 100).await;
    let again = take(&mut second, 6).await;
    assert_eq!(bodies(&again), [2, 3, 4, 5, 6, 7]);
    let redelivered: Vec<bool> = again.iter().map(|d| d.redelivered).collect();
    assert_eq!(redelivered[..3], [true; 3]);
}

#[rstest]
#[tokio::test]
async fn a_cut_session_gives_back_in_order_and_its_receipts_mean_nothing(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 6).await;
    let fenced = place.session().await;
    let mut consumer = consume(&fenced, &name, 4).await;
    let held = take(&mut consumer, 4).await;
    fenced.cut();
    assert!(fenced.over().is_cancelled() && is_over(&mut consumer).await);
    assert!(matches!(fenced.publish(message(&name, "x")).await, Err(TransportError::Away { .. })));
    keep(held);
    settles_at(&session, &name, 6, 0).await;
    let mut successor = consume(&session, &name, 100).await;
    assert_eq!(bodies(&take(&mut successor, 6).await), [0, 1, 2, 3, 4, 5]);
}

#[rstest]
#[tokio::test]
async fn a_returned_delivery_ends_the_consumer_and_all_unsettled_come_back_in_order(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 6).await;
    let mut consumer = consume(&session, &name, 4).await;
    let mut held = take(&mut consumer, 4).await;
    held.remove(2).receipt.settle(Verdict::Returned);
    assert!(is_over(&mut consumer).await);
    keep(held);
    settles_at(&session, &name, 6, 0).await;
    let mut successor = consume(&session, &name, 100).await;
    assert_eq!(bodies(&take(&mut successor, 6).await), [0, 1, 2, 3, 4, 5]);
    assert!(!session.over().is_cancelled());
}

#[rstest]
#[tokio::test]
async fn a_forgotten_delivery_comes_back(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 1).await;
    let mut consumer = consume(&session, &name, 4).await;
    drop(next(&mut consumer).await);
    assert!(is_over(&mut consumer).await);
    assert!(next(&mut consume(&session, &name, 4).await).await.redelivered);
}

#[rstest]
#[tokio::test]
async fn settled_in_any_order_nothing_stays_unacknowledged(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 500).await;
    let mut consumer = consume(&session, &name, 200).await;
    let mut taken = 0;
    while taken < 500 {
        let mut batch = vec![next(&mut consumer).await];
        while let Some(further) = consumer.ready() {
            batch.push(further);
        }
        taken += batch.len();
        // The last first, and every third parked.
        for (n, delivery) in batch.into_iter().rev().enumerate() {
            delivery.receipt.settle(if n % 3 == 0 { Verdict::Parked } else { Verdict::Kept });
        }
    }
    tokio::time::sleep(A_WHILE).await;
    session.cut();
    let session = place.session().await;
    settles_at(&session, &name, 0, 0).await;
}

#[rstest]
#[tokio::test]
async fn a_session_closed_in_order_keeps_what_is_settled(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 5).await;
    let leaving = place.session().await;
    let mut consumer = consume(&leaving, &name, 5).await;
    let mut held = take(&mut consumer, 5).await;
    keep(held.drain(..3));
    timeout(SOON, leaving.close()).await.unwrap();
    assert!(leaving.over().is_cancelled() && is_over(&mut consumer).await);
    settles_at(&session, &name, 2, 0).await;
    assert_eq!(bodies(&take(&mut consume(&session, &name, 5).await, 2).await), [3, 4]);
}

#[rstest]
#[tokio::test]
async fn a_queue_consumed_exclusively_is_occupied(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let (session, other) = (place.session().await, place.session().await);
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 1).await;
    let owner = try_consume(&session, &name, 5, true).await.unwrap();
    // A quorum queue knows no exclusive consumer: who does not ask is let in.
    let asks: &[bool] = if queue_kind == QueueKind::Classic { &[true, false] } else { &[true] };
    for exclusive in asks.iter().copied() {
        let refused = try_consume(&other, &name, 5, exclusive).await;
        assert!(matches!(refused, Err(TransportError::Occupied(queue)) if queue == name));
    }
    owner.close().await.unwrap();
    next(&mut try_consume(&other, &name, 5, true).await.unwrap()).await.receipt.settle(Verdict::Kept);
}

#[rstest]
#[tokio::test]
async fn a_single_active_consumer_hands_over_when_its_channel_closes(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
    #[values(true, false)] cut: bool,
) {
    let place = Place::new(kind);
    let (session, other) = (place.session().await, place.session().await);
    let single = topology::pipeline_queue(place.name("q"), queue_kind);
    let name = place.filled(&session, single, 6).await;
    let mut active = consume(&session, &name, 3).await;
    let mut waiting = consume(&other, &name, 3).await;
    let held = take(&mut active, 3).await;
    assert!(comes_nothing(&mut waiting).await);
    if cut {
        session.cut();
    } else {
        active.close().await.unwrap();
    }
    let taken = take(&mut waiting, 3).await;
    assert_eq!(bodies(&taken), [0, 1, 2]);
    keep(held);
    keep(taken);
    assert_eq!(bodies(&take(&mut waiting, 3).await), [3, 4, 5]);
}

#[rstest]
#[tokio::test]
async fn a_message_nobody_would_get_is_a_failure(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::new(kind);
    let session = place.session().await;
    let nova = place.name("nova");
    session.declare(&Topology { exchanges: vec![exchange(nova.clone(), false)], ..Topology::default() }).await.unwrap();
    let nowhere = session.publish(message(&place.name("nowhere"), "1")).await.unwrap();
    let unbound = session.publish(Outgoing { exchange: nova, ..message("notifications.info", "1") }).await.unwrap();
    assert_eq!(why(&answer(nowhere).await.unwrap_err()), "unroutable");
    assert_eq!(why(&answer(unbound).await.unwrap_err()), "unroutable");
    let name = place.filled(&session, queue(place.name("q")), 1).await;
    settles_at(&session, &name, 1, 0).await;
}

#[rstest]
#[tokio::test]
async fn a_message_to_an_exchange_that_is_gone_ends_the_session(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let gone = Outgoing { exchange: place.name("gone"), ..message("notifications.info", "1") };
    let said = match session.publish(gone).await {
        Ok(confirmation) => answer(confirmation).await,
        Err(error) => Err(error),
    };
    assert!(matches!(said, Err(TransportError::Away { .. })), "{said:?}");
    timeout(SOON, session.over().cancelled()).await.unwrap();
}

/// RabbitMQ 4 takes 16 MiB; the twin is told.
#[rstest]
#[tokio::test]
async fn a_message_that_is_too_large_is_rejected_and_nothing_else_is_touched(
    #[values(Kind::Twin, Kind::Four)] kind: Kind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue(place.name("q")), 1).await;
    let mut consumer = consume(&session, &name, 0).await;
    let before = take(&mut consumer, 1).await;
    if let Some(twin) = &place.twin {
        twin.limit_message_bytes(Some(1 << 20));
    }
    for alone in [false, true] {
        let large = Outgoing { body: vec![b'x'; 17 << 20].into(), alone, ..message(&name, "") };
        let said = answer(session.publish(large).await.unwrap()).await;
        assert!(matches!(&said, Err(TransportError::Rejected { too_large: true, .. })), "{said:?}");
        fill(&session, &name, 0..2).await;
        answer(session.publish(message(&name, "2").alone()).await.unwrap()).await.unwrap();
    }
    assert!(!session.over().is_cancelled());
    let after = take(&mut consumer, 6).await;
    assert!(before.iter().chain(&after).all(|delivery| !delivery.redelivered), "nothing came back");
}

/// The one that is refused takes those with it that were on their way; offered again alone, it takes none.
#[rstest]
#[tokio::test]
async fn what_is_rejected_again_and_again_alone_stops_nobody(
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(Kind::Four);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 0).await;
    let mut large = Vec::new();
    for _ in 0..3 {
        let body = vec![b'x'; 17 << 20].into();
        large.push(session.publish(Outgoing { body, ..message(&name, "") }.alone()).await.unwrap());
        fill(&session, &name, 0..100).await;
    }
    for rejected in large {
        assert!(matches!(answer(rejected).await, Err(TransportError::Rejected { .. })));
    }
    settles_at(&session, &name, 300, 0).await;
}

#[rstest]
#[tokio::test]
async fn a_full_queue_refuses_and_forgets_nothing(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let parked = topology::parking_queue(&place.name("group"), queue_kind, 3);
    let name = place.filled(&session, parked, 3).await;
    // A quorum queue may take a few more until it knows that it is full.
    let mut taken = 3;
    let refused = loop {
        match answer(session.publish(message(&name, &taken.to_string())).await.unwrap()).await {
            Ok(()) if queue_kind == QueueKind::Quorum && taken < 10 => taken += 1,
            said => break said,
        }
    };
    assert_eq!(why(&refused.unwrap_err()), "nacked");
    let all: Vec<usize> = (0..taken).collect();
    assert_eq!(bodies(&take(&mut consume(&session, &name, 10).await, taken).await), all);
}

/// Of queues that are there and queues that are not; some who look go before they have the answer.
#[rstest]
#[tokio::test]
async fn many_look_at_queues_at_once(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), QueueKind::Classic), 3).await;
    let gone = place.name("gone");
    for _ in 0..3 {
        for queue in [&name, &gone] {
            let _unheard = timeout(Duration::ZERO, session.inspect(queue)).await;
        }
        let looks = (0..12).map(|n| session.inspect(if n % 3 == 0 { &gone } else { &name }));
        for (n, found) in timeout(SOON, join_all(looks)).await.unwrap().into_iter().enumerate() {
            match found {
                Ok(found) => assert_eq!((n % 3 != 0, found.messages, found.consumers), (true, 3, 0)),
                Err(error) => assert!(n % 3 == 0 && matches!(error, TransportError::NoQueue(_)), "{n}: {error}"),
            }
        }
    }
    assert!(!session.over().is_cancelled());
}

/// RabbitMQ says of a classic queue that it is not there while its node is not.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_ours_is_there_without_the_node_that_it_was_made_on(
    #[values(Generation::Three, Generation::Four)] generation: Generation,
) {
    let cluster = tokio::task::block_in_place(|| rig::rabbitmq_cluster_of(generation));
    let queues = vec![
        topology::parking_queue("group", QueueKind::Quorum, 3),
        topology::pipeline_queue("pipeline".to_owned(), QueueKind::Quorum),
        topology::state_log("pipeline.state".to_owned(), 1 << 20, 1 << 19),
    ];
    let ours = Topology { queues, ..Topology::default() };
    let session = amqp(cluster.members[0].port, Login::AmqPlain).connect().await.unwrap();
    session.declare(&ours).await.unwrap();
    let classic = vec![topology::pipeline_queue("classic".to_owned(), QueueKind::Classic)];
    session.declare(&Topology { queues: classic, ..Topology::default() }).await.unwrap();
    cluster.members[0].kill();
    timeout(SOON, session.over().cancelled()).await.unwrap();
    let session = amqp(cluster.members[1].port, Login::AmqPlain).connect().await.unwrap();
    session.declare(&ours).await.unwrap();
    assert!(matches!(session.inspect("none").await, Err(TransportError::NoQueue(_))));
    // Gone is another thing than away: what is gone is done with. RabbitMQ 4 looks for it for 64 s, longer than we wait.
    let (looked, beside) = tokio::join!(join_all((0..8).map(|_| session.inspect("classic"))), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        timeout(SOON, session.inspect("pipeline")).await
    });
    let looked = &looked[0];
    let away = |queue: &str, why: &str| queue == "classic" && why.contains("down");
    assert!(matches!(looked, Err(TransportError::QueueAway { queue, why }) if away(queue, why)), "{looked:?}");
    assert!(beside.is_ok_and(|found| found.is_ok()), "another queue is looked at meanwhile");
    assert!(session.delete_if_idle("classic").await.is_err());
    if generation == Generation::Four {
        // What it says of it when nobody listens any more closes a channel, and not the session.
        assert!(timeout(Duration::from_secs(70), session.over().cancelled()).await.is_err());
        session.declare(&ours).await.unwrap();
    }
}

#[rstest]
#[tokio::test]
async fn messages_of_one_session_arrive_in_order_and_are_confirmed_though_nobody_waits(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 0).await;
    // More than the window has places, every second confirmation thrown away, the others held to the end.
    let mut held = Vec::new();
    for n in 0..3_000 {
        let confirmation = timeout(SOON, session.publish(message(&name, &n.to_string()))).await.unwrap().unwrap();
        if n % 2 == 0 {
            held.push(confirmation);
        }
    }
    for confirmation in held {
        answer(confirmation).await.unwrap();
    }
    let taken = take(&mut consume(&session, &name, 0).await, 1_000).await;
    assert_eq!(bodies(&taken), (0..1_000).collect::<Vec<_>>());
}

#[rstest]
#[tokio::test]
async fn a_deleted_queue_ends_its_consumer(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 2).await;
    let mut consumer = consume(&session, &name, 1).await;
    let held = next(&mut consumer).await;
    place.delete(&name).await;
    assert!(is_over(&mut consumer).await);
    held.receipt.settle(Verdict::Kept);
    assert!(matches!(session.inspect(&name).await, Err(TransportError::NoQueue(_))));
    assert!(matches!(try_consume(&session, &name, 1, false).await, Err(TransportError::NoQueue(_))));
    assert!(!session.over().is_cancelled());
}

#[rstest]
#[tokio::test]
async fn only_an_idle_queue_is_deleted(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, topology::pipeline_queue(place.name("q"), queue_kind), 1).await;
    settles_at(&session, &name, 1, 0).await;
    assert!(!session.delete_if_idle(&name).await.unwrap());
    let mut consumer = consume(&session, &name, 1).await;
    keep([next(&mut consumer).await]);
    settles_at(&session, &name, 0, 1).await;
    assert!(!session.delete_if_idle(&name).await.unwrap());
    consumer.close().await.unwrap();
    settles_at(&session, &name, 0, 0).await;
    assert!(session.delete_if_idle(&name).await.unwrap());
    assert!(session.delete_if_idle(&name).await.unwrap(), "gone is gone");
}

#[rstest]
#[tokio::test]
async fn headers_and_packed_bodies_come_through(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 0).await;
    let headers = |method: &str| BTreeMap::from([("compression".to_owned(), method.to_owned())]);
    // zlib.compress(b"123")
    let zlib: &[u8] = b"x\x9c342\x06\x00\x01-\x00\x97";
    let packed = Outgoing { body: zlib.into(), headers: headers("application/x-gzip"), ..message(&name, "") };
    answer(session.publish(packed).await.unwrap()).await.unwrap();
    answer(session.publish(Outgoing { headers: headers("zstd"), ..message(&name, "?") }).await.unwrap()).await.unwrap();
    let mut consumer = consume(&session, &name, 5).await;
    let deliveries = take(&mut consumer, 2).await;
    assert_eq!((&*deliveries[0].body, &deliveries[0].packed), (&b"123"[..], &None));
    assert_eq!(deliveries[0].content_type.as_deref(), Some("application/json"));
    assert!(deliveries[1].packed.is_some() && &*deliveries[1].body == b"?");
    assert_eq!(deliveries[1].headers, headers("zstd"));
}

#[rstest]
#[tokio::test]
async fn bodies_of_many_frames_come_whole(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 0).await;
    // About a frame, and more than lapin holds at once.
    let lengths = [0, 1, 32 * 1024 - 8, 32 * 1024 - 7, 300_000, 5_000_000, 2];
    let body = |length: usize| (0..length).map(|at| b'a' + u8::try_from(at * at % 23).unwrap()).collect::<Vec<_>>();
    for length in lengths {
        let large = Outgoing { body: body(length).into(), ..message(&name, "") };
        answer(session.publish(large).await.unwrap()).await.unwrap();
    }
    let mut consumer = consume(&session, &name, 0).await;
    for (length, delivery) in lengths.into_iter().zip(take(&mut consumer, lengths.len()).await) {
        assert!(*delivery.body == *body(length), "{length} bytes came as {}", delivery.body.len());
    }
}

/// lapin's buffers are 64 frames a connection.
#[rstest]
#[tokio::test]
async fn a_connection_agrees_on_frames_of_32_kib(
    #[values(Generation::Three, Generation::Four)] generation: Generation,
) {
    let rabbit = rig::rabbitmq_of(generation);
    let connection_name = uuid::Uuid::new_v4().to_string();
    let options = AmqpOptions::to_host(AmqpHost::guest("127.0.0.1", rabbit.port), "/");
    let session = AmqpBroker::new(AmqpOptions { connection_name: connection_name.clone(), ..options }).connect().await;
    let shown = rabbit.ctl(&["list_connections", "--no-table-headers", "frame_max", "client_properties"]);
    let ours = shown.lines().find(|line| line.contains(&connection_name)).expect(&shown);
    assert!(ours.starts_with("32768\t"), "{ours}");
    session.unwrap().close().await;
}

#[rstest]
#[case(Login::AmqPlain)]
#[case(Login::Plain)]
#[tokio::test]
async fn a_rabbitmq_lets_us_in_or_says_why_not(
    #[case] login: Login,
    #[values(Generation::Three, Generation::Four)] generation: Generation,
) {
    let port = rig::rabbitmq_of(generation).port;
    amqp(port, login).connect().await.unwrap().close().await;
    let wrong = AmqpHost { password: "wrong".to_owned(), ..AmqpHost::guest("127.0.0.1", port) };
    let options = AmqpOptions { login, ..AmqpOptions::to_host(wrong, "/") };
    let error = AmqpBroker::new(options).connect().await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(_)), "{error}");
    let options = AmqpOptions { login, ..AmqpOptions::to_host(AmqpHost::guest("127.0.0.1", port), "no-such-vhost") };
    let error = AmqpBroker::new(options).connect().await.err().unwrap();
    assert!(matches!(error, TransportError::Refused(_)), "{error}");
}

#[tokio::test]
async fn hosts_are_tried_in_rotation() {
    let port = rig::rabbitmq().port;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hosts = vec![AmqpHost::guest("127.0.0.1", nobody), AmqpHost::guest("localhost", port)];
    let options = AmqpOptions { hosts, shuffle: false, ..AmqpOptions::to_host(AmqpHost::guest("", 0), "") };
    let broker = AmqpBroker::new(options);
    let away = broker.connect().await.err().unwrap();
    assert!(matches!(away, TransportError::Away { .. }), "{away}");
    broker.connect().await.unwrap();
    broker.connect().await.err().unwrap();
}

#[rstest]
#[tokio::test]
async fn a_binding_that_is_bound_to_patterns(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::new(kind);
    let session = place.session().await;
    let (nova, name) = (place.name("nova"), place.name("q"));
    let bind = |key: &str| Binding { exchange: nova.clone(), queue: name.clone(), routing_key: key.to_owned() };
    let topology = Topology {
        exchanges: vec![exchange(nova.clone(), false)],
        queues: vec![queue(name.clone())],
        bindings: vec![bind("*.info"), bind("audit.#")],
    };
    session.declare(&topology).await.unwrap();
    for (key, arrives) in [("a.info", true), ("a.b.info", false), ("audit", true), ("audit.info", true)] {
        let sent = session.publish(Outgoing { exchange: nova.clone(), ..message(key, "1") }).await.unwrap();
        assert_eq!(answer(sent).await.is_ok(), arrives, "{key}");
    }
    settles_at(&session, &name, 3, 0).await;
}

/// Everything goes on where a broker is shut down and comes back: durable queues with what is in them, and no others.
#[tokio::test]
async fn the_twin_forgets_on_restart_what_is_not_durable() {
    let place = Place::new(Kind::Twin);
    let (twin, session) = (place.twin.clone().unwrap(), place.session().await);
    let kept = place.filled(&session, queue(place.name("kept")), 2).await;
    place.filled(&session, Queue { durable: false, ..queue(place.name("lost")) }, 2).await;
    let mut consumer = consume(&session, &kept, 1).await;
    let held = next(&mut consumer).await;
    twin.stop();
    assert!(is_over(&mut consumer).await);
    assert!(place.broker.connect().await.is_err());
    twin.start();
    keep([held]);
    let left: Vec<_> = twin.queues().into_iter().map(|q| (q.name, q.ready, q.unacked, q.consumers)).collect();
    assert_eq!(left, [(kept, 2, 0, 0)]);
}

#[rstest]
#[tokio::test]
async fn a_cancelled_consumer_keeps_what_it_has_and_gets_nothing_that_another_gives_back(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 7).await;
    let mut first = consume(&session, &name, 3).await;
    let held = take(&mut first, 3).await;
    let mut second = consume(&session, &name, 10).await;
    let mut kept = take(&mut second, 4).await;
    second.cancel().await;
    first.close().await.unwrap();
    keep(held);
    assert!(comes_nothing(&mut second).await);
    // A quorum queue still counts it as a consumer.
    assert_eq!(session.inspect(&name).await.unwrap().messages, 3);
    // What it has it can still settle.
    let left = kept.split_off(1);
    keep(kept);
    tokio::time::sleep(Duration::from_millis(200)).await;
    second.close().await.unwrap();
    keep(left);
    settles_at(&session, &name, 6, 0).await;
}
