//! `transport_url`: hosts of a broker, login and virtual host (Ceilometer reference §2.8).

use super::host::{Host, decoded, host};
use super::older;
use super::rabbit::{self, Rabbit};
use crate::config::options;
use crate::config::oslo::{Entry, FileOptions};
use crate::config::url::{self, Unclear};
use crate::config::values::Values;
use crate::model::{Place, Severity};
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

impl fmt::Display for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rabbit://")?;
        for (n, host) in self.hosts.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            write!(f, "{host}")?;
        }
        // The virtual host `/` is the one of a URL that names none; `/openstack` is written `//openstack`.
        write!(f, "/{}", if self.vhost == "/" { "" } else { &self.vhost })
    }
}

const SECTION: &str = "oslo_messaging_rabbit";
const FORM: &str = "a URL: rabbit://user:password@host:5672/vhost";
const SEVERAL: &str = "one URL; several hosts of one broker are rabbit://user:password@h1,user:password@h2/vhost, further \
                       brokers are further lines with [notification] messaging_urls, which may be repeated";

impl TransportUrl {
    /// Reads a URL. `written` is the whole configuration and `plain` its `[oslo_messaging_rabbit]`, over which the
    /// query of the URL is laid. A URL without a host means the broker that the options of before `transport_url` name,
    /// or the one of this machine. The error completes the sentence "expected …", and shows nothing of the URL.
    pub(in crate::config) fn parse(
        text: &str,
        file_options: &FileOptions,
        plain: &Rabbit,
    ) -> Result<TransportUrl, String> {
        let parts = url::apart(text).map_err(|unclear| match unclear {
            Unclear::NoUrl => FORM.to_owned(),
            Unclear::Several => SEVERAL.to_owned(),
            Unclear::Password => format!("an `@` only before the host; {}", url::ESCAPES),
        })?;
        // As in Python, where the case of a scheme does not count.
        match parts.scheme.to_ascii_lowercase().split('+').next().unwrap_or_default() {
            "rabbit" | "kombu" => {}
            other @ "amqp" => return Err(format!("rabbit://; write rabbit:// in the place of {other}://")),
            other @ ("amqps" | "rabbits") => {
                return Err(format!(
                    "rabbit://; write rabbit:// in the place of {other}://, and ssl = true and ssl_ca_file in [{SECTION}]"
                ));
            }
            other => return Err(format!("rabbit://; {other}:// is not supported; nephoscope needs RabbitMQ")),
        }
        if text.trim().contains(char::is_whitespace) || text.matches("://").count() > 1 {
            return Err(SEVERAL.to_owned());
        }
        let path = decoded(parts.path.strip_prefix('/').unwrap_or(parts.path));
        let (hosts, named_vhost) = match parts.authority {
            "" => older::broker(&mut Values::new(file_options))
                .filter(|(hosts, _)| !hosts.is_empty())
                .unwrap_or_else(|| (vec![Host::local()], String::new())),
            hosts => (hosts.split(',').map(host).collect::<Result<_, _>>()?, String::new()),
        };
        one_login(&hosts)?;
        let vhost = [path, named_vhost].into_iter().find(|vhost| !vhost.is_empty()).unwrap_or_else(|| "/".to_owned());
        let rabbit = if parts.query.is_empty() { plain.clone() } else { overridden(parts.query, file_options)? };
        Ok(TransportUrl { hosts, vhost, rabbit })
    }

    /// The broker of this machine.
    pub(in crate::config) fn local(plain: &Rabbit) -> TransportUrl {
        TransportUrl { hosts: vec![Host::local()], vhost: "/".to_owned(), rabbit: plain.clone() }
    }

    /// Whether some hosts log in as guest although others have a user.
    pub(in crate::config) fn has_hosts_without_user(&self) -> bool {
        let with_user = self.hosts.iter().filter(|host| host.user.is_some()).count();
        with_user > 0 && with_user < self.hosts.len()
    }

