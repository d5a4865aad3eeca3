//! Joining the group, as often as it takes.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use super::fatal::Fatal;
use super::supervisor::{Control, Supervisor};
use crate::backoff::Backoff;
use crate::coordination::{CoordinationError, Membership};
use crate::observe::Repeats;

/// Waits between two attempts to join.
const JOIN_AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// For so long, beyond two lives of a lease, a taken member id may be that of a process that died: a backend that was
/// restarted, or has another leader, gives every lease its full life again.
const TAKEN_ID_PATIENCE: Duration = Duration::from_secs(5);

/// Whether only a person can change what keeps the group from being joined: then it is tried at the longest interval.
fn must_wait_for_a_person(error: &CoordinationError) -> bool {
    match error {
        CoordinationError::Refused { .. } | CoordinationError::TooLong { .. } | CoordinationError::Foreign { .. } => {
            true
        }
        CoordinationError::Away { .. } | CoordinationError::Lost(_) | CoordinationError::IdTaken(_) => false,
    }
}

impl Supervisor {
    /// Joins the group, trying until it is let in; `None` when told to drain meanwhile.
    pub(super) async fn join(&mut self) -> Result<Option<Arc<dyn Membership>>, Fatal> {
        let metrics = self.agent.metrics.clone();
        // When it was last asked, and for how long it has said so without having been silent meanwhile: while it is away no lease
        // runs out. Of the time in which we did not ask, being frozen, we know nothing.
        let mut taken_for: Option<(Instant, Duration)> = None;
        let patience = 2 * self.coordinator.ttl() + TAKEN_ID_PATIENCE;
        let again = JOIN_AGAIN.of(&self.record.id);
        let (mut waits, mut long_waits) = (again.waits(), Backoff { first: again.longest, ..again }.waits());
        let mut wait = Duration::ZERO;
        let repeats = Repeats::default();
        self.board.change(|s| s.waiting_for = vec![format!("the group at {}", self.coordinator.name())]);
        loop {
            self.record.ready = false;
            let asked = Instant::now();
            match self.board.beating(self.coordinator.join(self.record.clone())).await {
                Ok(membership) => {
                    metrics.member_joined(&self.record.id, self.coordinator.name());
                    return Ok(Some(membership));
                }
                Err(taken @ CoordinationError::IdTaken(_)) => {
                    let since = |(last, before): (Instant, Duration)| before + (asked - last).min(2 * wait);
                    let so_long = taken_for.map_or(Duration::ZERO, since);
                    if so_long > patience {
                        return Err(Fatal::Join(taken));
                    }
                    taken_for = Some((asked, so_long));
                    wait = waits.again();
                    let cause = taken.to_string();
                    metrics.join_failed(&cause, wait, repeats.note(&cause));
                }
                Err(error) => {
                    taken_for = None;
                    wait = if must_wait_for_a_person(&error) { long_waits.again() } else { waits.again() };
                    let cause = error.to_string();
                    metrics.join_failed(&cause, wait, repeats.note(&cause));
                }
            }
            let again = Instant::now() + wait;
            loop {
                tokio::select! {
                    biased;
                    told = self.control.recv() => match told {
                        Some(Control::Reload(routes, done)) => self.reload(routes, done),
                        Some(Control::Drain) | None => return Ok(None),
                    },
                    () = self.board.beating(tokio::time::sleep_until(again)) => break,
                }
            }
        }
    }
}
