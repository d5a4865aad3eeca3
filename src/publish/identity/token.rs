//! A token of Keystone, and how long it lasts.

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use std::time::Duration;
use tokio::time::Instant;

use super::catalogue::Catalogue;
use crate::publish::web::{Reply, Secrets};

/// So long before its end a token is no longer used: requests under way must still find it valid.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a token is used whose end is unknown, or too near.
const LIFE_MIN: Duration = Duration::from_secs(10);
const LIFE_UNKNOWN: Duration = Duration::from_secs(300);
/// How long a token is used at most, whatever Keystone says.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Where a token stands.
const HEADER: HeaderName = HeaderName::from_static("x-auth-token");

/// A token, and the catalogue that came with it.
pub(super) struct Token {
    value: HeaderValue,
    text: String,
    issued: Instant,
    ends: Instant,
    pub(super) catalogue: Catalogue,
}

impl Token {
    /// A token that lasts as long as Keystone says, by its own clock: ours may be another.
    pub(super) fn new(
        text: &str,
        issued_at: Option<&str>,
        expires_at: Option<&str>,
        catalogue: Catalogue,
    ) -> Option<Token> {
        let mut value = HeaderValue::from_str(text).ok()?;
        value.set_sensitive(true);
        let now = Instant::now();
        let time = |text: &str| DateTime::parse_from_rfc3339(text).ok();
        let expires = expires_at.and_then(time);
        let issued = issued_at.and_then(time).map_or_else(Utc::now, |time| time.to_utc());
        let life = match expires {
            Some(expires) => {
                let life = (expires.to_utc() - issued).to_std().unwrap_or_default();
                life.saturating_sub(MARGIN).clamp(LIFE_MIN, LIFE_MAX)
            }
            None => LIFE_UNKNOWN,
        };
        Some(Token { value, text: text.to_owned(), issued: now, ends: now + life, catalogue })
    }

    /// Whether it may be used now.
    pub(super) fn lasts(&self) -> bool {
        Instant::now() < self.ends
    }

    pub(super) fn age(&self) -> Duration {
        self.issued.elapsed()
    }

    pub(super) fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([(HEADER, self.value.clone())])
    }

    /// An answer without the token, where a failing service quotes the request.
    pub(super) fn hide(&self, mut reply: Reply, secrets: &Secrets) -> Reply {
        if !reply.status.is_success() {
            let secrets = secrets.clone().and(&[&self.text]);
            reply.body = secrets.hidden_in(&String::from_utf8_lossy(&reply.body)).into_bytes();
            let place = reply.headers.get(LOCATION).map(|place| String::from_utf8_lossy(place.as_bytes()).into_owned());
            if let Some(place) = place.and_then(|place| HeaderValue::try_from(secrets.hidden_in(&place)).ok()) {
                reply.headers.insert(LOCATION, place);
            }
        }
        reply
    }
}
