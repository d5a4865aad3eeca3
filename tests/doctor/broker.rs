//! States of a real RabbitMQ.

use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use rstest::rstest;
use serde_json::json;
use std::time::{Duration, Instant};

use super::ward::Ward;
use super::{doctor, folder, nobody, seen};
use crate::field::Wire;
use crate::rig::{self, Generation};

/// Durable queues, so that RabbitMQ 4 takes them.
const DURABLE: &str = "[oslo_messaging_rabbit]\namqp_durable_queues = true\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_states_of_a_rabbitmq_3_are_found() {
    let ward = Ward::new(Generation::Three, "# rig: feature_flags=quorum_queue,virtual_host_metadata");
    let management = ["--management", &ward.node.management()];

    // Features that are not enabled, and a state that would be kept in streams.
    let url = ward.vhost("features").await;
    let etcd = rig::etcd().endpoint;
    let group = format!("[notification]\nworkload_partitioning = true\n[coordination]\nbackend_url = etcd3://{etcd}\n");
    let old = folder("doctor-features", &url, &group);
    old.write("pipeline.yaml", STATEFUL);
    let found = seen(&old, &management).await;
    found.expect("rabbitmq.streams.missing", "features", "stream_queue");
    found.expect("rabbitmq.feature_flag", "features", "rabbitmqctl enable_feature_flag all");
    assert_eq!(found.code, 4);
    ward.node.ctl(&["enable_feature_flag", "all"]);

    // Nothing is wrong, and nothing is changed.
    let url = ward.vhost("sound").await;
    let sound = folder("doctor-sound", &url, "");
    let before = ward.declared("sound").await;
    let found = seen(&sound, &management).await;
    assert_eq!((found.code, found.bad()), (0, [].into()), "{:#?}", found.findings);
    found.expect("rabbitmq.version", "sound", "3.10");
    found.expect("rabbitmq.queue.missing", "notifications.audit, notifications.critical, ", "not there");
    found.expect("rabbitmq.consumer_timeout.unknown", "sound", "rabbitmqctl eval");
    assert_eq!(found.of("rabbitmq.right.unknown").len(), 0, "an administrator sees the rights");
    assert_eq!(ward.declared("sound").await, before);

    rights(&ward).await;
    limits(&ward).await;
    differences(&ward).await;
    consumers(&ward).await;
    logins(&ward).await;

    // Last, because an alarm is one of the whole node.
    ward.node.ctl(&["set_vm_memory_high_watermark", "0.0001"]);
    let found = seen(&sound, &management).await;
    found.expect("rabbitmq.alarm", "sound", "low on memory");
    found.expect("rabbitmq.alarm", "sound", "memory on rabbit");
    let found = seen(&sound, &["--management", &format!("http://127.0.0.1:{}", nobody())]).await;
    found.expect("rabbitmq.alarm", "sound", "low on memory");
}

/// Rates are kept, so a pipeline queue has a state log.
const STATEFUL: &str = "\
sources:
  - name: all
    meters: ['*']
    sinks: [rates]
sinks:
  - name: rates
    transformers:
      - name: rate_of_change
        parameters:
          target: {name: cpu.rate, type: gauge}
    publishers: ['test://']
";

async fn rights(ward: &Ward) {
    let management = ["--management", &format!("http://guest:guest@127.0.0.1:{}", ward.node.port + 10)];
    ward.vhost("rights").await;
    ward.queue("rights", "notifications.info", false, json!({})).await;
    ward.user("limited", "").await;
    ward.rights("limited", "rights", ["^notifications", "^notifications[.]info$", "^(notifications[.]info|nova)$"])
        .await;
    let url = format!("amqp://limited:secret@127.0.0.1:{}/rights", ward.node.port);
    let patient = folder("doctor-rights", &url, "");
    let before = ward.declared("rights").await;
    let found = seen(&patient, &management).await;
    let mend = "rabbitmqctl set_permissions -p rights limited '.*' '.*' '.*'";
    let parked = format!("nephoscope.{}.parked", patient.name);
    for (right, name, is_missing) in [
        ("read queue", "notifications.info", false),
        ("read queue", "notifications.error", true),
        ("read queue", "nephoscope.rescued.notifications.info", true),
        ("read queue", &parked, true),
        ("write queue", "notifications.info", false),
        ("write queue", "notifications.error", true),
        ("read exchange", "nova", false),
        ("read exchange", "glance", true),
        ("write exchange", "amq.default", true),
        ("configure queue", "notifications.info", false),
        ("configure queue", &parked, true),
        ("configure exchange", "nova", true),
    ] {
        assert_eq!(found.lacks(right, name), is_missing, "{right} {name}: {:#?}", found.findings);
    }
    found.expect("rabbitmq.right.missing", "read queue", mend);
    assert_eq!(found.of("rabbitmq.right.missing").len(), 6, "one for each right on queues and on exchanges");
    assert_eq!(ward.declared("rights").await, before);

    // Without an administrator the right to configure is not known, and the others are.
    let away = format!("http://127.0.0.1:{}", nobody());
    let found = seen(&patient, &["--management", &away]).await;
    found.expect("rabbitmq.right.unknown", "configure", "rabbitmqctl list_user_permissions limited");
    found.expect("rabbitmq.management.unreachable", &away, "rabbitmq-plugins enable rabbitmq_management");
    assert!(found.lacks("read queue", "notifications.error"), "{:#?}", found.findings);
}

