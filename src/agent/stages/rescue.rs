//! Messages that came back often are moved out of reach of the broker's delivery limit.
//!
//! A quorum queue drops a message that came back more often than its limit, 20 times on RabbitMQ 4 where nobody set another;
//! each restart, lost connection and hand-over is one time. Who cannot hold across its own restart must not let the broker
//! count to that: what came back [`RETURNS_MAX`] times is moved, confirmed and in order, into a classic queue beside its own,
//! which has no limit, and is taken from there before anything younger.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::agent::runtime::Context;
use crate::agent::runtime::troubles::Trouble;
use crate::model::Verdict;
use crate::transport::{ConsumeOptions, Consumer, Delivery, Outgoing, Session, Topology, TransportError, topology};

/// A message that came back so often is moved: often enough that an ordinary restart moves nothing, and well below every limit
/// that makes sense.
const RETURNS_MAX: u32 = 3;
/// If nothing comes of what should be in the rescue queue for so long, the broker is asked what is there.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// Deliveries and marks between the task that sorts and the listener; the prefetch bounds the deliveries.
const SORTED_MAX: usize = 2_048;
/// What a moved message says it is, where it did not say.
const CONTENT_TYPE: &str = "application/json";

/// A queue and its rescue queue as one: the deliveries of both, the oldest first.
pub(in crate::agent) struct Rescue {
    context: Arc<Context>,
    session: Arc<dyn Session>,
    queue: Arc<str>,
    /// What the queue itself gives, in order, with marks where something was moved.
    sorted: mpsc::Receiver<Sorted>,
    /// Ends the sorting, which then gives the consumer back.
    closing: CancellationToken,
    consumer: oneshot::Receiver<Box<dyn Consumer>>,
    /// Of the rescue queue.
    rescued: Option<Box<dyn Consumer>>,
    /// Messages in the rescue queue that were not taken yet, as far as is known.
    left: u32,
    /// Deliveries of the queue itself that are younger than what is in the rescue queue.
    younger: VecDeque<Delivery>,
    /// What waits here.
    room: Arc<Room>,
    /// Cancelled when the consumer of the rescue queue is over, so that the listener ends.
    over: CancellationToken,
}

/// Bytes of bodies that wait to be taken.
struct Room {
    bytes: AtomicUsize,
    bytes_max: AtomicUsize,
}

impl Room {
    fn unbounded() -> Self {
        Room { bytes: AtomicUsize::new(0), bytes_max: AtomicUsize::new(usize::MAX) }
    }

    fn is_overfull(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max.load(Ordering::Relaxed)
    }
}

/// What the sorting task passes on.
#[expect(clippy::large_enum_variant, reason = "nearly each is a delivery")]
enum Sorted {
    /// A delivery to be worked on.
    Delivery(Delivery),
    /// So many messages were moved; everything behind this is younger. With the consumer of the rescue queue, if it is new.
    Moved(u32, Option<Box<dyn Consumer>>),
}

/// Messages in the rescue queue of a queue: what former consumers moved there.
pub(in crate::agent) async fn look(session: &dyn Session, queue: &str) -> Result<u32, TransportError> {
    match session.inspect(&topology::rescue_queue_name(queue)).await {
        Ok(state) => Ok(state.messages),
        Err(TransportError::NoQueue(_)) => Ok(0),
        Err(error) => Err(error),
    }
}

impl Rescue {
    /// Of a consumer of a queue in whose rescue queue so many messages wait. `over` is cancelled when nothing more can be taken.
    pub(in crate::agent) async fn open(
        context: &Arc<Context>,
        session: &Arc<dyn Session>,
        queue: &Arc<str>,
        (consumer, options): (Box<dyn Consumer>, ConsumeOptions),
        left: u32,
        over: CancellationToken,
    ) -> Result<Rescue, TransportError> {
        let options = ConsumeOptions { exclusive: false, ..options };
        let rescued = match left {
            0 => None,
            _ => match session.consume(&topology::rescue_queue_name(queue), options.clone()).await {
                Ok(rescued) => Some(rescued),
                Err(error) => {
                    // Whoever comes next must find the queue unused.
                    let _closed = consumer.close().await;
                    return Err(error);
                }
            },
        };
        let (sorter, sorted) = mpsc::channel(SORTED_MAX);
        let (back, consumer_back) = oneshot::channel();
        let (closing, room) = (CancellationToken::new(), Arc::new(Room::unbounded()));
        let sorting = Sorting {
            room: Arc::clone(&room),
            context: Arc::clone(context),
            session: Arc::clone(session),
            queue: Arc::clone(queue),
            options,
            rescues: rescued.is_some(),
            sorter,
            closing: closing.clone(),
        };
        context.tasks.spawn(&format!("deliveries of {queue}"), async move {
            let consumer = sorting.run(consumer).await;
            // An intake that is gone needs it no more: dropping it closes its channel.
            let _unheard = back.send(consumer);
        });
        let (context, session, queue) = (Arc::clone(context), Arc::clone(session), Arc::clone(queue));
        let younger = VecDeque::new();
        let consumer = consumer_back;
        let mut rescue =
            Rescue { context, session, queue, sorted, closing, consumer, rescued: None, left, younger, room, over };
        if let Some(rescued) = rescued {
            rescue.consume(rescued);
        }
        Ok(rescue)
    }

