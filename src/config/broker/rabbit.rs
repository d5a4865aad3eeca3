//! `[oslo_messaging_rabbit]`: the connection to a broker (Ceilometer reference §2.6).

use crate::config::values::Values;
use crate::model::Complaint;
use std::path::PathBuf;
use std::time::Duration;

/// What the section says, after the overrides of one URL's query.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each an option of its own")]
pub struct Rabbit {
    /// Whether exchanges and main queues survive a broker restart: `amqp_durable_queues` or quorum queues.
    pub durable: bool,
    /// Whether they go with their last user.
    pub auto_delete: bool,
    /// Whether main queues are quorum queues.
    pub quorum: bool,
    /// `x-delivery-limit`, if not 0.
    pub quorum_delivery_limit: Option<i64>,
    /// `x-max-in-memory-length`, if not 0.
    pub quorum_max_memory_length: Option<i64>,
    /// `x-max-in-memory-bytes`, if not 0.
    pub quorum_max_memory_bytes: Option<i64>,
    /// Whether main queues carry `x-ha-policy: all`.
    pub ha_queues: bool,
    /// Unacknowledged messages per consumer.
    pub prefetch: Prefetch,
    /// AMQP heartbeat; `None`: off.
    pub heartbeat: Option<Duration>,
    /// Whether hosts are tried in random order.
    pub shuffle: bool,
    /// First pause between attempts to connect.
    pub retry_interval: Duration,
    /// Longest pause between attempts to connect.
    pub interval_max: Duration,
    /// How to log in.
    pub login: Login,
    /// TLS; `None`: plain TCP.
    pub tls: Option<Tls>,
    /// Whether consumers carry `x-cancel-on-ha-failover`.
    pub cancel_on_failover: bool,
}

/// Unacknowledged messages per consumer of a main queue, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// How many; 0 is unlimited in AMQP, and read as 65,535 here.
    pub messages: u16,
    /// Whether the configuration says so.
    pub is_written: bool,
}

/// SASL mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// `AMQPLAIN`
    AmqPlain,
    /// `PLAIN`
    Plain,
    /// `EXTERNAL`: by client certificate.
    External,
}

/// Files of a TLS client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Authorities that the server's certificate is checked against; `None`: it is not checked at all.
    pub ca_file: Option<PathBuf>,
    /// Our certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// Whether the certificate must name the host (only with `ca_file`).
    pub verify_hostname: bool,
}

const SECTION: &str = "oslo_messaging_rabbit";

/// The section, as far as it concerns a consumer.
pub(in crate::config) fn read(values: &mut Values<'_>) -> Rabbit {
    let quorum = values.flag(SECTION, "rabbit_quorum_queue");
    let ha_queues = values.flag(SECTION, "rabbit_ha_queues");
    if quorum && ha_queues {
        let place = values.place(SECTION, "rabbit_ha_queues");
        let text = "[oslo_messaging_rabbit] rabbit_ha_queues and rabbit_quorum_queue exclude each other; remove rabbit_ha_queues";
        values.complain(Complaint::error(&place, text));
    }
    let login = match values.one_of(SECTION, "rabbit_login_method") {
        Some("PLAIN") => Login::Plain,
        Some("EXTERNAL") => Login::External,
        _ => Login::AmqPlain,
    };
    Rabbit {
        durable: quorum || values.flag(SECTION, "amqp_durable_queues"),
        auto_delete: values.flag(SECTION, "amqp_auto_delete"),
        quorum,
        quorum_delivery_limit: values.some_whole(SECTION, "rabbit_quorum_delivery_limit"),
        quorum_max_memory_length: values.some_whole(SECTION, "rabbit_quorum_max_memory_length"),
        quorum_max_memory_bytes: values.some_whole(SECTION, "rabbit_quorum_max_memory_bytes"),
        ha_queues,
        prefetch: prefetch(values),
        heartbeat: values.some_seconds(SECTION, "heartbeat_timeout_threshold").filter(|s| !s.is_zero()),
        shuffle: values.one_of(SECTION, "kombu_failover_strategy") == Some("shuffle"),
        retry_interval: values.seconds(SECTION, "rabbit_retry_interval"),
        interval_max: values.seconds(SECTION, "rabbit_interval_max"),
        login,
        tls: tls(values),
        cancel_on_failover: values.flag(SECTION, "enable_cancel_on_failover"),
    }
}

fn prefetch(values: &mut Values<'_>) -> Prefetch {
    const NAME: &str = "rabbit_qos_prefetch_count";
    let messages = u16::try_from(values.whole(SECTION, NAME)).ok().filter(|n| *n > 0).unwrap_or(u16::MAX);
    Prefetch { messages, is_written: values.is_written(SECTION, NAME) }
}

fn tls(values: &mut Values<'_>) -> Option<Tls> {
    let tls = Tls {
        ca_file: values.path(SECTION, "ssl_ca_file"),
        cert_file: values.path(SECTION, "ssl_cert_file"),
        key_file: values.path(SECTION, "ssl_key_file"),
        verify_hostname: values.flag(SECTION, "ssl_enforce_hostname_verification"),
    };
    if !values.flag(SECTION, "ssl") {
        return None;
    }
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        values.expected(
            SECTION,
            "ssl_cert_file",
            "a certificate and its key: write both ssl_cert_file and ssl_key_file",
        );
    }
    if tls.ca_file.is_none() {
        let place = values.place(SECTION, "ssl");
        let text = "[oslo_messaging_rabbit] ssl without ssl_ca_file checks no certificate; write ssl_ca_file";
        values.complain(Complaint::warning(&place, text));
    }
    Some(tls)
}
