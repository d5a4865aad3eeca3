//! Overflow queues of destinations that are alone in their sink. `nephoscope parked requeue` makes one when it has something for such
//! a destination; agents look for it, and own it from then on. It stays when it is empty.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

use crate::agent::ground::Ground;
use crate::agent::packet::PacketBuilder;
use crate::agent::route::Routes;
use crate::transport::{Outgoing, Session, TransportError, topology};

/// How often an agent looks whether there is such a queue.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Those that are there.
#[derive(Default)]
pub(in crate::agent) struct Found(Mutex<BTreeSet<String>>);

impl Found {
    /// Whether this one is there, as far as is known.
    pub(in crate::agent) fn has(&self, queue: &str) -> bool {
        self.known().contains(queue)
    }

    /// Notes those of destinations that are alone in their sink now, and were not before: what waits there for them is not forsaken.
    pub(in crate::agent) fn keep(&self, ground: &Ground, now: &Routes, before: &[(String, Arc<str>)]) {
        let kept =
            queues_of_single(ground, now).into_iter().filter(|queue| before.iter().any(|(known, _)| known == queue));
        self.known().extend(kept);
    }

    /// Somebody has deleted it.
    pub(in crate::agent) fn forget(&self, queue: &str) {
        self.known().remove(queue);
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for them for as long as the agent lives.
pub(in crate::agent) async fn look_for(ground: Arc<Ground>, routes: watch::Receiver<Arc<Routes>>) {
    if ground.options.overflow.bytes_max == 0 {
        return;
    }
    // The last session in which the broker refused the look: it would refuse it again, and write that into its log.
    let mut refused: Option<Arc<dyn Session>> = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(session) = ground.first_broker().link.current() else { continue };
        if refused.as_ref().is_some_and(|refused| Arc::ptr_eq(refused, &session)) {
            continue;
        }
        let now = Arc::clone(&routes.borrow());
        for queue in queues_of_single(&ground, &now) {
            match is_there(&ground, &*session, &queue).await {
                Ok(true) => {
                    ground.metrics.overflow_found(&queue);
                    ground.found.known().insert(queue);
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
fn queues_of_single(ground: &Ground, routes: &Routes) -> Vec<String> {
    let name = |slot: &Arc<crate::agent::sink::SinkSlot>| match &*slot.current().destinations {
        [one] => Some(topology::overflow_queue_name(&ground.group, &slot.name, &one.key)),
        _ => None,
    };
    routes.sinks.iter().filter_map(name).filter(|queue| !ground.found.has(queue)).collect()
}

/// Whether there is such a queue. RabbitMQ writes an error into its log for each question about a queue that is not there; a
/// message that finds no queue comes back in silence. So an empty packet is sent, which is worked on as any other where the queue is.
async fn is_there(ground: &Ground, session: &dyn Session, queue: &str) -> Result<bool, TransportError> {
    let sender = format!("{} looks {}", ground.member, ground.options.clock.now());
    let packet = PacketBuilder::new(&sender, 0, 1).finish();
    let message = Outgoing::to_queue(queue, packet.into(), "application/json").alone();
    match session.publish(message).await?.wait().await {
        Ok(()) => Ok(true),
        // It is full, so there is one.
        Err(TransportError::NotTaken { why: crate::transport::NACKED, .. }) => Ok(true),
        Err(TransportError::NotTaken { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
