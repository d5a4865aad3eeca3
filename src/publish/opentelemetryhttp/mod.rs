//! `opentelemetryhttp://`: samples as OTLP/JSON over HTTP (Ceilometer reference §6.5).
//!
//! The default is JSON as OTLP has it, a batch a request. With `format=ceilometer` it is what Ceilometer sends, a sample a
//! request, for receivers that were written for it.

mod ceilometer;

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use std::sync::Arc;

use super::kind::{Built, Kind, LookAtBroker};
use super::measure::{Point, points};
use super::otlp::json;
use super::otlp::metrics::{self, Form};
use super::outcome::{Answer, Parts, Refused};
use super::target::{Row, Target};
use super::web::{self, BODY_BYTES_MAX, Endpoint, Web};
use super::{Batch, Context, PublishError, Publisher};
use crate::model::Sample;
use crate::model::json::NonFinite;

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[OWN, web::OPTIONS];

const OWN: &[Row] = &[
    Row::new(
        "format",
        "otlp or ceilometer",
        "otlp",
        "form: OTLP in JSON, one batch in a request; or that of Ceilometer, one sample in a request",
    ),
    Row::new(
        "nan",
        "null or python",
        "null",
        "with `format=ceilometer`, form of numbers that are not finite: `null`, or `NaN`, `Infinity`, `-Infinity` as Ceilometer does",
    ),
    Row::new("ssl", "true or false", "false", "TLS to the receiver"),
    Row::new("batch", "true or false", "", "no effect, as in Ceilometer"),
    Row::new("raw_only", "true or false", "", "no effect, as in Ceilometer"),
];

/// The longest request, in bytes of protobuf: JSON has about four times as many, and receivers take 20 MiB.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) fn check(target: &Target, _: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    let options = Options::read(target)?;
    options.endpoint.web(target)?;
    Ok(options.endpoint.near_misses(OWN))
}

pub(super) fn build(target: &Target, _: Kind, _: &Context) -> Built {
    let options = Options::read(target)?;
    let web = options.endpoint.web(target)?;
    Ok(Arc::new(OpenTelemetryPublisher { options, web }))
}

/// What the URL says; other options stay in it.
struct Options {
    endpoint: Endpoint,
    shape: Shape,
}

/// How a request looks.
#[derive(Clone, Copy)]
enum Shape {
    /// As OTLP has it.
    Otlp,
    /// As Ceilometer sends it.
    Ceilometer(NonFinite),
}

impl Options {
    fn read(target: &Target) -> Result<Options, Vec<String>> {
        let mut options = target.options();
        let scheme = if options.flag("ssl").unwrap_or(false) { "https" } else { "http" };
        for without_effect in ["batch", "raw_only"] {
            options.flag(without_effect);
        }
        let non_finite = options.non_finite();
        let shape = match options.text("format").as_deref() {
            None | Some("otlp") => Shape::Otlp,
            Some("ceilometer") => Shape::Ceilometer(non_finite),
            Some(other) => {
                options.complain(format!("format={other}: expected otlp or ceilometer"));
                Shape::Otlp
            }
        };
        let endpoint = Endpoint::read(&mut options, scheme, target);
        options.finish(endpoint.map(|endpoint| Options { endpoint, shape }))?.ok_or_else(Vec::new)
    }
}

struct OpenTelemetryPublisher {
    options: Options,
    web: Web,
}

#[async_trait]
impl Publisher for OpenTelemetryPublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        // Events do not come here: the table of schemes says so.
        let Batch::Samples(samples) = batch else { return Ok(()) };
        match self.options.shape {
            Shape::Otlp => self.publish_otlp(samples).await,
            Shape::Ceilometer(non_finite) => self.publish_as_ceilometer(samples, non_finite).await,
        }
    }

    async fn reach(&self) -> Result<(), String> {
        web::reach(&self.options.endpoint.url).await
    }
}

impl OpenTelemetryPublisher {
    async fn publish_otlp(&self, samples: &[Sample]) -> Result<(), PublishError> {
        let (points, refused) = points(samples);
        let mut parts = Parts::whole(points.len()).without(refused);
        while let Some(part) = parts.next() {
            let answer = self.export(&points[part.clone()]).await;
            parts.answered(part, answer);
        }
        parts.outcome(|point| points[point].position)
    }

    async fn export(&self, points: &[Point<'_>]) -> Answer {
        let request = metrics::request(points, &Form::default());
        if prost::Message::encoded_len(&request) > REQUEST_BYTES_MAX {
            return Answer::NotThese { cause: format!("a request of more than {REQUEST_BYTES_MAX} bytes") };
        }
        match json::metrics(&request) {
            Ok(body) => self.post(body).await,
            Err(cause) => Answer::Never { cause: format!("cannot write it as JSON: {cause}") },
        }
    }

    async fn publish_as_ceilometer(&self, samples: &[Sample], non_finite: NonFinite) -> Result<(), PublishError> {
        let (mut bodies, mut refused) = (Vec::new(), Vec::new());
        for (record, sample) in samples.iter().enumerate() {
            match ceilometer::body(sample, non_finite) {
                Ok(body) => bodies.push((record, body)),
                Err(cause) => refused.push(Refused { record, cause }),
            }
        }
        let mut parts = Parts::of_at_most(bodies.len(), 1).without(refused);
        while let Some(part) = parts.next() {
            let answer = self.post(bodies[part.start].1.clone()).await;
            parts.answered(part, answer);
        }
        parts.outcome(|item| bodies[item].0)
    }

    /// An answer of success may say that some points are refused; what else is in it says nothing.
    async fn post(&self, body: Vec<u8>) -> Answer {
        let request = self.options.endpoint.post(&self.web, self.options.endpoint.url.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let reply = match self.web.ask(request, BODY_BYTES_MAX).await {
            Ok(reply) => reply,
            Err(answer) => return answer,
        };
        // Whether points are refused may stand in the rest; who reads Ceilometer's form says nothing of that.
        let cut_off = reply.unless_whole().filter(|_| matches!(self.options.shape, Shape::Otlp));
        match (self.web.verdict(&reply), cut_off, rejected(&reply.body)) {
            (Answer::Taken, Some(answer), _) => answer,
            (Answer::Taken, None, refused) if refused > 0 => Answer::Some { refused, cause: self.web.cause(&reply) },
            (verdict, ..) => verdict,
        }
    }
}

/// How many points an answer says are refused. The decoder of the messages does not know that 64 bits are a text in OTLP/JSON.
fn rejected(body: &[u8]) -> usize {
    let said: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let rejected = &said["partialSuccess"]["rejectedDataPoints"];
    let number = rejected.as_u64().or_else(|| rejected.as_str().and_then(|text| text.parse().ok()));
    usize::try_from(number.unwrap_or_default()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
