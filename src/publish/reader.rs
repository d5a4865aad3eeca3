//! Reads a page of a server over HTTP, for who looks at servers that nothing is published to.
//!
//! It has the bounds and the rules of publishers: no redirect is followed, a body is read up to a bound, addresses of the link are
//! refused, what a server says comes without our secrets. Never here: what a page means.

use chrono::{DateTime, Utc};
use reqwest::header::DATE;
use reqwest::{Method, Url};
use std::path::PathBuf;
use std::time::Duration;

use super::web::{Secrets, Web, WebOptions};

/// Who a server must be, and who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// File of authorities, in PEM; `None`: those of the system.
    pub authorities: Option<PathBuf>,
    /// Our certificate, and its key where that is in another file, in PEM.
    pub identity: Option<(PathBuf, Option<PathBuf>)>,
}

/// A reader of pages.
pub struct Reader {
    web: Web,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The status of HTTP.
    pub status: u16,
    /// What the server says the time is, in whole seconds.
    pub date: Option<DateTime<Utc>>,
    /// The body, cut off where it is longer than was wanted.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub whole: bool,
}

impl Reader {
    /// A reader that waits so long for one answer. `secrets` never come back in what a server says. `Err` is what is wrong with
    /// the files.
    pub fn new(trust: &Trust, timeout: Duration, secrets: &[&str]) -> Result<Reader, String> {
        let options = WebOptions::of_files(timeout, trust.authorities.clone(), trust.identity.clone());
        let web = Web::to_anywhere(&options, Secrets::default().and(secrets)).map_err(|all| all.join("; "))?;
        Ok(Reader { web })
    }

    /// Reads a page, with a login if there is one, and at most `bytes_max` of it. `Err` is why there is no answer.
    pub async fn get(&self, url: &str, login: Option<(&str, &str)>, bytes_max: usize) -> Result<Page, String> {
        let url = Url::parse(url).map_err(|cause| format!("this is no URL: {cause}"))?;
        let request = self.web.request(Method::GET, url);
        let request = match login {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        match self.web.ask(request, bytes_max).await {
            Ok(reply) => {
                let date = reply.headers.get(DATE).and_then(|date| date.to_str().ok());
                let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(|date| date.to_utc());
                Ok(Page { status: reply.status.as_u16(), date, body: reply.body, whole: reply.whole })
            }
            Err(answer) => Err(answer.cause().unwrap_or("no answer").to_owned()),
        }
    }
}
