//! `[oslo_messaging_rabbit]`: how to talk to a broker (Ceilometer reference §2.6).

use std::path::PathBuf;
use std::time::Duration;

/// What the section says, after the overrides of one URL's query.
#[derive(Debug, Clone, PartialEq)]
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
    /// Unacknowledged messages per consumer; 0 is unlimited in AMQP, and read as 65,535 here.
    pub prefetch_messages: u16,
    /// AMQP heartbeat; `None`: off.
    pub heartbeat: Option<Duration>,
    /// Pause before a lost connection is renewed.
    pub reconnect_delay: Duration,
    /// Random extra of that pause, at most.
    pub reconnect_splay: Duration,
    /// Whether hosts are tried in random order.
    pub shuffle: bool,
    /// First pause between attempts to connect.
    pub retry_interval: Duration,
    /// What is added to the pause with every attempt.
    pub retry_backoff: Duration,
    /// Longest pause between attempts to connect.
    pub interval_max: Duration,
    /// How to log in.
    pub login: Login,
    /// TLS; `None`: plain TCP.
    pub tls: Option<Tls>,
    /// Whether consumers carry `x-cancel-on-ha-failover`.
    pub cancel_on_failover: bool,
    /// Compression of what we send.
    pub compression: Option<Compression>,
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
    /// `RABBIT-CR-DEMO`
    RabbitCrDemo,
}

/// Compression that oslo.messaging names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip
    Gzip,
    /// bzip2
    Bzip2,
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
