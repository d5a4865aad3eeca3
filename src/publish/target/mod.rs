//! A publisher's URL taken apart, and its options read with every complaint at once. Never here: what an option does.

mod options;
mod row;

use percent_encoding::percent_decode_str;
use std::fmt;

pub(super) use self::options::Options;
pub(super) use self::row::{COMMON, Repeats, Row};
use crate::config::shown;
use crate::config::url::{self, Unclear};

/// One URL of a sink, split as Python's `urlsplit` splits it; nothing is normalised. `Debug` shows no passwords.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// As it is written, without passwords and options.
    shown: String,
    /// In lower case.
    pub scheme: String,
    /// `[user[:password]@]host[:port]`, as written.
    pub netloc: String,
    /// With its leading slash, as written.
    pub path: String,
    /// The query's pairs in order, decoded; a key without a value has an empty one.
    pub query: Vec<(String, String)>,
    /// Whether the URL has a `#`; what is behind it has no effect.
    pub has_fragment: bool,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.shown).finish()
    }
}

impl Target {
    /// Takes a URL apart; what is missing if it is none.
    pub(super) fn parse(url: &str) -> Result<Target, String> {
        let parts = url::apart(url).map_err(|unclear| match unclear {
            Unclear::NoUrl => {
                "this is no publisher URL; write scheme://…, for example file:///var/log/samples".to_owned()
            }
            Unclear::Several => "there are several URLs in one; write one an item of publishers:".to_owned(),
            Unclear::Password => format!("an `@` stands behind the host; {}", url::ESCAPES),
        })?;
        Ok(Target {
            shown: shown(url),
            scheme: parts.scheme.to_ascii_lowercase(),
            netloc: parts.authority.to_owned(),
            path: parts.path.to_owned(),
            has_fragment: url.contains('#'),
            query: parts.query.split('&').filter(|pair| !pair.is_empty()).map(read_pair).collect(),
        })
    }

    /// The URL for logs and labels: without passwords, and without the options.
    pub(super) fn shown(&self) -> String {
        self.shown.clone()
    }

    /// Options of these rows that are written several times and hold but once: each with how often, in words.
    pub(super) fn repeated<'r>(&self, rows: impl Iterator<Item = &'r Row>) -> Vec<(&'r Row, String)> {
        let often = |row: &Row| self.query.iter().filter(|(key, _)| key == row.name).count();
        let single = rows.filter(|row| row.repeats != Repeats::All).map(|row| (row, often(row)));
        let words = |times| if times == 2 { "twice".to_owned() } else { format!("{times} times") };
        single.filter(|(_, times)| *times > 1).map(|(row, times)| (row, words(times))).collect()
    }

    /// The same with a port, where it names a host and none.
    pub(super) fn with_port(&self, port: u16) -> Target {
        let mut target = self.clone();
        let place = self.netloc.rsplit_once('@').map_or(self.netloc.as_str(), |(_, place)| place);
        // In brackets there is an IPv6 address.
        let outside = place.rsplit(']').next().unwrap_or_default();
        if !place.is_empty() && !outside.contains(':') {
            target.netloc = format!("{}:{port}", self.netloc);
        }
        target
    }

    /// Begins to read the options.
    pub(super) fn options(&self) -> Options {
        Options::new(self.query.clone())
    }
}

fn read_pair(pair: &str) -> (String, String) {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decoded(key), decoded(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("file:///var/log/x?json&max_bytes=5#y", "file:///var/log/x")]
    #[case("notifier://", "notifier://")]
    #[case("HTTP://u:p%40@h:1/a/b?x=%20", "http://u:***@h:1/a/b")]
    #[case("notifier://u:p@[::1]:5672", "notifier://u:***@[::1]:5672")]
    #[case("notifier://u:p@h1,u:p@h2/v", "notifier://u:***@h2/v")]
    #[case("test://a", "test://a")]
    fn shown_without_secrets(#[case] url: &str, #[case] shown: &str) {
        assert_eq!(Target::parse(url).unwrap().shown(), shown);
    }

    #[rstest]
    #[case("")]
    #[case("notifier")]
    #[case("://x")]
    fn no_url(#[case] url: &str) {
        assert!(Target::parse(url).unwrap_err().contains("scheme://"));
    }

    #[test]
    fn every_complaint_comes_at_once() {
        let target = Target::parse("x://?n=0&flag=maybe&n=ten&typo=1&empty").unwrap();
        let mut options = target.options();
        assert_eq!(options.number("n", 1), None);
        assert_eq!(options.flag("flag"), None);
        assert_eq!(options.flag("empty"), Some(true));
        assert_eq!(
            options.finish(()).unwrap_err(),
            [
                "n=ten: expected a number of at least 1",
                "flag=maybe: expected true or false",
                "unknown option typo; known: n, flag, empty, concurrency, rate, breaker_failures, breaker_pause, overflow_queue",
            ]
        );
    }
}
