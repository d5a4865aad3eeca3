//! The table of everything that can be found. `docs/doctor.md` is printed from it; a test compares.
//!
//! Words in capitals stand for what a finding fills in.

use super::finding::{Kind, Severity};

const fn error(id: &'static str, meaning: &'static str, mend: &'static str) -> Kind {
    Kind { id, severity: Severity::Error, meaning, mend }
}

const fn warning(id: &'static str, meaning: &'static str, mend: &'static str) -> Kind {
    Kind { id, severity: Severity::Warning, meaning, mend }
}

const fn note(id: &'static str, meaning: &'static str, mend: &'static str) -> Kind {
    Kind { id, severity: Severity::Note, meaning, mend }
}

/// Every row, in the order of the page.
pub(super) const ALL: &[&Kind] = &[
    &CONFIGURATION_WRONG,
    &RABBITMQ_UNREACHABLE,
    &RABBITMQ_HOST_UNREACHABLE,
    &RABBITMQ_REFUSED,
    &RABBITMQ_VERSION,
    &RABBITMQ_VERSION_OLD,
    &RABBITMQ_RIGHT_MISSING,
    &RABBITMQ_RIGHT_UNKNOWN,
    &RABBITMQ_ALARM,
    &RABBITMQ_NODE_DOWN,
    &RABBITMQ_PARTITION,
    &RABBITMQ_FEATURE_FLAG,
    &RABBITMQ_STREAMS_MISSING,
    &RABBITMQ_TRANSIENT_QUEUES,
    &RABBITMQ_QUORUM_BY_DEFAULT,
    &RABBITMQ_CONSUMER_TIMEOUT,
    &EXCHANGE_DIFFERS,
    &QUEUE_MISSING,
    &QUEUE_AWAY,
    &QUEUE_DIFFERS,
    &QUEUE_NOT_DURABLE,
    &QUEUE_DELIVERY_LIMIT,
    &QUEUE_TTL,
    &QUEUE_MAX_LENGTH,
    &QUEUE_REFUSES,
    &QUEUE_EXPIRES,
    &QUEUE_CONSUMER_TIMEOUT,
    &QUEUE_DROPS,
    &QUEUE_UNREAD,
    &CONSUMER_OTHER,
    &POLICY_UNKNOWN,
    &MANAGEMENT_UNREACHABLE,
    &MANAGEMENT_REFUSED,
    &MANAGEMENT_PARTIAL,
    &MANAGEMENT_NO_STATISTICS,
    &ETCD_UNREACHABLE,
    &ETCD_ENDPOINT_UNREACHABLE,
    &ETCD_REFUSED,
    &ETCD_VERSION,
    &ETCD_VERSION_OLD,
    &ETCD_RIGHT_MISSING,
    &ETCD_ALARM,
    &ETCD_NO_LEADER,
    &ETCD_SLOW,
    &GROUP_UNREADABLE,
    &GROUP_PAUSED,
    &GROUP_NOT_READY,
    &GROUP_DIFFERS,
    &GROUP_PARKED,
    &CLOCK_DIFFERS,
    &CLOCK_UNKNOWN,
    &PUBLISHER_UNREACHABLE,
    &PUBLISHER_NOT_LOOKED_AT,
    &GNOCCHI_REFUSED,
    &GNOCCHI_MISSING,
    &GNOCCHI_DIFFERS,
];

pub(super) const CONFIGURATION_WRONG: Kind = error(
    "configuration.wrong",
    "The definitions, pipelines or publishers have errors, so an agent does not start.",
    "nephoscope check",
);
pub(super) const RABBITMQ_UNREACHABLE: Kind = error(
    "rabbitmq.unreachable",
    "No host of this broker answers, so nothing of it was looked at.",
    "start RabbitMQ (systemctl start rabbitmq-server), or correct the hosts in transport_url",
);
pub(super) const RABBITMQ_HOST_UNREACHABLE: Kind = warning(
    "rabbitmq.host.unreachable",
    "This host does not answer; agents use the other hosts of the URL.",
    "start RabbitMQ there (systemctl start rabbitmq-server), or take the host out of transport_url",
);
pub(super) const RABBITMQ_REFUSED: Kind = error(
    "rabbitmq.refused",
    "The broker refuses the login, the virtual host or the way to it.",
    "do what the refusal says",
);
pub(super) const RABBITMQ_VERSION: Kind =
    note("rabbitmq.version", "The version of the broker. The tests run on 3.10 and 4.0.", "nothing to do");
