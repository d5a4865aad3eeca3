//! After the number of pipeline queues has changed: old queues are deleted when they are empty and unused, with their
//! logs, and what the group noted of them and of the change is forgotten when all are gone.

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use super::route::Routes;
use super::shape::Shape;
use crate::coordination::{Coordinator, Membership, Operation};
use crate::transport::topology;

/// One attempt at it, in a task of its own.
#[derive(Default)]
pub(super) struct Clearing(Option<CancellationToken>);

impl Clearing {
    /// Starts an attempt. What is not gone after it is tried again at the next look at the group.
    pub(super) fn start(
        ground: Arc<Ground>,
        shape: Arc<Shape>,
        coordinator: Arc<dyn Coordinator>,
        membership: Arc<dyn Membership>,
        routes: Arc<Routes>,
    ) -> Self {
        let over = CancellationToken::new();
        let guard = over.clone().drop_guard();
        let nursery = ground.nursery.clone();
        nursery.spawn("the deletion of old pipeline queues", async move {
            let _guard = guard;
            if !clear(&ground, &shape, &routes).await {
                return;
            }
            let generation = shape.spec.present.generation;
            let forgotten = async {
                for queue in shape.sealed() {
                    coordinator.operate(&Operation::Forget { unit: queue.to_owned() }).await?;
                }
                membership.clear_marks(generation).await
            };
            match forgotten.await {
                Ok(()) => ground.metrics.old_queues_deleted(generation),
                Err(error) => ground.metrics.group_silent(&error.to_string()),
            }
        });
        Clearing(Some(over))
    }

    /// Whether an attempt is under way.
    pub(super) fn is_running(&self) -> bool {
        self.0.as_ref().is_some_and(|over| !over.is_cancelled())
    }
}

/// Deletes what is empty and unused; whether all of it is gone.
async fn clear(ground: &Ground, shape: &Shape, routes: &Routes) -> bool {
    let Ok(session) = ground.prepared(ground.first_broker(), routes).await else { return false };
    let mut all = true;
    for queue in shape.sealed() {
        // Only the queue says whether it is done with: its log goes after it.
        let gone = match session.delete_if_idle(queue).await {
            Ok(true) => session.delete(&topology::state_log_name(queue)).await.is_ok(),
            Ok(false) | Err(_) => false,
        };
        all &= gone;
    }
    all
}
