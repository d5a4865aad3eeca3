//! What can be held is held, not given back; what disappears is made again; and it is said what stands still.

use super::{Lab, TTL, consumes_main, held, message, notification, owned, pipeline_queues};
use nephoscope::observe::Board;
use nephoscope::publish::{Batch, PublishError};
use nephoscope::transport::topology::{self, QueueKind};
use nephoscope::transport::{Broker, ConsumeOptions, Topology};
use std::collections::BTreeMap;
use std::time::Duration;

const MAIN: &str = "notifications.info";
const PARKED: &str = "nephoscope.ceilometer.parked";
/// Everything is declared and consumed again within this.
const MADE_AGAIN: Duration = Duration::from_secs(5);

/// A lab on quorum queues of a RabbitMQ 4.
async fn lab(partitioned: bool) -> Lab {
    let mut lab = Lab::new(partitioned).await;
    lab.broker.delete_queue(MAIN);
    lab.broker.delete_exchange("cinder");
    lab.broker.limit_deliveries(Some(20));
    lab.quorum = true;
    lab.reconnect().await;
    lab
}

/// The agent is ready, and what it waited for if not.
fn ready(board: &Board) -> bool {
    board.read().not_ready().is_empty()
}

fn counted(lab: &Lab, line: &str) -> u64 {
    let page = lab.context.metrics.page();
    let found = page.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_default()
}

fn dropped(lab: &Lab) -> u64 {
    lab.broker.queues().iter().map(|queue| lab.broker.dropped(&queue.name)).sum()
}

