//! `prometheus-remote-write://` and `prometheus-remote-write+https://`: samples as time series, pushed to Prometheus, Mimir,
//! Thanos and whoever else takes remote write.
//!
//! Version 2.0 is spoken to a receiver that shows that it knows it, else 1.0. A receiver that knows only 1.0 may answer 204 to a
//! request of 2.0 and have read nothing of it: without the header that counts what was written, no answer is believed.

mod messages;
mod options;
mod series;

use async_trait::async_trait;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use self::options::{Read, Version};
use self::series::{Series, first_version, second_version, series};
use super::kind::{Built, Kind, LookAtBroker};
use super::measure::{Point, points};
use super::outcome::{Answer, Parts};
use super::target::{Row, Target};
use super::web::{BODY_BYTES_MAX, Reply, Web};
use super::{Batch, Context, PublishError, Publisher, web};
use crate::observe::Metrics;

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[options::OPTIONS, web::LOGIN_OPTIONS, web::OPTIONS];

/// Most samples of a request, as Prometheus itself sends them.
const SAMPLES_MAX: usize = 2000;
/// The header by which a receiver of 2.0 says how many samples it took.
const WRITTEN: &str = "x-prometheus-remote-write-samples-written";

pub(super) fn check(target: &Target, _: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    Read::of(target)?.web(target)?;
    Ok(Vec::new())
}

pub(super) fn build(target: &Target, _: Kind, context: &Context) -> Built {
    let read = Read::of(target)?;
    let web = read.web(target)?;
    let known = match read.version {
        None => UNKNOWN,
        Some(Version::First) => FIRST,
        Some(Version::Second) => SECOND,
    };
    let (shown, metrics) = (target.shown(), context.metrics.clone());
    Ok(Arc::new(RemoteWrite { read, web, known: AtomicU8::new(known), shown, metrics }))
}

/// What is known of the receiver.
const UNKNOWN: u8 = 0;
const FIRST: u8 = 1;
const SECOND: u8 = 2;

struct RemoteWrite {
    read: Read,
    web: Web,
    known: AtomicU8,
    shown: String,
    metrics: Metrics,
}

#[async_trait]
impl Publisher for RemoteWrite {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        // The table of schemes lets no events come here.
        let Batch::Samples(samples) = batch else {
            return Err(PublishError::refuse(0..batch.len(), "remote write takes samples only"));
        };
        let (mut points, refused) = points(samples);
        // Also across requests, a series goes on in time.
        points.sort_by_key(|point| point.nanoseconds);
        let mut parts = Parts::of_at_most(points.len(), SAMPLES_MAX).without(refused);
        while let Some(part) = parts.next() {
            let answer = self.write(&points[part.clone()]).await;
            parts.answered(part, answer);
        }
        parts.outcome(|item| points[item].position)
    }

    async fn reach(&self) -> Result<(), String> {
        web::reach(&self.read.url).await
    }
}

impl RemoteWrite {
    async fn write(&self, points: &[Point<'_>]) -> Answer {
        let series = series(points, self.read.names);
        let known = self.known.load(Ordering::Relaxed);
        if known != FIRST {
            let reply = match self.send(&series, Version::Second).await {
                Ok(reply) => reply,
                Err(answer) => return answer,
            };
            let written = written(&reply);
            if written.is_some() {
                self.learn(SECOND);
                return self.judge(&reply, points.len(), written);
            }
            match reply.status.as_u16() {
                // Nothing shows that this was understood.
                200..=299 | 415 if self.read.version.is_some() => {
                    let cause = format!("{}; the receiver does not know version 2.0: write version=1.0", reply.status);
                    return Answer::Later { cause, after: None };
                }
                200..=299 | 415 => self.learn(FIRST),
                // Perhaps it was not understood, perhaps it is wrong: 1.0 will show.
                400 | 404 | 405 | 406 | 422 if known == UNKNOWN => {}
                _ => return self.judge(&reply, points.len(), None),
            }
        }
        match self.send(&series, Version::First).await {
            Ok(reply) => {
                if reply.status.is_success() {
                    self.learn(FIRST);
                }
                self.judge(&reply, points.len(), None)
            }
            Err(answer) => answer,
        }
    }

    fn learn(&self, known: u8) {
        if self.read.version.is_none() {
            self.known.store(known, Ordering::Relaxed);
        }
    }

    async fn send(&self, series: &[Series], version: Version) -> Result<Reply, Answer> {
        let (body, content, number) = match version {
            Version::First => (first_version(series), "application/x-protobuf", "0.1.0"),
            Version::Second => {
                (second_version(series), "application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0")
            }
        };
        // It fails where a request has 4 GiB.
        let body = snap::raw::Encoder::new()
            .compress_vec(&body)
            .map_err(|cause| Answer::NotThese { cause: cause.to_string() })?;
        let post = self.web.request(Method::POST, self.read.url.clone()).headers(self.read.login.headers().clone());
        let post = post
            .header(CONTENT_TYPE, content)
            .header(CONTENT_ENCODING, "snappy")
            .header("x-prometheus-remote-write-version", number);
        self.web.ask(post.body(body), BODY_BYTES_MAX).await
    }

    /// What an answer means for so many samples, of which so many are written, as far as the receiver says.
    fn judge(&self, reply: &Reply, samples: usize, written: Option<usize>) -> Answer {
        let refuses = matches!(reply.status, StatusCode::BAD_REQUEST | StatusCode::CONFLICT);
        match written {
            Some(written) if reply.status.is_success() && written < samples => {
                let cause = format!("{}: of {samples} samples {written} are written", reply.status);
                return self.some_refused(samples, samples - written, cause);
            }
            Some(written @ 1..) if refuses && written < samples => {
                return self.some_refused(samples, samples - written, self.web.cause(reply));
            }
            // All is written, and something else was wrong.
            Some(written) if refuses && written >= samples => return Answer::Taken,
            _ => {}
        }
        if !refuses {
            return self.web.verdict(reply);
        }
        let cause = self.web.cause(reply);
        self.single(samples, &cause).unwrap_or(Answer::NotThese { cause })
    }

    fn some_refused(&self, samples: usize, refused: usize, cause: String) -> Answer {
        if let Some(answer) = self.single(samples, &cause) {
            return answer;
        }
        // All of several may be refused for different causes: only one by one their answers tell.
        if refused >= samples { Answer::NotThese { cause } } else { Answer::Some { refused, cause } }
    }

    /// Of a sample that is sent by itself, the verdict hangs on why it is refused.
    fn single(&self, samples: usize, cause: &str) -> Option<Answer> {
        match Why::of(cause) {
            _ if samples != 1 => None,
            Why::Duplicate => Some(Answer::Taken),
            Why::Late if self.read.drop_late => {
                self.metrics.records_shed(&self.shown, 1, cause);
                Some(Answer::Taken)
            }
            Why::Late | Why::Other => None,
        }
    }
}

/// Why a receiver does not take a sample, by the words of Prometheus, Mimir, Cortex and Thanos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It has a value for that moment.
    Duplicate,
    /// It has a younger value, or takes none of that age.
    Late,
    /// Something else.
    Other,
}

impl Why {
    fn of(said: &str) -> Why {
        let text = said.to_ascii_lowercase().replace('-', " ");
        let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
        if says(&["duplicate sample", "duplicate timestamp"]) {
            Why::Duplicate
        } else if says(&["out of order", "out of bounds", "too old"]) {
            Why::Late
        } else {
            Why::Other
        }
    }
}

fn written(reply: &Reply) -> Option<usize> {
    reply.headers.get(WRITTEN)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
