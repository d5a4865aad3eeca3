//! Names to addresses, without those that a configuration hardly ever means.

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};

/// Whether an address is of the link: never routed, and where clouds answer for metadata and credentials.
pub(in crate::publish) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_link_local()),
    }
}

/// Whether a URL has an address of the link in it.
pub(super) fn names_link_local(url: &Url) -> bool {
    let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    literal.is_some_and(is_link_local)
}

/// Asks the system, and leaves out what is [link-local](is_link_local).
#[derive(Debug, Clone, Copy)]
pub(super) struct NoLinkLocal;

impl Resolve for NoLinkLocal {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> =
                found.iter().copied().filter(|address| !is_link_local(address.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err("the name leads to a link-local address; write link_local=true if that is meant".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("169.254.169.254", true)]
    #[case("fe80::1", true)]
    #[case("::ffff:169.254.169.254", true)]
    #[case("169.253.0.1", false)]
    #[case("127.0.0.1", false)]
    #[case("fd00::1", false)]
    fn addresses_of_the_link(#[case] address: IpAddr, #[case] is: bool) {
        assert_eq!(is_link_local(address), is);
    }
}
