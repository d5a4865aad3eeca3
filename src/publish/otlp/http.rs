//! OTLP over HTTP: protobuf by POST.

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use std::io::Write;

use super::grpc::RpcStatus;
use super::{Request, Response};
use crate::publish::outcome::Answer;
use crate::publish::web::{BODY_BYTES_MAX, Login, Reply, Web};

/// A receiver.
pub(super) struct Http {
    pub web: Web,
    pub url: Url,
    pub login: Login,
    pub gzip: bool,
}

impl Http {
    /// Sends a request; what the receiver says to it.
    pub(super) async fn export(&self, request: Request) -> Result<Response, Answer> {
        let body = request.encode();
        let post = self.web.request(Method::POST, self.url.clone()).headers(self.login.headers().clone());
        let mut post = post.header(CONTENT_TYPE, "application/x-protobuf");
        let body = if self.gzip {
            post = post.header(CONTENT_ENCODING, "gzip");
            gzipped(&body).map_err(|cause| Answer::Never { cause: cause.to_string() })?
        } else {
            body
        };
        let reply = self.web.ask(post.body(body), BODY_BYTES_MAX).await?;
        if reply.status.is_success() { self.read(&request, &reply) } else { Err(self.verdict(reply)) }
    }

    /// An answer of success. What is none of OTLP was perhaps not said by the receiver: the records are offered again.
    fn read(&self, request: &Request, reply: &Reply) -> Result<Response, Answer> {
        if let Some(answer) = reply.unless_whole() {
            return Err(answer);
        }
        if reply.body.is_empty() {
            return Ok(Response::default());
        }
        let read = match request {
            Request::Metrics(_) => read::<ExportMetricsServiceResponse>(reply).map(Response::from),
            Request::Logs(_) => read::<ExportLogsServiceResponse>(reply).map(Response::from),
        };
        read.ok_or_else(|| Answer::Later {
            cause: format!("this is no answer of OTLP: {}", self.web.cause(reply)),
            after: None,
        })
    }

    /// What an answer without success means (OTLP 1.x, "OTLP/HTTP response").
    fn verdict(&self, mut reply: Reply) -> Answer {
        if is_protobuf(&reply)
            && let Ok(status) = RpcStatus::decode(reply.body.as_slice())
        {
            reply.body = status.message.into_bytes();
        }
        match reply.status.as_u16() {
            // Of what is the server's own trouble, OTLP calls 502, 503 and 504 passing; the rest is for what was sent.
            502..=504 => self.web.verdict(&reply),
            500.. => Answer::NotThese { cause: self.web.cause(&reply) },
            _ => self.web.verdict(&reply),
        }
    }
}

fn is_protobuf(reply: &Reply) -> bool {
    let kind = reply.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/x-protobuf"))
}

fn read<T: Message + Default + DeserializeOwned>(reply: &Reply) -> Option<T> {
    if is_protobuf(reply) {
        return T::decode(reply.body.as_slice()).ok();
    }
    serde_json::from_slice(&reply.body).ok()
}

fn gzipped(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