async fn limits(ward: &Ward) {
    let management = ["--management", &ward.node.management()];
    let url = ward.vhost("limits").await;
    for (queue, definition) in [
        ("info", json!({"message-ttl": 60_000})),
        ("error", json!({"max-length": 10})),
        ("warn", json!({"max-length-bytes": 1000, "overflow": "reject-publish"})),
        ("debug", json!({"expires": 600_000})),
        ("audit", json!({"consumer-timeout": 1000})),
    ] {
        // RabbitMQ 3.10 knows no timeout by a policy.
        if queue != "audit" {
            ward.policy("limits", queue, &format!("^notifications[.]{queue}$"), definition).await;
        }
    }
    ward.policy("limits", "everything", "^nephoscope", json!({"message-ttl": 5})).await;
    ward.policy("limits", "strange", "(?|(x)|(y))", json!({"message-ttl": 5})).await;
    let found = seen(&folder("doctor-limits", &url, ""), &management).await;
    let clear = |policy: &str| format!("rabbitmqctl clear_policy -p limits {policy}");
    found.expect("rabbitmq.queue.ttl", "notifications.info", "message-ttl is 60000 ms: policy info");
    found.expect("rabbitmq.queue.ttl", "notifications.info", &clear("info"));
    found.expect("rabbitmq.queue.max_length", "notifications.error", &clear("error"));
    found.expect("rabbitmq.queue.refuses", "notifications.warn", "max-length-bytes is 1000 bytes");
    found.expect("rabbitmq.queue.expires", "notifications.debug", "expires is 600000 ms");
    found.expect("rabbitmq.own_queue.drops", "nephoscope.", &clear("everything"));
    found.expect("rabbitmq.policy.unknown", "policy strange", "rabbitmqctl list_policies -p limits");
    assert_eq!(found.code, 4);

    // A limit of deliveries, by a policy, and by the declaration.
    let url = ward.vhost("returns").await;
    ward.policy("returns", "returns", "[.]info$", json!({"delivery-limit": 7})).await;
    ward.queue("returns", "notifications.error", true, json!({"x-queue-type": "quorum", "x-delivery-limit": 3})).await;
    let quorum = "[oslo_messaging_rabbit]\nrabbit_quorum_queue = true\nrabbit_quorum_delivery_limit = 3\n";
    let found = seen(&folder("doctor-returns", &url, quorum), &management).await;
    found.expect("rabbitmq.queue.delivery_limit", "notifications.error", "rabbit_quorum_delivery_limit = 0");
    let found = seen(&folder("doctor-returns-policy", &url, &quorum.replace("= 3", "= 0")), &management).await;
    found.expect("rabbitmq.queue.delivery_limit", "notifications.info", "delivery-limit is 7: policy returns");
}

async fn differences(ward: &Ward) {
    let management = ["--management", &ward.node.management()];
    let url = ward.vhost("differs").await;
    ward.queue("differs", "notifications.info", true, json!({"x-max-priority": 5})).await;
    ward.queue("differs", "notifications.error", false, json!({})).await;
    ward.queue("differs", "notifications.warn", true, json!({"x-queue-type": "quorum"})).await;
    ward.put("exchanges/differs/nova", json!({"type": "fanout", "durable": true})).await;
    // RabbitMQ 3.10 knows no default for a virtual host.
    let has_default = ward.node.generation == Generation::Four;
    if has_default {
        ward.put("vhosts/differs", json!({"default_queue_type": "quorum"})).await;
    }
    let found = seen(&folder("doctor-differs", &url, DURABLE), &management).await;
    found.expect("rabbitmq.queue.differs", "notifications.info", "x-max-priority is 5, configured is none");
    found.expect("rabbitmq.queue.differs", "notifications.warn", "it is a quorum queue, configured is classic");
    found.expect("rabbitmq.queue.not_durable", "notifications.error", "rabbitmqctl delete_queue -p differs");
    found.expect("rabbitmq.exchange.differs", "nova", "fanout");
    if has_default {
        found.expect("rabbitmq.vhost.quorum_by_default", "virtual host differs", "default queue type is quorum");
    }
}

