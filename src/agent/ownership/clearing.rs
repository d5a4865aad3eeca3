//! After the number of pipeline queues has changed: old queues are deleted when they are empty and unused, with their
//! logs, and what the group noted of them and of the change is forgotten when all are gone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::agent::listeners::ground::Ground;
use crate::agent::listeners::open as unit;
use crate::agent::listeners::straggler::Straggler;
use crate::agent::resize::shape::Shape;
use crate::agent::stages::intake::Intake;
use crate::agent::stages::rescue;
use crate::agent::stages::route::Routes;
use crate::coordination::{Coordinator, Membership, Operation};
use crate::transport::{Session, topology};

/// For so long at a time what is left in an old queue is sent on.
const REST_TIME: Duration = Duration::from_secs(1);

/// Attempts at it, each in a task of its own.
#[derive(Default)]
pub(in crate::agent) struct Clearing {
    /// Cancelled when the last attempt is over.
    over: Option<CancellationToken>,
    /// The generation before which everything was found gone, and since when.
    gone: Arc<Mutex<Option<(u64, Instant)>>>,
}

/// What an attempt is to do.
pub(in crate::agent) struct Chore {
    /// What listeners stand on.
    pub ground: Arc<Ground>,
    /// The shape, with no change under way.
    pub shape: Arc<Shape>,
    /// The sinks.
    pub routes: Arc<Routes>,
    /// The group, from outside and from inside.
    pub coordinator: Arc<dyn Coordinator>,
    /// This member's place in it.
    pub membership: Arc<dyn Membership>,
    /// The old queues that the group knows of, if this member is the one to see to it.
    pub sealed: Option<Vec<String>>,
    /// Old queues that this member may have made again.
    pub outlived: Vec<String>,
    /// Units that have owners: these are still at work.
    pub owned: BTreeSet<String>,
}

impl Clearing {
    /// Starts an attempt. What is not gone after it is tried again at the next look at the group.
    pub(in crate::agent) fn start(&mut self, chore: Chore) {
        let gone = Arc::clone(&self.gone);
        let over = CancellationToken::new();
        let guard = over.clone().drop_guard();
        let nursery = chore.ground.nursery.clone();
        nursery.spawn("the deletion of old pipeline queues", async move {
            let _guard = guard;
            chore.run(&gone).await;
        });
        self.over = Some(over);
    }

    /// Whether an attempt is under way.
    pub(in crate::agent) fn is_running(&self) -> bool {
        self.over.as_ref().is_some_and(|over| !over.is_cancelled())
    }
}

impl Chore {
    async fn run(&self, gone: &Mutex<Option<(u64, Instant)>>) {
        self.clear(&self.outlived).await;
        let Some(sealed) = &self.sealed else { return };
        let all = self.clear(sealed).await;
        let generation = self.shape.spec.present.generation;
        // A member that learned late may make one of them again, and die: it is looked for until all have looked twice.
        let patience = 2 * self.ground.options.view_period;
        let done = {
            let mut gone = gone.lock().unwrap_or_else(PoisonError::into_inner);
            let since = gone.filter(|(known, _)| all && *known == generation).map(|(_, since)| since);
            *gone = all.then(|| (generation, since.unwrap_or_else(Instant::now)));
            since.is_some_and(|since| since.elapsed() >= patience)
        };
        if !done {
            return;
        }
        let forgotten = async {
            for queue in sealed {
                self.coordinator.operate(&Operation::Forget { unit: queue.clone() }).await?;
            }
            self.membership.clear_marks(generation).await
        };
        match forgotten.await {
            Ok(()) => self.ground.metrics.old_queues_deleted(generation),
            Err(error) => self.ground.metrics.group_silent(&error.to_string()),
        }
    }

    /// Deletes what is empty and unused; whether all of it is gone.
    async fn clear(&self, queues: &[String]) -> bool {
        let Chore { ground, shape, routes, .. } = self;
        let Ok(session) = ground.prepared(0, routes).await else { return false };
        let mut all = true;
        for queue in queues {
            if self.owned.contains(queue) {
                all = false;
                continue;
            }
            // Only the queue says whether it is done with: its log goes after it.
            // What was rescued from it is older than what is in it.
            let rescued = session.delete_if_idle(&topology::rescue_queue_name(queue)).await;
            let idle = match rescued {
                Ok(true) => session.delete_if_idle(queue).await,
                other => other,
            };
            let gone = match idle {
                Ok(true) => session.delete(&topology::state_log_name(queue)).await.is_ok(),
                Ok(false) => {
                    forward_rest(ground, shape, routes, &session, queue).await;
                    false
                }
                Err(_) => false,
            };
            if gone {
                ground.forget_queue(queue);
            }
            all &= gone;
        }
        all
    }
}

/// What came to a sealed queue and was not sent on while the change lasted goes on now: a fence that was put again, or
/// packets of a main listener that learned late of the change. The queue is no unit any more, nobody else would take it.
async fn forward_rest(
    ground: &Arc<Ground>,
    shape: &Shape,
    routes: &Arc<Routes>,
    session: &Arc<dyn Session>,
    queue: &str,
) {
    let Some(slot) = shape.sink_of(queue, &routes.sinks) else { return };
    if !session.inspect(queue).await.is_ok_and(|state| state.consumers == 0) {
        return;
    }
    let Ok(forwarder) = unit::forwarder(ground, routes, queue, shape.revision).await else { return };
    let place = ground.first_broker();
    let options = unit::consume_options(place, ground.options.pipeline_prefetch, false);
    let Ok(rescued) = rescue::look(&**session, queue).await else { return };
    let Ok(intake) = Intake::open(&ground.context, session, queue, options, rescued).await else { return };
    let stop = CancellationToken::new();
    let straggler = Straggler {
        context: ground.sink_context(intake.until(&stop), 0, None),
        intake,
        sink: Arc::clone(&slot.name),
        routes: watch::channel(Arc::clone(routes)).1,
        shape: ground.shape.reader(),
        forwarder,
        nursery: ground.nursery.clone(),
    };
    let stopping = async {
        tokio::time::sleep(REST_TIME).await;
        stop.cancel();
    };
    let (_ended, ()) = tokio::join!(straggler.run(&stop), stopping);
}