    /// Whether this is the same virtual host of the same broker, as far as names can tell: one host in common.
    pub(in crate::config) fn is_same_broker(&self, other: &TransportUrl) -> bool {
        let places: Vec<_> = other.hosts.iter().map(Host::place).collect();
        self.vhost == other.vhost && self.hosts.iter().any(|host| places.contains(&host.place()))
    }
}

/// Refuses what is rather a password with a `,` in it than several hosts.
fn one_login(hosts: &[Host]) -> Result<(), String> {
    let users: Vec<&str> = hosts.iter().filter_map(|host| Some(host.user.as_ref()?.0.as_str())).collect();
    let last = hosts.iter().rposition(|host| host.user.is_some()).map_or(0, |last| last + 1);
    let differ = users.iter().any(|user| Some(user) != users.first());
    let nameless = hosts.len() > 1 && users.contains(&"");
    if differ || nameless || (!users.is_empty() && users.len() != last) {
        return Err(format!("the same user before each host: user:password@h1,user:password@h2; {}", url::ESCAPES));
    }
    Ok(())
}

/// `[oslo_messaging_rabbit]` with the options of a query on top; repeated ones are joined by commas.
fn overridden(query: &str, file_options: &FileOptions) -> Result<Rabbit, String> {
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(&name.replace('+', " "));
        let value = decoded(&value.replace('+', " "));
        if older::NAMES.contains(&name.as_str()) {
            return Err(format!("user, password, host and virtual host in their places, not {name} in the query"));
        }
        let Some(row) = options::find_written(SECTION, &name) else {
            let near = options::nearest(SECTION, &name).map(|near| format!("; did you mean {near}?"));
            let (name, near) = (option_name(&name), near.unwrap_or_default());
            return Err(format!("an option of [{SECTION}] in the query, {name} is none{near}"));
        };
        let joined = options.entry(row.name.to_owned()).or_default();
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(&value);
    }
    let place = Place { file: "query".into(), line: 0 };
    let file_options =
        file_options.with(SECTION, options.into_iter().map(|(n, text)| (n, Entry { text, place: place.clone() })));
    let mut values = Values::new(&file_options);
    let rabbit = rabbit::read(&mut values);
    // Complaints about the section itself have already been made where the section is written.
    match values.into_complaints().into_iter().find(|c| c.place == place && c.severity == Severity::Error) {
        Some(complaint) => Err(format!("other options in its query: {}", complaint.text)),
        None => Ok(rabbit),
    }
}

