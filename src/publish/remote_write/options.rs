//! The options of a `prometheus-remote-write` URL.

use reqwest::Url;

use crate::publish::target::{Row, Target};
use crate::publish::web::{Login, Web, WebOptions};

/// The rows of the options, beside those of [every publisher over HTTP](crate::publish::web::OPTIONS).
pub(super) const OPTIONS: &[Row] = &[
    Row::new(
        "version",
        "auto, 1.0 or 2.0",
        "auto",
        "version of the protocol; auto tries 2.0, and uses 1.0 if the receiver does not show that it supports 2.0",
    ),
    Row::new(
        "names",
        "escaped or utf8",
        "escaped",
        "names of meters: with `_` for every character that Prometheus 2 does not allow, or as they are (Prometheus 3)",
    ),
    Row::new(
        "late",
        "park or drop",
        "park",
        "fate of a sample that the receiver calls out of order or too old: parked, or counted as accepted",
    ),
];

/// How meters are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Escaped,
    Utf8,
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    First,
    Second,
}

/// What the URL says.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub url: Url,
    /// None: what the receiver knows.
    pub version: Option<Version>,
    pub names: Names,
    /// Whether samples that come late count as taken.
    pub drop_late: bool,
    pub login: Login,
    web: WebOptions,
}

impl Read {
    pub(super) fn of(target: &Target) -> Result<Read, Vec<String>> {
        let mut options = target.options();
        let (scheme, port) = if target.scheme.ends_with("+https") { ("https", None) } else { ("http", Some(9090)) };
        let web = WebOptions::read(&mut options);
        let version = match options.text("version").as_deref() {
            None | Some("auto") => None,
            Some("1.0") => Some(Version::First),
            Some("2.0") => Some(Version::Second),
            Some(other) => {
                options.complain(format!("version={other}: expected auto, 1.0 or 2.0"));
                None
            }
        };
        let names = match options.text("names").as_deref() {
            None | Some("escaped") => Names::Escaped,
            Some("utf8") => Names::Utf8,
            Some(other) => {
                options.complain(format!("names={other}: expected escaped or utf8"));
                Names::Escaped
            }
        };
        let drop_late = match options.text("late").as_deref() {
            None | Some("park") => false,
            Some("drop") => true,
            Some(other) => {
                options.complain(format!("late={other}: expected park or drop"));
                false
            }
        };
        let login = Login::read(&mut options, target);
        let mut target = port.map_or_else(|| target.clone(), |port| target.with_port(port));
        if matches!(target.path.as_str(), "" | "/") {
            "/api/v1/write".clone_into(&mut target.path);
        }
        let url = web.url(&mut options, scheme, &target, Vec::new());
        let read = url.map(|url| Read { url, version, names, drop_late, login, web });
        options.finish(read)?.ok_or_else(Vec::new)
    }

    /// The client.
    pub(super) fn web(&self, target: &Target) -> Result<Web, Vec<String>> {
        Web::new(&self.web, &self.url, self.login.secrets(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("prometheus-remote-write://h", "http://h:9090/api/v1/write")]
    #[case("prometheus-remote-write+https://u:p@h/push?version=2.0", "https://h/push")]
    fn where_it_goes(#[case] url: &str, #[case] expected: &str) {
        assert_eq!(Read::of(&Target::parse(url).unwrap()).unwrap().url.as_str(), expected);
    }

    #[test]
    fn every_complaint_comes_at_once() {
        let target = Target::parse("prometheus-remote-write://h?version=3&names=x&late=y&lat=z").unwrap();
        assert_eq!(
            Read::of(&target).unwrap_err()[..3],
            [
                "version=3: expected auto, 1.0 or 2.0",
                "names=x: expected escaped or utf8",
                "late=y: expected park or drop"
            ]
        );
    }
}
