use super::*;
use crate::doctor::management::policies::Policy;
use crate::transport::topology::{self, OsloQueues, QuorumLimits};
use rstest::rstest;
use serde_json::json;

fn main_queue(oslo: &OsloQueues) -> Need {
    let mut topology = topology::main_queues(&["nova".to_owned()], &["notifications".to_owned()], oslo);
    Need { role: Role::Main, queue: topology.queues.swap_remove(0) }
}

fn pipeline_queue(kind: topology::QueueKind) -> Need {
    Need { role: Role::Pipeline, queue: topology::pipeline_queue("nephoscope.g.s.g1.0".to_owned(), kind) }
}

fn quorum() -> OsloQueues {
    OsloQueues { quorum: Some(QuorumLimits::default()), ..OsloQueues::default() }
}

/// The findings about one queue with this policy for every name, on a broker of this version.
fn found(need: Need, definition: Value, major: u32) -> Vec<(&'static str, String, String)> {
    let Value::Object(definition) = definition else { panic!("no object") };
    let policy = Policy { name: "p".to_owned(), pattern: ".*".to_owned(), definition, ..Policy::default() };
    let policies = Policies::new(vec![policy], Vec::new());
    let topics = ["notifications".to_owned()];
    let known = Known { vhost: "/", major: Some(major), topics: &topics, queues: None, policies: Some(&policies) };
    judged(&[need], &known).into_iter().map(|finding| (finding.id, finding.found, finding.mend)).collect()
}

#[rstest]
#[case::nothing(json!({}), &[])]
#[case::ttl(json!({"message-ttl": 5}), &["rabbitmq.queue.ttl"])]
#[case::length(json!({"max-length": 5}), &["rabbitmq.queue.max_length"])]
#[case::refused(json!({"max-length": 5, "overflow": "reject-publish"}), &["rabbitmq.queue.refuses"])]
#[case::expires(json!({"expires": 5}), &["rabbitmq.queue.expires"])]
#[case::impatient(json!({"consumer-timeout": 60_000}), &["rabbitmq.queue.consumer_timeout"])]
#[case::patient(json!({"consumer-timeout": 3_600_000}), &[])]
fn a_policy_for_a_main_queue(#[case] definition: Value, #[case] ids: &[&str]) {
    let all = found(main_queue(&OsloQueues::default()), definition, 4);
    assert_eq!(all.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), ids);
    assert!(all.iter().all(|(_, _, mend)| mend.contains("rabbitmqctl clear_policy -p / p")), "{all:?}");
}

#[rstest]
#[case::ttl(json!({"message-ttl": 5}), topology::QueueKind::Quorum, &["rabbitmq.own_queue.drops"])]
#[case::refused(json!({"max-length": 5, "overflow": "reject-publish"}), topology::QueueKind::Quorum, &["rabbitmq.queue.refuses"])]
#[case::refused_by_a_classic(
    json!({"max-length": 5, "overflow": "reject-publish"}), topology::QueueKind::Classic, &["rabbitmq.own_queue.drops"]
)]
#[case::limit(json!({"delivery-limit": 7}), topology::QueueKind::Quorum, &["rabbitmq.queue.delivery_limit"])]
fn a_policy_for_a_pipeline_queue(#[case] definition: Value, #[case] kind: topology::QueueKind, #[case] ids: &[&str]) {
    let all = found(pipeline_queue(kind), definition, 4);
    assert_eq!(all.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), ids);
}

#[rstest]
#[case::by_default(json!({}), 4, Some("delivery-limit is 20"))]
#[case::of_old(json!({}), 3, None)]
#[case::lifted(json!({"delivery-limit": -1}), 4, None)]
#[case::large(json!({"delivery-limit": 1_000_000}), 3, None)]
#[case::by_policy(json!({"delivery-limit": 9}), 3, Some("delivery-limit is 9"))]
fn the_limit_of_a_main_queue(#[case] definition: Value, #[case] major: u32, #[case] expected: Option<&str>) {
    let all = found(main_queue(&quorum()), definition, major);
    match expected {
        None => assert!(all.is_empty(), "{all:?}"),
        Some(expected) => {
            assert_eq!((all.len(), all[0].0), (1, "rabbitmq.queue.delivery_limit"));
            assert!(all[0].1.starts_with(expected), "{all:?}");
        }
    }
}

#[test]
fn the_limit_by_default_is_lifted_by_the_line_of_the_page() {
    let all = found(main_queue(&quorum()), json!({}), 4);
    let line = "rabbitmqctl set_policy -p / nephoscope-delivery-limit '^(notifications)\\.' '{\"delivery-limit\": -1}' --apply-to quorum_queues";
    assert_eq!(all[0].2, line);
}

#[test]
fn what_is_alike_in_many_queues_is_one_finding() {
    let needs: Vec<Need> = (0..5)
        .map(|n| {
            let queue = topology::pipeline_queue(format!("nephoscope.g.s.g1.{n}"), topology::QueueKind::Quorum);
            Need { role: Role::Pipeline, queue }
        })
        .collect();
    let Value::Object(definition) = json!({"expires": 9}) else { panic!("no object") };
    let policy = Policy { name: "p".to_owned(), pattern: ".*".to_owned(), definition, ..Policy::default() };
    let policies = Policies::new(vec![policy], Vec::new());
    let known = Known { vhost: "/", major: Some(3), topics: &[], queues: None, policies: Some(&policies) };
    let all = judged(&needs, &known);
    assert_eq!(all.len(), 1);
    assert!(all[0].object.ends_with("nephoscope.g.s.g1.2 and 2 more"), "{all:?}");
}

#[rstest]
#[case::the_same(json!({}), Some(""), None)]
#[case::type_written(json!({"x-queue-type": "classic"}), Some(""), None)]
#[case::argument(json!({"x-ha-policy": "all"}), Some("x-ha-policy is \"all\", configured is none"), Some("rabbitmq.queue.differs"))]
fn a_queue_that_is_there(#[case] arguments: Value, #[case] says: Option<&str>, #[case] id: Option<&str>) {
    let need = main_queue(&OsloQueues { durable: true, ..OsloQueues::default() });
    let Value::Object(arguments) = arguments else { panic!("no object") };
    let queue = Queue {
        name: need.queue.name.clone(),
        kind: "classic".to_owned(),
        durable: true,
        arguments,
        ..Queue::default()
    };
    let queues = BTreeMap::from([(queue.name.clone(), queue)]);
    let known = Known { vhost: "/", major: Some(3), topics: &[], queues: Some(&queues), policies: None };
    let all = judged(&[need], &known);
    assert_eq!(all.first().map(|finding| finding.id), id);
    assert!(all.iter().all(|finding| Some(finding.found.as_str()) == says), "{all:?}");
}
