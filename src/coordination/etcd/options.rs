//! `[coordination] backend_url` for etcd: the URL forms of tooz (Ceilometer reference §2.4), read into what they mean.

use crate::coordination::lease::CALL_TIMEOUT;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::tls::{Checked, ETCD, Files};

/// The port where a URL gives none.
const PORT: u16 = 2379;
/// What a wrong URL is answered with.
const ACCEPTED: &str = "etcd3://, etcd3+http:// or etcd3+https:// with [user:password@]host[:port][,host[:port]…] \
    and perhaps ?ca_cert=…&cert_cert=…&cert_key=…&timeout=seconds";

/// How to reach an etcd cluster. Its `Display` and `Debug` keep the password to themselves.
#[derive(Clone, PartialEq, Eq)]
pub struct EtcdOptions {
    /// `http://host:port` or `https://host:port`, at least one.
    pub endpoints: Vec<String>,
    /// User and password.
    pub user: Option<(String, String)>,
    /// Present for https.
    pub tls: Option<EtcdTls>,
    /// How long one call may take.
    pub timeout: Duration,
}

/// Files for TLS, all PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EtcdTls {
    /// `ca_cert`: who signed the servers, and nobody else; without it the system's authorities.
    pub ca_cert: Option<String>,
    /// `cert_cert` and `cert_key`: who we are.
    pub identity: Option<(String, String)>,
}

impl EtcdTls {
    /// Reads the files and sees that they can be used; nothing is connected. All complaints at once, each with what to do.
    pub fn check(&self) -> Result<Checked, Vec<String>> {
        let files = Files {
            authority: self.ca_cert.as_ref().map(Path::new),
            certificate: self.identity.as_ref().map(|(certificate, _)| Path::new(certificate)),
            key: self.identity.as_ref().map(|(_, key)| Path::new(key)),
        };
        files.check(&ETCD)
    }
}

impl EtcdOptions {
    /// Reads a `backend_url`; the error says what is accepted, and repeats nothing of the URL that may be secret.
    pub fn parse(url: &str) -> Result<EtcdOptions, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("expected {ACCEPTED}"))?;
        let wants_tls = match scheme {
            "etcd3" => None,
            "etcd3+http" => Some(false),
            "etcd3+https" => Some(true),
            "etcd" => {
                return Err(format!("etcd:// is etcd's API of version 2, which etcd has dropped; expected {ACCEPTED}"));
            }
            other => {
                return Err(format!(
                    "{other}:// is not supported: an owner of queues needs leases and compare-and-set; expected {ACCEPTED}"
                ));
            }
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        if !path.is_empty() {
            return Err(format!("the URL has a path, /{path}; expected {ACCEPTED}"));
        }
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(read_user(user)?), hosts),
            None => (None, authority),
        };
        let Query { files, timeout } = Query::read(query)?;
        let tls = match (wants_tls, files) {
            (Some(false), files) if files != EtcdTls::default() => {
                return Err("ca_cert, cert_cert and cert_key need etcd3+https://".to_owned());
            }
            (Some(true), files) => Some(files),
            // As tooz has it: plain etcd3:// is TLS as soon as a file for it is given.
            (None, files) if files != EtcdTls::default() => Some(files),
            _ => None,
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoints = hosts
            .split(',')
            .map(|host| read_host(host).map(|host| format!("{scheme}://{host}")))
            .collect::<Result<_, _>>()?;
        Ok(EtcdOptions { endpoints, user, tls, timeout })
    }
}

/// The options behind the `?`.
struct Query {
    files: EtcdTls,
    timeout: Duration,
}

impl Query {
    fn read(query: &str) -> Result<Query, String> {
        let (mut ca_cert, mut cert, mut key, mut timeout) = (None, None, None, CALL_TIMEOUT);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value)?;
            match name {
                "ca_cert" => ca_cert = Some(value),
                "cert_cert" => cert = Some(value),
                "cert_key" => key = Some(value),
                "timeout" => {
                    let seconds = value.parse::<f64>().ok().filter(|s| (0.1..=60.0).contains(s));
                    let seconds = seconds.ok_or_else(|| format!("timeout = {value}: expected 0.1 to 60 seconds"))?;
                    timeout = Duration::from_secs_f64(seconds);
                }
                // The gateway's; here the native API is spoken.
                "api_version" => {}
                other => {
                    return Err(format!(
                        "unknown option {other}, expected ca_cert, cert_cert, cert_key, timeout or api_version"
                    ));
                }
            }
        }
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err("cert_cert and cert_key go together, only one is given".to_owned()),
        };
        Ok(Query { files: EtcdTls { ca_cert, identity }, timeout })
    }
}

