//! The options of a URL while they are read.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use super::row::COMMON;
use crate::config::shown;
use crate::model::did_you_mean;
use crate::model::json::NonFinite;

/// The longest `timeout`, in seconds.
const TIMEOUT_S_MAX: f64 = 3600.0;

/// The options of a URL while they are read: each is taken by its name, what is wrong is collected.
pub(in crate::publish) struct Options {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    complaints: Vec<String>,
}

impl Options {
    pub(super) fn new(pairs: Vec<(String, String)>) -> Options {
        Options { pairs, known: Vec::new(), complaints: Vec::new() }
    }

    /// All values of an option, in order.
    pub(in crate::publish) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        self.pairs.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// The last value of an option, as Ceilometer takes it.
    pub(in crate::publish) fn text(&mut self, name: &'static str) -> Option<String> {
        self.all(name).pop()
    }

    /// `nan`: how `NaN` and the infinities are written into JSON.
    pub(in crate::publish) fn non_finite(&mut self) -> NonFinite {
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
    pub(in crate::publish) fn number<T: FromStr + PartialOrd + Display + Copy>(
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
    pub(in crate::publish) fn timeout(&mut self, unless: f64) -> Duration {
        let seconds = self.number("timeout", 0.001).unwrap_or(unless);
        if seconds > TIMEOUT_S_MAX {
            self.complain(format!("timeout={seconds}: expected at most {TIMEOUT_S_MAX} seconds"));
        }
        Duration::from_secs_f64(seconds.min(TIMEOUT_S_MAX))
    }

    /// Yes or no, in the words that oslo takes; a bare name is yes.
    pub(in crate::publish) fn flag(&mut self, name: &'static str) -> Option<bool> {
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
    pub(in crate::publish) fn complain(&mut self, complaint: impl Into<String>) {
        self.complaints.push(complaint.into());
    }

    /// What is wrong so far.
    pub(in crate::publish) fn into_complaints(self) -> Vec<String> {
        self.complaints
    }

    /// What nobody has taken so far.
    pub(in crate::publish) fn rest(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.pairs)
    }

    /// The options, if nothing is wrong. What nobody has taken is a mistake: a misspelt option would be silence.
    pub(in crate::publish) fn finish<T>(mut self, options: T) -> Result<T, Vec<String>> {
        for (key, _) in &self.pairs {
            let known = || self.known.iter().copied().chain(COMMON.iter().map(|row| row.name));
            let meant = did_you_mean(key, known());
            let known = known().collect::<Vec<_>>().join(", ");
            self.complaints.push(format!("unknown option {}{meant}; known: {known}", shown(key)));
        }
        if self.complaints.is_empty() { Ok(options) } else { Err(self.complaints) }
    }
}
