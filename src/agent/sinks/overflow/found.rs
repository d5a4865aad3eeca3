//! Overflow queues of destinations that are alone in their sink. `nephoscope parked requeue` makes one when it has something for such
//! a destination; agents look for it, and own it from then on. It stays when it is empty.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

use crate::agent::packets::packet::{CONTENT_TYPE, PacketBuilder};
use crate::agent::runtime::{BrokerPlace, Context};
use crate::agent::sinks::sink::SinkSlot;
use crate::transport::{NACKED, Outgoing, Session, TransportError, topology};

/// How often an agent looks whether there is such a queue.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Those that are there, as far as is known.
pub(super) struct Found {
    context: Arc<Context>,
    broker: Arc<BrokerPlace>,
    known: Mutex<BTreeSet<String>>,
}

impl Found {
    /// None is known yet; they are on this broker.
    pub(super) fn new(context: &Arc<Context>, broker: &Arc<BrokerPlace>) -> Found {
        Found { context: Arc::clone(context), broker: Arc::clone(broker), known: Mutex::default() }
    }

    /// Whether this one is there, as far as is known.
    pub(super) fn has(&self, queue: &str) -> bool {
        self.known().contains(queue)
    }

    /// Notes those of destinations that are alone in their sink now, and were not before: what waits there for them is not forsaken.
    pub(super) fn keep(&self, sinks: &[Arc<SinkSlot>], before: &[(String, Arc<str>)]) {
        let kept =
            self.queues_of_single(sinks).into_iter().filter(|queue| before.iter().any(|(known, _)| known == queue));
        self.known().extend(kept);
    }

    /// Somebody has deleted it.
    pub(super) fn forget(&self, queue: &str) {
        self.known().remove(queue);
    }

    /// Looks for them for as long as the agent lives.
    pub(super) async fn look<S: AsRef<[Arc<SinkSlot>]>>(&self, sinks: watch::Receiver<Arc<S>>) {
        if self.context.options.overflow.bytes_max == 0 {
            return;
        }
        // The last session in which the broker refused the look: it would refuse it again, and write that into its log.
        let mut refused: Option<Arc<dyn Session>> = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(session) = self.broker.link.current() else { continue };
            if refused.as_ref().is_some_and(|refused| Arc::ptr_eq(refused, &session)) {
                continue;
            }
            let now = Arc::clone(&sinks.borrow());
            for queue in self.queues_of_single((*now).as_ref()) {
                match self.is_there(&*session, &queue).await {
                    Ok(true) => {
                        self.context.metrics.overflow_found(&queue);
                        self.known().insert(queue);
                    }
                    Ok(false) => {}
                    Err(TransportError::Rejected { .. }) => refused = Some(Arc::clone(&session)),
                    // It is looked for again.
                    Err(_) => break,
                }
            }
        }
    }

    /// The names that such queues would have, and that are not known to be there.
    fn queues_of_single(&self, sinks: &[Arc<SinkSlot>]) -> Vec<String> {
        let name = |slot: &Arc<SinkSlot>| match &*slot.current().destinations {
            [one] => Some(topology::overflow_queue_name(&self.context.group, &slot.name, &one.key)),
            _ => None,
        };
        sinks.iter().filter_map(name).filter(|queue| !self.has(queue)).collect()
    }

    /// Whether there is such a queue. RabbitMQ writes an error into its log for each question about a queue that is not there; a
    /// message that finds no queue comes back in silence. So an empty packet is sent, which is worked on as any other where the
    /// queue is.
    async fn is_there(&self, session: &dyn Session, queue: &str) -> Result<bool, TransportError> {
        let sender = format!("{} looks {}", self.context.member, self.context.options.clock.now());
        let packet = PacketBuilder::new(&sender, 0, 1).finish();
        let message = Outgoing::to_queue(queue, packet.into(), CONTENT_TYPE).alone();
        match session.publish(message).await?.wait().await {
            Ok(()) => Ok(true),
            // It is full, so there is one.
            Err(TransportError::NotTaken { why: NACKED, .. }) => Ok(true),
            Err(TransportError::NotTaken { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
