//! The common part of publishers over sockets: the place in the URL, options, addresses, msgpack.
//!
//! Addresses of the link (169.254.0.0/16, `fe80::/10`) are refused unless the URL says `link_local=true`.

mod msgpack;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

pub(super) use self::msgpack::pack;
use super::target::{Options, Row, Target};
use super::web::is_link_local;
use crate::config::shown;

/// The rows of the options.
pub(super) const OPTIONS: &[Row] = &[
    Row::new(
        "timeout",
        "seconds, 0.001 to 3600",
        "5",
        "maximum time to resolve the name, to connect, and to send each 16 KiB or datagram",
    ),
    Row::LINK_LOCAL,
];

/// The port where the URL names none, as Ceilometer has it.
const PORT: u16 = 4952;
/// Seconds, unless `timeout` says otherwise.
const TIMEOUT_S: f64 = 5.0;

/// Where to send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    host: String,
    port: u16,
    link_local: bool,
    /// For one step: resolving, connecting, a write that goes on.
    pub timeout: Duration,
}

impl Place {
    /// What the URL says; what is wrong is noted there.
    pub(super) fn read(options: &mut Options, target: &Target) -> Place {
        let timeout = options.timeout(TIMEOUT_S);
        let link_local = options.flag("link_local").unwrap_or(false);
        let scheme = &target.scheme;
        if target.netloc.contains('@') {
            options.complain(format!("a user in the URL, which {scheme} has no use for; write {scheme}://host[:port]"));
        }
        let place = host_and_port(target.netloc.rsplit('@').next().unwrap_or_default());
        let (host, port) = place.unwrap_or_else(|| {
            options.complain(format!("no host, or a port that is none; write {scheme}://host[:port]"));
            (String::new(), PORT)
        });
        if !link_local && host.parse().is_ok_and(is_link_local) {
            options.complain("a link-local address; write link_local=true if that is meant");
        }
        Place { host, port, link_local, timeout }
    }

    /// Every address of the host, in the order of the system.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let asked = timeout(self.timeout, lookup_host((self.host.as_str(), self.port))).await;
        let found = match asked {
            Ok(Ok(found)) => found,
            Ok(Err(cause)) => return Err(format!("cannot resolve {}: {cause}", shown(&self.host))),
            Err(_) => return Err(format!("cannot resolve {}: no answer in time", shown(&self.host))),
        };
        let (refused, allowed): (Vec<_>, Vec<_>) =
            found.partition(|address| !self.link_local && is_link_local(address.ip()));
        match (allowed.is_empty(), refused.is_empty()) {
            (false, _) => Ok(allowed),
            (true, false) => {
                Err(format!("{} is a link-local address; write link_local=true if that is meant", shown(&self.host)))
            }
            (true, true) => Err(format!("{} has no address", shown(&self.host))),
        }
    }
}

/// A warning where the URL has a path, which means nothing here.
pub(super) fn near_misses(target: &Target) -> Vec<String> {
    let scheme = &target.scheme;
    let meaningless = !matches!(target.path.as_str(), "" | "/");
    meaningless.then(|| format!("the path means nothing to {scheme} and is ignored")).into_iter().collect()
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, or an IPv6 address without brackets.
fn host_and_port(place: &str) -> Option<(String, u16)> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
    } else if place.parse::<IpAddr>().is_ok() {
        (place, None)
    } else {
        place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)))
    };
    let port = match port {
        None | Some("") => PORT,
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
    };
    if host.is_empty() || host.contains([',', ' ']) { None } else { Some((host.to_owned(), port)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::{Kind, check};
    use rstest::rstest;

    #[rstest]
    #[case("h", Some(("h", 4952)))]
    #[case("h:1", Some(("h", 1)))]
    #[case("h:", Some(("h", 4952)))]
    #[case("[::1]", Some(("::1", 4952)))]
    #[case("[::1]:7", Some(("::1", 7)))]
    #[case("::1", Some(("::1", 4952)))]
    #[case("", None)]
    #[case(":1", None)]
    #[case("h:0", None)]
    #[case("h:65536", None)]
    #[case("h:x", None)]
    #[case("[::1", None)]
    #[case("[::1]7", None)]
    #[case("a,b", None)]
    fn a_place_is_a_host_and_perhaps_a_port(#[case] place: &str, #[case] expected: Option<(&str, u16)>) {
        assert_eq!(host_and_port(place), expected.map(|(host, port)| (host.to_owned(), port)));
    }

    #[rstest]
    #[case("://", "write SCHEME://host[:port]")]
    #[case("://h:99999", "write SCHEME://host[:port]")]
    #[case("://u:p@h", "a user in the URL, which SCHEME has no use for")]
    #[case("://169.254.169.254", "link_local=true")]
    #[case("://[fe80::1]:5", "link_local=true")]
    #[case("://h?timeout=0&x=1", "timeout=0: expected a number of at least 0.001; unknown option x")]
    #[case("://h?timeout=1e9", "at most 3600 seconds")]
    fn what_is_wrong_with_a_url_is_said(
        #[values("tcp", "udp")] scheme: &str,
        #[case] rest: &str,
        #[case] complaint: &str,
    ) {
        let said = check(&format!("{scheme}{rest}"), Kind::Samples, &|_| Ok(())).unwrap_err().to_string();
        assert!(said.contains(&complaint.replace("SCHEME", scheme)), "{said}");
    }

    #[rstest]
    fn a_path_is_ignored_and_named(#[values("tcp", "udp")] scheme: &str) {
        let said = check(&format!("{scheme}://h/p"), Kind::Samples, &|_| Ok(())).unwrap();
        assert_eq!(said, [format!("the path means nothing to {scheme} and is ignored")]);
    }

    #[tokio::test]
    async fn a_name_that_leads_to_the_link_is_refused() {
        let place =
            Place { host: "169.254.1.1".to_owned(), port: 1, link_local: false, timeout: Duration::from_secs(5) };
        assert!(place.addresses().await.unwrap_err().contains("link_local=true"));
        assert_eq!(Place { link_local: true, ..place }.addresses().await.unwrap().len(), 1);
    }
}
