//! Gnocchi's API: requests in its own words, sent as who we are.

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Url};
use std::sync::Arc;

use super::answer;
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
}

impl Api {
    /// With this login and client.
    pub(super) fn new(identity: Arc<Identity>, web: Web) -> Self {
        Api { identity, web }
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
        let mut request = self.web.request(method, url.clone()).header(ACCEPT, JSON);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        // A URL of this publisher has no address: the cause must name it.
        self.identity.ask(&self.web, request, ANSWER_BYTES_MAX).await.map_err(|answer| answer.at(&url))
    }

    /// Where Gnocchi is; `Err` is why that is not known.
    pub(super) async fn address(&self) -> Result<Url, Answer> {
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
        answer::judged(reply, self.web.verdict(reply))
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
