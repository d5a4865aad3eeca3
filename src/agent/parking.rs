//! The parking queue: where a person finds what could not be used, with the reason.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::observe::{Metrics, ParkReason};
use crate::transport::link::Link;
use crate::transport::{Outgoing, TransportError};

/// Why something is parked: a stable word for the counter and the header, and the sentence.
#[derive(Debug, Clone)]
pub(super) struct Reason {
    /// The word.
    pub kind: ParkReason,
    /// What a person reads.
    pub text: String,
}

/// Headers of a parked message are cut to this many bytes: RabbitMQ bounds a frame of headers.
const REASON_BYTES_MAX: usize = 2_000;

/// Puts messages into `nephoscope.<group>.parked`.
#[derive(Clone)]
pub(super) struct Parking {
    link: Link,
    queue: Arc<str>,
    member: Arc<str>,
    metrics: Metrics,
}

impl Parking {
    /// The parking queue of a group, used by a member.
    pub(super) fn new(link: Link, queue: &str, member: &str, metrics: Metrics) -> Self {
        Parking { link, queue: queue.into(), member: member.into(), metrics }
    }

    /// Parks one message that came from `origin` and waits for the broker's confirm. An error means that it is not
    /// parked and must go back: the parking queue is full, or the broker is away.
    pub(super) async fn park(&self, origin: &str, body: Bytes, reason: &Reason) -> Result<(), TransportError> {
        let session = self.link.current().ok_or_else(|| TransportError::Away {
            broker: self.link.name().to_owned(),
            cause: "not connected".to_owned(),
        })?;
        let mut end = reason.text.len().min(REASON_BYTES_MAX);
        while !reason.text.is_char_boundary(end) {
            end -= 1;
        }
        let headers = BTreeMap::from([
            ("x-nephoscope-format".to_owned(), "1".to_owned()),
            ("x-nephoscope-kind".to_owned(), reason.kind.name().to_owned()),
            ("x-nephoscope-reason".to_owned(), reason.text[..end].to_owned()),
            ("x-nephoscope-origin".to_owned(), origin.to_owned()),
            ("x-nephoscope-member".to_owned(), self.member.to_string()),
        ]);
        let message = Outgoing { headers, ..Outgoing::to_queue(&self.queue, body, "application/json") };
        session.publish(message).await?.wait().await?;
        self.metrics.message_parked(origin, reason.kind, &reason.text);
        Ok(())
    }
}