#[tokio::test(start_paused = true)]
async fn a_publisher_is_away_during_25_restarts_of_an_agent_alone() {
    for kill in [true, false] {
        let mut lab = lab(false).await;
        lab.context.shelf.set_away("samples", true);
        lab.send(400).await;
        for _ in 0..25 {
            let (agent, board) = lab.start("alone");
            lab.until("it consumes", || consumes_main(&board)).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            if kill {
                agent.kill();
                lab.group.kill("alone");
            } else {
                agent.drain(TTL).await.unwrap();
            }
            drop(agent);
        }
        assert_eq!(dropped(&lab), 0);
        lab.context.shelf.set_away("samples", false);
        let (_agent, _board) = lab.start("alone");
        lab.send(50).await;
        lab.settle().await;
        lab.check();
        assert!(counted(&lab, &format!("nephoscope_rescued_total{{queue=\"{MAIN}\"}}")) >= 100, "they were moved");
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_is_away_while_connections_are_cut_25_times() {
    for partitioned in [false, true] {
        let mut lab = lab(partitioned).await;
        let (_agent, board) = lab.start("a");
        lab.context.shelf.set_away("samples", true);
        lab.send(400).await;
        for _ in 0..25 {
            lab.until("it consumes", || consumes_main(&board)).await;
            tokio::time::sleep(Duration::from_secs(6)).await;
            lab.broker.stop();
            lab.broker.start();
            lab.reconnect().await;
        }
        assert_eq!(dropped(&lab), 0);
        lab.context.shelf.set_away("samples", false);
        lab.send(50).await;
        lab.settle().await;
        lab.check();
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_is_away_during_25_restarts_of_a_group() {
    let mut lab = lab(true).await;
    lab.context.shelf.set_away("samples", true);
    lab.send(400).await;
    for n in 0..25 {
        let (agent, board) = lab.start("a");
        lab.until("it owns all", || held(&board) == 15).await;
        lab.send(4).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if n % 2 == 0 {
            agent.kill();
            lab.group.kill("a");
        } else {
            agent.drain(TTL).await.unwrap();
        }
    }
    assert_eq!(dropped(&lab), 0);
    lab.context.shelf.set_away("samples", false);
    let (_agent, _board) = lab.start("a");
    lab.settle().await;
    lab.check();
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_queue_refuses_packets_for_four_minutes() {
    let mut lab = lab(true).await;
    let (_agent, board) = lab.start("a");
    lab.until("it owns all", || held(&board) == 15 && ready(&board)).await;
    let refuses = "nephoscope.ceilometer.sink.g1.2";
    lab.broker.refuse(refuses, true);
    lab.send(80).await;
    tokio::time::sleep(Duration::from_mins(4)).await;
    let page = lab.context.metrics.page();
    assert!(!page.contains(r#"reason="lost""#), "nothing was closed: {page}");
    let events: usize = lab.context.shelf.batches("events").iter().map(Batch::len).sum();
    assert_eq!(events, 80, "the other pipelines see everything, once");
    assert!(!lab.volumes().is_empty() && lab.volumes().len() < 80, "only one queue's resources wait");
    let reasons = board.read().not_ready();
    assert!(reasons.len() == 1 && reasons[0].contains(refuses), "{reasons:?}");
    lab.broker.refuse(refuses, false);
    lab.send(20).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0, "nothing comes twice");
    assert!(ready(&board), "{:?}", board.read().not_ready());
    assert_eq!(dropped(&lab), 0);
}

#[tokio::test(start_paused = true)]
async fn packets_that_the_broker_rejects_are_held_and_nothing_is_closed() {
    let mut lab = lab(true).await;
    let (_agent, board) = lab.start("a");
    lab.until("it owns all", || held(&board) == 15 && ready(&board)).await;
    // A notification is smaller than that, what it yields is not.
    lab.broker.limit_message_bytes(Some(notification(0).len() + 50));
    lab.send(40).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let page = lab.context.metrics.page();
    assert!(!page.contains(r#"reason="lost""#), "nothing was closed: {page}");
    let reasons = board.read().not_ready();
    assert!(reasons.iter().any(|reason| reason.contains("larger than")), "in the broker's words: {reasons:?}");
    lab.broker.limit_message_bytes(None);
    lab.settle().await;
    assert_eq!(lab.check(), 0, "nothing comes twice");
    assert!(ready(&board) && dropped(&lab) == 0);
}

#[tokio::test(start_paused = true)]
async fn a_notification_that_yields_more_than_a_packet_holds_is_parked_as_it_came() {
    let mut lab = lab(true).await;
    let (_agent, board) = lab.start("a");
    lab.until("it owns all", || held(&board) == 15 && ready(&board)).await;
    lab.send(20).await;
    let user = format!(r#""user_id":"{}""#, "x".repeat(9 << 20));
    let large = String::from_utf8(notification(1)).unwrap().replace(r#""user_id":"u""#, &user);
    lab.publish(large.into_bytes()).await;
    lab.send(20).await;
    lab.settle().await;
    lab.until("it is parked", || lab.parked() == 1).await;
    assert_eq!(lab.check(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_queue_refuses_while_its_main_queue_moves_to_another_member() {
    let mut lab = lab(true).await;
    let (first, board) = lab.start("a");
    lab.until("it owns all", || held(&board) == 15).await;
    let refuses = "nephoscope.ceilometer.sink.g1.2";
    lab.broker.refuse(refuses, true);
    lab.send(80).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (_second, _) = lab.start("b");
    first.drain(TTL).await.unwrap();
    lab.broker.refuse(refuses, false);
    lab.send(20).await;
    lab.settle().await;
    lab.check();
}

#[tokio::test(start_paused = true)]
async fn the_parking_queue_is_full_and_good_neighbours_go_on() {
    for partitioned in [false, true] {
        let mut lab = lab(partitioned).await;
        let (_agent, board) = lab.start("a");
        lab.until("it consumes", || consumes_main(&board) && ready(&board)).await;
        lab.broker.refuse(PARKED, true);
        for _ in 0..20 {
            lab.publish(b"no notification".to_vec()).await;
            lab.send(20).await;
        }
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert_eq!(lab.check(), 0, "all neighbours are published, once");
        let main = lab.broker.queues().into_iter().find(|queue| queue.name == MAIN).unwrap();
        assert_eq!((main.unacked, main.ready), (20, 0), "only the bad ones are held");
        let reasons = board.read().not_ready();
        assert!(reasons.iter().any(|reason| reason.contains("parked_messages_max")), "{reasons:?}");
        lab.broker.refuse(PARKED, false);
        lab.settle().await;
        lab.until("all are parked", || lab.parked() == 20).await;
        assert!(ready(&board) && dropped(&lab) == 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_that_cannot_be_parked_is_held_and_no_other_publisher_gets_the_batch_again() {
    for partitioned in [false, true] {
        let mut lab = lab(partitioned).await;
        lab.write_pipeline("pipeline.yaml", "meters", &["test://samples", "test://refuses"]);
        lab.broker.refuse(PARKED, true);
        lab.context.shelf.answer_next("refuses", PublishError::refuse([0], "400"));
        let (_agent, board) = lab.start("a");
        lab.until("it consumes", || consumes_main(&board)).await;
        lab.send(30).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        lab.broker.refuse(PARKED, false);
        lab.settle().await;
        assert_eq!(lab.check(), 0, "the other publisher got everything once");
        assert_eq!(lab.parked(), 1);
        let rest: usize = lab.context.shelf.batches("refuses").iter().map(Batch::len).sum();
        assert_eq!(rest, 29);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_deleted_is_declared_bound_and_consumed_again() {
    for partitioned in [false, true] {
        let mut lab = lab(partitioned).await;
        let (_agent, board) = lab.start("a");
        lab.until("it is ready", || consumes_main(&board) && ready(&board)).await;
        lab.send(10).await;
        lab.settle().await;
        for queue in [MAIN, PARKED, "nephoscope.ceilometer.sink.g1.1"] {
            if !partitioned && queue.contains(".g1.") {
                continue;
            }
            assert!(lab.broker.delete_queue(queue), "{queue}");
            tokio::time::sleep(MADE_AGAIN).await;
            let there = lab.broker.queues().into_iter().find(|there| there.name == queue);
            let consumers = usize::from(queue != PARKED);
            assert_eq!(there.map(|queue| queue.consumers), Some(consumers), "{queue}");
            assert!(ready(&board), "{:?}", board.read().not_ready());
            // Sent to the exchange by a sender that declares nothing.
            lab.send(40).await;
            lab.publish(b"no notification".to_vec()).await;
            lab.settle().await;
        }
        assert_eq!(lab.check(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn exchanges_and_bindings_that_are_deleted_are_made_again() {
    let mut lab = lab(false).await;
    let (_agent, board) = lab.start("a");
    lab.until("it consumes", || consumes_main(&board)).await;
    lab.broker.unbind("cinder", MAIN);
    tokio::time::sleep(MADE_AGAIN).await;
    lab.send(10).await;
    lab.broker.delete_exchange("cinder");
    tokio::time::sleep(MADE_AGAIN).await;
    lab.send(10).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_main_queue_that_was_made_otherwise_makes_the_agent_unready_and_shows_why() {
    let lab = lab(false).await;
    lab.broker.delete_queue(MAIN);
    let queues = vec![topology::pipeline_queue(MAIN.to_owned(), QueueKind::Classic)];
    lab.session.declare(&Topology { queues, ..Topology::default() }).await.unwrap();
    let (_agent, board) = lab.start("a");
    tokio::time::sleep(Duration::from_mins(2)).await;
    let status = board.read();
    let queue = &status.queues["main:notifications.info"];
    assert!(queue.error.as_ref().is_some_and(|error| error.contains("differs")), "{queue:?}");
    assert!(status.not_ready().iter().any(|reason| reason.contains(MAIN) && reason.contains("differs")), "{status:?}");
    assert_eq!(counted(&lab, r#"nephoscope_queue_up{queue="main:notifications.info"}"#), 0);
    let others = status.queues.values().filter(|queue| queue.state == "running").count();
    assert_eq!(others, 6, "the others are consumed");
    lab.broker.delete_queue(MAIN);
    lab.until("it consumes again", || consumes_main(&board) && ready(&board)).await;
}

#[tokio::test(start_paused = true)]
async fn a_publisher_is_away_for_longer_than_the_broker_waits_for_an_acknowledgement() {
    for partitioned in [false, true] {
        let mut lab = lab(partitioned).await;
        let (_agent, board) = lab.start("a");
        lab.until("it consumes", || consumes_main(&board)).await;
        lab.context.shelf.set_away("samples", true);
        lab.send(5).await;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_mins(30)).await;
            for queue in lab.broker.queues().iter().filter(|queue| queue.unacked > 0) {
                lab.broker.end_consumers(&queue.name);
            }
            let held = board.read().pipelines["sink"].held_by.clone();
            let held = held.unwrap_or_else(|| panic!("nothing is held: {:?}", board.read()));
            assert_eq!((&*held.publisher, &*held.why), ("test://samples", "away"));
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
        lab.context.shelf.set_away("samples", false);
        lab.settle().await;
        assert!(lab.check() <= 5, "each is published once, or twice at most");
        assert_eq!(board.read().pipelines["sink"].held_by, None);
        assert_eq!(dropped(&lab), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn packets_that_an_operator_purged_are_missed_by_a_sink_without_state() {
    let mut lab = lab(true).await;
    let (_agent, board) = lab.start("a");
    lab.until("it owns all", || owned(&board) == 8).await;
    lab.send(8).await;
    lab.settle().await;
    lab.context.shelf.set_away("samples", true);
    for _ in 0..60 {
        lab.send(8).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let purged: BTreeMap<String, usize> = pipeline_queues(&board)
        .into_keys()
        .filter(|q| q.contains(".sink.") && !q.contains("event:"))
        .map(|q| {
            let gone = lab.broker.purge(&q);
            (q, gone)
        })
        .collect();
    assert!(purged.values().sum::<usize>() > 0, "{purged:?}");
    lab.context.shelf.set_away("samples", false);
    lab.send(80).await;
    lab.settle().await;
    let missing: u64 =
        purged.keys().map(|q| counted(&lab, &format!("nephoscope_packets_missing_total{{queue=\"{q}\"}}"))).sum();
    assert_eq!(missing, purged.values().sum::<usize>() as u64);
}

#[tokio::test(start_paused = true)]
async fn what_was_rescued_is_taken_before_anything_younger() {
    let mut lab = lab(false).await;
    lab.send(40).await;
    // Somebody takes them and gives them back, often.
    for _ in 0..5 {
        let session = lab.broker.connect().await.unwrap();
        let options = ConsumeOptions { prefetch_messages: 100, exclusive: false, arguments: BTreeMap::new() };
        let consumer = session.consume(MAIN, options).await.unwrap();
        consumer.close().await.unwrap();
    }
    lab.send(40).await;
    lab.publish(message(notification(0)).body.slice(..10).to_vec()).await;
    let (_agent, _board) = lab.start("a");
    lab.settle().await;
    assert_eq!(lab.check(), 0);
    assert_eq!(counted(&lab, &format!("nephoscope_rescued_total{{queue=\"{MAIN}\"}}")), 40);
    assert_eq!(lab.parked(), 1);
}
