//! The options that every publisher over HTTP has, by the names that Ceilometer's http publisher gave them (reference §6.3).

use percent_encoding::percent_decode_str;
use reqwest::{Client, Identity, Url, redirect};
use std::path::PathBuf;
use std::time::Duration;

use super::certificates::{self, authorities, shown_path, told};
use super::resolver::{NoLinkLocal, names_link_local};
use crate::config::identity::{self, Credentials};
use crate::publish::target::{Options, Row, Target};

/// The rows of the options.
pub(in crate::publish) const OPTIONS: &[Row] = &[
    Row::new("timeout", "seconds, 0.001 to 3600", "5", "maximum time of one request, with its answer"),
    Row::new("max_retries", "number", "2", "number of further attempts to connect before the batch is held"),
    Row::new(
        "verify_ssl",
        "true, false, or a path",
        "true",
        "verification of the server's certificate, by the authorities of the system or those in a file or folder",
    ),
    Row::new("clientcert", "path", "", "certificate of the agent, in PEM"),
    Row::new("clientkey", "path", "", "key of that certificate, if it is not in the same file"),
    Row::LINK_LOCAL,
];

/// Seconds for one request, unless `timeout` says otherwise.
const TIMEOUT_S: f64 = 5.0;
/// Attempts to connect after the first, unless `max_retries` says otherwise.
const CONNECT_RETRIES: u32 = 2;
/// Idle connections kept for the next batches.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// What a URL says about how to reach its server.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::publish) struct WebOptions {
    /// For one request, with its answer.
    pub timeout: Duration,
    /// Further attempts to connect.
    pub max_retries: u32,
    verify: Verify,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    /// Whether addresses of the link may be used.
    pub link_local: bool,
}

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without asking for it first.
    Http2,
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

impl WebOptions {
    /// Takes them out of a URL's options; what is wrong is noted there.
    pub(in crate::publish) fn read(options: &mut Options) -> WebOptions {
        let timeout = options.timeout(TIMEOUT_S);
        let max_retries = options.number("max_retries", 0).unwrap_or(CONNECT_RETRIES);
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
        let link_local = options.flag("link_local").unwrap_or(false);
        WebOptions { timeout, max_retries, verify, client_cert, client_key, link_local }
    }

    /// Whether files of certificates are named: then they must be there.
    pub(super) fn names_files(&self) -> bool {
        self.client_cert.is_some() || matches!(self.verify, Verify::Authorities(_))
    }

    /// Those that a section of `ceilometer.conf` says by other names. Files are read when the client is made.
    pub(in crate::publish) fn of_credentials(credentials: &Credentials) -> WebOptions {
        let verify = match &credentials.cafile {
            _ if credentials.insecure => Verify::No,
            Some(file) => Verify::Authorities(file.clone()),
            None => Verify::System,
        };
        WebOptions {
            timeout: credentials.timeout.unwrap_or(identity::TIMEOUT),
            max_retries: CONNECT_RETRIES,
            verify,
            client_cert: credentials.certfile.clone(),
            client_key: credentials.keyfile.clone(),
            link_local: false,
        }
    }

    /// Those of files that are named elsewhere: authorities, and a certificate with its key.
    pub(in crate::publish) fn of_files(
        timeout: Duration,
        authorities: Option<PathBuf>,
        identity: Option<(PathBuf, Option<PathBuf>)>,
    ) -> WebOptions {
        let (client_cert, client_key) = identity.map_or((None, None), |(cert, key)| (Some(cert), key));
        let verify = authorities.map_or(Verify::System, Verify::Authorities);
        WebOptions { timeout, max_retries: 0, verify, client_cert, client_key, link_local: false }
    }

    /// Whether a URL from elsewhere (a catalogue) may be used.
    pub(in crate::publish) fn allows(&self, url: &Url) -> bool {
        self.link_local || !names_link_local(url)
    }

    /// The URL that is posted to: `scheme` with the place, path and further `pairs` of a target; none if something is wrong,
    /// which is noted.
    pub(in crate::publish) fn url(
        &self,
        options: &mut Options,
        scheme: &str,
        target: &Target,
        pairs: Vec<(String, String)>,
    ) -> Option<Url> {
        let place = target.netloc.rsplit_once('@').map_or(target.netloc.as_str(), |(_, place)| place);
        // The URL standard would take the first part of the path for the host.
        let place = if place.is_empty() { ":" } else { place };
        let mut url = match Url::parse(&format!("{scheme}://{place}{}", target.path)) {
            Ok(url) => url,
            Err(cause) => {
                options.complain(format!("{cause}; write {}://host[:port]/path", target.scheme));
                return None;
            }
        };
        if !self.allows(&url) {
            options.complain("a link-local address; write link_local=true if that is meant");
            return None;
        }
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Some(url)
    }

    /// The client: redirects are not followed, certificates are read now.
    pub(super) fn client(&self, https: bool, version: Version) -> Result<Client, Vec<String>> {
        certificates::install();
        let mut complaints = Vec::new();
        let mut builder = Client::builder()
            .user_agent(concat!("nephoscope/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(self.timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
        builder = match version {
            Version::Http1 => builder.http1_only(),
            // A request that times out does not end its connection. Where that leads nowhere any more, a ping finds it out; with
            // this interval there is at most one for each request, which no server takes for too many.
            Version::Http2 => builder
                .http2_prior_knowledge()
                .http2_keep_alive_interval(self.timeout)
                .http2_keep_alive_timeout(self.timeout),
        };
        if !self.link_local {
            builder = builder.dns_resolver(NoLinkLocal);
        }
        builder = match &self.verify {
            // Without TLS a machine without authorities will do.
            _ if !https => builder.tls_certs_only([]),
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

/// The user and the password of a URL, decoded; a user without a password is a complaint.
pub(in crate::publish) fn credentials(options: &mut Options, target: &Target) -> Option<(String, String)> {
    let (user, _) = target.netloc.rsplit_once('@')?;
    let Some((user, password)) = user.split_once(':') else {
        options.complain(format!("a user without a password; write {}://user:password@host/path", target.scheme));
        return None;
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((decoded(user), decoded(password)))
}