    /// The next delivery, the oldest first; `None` when there is none any more. Dropping the future loses nothing.
    pub(in crate::agent) async fn next(&mut self) -> Option<Delivery> {
        loop {
            if self.left == 0 {
                if let Some(delivery) = self.pop_younger() {
                    return Some(delivery);
                }
                let sorted = self.sorted.recv().await?;
                self.take_in(sorted);
                continue;
            }
            let rescued = self.rescued.as_mut()?;
            tokio::select! {
                biased;
                sorted = self.sorted.recv() => {
                    let sorted = sorted?;
                    self.take_in(sorted);
                }
                delivery = rescued.next() => {
                    let delivery = delivery?;
                    return Some(self.taken(delivery));
                }
                // Another agent may have taken it, or an operator.
                () = tokio::time::sleep(SILENCE_MAX) => self.left = look(&*self.session, &self.queue).await.ok()?,
            }
        }
    }

    /// A further delivery that is here and whose turn it is.
    pub(in crate::agent) fn ready(&mut self) -> Option<Delivery> {
        while let Ok(sorted) = self.sorted.try_recv() {
            self.take_in(sorted);
            if self.left == 0 {
                break;
            }
        }
        if self.left > 0 {
            let delivery = self.rescued.as_mut()?.ready()?;
            return Some(self.taken(delivery));
        }
        self.pop_younger()
    }

    fn pop_younger(&mut self) -> Option<Delivery> {
        let delivery = self.younger.pop_front()?;
        self.room.bytes.fetch_sub(delivery.body.len(), Ordering::Relaxed);
        Some(delivery)
    }

    /// From now on the queue gives nothing more once more than so many bytes of bodies wait.
    pub(in crate::agent) fn hold_at_most(&self, bytes: usize) {
        self.room.bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Whether more wait than may.
    pub(in crate::agent) fn is_overfull(&self) -> bool {
        self.room.is_overfull()
    }

    /// Whether something more is here already, which nearly always is a delivery; what stands behind the rescue queue is not
    /// looked at.
    pub(in crate::agent) fn has_ready(&self) -> bool {
        self.left == 0 && !(self.younger.is_empty() && self.sorted.is_empty())
    }

    /// Ends: what is being moved is waited for, what was not taken goes back when the consumer is closed, which is given back.
    pub(in crate::agent) async fn close(mut self) -> Option<Box<dyn Consumer>> {
        self.closing.cancel();
        // The task must not wait for room.
        self.sorted.close();
        let consumer = (&mut self.consumer).await.ok();
        if let Some(rescued) = self.rescued.take() {
            let _closed = rescued.close().await;
        }
        consumer
    }

    fn take_in(&mut self, sorted: Sorted) {
        match sorted {
            Sorted::Delivery(delivery) => self.younger.push_back(delivery),
            Sorted::Moved(count, consumer) => {
                self.left += count;
                if let Some(consumer) = consumer {
                    self.consume(consumer);
                }
            }
        }
    }

    fn consume(&mut self, rescued: Box<dyn Consumer>) {
        let (ended, over) = (rescued.over(), self.over.clone());
        self.context.tasks.spawn(&format!("the rescue queue of {}", self.queue), async move {
            ended.cancelled().await;
            over.cancel();
        });
        self.rescued = Some(rescued);
    }

    fn taken(&mut self, delivery: Delivery) -> Delivery {
        self.left -= 1;
        // For counters and reasons it is one of the queue that it was sent to.
        Delivery { queue: Arc::clone(&self.queue), ..delivery }
    }
}

/// The task that looks at every delivery of a queue as soon as it comes, also while the listener is busy or holds: a message
/// that waits for its turn in an agent that is killed has come back once more.
struct Sorting {
    room: Arc<Room>,
    context: Arc<Context>,
    session: Arc<dyn Session>,
    queue: Arc<str>,
    options: ConsumeOptions,
    /// Whether the rescue queue has a consumer.
    rescues: bool,
    sorter: mpsc::Sender<Sorted>,
    closing: CancellationToken,
}

impl Sorting {
    /// Sorts until asked to end or the consumer is over; gives the consumer back.
    async fn run(mut self, mut consumer: Box<dyn Consumer>) -> Box<dyn Consumer> {
        let closing = self.closing.clone();
        while let Some(delivery) = next(&mut *consumer, &closing).await {
            if delivery.returns < RETURNS_MAX {
                self.room.bytes.fetch_add(delivery.body.len(), Ordering::Relaxed);
                if self.room.is_overfull() || self.sorter.send(Sorted::Delivery(delivery)).await.is_err() {
                    break;
                }
                continue;
            }
            let (mut batch, mut behind) = (VecDeque::from([delivery]), None);
            while let Some(delivery) = consumer.ready() {
                if delivery.returns < RETURNS_MAX {
                    behind = Some(delivery);
                    break;
                }
                batch.push_back(delivery);
            }
            self.move_all(&mut batch).await;
            // What could not be moved had its chance: worked on where it is, behind what was moved.
            for delivery in batch.into_iter().chain(behind) {
                self.room.bytes.fetch_add(delivery.body.len(), Ordering::Relaxed);
                if self.sorter.send(Sorted::Delivery(delivery)).await.is_err() {
                    return consumer;
                }
            }
        }
        consumer
    }

