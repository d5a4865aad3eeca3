//! The options of a connection, as plain data: from a `transport_url` and `[oslo_messaging_rabbit]`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::tls::{Checked, Files, RABBITMQ};

/// How to reach one RabbitMQ, or one cluster of it (Ceilometer reference §2.6, §2.8).
#[derive(Debug, Clone)]
pub struct AmqpOptions {
    /// The hosts, tried in rotation. Never empty in use: without one, connecting is refused.
    pub hosts: Vec<AmqpHost>,
    /// The virtual host; empty means `/`.
    pub virtual_host: String,
    /// `rabbit_login_method`.
    pub login: Login,
    /// `heartbeat_timeout_threshold`; zero leaves it to the broker (lapin has no off).
    pub heartbeat: Duration,
    /// `connection_name` in the broker's list: `<program>:<pid>:<uuid>` (Ceilometer reference §3.1).
    pub connection_name: String,
    /// TLS, if `ssl` is on.
    pub tls: Option<TlsOptions>,
    /// Begin at a random host: oslo.messaging shuffles the list once, so that agents spread over a cluster.
    pub shuffle: bool,
}

impl AmqpOptions {
    /// One host as in `rabbit://user:password@host:port/vhost`, everything else as oslo.messaging has it by default.
    pub fn to_host(host: AmqpHost, virtual_host: impl Into<String>) -> Self {
        AmqpOptions {
            hosts: vec![host],
            virtual_host: virtual_host.into(),
            login: Login::AmqPlain,
            heartbeat: Duration::from_mins(1),
            connection_name: format!("nephoscope:{}:{}", std::process::id(), uuid::Uuid::new_v4()),
            tls: None,
            shuffle: true,
        }
    }

    /// The virtual host, `/` where none is named.
    pub(super) fn vhost(&self) -> &str {
        if self.virtual_host.is_empty() { "/" } else { &self.virtual_host }
    }

    /// The broker in words, without secrets: `rabbit://a:5672,b:5672/vhost`.
    pub fn name(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|h| format!("{}:{}", bracketed(&h.host), h.port)).collect();
        // The virtual host `/` is the one of a URL that names none.
        let vhost = self.virtual_host.strip_prefix('/').unwrap_or(&self.virtual_host);
        format!("rabbit://{}/{vhost}", hosts.join(","))
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// One host of the `transport_url`, with its own credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpHost {
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub username: String,
    /// Password: never shown.
    pub password: String,
}

impl AmqpHost {
    /// `guest` at `host:port`.
    pub fn guest(host: impl Into<String>, port: u16) -> Self {
        AmqpHost { host: host.into(), port, username: "guest".to_owned(), password: "guest".to_owned() }
    }
}

impl fmt::Debug for AmqpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***@{}:{}", self.username, self.host, self.port)
    }
}

/// `rabbit_login_method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Login {
    /// `AMQPLAIN`, oslo.messaging's default.
    #[default]
    AmqPlain,
    /// `PLAIN`.
    Plain,
    /// `EXTERNAL`: who we are is said by the client certificate.
    External,
    /// `RABBIT-CR-DEMO`, of RabbitMQ's demonstration plugin.
    RabbitCrDemo,
}

impl Login {
    /// The method of that name, in any case.
    pub fn from_name(name: &str) -> Option<Login> {
        match name.to_ascii_uppercase().as_str() {
            "AMQPLAIN" => Some(Login::AmqPlain),
            "PLAIN" => Some(Login::Plain),
            "EXTERNAL" => Some(Login::External),
            "RABBIT-CR-DEMO" => Some(Login::RabbitCrDemo),
            _ => None,
        }
    }
}

/// The `ssl_…` options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// `ssl_ca_file`: the server's certificate must descend from it. Without it nothing is verified, as in
    /// oslo.messaging; a warning says so at every connect.
    pub ca_file: Option<PathBuf>,
    /// `ssl_cert_file`: the client's certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// `ssl_key_file`: its key, PEM; where missing, looked for in the certificate's file.
    pub key_file: Option<PathBuf>,
    /// `ssl_enforce_hostname_verification`: looked at with a CA file only.
    pub verify_hostname: bool,
}

impl TlsOptions {
    /// Reads the files and sees that they can be used; nothing is connected. All complaints at once, each with what to do.
    pub fn check(&self) -> Result<Checked, Vec<String>> {
        let files = Files {
            authority: self.ca_file.as_deref(),
            certificate: self.cert_file.as_deref(),
            key: self.key_file.as_deref(),
        };
        files.check(&RABBITMQ)
    }
}
