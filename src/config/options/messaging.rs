//! Options of oslo.messaging and oslo.log (Ceilometer reference §2.2, §2.5, §2.6).

use super::{Kind, Opt, flag, list, number, one_of, row, secret, text, whole};

const DEFAULT: &str = "DEFAULT";
const RABBIT: &str = "oslo_messaging_rabbit";
const QUORUM: &[(&str, &str)] = &[(RABBIT, "rabbit_quorum_queue")];
const REPLIES: &str = "it is about reply and fanout queues, and the agent has none";
const POOL: &str = "the agent holds one connection per broker, and two more to the first: for its books, and for nephoscope top and the page";
const ONE_PAUSE: &str = "a lost connection is renewed after rabbit_retry_interval, cut at random by up to a half";

pub(super) const ROWS: &[Opt] = &[
    secret(
        DEFAULT,
        "transport_url",
        "rabbit://",
        "URL of the broker: rabbit://user:password@host:5672,user:password@host:5672/vhost",
    ),
    text(DEFAULT, "rpc_backend", "", "Kind of the broker, if no transport_url is written: rabbit"),
    text(DEFAULT, "control_exchange", "ceilometer", "Exchange of samples and events that the agent publishes over AMQP"),
    flag(DEFAULT, "debug", "false", "Logging of debug lines"),
    flag(DEFAULT, "use_json", "false", "Log lines as JSON"),
    text(DEFAULT, "log_file", "", "File of the log; without it, standard error").old(&[(DEFAULT, "logfile")]),
    text(DEFAULT, "log_dir", "", "Folder of log_file; without log_file, the log is nephoscope.log in it")
        .old(&[(DEFAULT, "logdir")]),
    secret(
        "oslo_messaging_notifications",
        "transport_url",
        "",
        "URL of the broker of notifications, if it differs from [DEFAULT] transport_url",
    )
    .old(&[(DEFAULT, "notification_transport_url")]),
    list(
        "oslo_messaging_notifications",
        "topics",
        "notifications",
        "Topics of notifications: the queues are <topic>.info, <topic>.error and so on",
    )
    .old(&[("rpc_notifier2", "topics"), (DEFAULT, "notification_topics")]),
    row("oslo_messaging_notifications", "driver", Kind::Multi, "", "Drivers of senders")
        .old(&[(DEFAULT, "notification_driver")])
        .without_effect("it is for senders; the agent publishes as [publisher_notifier] telemetry_driver says"),
    row("oslo_messaging_notifications", "retry", Kind::Whole { min: -1, max: 65_535 }, "-1", "Number of attempts to send")
        .without_effect("the agent offers a batch until the publisher accepts it"),
    list(RABBIT, "rabbit_hosts", "", "Hosts of the broker, as before Newton, if no transport_url names one")
        .old(&[(DEFAULT, "rabbit_hosts")]),
    text(RABBIT, "rabbit_host", "", "Host of the broker, if rabbit_hosts names none; without it, localhost")
        .old(&[(DEFAULT, "rabbit_host")]),
    row(RABBIT, "rabbit_port", Kind::Whole { min: 1, max: 65_535 }, "", "Port of hosts that have none; without it, 5672")
        .old(&[(DEFAULT, "rabbit_port")]),
    text(RABBIT, "rabbit_userid", "", "User at these hosts; without it, guest").old(&[(DEFAULT, "rabbit_userid")]),
    secret(RABBIT, "rabbit_password", "", "Password at these hosts; without it, guest").old(&[(DEFAULT, "rabbit_password")]),
    text(RABBIT, "rabbit_virtual_host", "", "Virtual host at these hosts; without it, /")
        .old(&[(DEFAULT, "rabbit_virtual_host")]),
    flag(RABBIT, "amqp_durable_queues", "false", "Durable exchanges and main queues, which survive a restart of the broker")
        .old(&[(DEFAULT, "amqp_durable_queues"), (DEFAULT, "rabbit_durable_queues")]),
    flag(RABBIT, "amqp_auto_delete", "false", "Exchanges and main queues that the broker deletes with their last user")
        .old(&[(DEFAULT, "amqp_auto_delete")]),
    flag(RABBIT, "rabbit_quorum_queue", "false", "Main queues of the type quorum; implies durable"),
    whole(RABBIT, "rabbit_quorum_delivery_limit", 0, "0", "x-delivery-limit of quorum queues; 0: not set")
        .only_with(QUORUM),
    whole(RABBIT, "rabbit_quorum_max_memory_length", 0, "0", "x-max-in-memory-length of quorum queues; 0: not set")
        .unit("messages")
        .old(&[(RABBIT, "rabbit_quroum_max_memory_length")])
        .only_with(QUORUM),
    whole(RABBIT, "rabbit_quorum_max_memory_bytes", 0, "0", "x-max-in-memory-bytes of quorum queues; 0: not set")
        .unit("bytes")
        .old(&[(RABBIT, "rabbit_quroum_max_memory_bytes")])
        .only_with(QUORUM),
    flag(RABBIT, "rabbit_ha_queues", "false", "Main queues with the argument x-ha-policy: all")
        .old(&[(DEFAULT, "rabbit_ha_queues")]),
    flag(RABBIT, "rabbit_transient_quorum_queue", "false", "Type of transient queues").without_effect(REPLIES),
    flag(RABBIT, "rabbit_stream_fanout", "false", "Streams for fanout").without_effect(REPLIES),
    whole(RABBIT, "rabbit_transient_queues_ttl", 0, "1800", "Life of unused transient queues")
        .seconds()
        .without_effect(REPLIES),
    whole(
        RABBIT,
        "rabbit_qos_prefetch_count",
        0,
        "100",
        "Unacknowledged messages per consumer; 0: 65535; not set: classic queues 20 to 1500, by size",
    )
    .at_most(65_535)
    .unit("messages"),
    whole(RABBIT, "heartbeat_timeout_threshold", 0, "60", "Period of the AMQP heartbeat; 0: none").at_most(65_535).seconds(),
    whole(RABBIT, "heartbeat_rate", 1, "3", "Checks per heartbeat")
        .without_effect("the client sends a heartbeat every half of heartbeat_timeout_threshold"),
    flag(RABBIT, "heartbeat_in_pthread", "false", "Heartbeats in a thread")
        .without_effect("heartbeats are always sent beside the work"),
    number(RABBIT, "kombu_reconnect_delay", "1.0", "Pause before a lost connection is renewed, at most 4.5")
        .seconds()
        .old(&[(DEFAULT, "kombu_reconnect_delay")])
        .without_effect(ONE_PAUSE),
    number(RABBIT, "kombu_reconnect_splay", "0.0", "Maximum random extra of that pause")
        .seconds()
        .without_effect(ONE_PAUSE),
    one_of(
        RABBIT,
        "kombu_failover_strategy",
        &["round-robin", "shuffle"],
        "round-robin",
        "Order in which the agent tries hosts",
    ),
    one_of(RABBIT, "kombu_compression", &["gzip", "bz2"], "", "Compression of messages that are sent")
        .without_effect("the agent does not compress what it sends; it reads what others compressed"),
    whole(RABBIT, "kombu_missing_consumer_retry_timeout", 0, "60", "Time that a reply waits for its receiver")
        .seconds()
        .old(&[(RABBIT, "kombu_reconnect_timeout")])
        .without_effect(REPLIES),
    whole(
        RABBIT,
        "rabbit_retry_interval",
        0,
        "1",
        "First pause between attempts to connect; each is cut at random by up to a half",
    )
    .seconds()
    .old(&[(DEFAULT, "rabbit_retry_interval")]),
    whole(RABBIT, "rabbit_retry_backoff", 0, "2", "What every attempt adds to that pause")
        .seconds()
        .old(&[(DEFAULT, "rabbit_retry_backoff")])
        .without_effect("every failed attempt doubles the pause, up to rabbit_interval_max"),
    whole(RABBIT, "rabbit_interval_max", 1, "30", "Longest pause between attempts to connect").seconds(),
    one_of(RABBIT, "rabbit_login_method", &["PLAIN", "AMQPLAIN", "EXTERNAL"], "AMQPLAIN", "Method of the login")
        .old(&[(DEFAULT, "rabbit_login_method")]),
    flag(RABBIT, "ssl", "false", "TLS to the broker").old(&[(RABBIT, "rabbit_use_ssl"), (DEFAULT, "rabbit_use_ssl")]),
    text(RABBIT, "ssl_version", "", "TLS version")
        .old(&[(RABBIT, "kombu_ssl_version"), (DEFAULT, "kombu_ssl_version")])
        .without_effect("client and broker agree on TLS 1.3 or 1.2; the agent does not support older versions"),
    text(RABBIT, "ssl_key_file", "", "Key of the agent's certificate, in PEM")
        .old(&[(RABBIT, "kombu_ssl_keyfile"), (DEFAULT, "kombu_ssl_keyfile")]),
    text(RABBIT, "ssl_cert_file", "", "Certificate of the agent, in PEM")
        .old(&[(RABBIT, "kombu_ssl_certfile"), (DEFAULT, "kombu_ssl_certfile")]),
    text(
        RABBIT,
        "ssl_ca_file",
        "",
        "Authorities by which the agent verifies the broker's certificate, in PEM; without it, the agent verifies nothing",
    )
    .old(&[(RABBIT, "kombu_ssl_ca_certs"), (DEFAULT, "kombu_ssl_ca_certs")]),
    flag(RABBIT, "ssl_enforce_hostname_verification", "true", "Check that the broker's certificate names its host"),
    flag(RABBIT, "ssl_enforce_fips_mode", "false", "FIPS mode of Python's TLS")
        .without_effect("it has no effect in oslo.messaging either"),
    flag(RABBIT, "enable_cancel_on_failover", "false", "Consumers with the argument x-cancel-on-ha-failover"),
    whole(RABBIT, "rpc_conn_pool_size", 1, "30", "Connections for sending").without_effect(POOL),
    whole(RABBIT, "conn_pool_min_size", 0, "2", "Connections for sending kept open").without_effect(POOL),
    whole(RABBIT, "conn_pool_ttl", 0, "1200", "Life of idle connections").seconds().without_effect(POOL),
    flag(RABBIT, "use_queue_manager", "false", "Names of reply queues").without_effect(REPLIES),
    text(RABBIT, "hostname", "", "Part of names of reply queues").without_effect(REPLIES),
    text(RABBIT, "processname", "", "Part of names of reply queues").without_effect(REPLIES),
    flag(RABBIT, "direct_mandatory_flag", "true", "Mandatory replies").without_effect(REPLIES),
];
