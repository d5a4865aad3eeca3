//! `zaqar://`: samples and events as messages of a queue of Zaqar (Ceilometer reference §6.8).
//!
//! Where Zaqar is and who we are there stands in `[service_credentials]`. Ceilometer posts a whole call at once and loses it
//! where Zaqar does not take it; here a batch goes in posts that Zaqar takes, and of a post that Zaqar refuses for what is in
//! it the halves are tried, until only the bad records are left.
//!
//! Never here: subscriptions, or queues with settings of their own. Zaqar makes a queue when it is first posted to.

mod odd;
mod options;

use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use std::ops::Range;
use std::sync::Arc;

use self::options::Options;
use super::identity::{Identity, Login, Service};
use super::kind::{Built, Kind, Look};
use super::outcome::{Answer, Parts};
use super::record::{self, Form};
use super::target::{Row, Target};
use super::web::{self, BODY_BYTES_MAX, Reply, Secrets, Web};
use super::{Batch, Context, PublishError, Publisher};
use crate::model::json;

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[options::OPTIONS];

/// In Keystone's catalogue: by the type that Zaqar's client looks for, or by the official one.
const SERVICE: Service = Service { types: &["messaging", "message"], name: None };
/// Who posts, so that a reader can leave out what it posted itself. Zaqar demands a UUID.
const CLIENT_ID: &str = "client-id";
/// What Zaqar says of messages that it has taken.
const CREATED: u16 = 201;

pub(super) fn check(target: &Target, _: Kind, look: Look<'_>) -> Result<Vec<String>, Vec<String>> {
    let options = Options::read(target)?;
    look.zaqar.map_or(Ok(()), |login| logged_in(&options, login).map(drop))?;
    Ok(Vec::new())
}

pub(super) fn build(target: &Target, _: Kind, context: &Context) -> Built {
    let options = Options::read(target)?;
    let (identity, web) = logged_in(&options, &context.zaqar)?;
    Ok(Arc::new(ZaqarPublisher { options, identity, web, client_id: uuid::Uuid::new_v4().to_string() }))
}

/// Who we are, and a client for Zaqar; all that is wrong with the login if not.
fn logged_in(options: &Options, login: &Login) -> Result<(Arc<Identity>, Web), Vec<String>> {
    let identity = login.clone()?;
    let web = identity.web(options.timeout, options.link_local, Secrets::default())?;
    Ok((identity, web))
}

struct ZaqarPublisher {
    options: Options,
    identity: Arc<Identity>,
    web: Web,
    /// The same for all posts of this publisher.
    client_id: String,
}

/// A record as it stands among `messages`.
struct Message {
    json: Vec<u8>,
    /// Whether Zaqar may break down over it.
    is_odd: bool,
}

#[async_trait]
impl Publisher for ZaqarPublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        let messages = self.messages(batch);
        let mut parts = Parts::of(self.posts(&messages));
        while let Some(part) = parts.next() {
            let answer = self.post(&messages[part.clone()]).await;
            parts.answered(part, answer);
        }
        parts.outcome(|message| message)
    }

    async fn reach(&self) -> Result<(), String> {
        self.identity.reach().await?;
        match self.identity.endpoint(&SERVICE).await {
            Ok(endpoint) => web::reach(&endpoint).await.map_err(|why| format!("Zaqar: {why}")),
            Err(answer) => answer.cause().map_or(Ok(()), |cause| Err(cause.to_owned())),
        }
    }
}

