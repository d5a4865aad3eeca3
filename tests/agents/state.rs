//! Stateful sinks: a rate is the number that one agent would have computed, whatever moves meanwhile.

use super::{Lab, PATIENCE, RESOURCES, TTL, message, owned};
use nephoscope::agent::Agent;
use nephoscope::cluster::Spec;
use nephoscope::coordination::Coordinator;
use nephoscope::model::{Text, Value};
use nephoscope::observe::Board;
use nephoscope::publish::{Batch, PublishError};
use nephoscope::state::Record;
use nephoscope::transport::{Outgoing, Topology, topology};
use std::collections::BTreeMap;
use std::time::Duration;

const RATES: &str = "\
sources:
- name: source
  meters: ['volume.size']
  sinks: [sink]
sinks:
- name: sink
  transformers:
  - name: rate_of_change
    parameters:
      target: {name: volume.growth, unit: GB/s, type: gauge}
  publishers: ['test://samples']
";

/// A lab whose samples become rates: every resource grows by 5 GB every 10 s.
async fn lab(partitioned: bool) -> Lab {
    let lab = Lab::new(partitioned).await;
    std::fs::write(lab.folder.path().join("pipeline.yaml"), RATES).unwrap();
    lab
}

async fn send(lab: &mut Lab, count: usize) {
    for n in lab.sent..lab.sent + count {
        lab.publish(notification(n)).await;
    }
    lab.sent += count;
}

fn notification(n: usize) -> Vec<u8> {
    let (resource, step) = (n % RESOURCES, n / RESOURCES);
    let seconds = 10 * step;
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        r#"{{"message_id":"m-{n}","publisher_id":"volume.host","event_type":"volume.create.end","priority":"INFO",
        "timestamp":"2026-01-01 {time}","payload":{{"volume_id":"r-{resource}","size":{},"tenant_id":"t","user_id":"u"}}}}"#,
        5 * step
    )
    .into_bytes()
}

/// Every step of every resource gave its rate, 0.5 GB/s, in order; repeats have the id of the first time. How many
/// repeats.
fn check(lab: &Lab) -> usize {
    let batches = lab.context.shelf.batches("samples").into_iter().flat_map(|batch| match batch {
        Batch::Samples(samples) => samples,
        Batch::Events(_) => panic!("events in the samples' publisher"),
    });
    let (mut seen, mut repeats): (BTreeMap<String, BTreeMap<Text, Text>>, usize) = (BTreeMap::new(), 0);
    for sample in batches {
        assert_eq!((&*sample.name, &sample.volume), ("volume.growth", &Value::Float(0.5)), "{sample:?}");
        let steps = seen.entry(sample.resource_id.as_str().unwrap().to_owned()).or_default();
        if let Some(id) = steps.get(&sample.timestamp) {
            assert_eq!(*id, sample.id, "a repeat under another id");
            repeats += 1;
            continue;
        }
        let last = steps.keys().next_back();
        assert!(last.is_none_or(|last| *last < sample.timestamp), "{sample:?} after {last:?}");
        steps.insert(sample.timestamp, sample.id);
    }
    for resource in 0..RESOURCES.min(lab.sent) {
        // The first sample of a resource has nothing before it.
        let expected = lab.sent.saturating_sub(resource).div_ceil(RESOURCES) - 1;
        let found = seen.get(&format!("r-{resource}")).map_or(0, BTreeMap::len);
        assert_eq!(found, expected, "rates of r-{resource}");
    }
    repeats
}

/// An agent that owns all queues and has made something of so many notifications.
async fn one_that_works(lab: &mut Lab, count: usize) -> (Agent, Board) {
    let (agent, board) = lab.start("a");
    lab.until("it owns all", || owned(&board) == 8).await;
    send(lab, count).await;
    lab.settle().await;
    (agent, board)
}

/// The state logs.
fn logs() -> impl Iterator<Item = String> {
    (0..4).map(|queue| format!("nephoscope.ceilometer.sink.g1.{queue}.state"))
}

async fn three(lab: &Lab) -> BTreeMap<&'static str, (Agent, Board)> {
    let agents = BTreeMap::from(["a", "b", "c"].map(|id| (id, lab.start(id))));
    lab.until("all own some", || agents.values().all(|(_, board)| owned(board) > 0)).await;
    agents
}

