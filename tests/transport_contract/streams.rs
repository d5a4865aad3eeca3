//! What a state log leans on a stream for.

use super::{A_WHILE, Kind, Place, SOON, answer, message};
use nephoscope::transport::topology;
use nephoscope::transport::{Follower, Session, StreamRecord, StreamStart, Topology, TransportError};
use rstest::rstest;
use std::sync::Arc;
use tokio::time::timeout;

/// A fresh stream with these records.
async fn stream(place: &Place, session: &Arc<dyn Session>, records: std::ops::Range<usize>) -> String {
    let name = place.name("state");
    declare(session, &name, 100_000_000, 1_000_000).await.unwrap();
    super::fill(session, &name, records).await;
    name
}

async fn declare(
    session: &Arc<dyn Session>,
    name: &str,
    bytes_max: i64,
    segment_bytes: i64,
) -> Result<(), TransportError> {
    let queues = vec![topology::state_log(name.to_owned(), bytes_max, segment_bytes)];
    session.declare(&Topology { queues, ..Topology::default() }).await
}

async fn follow(session: &Arc<dyn Session>, name: &str, start: StreamStart) -> Box<dyn Follower> {
    timeout(SOON, session.follow(name, start)).await.unwrap().unwrap()
}

async fn read(follower: &mut Box<dyn Follower>, count: usize) -> Vec<(u64, String)> {
    let mut records = Vec::new();
    for _ in 0..count {
        let StreamRecord { offset, body } =
            timeout(SOON, follower.next()).await.expect("no record came").expect("the follower is over");
        records.push((offset, String::from_utf8(body.to_vec()).unwrap()));
    }
    records
}

async fn comes_nothing(follower: &mut Box<dyn Follower>) -> bool {
    timeout(A_WHILE, follower.next()).await.is_err()
}

fn numbered(offsets: std::ops::Range<usize>) -> Vec<(u64, String)> {
    offsets.map(|n| (n as u64, n.to_string())).collect()
}

#[rstest]
#[tokio::test]
async fn records_are_read_in_order_as_often_as_one_likes(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = stream(&place, &session, 0..500).await;
    let (mut one, mut other) =
        (follow(&session, &name, StreamStart::First).await, follow(&session, &name, StreamStart::First).await);
    assert_eq!(read(&mut one, 500).await, numbered(0..500));
    // What is appended meanwhile comes as well.
    super::fill(&session, &name, 500..520).await;
    assert_eq!(read(&mut one, 20).await, numbered(500..520));
    assert!(comes_nothing(&mut one).await);
    one.close().await.unwrap();
    assert_eq!(read(&mut other, 520).await, numbered(0..520));
    session.close().await;
    assert!(timeout(SOON, other.next()).await.unwrap().is_none(), "a follower ends with its session");
    let session = place.session().await;
    let mut anew = follow(&session, &name, StreamStart::First).await;
    assert_eq!(read(&mut anew, 520).await, numbered(0..520));
}

#[rstest]
#[tokio::test]
async fn a_follower_begins_where_it_is_told(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = stream(&place, &session, 0..40).await;
    // In the middle of what the broker stores as one chunk.
    let mut middle = follow(&session, &name, StreamStart::Offset(17)).await;
    assert_eq!(read(&mut middle, 23).await, numbered(17..40));
    let mut next = follow(&session, &name, StreamStart::Next).await;
    assert!(comes_nothing(&mut next).await);
    super::fill(&session, &name, 40..41).await;
    assert_eq!(read(&mut next, 1).await, numbered(40..41));
    let mut ahead = follow(&session, &name, StreamStart::Offset(42)).await;
    assert!(comes_nothing(&mut ahead).await);
    super::fill(&session, &name, 41..43).await;
    assert_eq!(read(&mut ahead, 1).await, numbered(42..43));
}

/// A future that is dropped while it waits must not take a record with it.
#[rstest]
#[tokio::test]
async fn waiting_may_be_given_up(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = stream(&place, &session, 0..0).await;
    let mut follower = follow(&session, &name, StreamStart::First).await;
    for n in 0..5 {
        assert!(timeout(std::time::Duration::from_millis(5), follower.next()).await.is_err());
        super::fill(&session, &name, n..n + 1).await;
        assert_eq!(read(&mut follower, 1).await, numbered(n..n + 1));
    }
}

#[rstest]
#[tokio::test]
async fn a_deleted_stream_ends_its_followers(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = stream(&place, &session, 0..3).await;
    let mut follower = follow(&session, &name, StreamStart::First).await;
    read(&mut follower, 3).await;
    session.delete(&name).await.unwrap();
    assert!(timeout(SOON, follower.next()).await.unwrap().is_none());
    session.delete(&name).await.expect("gone is gone");
    let lost = answer(session.publish(message(&name, "1")).await.unwrap()).await;
    assert!(matches!(lost, Err(TransportError::NotTaken { .. })), "{lost:?}");
    let missing = session.follow(&name, StreamStart::First).await.err().unwrap();
    assert!(matches!(missing, TransportError::NoQueue(_)), "{missing}");
    assert!(!session.over().is_cancelled());
}

#[rstest]
#[tokio::test]
async fn a_stream_is_declared_again_only_as_it_is(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = stream(&place, &session, 0..1).await;
    declare(&session, &name, 100_000_000, 1_000_000).await.unwrap();
    let refused = declare(&session, &name, 200_000_000, 1_000_000).await.err().unwrap();
    assert!(matches!(refused, TransportError::Differs { .. }), "{refused}");
}

/// The oldest segments go; who reads from the first record begins with a later offset and misses none after it.
#[rstest]
#[tokio::test]
async fn a_full_stream_is_cut_at_its_front(#[values(Kind::Twin, Kind::Three, Kind::Four)] kind: Kind) {
    let place = Place::new(kind);
    let session = place.session().await;
    let name = place.name("state");
    declare(&session, &name, 300_000, 100_000).await.unwrap();
    for n in 0..100 {
        let body = format!("{n:010000}");
        answer(session.publish(message(&name, &body)).await.unwrap()).await.unwrap();
    }
    let mut follower = follow(&session, &name, StreamStart::First).await;
    let (offset, body) = read(&mut follower, 1).await.remove(0);
    let first: usize = body.parse().unwrap();
    assert!(offset > 0 && (1..100).contains(&first), "the first is {first}");
    let rest = read(&mut follower, 99 - first).await;
    let bodies: Vec<usize> = rest.iter().map(|(_, body)| body.parse().unwrap()).collect();
    assert_eq!(bodies, (first + 1..100).collect::<Vec<_>>());
    // RabbitMQ leaves an offset out where a segment ends.
    assert!(rest.is_sorted_by(|one, next| one.0 < next.0));
}

#[tokio::test]
async fn the_twin_keeps_streams_through_a_restart_and_may_lose_their_end() {
    let place = Place::new(Kind::Twin);
    let (twin, session) = (place.twin.clone().unwrap(), place.session().await);
    let name = stream(&place, &session, 0..5).await;
    let mut follower = follow(&session, &name, StreamStart::First).await;
    twin.stop();
    assert!(timeout(SOON, follower.next()).await.unwrap().is_none());
    twin.start();
    twin.lose_newest(&name, 2);
    let session = place.session().await;
    super::fill(&session, &name, 3..4).await;
    let mut follower = follow(&session, &name, StreamStart::First).await;
    assert_eq!(read(&mut follower, 4).await, numbered(0..4));
    assert_eq!(twin.stream_records(&name).len(), 4);
}
