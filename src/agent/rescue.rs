//! Messages that came back often are moved out of reach of the broker's delivery limit.
//!
//! A quorum queue drops a message that came back more often than its limit, 20 times on RabbitMQ 4 where nobody set another;
//! each restart, lost connection and hand-over is one time. Who cannot hold across its own restart must not let the broker
//! count to that: what came back [`RETURNS_MAX`] times is moved, confirmed and in order, into a classic queue beside its own,
//! which has no limit, and is taken from there before anything younger.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use crate::model::Verdict;
use crate::transport::{
    COMPRESSION_HEADER, ConsumeOptions, Consumer, Delivery, Outgoing, Session, Topology, TransportError, topology,
};

/// A message that came back so often is moved: often enough that an ordinary restart moves nothing, and well below every limit
/// that makes sense.
const RETURNS_MAX: u32 = 3;
/// If nothing comes of what should be in the rescue queue for so long, the broker is asked what is there.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// What a moved message says it is, where it did not say.
const CONTENT_TYPE: &str = "application/json";

/// What one consumer has beside its queue.
pub(super) struct Rescue {
    ground: Arc<Ground>,
    session: Arc<dyn Session>,
    queue: Arc<str>,
    options: ConsumeOptions,
    /// Messages that came back so often are moved.
    returns_max: u32,
    /// Of the rescue queue.
    consumer: Option<Box<dyn Consumer>>,
    /// Messages in the rescue queue that were not taken yet, as far as is known.
    left: u32,
    /// Deliveries of the queue itself that are younger than what is in the rescue queue.
    younger: VecDeque<Delivery>,
    /// Messages on their way into the rescue queue.
    moving: Option<oneshot::Receiver<Moved>>,
    /// Cancelled when the consumer of the rescue queue is over, so that the one of the queue ends with it.
    over: CancellationToken,
}

/// What became of messages that were to be moved.
struct Moved {
    count: u32,
    /// Those that the rescue queue did not take, in order.
    rest: VecDeque<Delivery>,
    consumer: Option<Box<dyn Consumer>>,
}

/// Messages in the rescue queue of a queue: what former consumers moved there.
pub(super) async fn look(session: &dyn Session, queue: &str) -> Result<u32, TransportError> {
    match session.inspect(&topology::rescue_queue_name(queue)).await {
        Ok(state) => Ok(state.messages),
        Err(TransportError::NoQueue(_)) => Ok(0),
        Err(error) => Err(error),
    }
}

impl Rescue {
    /// Of a queue in whose rescue queue so many messages wait. `over` is cancelled when no more can be taken.
    pub(super) async fn open(
        ground: &Arc<Ground>,
        session: &Arc<dyn Session>,
        queue: &Arc<str>,
        options: &ConsumeOptions,
        left: u32,
        over: CancellationToken,
    ) -> Result<Rescue, TransportError> {
        let mut rescue = Rescue {
            ground: Arc::clone(ground),
            session: Arc::clone(session),
            queue: Arc::clone(queue),
            options: ConsumeOptions { exclusive: false, ..options.clone() },
            returns_max: RETURNS_MAX,
            consumer: None,
            left,
            younger: VecDeque::new(),
            moving: None,
            over,
        };
        if left > 0 {
            let consumer = rescue.session.consume(&topology::rescue_queue_name(queue), rescue.options.clone()).await?;
            rescue.consume(consumer);
        }
        Ok(rescue)
    }

    /// The next delivery, the oldest first; `None` when there is none any more. Dropping the future loses nothing.
    pub(super) async fn next(&mut self, main: &mut dyn Consumer) -> Option<Delivery> {
        loop {
            if let Some(moving) = &mut self.moving {
                // The task ends with the agent, and then so do we.
                let moved = moving.await.ok()?;
                self.moved(moved);
            } else if self.left > 0 {
                let consumer = self.consumer.as_mut()?;
                let taken = tokio::select! {
                    biased;
                    delivery = consumer.next() => Some(delivery?),
                    () = tokio::time::sleep(SILENCE_MAX) => None,
                };
                match taken {
                    Some(delivery) => return Some(self.taken(delivery)),
                    // Another agent may have taken it, or an operator.
                    None => self.left = look(&*self.session, &self.queue).await.ok()?,
                }
            } else {
                let delivery = match self.younger.pop_front() {
                    Some(delivery) => delivery,
                    None => main.next().await?,
                };
                if delivery.returns < self.returns_max {
                    return Some(delivery);
                }
                self.begin_to_move(delivery, main);
            }
        }
    }

