//! The parking queue: where a person finds what could not be used, with the reason.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;

use crate::agent::parked::label::{self, Content, Label, Whose};
use crate::agent::runtime::clock::Clock;
use crate::agent::runtime::task_group::TaskGroup;
use crate::agent::runtime::troubles::{self, Trouble, Troubles};
use crate::agent::runtime::until::Until;
use crate::backoff::Backoff;
use crate::model::{Receipt, Verdict};
use crate::observe::{Metrics, ParkReason};
use crate::transport::link::Link;
use crate::transport::topology::QueueKind;
use crate::transport::{
    COMPRESSION_HEADER, Delivery, Outgoing, Session, Topology, TransportError, UNROUTABLE, topology,
};

/// What a parked message says it is.
const CONTENT_TYPE: &str = "application/json";
/// Waits before a message is offered again that the parking queue did not take: the first, doubled up to the longest.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));

/// Why something is parked: a stable word for the counter and the header, and the sentence.
#[derive(Debug, Clone)]
pub(in crate::agent) struct Reason {
    /// The word.
    pub kind: ParkReason,
    /// What a person reads.
    pub text: String,
}

/// A message that is to be parked.
pub(in crate::agent) struct Unfit {
    /// All of it, as it came.
    pub body: Bytes,
    /// How the body is packed: the `compression` header that it came with.
    pub compression: Option<String>,
    /// Why, and what it is.
    pub case: Box<Case>,
    /// Settled when it is parked.
    pub receipt: Receipt,
}

impl Unfit {
    /// A delivery that is to be parked, as it came.
    pub(in crate::agent) fn of(delivery: Delivery, reason: Reason) -> Unfit {
        let Delivery { queue, raw, body, mut headers, receipt, returns, .. } = delivery;
        let content = if matches!(reason.kind, ParkReason::ForeignPacket) { Content::Packet } else { Content::Message };
        let case = Box::new(Case {
            origin: queue,
            reason,
            content,
            attempts: returns.saturating_add(1),
            event_type: label::event_type(&body),
            whose: Whose::default(),
        });
        Unfit { body: raw.unwrap_or(body), compression: headers.remove(COMPRESSION_HEADER), case, receipt }
    }
}

/// Why something is parked, and what it is.
#[derive(Debug, Clone)]
pub(in crate::agent) struct Case {
    /// The queue that it came from; of a record, the sink.
    pub origin: Arc<str>,
    /// Why.
    pub reason: Reason,
    /// What the body is.
    pub content: Content,
    /// How often it was tried.
    pub attempts: u32,
    /// The event type, or the meter.
    pub event_type: Option<String>,
    /// Of a sample or event.
    pub whose: Whose,
}

impl Case {
    fn label(&self, member: &str, time: DateTime<Utc>) -> Label {
        let Case { origin, reason, content, attempts, event_type, whose } = self.clone();
        Label {
            reason: reason.kind.name().to_owned(),
            text: reason.text,
            origin: origin.to_string(),
            member: member.to_owned(),
            content,
            time: Some(time),
            attempts: Some(attempts),
            event_type,
            whose,
        }
    }
}

/// A body, and how it is packed.
type Body<'a> = (&'a Bytes, Option<&'a str>);

/// The parking queue, as it is declared.
#[derive(Clone)]
pub(in crate::agent) struct ParkingQueue {
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
pub(in crate::agent) struct Parking {
    link: Link,
    queue: ParkingQueue,
    name: Arc<str>,
    member: Arc<str>,
    metrics: Metrics,
    troubles: Arc<Troubles>,
    clock: Clock,
}

impl Parking {
    /// The parking queue of a group, used by a member.
    pub(in crate::agent) fn new(
        link: Link,
        queue: ParkingQueue,
        member: &Arc<str>,
        metrics: &Metrics,
        (troubles, clock): (&Arc<Troubles>, Clock),
    ) -> Self {
        let name = topology::parking_queue_name(&queue.group).into();
        Parking {
            link,
            queue,
            name,
            member: Arc::clone(member),
            metrics: metrics.clone(),
            troubles: Arc::clone(troubles),
            clock,
        }
    }

    /// Parks a message. Where that cannot be done now, a task of its own holds it and tries again, and its neighbours go on.
    pub(in crate::agent) async fn set_aside(&self, unfit: Unfit, until: &Until, tasks: &TaskGroup) {
        let Unfit { body, compression, case, receipt } = unfit;
        match self.try_park((&body, compression.as_deref()), &case).await {
            Ok(()) => receipt.settle(Verdict::Parked),
            Err(error) => {
                let (parking, until) = (self.clone(), until.clone());
                tasks.spawn(&format!("a message of {} that cannot be parked", case.origin), async move {
                    if parking.try_again((&body, compression.as_deref()), &case, &until, error).await {
                        receipt.settle(Verdict::Parked);
                    }
                });
            }
        }
    }

    /// Parks a record, as often as it takes; `false` when the listener cannot hold it any longer.
    pub(in crate::agent) async fn park(&self, body: Bytes, case: &Case, until: &Until) -> bool {
        match self.try_park((&body, None), case).await {
            Ok(()) => true,
            Err(error) => self.try_again((&body, None), case, until, error).await,
        }
    }

    async fn try_again(&self, body: Body<'_>, case: &Case, until: &Until, mut error: TransportError) -> bool {
        let origin = &*case.origin;
        let trouble = Trouble::Parking(origin.to_owned());
        let mut waits = AGAIN.of(origin).waits();
        loop {
            let why = troubles::not_parked(&error);
            let said = self.troubles.note(&trouble, &why, 1);
            self.metrics.parking_failed(origin, &why, said);
            tokio::select! {
                biased;
                () = until.reached() => break,
                () = tokio::time::sleep(waits.again()) => {}
            }
            match self.try_park(body, case).await {
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
    async fn try_park(&self, (body, compression): Body<'_>, case: &Case) -> Result<(), TransportError> {
        let session = self.link.current().ok_or_else(|| self.link.absence())?;
        let mut headers = case.label(&self.member, self.clock.now()).headers();
        headers.extend(compression.map(|method| (COMPRESSION_HEADER.to_owned(), method.to_owned())));
        let message = Outgoing { headers, ..Outgoing::to_queue(&self.name, body.clone(), CONTENT_TYPE).alone() };
        match session.publish(message.clone()).await?.wait().await {
            // Somebody has deleted it.
            Err(TransportError::NotTaken { why: UNROUTABLE, .. }) => {
                self.queue.declare(&*session).await?;
                session.publish(message).await?.wait().await?;
            }
            parked => parked?,
        }
        let publisher = case.whose.publisher.as_deref();
        self.metrics.message_parked(&case.origin, case.reason.kind, publisher, &case.reason.text);
        Ok(())
    }
}