/// A client that calls its connection so.
async fn connected(url: &str, name: &str) -> Connection {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    Connection::connect(url, properties).await.unwrap()
}

async fn consumers(ward: &Ward) {
    let management = ["--management", &ward.node.management()];
    let url = ward.vhost("consumers").await;
    let patient = folder("doctor-consumers", &url, DURABLE);
    let parked = format!("nephoscope.{}.parked", patient.name);
    for queue in ["notifications.info", "notifications.warn", "notifications.error", "versioned_notifications.info"] {
        ward.queue("consumers", queue, true, json!({})).await;
    }
    let arguments = json!({"x-queue-type": "classic", "x-max-length": 100_000, "x-overflow": "reject-publish"});
    ward.queue("consumers", &parked, true, arguments).await;
    let wire = Wire::connect(&url).await;
    for queue in ["notifications.error", "versioned_notifications.info", &parked] {
        assert!(wire.put(queue, b"x", BasicProperties::default()).await);
    }
    let (ceilometer, agent) = ("ceilometer-agent-notification:7:u", "nephoscope:7:u");
    let mut consuming = Vec::new();
    for (name, queue) in [(ceilometer, "notifications.info"), (agent, "notifications.warn")] {
        let connection = connected(&url, name).await;
        let channel = connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
        let tag = channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
        consuming.push((connection, tag.await.unwrap()));
    }
    // Without the management API it is known that there are consumers, and not who they are.
    let away = ["--management", &format!("http://127.0.0.1:{}", nobody())];
    let found = seen(&patient, &away).await;
    found.expect("rabbitmq.consumer.other", "notifications.info", "not known who they are");
    found.expect("rabbitmq.queue.unread", "notifications.error", "1 messages, no consumer");
    found.expect("group.parked", &parked, "nephoscope parked list");
    // Its statistics are some seconds late.
    let began = Instant::now();
    let found = loop {
        let found = seen(&patient, &management).await;
        let is_there = found.has("rabbitmq.queue.unread", "versioned_notifications.info", "1 messages")
            && !found.has("rabbitmq.consumer.other", "", "not known");
        if is_there || began.elapsed() > Duration::from_secs(30) {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    found.expect("rabbitmq.consumer.other", "notifications.info", ceilometer);
    found.expect(
        "rabbitmq.consumer.other",
        "notifications.info",
        "systemctl stop ceilometer-agent-notification on 127.0.0.1",
    );
    assert_eq!(found.of("rabbitmq.consumer.other").len(), 1, "an agent is none: {:#?}", found.findings);
    found.expect("rabbitmq.queue.unread", "versioned_notifications.info", "rabbitmqctl delete_queue -p consumers");
}

async fn logins(ward: &Ward) {
    let port = ward.node.port;
    ward.vhost("logins").await;
    for (user, tags) in [("nobody", ""), ("manager", "management")] {
        ward.user(user, tags).await;
        ward.rights(user, "logins", [".*", ".*", ".*"]).await;
    }
    let management = ward.node.management();
    let of = |name: &str, authority: &str| folder(name, &format!("amqp://{authority}/logins"), "");
    let found =
        seen(&of("doctor-tagless", &format!("nobody:secret@127.0.0.1:{port}")), &["--management", &management]).await;
    found.expect("rabbitmq.management.refused", &management, "rabbitmqctl set_user_tags nobody monitoring");
    assert_eq!(found.code, 0, "{:#?}", found.findings);
    let found =
        seen(&of("doctor-manager", &format!("manager:secret@127.0.0.1:{port}")), &["--management", &management]).await;
    found.expect("rabbitmq.management.partial", "/api/nodes", "401");

    let found = seen(&of("doctor-password", &format!("nobody:wrong@127.0.0.1:{port}")), &[]).await;
    found.expect("rabbitmq.refused", &port.to_string(), "wrong user or password");
    assert!(!found.findings.iter().any(|finding| finding.to_string().contains("wrong@")));
    let closed = nobody();
    let two = format!("nobody:secret@127.0.0.1:{closed},nobody:secret@127.0.0.1:{port}");
    let found = seen(&of("doctor-host", &two), &["--management", &management]).await;
    found.expect("rabbitmq.host.unreachable", &closed.to_string(), "systemctl start rabbitmq-server");
    let found = seen(&of("doctor-none", &format!("nobody:secret@127.0.0.1:{closed}")), &[]).await;
    found.expect("rabbitmq.unreachable", &closed.to_string(), "transport_url");
    assert_eq!(found.code, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_states_of_a_rabbitmq_4_are_found() {
    let ward = Ward::new(Generation::Four, "deprecated_features.permit.management_metrics_collection = true");
    let management = ["--management", &ward.node.management()];
    let url = ward.vhost("new").await;
    let sound = folder("doctor-new", &url, DURABLE);
    let before = ward.declared("new").await;
    let found = seen(&sound, &management).await;
    assert_eq!((found.code, found.bad()), (0, [].into()), "{:#?}", found.findings);
    found.expect("rabbitmq.version", "new", "4.0");
    let found = seen(&folder("doctor-transient", &url, ""), &management).await;
    found.expect("rabbitmq.transient_queues", "new", "amqp_durable_queues = true");

    // The limit that nobody set, and the line that lifts it.
    let quorum = folder("doctor-quorum", &url, "[oslo_messaging_rabbit]\nrabbit_quorum_queue = true\n");
    let found = seen(&quorum, &management).await;
    found.expect("rabbitmq.queue.delivery_limit", "notifications.", "delivery-limit is 20");
    let mend = found.of("rabbitmq.queue.delivery_limit")[0]["mend"].as_str().unwrap().to_owned();
    assert_eq!(ward.declared("new").await, before);
    let policy =
        json!({"pattern": "^(notifications)\\.", "definition": {"delivery-limit": -1}, "apply-to": "quorum_queues"});
    assert!(
        mend.contains("'^(notifications)\\.'") && mend.contains("'{\"delivery-limit\": -1}' --apply-to quorum_queues"),
        "{mend}"
    );
    ward.put("policies/new/nephoscope-delivery-limit", policy).await;
    let found = seen(&quorum, &management).await;
    assert_eq!((found.code, found.bad()), (0, [].into()), "{:#?}", found.findings);
    ward.policy("new", "impatient", "^notifications", json!({"consumer-timeout": 60_000})).await;
    let found = seen(&sound, &management).await;
    found.expect("rabbitmq.queue.consumer_timeout", "notifications.", "consumer-timeout is 60000 ms");

    // Rights are asked for in the same way.
    ward.user("limited", "").await;
    ward.queue("new", "notifications.info", true, json!({})).await;
    ward.rights("limited", "new", [".*", "^notifications[.]info$", "^(notifications[.]info|nova)$"]).await;
    let url = format!("amqp://limited:secret@127.0.0.1:{}/new", ward.node.port);
    let before = ward.declared("new").await;
    let found = seen(&folder("doctor-limited", &url, DURABLE), &management).await;
    for (right, name, is_missing) in [
        ("read queue", "notifications.info", false),
        ("read queue", "notifications.error", true),
        ("write queue", "notifications.info", false),
        ("write queue", "notifications.error", true),
        ("read exchange", "nova", false),
        ("read exchange", "glance", true),
        ("write exchange", "amq.default", true),
    ] {
        assert_eq!(found.lacks(right, name), is_missing, "{right} {name}: {:#?}", found.findings);
    }
    assert_eq!(ward.declared("new").await, before);
}

/// What the shared RabbitMQ 4 denies.
#[tokio::test(flavor = "multi_thread")]
async fn a_management_without_statistics_says_so() {
    let ward = Ward::new(Generation::Four, "");
    let url = ward.vhost("blind").await;
    let management = ward.node.management();
    let found = seen(&folder("doctor-blind", &url, DURABLE), &["--management", &management]).await;
    found.expect("rabbitmq.management.no_statistics", &management, "management_metrics_collection = true");
    assert_eq!((found.code, found.bad()), (0, [].into()), "{:#?}", found.findings);
}

#[rstest]
#[case("ftp://127.0.0.1")]
#[case("http://user@127.0.0.1:15672")]
#[tokio::test]
async fn an_address_that_is_none_is_refused(#[case] address: &str) {
    let folder = folder("doctor-address", "amqp://127.0.0.1:1/", "");
    let output = doctor(&folder, &["--management", address]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected http://host:15672"), "{output:?}");
}

/// A frozen broker answers nothing: doctor ends all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_node_is_down_is_away() {
    let cluster = rig::rabbitmq_cluster();
    let url = cluster.members[0].vhost("away");
    let wire =
        Wire::connect(&url.replace(&cluster.members[0].port.to_string(), &cluster.members[2].port.to_string())).await;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    wire.channel.queue_declare("notifications.info".into(), options, FieldTable::default()).await.unwrap();
    drop(wire);
    cluster.members[2].stop();
    let found = seen(&folder("doctor-away", &url, DURABLE), &[]).await;
    found.expect("rabbitmq.queue.away", "notifications.info", "systemctl start rabbitmq-server");
}