fn read_user(text: &str) -> Result<(String, String), String> {
    let (user, password) = text.split_once(':').ok_or("a user without a password: expected user:password@")?;
    Ok((decode(user)?, decode(password)?))
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`; the port added where it is missing.
fn read_host(text: &str) -> Result<String, String> {
    let wrong = || format!("host {text:?}: expected host:port");
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?)
        }
        _ => (text, PORT),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fine = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    if fine { Ok(format!("{host}:{port}")) } else { Err(wrong()) }
}

fn decode(text: &str) -> Result<String, String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err("a %-escape in the URL is not UTF-8".to_owned()),
    }
}

impl fmt::Display for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> =
            self.endpoints.iter().filter_map(|at| at.split_once("://").map(|(_, host)| host)).collect();
        write!(f, "{}://{}", if self.tls.is_some() { "etcd3+https" } else { "etcd3" }, hosts.join(","))
    }
}

impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EtcdOptions({self}, {:?}, timeout {:?})", self.tls, self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("etcd3://127.0.0.1:2379", &["http://127.0.0.1:2379"])]
    #[case::with_a_slash("etcd3+http://etcd.example/", &["http://etcd.example:2379"])]
    #[case::several("etcd3://a:1,b,c:3", &["http://a:1", "http://b:2379", "http://c:3"])]
    #[case::v6("etcd3+http://[::1],[fe80::1]:2380", &["http://[::1]:2379", "http://[fe80::1]:2380"])]
    #[case::tls("etcd3+https://a", &["https://a:2379"])]
    #[case::tls_by_its_files("etcd3://a?ca_cert=/ca.pem", &["https://a:2379"])]
    #[case::the_gateways_version("etcd3+http://a:1?api_version=v3", &["http://a:1"])]
    fn endpoints_are_read(#[case] url: &str, #[case] endpoints: &[&str]) {
        assert_eq!(EtcdOptions::parse(url).unwrap().endpoints, endpoints);
    }

    #[test]
    fn every_part_is_read_and_the_password_is_not_shown() {
        let url = "etcd3+https://neph:s%40cret@a:1,b:2?ca_cert=/ca&cert_cert=/c&cert_key=/k&timeout=0.5";
        let read = EtcdOptions::parse(url).unwrap();
        assert_eq!(read.user, Some(("neph".to_owned(), "s@cret".to_owned())));
        let identity = Some(("/c".to_owned(), "/k".to_owned()));
        assert_eq!(read.tls, Some(EtcdTls { ca_cert: Some("/ca".to_owned()), identity }));
        assert_eq!(read.timeout, Duration::from_millis(500));
        assert_eq!(read.to_string(), "etcd3+https://a:1,b:2");
        assert!(!format!("{read:?}").contains("cret"));
    }

    #[rstest]
    #[case::not_a_url("127.0.0.1:2379", "expected etcd3://")]
    #[case::memcached("memcached://h:1", "memcached:// is not supported: an owner of queues needs leases")]
    #[case::redis("redis://h", "redis:// is not supported")]
    #[case::zake("zake://", "zake:// is not supported")]
    #[case::file("file:///var/lib/x", "file:// is not supported")]
    #[case::version_2("etcd://h", "etcd:// is etcd's API of version 2")]
    #[case::no_host("etcd3://", "host \"\": expected host:port")]
    #[case::a_wrong_port("etcd3://h:http", "host \"h:http\": expected host:port")]
    #[case::port_zero("etcd3://h:0", "expected host:port")]
    #[case::bare_v6("etcd3://::1", "expected host:port")]
    #[case::a_path("etcd3://h/v3", "the URL has a path, /v3")]
    #[case::half_an_identity("etcd3+https://h?cert_key=/k", "go together")]
    #[case::files_without_tls("etcd3+http://h?ca_cert=/c", "need etcd3+https://")]
    #[case::an_unknown_option("etcd3://h?heartbeat=3", "unknown option heartbeat")]
    #[case::a_wrong_timeout("etcd3://h?timeout=soon", "expected 0.1 to 60 seconds")]
    #[case::no_password("etcd3://me@h", "a user without a password")]
    fn a_wrong_url_is_answered_with_what_is_right(#[case] url: &str, #[case] complaint: &str) {
        let error = EtcdOptions::parse(url).unwrap_err();
        assert!(error.contains(complaint), "{error}");
    }
}
