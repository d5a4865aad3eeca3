//! The lanes from one listener to the pipeline queues, one for each queue. A lane has one packet on its way at a time, so a
//! packet that its queue does not take is offered again before anything younger is sent: the order at the queue is the order
//! of making. What comes meanwhile fills the next packets of the lane; all other lanes go on.
//!
//! The deliveries that hang on a packet stay unacknowledged until the queue has it. They are never given back to wait: a
//! quorum queue drops what comes back too often.
//!
//! Never here: which queue a record goes to (`forward`), and when a packet is full (`lane`).

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::encoding::Records;
use super::lane::{Content, Expected, Open, Sender, Waiting, Waybill};
use super::packet::CONTENT_TYPE;
use crate::agent::books::Account;
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
    sender: Sender,
    /// What queues confirm is counted here.
    account: Arc<Account>,
}

impl Lanes {
    /// Empty lanes of a listener of a member in an epoch.
    pub(in crate::agent) fn new(member: &Arc<str>, epoch: i64, bounds: PacketBounds, account: &Arc<Account>) -> Self {
        let sender = Sender { member: Arc::clone(member), epoch, bounds };
        let account = Arc::clone(account);
        Lanes(Arc::new(Shared { lanes: Mutex::default(), changed: Notify::new(), sender, account }))
    }

    /// Puts what a notification yields for a queue behind everything that goes there.
    pub(in crate::agent) fn push(&self, queue: &str, head: &[u8], records: &Records<'_>, receipt: Receipt) {
        let left = self.0.waiting().push(&self.0.sender, queue, (head, records), receipt);
        drop(left);
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
            let Sender { member, epoch, .. } = &self.0.sender;
            let whole = |sequence| packet(member, *epoch, sequence).into();
            if !self.0.waiting().push_whole(&queue, whole, told) {
                return Err(TransportError::over());
            }
            heard.push(hears);
        }
        self.send();
        for hears in heard {
            hears.await.map_err(|_| TransportError::over())?;
        }
        Ok(())
    }

    /// Sends what was [pushed](Lanes::push), full or not.
    pub(in crate::agent) fn send(&self) {
        self.0.waiting().end_open(None);
        self.0.changed.notify_one();
    }

    /// Sends the packets that are full or old. The others wait for more: if it comes soon, and else while something is on its
    /// way.
    pub(in crate::agent) fn send_full(&self, expected: Expected) {
        self.0.waiting().expect(expected);
        self.0.changed.notify_one();
    }

    /// Nothing more is put in: what is there is sent, and what a queue does not take then goes back.
    pub(in crate::agent) fn close(&self) {
        self.0.waiting().close();
        self.0.changed.notify_one();
    }

    /// The listener is over, and what is in here is back in its queue: nothing more of it is sent.
    pub(in crate::agent) fn abandon(&self) {
        let left = self.0.waiting().abandon();
        drop(left);
        self.send();
    }
}

impl Waybill {
    fn finish(self) -> Packet {
        let Waybill { sequence, records, content, receipts, told } = self;
        let body = match content {
            Content::Filling(packet) => packet.finish().into(),
            Content::Whole(body) => body,
        };
        Packet { sequence, records, body, receipts, told, alone: false }
    }
}

impl Shared {
    /// The queue has a packet.
    fn count(&self, queue: &str, packet: &Packet) {
        let Sender { member, epoch, .. } = &self.sender;
        self.account.sent(queue, (member, *epoch, packet.sequence), (packet.receipts.len(), packet.records));
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
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
    sequence: u64,
    records: usize,
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
            let mut lull_until = None;
            if self.on_the_way.is_empty() {
                match self.lanes.0.waiting().send_open() {
                    Open::Goes => continue,
                    Open::Waits(until) => lull_until = Some(until),
                    Open::Nothing => {}
                }
            }
            if self.is_done() {
                return;
            }
            let again = self.refusals.values().filter_map(|refusal| refusal.waiting.as_ref()).map(|(at, _)| *at).min();
            let open_until = self.lanes.0.waiting().open_until();
            let sent = tokio::select! {
                biased;
                () = over.cancelled() => return,
                Some(answer) = self.on_the_way.next() => self.answered(answer).await,
                () = until(open_until) => {
                    self.lanes.0.waiting().end_open(Some(Instant::now()));
                    true
                }
                () = self.lanes.0.changed.notified() => true,
                () = until(lull_until) => true,
                () = until(again) => self.offer_again().await,
            };
            if !sent {
                return;
            }
        }
    }

    fn is_done(&self) -> bool {
        let waiting = self.lanes.0.waiting();
        waiting.is_abandoned() || waiting.is_closed_and_empty() && self.on_the_way.is_empty()
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
                self.lanes.0.count(&queue, &packet);
                if self.refusals.remove(&queue).is_some() && troubles.over(&Trouble::Packets(queue.clone())).is_some() {
                    metrics.packet_taken_again(&queue);
                }
                packet.receipts.into_iter().for_each(|receipt| receipt.settle(Verdict::Kept));
                if let Some(told) = packet.told {
                    // Who asked may have gone.
                    let _heard = told.send(());
                }
                self.lanes.0.waiting().is_free(queue);
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