/// What a query calls an option, if it looks like the name of one.
fn option_name(name: &str) -> &str {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain { name } else { "what stands there" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn parsed(text: &str) -> Result<TransportUrl, String> {
        let file_options = FileOptions::default();
        let plain = rabbit::read(&mut Values::new(&file_options));
        TransportUrl::parse(text, &file_options, &plain)
    }

    /// Answers of oslo.messaging, with its defaults filled in: user, password, host, port; virtual host.
    #[rstest]
    #[case("rabbit://", "localhost:5672 /")]
    #[case("rabbit://h", "h:5672 /")]
    #[case("RABBIT://h", "h:5672 /")]
    #[case("kombu://h//", "h:5672 /")]
    #[case("rabbit://u:p@h1,h2/v", "u:p@h1:5672 h2:5672 v")]
    #[case("rabbit://u:p%40%2F@h:1/v%2Fx", "u:p@/@h:1 v/x")]
    #[case("rabbit://[::1]:5673/", "[::1]:5673 /")]
    #[case("rabbit://u@h/", "u:@h:5672 /")]
    #[case("rabbit://u:p:q@h/", "u:p:q@h:5672 /")]
    #[case("rabbit://a@b:c@h:1/", "a@b:c@h:1 /")]
    #[case("rabbit://h:/", "h:5672 /")]
    #[case("rabbit://u:p@[fe80::1],h1:1/x/y", "u:p@[fe80::1]:5672 h1:1 x/y")]
    #[case("rabbit://u+x:p+y@h/?ssl=1#f", "u+x:p+y@h:5672 /")]
    fn a_url_is_read(#[case] text: &str, #[case] expected: &str) {
        let url = parsed(text).unwrap();
        let user = |h: &Host| h.user.as_ref().map(|(u, p)| format!("{u}:{}@", p.reveal())).unwrap_or_default();
        let hosts: Vec<String> = url.hosts.iter().map(|h| format!("{}{h}", user(h))).collect();
        assert_eq!(format!("{} {}", hosts.join(" "), url.vhost), expected);
    }

    #[rstest]
    #[case("h:5672", "a URL: rabbit://user:password@host:5672/vhost")]
    #[case("memory://", "rabbit://; memory:// is not supported; nephoscope needs RabbitMQ")]
    #[case("amqp://h", "rabbit://; write rabbit:// in the place of amqp://")]
    #[case(
        "rabbits://h",
        "rabbit://; write rabbit:// in the place of rabbits://, and ssl = true and ssl_ca_file in [oslo_messaging_rabbit]"
    )]
    #[case("kafka://h", "rabbit://; kafka:// is not supported; nephoscope needs RabbitMQ")]
    #[case("rabbit://:1/", "a host name before the port")]
    #[case("rabbit://[::1/", "a `]` after the IPv6 address")]
    #[case(
        "rabbit://h/?rabbit_password=x",
        "user, password, host and virtual host in their places, not rabbit_password in the query"
    )]
    fn a_url_is_refused(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(parsed(text).unwrap_err(), expected);
    }

    /// What oslo.messaging would take for hosts and ports.
    #[rstest]
    #[case::a_comma("rabbit://u:12,34@h/")]
    #[case::commas("rabbit://u:1,SESAME,3@h/")]
    #[case::a_comma_and_a_colon("rabbit://u:1,a:b@h/")]
    #[case::an_at_and_a_comma("rabbit://u:SESAME@SESAME,a:b@h/")]
    #[case::no_user("rabbit://:SESAME@SESAME,:b@h/")]
    #[case::a_slash("rabbit://u:12/SESAME@h/")]
    #[case::a_mark("rabbit://u:12?SESAME@h/")]
    #[case::a_hash("rabbit://u:12#SESAME@h/")]
    #[case::two_urls("rabbit://u:SESAME@h/,rabbit://u:SESAME@h/")]
    #[case::two_urls_after_a_query("rabbit://h/?ssl=1,rabbit://u:SESAME@h/")]
    #[case::no_host("rabbit://u:SESAME")]
    fn a_password_is_not_taken_for_a_host(#[case] text: &str) {
        let why = parsed(text).unwrap_err();
        assert!(!why.contains("SESAME"), "{why}");
    }

    #[rstest]
    #[case("rabbit://h1,h2/", "rabbit://u:p@H2:5672//", true)]
    #[case("rabbit://127.0.0.1/", "rabbit://localhost./%2F", true)]
    #[case("rabbit://[::1]/", "rabbit://localhost/?ssl=true", true)]
    #[case("rabbit://[fe80::0:1]/", "rabbit://[FE80::1]/", true)]
    #[case("rabbit://h/a", "rabbit://h/A", false)]
    #[case("rabbit://h:1/", "rabbit://h:2/", false)]
    #[case("rabbit://h/", "rabbit://h//openstack", false)]
    fn one_broker_is_named_in_two_ways(#[case] one: &str, #[case] other: &str, #[case] same: bool) {
        assert_eq!(parsed(one).unwrap().is_same_broker(&parsed(other).unwrap()), same);
    }

    #[test]
    fn the_query_lies_over_the_section() {
        let mut file_options = FileOptions::default();
        let section = "[oslo_messaging_rabbit]\nrabbit_qos_prefetch_count = 7\nrabbit_quorum_queue = true\n";
        assert_eq!(file_options.add("c", section), []);
        let plain = rabbit::read(&mut Values::new(&file_options));
        let url = TransportUrl::parse("rabbit://h/?rabbit_quorum_queue=false&ssl=true", &file_options, &plain).unwrap();
        assert_eq!((url.rabbit.prefetch.messages, url.rabbit.quorum, url.rabbit.tls.is_some()), (7, false, true));
    }
}