#[tokio::test(start_paused = true)]
async fn an_agent_alone_computes_rates() {
    let mut lab = lab(false).await;
    let (agent, _) = lab.start("alone");
    send(&mut lab, 100).await;
    lab.settle().await;
    assert_eq!(check(&lab), 0);
    agent.drain(TTL).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_agent_alone_loses_its_broker_and_its_rates_go_on() {
    let mut lab = lab(false).await;
    let _agent = lab.start("alone");
    send(&mut lab, 40).await;
    lab.settle().await;
    let away = || PublishError::Retry { cause: "503".to_owned(), after: Some(Duration::from_secs(5)) };
    lab.context.shelf.answer_next("samples", away());
    send(&mut lab, 40).await;
    lab.settle().await;
    assert_eq!(check(&lab), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_closed_ends_each_queue_once_and_no_state_is_said_to_be_lost() {
    let mut lab = lab(true).await;
    let (_agent, board) = one_that_works(&mut lab, 40).await;
    // While every state log is in use.
    let away = || PublishError::Retry { cause: "503".to_owned(), after: Some(Duration::from_secs(5)) };
    (0..8).for_each(|_| lab.context.shelf.answer_next("samples", away()));
    send(&mut lab, 40).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let queues = board.read().queues.len();
    let closed = |times: usize| format!(r#"nephoscope_queues_closed_total{{reason="lost"}} {times}"#);
    lab.broker.close_sessions("CONNECTION_FORCED - maintenance of rack seven");
    lab.reconnect().await;
    lab.until("all queues were lost", || lab.context.metrics.page().contains(&closed(queues))).await;
    lab.until("it owns all again", || owned(&board) == 8).await;
    let page = lab.context.metrics.page();
    assert!(page.lines().any(|line| line == closed(queues)), "{page}");
    assert!(!page.contains(r#"step="use_log""#), "{page}");
    send(&mut lab, 40).await;
    lab.settle().await;
    check(&lab);
}

#[tokio::test(start_paused = true)]
async fn state_follows_its_queue_when_members_join_and_leave() {
    let mut lab = lab(true).await;
    let first = lab.start("a");
    lab.until("the first owns all", || owned(&first.1) == 8).await;
    send(&mut lab, 100).await;
    let second = lab.start("b");
    send(&mut lab, 100).await;
    lab.until("both own half", || owned(&second.1) == 4).await;
    send(&mut lab, 100).await;
    let (drained, ()) = tokio::join!(first.0.drain(TTL), send(&mut lab, 100));
    drained.unwrap();
    lab.until("the second owns all", || owned(&second.1) == 8).await;
    send(&mut lab, 100).await;
    lab.settle().await;
    assert_eq!(check(&lab), 0, "orderly moves repeat nothing");
}

#[tokio::test(start_paused = true)]
async fn state_follows_its_queue_when_its_owner_is_killed() {
    let mut lab = lab(true).await;
    let mut agents = three(&lab).await;
    for round in 0..6 {
        send(&mut lab, 100).await;
        if let Some(id) = [None, Some("a"), None, Some("b")].get(round).copied().flatten() {
            let (agent, _) = agents.remove(id).unwrap();
            agent.kill();
            lab.group.kill(id);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    lab.settle().await;
    check(&lab);
}

#[tokio::test(start_paused = true)]
async fn the_broker_restarts_and_state_is_read_again() {
    let mut lab = lab(true).await;
    let _agents = three(&lab).await;
    send(&mut lab, 100).await;
    lab.settle().await;
    lab.broker.stop();
    tokio::time::sleep(Duration::from_secs(5)).await;
    lab.broker.start();
    lab.reconnect().await;
    send(&mut lab, 100).await;
    lab.settle().await;
    check(&lab);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_is_away_during_a_hand_over_and_the_next_owner_publishes() {
    let mut lab = lab(true).await;
    let first = lab.start("a");
    lab.until("the first owns all", || owned(&first.1) == 8).await;
    send(&mut lab, 40).await;
    lab.settle().await;
    let away = || PublishError::Retry { cause: "503".to_owned(), after: Some(Duration::from_secs(60)) };
    (0..4).for_each(|_| lab.context.shelf.answer_next("samples", away()));
    send(&mut lab, 40).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.0.drain(TTL).await.unwrap();
    let _second = lab.start("b");
    lab.settle().await;
    lab.until("the last rates are out", || {
        lab.context.shelf.batches("samples").iter().map(Batch::len).sum::<usize>() >= 72
    })
    .await;
    check(&lab);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_queues_changes_under_load_and_state_goes_along() {
    for kill in [false, true] {
        let mut lab = lab(true).await;
        let mut agents = three(&lab).await;
        send(&mut lab, 100).await;
        for queues in [7, 2, 16] {
            let view = lab.group.view().await.unwrap();
            let (spec, revision) = view.spec.unwrap();
            let planned: Spec = spec.planned(queues).unwrap();
            assert!(lab.group.put_spec(&planned, Some(revision)).await.unwrap());
            send(&mut lab, 100).await;
            if kill && queues == 2 {
                let (agent, _) = agents.remove("b").unwrap();
                agent.kill();
                lab.group.kill("b");
            }
            let give_up = tokio::time::Instant::now() + PATIENCE;
            loop {
                send(&mut lab, 10).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                let view = lab.group.view().await.unwrap();
                if view.spec.unwrap().0 == planned.completed() && view.marks.is_empty() {
                    break;
                }
                assert!(tokio::time::Instant::now() < give_up, "not done: {:#?}", view.marks);
            }
            let generation = format!(".g{}.", planned.completed().present.generation);
            let own = lab.broker.queues().into_iter().map(|q| q.name).filter(|name| name.contains(".g"));
            let old: Vec<String> = own.filter(|name| !name.contains(&generation)).collect();
            assert!(old.is_empty(), "old queues are left: {old:?}");
        }
        send(&mut lab, 100).await;
        lab.settle().await;
        let repeats = check(&lab);
        assert!(kill || repeats == 0, "{repeats} repeats without a crash");
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_log_is_deleted_and_no_rate_is_missing() {
    let mut lab = lab(true).await;
    let (_agent, board) = one_that_works(&mut lab, 80).await;
    assert!(logs().all(|log| lab.broker.delete_queue(&log)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(board.read().not_ready().is_empty(), "{:?}", board.read().not_ready());
    send(&mut lab, 80).await;
    lab.settle().await;
    assert_eq!(check(&lab), 0);
    // Under load, with batches on their way.
    send(&mut lab, 40).await;
    for log in logs() {
        lab.broker.delete_queue(&log);
    }
    send(&mut lab, 40).await;
    lab.settle().await;
    check(&lab);
}

#[tokio::test(start_paused = true)]
async fn a_state_log_is_deleted_while_a_publisher_is_away_and_no_rate_is_missing() {
    for (drains, an_empty_one) in [(true, false), (true, true), (false, false)] {
        let mut lab = lab(true).await;
        let (first, _) = one_that_works(&mut lab, 40).await;
        lab.context.shelf.set_away("samples", true);
        send(&mut lab, 40).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        for _ in 0..2 {
            for log in logs() {
                assert!(lab.broker.delete_queue(&log), "{log} was not made again");
                if an_empty_one {
                    let queues = vec![topology::state_log(log, 1 << 20, 1 << 17)];
                    lab.session.declare(&Topology { queues, ..Topology::default() }).await.unwrap();
                }
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(logs().all(|log| !lab.broker.stream_records(&log).is_empty()));
        }
        assert!(!lab.context.metrics.page().contains(r#"reason="lost""#), "no queue was closed for it");
        let _second = if drains {
            first.drain(TTL).await.unwrap();
            Some(lab.start("b"))
        } else {
            lab.broker.stop();
            lab.broker.start();
            lab.reconnect().await;
            None
        };
        lab.context.shelf.set_away("samples", false);
        lab.settle().await;
        assert_eq!(check(&lab), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_state_log_that_takes_nothing_yet_is_waited_for_and_it_is_said() {
    let mut lab = lab(true).await;
    let (_agent, board) = lab.start("a");
    lab.until("it owns all", || owned(&board) == 8 && board.read().not_ready().is_empty()).await;
    send(&mut lab, 40).await;
    lab.settle().await;
    let log = logs().next().unwrap();
    lab.broker.refuse(&log, true);
    lab.broker.delete_queue(&log);
    send(&mut lab, 40).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let reasons = board.read().not_ready();
    assert!(reasons.len() == 1 && reasons[0].starts_with("the state log of nephoscope."), "{reasons:?}");
    lab.broker.refuse(&log, false);
    lab.settle().await;
    assert!(board.read().not_ready().is_empty());
    assert_eq!(check(&lab), 0);
}

/// A publisher that is away for hours keeps a former owner from nothing: it hears that it is one.
#[tokio::test(start_paused = true)]
async fn a_later_owner_begins_while_a_publisher_is_away() {
    let mut lab = lab(true).await;
    let (_agent, _) = one_that_works(&mut lab, 40).await;
    lab.context.shelf.set_away("samples", true);
    send(&mut lab, 40).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let fenced = |lab: &Lab| {
        let page = lab.context.metrics.page();
        let line = page.lines().find_map(|line| line.strip_prefix(r#"nephoscope_troubles_total{step="use_log"} "#));
        line.and_then(|count| count.parse().ok()).unwrap_or(0)
    };
    assert_eq!(fenced(&lab), 0);
    let barrier = Record::Barrier { epoch: 1_000, member: "later".to_owned(), nonce: 1 };
    let message =
        Outgoing { exchange: String::new(), routing_key: logs().next().unwrap(), ..message(barrier.encode()) };
    lab.session.publish(message).await.unwrap().wait().await.unwrap();
    lab.until("it heard", || fenced(&lab) > 0).await;
    lab.context.shelf.set_away("samples", false);
    lab.settle().await;
    check(&lab);
}

/// The packets of a sender on one queue, of which the second never comes.
#[tokio::test(start_paused = true)]
async fn a_packet_is_missing_and_is_counted_after_it_was_waited_for() {
    let lab = lab(true).await;
    let (_agent, board) = lab.start("a");
    lab.until("it owns all", || owned(&board) == 8).await;
    let queue = "nephoscope.ceilometer.sink.g1.0";
    for (sequence, step) in [(1, 0), (3, 1), (4, 2)] {
        let sample = format!(
            r#"{{"name":"volume.size","type":"gauge","unit":"GB","volume":{},"user_id":null,"user_name":null,"project_id":null,
            "project_name":null,"resource_id":"x","timestamp":"2026-01-01T00:00:{step}0+00:00","resource_metadata":{{}},
            "source":"openstack","id":"x-{step}","monotonic_time":null}}"#,
            5 * step
        );
        let packet = format!(
            r#"{{"format":1,"epoch":99,"sequence":{sequence},"member":"x","fragments":[
            {{"message_id":"x-{step}","pipeline":"source:sink","samples":[{sample}]}}]}}"#
        );
        let message =
            Outgoing { exchange: String::new(), routing_key: queue.to_owned(), ..message(packet.into_bytes()) };
        lab.session.publish(message).await.unwrap().wait().await.unwrap();
    }
    lab.settle().await;
    let page = lab.context.metrics.page();
    let missing = format!(r#"nephoscope_packets_missing_total{{queue="{queue}"}} 1"#);
    assert!(page.lines().any(|line| line == missing), "{page}");
    assert!(!page.contains(r#"reason="lost""#), "no queue was closed for it: {page}");
    assert_eq!(lab.context.shelf.batches("samples").iter().map(Batch::len).sum::<usize>(), 2, "the rest took effect");
}

#[tokio::test(start_paused = true)]
async fn a_log_keeps_the_bound_it_was_made_with_and_is_used_all_the_same() {
    let mut lab = lab(true).await;
    let (first, _) = one_that_works(&mut lab, 40).await;
    first.drain(TTL).await.unwrap();
    lab.more = "state_log_bytes_max = 67108864\n";
    let _second = lab.start("b");
    send(&mut lab, 40).await;
    lab.settle().await;
    assert_eq!(check(&lab), 0);
}
