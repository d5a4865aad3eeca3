//! `http://` and `https://`: posts samples and events as JSON (Ceilometer reference §6.3).
//!
//! Options: `timeout` (seconds, 5), `max_retries` (of connecting, 2), `batch` (one array for all, true), `verify_ssl`
//! (true, false, or a file or folder of authorities), `clientcert`, `clientkey`, `raw_only` (events: only the
//! payloads that `store_raw` kept), `nan` (see `docs/publishers.md`). Other options stay in the URL.
//!
//! Where the original swallows every status, this one says what it means: away, busy, or refused. Of an array that is
//! refused as malformed or too large, halves are tried until only the bad records are left.

mod answer;
mod options;
mod secrets;

use async_trait::async_trait;
use chrono::Utc;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use std::sync::Arc;

use self::answer::Answer;
use self::options::Options;
use self::secrets::Secrets;
use super::record::{self, Form};
use super::schemes::{Built, Kind, LookAtBroker};
use super::target::Target;
use super::{Batch, Context, PublishError, Publisher, certificates};
use crate::model::{Event, json};

pub(super) fn check(target: &Target, _: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    let options = Options::read(target)?;
    options.client()?;
    Ok(options.near_misses())
}

pub(super) fn build(target: &Target, _: Kind, _: &Context) -> Built {
    let options = Options::read(target)?;
    let client = options.client()?;
    let authorization = options.authorized(client.post(options.url.clone())).build().ok();
    let authorization = authorization.as_ref().and_then(|request| request.headers().get(AUTHORIZATION)?.to_str().ok());
    let secrets = Secrets::of(target, authorization);
    Ok(Arc::new(HttpPublisher { options, client, secrets }))
}

struct HttpPublisher {
    options: Options,
    client: Client,
    secrets: Secrets,
}

/// One record ready to be posted, with its position in the batch.
struct Item {
    position: usize,
    json: Vec<u8>,
}

#[async_trait]
impl Publisher for HttpPublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        let items = self.items(batch);
        let mut refused: Vec<usize> = Vec::new();
        let mut causes: Vec<String> = Vec::new();
        // Parts yet to post, the next one last.
        let mut parts: Vec<&[Item]> = match self.options.batch {
            true if items.is_empty() => Vec::new(),
            true => vec![&items],
            false => items.chunks(1).rev().collect(),
        };
        while let Some(part) = parts.pop() {
            match self.post(self.body(part)).await {
                Answer::Taken => {}
                Answer::Later { cause, after } => return Err(PublishError::Retry { cause, after }),
                Answer::NotThese { .. } if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Answer::NotThese { cause } | Answer::Never { cause } => {
                    refused.extend(part.iter().map(|item| item.position));
                    if !causes.contains(&cause) {
                        causes.push(cause);
                    }
                }
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(PublishError::Refuse { which: refused, cause: causes.join("; ") })
    }

    /// Whether somebody listens there; what they would say to a request is not asked.
    async fn reach(&self) -> Result<(), String> {
        let url = &self.options.url;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Ok(()) };
        // A URL has an IPv6 address in brackets.
        let host = host.trim_matches(['[', ']']);
        let connected = tokio::net::TcpStream::connect((host, port)).await;
        connected.map(drop).map_err(|error| format!("cannot connect to {host}:{port}: {error}"))
    }
}

impl HttpPublisher {
    fn items(&self, batch: &Batch) -> Vec<Item> {
        let item = |position, write: &dyn Fn(&mut Vec<u8>)| {
            let mut json = Vec::with_capacity(512);
            write(&mut json);
            Item { position, json }
        };
        let non_finite = self.options.non_finite;
        match batch {
            Batch::Samples(samples) => samples
                .iter()
                .enumerate()
                .map(|(n, sample)| item(n, &|out| record::write_sample(sample, Form::Json(non_finite), out)))
                .collect(),
            Batch::Events(events) if self.options.raw_only => events
                .iter()
                .enumerate()
                .filter_map(|(n, event)| Some((n, raw_payload(event)?)))
                .map(|(n, payload)| item(n, &|out| json::write_as(payload, non_finite, out)))
                .collect(),
            Batch::Events(events) => events
                .iter()
                .enumerate()
                .map(|(n, event)| item(n, &|out| json::write_dict_as(&event.serialize(), non_finite, out)))
                .collect(),
        }
    }

    /// An array with `batch`, else the one record by itself.
    fn body(&self, part: &[Item]) -> Vec<u8> {
        if !self.options.batch {
            return part.iter().flat_map(|item| item.json.iter().copied()).collect();
        }
        let mut body = vec![b'['];
        for (n, item) in part.iter().enumerate() {
            if n > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&item.json);
        }
        body.push(b']');
        body
    }

    async fn post(&self, body: Vec<u8>) -> Answer {
        let body = bytes::Bytes::from(body);
        let mut retries = self.options.max_retries;
        loop {
            let request = self.options.authorized(self.client.post(self.options.url.clone()));
            let request = request.header(CONTENT_TYPE, "application/json");
            match request.body(body.clone()).send().await {
                Ok(response) => return answer::read(response, &self.secrets, Utc::now()).await,
                Err(error) if error.is_connect() && retries > 0 => retries -= 1,
                Err(error) => return Answer::Later { cause: certificates::told(&error), after: None },
            }
        }
    }
}

/// The payload of the notification that `store_raw` kept; nothing if it kept none, or an empty one.
fn raw_payload(event: &Event) -> Option<&crate::model::Value> {
    event.raw.get("payload").filter(|payload| payload.is_truthy())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
