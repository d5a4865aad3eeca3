//! What an `http://` or `https://` URL says (Ceilometer reference §6.3); other options stay in the URL.

use reqwest::{RequestBuilder, Url};

use crate::model::json::NonFinite;
use crate::model::nearest;
use crate::publish::pace;
use crate::publish::target::{Row, Target};
use crate::publish::web::{self, Secrets, Web, WebOptions, credentials};

/// The rows of the options, beside those of [every publisher over HTTP](web::OPTIONS).
pub(super) const OPTIONS: &[Row] = &[
    Row::new("batch", "true or false", "true", "one array for all records of a batch, else one request a record"),
    Row::new("raw_only", "true or false", "false", "events: only the payloads that `[event] store_raw` kept"),
    Row::NAN,
];

/// What the URL says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    /// Where to post to: without credentials, with the options that are not ours.
    pub url: Url,
    pub credentials: Option<(String, String)>,
    pub batch: bool,
    pub raw_only: bool,
    pub non_finite: NonFinite,
    pub web: WebOptions,
}

impl Options {
    pub(super) fn read(target: &Target) -> Result<Options, Vec<String>> {
        let mut options = target.options();
        let web = WebOptions::read(&mut options);
        let batch = options.flag("batch").unwrap_or(true);
        let raw_only = options.flag("raw_only").unwrap_or(false);
        let non_finite = options.non_finite();
        let credentials = credentials(&mut options, target);
        let rest = options.rest();
        let url = web.url(&mut options, &target.scheme, target, rest);
        let read = url.map(|url| Options { url, credentials, batch, raw_only, non_finite, web });
        options.finish(read)?.ok_or_else(Vec::new)
    }

    /// Options that stay in the URL, and whose names are nearly those of ours.
    pub(super) fn near_misses(&self) -> Vec<String> {
        let names = self.url.query_pairs().map(|(name, _)| name);
        let near = names.filter_map(|name| nearest(&name, names_of_ours()).map(|near| (name, near)));
        near.map(|(name, near)| format!("{name} is no option here and stays in the URL; did you mean {near}?"))
            .collect()
    }

    /// The client, which keeps the login and the values of the options to itself.
    pub(super) fn web(&self, target: &Target) -> Result<Web, Vec<String>> {
        Web::new(&self.web, &self.url, Secrets::of(target, self.credentials.as_ref()))
    }

    /// A request with the login of the URL.
    pub(super) fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }
}

/// The options that are ours; every other stays in the URL.
fn names_of_ours() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().chain(web::OPTIONS).chain(pace::OPTIONS).map(|row| row.name)
}
