//! What an `http://` or `https://` URL says (Ceilometer reference §6.3), and the client it makes.

use percent_encoding::percent_decode_str;
use reqwest::{Client, Identity, RequestBuilder, Url, redirect};
use std::path::PathBuf;
use std::time::Duration;

use crate::model::json::NonFinite;
use crate::model::nearest;
use crate::publish::certificates::{self, authorities, shown_path, told};
use crate::publish::target::Target;

/// The options that are ours; every other stays in the URL.
const OPTIONS: [&str; 7] = ["timeout", "max_retries", "batch", "raw_only", "verify_ssl", "clientcert", "clientkey"];

/// Seconds for one request, unless `timeout` says otherwise.
const TIMEOUT_S: f64 = 5.0;
/// The longest `timeout`, in seconds.
const TIMEOUT_S_MAX: f64 = 3600.0;
/// Attempts to connect after the first, unless `max_retries` says otherwise.
const CONNECT_RETRIES: u32 = 2;
/// Idle connections kept for the next batches.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// What the URL says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    /// Where to post to: without credentials, with the options that are not ours.
    pub url: Url,
    pub credentials: Option<(String, String)>,
    pub timeout: Duration,
    pub max_retries: u32,
    pub batch: bool,
    pub raw_only: bool,
    pub non_finite: NonFinite,
    verify: Verify,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

/// Whether the server must show who it is.
#[derive(Debug, Clone, PartialEq)]
enum Verify {
    /// To the authorities of the system.
    System,
    /// To those in this file or folder.
    Authorities(PathBuf),
    /// To nobody.
    No,
}

impl Options {
    pub(super) fn read(target: &Target) -> Result<Options, Vec<String>> {
        let mut options = target.options();
        let seconds = options.number("timeout", 0.001).unwrap_or(TIMEOUT_S);
        if seconds > TIMEOUT_S_MAX {
            options.complain(format!("timeout={seconds}: expected at most {TIMEOUT_S_MAX} seconds"));
        }
        let max_retries = options.number("max_retries", 0).unwrap_or(CONNECT_RETRIES);
        let batch = options.flag("batch").unwrap_or(true);
        let raw_only = options.flag("raw_only").unwrap_or(false);
        let non_finite = options.non_finite();
        let verify = match options.text("verify_ssl") {
            None => Verify::System,
            Some(text) => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "t" | "yes" | "y" | "on" => Verify::System,
                "0" | "false" | "f" | "no" | "n" | "off" => Verify::No,
                _ => Verify::Authorities(PathBuf::from(text)),
            },
        };
        let client_cert = options.text("clientcert").map(PathBuf::from);
        let client_key = options.text("clientkey").map(PathBuf::from);
        if client_key.is_some() && client_cert.is_none() {
            options
                .complain("clientkey is given without clientcert: give both, or clientcert alone with the key in it");
        }
        let (credentials, place) = match target.netloc.rsplit_once('@') {
            None => (None, target.netloc.as_str()),
            Some((user, place)) => {
                let credentials = user.split_once(':').map(|(user, password)| (decoded(user), decoded(password)));
                if credentials.is_none() {
                    options.complain("a user without a password; write https://user:password@host/path");
                }
                (credentials, place)
            }
        };
        let rest = options.rest();
        // The URL standard would take the first part of the path for the host.
        let place = if place.is_empty() { ":" } else { place };
        let url = Url::parse(&format!("{}://{place}{}", target.scheme, target.path)).map(|mut url| {
            if !rest.is_empty() {
                url.query_pairs_mut().extend_pairs(rest);
            }
            url
        });
        let url = match url {
            Ok(url) => Some(url),
            Err(cause) => {
                options.complain(format!("{cause}; write {}://host[:port]/path", target.scheme));
                None
            }
        };
        let timeout = Duration::from_secs_f64(seconds.min(TIMEOUT_S_MAX));
        let read = url.map(|url| Options {
            url,
            credentials,
            timeout,
            max_retries,
            batch,
            raw_only,
            non_finite,
            verify,
            client_cert,
            client_key,
        });
        options.finish(read)?.ok_or_else(Vec::new)
    }

    /// Options that stay in the URL, and whose names are nearly those of ours.
    pub(super) fn near_misses(&self) -> Vec<String> {
        let names = self.url.query_pairs().map(|(name, _)| name);
        let near = names.filter_map(|name| nearest(&name, OPTIONS).map(|near| (name, near)));
        near.map(|(name, near)| format!("{name} is no option here and stays in the URL; did you mean {near}?"))
            .collect()
    }

    /// A request with the login of the URL.
    pub(super) fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    /// The client: redirects are not followed, certificates are read now.
    pub(super) fn client(&self) -> Result<Client, Vec<String>> {
        certificates::install();
        let mut complaints = Vec::new();
        let mut builder = Client::builder()
            .user_agent(concat!("nephoscope/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(self.timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
        builder = match &self.verify {
            // Without TLS a machine without authorities will do.
            _ if self.url.scheme() == "http" => builder.tls_certs_only([]),
            Verify::System => builder,
            Verify::No => builder.tls_danger_accept_invalid_certs(true),
            Verify::Authorities(path) => match authorities(path) {
                Ok(certificates) => builder.tls_certs_only(certificates),
                Err(cause) => {
                    complaints.push(format!("verify_ssl={}: {cause}", shown_path(path)));
                    builder
                }
            },
        };
        match self.identity() {
            Ok(Some(identity)) => builder = builder.identity(identity),
            Ok(None) => {}
            Err(complaint) => complaints.push(complaint),
        }
        if complaints.is_empty() {
            return builder.build().map_err(|cause| vec![format!("the HTTP client cannot be made: {}", told(&cause))]);
        }
        Err(complaints)
    }

    fn identity(&self) -> Result<Option<Identity>, String> {
        let Some(cert) = &self.client_cert else { return Ok(None) };
        certificates::identity(("clientcert", cert), self.client_key.as_deref().map(|key| ("clientkey", key))).map(Some)
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
