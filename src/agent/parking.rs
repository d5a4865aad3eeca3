//! The parking queue: where a person finds what could not be used, with the reason.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::jitter;
use super::nursery::Nursery;
use super::troubles::{self, Trouble, Troubles};
use super::until::Until;
use crate::model::shown::without_secrets;
use crate::model::{Receipt, Verdict};
use crate::observe::{Metrics, ParkReason};
use crate::transport::link::Link;
use crate::transport::topology::QueueKind;
use crate::transport::{
    COMPRESSION_HEADER, Delivery, Outgoing, Session, Topology, TransportError, UNROUTABLE, topology,
};

/// Waits before a message is offered again that the parking queue did not take: the first, doubled up to the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

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

/// A message that is to be parked.
pub(super) struct Unfit {
    /// The queue that it came from.
    pub origin: Arc<str>,
    /// All of it, as it came.
    pub body: Bytes,
    /// How the body is packed: the `compression` header that it came with.
    pub compression: Option<String>,
    /// Why.
    pub reason: Reason,
    /// Settled when it is parked.
    pub receipt: Receipt,
}

impl Unfit {
    /// A delivery that is to be parked, as it came.
    pub(super) fn of(delivery: Delivery, reason: Reason) -> Unfit {
        let Delivery { queue, raw, mut headers, receipt, .. } = delivery;
        Unfit { origin: queue, body: raw, compression: headers.remove(COMPRESSION_HEADER), reason, receipt }
    }

    fn content(&self) -> Content<'_> {
        (&self.body, self.compression.as_deref())
    }
}

/// A body, and how it is packed.
type Content<'a> = (&'a Bytes, Option<&'a str>);

/// The parking queue, as it is declared.
#[derive(Clone)]
pub(super) struct ParkingQueue {
    /// The group.
    pub group: Arc<str>,
    /// Its kind.
    pub kind: QueueKind,
    /// Messages at most.
    pub messages_max: i64,
}

impl ParkingQueue {
    /// Declares it.
    async fn declare(&self, session: &dyn Session) -> Result<(), TransportError> {
        let queues = vec![topology::parking_queue(&self.group, self.kind, self.messages_max)];
        session.declare(&Topology { queues, ..Topology::default() }).await
    }
}

/// Puts messages into `nephoscope.<group>.parked`.
#[derive(Clone)]
pub(super) struct Parking {
    link: Link,
    queue: ParkingQueue,
    name: Arc<str>,
    member: Arc<str>,
    metrics: Metrics,
    troubles: Arc<Troubles>,
}

impl Parking {
    /// The parking queue of a group, used by a member.
    pub(super) fn new(
        link: Link,
        queue: ParkingQueue,
        member: &Arc<str>,
        metrics: &Metrics,
        troubles: &Arc<Troubles>,
    ) -> Self {
        let name = topology::parking_queue_name(&queue.group).into();
        Parking {
            link,
            queue,
            name,
            member: Arc::clone(member),
            metrics: metrics.clone(),
            troubles: Arc::clone(troubles),
        }
    }

    /// Parks a message. Where that cannot be done now, a task of its own holds it and tries again, and its neighbours go on.
    pub(super) async fn set_aside(&self, unfit: Unfit, until: &Until, nursery: &Nursery) {
        match self.try_park(&unfit.origin, unfit.content(), &unfit.reason).await {
            Ok(()) => unfit.receipt.settle(Verdict::Parked),
            Err(error) => {
                let (parking, until) = (self.clone(), until.clone());
                nursery.spawn(&format!("a message of {} that cannot be parked", unfit.origin), async move {
                    if parking.try_again(&unfit.origin, unfit.content(), &unfit.reason, &until, error).await {
                        unfit.receipt.settle(Verdict::Parked);
                    }
                });
            }
        }
    }

    /// Parks a message that came from `origin`, as often as it takes; `false` when the listener cannot hold it any longer.
    pub(super) async fn park(&self, origin: &str, body: Bytes, reason: &Reason, until: &Until) -> bool {
        let content = (&body, None);
        match self.try_park(origin, content, reason).await {
            Ok(()) => true,
            Err(error) => self.try_again(origin, content, reason, until, error).await,
        }
    }

    async fn try_again(
        &self,
        origin: &str,
        content: Content<'_>,
        reason: &Reason,
        until: &Until,
        mut error: TransportError,
    ) -> bool {
        let trouble = Trouble::Parking(origin.to_owned());
        let (mut wait, longest) = AGAIN;
        for attempt in 1.. {
            let why = troubles::not_parked(&error);
            let said = self.troubles.note(&trouble, &why, 1);
            self.metrics.parking_failed(origin, &why, said);
            tokio::select! {
                biased;
                () = until.reached() => break,
                () = tokio::time::sleep(wait.mul_f64(jitter::factor(origin, attempt))) => {}
            }
            wait = (wait * 2).min(longest);
            match self.try_park(origin, content, reason).await {
                Ok(()) => {
                    self.troubles.over(&trouble);
                    return true;
                }
                Err(again) => error = again,
            }
        }
        self.troubles.over(&trouble);
        false
    }

    /// Parks one message and waits for the broker's confirm.
    async fn try_park(
        &self,
        origin: &str,
        (body, compression): Content<'_>,
        reason: &Reason,
    ) -> Result<(), TransportError> {
        let session = self.link.current().ok_or_else(|| self.link.absence())?;
        let text = without_secrets(&reason.text);
        let end = text.floor_char_boundary(REASON_BYTES_MAX);
        let mut headers = BTreeMap::from([
            ("x-nephoscope-format".to_owned(), "1".to_owned()),
            ("x-nephoscope-kind".to_owned(), reason.kind.name().to_owned()),
            ("x-nephoscope-reason".to_owned(), text[..end].to_owned()),
            ("x-nephoscope-origin".to_owned(), without_secrets(origin).into_owned()),
            ("x-nephoscope-member".to_owned(), self.member.to_string()),
        ]);
        headers.extend(compression.map(|method| (COMPRESSION_HEADER.to_owned(), method.to_owned())));
        let message = Outgoing { headers, ..Outgoing::to_queue(&self.name, body.clone(), "application/json").alone() };
        match session.publish(message.clone()).await?.wait().await {
            // Somebody has deleted it.
            Err(TransportError::NotTaken { why: UNROUTABLE, .. }) => {
                self.queue.declare(&*session).await?;
                session.publish(message).await?.wait().await?;
            }
            parked => parked?,
        }
        self.metrics.message_parked(origin, reason.kind, &reason.text);
        Ok(())
    }
}
