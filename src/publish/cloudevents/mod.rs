//! `cloudevents+http://` and `cloudevents+https://`: events as CloudEvents 1.0.
//!
//! `id` is the message id, so that a repeat is known by `source` and `id`. Never here: samples, which are no events.

mod options;

use async_trait::async_trait;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder};
use std::sync::Arc;

use self::options::{Mode, Read};
use super::kind::{Built, Kind, LookAtBroker};
use super::measure;
use super::outcome::{Answer, Parts, Refused};
use super::target::{Row, Target};
use super::web::{self, Web};
use super::{Batch, Context, PublishError, Publisher};
use crate::model::json::{self, NonFinite};
use crate::model::{Event, TraitValue, time};

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[options::OPTIONS, web::LOGIN_OPTIONS, web::OPTIONS];

/// What is written with percent signs in a header: everything but printable ASCII, and these (HTTP binding, 3.1.3.2).
const IN_HEADERS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
/// What is written with percent signs in a path.
const IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn check(target: &Target, _: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    Read::of(target)?.web(target)?;
    Ok(Vec::new())
}

pub(super) fn build(target: &Target, _: Kind, _: &Context) -> Built {
    let read = Read::of(target)?;
    let web = read.web(target)?;
    Ok(Arc::new(CloudEvents { read, web }))
}

struct CloudEvents {
    read: Read,
    web: Web,
}

/// An event ready to be sent.
struct Item {
    /// Its position in the batch.
    position: usize,
    /// Names and values of the attributes, beside `specversion` and `datacontenttype`.
    attributes: Vec<(&'static str, String)>,
    /// JSON.
    data: Vec<u8>,
}

#[async_trait]
impl Publisher for CloudEvents {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        // The table of schemes lets no samples come here.
        let Batch::Events(events) = batch else {
            return Err(PublishError::refuse(0..batch.len(), "CloudEvents takes events only"));
        };
        let (items, refused) = self.items(events);
        let most = if self.read.mode == Mode::Batch { items.len() } else { 1 };
        let mut parts = Parts::of_at_most(items.len(), most).without(refused);
        while let Some(part) = parts.next() {
            let answer = self.send(&items[part.clone()]).await;
            parts.answered(part, answer);
        }
        parts.outcome(|item| items[item].position)
    }

    async fn reach(&self) -> Result<(), String> {
        web::reach(&self.read.url).await
    }
}

impl CloudEvents {
    fn items(&self, events: &[Event]) -> (Vec<Item>, Vec<Refused>) {
        let (mut items, mut refused) = (Vec::with_capacity(events.len()), Vec::new());
        for (position, event) in events.iter().enumerate() {
            match self.attributes(event) {
                Ok(attributes) => {
                    let mut data = Vec::with_capacity(512);
                    json::write_dict_as(&event.serialize(), NonFinite::Null, &mut data);
                    items.push(Item { position, attributes, data });
                }
                Err(cause) => refused.push(Refused { record: position, cause: cause.to_owned() }),
            }
        }
        (items, refused)
    }

    fn attributes(&self, event: &Event) -> Result<Vec<(&'static str, String)>, &'static str> {
        let id = measure::text(&event.message_id).filter(|id| !id.is_empty());
        let id = id.ok_or("the event has no message id, and a CloudEvent must have an id")?;
        if event.event_type.is_empty() {
            return Err("the event has no type, and a CloudEvent must have one");
        }
        let source = self.read.source.clone().unwrap_or_else(|| match trait_text(event, "service") {
            Some(service) => format!("/openstack/{}", utf8_percent_encode(&service, IN_PATHS)),
            None => "/openstack".to_owned(),
        });
        let mut attributes = vec![
            ("id", id),
            ("source", source),
            ("type", event.event_type.to_string()),
            ("time", format!("{}Z", time::isoformat_naive(&event.generated))),
        ];
        attributes.extend(trait_text(event, &self.read.subject).map(|subject| ("subject", subject)));
        Ok(attributes)
    }

    async fn send(&self, items: &[Item]) -> Answer {
        let post = self.web.request(Method::POST, self.read.url.clone()).headers(self.read.login.headers().clone());
        let request = match (self.read.mode, items) {
            (Mode::Binary, [item]) => binary(post, item),
            (Mode::Batch, items) => {
                let mut body = vec![b'['];
                for (n, item) in items.iter().enumerate() {
                    body.extend_from_slice(if n > 0 { b"," } else { b"" });
                    structured(item, &mut body);
                }
                body.push(b']');
                post.header(CONTENT_TYPE, "application/cloudevents-batch+json").body(body)
            }
            (_, items) => {
                let mut body = Vec::new();
                items.iter().for_each(|item| structured(item, &mut body));
                post.header(CONTENT_TYPE, "application/cloudevents+json").body(body)
            }
        };
        self.web.post(request).await
    }
}

/// The event as one JSON object.
fn structured(item: &Item, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"specversion":"1.0","datacontenttype":"application/json""#);
    for (name, value) in &item.attributes {
        out.push(b',');
        json::write_str(name, out);
        out.push(b':');
        json::write_str(value, out);
    }
    out.extend_from_slice(br#","data":"#);
    out.extend_from_slice(&item.data);
    out.push(b'}');
}

/// The attributes in headers, the data as the body.
fn binary(post: RequestBuilder, item: &Item) -> RequestBuilder {
    let post = post.header(CONTENT_TYPE, "application/json").header("ce-specversion", "1.0");
    let with_attributes = item.attributes.iter().fold(post, |post, (name, value)| {
        let value = utf8_percent_encode(value, IN_HEADERS).to_string();
        // Encoded, it is printable ASCII.
        match HeaderValue::try_from(value) {
            Ok(value) => post.header(format!("ce-{name}"), value),
            Err(_) => post,
        }
    });
    with_attributes.body(item.data.clone())
}

/// A trait of this name that is a text and not empty.
fn trait_text(event: &Event, name: &str) -> Option<String> {
    event.traits.iter().filter(|one| one.name == name).find_map(|one| match &one.value {
        TraitValue::None(text) | TraitValue::Text(text) if !text.is_empty() => Some(text.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
