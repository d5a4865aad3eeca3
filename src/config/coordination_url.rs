//! `[coordination] backend_url`: a tooz URL of an etcd (Ceilometer reference §2.4).

use super::rabbit::Tls;
use super::secret::Secret;
use std::fmt;
use std::time::Duration;

/// An etcd cluster. `Display` shows no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinationUrl {
    /// `host:port` of each endpoint, IPv6 in brackets. Never empty.
    pub endpoints: Vec<String>,
    /// User and password, if written.
    pub user: Option<(String, Secret)>,
    /// TLS; `None`: plain TCP.
    pub tls: Option<Tls>,
    /// How long a request may take, if written.
    pub timeout: Option<Duration>,
}

impl fmt::Display for CoordinationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "etcd3+https" } else { "etcd3+http" };
        write!(f, "{scheme}://{}", self.endpoints.join(","))
    }
}
