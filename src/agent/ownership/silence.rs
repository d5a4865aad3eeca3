//! While the group is silent: nothing is begun, what is open goes on, and main queues are left to whoever else consumes them.

use std::sync::Arc;
use tokio::time::Instant;

use super::supervisor::{Supervisor, Term};
use crate::agent::listeners::queues::Kind;
use crate::cluster::Happening;
use crate::cluster::ownership::Stage;

impl Supervisor {
    /// Notices when the lease goes past its deadline, and when it is confirmed again.
    pub(super) fn listen(&mut self, term: &mut Term) -> bool {
        let silent = Instant::now() >= term.membership.deadline();
        match (term.machine.is_silent(), silent) {
            (false, true) => {
                self.agent.metrics.silence_began(&self.record.id);
                self.step(term, Happening::Silent)
            }
            (true, false) => {
                self.agent.metrics.silence_ended(&self.record.id);
                self.step(term, Happening::Heard)
            }
            _ => false,
        }
    }

    /// While the group is silent, a second consumer of a main queue is its new owner (or a Ceilometer that runs beside):
    /// the queue is left to it. The broker keeps two apart on a classic queue, but not on a quorum queue.
    pub(super) fn look_around(&self, term: &Term) {
        if !term.machine.is_silent() || !self.agent.options.partitioned {
            return;
        }
        // The former look may still wait for its broker.
        let Ok(looking) = Arc::clone(&term.looking).try_acquire_owned() else { return };
        let open = term.machine.stages().filter(|(_, stage)| matches!(stage, Stage::Open(_)));
        let main = open.filter_map(|(queue, _)| match (self.queues.get(queue)?, term.running.get(queue)?) {
            (Kind::Main { broker, queue }, running) => Some((*broker, queue.clone(), running.stop.clone())),
            (Kind::Pipeline { .. } | Kind::Old { .. } | Kind::Overflow { .. }, _) => None,
        });
        let (main, agent) = (main.collect::<Vec<_>>(), Arc::clone(&self.agent));
        self.agent.tasks.spawn("the main queues", async move {
            for (broker, queue, stop) in main {
                let Some(session) = agent.brokers[broker].link.current() else { continue };
                if session.inspect(&queue).await.is_ok_and(|state| state.consumers > 1) && !stop.is_cancelled() {
                    agent.metrics.main_queue_yielded(&queue);
                    stop.cancel();
                }
            }
            drop(looking);
        });
    }
}
