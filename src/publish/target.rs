//! A publisher's URL taken apart, and its options read with every complaint at once.

use percent_encoding::percent_decode_str;
use std::fmt::Display;
use std::str::FromStr;

use crate::model::did_you_mean;

/// One URL of a sink, split as Python's `urlsplit` splits it; nothing is normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// In lower case.
    pub scheme: String,
    /// `[user[:password]@]host[:port]`, as written.
    pub netloc: String,
    /// With its leading slash, as written.
    pub path: String,
    /// The query's pairs in order, decoded; a key without a value has an empty one.
    pub query: Vec<(String, String)>,
}

impl Target {
    /// Takes a URL apart; what is missing if it is none.
    pub(super) fn parse(url: &str) -> Result<Target, String> {
        let Some((scheme, rest)) = url.trim().split_once("://").filter(|(scheme, _)| !scheme.is_empty()) else {
            return Err(format!("{url:?} is no publisher URL; write scheme://…, for example file:///var/log/samples"));
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (netloc, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        Ok(Target {
            scheme: scheme.to_ascii_lowercase(),
            netloc: netloc.to_owned(),
            path: path.to_owned(),
            query: query.split('&').filter(|pair| !pair.is_empty()).map(read_pair).collect(),
        })
    }

    /// The URL for logs and labels: without passwords, and without the options.
    pub(super) fn shown(&self) -> String {
        let host = match self.netloc.rsplit_once('@') {
            Some((user, host)) => format!("{}:***@{host}", user.split(':').next().unwrap_or_default()),
            None => self.netloc.clone(),
        };
        format!("{}://{host}{}", self.scheme, self.path)
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

    /// The last value of an option, as the original takes it.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.all(name).pop()
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
                self.complain(format!("{name}={text}: expected a number of at least {least}"));
                None
            }
        }
    }

    /// Yes or no, in the words that oslo takes; a bare name is yes.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let text = self.text(name)?;
        match text.to_ascii_lowercase().as_str() {
            "" | "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
            _ => {
                self.complain(format!("{name}={text}: expected true or false"));
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
            let meant = did_you_mean(key, self.known.iter().copied());
            self.complaints.push(format!("unknown option {key}{meant}; known here are: {}", self.known.join(", ")));
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
    #[case("notifier://u@[::1]:5672", "notifier://u:***@[::1]:5672")]
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
                "unknown option typo; known here are: n, flag, empty",
            ]
        );
    }
}
