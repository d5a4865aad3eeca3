//! RabbitMQ's management API: one bounded request after the other, and what its pages hold.
//!
//! Its answers are untrusted: bytes, pages and time have bounds, and what cannot be understood is passed over and said.
//!
//! Never here: a request that changes something.

pub(super) mod pages;
pub(super) mod policies;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use std::time::Duration;

use crate::config::url;
use crate::model::shown::shown;
use crate::publish::reader::{Page, Reader, Trust};

/// The longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one answer that are read.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How much of what a server says goes into a finding, in characters.
const SAID_CHARACTERS_MAX: usize = 200;

/// Where a management API is, and who logs in.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// `http://host:port`, perhaps with a prefix of the path; without a login.
    base: String,
    /// User and password.
    login: Option<(String, String)>,
}

impl Address {
    /// Reads `http[s]://[user:password@]host[:port][/prefix]`. The error completes "expected …".
    pub fn parse(text: &str) -> Result<Address, String> {
        const FORM: &str = "http://host:15672, perhaps with user:password@ before the host";
        let parts = url::apart(text).map_err(|_| FORM.to_owned())?;
        if !matches!(parts.scheme, "http" | "https") || !parts.query.is_empty() {
            return Err(FORM.to_owned());
        }
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (login, place) = match parts.authority.rsplit_once('@') {
            Some((login, place)) => {
                let (user, password) = login.split_once(':').ok_or_else(|| FORM.to_owned())?;
                (Some((decoded(user), decoded(password))), place)
            }
            None => (None, parts.authority),
        };
        if place.is_empty() || text.contains(char::is_whitespace) {
            return Err(FORM.to_owned());
        }
        Ok(Address { base: format!("{}://{place}{}", parts.scheme, parts.path.trim_end_matches('/')), login })
    }

    /// The same with this login, where it has none.
    #[must_use]
    pub(super) fn or_login(mut self, user: &str, password: &str) -> Address {
        self.login.get_or_insert_with(|| (user.to_owned(), password.to_owned()));
        self
    }

    /// Without the login.
    pub(super) fn shown(&self) -> String {
        shown(&self.base)
    }

    /// Who logs in.
    pub(super) fn user(&self) -> &str {
        self.login.as_ref().map_or("guest", |(user, _)| user)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

/// Why a page was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is no answer that is the API's.
    Away(String),
    /// The user may not: 401 or 403, with what was said.
    Refused(String),
    /// There is no such thing: 404.
    Nothing,
    /// The API does not want to: any other status, or an answer that cannot be understood.
    Odd(String),
}

/// A way to one management API.
pub(super) struct Management {
    reader: Reader,
    address: Address,
}

impl Management {
    /// The error is what is wrong with the files.
    pub(super) fn new(address: Address, trust: &Trust) -> Result<Management, String> {
        let secrets: Vec<&str> = address.login.iter().map(|(_, password)| password.as_str()).collect();
        let reader = Reader::new(trust, TIMEOUT, &secrets)?;
        Ok(Management { reader, address })
    }

    /// Where it is.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Reads a page below `/api/`.
    pub(super) async fn page<T: DeserializeOwned>(&self, path: &str) -> Result<T, Missing> {
        let answer = self.get(path).await?;
        read(path, &answer)
    }

    /// The same as it came, whatever its status is, for those who read its date or a status of their own.
    pub(super) async fn get(&self, path: &str) -> Result<Page, Missing> {
        let login = self.address.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
        let url = format!("{}/api/{path}", self.address.base);
        self.reader.get(&url, login, ANSWER_BYTES_MAX).await.map_err(Missing::Away)
    }
}

/// A page, if it is one.
pub(super) fn read<T: DeserializeOwned>(path: &str, page: &Page) -> Result<T, Missing> {
    match page.status {
        200..300 if !page.whole => {
            Err(Missing::Odd(format!("its answer to {path} is longer than {ANSWER_BYTES_MAX} bytes")))
        }
        200..300 => serde_json::from_slice(&page.body).map_err(|error| {
            Missing::Odd(format!("its answer to {path} is not that of RabbitMQ's management: {error}"))
        }),
        401 | 403 => Err(Missing::Refused(said(page))),
        404 => Err(Missing::Nothing),
        _ => Err(Missing::Odd(said(page))),
    }
}

/// What the API says when it does not do something, in one line.
fn said(page: &Page) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        reason: Option<String>,
    }
    let reason = serde_json::from_slice::<Said>(&page.body).ok().and_then(|said| said.reason).unwrap_or_default();
    let reason: String = reason.chars().take(SAID_CHARACTERS_MAX).collect();
    if reason.is_empty() { format!("status {}", page.status) } else { format!("status {}: {reason}", page.status) }
}

/// A name as a part of a path.
pub(super) fn part(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("http://h:15672", Some(("http://h:15672", None)))]
    #[case("https://u:p%40@[::1]:1/rabbit/", Some(("https://[::1]:1/rabbit", Some("p@"))))]
    #[case("h:15672", None)]
    #[case("amqp://h", None)]
    #[case("http://u@h", None)]
    #[case("http://", None)]
    fn an_address_is_read(#[case] text: &str, #[case] expected: Option<(&str, Option<&str>)>) {
        let read = Address::parse(text).ok();
        let told = read
            .as_ref()
            .map(|address| (address.base.as_str(), address.login.as_ref().map(|(_, password)| password.as_str())));
        assert_eq!(told, expected);
        assert!(!format!("{read:?}").contains("p@"));
    }

    #[test]
    fn an_answer_that_is_not_the_apis_is_said() {
        let page = |status, body: &str| Page { status, date: None, body: body.as_bytes().to_vec(), whole: true };
        assert_eq!(read::<Vec<u8>>("x", &page(200, "[1]")), Ok(vec![1]));
        assert!(matches!(read::<Vec<u8>>("x", &page(200, "<html>")), Err(Missing::Odd(_))));
        let refused = Missing::Refused("status 401: Not management user".to_owned());
        assert_eq!(read::<u8>("x", &page(401, r#"{"reason":"Not management user"}"#)), Err(refused));
        let cut = Page { whole: false, ..page(200, "[1]") };
        assert!(matches!(read::<Vec<u8>>("x", &cut), Err(Missing::Odd(_))));
    }
}