    /// Moves messages one after the other, and leaves what the rescue queue does not take: one that is not taken must not be
    /// overtaken.
    async fn move_all(&mut self, batch: &mut VecDeque<Delivery>) {
        let (queue, metrics) = (&self.queue, &self.context.metrics);
        let rescued = match self.prepare().await {
            Ok(rescued) => rescued,
            Err(error) => return self.say_not_rescued(&error, batch.len()),
        };
        let mut count = 0;
        while let Some(delivery) = batch.pop_front() {
            match self.move_one(&delivery).await {
                Ok(()) => {
                    count += 1;
                    delivery.receipt.settle(Verdict::Kept);
                }
                Err(error) => {
                    batch.push_front(delivery);
                    self.say_not_rescued(&error, batch.len());
                    break;
                }
            }
        }
        if count > 0 {
            self.context.troubles.over(&Trouble::Rescue(queue.to_string()));
        }
        metrics.rescued(queue, u64::from(count));
        self.rescues |= rescued.is_some();
        // An intake that is gone has no use for it.
        let _gone = self.sorter.send(Sorted::Moved(count, rescued)).await;
    }

    /// Nothing to say where the session is over: the next one moves them.
    fn say_not_rescued(&self, error: &TransportError, waiting: usize) {
        if self.session.over().is_cancelled() || matches!(error, TransportError::Away { .. }) {
            return;
        }
        let (queue, why) = (&*self.queue, error.to_string());
        let said = self.context.troubles.note(&Trouble::Rescue(queue.to_owned()), &why, waiting);
        self.context.metrics.not_rescued(queue, &why, said);
    }

    /// Declares the rescue queue, and consumes it where nobody does.
    async fn prepare(&self) -> Result<Option<Box<dyn Consumer>>, TransportError> {
        let queues = vec![topology::rescue_queue(&self.queue)];
        self.session.declare(&Topology { queues, ..Topology::default() }).await?;
        if self.rescues {
            return Ok(None);
        }
        let name = topology::rescue_queue_name(&self.queue);
        Ok(Some(self.session.consume(&name, self.options.clone()).await?))
    }

    async fn move_one(&self, delivery: &Delivery) -> Result<(), TransportError> {
        let name = topology::rescue_queue_name(&self.queue);
        let headers = delivery.headers.clone();
        // As it came: what it unpacks to may be larger than the broker takes.
        let body = delivery.as_it_came().clone();
        let message = Outgoing { headers, ..Outgoing::to_queue(&name, body, CONTENT_TYPE).alone() };
        self.session.publish(message).await?.wait().await
    }
}

/// The next delivery, until asked to end. What is here already needs no wait, and a wait costs more than all else that is done with
/// a delivery here.
async fn next(consumer: &mut dyn Consumer, closing: &CancellationToken) -> Option<Delivery> {
    if closing.is_cancelled() {
        return None;
    }
    match consumer.ready() {
        Some(delivery) => Some(delivery),
        None => closing.run_until_cancelled(consumer.next()).await.flatten(),
    }
}