pub(super) const RABBITMQ_VERSION_OLD: Kind = warning(
    "rabbitmq.version.old",
    "The version of the broker is older than the oldest that the tests run on, 3.10.",
    "upgrade RabbitMQ to 3.10 or newer",
);
pub(super) const RABBITMQ_RIGHT_MISSING: Kind = error(
    "rabbitmq.right.missing",
    "The user has not a right that an agent needs; the queues that need it are not opened.",
    "rabbitmqctl set_permissions -p VHOST USER '.*' '.*' '.*'",
);
pub(super) const RABBITMQ_RIGHT_UNKNOWN: Kind = note(
    "rabbitmq.right.unknown",
    "The right to configure was not looked at: only an administrator of the management API may read it, and to ask for it in \
     another way would change something.",
    "rabbitmqctl list_user_permissions USER",
);
pub(super) const RABBITMQ_ALARM: Kind = error(
    "rabbitmq.alarm",
    "A node is low on memory or disk; the broker takes no messages, and whoever publishes is blocked.",
    "rabbitmq-diagnostics alarms; then free what it names",
);
pub(super) const RABBITMQ_NODE_DOWN: Kind = warning(
    "rabbitmq.node.down",
    "A node of the cluster does not run; classic queues on it are away.",
    "start RabbitMQ on that node (systemctl start rabbitmq-server)",
);
pub(super) const RABBITMQ_PARTITION: Kind = error(
    "rabbitmq.partition",
    "Nodes of the cluster do not see each other; a queue may have two consumers, and may lose messages when they meet.",
    "rabbitmqctl cluster_status; then restart the nodes of the smaller side",
);
pub(super) const RABBITMQ_FEATURE_FLAG: Kind = warning(
    "rabbitmq.feature_flag",
    "A stable feature is not enabled; the next version of RabbitMQ may refuse to start without it.",
    "rabbitmqctl enable_feature_flag all",
);
pub(super) const RABBITMQ_STREAMS_MISSING: Kind = error(
    "rabbitmq.streams.missing",
    "The broker has no streams because the feature is not enabled; transformers keep their state in streams.",
    "rabbitmqctl enable_feature_flag stream_queue",
);
pub(super) const RABBITMQ_TRANSIENT_QUEUES: Kind = warning(
    "rabbitmq.transient_queues",
    "The configuration has main queues that are not durable; RabbitMQ 4 calls them deprecated, and can deny them.",
    "set [oslo_messaging_rabbit] amqp_durable_queues = true or rabbit_quorum_queue = true for all services",
);
pub(super) const RABBITMQ_QUORUM_BY_DEFAULT: Kind = warning(
    "rabbitmq.vhost.quorum_by_default",
    "The virtual host makes quorum queues of main queues that are configured as durable; they get a delivery limit.",
    "set [oslo_messaging_rabbit] rabbit_quorum_queue = true for all services, or set the default back: \
     rabbitmqctl update_vhost_metadata VHOST --default-queue-type classic",
);
pub(super) const RABBITMQ_CONSUMER_TIMEOUT: Kind = note(
    "rabbitmq.consumer_timeout.unknown",
    "RabbitMQ closes the channel of a consumer that has not acknowledged for 30 minutes, unless its own file says otherwise. No \
     API tells what that file says.",
    "rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).'",
);
pub(super) const EXCHANGE_DIFFERS: Kind = error(
    "rabbitmq.exchange.differs",
    "An exchange of the services is no topic exchange; the agent cannot declare it, and opens no main queue.",
    "rename the exchange in [notification] notification_control_exchanges, or delete it and restart its service",
);
pub(super) const QUEUE_MISSING: Kind = note(
    "rabbitmq.queue.missing",
    "The queue is not there yet; the agent declares it when it starts.",
    "nothing to do",
);
pub(super) const QUEUE_AWAY: Kind = error(
    "rabbitmq.queue.away",
    "The queue is there, and the node that holds it does not answer.",
    "start that node of the cluster (systemctl start rabbitmq-server)",
);
pub(super) const QUEUE_DIFFERS: Kind = error(
    "rabbitmq.queue.differs",
    "The queue is there with other properties than the configuration has; the broker refuses to declare it (406), and the \
     agent does not open it.",
    "give [oslo_messaging_rabbit] of the agent the values that the services have; or, with all its users stopped: \
     rabbitmqctl delete_queue -p VHOST QUEUE",
);
pub(super) const QUEUE_NOT_DURABLE: Kind = warning(
    "rabbitmq.queue.not_durable",
    "The queue is configured as durable and is there as a transient one; the agent uses it as it is. It and its messages go when \
     the broker restarts.",
    "with all its users stopped: rabbitmqctl delete_queue -p VHOST QUEUE",
);
pub(super) const QUEUE_DELIVERY_LIMIT: Kind = warning(
    "rabbitmq.queue.delivery_limit",
    "The broker drops a message that came back more often than this, without a word.",
    "rabbitmqctl set_policy -p VHOST nephoscope-delivery-limit PATTERN '{\"delivery-limit\": LIMIT}' --apply-to KIND",
);
pub(super) const QUEUE_TTL: Kind = warning(
    "rabbitmq.queue.ttl",
    "The broker drops notifications that wait longer than this, before any agent sees them.",
    CLEAR,
);
pub(super) const QUEUE_MAX_LENGTH: Kind = warning(
    "rabbitmq.queue.max_length",
    "The broker drops the oldest notifications when the queue is full, before any agent sees them.",
    CLEAR,
);
pub(super) const QUEUE_REFUSES: Kind = warning(
    "rabbitmq.queue.refuses",
    "The broker refuses messages when the queue is full. A service may lose a notification that is refused; an agent holds its \
     own.",
    CLEAR,
);
pub(super) const QUEUE_EXPIRES: Kind = warning(
    "rabbitmq.queue.expires",
    "The broker deletes the queue, with its notifications, when nobody has consumed it for this time.",
    CLEAR,
);
pub(super) const QUEUE_CONSUMER_TIMEOUT: Kind = warning(
    "rabbitmq.queue.consumer_timeout",
    "RabbitMQ closes the channel of a consumer that has not acknowledged for this time. A publisher that is away for longer \
     brings repeats about.",
    CLEAR,
);
pub(super) const QUEUE_DROPS: Kind = error(
    "rabbitmq.own_queue.drops",
    "A policy lets the broker drop what is in a queue of the agents. The agents have acknowledged it at the main queue, so it is \
     lost.",
    CLEAR,
);
pub(super) const QUEUE_UNREAD: Kind = warning(
    "rabbitmq.queue.unread",
    "Messages wait in the queue, and nobody consumes it. It grows until the broker has an alarm.",
    "start what reads it; or stop what sends there, and: rabbitmqctl delete_queue -p VHOST QUEUE",
);
pub(super) const CONSUMER_OTHER: Kind = warning(
    "rabbitmq.consumer.other",
    "Another program consumes a main queue, such as a Ceilometer that still runs. With [nephoscope] main_queue_exclusive an \
     agent waits for it to end; without, both get a part of the notifications.",
    "systemctl stop ceilometer-agent-notification on HOST; or set [nephoscope] main_queue_exclusive = false meanwhile",
);
pub(super) const POLICY_UNKNOWN: Kind = note(
    "rabbitmq.policy.unknown",
    "The pattern of a policy cannot be understood here, so it was taken for one that matches nothing.",
    "rabbitmqctl list_policies -p VHOST",
);
pub(super) const MANAGEMENT_UNREACHABLE: Kind = note(
    "rabbitmq.management.unreachable",
    "The management API does not answer. Policies, arguments of queues, alarms of nodes, feature flags and other consumers were \
     not looked at.",
    "rabbitmq-plugins enable rabbitmq_management; or name it with --management URL",
);
pub(super) const MANAGEMENT_REFUSED: Kind = note(
    "rabbitmq.management.refused",
    "The management API does not take the login of transport_url. Policies, arguments of queues, alarms of nodes, feature flags \
     and other consumers were not looked at.",
    "rabbitmqctl set_user_tags USER monitoring; or name an administrator: --management http://user:password@HOST:15672",
);
pub(super) const MANAGEMENT_PARTIAL: Kind = note(
    "rabbitmq.management.partial",
    "The management API does not show this page to the user, so what stands on it was not looked at.",
    "name an administrator: --management http://user:password@HOST:15672",
);
pub(super) const MANAGEMENT_NO_STATISTICS: Kind = note(
    "rabbitmq.management.no_statistics",
    "The management API has no statistics, so who consumes a queue, and what waits in queues of others, was not looked at.",
    "allow them in rabbitmq.conf: management_agent.disable_metrics_collector = false and \
     deprecated_features.permit.management_metrics_collection = true",
);
pub(super) const ETCD_UNREACHABLE: Kind = error(
    "etcd.unreachable",
    "No endpoint of etcd answers, so agents cannot meet in a group.",
    "start etcd (systemctl start etcd), or correct [coordination] backend_url",
);
pub(super) const ETCD_ENDPOINT_UNREACHABLE: Kind = warning(
    "etcd.endpoint.unreachable",
    "This endpoint of etcd does not answer; agents use the others.",
    "start etcd there (systemctl start etcd), or take the endpoint out of [coordination] backend_url",
);
pub(super) const ETCD_REFUSED: Kind =
    error("etcd.refused", "etcd refuses the login, or the way to it.", "do what the refusal says");
