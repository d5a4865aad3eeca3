//! OTLP over gRPC: tonic's client on top of the HTTP client of every publisher.

use http_body_util::{BodyExt, Full, Limited};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use prost::Message;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};

use super::{Request, Response};
use crate::publish::outcome::Answer;
use crate::publish::web::{BODY_BYTES_MAX, Login, Web};

/// The longest wait that a receiver can ask for.
const RETRY_DELAY_MAX: Duration = Duration::from_mins(5);
/// How much of what a receiver says goes into the reason, in characters.
const REASON_CHARACTERS_MAX: usize = 200;
/// What comes before a message of gRPC: whether it is compressed (1 byte), and its length (4).
const PREFIX_BYTES: usize = 5;

/// A receiver.
pub(super) struct Grpc {
    wire: Wire,
    origin: http::Uri,
    gzip: bool,
}

impl Grpc {
    pub(super) fn new(web: Web, url: &reqwest::Url, login: &Login, gzip: bool) -> Result<Grpc, Vec<String>> {
        let origin = url.as_str().parse().map_err(|cause| vec![format!("{cause}; write otlp://host[:port]")])?;
        Ok(Grpc { wire: Wire { web: Arc::new(web), headers: login.headers().clone() }, origin, gzip })
    }

    /// Sends a request; what the receiver says to it.
    pub(super) async fn export(&self, request: Request) -> Result<Response, Answer> {
        let gzip = self.gzip.then_some(CompressionEncoding::Gzip);
        let (wire, origin) = (self.wire.clone(), self.origin.clone());
        let said = match request {
            Request::Metrics(request) => {
                let mut client = MetricsServiceClient::with_origin(wire, origin);
                if let Some(gzip) = gzip {
                    client = client.send_compressed(gzip);
                }
                client.export(request).await.map(|response| response.into_inner().into())
            }
            Request::Logs(request) => {
                let mut client = LogsServiceClient::with_origin(wire, origin);
                if let Some(gzip) = gzip {
                    client = client.send_compressed(gzip);
                }
                client.export(request).await.map(|response| response.into_inner().into())
            }
        };
        said.map_err(|status| self.verdict(&status))
    }

    /// A text without our secrets.
    pub(super) fn hidden(&self, text: &str) -> String {
        self.wire.web.hidden(text)
    }

    /// What a status means for the records that were sent (OTLP 1.x, "OTLP/gRPC response").
    fn verdict(&self, status: &Status) -> Answer {
        let message: String = self.hidden(status.message()).chars().take(REASON_CHARACTERS_MAX).collect();
        let cause = format!("{:?}: {}", status.code(), message.replace(char::is_control, " "));
        let later = |cause| Answer::Later { cause, after: retry_delay(status.details()) };
        match status.code() {
            // Servers say by these that a message is too long for them, and have no word of its own for that.
            Code::ResourceExhausted | Code::OutOfRange if is_too_long(status.message()) => Answer::NotThese { cause },
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted => later(cause),
            // Wrong credentials are the operator's to mend, not the records' fault: hold.
            Code::Unauthenticated | Code::PermissionDenied => later(cause),
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::Internal
            | Code::Unknown
            | Code::Ok => Answer::NotThese { cause },
            Code::NotFound | Code::Unimplemented => Answer::Never { cause },
        }
    }
}

fn is_too_long(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["larger than max", "too large", "exceeds maximum"].iter().any(|words| message.contains(words))
}

/// `google.rpc.Status`, which gRPC sends with a code, and OTLP over HTTP as the body of an error.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Detail {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<RetryDelay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct RetryDelay {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// How long a receiver asks to wait, if it says.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).unwrap_or_default();
    let nanos = u32::try_from(delay.nanos).unwrap_or_default().min(999_999_999);
    Some(Duration::new(seconds, nanos).min(RETRY_DELAY_MAX))
}

/// What tonic sends requests through. Whatever is no answer of gRPC is [`Code::Unavailable`].
#[derive(Clone)]
struct Wire {
    web: Arc<Web>,
    headers: http::HeaderMap,
}

impl tower_service::Service<http::Request<Body>> for Wire {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move { wire.send(request).await })
    }
}

impl Wire {
    async fn send(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let (mut parts, body) = request.into_parts();
        parts.headers.extend(self.headers.clone());
        // A request is one message of ours; whole, it can be sent again where there is no connection.
        let body = body.collect().await?.to_bytes();
        let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))
            .map_err(|cause| Status::internal(cause.to_string()))?;
        let response = self.web.send(request).await.map_err(Status::unavailable)?;
        let (parts, body) = http::Response::from(response).into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body =
            body.map_err(|cause| Status::unavailable(format!("the answer breaks off or is too long: {cause}")))?;
        let trailers = body.trailers().cloned();
        let bytes = body.to_bytes();
        let has_status = |headers: &http::HeaderMap| headers.contains_key("grpc-status");
        if !has_status(&parts.headers) && !trailers.as_ref().is_some_and(has_status) {
            let said: String = String::from_utf8_lossy(&bytes).chars().take(REASON_CHARACTERS_MAX).collect();
            return Err(Status::unavailable(format!("this is no answer of gRPC: HTTP {} {said}", parts.status)));
        }
        if is_cut_off(&bytes) {
            return Err(Status::unavailable("the answer announces more than it has"));
        }
        let body = Full::new(bytes).with_trailers(std::future::ready(trailers.map(Ok)));
        Ok(http::Response::from_parts(parts, Body::new(body)))
    }
}

/// Whether a message announces more bytes than there are: nobody shall make room for them.
fn is_cut_off(bytes: &[u8]) -> bool {
    match bytes {
        [] => false,
        [_, a, b, c, d, rest @ ..] => rest.len() < u32::from_be_bytes([*a, *b, *c, *d]) as usize,
        short => short.len() < PREFIX_BYTES,
    }
}
