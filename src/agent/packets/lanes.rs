//! The lanes from one listener to the pipeline queues, one for each queue. A lane has one packet on its way at a time, so a
//! packet that its queue does not take is offered again before anything younger is sent: the order at the queue is the order
//! of making. What comes meanwhile fills the next packets of the lane; all other lanes go on.
//!
//! The deliveries that hang on a packet stay unacknowledged until the queue has it. They are never given back to wait: a
//! quorum queue drops what comes back too often.
//!
//! Never here: which queue a record goes to (`forward`).

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::packet::{CONTENT_TYPE, PacketBuilder};
use crate::agent::runtime::Context;
use crate::agent::runtime::options::PacketBounds;
use crate::agent::runtime::troubles::Trouble;
use crate::backoff::{Backoff, Waits};
use crate::model::{Receipt, Verdict};
use crate::transport::{Outgoing, Session, TransportError, UNROUTABLE};

/// Waits before a packet is offered again that its queue did not take: the first, doubled up to the longest.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// The lanes of one listener. A clone is another view of the same; [`carry`] must run beside them.
#[derive(Clone)]
pub(in crate::agent) struct Lanes(Arc<Shared>);

struct Shared {
    lanes: Mutex<Waiting>,
    /// Something was put into a lane, or nothing more will be.
    changed: Notify,
    member: Arc<str>,
    epoch: i64,
    bounds: PacketBounds,
}

#[derive(Default)]
struct Waiting {
    lanes: BTreeMap<String, Lane>,
    /// Queues whose lane has something to send and nothing on its way.
    ready: VecDeque<String>,
    /// Nothing more is put in.
    closed: bool,
    /// Nothing more is sent either.
    abandoned: bool,
}

/// What goes to one queue, in order.
#[derive(Default)]
struct Lane {
    /// The number of the last packet that was begun.
    sequence: u64,
    waiting: VecDeque<Waybill>,
    /// A packet is on its way, or waits until it is offered again.
    busy: bool,
}

/// A packet with what hangs on it.
struct Waybill {
    content: Content,
    receipts: Vec<Receipt>,
    /// Hears when the queue has it.
    told: Option<oneshot::Sender<()>>,
}

enum Content {
    Filling(PacketBuilder),
    Whole(Bytes),
}

impl Lanes {
    /// Empty lanes of a listener of a member in an epoch.
    pub(in crate::agent) fn new(member: &Arc<str>, epoch: i64, bounds: PacketBounds) -> Self {
        let member = Arc::clone(member);
        Lanes(Arc::new(Shared { lanes: Mutex::default(), changed: Notify::new(), member, epoch, bounds }))
    }

    /// Puts what a notification yields for a queue behind everything that goes there.
    pub(in crate::agent) fn push(&self, queue: String, head: &[u8], records: &[&[u8]], receipt: Receipt) {
        let shared = &self.0;
        let mut waiting = shared.waiting();
        if waiting.abandoned {
            return;
        }
        let lane = waiting.lane(&queue);
        let bytes = head.len() + records.iter().map(|record| record.len() + 1).sum::<usize>();
        let new = match lane.waiting.back() {
            Some(Waybill { content: Content::Filling(packet), .. }) => !packet.has_room(bytes, shared.bounds),
            _ => true,
        };
        if new {
            let content = Content::Filling(PacketBuilder::new(&shared.member, shared.epoch, lane.next_sequence()));
            lane.waiting.push_back(Waybill { content, receipts: Vec::new(), told: None });
        }
        if let Some(Waybill { content: Content::Filling(packet), receipts, .. }) = lane.waiting.back_mut() {
            packet.push_encoded(head, records);
            receipts.push(receipt);
        }
        waiting.set_ready(queue);
    }

