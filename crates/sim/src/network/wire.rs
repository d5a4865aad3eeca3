//! One session: the agent's view of it, the broker's view of it, and what is between them.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::conditions::Conditions;
use super::inbox::{Inbox, Limbo};
use super::lane::Lane;
use nephoscope::model::{Receipt, Verdict};
use nephoscope::transport::{Delivery, Session, TransportError};

/// An answer on its way.
type Answer<T> = oneshot::Sender<Result<T, TransportError>>;

/// What travels from the agent to the broker.
pub(super) enum Up {
    /// An acknowledgement, and what it is of.
    Settle(Receipt, Verdict, Taken),
    /// Anything else: what happens when it arrives.
    Do(Box<dyn FnOnce(Arc<Wire>) -> BoxFuture<'static, ()> + Send>),
}

/// The queue and the body of a delivery.
pub(super) type Taken = (Arc<str>, Bytes);

/// What travels from the broker to the agent.
#[expect(clippy::large_enum_variant, reason = "nearly each is a delivery")]
pub(super) enum Down {
    /// A delivery to one of the consumers.
    Delivery(Arc<Inbox>, Delivery),
    /// The end of one of the consumers.
    End(Arc<Inbox>),
    /// An answer.
    Answer(Box<dyn FnOnce() + Send>),
}

/// One session: the agent's view of it, the broker's view of it, and what is between them.
pub(crate) struct Wire {
    pub(super) conditions: Arc<Conditions>,
    /// The session's number at the broker.
    pub(crate) number: u64,
    pub(super) inner: Arc<dyn Session>,
    /// The broker's view: the session is over.
    ended: CancellationToken,
    /// The agent's view.
    pub(super) over: CancellationToken,
    up: Lane<Up>,
    down: Lane<Down>,
    limbo: Limbo,
}

impl Wire {
    /// The wire of a session that the broker has opened.
    pub(crate) fn start(conditions: Arc<Conditions>, (number, inner): (u64, Arc<dyn Session>)) -> Arc<Self> {
        let wire = Arc::new(Wire {
            conditions,
            number,
            ended: inner.over(),
            inner,
            over: CancellationToken::new(),
            up: Lane::default(),
            down: Lane::default(),
            limbo: Limbo::default(),
        });
        tokio::spawn(Arc::clone(&wire).carry_up());
        tokio::spawn(Arc::clone(&wire).carry_down());
        tokio::spawn(Arc::clone(&wire).tell_the_agent());
        wire
    }

    /// Whether neither side knows of it any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.ended.is_cancelled() && self.over.is_cancelled()
    }

    /// The agent learns that the session is over.
    pub(crate) fn lose(&self, why: &str) {
        if !self.over.is_cancelled() {
            self.conditions.trace.say(&self.conditions.agent, format_args!("session lost: {why}"));
            self.over.cancel();
        }
    }

    /// The agent's side is over without anybody to learn of it.
    pub(crate) fn abandon(&self) {
        self.over.cancel();
    }

    /// The broker ends the session.
    pub(crate) fn end_at_broker(&self, why: &str) {
        if !self.ended.is_cancelled() {
            self.conditions.trace.say("broker", format_args!("session of {} ended: {why}", self.conditions.agent));
            self.inner.cut();
        }
    }

    /// The broker's side closes when everything sent before has arrived, or without it where that is discarded.
    pub(crate) fn hang_up(self: &Arc<Self>, discard: bool) {
        if discard {
            let voided = self.up.clear();
            self.forget(voided);
        }
        let hang_up = |wire: Arc<Wire>| -> BoxFuture<'static, ()> {
            Box::pin(async move { wire.end_at_broker("the connection was closed") })
        };
        self.up.send(self.conditions.latency(), Up::Do(Box::new(hang_up)));
    }

    async fn carry_up(self: Arc<Self>) {
        let stalled = || self.conditions.stall().up;
        while let Some(up) = self.up.next(&self.ended, &self.conditions.flows, stalled).await {
            match up {
                Up::Settle(receipt, verdict, (queue, body)) => {
                    if verdict == Verdict::Kept {
                        self.conditions.witness.acknowledged(&self.conditions.agent, &queue, &body);
                    }
                    receipt.settle(verdict);
                }
                Up::Do(act) => act(Arc::clone(&self)).await,
            }
        }
        // What comes too late happens nowhere; its sender learns that the session is over.
        drop(self.up.clear());
    }

    async fn carry_down(self: Arc<Self>) {
        let stalled = || self.conditions.stall().down;
        while let Some(down) = self.down.next(&self.over, &self.conditions.flows, stalled).await {
            match down {
                Down::Delivery(inbox, delivery) => inbox.put(delivery, &self.limbo),
                Down::End(inbox) => inbox.end(),
                Down::Answer(tell) => tell(),
            }
        }
        for down in self.down.clear() {
            if let Down::Delivery(_, delivery) = down {
                self.limbo.take(delivery.receipt);
            }
        }
    }

    /// A session that the broker has ended is over for the agent a little later, if it can hear of it.
    async fn tell_the_agent(self: Arc<Self>) {
        self.ended.cancelled().await;
        tokio::time::sleep(self.conditions.latency()).await;
        while self.conditions.stall().down {
            tokio::select! {
                biased;
                () = self.over.cancelled() => return,
                () = self.conditions.flows.notified() => {}
            }
        }
        self.lose("the broker closed it");
    }

    /// Sends something to the broker; what it would settle is forgotten where the session is over.
    pub(super) fn send_up(&self, up: Up) {
        if self.over.is_cancelled() || self.ended.is_cancelled() {
            return self.forget(vec![up]);
        }
        self.up.send(self.conditions.latency(), up);
    }

    /// Sends something to the agent.
    pub(super) fn send_down(&self, down: Down) {
        if self.over.is_cancelled() {
            if let Down::Delivery(_, delivery) = down {
                self.limbo.take(delivery.receipt);
            }
            return;
        }
        self.down.send(self.conditions.latency(), down);
    }

    fn forget(&self, voided: Vec<Up>) {
        let receipts = voided.into_iter().filter_map(|up| match up {
            Up::Settle(receipt, ..) => Some(receipt),
            Up::Do(_) => None,
        });
        receipts.for_each(|receipt| self.limbo.take(receipt));
    }

    /// An error where the session is over for the agent.
    pub(super) fn check(&self) -> Result<(), TransportError> {
        if self.over.is_cancelled() { Err(away()) } else { Ok(()) }
    }

    /// Sends a request; the answer comes back, or the session is over.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(Arc<Wire>) -> BoxFuture<'static, Result<T, TransportError>> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, TransportError>> {
        let (answer, answered): (Answer<T>, _) = oneshot::channel();
        self.send_up(Up::Do(Box::new(move |wire| {
            Box::pin(async move {
                let result = act(Arc::clone(&wire)).await;
                // Nobody waits any more: what was made for them is dropped.
                wire.send_down(Down::Answer(Box::new(move || drop(answer.send(result)))));
            })
        })));
        answered
    }

    /// Waits for an answer as long as the session is not over.
    pub(super) async fn answer<T>(
        &self,
        answered: oneshot::Receiver<Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let answered = async {
            match answered.await {
                Ok(result) => result,
                Err(_lost) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.over.cancelled() => Err(away()),
            result = answered => result,
        }
    }

    /// Where receipts go that say nothing any more.
    pub(super) fn limbo(&self) -> &Limbo {
        &self.limbo
    }
}

pub(super) fn away() -> TransportError {
    TransportError::Away { broker: "simulated".to_owned(), cause: "the session is over".to_owned() }
}
