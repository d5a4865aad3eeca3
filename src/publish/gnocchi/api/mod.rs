//! Gnocchi's API: requests in its own words, sent as who we are.

pub(super) mod answer;
pub(super) mod path;
pub(super) mod query;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Url};
use std::sync::{Arc, OnceLock};

use self::answer::{Denied, Said};
use crate::publish::Identity;
use crate::publish::identity::Service;
use crate::publish::outcome::Answer;
use crate::publish::web::{Reply, Web};

/// In Keystone's catalogue (Ceilometer reference §6.1).
const SERVICE: Service = Service { types: &["metric"], name: Some("gnocchi") };
/// How much of an answer is read, in bytes: it may name every resource of a batch. Where that is cut off, smaller batches tell.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const JSON: &str = "application/json";

/// Where and as whom Gnocchi is asked.
pub(super) struct Api {
    identity: Arc<Identity>,
    web: Web,
    /// Where Gnocchi is, as it was found first.
    address: OnceLock<Box<str>>,
}

impl Api {
    /// With this login and client.
    pub(super) fn new(identity: Arc<Identity>, web: Web) -> Self {
        Api { identity, web, address: OnceLock::new() }
    }

    /// Who we are.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Sends a request; `path` is below the endpoint, percent-encoded. `Err` is why there is no answer.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Reply, Answer> {
        self.send(method, path, body, JSON).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>, kind: &str) -> Result<Reply, Answer> {
        let endpoint = self.identity.endpoint(&SERVICE).await?;
        let url = Url::parse(&format!("{}/{path}", endpoint.as_str().trim_end_matches('/'))).map_err(|error| {
            Answer::Later { cause: format!("the address of Gnocchi is none: {error}"), after: None }
        })?;
        self.address.get_or_init(|| endpoint.as_str().into());
        let mut request = self.web.request(method, url.clone()).header(ACCEPT, JSON);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        // A URL of this publisher has no address: the cause must name it.
        self.identity.ask(&self.web, request, ANSWER_BYTES_MAX).await.map_err(|answer| answer.at(&url))
    }

    /// Where Gnocchi is; `Err` is why that is not known.
    pub(super) async fn endpoint(&self) -> Result<Url, Answer> {
        self.identity.endpoint(&SERVICE).await
    }

    /// Changes a resource type by a JSON Patch.
    pub(super) async fn patch(&self, path: &str, body: Vec<u8>) -> Result<Reply, Answer> {
        self.send(Method::PATCH, path, Some(body), "application/json-patch+json").await
    }

    /// Whether Gnocchi and its index answer now.
    pub(super) async fn is_alive(&self) -> bool {
        self.ask(Method::GET, "v1/archive_policy", None).await.is_ok_and(|reply| reply.status.is_success())
    }

    /// What an answer means for the records of the request.
    pub(super) fn judged(&self, reply: &Reply) -> Answer {
        match answer::judged(reply, self.web.verdict(reply)) {
            Answer::Later { cause, after } => Answer::Later { cause: self.advised(cause, reply), after },
            answer => answer,
        }
    }

    /// The same cause, with what to do about an answer that is nobody's fault but the operator's.
    pub(super) fn advised(&self, cause: String, reply: &Reply) -> String {
        let (address, section) = (self.address(), self.identity.section());
        match reply.status.as_u16() {
            401 => format!("{cause}: Gnocchi at {address} does not accept the login of [{section}]; correct it there"),
            403 => format!(
                "{cause}: Gnocchi at {address} gives the user of [{section}] no right to this; make that user an administrator of \
                 Gnocchi, or correct Gnocchi's policy"
            ),
            300..=399 | 404 | 405 => format!(
                "{cause}: what answers at {address} is not Gnocchi's API, or hides it; correct the address of Gnocchi, which stands \
                 in [{section}] or in Keystone's catalogue"
            ),
            _ => cause,
        }
    }

    fn address(&self) -> &str {
        self.address.get().map_or("its address", |address| address)
    }

    /// Whether a denial is about one resource or about all, this answer does not say. Nothing where it is no denial.
    pub(super) fn denied(&self, reply: &Reply) -> Option<Denied> {
        let said = Said::of(reply);
        match reply.status.as_u16() {
            403 => {}
            404 if !said.is_missing_type() && !said.is_missing_resource() => {}
            _ => return None,
        }
        let Answer::Later { cause: held, after } = self.judged(reply) else { return None };
        let parked = format!(
            "{}: {} answers so for this resource, and takes others; let the user of [{}] write it (it may belong to another user \
             of Gnocchi), then run `nephoscope parked requeue`",
            self.cause(reply),
            self.address(),
            self.identity.section()
        );
        Some(Denied { held, parked, after })
    }

    /// What Gnocchi said, in one line, without secrets.
    pub(super) fn cause(&self, reply: &Reply) -> String {
        self.web.cause(reply)
    }

    /// Whether somebody listens where the login and Gnocchi are.
    pub(super) async fn reach(&self) -> Result<(), String> {
        self.identity.reach().await?;
        match self.identity.endpoint(&SERVICE).await {
            Ok(endpoint) => crate::publish::web::reach(&endpoint).await.map_err(|why| format!("Gnocchi: {why}")),
            Err(answer) => answer.cause().map_or(Ok(()), |cause| Err(cause.to_owned())),
        }
    }
}
