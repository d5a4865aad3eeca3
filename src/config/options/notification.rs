//! Ceilometer's own options, of all its eras (Ceilometer reference §2.1 to §2.4).

use super::{Kind, Opt, PARTITIONING, flag, list, multi, number, one_of, row, secret, text, whole};

const NOTIFICATION: &str = "notification";
const DEFAULT: &str = "DEFAULT";
const TAKES_WHAT_IS_THERE: &str =
    "the agent takes what is there, up to 100 messages or 4 MiB, and never waits for more";
const ONE_PROCESS: &str =
    "one process uses the cores there are; to share the work, run more agents with workload_partitioning";

pub(super) const ROWS: &[Opt] = &[
    whole(NOTIFICATION, "workers", 1, "1", "Worker processes")
        .old(&[(DEFAULT, "notification_workers")])
        .at_most(1024)
        .without_effect(ONE_PROCESS),
    multi(NOTIFICATION, "pipelines", "meter,event", "Kinds of pipelines that run: meter, event"),
    row(
        NOTIFICATION,
        "messaging_urls",
        Kind::MultiSecret,
        "",
        "Brokers that notifications come from; without any, the broker of transport_url",
    ),
    flag(
        NOTIFICATION,
        "ack_on_event_error",
        "true",
        "Acknowledgement of a notification whose event fails",
    )
    .without_effect("a definition that fails is a complaint, and the agent holds a batch that a publisher does not accept"),
    whole(NOTIFICATION, "batch_size", 1, "1", "Number of notifications handled at once")
        .at_most(65_535)
        .unit("notifications")
        .without_effect(TAKES_WHAT_IS_THERE),
    number(NOTIFICATION, "batch_timeout", "", "Time that a batch may wait to fill")
        .seconds()
        .without_effect(TAKES_WHAT_IS_THERE),
    multi(
        NOTIFICATION,
        "notification_control_exchanges",
        "nova,glance,neutron,cinder,heat,keystone,trove,zaqar,swift,ceilometer,magnum,dns,ironic,aodh",
        "Exchanges that notifications come from; one empty value means none, to drain an agent",
    )
    .old(&[(DEFAULT, "http_control_exchanges")]),
    whole(
        NOTIFICATION,
        "pipeline_processing_queues",
        1,
        "10",
        "Number of pipeline queues of each pipeline, shared by the members; counts only when the group is new",
    )
    .at_most(1024)
    .unit("queues")
    .only_with(PARTITIONING),
    flag(NOTIFICATION, "workload_partitioning", "false", "Sharing of the work among the agents of a group, by pipeline queues"),
    flag(NOTIFICATION, "store_events", "true", "Events: whether the agent makes them"),
    flag(
        NOTIFICATION,
        "disable_non_metric_meters",
        "true",
        "Omission of the meters of the classic listeners, which only count (volume 1)",
    ),
    text(DEFAULT, "nova_control_exchange", "nova", "Exchange of Nova"),
    text(DEFAULT, "glance_control_exchange", "glance", "Exchange of Glance"),
    text(DEFAULT, "cinder_control_exchange", "cinder", "Exchange of Cinder"),
    text(DEFAULT, "neutron_control_exchange", "neutron", "Exchange of Neutron")
        .old(&[(DEFAULT, "quantum_control_exchange")]),
    text(DEFAULT, "heat_control_exchange", "heat", "Exchange of Heat"),
    text(DEFAULT, "keystone_control_exchange", "keystone", "Exchange of Keystone"),
    text(DEFAULT, "sahara_control_exchange", "sahara", "Exchange of Sahara"),
    text(DEFAULT, "trove_control_exchange", "trove", "Exchange of Trove"),
    text(DEFAULT, "zaqar_control_exchange", "zaqar", "Exchange of Zaqar"),
    text(DEFAULT, "swift_control_exchange", "swift", "Exchange of Swift"),
    text(DEFAULT, "magnum_control_exchange", "magnum", "Exchange of Magnum"),
    text(DEFAULT, "magnetodb_control_exchange", "magnetodb", "Exchange of MagnetoDB"),
    text(DEFAULT, "ceilometer_control_exchange", "ceilometer", "Exchange of Ceilometer"),
    text(DEFAULT, "dns_control_exchange", "dns", "Exchange of Designate"),
    text(DEFAULT, "ironic_exchange", "ironic", "Exchange of Ironic"),
    text(DEFAULT, "pipeline_cfg_file", "pipeline.yaml", "File of the pipelines of samples"),
    text(DEFAULT, "event_pipeline_cfg_file", "event_pipeline.yaml", "File of the pipelines of events"),
    flag(DEFAULT, "refresh_pipeline_cfg", "false", "Reload when a definition file changes, without SIGHUP"),
    flag(DEFAULT, "refresh_event_pipeline_cfg", "false", "Reload when a definition file changes, without SIGHUP; either option does it"),
    number(DEFAULT, "pipeline_polling_interval", "20", "Period of looking at the files for changes")
        .seconds()
        .only_with(&[(DEFAULT, "refresh_pipeline_cfg"), (DEFAULT, "refresh_event_pipeline_cfg")]),
    whole(DEFAULT, "max_parallel_requests", 1, "64", "Number of requests of one HTTP publisher at once")
        .at_most(65_535)
        .without_effect("a sink has one batch under way, which keeps order; write concurrency= in the publisher's URL"),
    whole(DEFAULT, "executor_thread_pool_size", 1, "64", "Number of threads of a listener")
        .old(&[(DEFAULT, "rpc_thread_pool_size")])
        .without_effect(ONE_PROCESS),
    text(DEFAULT, "host", "", "Name of this machine in publisher IDs; without it, its host name"),
    text(DEFAULT, "sample_source", "openstack", "Source of samples made from notifications"),
    list(DEFAULT, "reserved_metadata_namespace", "metering.", "Prefixes of user metadata that are copied to samples"),
    whole(DEFAULT, "reserved_metadata_length", 0, "256", "Maximum length of a copied metadata value").unit("characters"),
    list(DEFAULT, "reserved_metadata_keys", "", "Further keys of user metadata that are copied to samples"),
    whole(DEFAULT, "graceful_shutdown_timeout", 0, "60", "Maximum time of a drain when the agent stops; 0: no limit")
        .seconds(),
    flag(DEFAULT, "log_options", "true", "Logging of options at start")
        .without_effect("`nephoscope check` prints what the configuration means"),
    whole(DEFAULT, "http_timeout", 0, "600", "Timeout of HTTP requests")
        .seconds()
        .without_effect("publishers never used it; write timeout= in the publisher's URL"),
    multi(
        "meter",
        "meter_definitions_dirs",
        "/etc/ceilometer/meters.d",
        "Folders of meter definitions, in order; without any, this one and the shipped definitions",
    ),
    text("meter", "meter_definitions_cfg_file", "", "File of meter definitions, as before Pike"),
    text("event", "definitions_cfg_file", "event_definitions.yaml", "File of event definitions"),
    flag("event", "drop_unmatched_notifications", "false", "Dropping of notifications without an event definition; else they make an event without traits"),
    multi("event", "store_raw", "", "Priorities whose raw notification is kept in the event: info, error"),
    secret("publisher", "telemetry_secret", "change this for valid signing", "Key of signatures; empty: no signatures")
        .old(&[("publisher", "metering_secret"), ("publisher_rpc", "metering_secret"), (DEFAULT, "metering_secret")]),
    text("publisher_notifier", "metering_topic", "metering", "Topic of samples"),
    text("publisher_notifier", "event_topic", "event", "Topic of events"),
    one_of(
        "publisher_notifier",
        "telemetry_driver",
        &["messaging", "messagingv2"],
        "messagingv2",
        "Message format of samples and events published over AMQP",
    )
    .old(&[("publisher_notifier", "metering_driver")]),
    text("publisher_rpc", "metering_topic", "metering", "Topic of the rpc publisher")
        .without_effect("Ceilometer removed the rpc publisher in Liberty; publish with notifier://"),
    flag("polling", "identity_name_discovery", "false", "Lookup of the names of users and projects")
        .old(&[("polling", "tenant_name_discovery")])
        .without_effect("the agent cannot look names up in Keystone yet"),
    secret("coordination", "backend_url", "", "URL of etcd: etcd3+http://host:2379 or etcd3+https://host:2379")
        .only_with(PARTITIONING),
    number("coordination", "check_watchers", "10", "Period of the full read of the group")
        .seconds()
        .only_with(PARTITIONING),
    number("coordination", "heartbeat", "", "Lease of a member: how long it keeps its queues when it stops responding; [nephoscope] lease_ttl wins")
        .seconds()
        .only_with(PARTITIONING),
    number(
        "coordination",
        "silence_limit",
        "0",
        "Time past its lease during which a member works on while etcd does not answer; 0: until etcd says that the lease is gone",
    )
    .seconds()
    .only_with(PARTITIONING),
    number("coordination", "retry_backoff", "1", "First pause between attempts to join")
        .seconds()
        .without_effect("attempts to join back off from 1 to 30 seconds"),
    number("coordination", "max_retry_interval", "30", "Longest pause between attempts to join")
        .seconds()
        .without_effect("attempts to join back off from 1 to 30 seconds"),
];
