//! `otlp://`, `otlps://` (gRPC) and `otlp+http://`, `otlp+https://`: samples as metrics and events as log records of
//! OpenTelemetry.
//!
//! What is sent for a record is the same at each repeat. A receiver that takes a part of a request says how many it refused,
//! not which: the halves are sent again to find them. Never here: what was published before; sums begin at an unknown time.

mod attributes;
mod grpc;
mod http;
pub(super) mod json;
mod logs;
pub(super) mod metrics;
mod options;

use async_trait::async_trait;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use prost::Message;
use std::sync::Arc;

use self::grpc::Grpc;
use self::http::Http;
use self::metrics::Form;
use self::options::{Protocol, Read};
use super::kind::{Built, Kind, LookAtBroker};
use super::measure::points;
use super::outcome::{Answer, Parts};
use super::target::{Row, Target};
use super::{Batch, Context, PublishError, Publisher, web};

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[options::OPTIONS, web::LOGIN_OPTIONS, web::OPTIONS];

pub(super) fn check(target: &Target, kind: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    Read::of(target, kind)?.web(target)?;
    Ok(Vec::new())
}

pub(super) fn build(target: &Target, kind: Kind, _: &Context) -> Built {
    let read = Read::of(target, kind)?;
    let web = read.web(target)?;
    let Read { protocol, url, form, gzip, request_bytes_max, login, .. } = read;
    let place = url.clone();
    let receiver = match protocol {
        Protocol::Grpc => Receiver::Grpc(Grpc::new(web, &url, &login, gzip)?),
        Protocol::Http => Receiver::Http(Http { web, url, login, gzip }),
    };
    Ok(Arc::new(OtlpPublisher { receiver, place, form, request_bytes_max }))
}

struct OtlpPublisher {
    receiver: Receiver,
    place: reqwest::Url,
    form: Form,
    request_bytes_max: usize,
}

enum Receiver {
    Grpc(Grpc),
    Http(Http),
}

/// What is sent.
#[derive(Debug, Clone)]
enum Request {
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Request::Metrics(request) => request.encoded_len(),
            Request::Logs(request) => request.encoded_len(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Request::Metrics(request) => request.encode_to_vec(),
            Request::Logs(request) => request.encode_to_vec(),
        }
    }
}

/// What a receiver says of a request that it took, in whole or in part.
#[derive(Debug, Clone, Default, PartialEq)]
struct Response {
    /// Records that it refused.
    refused: usize,
    /// Why, or something else to the operator.
    message: String,
}

impl Response {
    fn new(refused: i64, message: String) -> Self {
        Response { refused: usize::try_from(refused).unwrap_or_default(), message }
    }
}

impl From<ExportMetricsServiceResponse> for Response {
    fn from(said: ExportMetricsServiceResponse) -> Self {
        said.partial_success
            .map_or_else(Response::default, |partly| Response::new(partly.rejected_data_points, partly.error_message))
    }
}

impl From<ExportLogsServiceResponse> for Response {
    fn from(said: ExportLogsServiceResponse) -> Self {
        said.partial_success
            .map_or_else(Response::default, |partly| Response::new(partly.rejected_log_records, partly.error_message))
    }
}

#[async_trait]
impl Publisher for OtlpPublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        match batch {
            Batch::Samples(samples) => {
                let (points, refused) = points(samples);
                let mut parts = Parts::whole(points.len()).without(refused);
                while let Some(part) = parts.next() {
                    let request = Request::Metrics(metrics::request(&points[part.clone()], &self.form));
                    parts.answered(part, self.export(request).await);
                }
                parts.outcome(|item| points[item].position)
            }
            Batch::Events(events) => {
                let (records, refused) = logs::records(events);
                let mut parts = Parts::whole(records.len()).without(refused);
                while let Some(part) = parts.next() {
                    let request = Request::Logs(logs::request(&records[part.clone()]));
                    parts.answered(part, self.export(request).await);
                }
                parts.outcome(|item| records[item].position)
            }
        }
    }

    async fn reach(&self) -> Result<(), String> {
        web::reach(&self.place).await
    }
}

impl OtlpPublisher {
    async fn export(&self, request: Request) -> Answer {
        let (bytes, most) = (request.bytes(), self.request_bytes_max);
        if bytes > most {
            return Answer::NotThese { cause: format!("a request of {bytes} bytes; max_bytes is {most}") };
        }
        let said = match &self.receiver {
            Receiver::Grpc(grpc) => grpc.export(request).await,
            Receiver::Http(http) => http.export(request).await,
        };
        match said {
            Ok(Response { refused: 0, .. }) => Answer::Taken,
            Ok(Response { refused, message }) => {
                let text: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
                let text = if text.is_empty() { "the receiver does not say why".to_owned() } else { text };
                Answer::Some { refused, cause: self.hidden(&text) }
            }
            Err(answer) => answer,
        }
    }

    fn hidden(&self, text: &str) -> String {
        match &self.receiver {
            Receiver::Grpc(grpc) => grpc.hidden(text),
            Receiver::Http(http) => http.web.hidden(text),
        }
    }
}

#[cfg(test)]
mod receiver;
#[cfg(test)]
mod tests;
