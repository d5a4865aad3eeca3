//! `transport_url`: which brokers, as whom, how (Ceilometer reference §2.8).

use super::options;
use super::oslo::{Entry, Written};
use super::rabbit::{self, Rabbit};
use super::secret::Secret;
use super::values::Values;
use crate::model::{Place, Severity};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
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
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// The port of AMQP.
const PORT: u16 = 5672;
const SECTION: &str = "oslo_messaging_rabbit";

impl TransportUrl {
    /// Reads a URL. `written` is the whole configuration and `plain` its `[oslo_messaging_rabbit]`, over which the
    /// query of the URL is laid. The error completes the sentence "expected …".
    pub(super) fn parse(text: &str, written: &Written, plain: &Rabbit) -> Result<TransportUrl, String> {
        let (driver, rest) = text.split_once("://").ok_or("a URL: rabbit://user:password@host:5672/vhost")?;
        match driver.split('+').next().unwrap_or_default() {
            "rabbit" | "kombu" => {}
            "" => return Err("rabbit:// in front of the host".to_owned()),
            other => return Err(format!("rabbit://; {other}:// is not spoken here, give the agent a RabbitMQ")),
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts = match hosts {
            "" => vec![Host { name: "localhost".to_owned(), port: PORT, user: None }],
            hosts => hosts.split(',').map(host).collect::<Result<_, _>>()?,
        };
        let vhost = match decoded(path) {
            vhost if vhost.is_empty() => "/".to_owned(),
            vhost => vhost,
        };
        let rabbit = if query.is_empty() { plain.clone() } else { overridden(query, written)? };
        Ok(TransportUrl { hosts, vhost, rabbit })
    }
}

/// One `[user[:password]@]name[:port]`. Credentials are not inherited from the host before (Ceilometer reference §2.8).
fn host(text: &str) -> Result<Host, String> {
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
    let port = match port {
        "" => PORT,
        port => port.parse().map_err(|_| {
            "a port from 1 to 65535 after the host; write `%23`, `%3F`, `%2F`, `%2C`, `%40` for `#?/,@` in a password"
        })?,
    };
    if name.is_empty() {
        return Err("a host name before the port".to_owned());
    }
    Ok(Host { name: name.to_owned(), port, user })
}

/// `[oslo_messaging_rabbit]` with the options of a query on top; repeated ones are joined by commas.
fn overridden(query: &str, written: &Written) -> Result<Rabbit, String> {
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(&name.replace('+', " "));
        let value = decoded(&value.replace('+', " "));
        let Some(row) = options::find_written(SECTION, &name) else {
            let near = options::nearest(SECTION, &name).map(|near| format!("; did you mean {near}?"));
            return Err(format!("an option of [{SECTION}] in the query, {name} is none{}", near.unwrap_or_default()));
        };
        let joined = options.entry(row.name.to_owned()).or_default();
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(&value);
    }
    let place = Place { file: "query".into(), line: 0 };
    let written = written.with(SECTION, options.into_iter().map(|(n, text)| (n, Entry { text, place: place.clone() })));
    let mut values = Values::new(&written);
    let rabbit = rabbit::read(&mut values);
    // Complaints about the section itself have already been made where the section is written.
    match values.into_complaints().into_iter().find(|c| c.place == place && c.severity == Severity::Error) {
        Some(complaint) => Err(format!("other options in its query: {}", complaint.text)),
        None => Ok(rabbit),
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn parsed(text: &str) -> Result<TransportUrl, String> {
        let written = Written::default();
        let plain = rabbit::read(&mut Values::new(&written));
        TransportUrl::parse(text, &written, &plain)
    }

    /// Answers of oslo.messaging, with its defaults filled in: user, password, host, port; virtual host.
    #[rstest]
    #[case("rabbit://", "localhost:5672 /")]
    #[case("rabbit://h", "h:5672 /")]
    #[case("kombu://h//", "h:5672 /")]
    #[case("rabbit://u:p@h1,h2/v", "u:p@h1:5672 h2:5672 v")]
    #[case("rabbit://u:p%40%2F@h:1/v%2Fx", "u:p@/@h:1 v/x")]
    #[case("rabbit://[::1]:5673/", "[::1]:5673 /")]
    #[case("rabbit://u@h/", "u:@h:5672 /")]
    #[case("rabbit://u:p:q@h/", "u:p:q@h:5672 /")]
    #[case("rabbit://a@b:c@h:1/", "a@b:c@h:1 /")]
    #[case("rabbit://h:/", "h:5672 /")]
    #[case("rabbit://h1:1,u:p@[fe80::1]/x/y", "h1:1 u:p@[fe80::1]:5672 x/y")]
    #[case("rabbit://u+x:p+y@h/?ssl=1#f", "u+x:p+y@h:5672 /")]
    fn a_url_is_read(#[case] text: &str, #[case] expected: &str) {
        let url = parsed(text).unwrap();
        let user = |h: &Host| h.user.as_ref().map(|(u, p)| format!("{u}:{}@", p.reveal())).unwrap_or_default();
        let hosts: Vec<String> = url.hosts.iter().map(|h| format!("{}{h}", user(h))).collect();
        assert_eq!(format!("{} {}", hosts.join(" "), url.vhost), expected);
    }

    #[rstest]
    #[case("h:5672", "a URL: rabbit://user:password@host:5672/vhost")]
    #[case("memory://", "rabbit://; memory:// is not spoken here, give the agent a RabbitMQ")]
    #[case("kafka://h", "rabbit://; kafka:// is not spoken here, give the agent a RabbitMQ")]
    #[case("rabbit://:1/", "a host name before the port")]
    #[case("rabbit://[::1/", "a `]` after the IPv6 address")]
    fn a_url_is_refused(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(parsed(text).unwrap_err(), expected);
    }

    #[test]
    fn the_query_lies_over_the_section() {
        let mut written = Written::default();
        let section = "[oslo_messaging_rabbit]\nrabbit_qos_prefetch_count = 7\nrabbit_quorum_queue = true\n";
        assert_eq!(written.add("c", section), []);
        let plain = rabbit::read(&mut Values::new(&written));
        let url = TransportUrl::parse("rabbit://h/?rabbit_quorum_queue=false&ssl=true", &written, &plain).unwrap();
        assert_eq!((url.rabbit.prefetch_messages, url.rabbit.quorum, url.rabbit.tls.is_some()), (7, false, true));
    }
}
