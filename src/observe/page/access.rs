//! Who may see notifications, samples and events as they pass: personal data may be in them. And which requests come from a page
//! of somebody else's, in a browser that can reach this agent.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a browser says whether a request comes from a page of another site.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Who may tap.
#[derive(Clone)]
pub enum TapAccess {
    /// Who is on this machine: the address is loopback, and there is no token.
    Loopback,
    /// Who has the token, of which this is the digest.
    Token([u8; 32]),
    /// Nobody: the address is open to others, and there is no token.
    Nobody,
}

/// Why somebody may not tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// There is no token, and the address is open to others.
    Off,
    /// The token is missing or wrong.
    Token,
    /// The request comes from another machine, or over a name that is none of this machine.
    Elsewhere,
}

impl Denied {
    pub(super) fn code(self) -> StatusCode {
        match self {
            Denied::Off | Denied::Elsewhere => StatusCode::FORBIDDEN,
            Denied::Token => StatusCode::UNAUTHORIZED,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Denied::Off => {
                "cannot tap: [nephoscope] listen is open to other machines, and there is no token; set [nephoscope] tap_token, or \
                 let the agent listen on 127.0.0.1"
            }
            Denied::Token => "cannot tap: the token is missing or wrong; send [nephoscope] tap_token as Authorization: Bearer",
            Denied::Elsewhere => "cannot tap from here: this agent is tapped from its own machine only, as 127.0.0.1 or localhost",
        })
    }
}

impl fmt::Debug for TapAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TapAccess::Loopback => "Loopback",
            TapAccess::Token(_) => "Token",
            TapAccess::Nobody => "Nobody",
        })
    }
}

impl TapAccess {
    /// Of an agent that listens there and has this token, if any. A token is asked for on loopback too: a proxy on this machine
    /// has an address of this machine, whoever is behind it.
    pub fn of(listen: SocketAddr, token: Option<&str>) -> TapAccess {
        match token {
            Some(token) => TapAccess::Token(Sha256::digest(token.as_bytes()).into()),
            None if listen.ip().is_loopback() => TapAccess::Loopback,
            None => TapAccess::Nobody,
        }
    }

    pub(super) fn allows(&self, peer: IpAddr, headers: &HeaderMap) -> Result<(), Denied> {
        match self {
            TapAccess::Nobody => Err(Denied::Off),
            // A page of somebody else's, whose name leads to this machine, has that name in its requests.
            TapAccess::Loopback if peer.is_loopback() && is_of_this_machine(headers) => Ok(()),
            TapAccess::Loopback => Err(Denied::Elsewhere),
            TapAccess::Token(digest) => {
                let said = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let token = said.and_then(|said| said.strip_prefix("Bearer ")).unwrap_or_default();
                if is_same(&Sha256::digest(token.as_bytes()).into(), digest) { Ok(()) } else { Err(Denied::Token) }
            }
        }
    }
}

/// Compares digests; the time that it takes tells nothing.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    std::hint::black_box(one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
}

/// Whether a page of somebody else's may be behind a request. A browser says that a request comes from another site. It does not
/// where that site's name leads to this machine; then the request has that name, which is none of this machine.
pub(super) fn is_foreign(on_loopback: bool, headers: &HeaderMap) -> bool {
    let is_cross = |site: &HeaderValue| site.as_bytes().eq_ignore_ascii_case(b"cross-site");
    headers.get(SEC_FETCH_SITE).is_some_and(is_cross) || (on_loopback && !is_of_this_machine(headers))
}

fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = host
        .strip_suffix(|c: char| c.is_ascii_digit())
        .map_or(host, |_| host.rsplit_once(':').map_or(host, |(n, _)| n));
    name.eq_ignore_ascii_case("localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const TOKEN: &str = "0123456789abcdef";

    #[rstest]
    #[case("127.0.0.1:9187", None, "127.0.0.1", &[("host", "127.0.0.1:9187")], Ok(()))]
    #[case("127.0.0.1:9187", None, "127.0.0.1", &[("host", "localhost:9187")], Ok(()))]
    #[case("127.0.0.1:9187", None, "127.0.0.1", &[("host", "LOCALHOST")], Ok(()))]
    #[case("[::1]:9187", None, "::1", &[("host", "[::1]:9187")], Ok(()))]
    #[case("[::1]:9187", None, "::1", &[("host", "[::1]")], Ok(()))]
    #[case("127.0.0.1:9187", None, "127.0.0.1", &[], Ok(()))]
    #[case("127.0.0.1:9187", None, "127.0.0.1", &[("host", "evil.example:9187")], Err(Denied::Elsewhere))]
    #[case("127.0.0.1:9187", None, "10.0.0.7", &[("host", "127.0.0.1:9187")], Err(Denied::Elsewhere))]
    #[case("127.0.0.1:9187", Some(TOKEN), "127.0.0.1", &[("host", "127.0.0.1:9187")], Err(Denied::Token))]
    #[case("127.0.0.1:9187", Some(TOKEN), "127.0.0.1", &[("authorization", "Bearer 0123456789abcdef")], Ok(()))]
    #[case("0.0.0.0:9187", None, "127.0.0.1", &[("host", "127.0.0.1:9187")], Err(Denied::Off))]
    #[case("0.0.0.0:9187", Some(TOKEN), "127.0.0.1", &[("host", "127.0.0.1")], Err(Denied::Token))]
    #[case("0.0.0.0:9187", Some(TOKEN), "10.0.0.7", &[("authorization", "Bearer 0123456789abcdef")], Ok(()))]
    #[case("0.0.0.0:9187", Some(TOKEN), "10.0.0.7", &[("authorization", "Bearer 0123456789abcdee")], Err(Denied::Token))]
    #[case("0.0.0.0:9187", Some(TOKEN), "10.0.0.7", &[("authorization", "Basic 0123456789abcdef")], Err(Denied::Token))]
    fn who_may_tap(
        #[case] listen: &str,
        #[case] token: Option<&str>,
        #[case] peer: &str,
        #[case] headers: &[(&'static str, &str)],
        #[case] allowed: Result<(), Denied>,
    ) {
        let headers =
            headers.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()));
        let access = TapAccess::of(listen.parse().unwrap(), token);
        assert_eq!(access.allows(peer.parse().unwrap(), &headers.collect()), allowed);
        assert!(!format!("{access:?}").contains("0123"));
    }

    #[rstest]
    #[case(true, &[("host", "127.0.0.1:9187")], false)]
    #[case(true, &[("host", "localhost:9187"), ("sec-fetch-site", "same-origin")], false)]
    #[case(true, &[("sec-fetch-site", "none")], false)]
    #[case(true, &[("host", "evil.example:9187")], true)]
    #[case(true, &[("host", "evil.example"), ("sec-fetch-site", "same-origin")], true)]
    #[case(true, &[("host", "127.0.0.1:9187"), ("sec-fetch-site", "cross-site")], true)]
    #[case(false, &[("host", "controller-1:9187")], false)]
    #[case(false, &[("host", "controller-1:9187"), ("sec-fetch-site", "cross-site")], true)]
    fn a_page_of_somebody_else_is_known(
        #[case] on_loopback: bool,
        #[case] headers: &[(&'static str, &str)],
        #[case] foreign: bool,
    ) {
        let headers =
            headers.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()));
        assert_eq!(is_foreign(on_loopback, &headers.collect()), foreign);
    }
}
