//! A queue of one session's own that hears an exchange: bounded, gone with its consumer, and nobody waits for who is slow.

use nephoscope::transport::{Subscription, UNROUTABLE};

use super::*;

/// Messages that wait, at most, and as many that the consumer has.
const MOST: usize = 4;

async fn tell(session: &Arc<dyn Session>, exchange: &str, n: usize) -> Answer {
    let to = Outgoing { exchange: exchange.to_owned(), ..message(topology::BEAT_KEY, &n.to_string()) };
    answer(session.publish(to).await.unwrap()).await
}

#[rstest]
#[tokio::test]
async fn who_hears_slowly_misses_the_oldest_and_holds_nobody_up(
    #[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind,
) {
    let place = Place::new(kind);
    let group = place.name("g");
    let (telling, hearing) = (place.session().await, place.session().await);
    telling.declare(&topology::desk_exchange(&group)).await.unwrap();
    let exchange = topology::desk_exchange_name(&group);
    assert_eq!(why(&tell(&telling, &exchange, 0).await.unwrap_err()), UNROUTABLE);
    let bounds = topology::desk_subscription(&group, "w");
    let subscription = Subscription { messages_max: 4, prefetch_messages: 4, ..bounds };
    let mut consumer = hearing.subscribe(&subscription).await.unwrap();
    for n in 0..20 {
        tell(&telling, &exchange, n).await.unwrap();
    }
    let first = take(&mut consumer, MOST).await;
    assert_eq!(bodies(&first), [0, 1, 2, 3]);
    keep(first);
    let newest = take(&mut consumer, MOST).await;
    assert_eq!(bodies(&newest), [16, 17, 18, 19]);
    keep(newest);
    // It goes with its consumer.
    consumer.close().await.unwrap();
    let mut told = tell(&telling, &exchange, 20).await;
    for _ in 0..100 {
        if told.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        told = tell(&telling, &exchange, 20).await;
    }
    assert_eq!(why(&told.unwrap_err()), UNROUTABLE);
    assert!(!telling.over().is_cancelled());
}
