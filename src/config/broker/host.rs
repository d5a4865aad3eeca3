//! One host of a broker.

use crate::config::secret::Secret;
use crate::config::url;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::IpAddr;

/// The port of AMQP.
pub(in crate::config) const PORT: u16 = 5672;
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

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl Host {
    /// This machine's broker.
    pub(in crate::config) fn local() -> Host {
        Host { name: "localhost".to_owned(), port: PORT, user: None }
    }

    /// Where it is, whoever logs in and however the name is written.
    pub(super) fn place(&self) -> (String, u16) {
        let name = self.name.trim_end_matches('.').to_lowercase();
        let name = match name.parse::<IpAddr>() {
            Ok(address) if address.to_canonical().is_loopback() => "localhost".to_owned(),
            Ok(address) => address.to_canonical().to_string(),
            Err(_) => name,
        };
        (name, self.port)
    }
}

/// One `[user[:password]@]name[:port]`. Credentials are not inherited from the host before (Ceilometer reference §2.8).
pub(super) fn host(text: &str) -> Result<Host, String> {
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            (Some((decoded(user), Secret::new(decoded(password)))), place)
        }
        None => (None, text),
    };
    let (name, port) = match place.strip_prefix('[') {
        Some(v6) => {
            let (name, port) = v6.split_once(']').ok_or("a `]` after the IPv6 address")?;
            (name, port.strip_prefix(':').unwrap_or(port))
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    Ok(Host { name: host_name(name)?, port: host_port(port)?, user })
}

/// The name of a host, or its address without brackets.
pub(in crate::config) fn host_name(name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err("a host name before the port".to_owned());
    }
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '%');
    if !name.chars().all(fits) {
        return Err(format!("a host name of letters, digits, `-` and `.`; {}", url::ESCAPES));
    }
    Ok(name.to_owned())
}

/// A port, 5672 where none is written.
fn host_port(port: &str) -> Result<u16, String> {
    let wrong = |_| format!("a port from 1 to 65535 after the host; {}", url::ESCAPES);
    if port.is_empty() { Ok(PORT) } else { port.parse().map_err(wrong) }
}

pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
