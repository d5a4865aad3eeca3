//! The tasks of one agent: every one has a name, all end with the agent, and one can ask who is still there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

use crate::tasks;

/// Spawns tasks that end at once when the agent is killed. Cheap to clone.
#[derive(Clone)]
pub(in crate::agent) struct TaskGroup {
    kill: CancellationToken,
    names: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl TaskGroup {
    /// Without tasks.
    pub(in crate::agent) fn new() -> Self {
        TaskGroup { kill: CancellationToken::new(), names: Arc::default() }
    }

    /// Spawns a task under a name that an operator understands: `main queue notifications.info`.
    pub(in crate::agent) fn spawn(&self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        *self.names().entry(name.to_owned()).or_default() += 1;
        let (tasks, name, kill) = (self.clone(), name.to_owned(), self.kill.clone());
        tasks::spawn(async move {
            kill.run_until_cancelled_owned(task).await;
            let mut names = tasks.names();
            if let Some(count) = names.get_mut(&name) {
                *count -= 1;
                if *count == 0 {
                    names.remove(&name);
                }
            }
        });
    }

    /// Drops every task where it stands, as a crash would.
    pub(in crate::agent) fn kill(&self) {
        self.kill.cancel();
    }

    /// The names of the tasks that are still there.
    pub(in crate::agent) fn busy(&self) -> Vec<String> {
        self.names().keys().cloned().collect()
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TaskGroup {
    fn default() -> Self {
        TaskGroup::new()
    }
}