impl ZaqarPublisher {
    fn messages(&self, batch: &Batch) -> Vec<Message> {
        let non_finite = self.options.non_finite;
        let ttl = format!(",\"ttl\":{}}}", self.options.ttl);
        let message = |is_odd, write: &dyn Fn(&mut Vec<u8>)| {
            let mut json = Vec::with_capacity(512);
            json.extend_from_slice(br#"{"body":"#);
            write(&mut json);
            json.extend_from_slice(ttl.as_bytes());
            Message { json, is_odd }
        };
        match batch {
            Batch::Samples(samples) => samples
                .iter()
                .map(|sample| {
                    let write = |out: &mut Vec<u8>| record::write_sample(sample, Form::Json(non_finite), out);
                    message(odd::is_odd_sample(sample), &write)
                })
                .collect(),
            Batch::Events(events) => events
                .iter()
                .map(|event| {
                    let write = |out: &mut Vec<u8>| json::write_dict_as(&event.serialize(), non_finite, out);
                    message(odd::is_odd_event(event), &write)
                })
                .collect(),
        }
    }

    /// The messages of each post, in order: as many as Zaqar takes at once, and one at least.
    fn posts(&self, messages: &[Message]) -> Vec<Range<usize>> {
        let mut posts: Vec<Range<usize>> = Vec::new();
        let mut bytes = 0;
        for (n, message) in messages.iter().enumerate() {
            // With the comma before it.
            let more = message.json.len() + 1;
            match posts.last_mut() {
                Some(post) if post.len() < self.options.messages_max && bytes + more <= self.options.bytes_max => {
                    post.end = n + 1;
                    bytes += more;
                }
                _ => {
                    posts.push(n..n + 1);
                    bytes = BEGIN.len() + message.json.len() + END.len();
                }
            }
        }
        posts
    }

    async fn post(&self, messages: &[Message]) -> Answer {
        let path = format!("queues/{}/messages", self.options.queue);
        let reply = match self.ask(Method::POST, &path, Some(body(messages))).await {
            Ok(reply) => reply,
            Err(answer) => return answer,
        };
        match self.judged(&reply) {
            Answer::Later { cause, .. }
                if matches!(reply.status.as_u16(), 500 | 503)
                    && messages.iter().any(|message| message.is_odd)
                    && self.is_alive().await =>
            {
                Answer::NotThese {
                    cause: format!(
                        "Zaqar breaks down over this record, which has an integer beyond 64 bits, a key with a dot, a NUL or a \
                         leading $, or too many levels: {cause}"
                    ),
                }
            }
            answer => answer,
        }
    }

    /// What an answer means for the messages of a post. What depends on rights, addresses and the state of the service is the
    /// operator's to mend, and waits; what depends on the messages is refused.
    fn judged(&self, reply: &Reply) -> Answer {
        let waits = |advice: &str| {
            let cause = format!("{}; {advice}", self.web.cause(reply));
            Answer::Later { cause, after: None }
        };
        match (reply.status.as_u16(), self.web.verdict(reply)) {
            (CREATED, _) => Answer::Taken,
            (300..400, _) => waits("redirects are not followed: write the right address as endpoint_override"),
            (404 | 405, _) => waits("correct the address of Zaqar in Keystone's catalogue, or write endpoint_override"),
            (_, Answer::Taken) => waits("Zaqar says 201: somebody else answers at its address"),
            (_, Answer::Never { cause }) => Answer::NotThese { cause },
            (_, usual) => usual,
        }
    }

    /// Whether Zaqar and its store answer now.
    async fn is_alive(&self) -> bool {
        self.ask(Method::GET, "ping", None).await.is_ok_and(|reply| reply.status.is_success())
    }

    /// Sends a request; `path` is below `/v2`. `Err` is why there is no answer.
    async fn ask(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Reply, Answer> {
        let mut url = self.identity.endpoint(&SERVICE).await?;
        // The address in the catalogue is that of all versions, as Zaqar's client has it; some write the version too.
        let all_versions = url.path().trim_end_matches('/');
        let path = format!("{}/v2/{path}", all_versions.strip_suffix("/v2").unwrap_or(all_versions));
        url.set_path(&path);
        let mut request = self.web.request(method, url.clone()).header(CLIENT_ID, &self.client_id);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        // A URL of this publisher has no address: the cause must name it.
        self.identity.ask(&self.web, request, BODY_BYTES_MAX).await.map_err(|answer| answer.at(&url))
    }
}

const BEGIN: &[u8] = br#"{"messages":["#;
const END: &[u8] = b"]}";

fn body(messages: &[Message]) -> Vec<u8> {
    let mut body =
        Vec::with_capacity(messages.iter().map(|message| message.json.len() + 1).sum::<usize>() + BEGIN.len());
    body.extend_from_slice(BEGIN);
    for (n, message) in messages.iter().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&message.json);
    }
    body.extend_from_slice(END);
    body
}

#[cfg(test)]
mod tests;