    /// Puts a packet of its own behind everything that goes to each of the queues, and waits until all of them have it.
    pub(in crate::agent) async fn tell(
        &self,
        queues: Vec<String>,
        packet: impl Fn(&str, i64, u64) -> Vec<u8>,
    ) -> Result<(), TransportError> {
        let mut heard = Vec::with_capacity(queues.len());
        for queue in queues {
            let (told, hears) = oneshot::channel();
            let mut waiting = self.0.waiting();
            if waiting.abandoned {
                return Err(TransportError::over());
            }
            let lane = waiting.lane(&queue);
            let content = Content::Whole(packet(&self.0.member, self.0.epoch, lane.next_sequence()).into());
            lane.waiting.push_back(Waybill { content, receipts: Vec::new(), told: Some(told) });
            waiting.set_ready(queue);
            heard.push(hears);
        }
        self.send();
        for hears in heard {
            hears.await.map_err(|_| TransportError::over())?;
        }
        Ok(())
    }

    /// Lets go what was [pushed](Lanes::push).
    pub(in crate::agent) fn send(&self) {
        self.0.changed.notify_one();
    }

    /// Nothing more is put in: what is there is sent, and what a queue does not take then goes back.
    pub(in crate::agent) fn close(&self) {
        self.0.waiting().closed = true;
        self.send();
    }

    /// The listener is over, and what is in here is back in its queue: nothing more of it is sent.
    pub(in crate::agent) fn abandon(&self) {
        let mut waiting = self.0.waiting();
        waiting.abandoned = true;
        let left = std::mem::take(&mut waiting.lanes);
        drop(waiting);
        drop(left);
        self.send();
    }
}

