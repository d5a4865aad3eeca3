//! Options that have no effect here: of other programs, of publishers that are not built, of former releases.

use super::Foreign;

const DEFAULT: &str = "DEFAULT";
const POLLING: &str = "it is for the polling agent";
const COLLECTOR: &str = "Ceilometer removed the collector in Queens; publish from the pipeline";
const RPC: &str = "the agent makes no RPC";
const OSLO_LOG: &str = "the agent has its own form of log lines; see [nephoscope] log_format and log_level";
const CACHE: &str = "the gnocchi publisher keeps what it knows of resources in memory";
const MONASCA: &str = "there is no monasca publisher; publish with https://";
const KAFKA: &str = "the agent supports RabbitMQ only";
const SOURCES: &str =
    "the agent reads files and environment variables only; write the options into a file of ceilometer.conf.d";
const FOR_EVER: &str = "oslo.messaging has removed it; the agent never stops trying to connect";

pub(super) const ROWS: &[Foreign] = &[
    Foreign { section: DEFAULT, names: &["meter_dispatchers", "event_dispatchers", "dispatcher"], why: COLLECTOR },
    Foreign {
        section: DEFAULT,
        names: &[
            "rpc_conn_pool_size",
            "conn_pool_min_size",
            "conn_pool_ttl",
            "rpc_response_timeout",
            "rpc_ping_enabled",
            "rpc_poll_timeout",
            "rpc_zmq_host",
            "rpc_cast_timeout",
        ],
        why: RPC,
    },
    Foreign { section: DEFAULT, names: &["config_source"], why: SOURCES },
    Foreign { section: "oslo_messaging_rabbit", names: &["rabbit_max_retries", "fake_rabbit"], why: FOR_EVER },
    Foreign { section: DEFAULT, names: &["rabbit_max_retries", "fake_rabbit"], why: FOR_EVER },
    Foreign {
        section: DEFAULT,
        names: &[
            "qpid_hostname",
            "qpid_hosts",
            "qpid_port",
            "qpid_username",
            "qpid_password",
            "qpid_sasl_mechanisms",
            "qpid_heartbeat",
            "qpid_protocol",
            "qpid_tcp_nodelay",
            "qpid_topology_version",
        ],
        why: KAFKA,
    },
    Foreign {
        section: DEFAULT,
        names: &[
            "verbose",
            "log_config_append",
            "log_config",
            "log_date_format",
            "log_format",
            "watch_log_file",
            "use_syslog",
            "use_syslog_rfc_format",
            "use_journal",
            "syslog_log_facility",
            "use_stderr",
            "log_color",
            "log_rotate_interval",
            "log_rotate_interval_type",
            "log_rotation_type",
            "max_logfile_count",
            "max_logfile_size_mb",
            "logging_context_format_string",
            "logging_default_format_string",
            "logging_debug_format_suffix",
            "logging_exception_prefix",
            "logging_user_identity_format",
            "default_log_levels",
            "publish_errors",
            "instance_format",
            "instance_uuid_format",
            "rate_limit_interval",
            "rate_limit_burst",
            "rate_limit_except_level",
            "fatal_deprecations",
        ],
        why: OSLO_LOG,
    },
    Foreign {
        section: DEFAULT,
        names: &[
            "polling_namespaces",
            "pollster_list",
            "batch_polled_samples",
            "shuffle_time_before_polling_task",
            "hypervisor_inspector",
            "libvirt_type",
            "libvirt_uri",
            "nova_http_log_debug",
            "rootwrap_config",
            "reseller_prefix",
            "partitioning_group_prefix",
            "ipmi_node_manager_init_retry",
            "tenant_name_discovery",
        ],
        why: POLLING,
    },
    Foreign {
        section: "polling",
        names: &[
            "cfg_file",
            "batch_size",
            "partitioning_group_prefix",
            "heartbeat_socket_dir",
            "pollsters_definitions_dirs",
            "enable_notifications",
            "enable_prometheus_exporter",
            "prometheus_listen_addresses",
            "ignore_disabled_projects",
            "threads_to_process_pollsters",
            "prometheus_tls_enable",
            "prometheus_tls_certfile",
            "prometheus_tls_keyfile",
        ],
        why: POLLING,
    },
    Foreign { section: "compute", names: &["*"], why: POLLING },
    Foreign { section: "collector", names: &["*"], why: COLLECTOR },
    Foreign { section: "dispatcher_gnocchi", names: &["*"], why: COLLECTOR },
    Foreign { section: "dispatcher_http", names: &["*"], why: COLLECTOR },
    Foreign { section: "dispatcher_file", names: &["*"], why: COLLECTOR },
    Foreign { section: "cache", names: &["*"], why: CACHE },
    Foreign { section: "monasca", names: &["*"], why: MONASCA },
    Foreign { section: "oslo_messaging_kafka", names: &["*"], why: KAFKA },
    Foreign { section: "oslo_messaging_amqp", names: &["*"], why: KAFKA },
    Foreign {
        section: "oslo_reports",
        names: &["*"],
        why: "there is no Guru Meditation Report; see [nephoscope] listen for the state of the agent",
    },
];
