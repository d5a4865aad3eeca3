//! The login at a receiver: user and password of the URL, a bearer token, headers of a vendor.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

use super::{Secrets, credentials};
use crate::publish::target::{Options, Row, Target};

/// The rows of the options.
pub(in crate::publish) const OPTIONS: &[Row] = &[
    Row::new("token", "text", "", "token for the receiver (`Authorization: Bearer …`)"),
    Row::new("header", "name:value", "", "header of each request; repeatable").repeatable(),
];

/// Most headers that a URL can add.
const HEADERS_MAX: usize = 16;

/// Headers that every request carries; none of their values is ever shown.
#[derive(Clone, Default)]
pub(in crate::publish) struct Login {
    headers: HeaderMap,
    user: Option<(String, String)>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl Login {
    /// Takes it out of a URL; what is wrong is noted with the options.
    pub(in crate::publish) fn read(options: &mut Options, target: &Target) -> Login {
        let user = credentials(options, target);
        let token = options.text("token");
        if user.is_some() && token.is_some() {
            options.complain("both a user and a token are given: give one of them");
        }
        let basic = user.as_ref().map(|(user, password)| BASE64_STANDARD.encode(format!("{user}:{password}")));
        let authorization =
            basic.map(|basic| format!("Basic {basic}")).or(token.map(|token| format!("Bearer {token}")));
        let mut pairs: Vec<(String, String)> =
            authorization.into_iter().map(|value| ("authorization".to_owned(), value)).collect();
        for header in options.all("header") {
            match header.split_once(':') {
                Some((name, value)) => pairs.push((name.trim().to_owned(), value.trim().to_owned())),
                None => options.complain("header: expected name:value"),
            }
        }
        if pairs.len() > HEADERS_MAX {
            options.complain(format!("header: expected at most {HEADERS_MAX} of them"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.into_iter().take(HEADERS_MAX) {
            match (HeaderName::try_from(&name), HeaderValue::try_from(value)) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    headers.append(name, value);
                }
                // The value may be a secret, and the name a piece of one.
                _ => options.complain("header or token: expected letters and signs that a header can hold"),
            }
        }
        Login { headers, user }
    }

    /// The headers.
    pub(in crate::publish) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What must not be told of this URL.
    pub(in crate::publish) fn secrets(&self, target: &Target) -> Secrets {
        let values = self.headers.values().filter_map(|value| value.to_str().ok());
        let words: Vec<&str> = values.map(|value| value.rsplit(' ').next().unwrap_or(value)).collect();
        Secrets::of(target, self.user.as_ref()).and(&words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn read(url: &str) -> Result<Login, Vec<String>> {
        let target = Target::parse(url).unwrap();
        let mut options = target.options();
        let login = Login::read(&mut options, &target);
        options.finish(login)
    }

    #[rstest]
    #[case("x://u:p%40@h", "authorization", "Basic dTpwQA==")]
    #[case("x://h?token=abc", "authorization", "Bearer abc")]
    #[case("x://h?header=X-Key:%20a:b&header=Other:c", "x-key", "a:b")]
    fn a_login_is_a_header(#[case] url: &str, #[case] name: &str, #[case] value: &str) {
        let login = read(url).unwrap();
        assert_eq!(login.headers()[name], value);
        assert!(!format!("{login:?}").contains(value.split(' ').next_back().unwrap()), "{login:?}");
    }

    #[rstest]
    #[case("x://u:secret@h?token=secret", "give one of them")]
    #[case("x://h?header=secret", "expected name:value")]
    #[case("x://h?header=a%0Ab:secret", "a header can hold")]
    #[case("x://h?token=secret%0A", "a header can hold")]
    fn a_login_that_cannot_be_sent_is_a_complaint_without_the_secret(#[case] url: &str, #[case] complaint: &str) {
        let complaints = read(url).unwrap_err().join("; ");
        assert!(complaints.contains(complaint) && !complaints.contains("secret"), "{complaints}");
    }
}
