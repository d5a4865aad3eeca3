//! A publisher's URL taken apart, and its options read with every complaint at once.

use percent_encoding::percent_decode_str;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use super::pace::{self, Pace};
use crate::config::shown;
use crate::config::url::{self, Unclear};
use crate::model::did_you_mean;
use crate::model::json::NonFinite;

/// The longest `timeout`, in seconds.
const TIMEOUT_S_MAX: f64 = 3600.0;

/// One option of a URL, as `docs/publishers` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// Its name.
    pub name: &'static str,
    /// What is expected, with the unit.
    pub expected: &'static str,
    /// What holds without it; empty: nothing.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// What holds where it is written several times.
    pub repeats: Repeats,
}

/// Which value of an option holds where it is written several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    /// All of them.
    All,
    /// The first that is not empty.
    First,
    /// The last.
    Last,
}

impl Row {
    /// A row.
    pub(super) const fn new(
        name: &'static str,
        expected: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Row { name, expected, default, meaning, repeats: Repeats::Last }
    }

    /// The same, for an option that may be written several times.
    pub(super) const fn repeatable(self) -> Self {
        Row { repeats: Repeats::All, ..self }
    }

    /// The same, for an option of which the first counts.
    pub(super) const fn first_counts(self) -> Self {
        Row { repeats: Repeats::First, ..self }
    }

    /// Whether addresses of the link may be used: metadata services of clouds are there.
    pub(super) const LINK_LOCAL: Row =
        Row::new("link_local", "true or false", "false", "use of link-local addresses (169.254.0.0/16, fe80::/10)");
    /// See [`Options::non_finite`].
    pub(super) const NAN: Row = Row::new(
        "nan",
        "null or python",
        "null",
        "form of numbers that are not finite: `null`, which every reader of JSON understands, or `NaN`, `Infinity`, `-Infinity` as Ceilometer does",
    );
}

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

    /// Takes out what every publisher has beside its own options; what is wrong with it.
    pub(super) fn take_pace(&mut self) -> (Pace, Vec<String>) {
        let mut options = self.options();
        let pace = Pace::read(&mut options);
        self.query = options.rest();
        (pace, options.complaints)
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
        Options { pairs: self.query.clone(), known: Vec::new(), complaints: Vec::new() }
    }
}

fn read_pair(pair: &str) -> (String, String) {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decoded(key), decoded(value))
}

/// The options of a URL while they are read: each is taken by its name, what is wrong is collected.
pub(super) struct Options {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    complaints: Vec<String>,
}

impl Options {
    /// All values of an option, in order.
    pub(super) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        self.pairs.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// The last value of an option, as Ceilometer takes it.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.all(name).pop()
    }

    /// `nan`: how `NaN` and the infinities are written into JSON.
    pub(super) fn non_finite(&mut self) -> NonFinite {
        match self.text("nan").as_deref() {
            None | Some("null") => NonFinite::Null,
            Some("python") => NonFinite::Python,
            Some(other) => {
                self.complain(format!("nan={other}: expected null or python"));
                NonFinite::Null
            }
        }
    }

    /// A number, at least `least`.
    pub(super) fn number<T: FromStr + PartialOrd + Display + Copy>(
        &mut self,
        name: &'static str,
        least: T,
    ) -> Option<T> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(number) if number >= least => Some(number),
            _ => {
                self.complain(format!("{name}={}: expected a number of at least {least}", shown(&text)));
                None
            }
        }
    }

    /// `timeout`, in seconds; `unless` it says otherwise.
    pub(super) fn timeout(&mut self, unless: f64) -> Duration {
        let seconds = self.number("timeout", 0.001).unwrap_or(unless);
        if seconds > TIMEOUT_S_MAX {
            self.complain(format!("timeout={seconds}: expected at most {TIMEOUT_S_MAX} seconds"));
        }
        Duration::from_secs_f64(seconds.min(TIMEOUT_S_MAX))
    }

    /// Yes or no, in the words that oslo takes; a bare name is yes.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let text = self.text(name)?;
        match text.to_ascii_lowercase().as_str() {
            "" | "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
            _ => {
                self.complain(format!("{name}={}: expected true or false", shown(&text)));
                None
            }
        }
    }

    /// Notes what is wrong.
    pub(super) fn complain(&mut self, complaint: impl Into<String>) {
        self.complaints.push(complaint.into());
    }

    /// What nobody has taken so far.
    pub(super) fn rest(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.pairs)
    }

    /// The options, if nothing is wrong. What nobody has taken is a mistake: a misspelt option would be silence.
    pub(super) fn finish<T>(mut self, options: T) -> Result<T, Vec<String>> {
        for (key, _) in &self.pairs {
            let known = || self.known.iter().copied().chain(pace::OPTIONS.iter().map(|row| row.name));
            let meant = did_you_mean(key, known());
            let known = known().collect::<Vec<_>>().join(", ");
            self.complaints.push(format!("unknown option {}{meant}; known: {known}", shown(key)));
        }
        if self.complaints.is_empty() { Ok(options) } else { Err(self.complaints) }
    }
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
