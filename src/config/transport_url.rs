//! `transport_url`: which brokers, as whom, how (Ceilometer reference §2.8).

use super::rabbit::Rabbit;
use super::secret::Secret;
use std::fmt;

/// A broker cluster. `Display` shows no secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct TransportUrl {
    /// Its hosts in the order written. Never empty.
    pub hosts: Vec<Host>,
    /// The virtual host; `/` where none is written.
    pub vhost: String,
    /// `[oslo_messaging_rabbit]`, with what the URL's query says on top.
    pub rabbit: Rabbit,
}

/// One broker host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Name or address, IPv6 without brackets.
    pub name: String,
    /// Port, 5672 where none is written.
    pub port: u16,
    /// User and password; `None` logs in as the broker's default `guest`.
    pub user: Option<(String, Secret)>,
}

impl fmt::Display for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rabbit://")?;
        for (n, host) in self.hosts.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            write!(f, "{host}")?;
        }
        write!(f, "/{}", self.vhost.strip_prefix('/').unwrap_or(&self.vhost))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}
