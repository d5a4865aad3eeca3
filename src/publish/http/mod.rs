//! `http://` and `https://`: posts samples and events as JSON (Ceilometer reference §6.3).
//!
//! Where Ceilometer swallows every status, this one says what it means: away, busy, or refused. Of an array that is
//! refused as malformed or too large, halves are tried until only the bad records are left.

mod options;

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use std::sync::Arc;

use self::options::Options;
use super::kind::{Built, Kind, LookAtBroker};
use super::outcome::{Answer, Parts};
use super::record::{self, Form};
use super::target::{Row, Target};
use super::web::{self, Web};
use super::{Batch, Context, PublishError, Publisher};
use crate::model::{Event, json};

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[options::OPTIONS, web::OPTIONS];

pub(super) fn check(target: &Target, _: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    let options = Options::read(target)?;
    options.endpoint.web(target)?;
    Ok(options.endpoint.near_misses(options::OPTIONS))
}

pub(super) fn build(target: &Target, _: Kind, _: &Context) -> Built {
    let options = Options::read(target)?;
    let web = options.endpoint.web(target)?;
    Ok(Arc::new(HttpPublisher { options, web }))
}

struct HttpPublisher {
    options: Options,
    web: Web,
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
        let most = if self.options.batch { items.len() } else { 1 };
        let mut parts = Parts::of_at_most(items.len(), most);
        while let Some(part) = parts.next() {
            let body = self.body(&items[part.clone()]);
            parts.answered(part, self.post(body).await);
        }
        parts.outcome(|item| items[item].position)
    }

    async fn reach(&self) -> Result<(), String> {
        web::reach(&self.options.endpoint.url).await
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
        let endpoint = &self.options.endpoint;
        let request = endpoint.post(&self.web, endpoint.url.clone());
        self.web.post(request.header(CONTENT_TYPE, "application/json").body(body)).await
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
