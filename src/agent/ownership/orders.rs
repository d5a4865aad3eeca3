//! Carrying out what the ownership machine orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::readiness;
use super::supervisor::{Running, Supervisor, Term};
use super::work::Work;
use crate::agent::listeners::open::Opening;
use crate::agent::listeners::queues::{self, Kind};
use crate::agent::stages::route::Routes;
use crate::cluster::{Happening, Order};
use crate::observe::Closed;

impl Supervisor {
    pub(super) fn carry_out(&mut self, term: &mut Term, order: Order) -> bool {
        match order {
            Order::Prepare => self.prepare(term),
            Order::Ready { ready } => {
                self.record.ready = ready;
                term.record.send_replace(self.record.clone());
            }
            Order::Claim { queue } => {
                let (membership, answers) = (Arc::clone(&term.membership), term.answers.clone());
                let metrics = self.agent.metrics.clone();
                self.agent.tasks.spawn("the group", async move {
                    let happening = match membership.claim(&queue).await {
                        Ok(Some(epoch)) => Happening::Claimed { queue, epoch },
                        Ok(None) => Happening::ClaimRefused { queue },
                        Err(error) => {
                            metrics.group_silent(&error.to_string());
                            Happening::ClaimRefused { queue }
                        }
                    };
                    let _over = answers.send(happening).await;
                });
            }
            Order::Open { queue, epoch } => self.open(term, queue, epoch),
            Order::Close { queue, .. } => {
                if let Some(running) = term.running.get(&queue) {
                    running.stop.cancel();
                }
            }
            Order::Cut { queue } => {
                if let Some(running) = term.running.remove(&queue) {
                    running.cut.cancel();
                    if !running.end_said.swap(true, Ordering::Relaxed) {
                        self.agent.metrics.queue_closed(
                            &queue,
                            Closed::Lost,
                            self.broker_why.get().map(String::as_str),
                        );
                    }
                }
            }
            Order::Release { queue, epoch } => {
                let (membership, answers) = (Arc::clone(&term.membership), term.answers.clone());
                self.agent.tasks.spawn("the group", async move {
                    let happening = match membership.release(&queue, epoch).await {
                        Ok(_) => Happening::Released { queue, epoch },
                        Err(_) => Happening::ReleaseFailed { queue, epoch },
                    };
                    let _over = answers.send(happening).await;
                });
            }
            Order::Done => return true,
        }
        false
    }

    /// Sees to it that this member can take work; answered as [`Happening::Prepared`].
    pub(super) fn prepare(&self, term: &Term) {
        let (agent, routes) = (Arc::clone(&self.agent), Arc::clone(&self.routes.borrow()));
        let (lost, answers, ask) = (term.membership.lost(), term.answers.clone(), !self.publishers_asked);
        self.agent.tasks.spawn("readiness", async move {
            let preparing = async {
                readiness::queues_declared(&agent, &routes).await;
                if ask {
                    readiness::publishers_reached(&routes, &agent.metrics).await;
                }
            };
            if lost.run_until_cancelled(preparing).await.is_some() {
                let _over = answers.send(Happening::Prepared).await;
            }
        });
    }

    /// Starts the task of a queue.
    fn open(&mut self, term: &mut Term, queue: String, epoch: i64) {
        let Some(kind) = self.queues.get(&queue).cloned() else {
            // Ordered before a reload took the queue away: answered as if it had not opened.
            let answers = term.answers.clone();
            self.agent.tasks.spawn("the group", async move {
                let _over = answers.send(Happening::OpenFailed { queue, epoch }).await;
            });
            return;
        };
        let running = Running {
            epoch,
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            end_said: Arc::new(AtomicBool::new(true)),
        };
        let (stop, cut, end_said) = (running.stop.clone(), running.cut.clone(), Arc::clone(&running.end_said));
        term.running.insert(queue.clone(), running);
        let name = match &kind {
            Kind::Main { queue, .. } => format!("main queue {queue}"),
            Kind::Pipeline { queue, .. } | Kind::Old { queue, .. } => format!("pipeline queue {queue}"),
            Kind::Overflow { queue, .. } => format!("overflow queue {queue}"),
        };
        let work = Work {
            opening: Opening {
                agent: Arc::clone(&self.agent),
                queue,
                kind,
                epoch,
                routes: self.routes.subscribe(),
                direct: Arc::clone(&self.direct),
                stop,
            },
            answers: term.answers.clone(),
            end_said,
        };
        self.agent.tasks.spawn(&name, async move {
            cut.run_until_cancelled_owned(work.run()).await;
        });
    }

    /// Takes over other routes: queues that are gone are closed by the machine, new ones are claimed, all others go on.
    pub(super) fn reload(&mut self, routes: Arc<Routes>, done: oneshot::Sender<()>) {
        self.queues = queues::all(&self.agent, &routes).into_iter().collect();
        self.routes.send_replace(routes);
        self.show_pipelines();
        self.record.config_digest = self.digest();
        let _nobody_waits = done.send(());
    }
}
