//! A server that records are posted to: its URL, the login in it, and how to reach it.

use reqwest::{Method, RequestBuilder, Url};

use super::{OPTIONS, Secrets, Web, WebOptions, credentials};
use crate::model::nearest;
use crate::publish::target::{COMMON, Options, Row, Target};

/// What a URL says about the server that is posted to.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::publish) struct Endpoint {
    /// Without credentials, with the options that are not ours.
    pub url: Url,
    credentials: Option<(String, String)>,
    web: WebOptions,
}

impl Endpoint {
    /// Takes the [options of every publisher over HTTP](OPTIONS), and all that nobody has taken before, for `scheme` with the
    /// place of the target; none if something is wrong, which is noted.
    pub(in crate::publish) fn read(options: &mut Options, scheme: &str, target: &Target) -> Option<Endpoint> {
        let web = WebOptions::read(options);
        Endpoint::reached(web, options, scheme, target)
    }

    /// The same where the options of every publisher over HTTP are taken already.
    pub(in crate::publish) fn reached(
        web: WebOptions,
        options: &mut Options,
        scheme: &str,
        target: &Target,
    ) -> Option<Endpoint> {
        let credentials = credentials(options, target);
        let mut rest = options.rest();
        // Ceilometer reads the query by Python's `parse_qs`, which knows no option without a value.
        rest.retain(|(_, value)| !value.is_empty());
        let url = web.url(options, scheme, target, rest)?;
        Some(Endpoint { url, credentials, web })
    }

    /// The client, which keeps the login and the values of the options to itself.
    pub(in crate::publish) fn web(&self, target: &Target) -> Result<Web, Vec<String>> {
        Web::new(&self.web, &self.url, Secrets::of(target, self.credentials.as_ref()))
    }

    /// A POST to a URL of this server, with the login.
    pub(in crate::publish) fn post(&self, web: &Web, url: Url) -> RequestBuilder {
        let request = web.request(Method::POST, url);
        match &self.credentials {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    /// Options that stay in the URL, and whose names are nearly those of `own` or of every publisher over HTTP.
    pub(in crate::publish) fn near_misses(&self, own: &[Row]) -> Vec<String> {
        let ours = || own.iter().chain(OPTIONS).chain(COMMON).map(|row| row.name);
        let names = self.url.query_pairs().map(|(name, _)| name);
        let near = names.filter_map(|name| nearest(&name, ours()).map(|near| (name, near)));
        near.map(|(name, near)| {
            format!("{name} is no option of the publisher and stays in the URL; did you mean {near}?")
        })
        .collect()
    }
}
