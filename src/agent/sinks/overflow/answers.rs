//! Where a process hears that what it asked about is published.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::agent::runtime::{BrokerPlace, Context};
use crate::cluster::hash;
use crate::model::Verdict;
use crate::transport::{Topology, TransportError, topology};

/// An answer queue goes by itself when nobody has consumed it for so long.
const EXPIRES: Duration = Duration::from_mins(5);
/// Between two attempts to consume it.
const AGAIN: Duration = Duration::from_secs(1);
/// Unacknowledged answers at most; each is a few bytes.
const PREFETCH_MESSAGES: u16 = 100;

/// The answers to one process. Its queue is consumed from the first question on.
pub(super) struct Answers {
    context: Arc<Context>,
    broker: Arc<BrokerPlace>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    begun: bool,
    /// The queue, while it is consumed.
    queue: Option<String>,
    asked: u64,
    waiting: BTreeMap<String, oneshot::Sender<()>>,
}

/// A question that was not sent yet.
pub(super) struct Expected {
    /// What the answer will consist of.
    pub token: String,
    /// The queue that it is to be sent to.
    pub answer_to: String,
    /// Hears it; an error when the queue is not consumed any more, and the answer may be lost.
    pub answer: oneshot::Receiver<()>,
}

impl Answers {
    /// Of a process that has asked nothing yet; the queue is on this broker.
    pub(super) fn new(context: &Arc<Context>, broker: &Arc<BrokerPlace>) -> Answers {
        let (context, broker) = (Arc::clone(context), Arc::clone(broker));
        Answers { context, broker, state: Mutex::default(), changed: Notify::new() }
    }

    /// What to ask with. Waits a moment for the queue; nothing if it cannot be consumed now.
    pub(super) async fn expect(self: &Arc<Self>, patience: Duration) -> Option<Expected> {
        if !std::mem::replace(&mut self.state().begun, true) {
            let listening = Arc::clone(self);
            self.context.tasks.spawn("answers", async move { listening.listen().await });
        }
        let ready = async {
            loop {
                let changed = self.changed.notified();
                if self.state().queue.is_some() {
                    return;
                }
                changed.await;
            }
        };
        timeout(patience, ready).await.ok()?;
        let mut state = self.state();
        let answer_to = state.queue.clone()?;
        state.asked += 1;
        let token = state.asked.to_string();
        let (sender, answer) = oneshot::channel();
        // Who asked and does not wait any more asks no more than once at a time: few of these are ever there.
        state.waiting.retain(|_, waiting| !waiting.is_closed());
        state.waiting.insert(token.clone(), sender);
        Some(Expected { token, answer_to, answer })
    }

    /// Consumes the answer queue for as long as the process lives.
    async fn listen(&self) {
        let context = &self.context;
        // Another one for each process, and for each run of it.
        let process = format!("{} {}", context.member, context.options.clock.now());
        let process = format!("{}.{:08x}", context.member, hash::stable(process.as_bytes()) >> 32);
        let queue = topology::answer_queue_name(&context.group, &process);
        loop {
            // An error is said where the queues that matter are opened.
            let _over = self.consume(&queue).await;
            self.stopped();
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Nothing is heard any more; who waits asks again.
    fn stopped(&self) {
        let mut state = self.state();
        state.queue = None;
        state.waiting.clear();
    }

    async fn consume(&self, queue: &str) -> Result<(), TransportError> {
        let place = &self.broker;
        let session = place.link.current().ok_or_else(|| place.link.absence())?;
        let expires_ms = i64::try_from(EXPIRES.as_millis()).unwrap_or(i64::MAX);
        let queues = vec![topology::answer_queue(queue.to_owned(), expires_ms)];
        session.declare(&Topology { queues, ..Topology::default() }).await?;
        let options = place.consume_options(PREFETCH_MESSAGES, false);
        let mut consumer = session.consume(queue, options).await?;
        self.state().queue = Some(queue.to_owned());
        self.changed.notify_waiters();
        while let Some(delivery) = consumer.next().await {
            let answered =
                std::str::from_utf8(&delivery.body).ok().and_then(|token| self.state().waiting.remove(token));
            if let Some(waiting) = answered {
                // Nobody waits any more: asked again meanwhile.
                let _unheard = waiting.send(());
            }
            delivery.receipt.settle(Verdict::Kept);
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
