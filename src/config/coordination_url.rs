//! `[coordination] backend_url`: a tooz URL of an etcd (Ceilometer reference §2.4).

use super::broker::host::host_name;
use super::broker::rabbit::Tls;
use super::secret::Secret;
use super::url::{self, Unclear};
use percent_encoding::percent_decode_str;
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

/// The port of etcd's clients.
const PORT: u16 = 2379;
const SEVERAL: &str = "one URL; several endpoints of one etcd are etcd3+http://user:password@h1:2379,h2:2379";

impl CoordinationUrl {
    /// Reads a URL in tooz's form; several endpoints are separated by commas. The error completes "expected …", and
    /// shows nothing of the URL.
    pub(super) fn parse(text: &str) -> Result<CoordinationUrl, String> {
        let parts = url::apart(text).map_err(|unclear| match unclear {
            Unclear::NoUrl => "a URL: etcd3+http://host:2379".to_owned(),
            Unclear::Several => SEVERAL.to_owned(),
            Unclear::Password => format!("an `@` only before the host; {}", url::ESCAPES),
        })?;
        let secure = match parts.scheme {
            "etcd3" | "etcd3+http" => false,
            "etcd3+https" => true,
            other => {
                return Err(format!(
                    "etcd3+http:// or etcd3+https://: a group of agents meets in an etcd, not in {other}://"
                ));
            }
        };
        if text.trim().contains(char::is_whitespace) || text.matches("://").count() > 1 {
            return Err(SEVERAL.to_owned());
        }
        let (user, hosts) = match parts.authority.rsplit_once('@') {
            Some((user, hosts)) => {
                let (user, password) = user.split_once(':').unwrap_or((user, ""));
                if password.contains('@') && password.contains(',') {
                    return Err(format!("one user for all endpoints: user:password@h1,h2; {}", url::ESCAPES));
                }
                (Some((decoded(user), Secret::new(decoded(password)))), hosts)
            }
            None => (None, parts.authority),
        };
        let endpoints = match hosts {
            "" => vec![format!("localhost:{PORT}")],
            hosts => hosts.split(',').map(endpoint).collect::<Result<_, _>>()?,
        };
        let mut url = CoordinationUrl { endpoints, user, tls: None, timeout: None };
        let mut tls = Tls { verify_hostname: true, ..Tls::default() };
        for pair in parts.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            match name {
                "ca_cert" => tls.ca_file = Some(value.into()),
                "cert_cert" => tls.cert_file = Some(value.into()),
                "cert_key" => tls.key_file = Some(value.into()),
                "timeout" => {
                    let seconds = value.parse::<f64>().ok().filter(|s| (0.1..=3600.0).contains(s));
                    url.timeout = Some(Duration::from_secs_f64(seconds.ok_or("a timeout from 0.1 to 3600 seconds")?));
                }
                "api_version" => {}
                _ => return Err("nothing but ca_cert, cert_cert, cert_key and timeout in the query".to_owned()),
            }
        }
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            return Err("both cert_cert and cert_key in the query, or neither".to_owned());
        }
        let files = tls.ca_file.is_some() || tls.cert_file.is_some();
        if parts.scheme == "etcd3+http" && files {
            return Err("etcd3+https:// with ca_cert, cert_cert and cert_key".to_owned());
        }
        // As tooz has it: plain etcd3:// is TLS as soon as a file for it is given.
        url.tls = (secure || files).then_some(tls);
        Ok(url)
    }
}

/// `host:port`, with the port of etcd where none is written.
fn endpoint(text: &str) -> Result<String, String> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !text.ends_with(']') => {
            let port = port.parse::<u16>();
            (name, port.map_err(|_| format!("a port from 1 to 65535 after the host; {}", url::ESCAPES))?)
        }
        _ => (text, PORT),
    };
    match name.strip_prefix('[') {
        Some(v6) => host_name(v6.strip_suffix(']').ok_or("a `]` after the IPv6 address")?)?,
        None if name.contains(':') => return Err("`[` and `]` around an IPv6 address".to_owned()),
        None => host_name(name)?,
    };
    Ok(format!("{name}:{port}"))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("etcd3://", "etcd3+http://localhost:2379")]
    #[case("etcd3+https://u:p%40@h1,h2:1/?timeout=2", "etcd3+https://h1:2379,h2:1")]
    #[case("etcd3+http://u:p@ss@[::1]:5", "etcd3+http://[::1]:5")]
    fn a_url_is_read(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(CoordinationUrl::parse(text).unwrap().to_string(), shown);
    }

    #[rstest]
    #[case::a_store_that_is_none("redis://:SESAME@h:6379/", "not in redis://")]
    #[case::two("etcd3://h1:2379,etcd3://h2:2379", "one URL")]
    #[case::two_users("etcd3://u:SESAME@h1,u:SESAME@h2", "one user")]
    #[case::a_slash("etcd3://u:12/SESAME@h1", "only before the host")]
    #[case::no_host("etcd3://u:SESAME", "a port")]
    #[case::a_strange_option("etcd3://h/?SESAME=1", "nothing but")]
    #[case::no_scheme("u:SESAME@h", "a URL")]
    fn a_url_is_refused(#[case] text: &str, #[case] expected: &str) {
        let why = CoordinationUrl::parse(text).unwrap_err();
        assert!(why.contains(expected) && !why.contains("SESAME"), "{why}");
    }

    #[rstest]
    #[case::plain("etcd3+http://h", None)]
    #[case::plain_without_a_word("etcd3://h", None)]
    #[case::tls("etcd3+https://h?ca_cert=/ca&cert_cert=/c&cert_key=/k", Some(["/ca", "/c", "/k"]))]
    #[case::tls_by_its_files("etcd3://h?ca_cert=/ca&cert_cert=/c&cert_key=/k", Some(["/ca", "/c", "/k"]))]
    fn the_files_for_tls_are_read(#[case] text: &str, #[case] files: Option<[&str; 3]>) {
        let tls = CoordinationUrl::parse(text).unwrap().tls;
        let read = tls.map(|tls| [tls.ca_file, tls.cert_file, tls.key_file].map(Option::unwrap));
        assert_eq!(read, files.map(|files| files.map(Into::into)));
    }

    #[rstest]
    #[case::half_an_identity("etcd3+https://h?cert_key=/k", "both cert_cert and cert_key")]
    #[case::files_without_tls("etcd3+http://h?ca_cert=/ca", "etcd3+https://")]
    fn files_that_would_be_dropped_are_complained_of(#[case] text: &str, #[case] expected: &str) {
        let complaint = CoordinationUrl::parse(text).unwrap_err();
        assert!(complaint.contains(expected), "{complaint}");
    }
}
