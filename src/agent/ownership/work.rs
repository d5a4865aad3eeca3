//! The tasks that a supervisor starts: one for each queue, and one that tells the group what this member is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

use crate::agent::listeners::open::{OpenError, Opening};
use crate::agent::runtime::troubles::Trouble;
use crate::agent::stages::intake::Ended;
use crate::cluster::Happening;
use crate::coordination::{MemberRecord, Membership};
use crate::observe::{Closed, Metrics};

/// How often links, lease and machine are looked at even if nothing happens.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// Tells the group what this member is whenever that changes; ends with the term.
pub(super) async fn describe(
    membership: Arc<dyn Membership>,
    mut told: watch::Receiver<MemberRecord>,
    metrics: Metrics,
) {
    while told.changed().await.is_ok() {
        let record = told.borrow_and_update().clone();
        if let Err(error) = membership.describe(record).await {
            if membership.lost().is_cancelled() {
                // Left, or lost, which is said elsewhere.
                return;
            }
            metrics.group_silent(&error.to_string());
            // Said again at the next tick of patience: the newest record is what counts.
            tokio::time::sleep(TICK).await;
            told.mark_changed();
        }
    }
}

/// The task of one queue: it answers whether it opened, and when it is closed.
pub(super) struct Work {
    pub(super) opening: Opening,
    pub(super) answers: mpsc::Sender<Happening>,
    /// Whether its end was said, or need not be.
    pub(super) end_said: Arc<AtomicBool>,
}

impl Work {
    pub(super) async fn run(self) {
        let Work { opening, answers, end_said } = self;
        let (agent, queue, epoch) = (Arc::clone(&opening.agent), opening.queue.clone(), opening.epoch);
        let (metrics, stop) = (agent.metrics.clone(), opening.stop.clone());
        let broker = opening.kind.broker();
        let connected = || agent.brokers[broker].link.current().is_some();
        let listener = match opening.open().await {
            Ok(listener) => listener,
            Err(OpenError::Stopped) => {
                let _over = answers.send(Happening::Closed { queue, epoch }).await;
                return;
            }
            Err(error) => {
                let why = error.to_string();
                let said = agent.troubles.note(&Trouble::Queue(queue.clone()), &why, 0);
                // Where there is no connection, its link says so once for all.
                let said = said.filter(|_| connected());
                metrics.queue_not_opened(&queue, &why, said);
                let _over = answers.send(Happening::OpenFailed { queue, epoch }).await;
                return;
            }
        };
        agent.troubles.over(&Trouble::Queue(queue.clone()));
        end_said.store(false, Ordering::Relaxed);
        // Said here and not where it is heard: its end would be said first where the two follow closely.
        metrics.queue_opened(&queue, epoch);
        let _over = answers.send(Happening::Opened { queue: queue.clone(), epoch }).await;
        let why = listener.why();
        let session = agent.brokers[broker].link.current().map(|session| session.why()).unwrap_or_default();
        let ended = listener.run(&stop).await;
        agent.books.released();
        let said = end_said.swap(true, Ordering::Relaxed);
        match ended {
            Err(failed) => agent.publisher_failed(failed),
            Ok(_) if said => {}
            Ok(Ended::Stopped) => metrics.queue_closed(&queue, Closed::HandedOver, None),
            Ok(Ended::Lost) => match why.get() {
                Some(why) => metrics.queue_lost(&queue, why),
                None => metrics.queue_closed(&queue, Closed::Lost, session.get().map(String::as_str)),
            },
            Ok(Ended::Deleted) => metrics.queue_closed(&queue, Closed::Deleted, None),
            Ok(Ended::Sealed) => metrics.queue_closed(&queue, Closed::Sealed, None),
        }
        let _over = answers.send(Happening::Closed { queue, epoch }).await;
    }
}