pub(super) const ETCD_VERSION: Kind = note(
    "etcd.version",
    "The version of etcd, and the median time of a read. The tests run on 3.4 and 3.5.",
    "nothing to do",
);
pub(super) const ETCD_VERSION_OLD: Kind = warning(
    "etcd.version.old",
    "The version of etcd is older than the oldest that the tests run on, 3.4.",
    "upgrade etcd to 3.4 or newer",
);
pub(super) const ETCD_RIGHT_MISSING: Kind = error(
    "etcd.right.missing",
    "The user may not read or not write the keys of the group, so an agent cannot join.",
    "etcdctl role grant-permission ROLE --prefix=true readwrite PREFIX",
);
pub(super) const ETCD_ALARM: Kind = error(
    "etcd.alarm",
    "etcd has an alarm: with NOSPACE it takes no writes until its database is smaller, with CORRUPT its members differ.",
    "etcdctl alarm list; after NOSPACE: etcdctl compact, etcdctl defrag, etcdctl alarm disarm",
);
pub(super) const ETCD_NO_LEADER: Kind = error(
    "etcd.no_leader",
    "This endpoint knows no leader: less than half of the members of etcd see each other.",
    "start the other members of etcd (systemctl start etcd)",
);
pub(super) const ETCD_SLOW: Kind = warning(
    "etcd.slow",
    "A read takes long; when etcd is slower than the lease of a member, the member loses its queues.",
    "give etcd a faster disk, or raise [coordination] heartbeat",
);
pub(super) const GROUP_UNREADABLE: Kind = error(
    "group.unreadable",
    "A key of the group is not in a format that this version reads; perhaps a newer version wrote it.",
    "use the version of the other members, or another [nephoscope] group",
);
pub(super) const GROUP_PAUSED: Kind = warning(
    "group.paused",
    "Rebalancing is paused: queues stay where they are when members join.",
    "nephoscope cluster resume",
);
pub(super) const GROUP_NOT_READY: Kind = warning(
    "group.member.not_ready",
    "A member is in the group and takes no queues.",
    "journalctl -u nephoscope on HOST",
);
pub(super) const GROUP_DIFFERS: Kind = warning(
    "group.configuration_differs",
    "Members run with different definitions or pipelines, and do not count for each other's placement.",
    "systemctl reload nephoscope on each host, with the same files",
);
pub(super) const GROUP_PARKED: Kind = warning(
    "group.parked",
    "Messages are parked: they could not be used, and wait for a person.",
    "nephoscope parked list",
);
pub(super) const CLOCK_DIFFERS: Kind = warning(
    "clock.differs",
    "The clock of this server differs from the clock here. Times in samples, in etcd's history and in logs are not comparable.",
    "chronyc makestep on both hosts, with time synchronisation on",
);
pub(super) const CLOCK_UNKNOWN: Kind = note(
    "clock.unknown",
    "The server did not say what time it is, so its clock was not compared.",
    "compare it by hand: date --utc",
);
pub(super) const PUBLISHER_UNREACHABLE: Kind = error(
    "publisher.unreachable",
    "The destination of a publisher cannot be reached. The agent holds what is meant for it.",
    "start the server that it names, or correct the publisher in the pipeline file",
);
pub(super) const PUBLISHER_NOT_LOOKED_AT: Kind = note(
    "publisher.not_looked_at",
    "To look at this destination would change something on this machine, or it tells nobody that it is there.",
    "nephoscope check looks at its options and files",
);
pub(super) const GNOCCHI_REFUSED: Kind = error(
    "gnocchi.refused",
    "Gnocchi, or the Keystone before it, does not answer or does not take the login.",
    "do what the refusal says",
);
pub(super) const GNOCCHI_MISSING: Kind = error(
    "gnocchi.missing",
    "Gnocchi lacks a resource type, an attribute or an archive policy that samples and events need.",
    "nephoscope gnocchi-setup",
);
pub(super) const GNOCCHI_DIFFERS: Kind = warning(
    "gnocchi.differs",
    "Gnocchi has something otherwise than Ceilometer has it, or something of the definitions is not there.",
    "gnocchi resource-type list; then change it by hand, or correct gnocchi_resources.yaml",
);

/// The whole of a command that depends on where a setting comes from: an argument, a policy, an operator policy.
pub(super) const CLEAR: &str = "CLEAR";