    /// A further delivery that is here and whose turn it is.
    pub(super) fn ready(&mut self, main: &mut dyn Consumer) -> Option<Delivery> {
        if self.moving.is_some() {
            return None;
        }
        if self.left > 0 {
            let delivery = self.consumer.as_mut()?.ready()?;
            return Some(self.taken(delivery));
        }
        let delivery = self.younger.pop_front().or_else(|| main.ready())?;
        if delivery.returns < self.returns_max {
            return Some(delivery);
        }
        self.younger.push_front(delivery);
        None
    }

    /// Ends: what is on its way is waited for, what was not taken goes back.
    pub(super) async fn close(mut self) -> Result<(), TransportError> {
        if let Some(moving) = self.moving.take()
            && let Ok(moved) = moving.await
        {
            self.moved(moved);
        }
        self.younger.clear();
        match self.consumer.take() {
            Some(consumer) => consumer.close().await,
            None => Ok(()),
        }
    }

    fn consume(&mut self, consumer: Box<dyn Consumer>) {
        let (rescued, over) = (consumer.over(), self.over.clone());
        self.ground.nursery.spawn(&format!("the rescue queue of {}", self.queue), async move {
            rescued.cancelled().await;
            over.cancel();
        });
        self.consumer = Some(consumer);
    }

    fn taken(&mut self, delivery: Delivery) -> Delivery {
        self.left -= 1;
        // For counters and reasons it is one of the queue that it was sent to.
        Delivery { queue: Arc::clone(&self.queue), ..delivery }
    }

    fn moved(&mut self, Moved { count, mut rest, consumer }: Moved) {
        self.moving = None;
        self.left += count;
        // They had their chance: given on as they are, behind what was moved.
        rest.iter_mut().for_each(|delivery| delivery.returns = 0);
        rest.append(&mut self.younger);
        self.younger = rest;
        if let Some(consumer) = consumer {
            self.consume(consumer);
        }
    }

    /// Begins to move a message and all that is here and came back as often.
    fn begin_to_move(&mut self, first: Delivery, main: &mut dyn Consumer) {
        let mut batch = VecDeque::from([first]);
        while let Some(delivery) = self.younger.pop_front().or_else(|| main.ready()) {
            if delivery.returns < self.returns_max {
                self.younger.push_front(delivery);
                break;
            }
            batch.push_back(delivery);
        }
        let (done, moving) = oneshot::channel();
        self.moving = Some(moving);
        let (session, queue, ground) = (Arc::clone(&self.session), Arc::clone(&self.queue), Arc::clone(&self.ground));
        let options = self.consumer.is_none().then(|| self.options.clone());
        self.ground.nursery.spawn(&format!("messages of {queue} to its rescue queue"), async move {
            let moved = move_all(&ground, &*session, &queue, batch, options).await;
            // A listener that is gone needs nothing: the receipts go back by being dropped.
            let _unheard = done.send(moved);
        });
    }
}

/// Moves messages one after the other: one that is not taken must not be overtaken.
async fn move_all(
    ground: &Ground,
    session: &dyn Session,
    queue: &str,
    mut batch: VecDeque<Delivery>,
    options: Option<ConsumeOptions>,
) -> Moved {
    let name = topology::rescue_queue_name(queue);
    let mut count = 0;
    let moved = async {
        let queues = vec![topology::rescue_queue(queue)];
        session.declare(&Topology { queues, ..Topology::default() }).await?;
        let consumer = match options {
            Some(options) => Some(session.consume(&name, options).await?),
            None => None,
        };
        Ok::<_, TransportError>(consumer)
    };
    let consumer = match moved.await {
        Ok(consumer) => consumer,
        Err(error) => {
            ground.metrics.not_rescued(queue, &error.to_string());
            return Moved { count, rest: batch, consumer: None };
        }
    };
    while let Some(delivery) = batch.pop_front() {
        let headers = match &delivery.packed {
            Some(_) => delivery.headers.clone(),
            None => delivery.headers.iter().filter(|(name, _)| *name != COMPRESSION_HEADER).map(own).collect(),
        };
        let message = Outgoing { headers, ..Outgoing::to_queue(&name, delivery.body.clone(), CONTENT_TYPE) };
        let taken = async { session.publish(message).await?.wait().await };
        match taken.await {
            Ok(()) => {
                count += 1;
                delivery.receipt.settle(Verdict::Kept);
            }
            Err(error) => {
                ground.metrics.not_rescued(queue, &error.to_string());
                batch.push_front(delivery);
                break;
            }
        }
    }
    ground.metrics.rescued(queue, u64::from(count));
    Moved { count, rest: batch, consumer }
}

fn own((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}
