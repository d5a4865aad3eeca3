//! The overflow queues of one agent: which there are, and what they are asked and found by.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

use super::answers::Answers;
use super::detour::Detours;
use super::found::Found;
use crate::agent::books::Account;
use crate::agent::runtime::{BrokerPlace, Context};
use crate::agent::sinks::sink::SinkSlot;
use crate::transport::{Queue, QueueState, Session, topology};

/// After a reload that took a destination away, its owner has released its overflow queue within this time.
const RELEASED_WITHIN: Duration = Duration::from_secs(5);

/// What one agent knows of overflow queues. They are on its first broker.
pub(in crate::agent) struct Overflow {
    context: Arc<Context>,
    broker: Arc<BrokerPlace>,
    answers: Arc<Answers>,
    found: Arc<Found>,
}

/// An overflow queue.
pub(in crate::agent) struct OverflowQueue<'s> {
    /// Its name.
    pub name: String,
    /// The sink.
    pub slot: &'s Arc<SinkSlot>,
    /// The destination's key.
    pub key: Arc<str>,
}

impl Overflow {
    /// Of an agent that has asked and found nothing yet.
    pub(in crate::agent) fn new(context: &Arc<Context>, broker: &Arc<BrokerPlace>) -> Arc<Overflow> {
        let answers = Arc::new(Answers::new(context, broker));
        let found = Arc::new(Found::new(context, broker));
        Arc::new(Overflow { context: Arc::clone(context), broker: Arc::clone(broker), answers, found })
    }

    /// The overflow queues: of a sink with several destinations all, of one with a single destination that which somebody made
    /// and this process has found.
    pub(in crate::agent) fn queues<'s>(
        &self,
        sinks: &'s [Arc<SinkSlot>],
    ) -> impl Iterator<Item = OverflowQueue<'s>> + use<'_, 's> {
        let none = self.context.options.overflow.bytes_max == 0;
        let slots = sinks.iter().filter(move |_| !none);
        slots.flat_map(move |slot| {
            let sink = slot.current();
            let keys: Vec<Arc<str>> = sink.destinations.iter().map(|d| Arc::clone(&d.key)).collect();
            let alone = sink.with_overflow().is_empty();
            let queue = move |key: Arc<str>| {
                let name = topology::overflow_queue_name(&self.context.group, &slot.name, &key);
                OverflowQueue { name, slot, key }
            };
            keys.into_iter().map(queue).filter(move |queue| !alone || self.found.has(&queue.name))
        })
    }

    /// Those that must be there before anything is consumed: where a destination is alone, only `nephoscope parked requeue` makes
    /// one.
    pub(in crate::agent) fn needed(&self, sinks: &[Arc<SinkSlot>]) -> Vec<Queue> {
        let bytes_max = self.context.options.overflow.bytes_max;
        let of_several = |queue: &OverflowQueue<'_>| !queue.slot.current().with_overflow().is_empty();
        self.queues(sinks).filter(of_several).map(|queue| topology::overflow_queue(queue.name, bytes_max)).collect()
    }

    /// The ways of the listener of a queue (or of a sink, for an agent alone) to its destinations; `None` where there are no overflow
    /// queues.
    pub(in crate::agent) fn detours(
        &self,
        ownership: (&str, i64),
        session: Option<Arc<dyn Session>>,
        account: &Arc<Account>,
    ) -> Option<Arc<Detours>> {
        if self.context.options.overflow.bytes_max == 0 {
            return None;
        }
        let (context, broker) = (Arc::clone(&self.context), Arc::clone(&self.broker));
        let (answers, found) = (Arc::clone(&self.answers), Arc::clone(&self.found));
        Some(Arc::new(Detours::new((context, broker), (answers, found), ownership, session, account)))
    }

    /// A queue of a destination that is alone in its sink is gone.
    pub(in crate::agent) fn forget(&self, queue: &str) {
        self.found.forget(queue);
    }

    /// After a reload: `before` are the queues there were, with the keys of their destinations. What waits for a destination that
    /// is alone now, and was not before, is not forsaken.
    pub(in crate::agent) fn keep(&self, sinks: &[Arc<SinkSlot>], before: &[(String, Arc<str>)]) {
        self.found.keep(sinks, before);
    }

    /// Looks for queues that somebody made, for as long as the agent lives.
    pub(in crate::agent) async fn look<S: AsRef<[Arc<SinkSlot>]>>(self: Arc<Self>, sinks: watch::Receiver<Arc<S>>) {
        self.found.look(sinks).await;
    }

    /// A destination is not configured any more: says what still waits for it.
    pub(in crate::agent) async fn say_what_is_left(self: Arc<Self>, queue: String, key: Arc<str>) {
        tokio::time::sleep(RELEASED_WITHIN).await;
        let Some(session) = self.broker.link.current() else { return };
        // A queue that is not there, or cannot be asked, has nothing that could be told.
        if let Ok(QueueState { messages: 1.., .. }) = session.inspect(&queue).await {
            self.context.metrics.overflow_forsaken(&queue, &key);
        }
    }
}
