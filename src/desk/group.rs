//! The group as etcd has it, for those who watch: members, owners, pins, pause, and the newest moves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

use crate::coordination::{CoordinationError, Coordinator, Move, View};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(2);
/// An answer that does not come by then is none.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// The history is read when owners have changed, and after so long in any case.
const HISTORY_PERIOD: Duration = Duration::from_secs(30);
/// Moves that are kept, the newest.
pub const MOVES_MAX: usize = 60;

/// What was seen last.
#[derive(Debug, Clone, Default)]
pub struct GroupSeen {
    /// The members and owners; nothing before etcd has answered, and for agents without a group.
    pub view: Option<View>,
    /// The newest moves, newest first, each with its queue.
    pub moves: Vec<(String, Move)>,
    /// Why etcd is not seen now, if it is not.
    pub away: Option<String>,
}

/// Looks at a group again and again.
pub struct GroupWatch {
    coordinator: Option<Arc<dyn Coordinator>>,
    seen: Mutex<GroupSeen>,
}

impl GroupWatch {
    /// For a group, or for agents without one.
    pub fn new(coordinator: Option<Arc<dyn Coordinator>>) -> GroupWatch {
        GroupWatch { coordinator, seen: Mutex::default() }
    }

    /// What was seen last.
    pub fn seen(&self) -> GroupSeen {
        self.lock().clone()
    }

    /// Whether etcd names this member.
    pub fn is_member(&self, id: &str) -> bool {
        self.lock().view.as_ref().is_some_and(|view| view.members.contains_key(id))
    }

    /// Whether there is a group to be seen.
    pub fn has_group(&self) -> bool {
        self.coordinator.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, GroupSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, view: View) {
        let mut seen = self.lock();
        (seen.view, seen.away) = (Some(view), None);
    }

    /// Looks for ever.
    pub async fn watch(&self) {
        let Some(coordinator) = &self.coordinator else { return std::future::pending().await };
        let mut owners = BTreeMap::new();
        let mut next_history = Instant::now();
        loop {
            match answered(coordinator.view()).await {
                Ok(view) => {
                    let moved = owners != view.owners;
                    owners.clone_from(&view.owners);
                    self.see(view);
                    if moved || Instant::now() >= next_history {
                        next_history = Instant::now() + HISTORY_PERIOD;
                        if let Ok(history) = answered(coordinator.history(None)).await {
                            self.lock().moves = newest(history);
                        }
                    }
                }
                Err(why) => self.lock().away = Some(why),
            }
            sleep(PERIOD).await;
        }
    }
}

async fn answered<T>(asked: impl Future<Output = Result<T, CoordinationError>>) -> Result<T, String> {
    match timeout(ANSWERED_WITHIN, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("etcd does not answer within {ANSWERED_WITHIN:?}")),
    }
}

fn newest(history: BTreeMap<String, Vec<Move>>) -> Vec<(String, Move)> {
    let mut all: Vec<(String, Move)> =
        history.into_iter().flat_map(|(queue, moves)| moves.into_iter().map(move |one| (queue.clone(), one))).collect();
    all.sort_by(|(_, a), (_, b)| (&b.at, b.epoch).cmp(&(&a.at, a.epoch)));
    all.truncate(MOVES_MAX);
    all
}
