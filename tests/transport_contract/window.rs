//! A consumer whose number of unacknowledged messages follows their sizes.

use super::*;

/// Consumes a queue with this many messages and bytes unacknowledged at most.
async fn consume_bytes(
    session: &Arc<dyn Session>,
    queue: &str,
    (messages, bytes): (u16, u32),
    exclusive: bool,
) -> Box<dyn Consumer> {
    let options = ConsumeOptions {
        prefetch_messages: messages,
        prefetch_bytes: Some(bytes),
        exclusive,
        arguments: BTreeMap::new(),
    };
    timeout(SOON, session.consume(queue, options)).await.unwrap().unwrap()
}

/// Takes a whole window, and sees that it is one.
async fn window(consumer: &mut Box<dyn Consumer>, messages: usize) -> Vec<Delivery> {
    let taken = take(consumer, messages).await;
    assert!(comes_nothing(consumer).await, "more than {messages} came");
    taken
}

#[rstest]
#[tokio::test]
async fn small_messages_come_in_growing_numbers_and_nothing_comes_back(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
    #[values(false, true)] exclusive: bool,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 320).await;
    let mut consumer = consume_bytes(&session, &name, (200, 1 << 20), exclusive).await;
    let mut seen = Vec::new();
    for messages in [20, 80, 200] {
        let taken = window(&mut consumer, messages).await;
        assert!(taken.iter().all(|delivery| !delivery.redelivered && delivery.returns == 0));
        seen.extend(bodies(&taken));
        keep(taken);
    }
    let held = take(&mut consumer, 20).await;
    seen.extend(bodies(&held));
    assert_eq!(seen, (0..320).collect::<Vec<_>>());
    settles_at(&session, &name, 0, 1).await;
    consumer.close().await.unwrap();
    settles_at(&session, &name, 20, 0).await;
    drop(held);
}

#[rstest]
#[tokio::test]
async fn large_messages_come_in_shrinking_numbers(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 100).await;
    for n in 100..500 {
        answer(session.publish(message(&name, &format!("{n:02600}"))).await.unwrap()).await.unwrap();
    }
    let mut consumer = consume_bytes(&session, &name, (80, 100_000), true).await;
    keep(take(&mut consumer, 20).await);
    keep(take(&mut consumer, 80).await);
    for _ in 0..3 {
        keep(take(&mut consumer, 80).await);
    }
    let held = window(&mut consumer, 39).await;
    assert_eq!(bodies(&held), (340..379).collect::<Vec<_>>());
    session.cut();
    let next = place.session().await;
    settles_at(&next, &name, 160, 0).await;
    let mut successor = consume(&next, &name, 200).await;
    assert_eq!(bodies(&take(&mut successor, 160).await), (340..500).collect::<Vec<_>>());
}

#[rstest]
#[tokio::test]
async fn a_held_message_keeps_no_other_one_while_the_number_should_change(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
    #[values(QueueKind::Classic, QueueKind::Quorum)] queue_kind: QueueKind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue_of(place.name("q"), queue_kind), 60).await;
    let mut consumer = consume_bytes(&session, &name, (80, 1 << 20), true).await;
    let held = next(&mut consumer).await;
    keep(take(&mut consumer, 19).await);
    let later = take(&mut consumer, 19).await;
    assert_eq!(bodies(&later), (20..39).collect::<Vec<_>>());
    keep([held]);
    keep(later);
    assert_eq!(bodies(&take(&mut consumer, 21).await), (39..60).collect::<Vec<_>>());
}

#[rstest]
#[tokio::test]
async fn the_queue_of_a_consumer_whose_number_changes_is_deleted(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.filled(&session, queue(place.name("q")), 100).await;
    let mut consumer = consume_bytes(&session, &name, (80, 1 << 20), true).await;
    keep(take(&mut consumer, 20).await);
    let _held = window(&mut consumer, 80).await;
    place.delete(&name).await;
    assert!(is_over(&mut consumer).await);
    assert!(!session.over().is_cancelled());
}
