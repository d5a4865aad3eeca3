//! The agent's side of a consumer, and what carries deliveries to it.

use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

use super::inbox::Inbox;
use super::wire::{Down, Up, Wire};
use nephoscope::model::{Receipt, Verdict};
use nephoscope::transport::{Consumer, Delivery, TransportError, Why};

/// What the agent says to the broker's side of one consumer.
#[derive(Clone, Default)]
struct Channel {
    close: CancellationToken,
    cancel: CancellationToken,
    closed: CancellationToken,
}

impl Channel {
    /// Closes it when this arrives, and waits until it is.
    fn closing(&self) -> Up {
        let channel = self.clone();
        Up::Do(Box::new(move |_| {
            Box::pin(async move {
                channel.close.cancel();
                channel.closed.cancelled().await;
            })
        }))
    }
}

/// The agent's side of a consumer.
pub(super) struct WireConsumer {
    wire: Arc<Wire>,
    inbox: Arc<Inbox>,
    channel: Channel,
}

impl WireConsumer {
    /// Begins to carry what a consumer at the broker is given.
    pub(super) fn start(wire: Arc<Wire>, queue: Arc<str>, consumer: Box<dyn Consumer>) -> Self {
        let (inbox, channel) = (Inbox::of(&wire.over), Channel::default());
        tokio::spawn(deliver(Arc::clone(&wire), queue, consumer, Arc::clone(&inbox), channel.clone()));
        WireConsumer { wire, inbox, channel }
    }

    /// A delivery whose receipt travels.
    fn taken(&self, mut delivery: Delivery) -> Delivery {
        let (wire, inbox, channel) = (Arc::clone(&self.wire), Arc::clone(&self.inbox), self.channel.clone());
        let inner = delivery.receipt;
        let taken = (Arc::clone(&delivery.queue), delivery.body.clone());
        delivery.receipt = Receipt::new(move |verdict| match verdict {
            Verdict::Kept | Verdict::Parked => wire.send_up(Up::Settle(inner, verdict, taken)),
            Verdict::Returned => {
                inbox.close(wire.limbo());
                wire.limbo().take(inner);
                wire.send_up(channel.closing());
            }
        });
        delivery
    }

    fn is_over(&self) -> bool {
        self.wire.over.is_cancelled() || self.inbox.closed.load(Ordering::Relaxed)
    }
}

impl Drop for WireConsumer {
    fn drop(&mut self) {
        self.inbox.close(self.wire.limbo());
        if !self.channel.close.is_cancelled() {
            self.wire.send_up(self.channel.closing());
        }
    }
}

#[async_trait]
impl Consumer for WireConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.ready() {
                return Some(delivery);
            }
            if self.is_over() || self.inbox.ended.load(Ordering::Relaxed) {
                return None;
            }
            tokio::select! {
                biased;
                () = self.wire.over.cancelled() => {}
                () = self.inbox.came.notified() => {}
            }
        }
    }

    fn ready(&mut self) -> Option<Delivery> {
        let delivery = if self.is_over() { None } else { self.inbox.items().pop_front() };
        delivery.map(|delivery| self.taken(delivery))
    }

    fn over(&self) -> CancellationToken {
        self.inbox.over.clone()
    }

    fn why(&self) -> Why {
        Why::default()
    }

    async fn close(self: Box<Self>) -> Result<(), TransportError> {
        self.inbox.close(self.wire.limbo());
        let channel = self.channel.clone();
        let ask = self.wire.ask(move |_| {
            Box::pin(async move {
                channel.close.cancel();
                channel.closed.cancelled().await;
                Ok(())
            })
        });
        self.wire.answer(ask).await
    }

    async fn cancel(&mut self) {
        let channel = self.channel.clone();
        let ask = self.wire.ask(move |_| {
            channel.cancel.cancel();
            Box::pin(async { Ok(()) })
        });
        let _answered = self.wire.answer(ask).await;
    }
}

/// The broker's side of a consumer: sends down what it is given until it is over or its channel is closed.
async fn deliver(
    wire: Arc<Wire>,
    queue: Arc<str>,
    mut consumer: Box<dyn Consumer>,
    inbox: Arc<Inbox>,
    channel: Channel,
) {
    let agent = Arc::clone(&wire.conditions.agent);
    wire.conditions.witness.consumes(&agent, &queue, &wire.over);
    let mut cancelled = false;
    loop {
        tokio::select! {
            biased;
            () = channel.close.cancelled() => {
                let _closed = consumer.close().await;
                break;
            }
            () = channel.cancel.cancelled(), if !cancelled => {
                consumer.cancel().await;
                cancelled = true;
            }
            next = consumer.next() => {
                let Some(delivery) = next else {
                    wire.send_down(Down::End(Arc::clone(&inbox)));
                    break;
                };
                wire.send_down(Down::Delivery(Arc::clone(&inbox), delivery));
            }
        }
    }
    wire.conditions.witness.consumes_no_more(&agent, &queue);
    channel.closed.cancel();
}