impl Waybill {
    fn finish(self) -> Packet {
        let body = match self.content {
            Content::Filling(packet) => packet.finish().into(),
            Content::Whole(body) => body,
        };
        Packet { body, receipts: self.receipts, told: self.told, alone: false }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

impl Waiting {
    fn lane(&mut self, queue: &str) -> &mut Lane {
        self.lanes.entry(queue.to_owned()).or_default()
    }

    fn set_ready(&mut self, queue: String) {
        let lane = self.lane(&queue);
        if !std::mem::replace(&mut lane.busy, true) {
            self.ready.push_back(queue);
        }
    }

    /// The next packet that may be sent.
    fn next(&mut self) -> Option<(String, Waybill)> {
        while let Some(queue) = self.ready.pop_front() {
            let lane = self.lane(&queue);
            if let Some(next) = lane.waiting.pop_front() {
                return Some((queue, next));
            }
            lane.busy = false;
        }
        None
    }
}

/// A packet that was sent, and what the broker says of it.
struct Answer {
    queue: String,
    packet: Packet,
    taken: Result<(), TransportError>,
}

/// A packet as it is sent, the same bytes at each offer, and what hangs on it.
struct Packet {
    body: Bytes,
    receipts: Vec<Receipt>,
    told: Option<oneshot::Sender<()>>,
    /// The broker has refused it, or one that was on its way with it: the next offer takes no others with it.
    alone: bool,
}

/// A lane whose queue did not take a packet.
struct Refusal {
    /// How long to wait before the next offers.
    waits: Waits,
    /// The packet, and when it is offered again; nothing while it is on its way.
    waiting: Option<(Instant, Packet)>,
}

/// The queues that lanes lead to.
#[async_trait]
pub(in crate::agent) trait CreateAgain: Send + Sync {
    /// Declares a queue that somebody has deleted.
    async fn create_again(&self, session: &dyn Session, queue: &str) -> Result<(), TransportError>;
}

/// Carries what is put into lanes to the queues until they are closed and empty, or the session is over.
pub(in crate::agent) async fn carry(
    lanes: Lanes,
    session: Arc<dyn Session>,
    context: Arc<Context>,
    queues: Arc<dyn CreateAgain>,
) {
    let mut carrier =
        Carrier { lanes, session, context, queues, on_the_way: FuturesUnordered::new(), refusals: BTreeMap::new() };
    carrier.run().await;
    for queue in carrier.refusals.keys() {
        carrier.context.troubles.over(&Trouble::Packets(queue.clone()));
    }
    // What was not taken goes back.
    carrier.lanes.abandon();
}

struct Carrier {
    lanes: Lanes,
    session: Arc<dyn Session>,
    context: Arc<Context>,
    queues: Arc<dyn CreateAgain>,
    on_the_way: FuturesUnordered<BoxFuture<'static, Answer>>,
    refusals: BTreeMap<String, Refusal>,
}

impl Carrier {
    async fn run(&mut self) {
        let over = self.session.over();
        loop {
            loop {
                let next = self.lanes.0.waiting().next();
                let Some((queue, packet)) = next else { break };
                if !self.offer(queue, packet.finish()).await {
                    return;
                }
            }
            if self.is_done() {
                return;
            }
            let again = self.refusals.values().filter_map(|refusal| refusal.waiting.as_ref()).map(|(at, _)| *at).min();
            let sent = tokio::select! {
                biased;
                () = over.cancelled() => return,
                Some(answer) = self.on_the_way.next() => self.answered(answer).await,
                () = self.lanes.0.changed.notified() => true,
                () = until(again) => self.offer_again().await,
            };
            if !sent {
                return;
            }
        }
    }

    fn is_done(&self) -> bool {
        let waiting = self.lanes.0.waiting();
        waiting.abandoned || waiting.closed && self.on_the_way.is_empty()
    }

    /// Sends a packet; `false` when the session is over.
    async fn offer(&mut self, queue: String, packet: Packet) -> bool {
        let message = Outgoing { alone: packet.alone, ..Outgoing::to_queue(&queue, packet.body.clone(), CONTENT_TYPE) };
        let Ok(confirmation) = self.session.publish(message).await else { return false };
        self.on_the_way.push(Box::pin(async move {
            let taken = confirmation.wait().await;
            Answer { queue, packet, taken }
        }));
        true
    }

    /// Sends what is due again; `false` when the session is over.
    async fn offer_again(&mut self) -> bool {
        let now = Instant::now();
        let mut due = Vec::new();
        for (queue, refusal) in &mut self.refusals {
            if let Some((_, packet)) = refusal.waiting.take_if(|(at, _)| *at <= now) {
                due.push((queue.clone(), packet));
            }
        }
        for (queue, packet) in due {
            if !self.offer(queue, packet).await {
                return false;
            }
        }
        true
    }

    /// Takes the broker's word for a packet; `false` when the session is over.
    async fn answered(&mut self, Answer { queue, mut packet, taken }: Answer) -> bool {
        let (metrics, troubles) = (&self.context.metrics, &self.context.troubles);
        let (cause, unroutable) = match taken {
            Ok(()) => {
                metrics.packet_sent(&queue, packet.receipts.len(), packet.body.len());
                if self.refusals.remove(&queue).is_some() && troubles.over(&Trouble::Packets(queue.clone())).is_some() {
                    metrics.packet_taken_again(&queue);
                }
                packet.receipts.into_iter().for_each(|receipt| receipt.settle(Verdict::Kept));
                if let Some(told) = packet.told {
                    // Who asked may have gone.
                    let _heard = told.send(());
                }
                self.lanes.0.waiting().ready.push_back(queue);
                return true;
            }
            Err(TransportError::NotTaken { why, .. }) => (why.to_owned(), why == UNROUTABLE),
            Err(TransportError::Rejected { why, .. }) => {
                packet.alone = true;
                (why, false)
            }
            Err(_) => return false,
        };
        let said = troubles.note(&Trouble::Packets(queue.clone()), &cause, packet.receipts.len());
        metrics.packet_held(&queue, &cause, said);
        if unroutable && let Err(error) = self.queues.create_again(&*self.session, &queue).await {
            metrics.queue_not_declared(&queue, &error.to_string());
        }
        let first = Refusal { waits: AGAIN.of(&queue).waits(), waiting: None };
        let refusal = self.refusals.entry(queue).or_insert(first);
        refusal.waiting = Some((Instant::now() + refusal.waits.again(), packet));
        true
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
