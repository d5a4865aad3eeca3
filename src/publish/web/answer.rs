//! The meaning of an HTTP answer for the records that were posted.

use chrono::{DateTime, Utc};
use reqwest::Url;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use std::time::Duration;

use super::Reply;
use super::secrets::Secrets;
use crate::publish::outcome::Answer;

/// The longest wait that a `Retry-After` can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// How much of what a server says goes into the reason, in characters.
const REASON_CHARACTERS_MAX: usize = 200;

/// The usual verdict of an answer; what the server says does not show our secrets.
pub(super) fn judge(reply: &Reply, secrets: &Secrets, now: DateTime<Utc>) -> Answer {
    let Reply { status, headers, .. } = reply;
    if status.is_success() {
        return Answer::Taken;
    }
    if status.is_redirection() {
        let place = headers.get(LOCATION).and_then(|place| place.to_str().ok()).unwrap_or("another place");
        let place: String = secrets.hidden_in(place).chars().take(REASON_CHARACTERS_MAX).collect();
        return Answer::Never { cause: format!("{status}: redirects are not followed, write {place} in the pipeline") };
    }
    let cause = cause(reply, secrets);
    match status.as_u16() {
        // Wrong credentials are the operator's to mend, not the records' fault: hold.
        401 | 403 | 407 | 408 | 425 | 429 | 500.. => Answer::Later { cause, after: wait(headers, now) },
        400 | 413 | 422 => Answer::NotThese { cause },
        _ => Answer::Never { cause },
    }
}

/// The status and the beginning of what the server said, in one line.
pub(super) fn cause(Reply { status, body, .. }: &Reply, secrets: &Secrets) -> String {
    // Before it is cut: half of a secret would not be known.
    let said = secrets.hidden_in(String::from_utf8_lossy(body).trim());
    let said: String = said.chars().take(REASON_CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if said.is_empty() { status.to_string() } else { format!("{status}: {said}") }
}

/// `Retry-After`, in seconds or as a date.
fn wait(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(text).ok()?.to_utc() - now).to_std().unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

impl Answer {
    /// The same with the address that was asked, for publishers whose URL does not have it: `http://h:8041: no connection`. What
    /// begins with a section is about the login, and names its own.
    pub(in crate::publish) fn at(self, asked: &Url) -> Answer {
        match self {
            Answer::Later { cause, after } if !cause.starts_with('[') => {
                Answer::Later { cause: format!("{}: {cause}", asked.origin().ascii_serialization()), after }
            }
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("7", Some(7))]
    #[case("86400", Some(300))]
    #[case("Thu, 01 Jan 2026 00:00:30 GMT", Some(30))]
    #[case("Wed, 01 Jan 2020 00:00:00 GMT", Some(0))]
    #[case("soon", None)]
    fn how_long_to_wait(#[case] said: &str, #[case] seconds: Option<u64>) {
        let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").unwrap().to_utc();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, said.parse().unwrap())]);
        assert_eq!(wait(&headers, now), seconds.map(Duration::from_secs));
    }

    #[rstest]
    #[case("no connection", "http://h:8041: no connection")]
    #[case("[service_credentials]: Keystone is away", "[service_credentials]: Keystone is away")]
    fn the_address_that_was_asked(#[case] cause: &str, #[case] told: &str) {
        let asked = Url::parse("http://h:8041/v1/metric?token=x").unwrap();
        let answer = Answer::Later { cause: cause.to_owned(), after: None }.at(&asked);
        assert_eq!(answer.cause(), Some(told));
    }
}
