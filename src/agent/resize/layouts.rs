//! What one member knows of the group's layout of pipeline queues, and what it writes down about it for the whole group.

use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::layout::GroupLayout;
use crate::agent::packets::lanes::CreateAgain;
use crate::agent::runtime::Context;
use crate::agent::runtime::clock::NEWS;
use crate::agent::runtime::shared_value::SharedValue;
use crate::agent::sinks::sink::SinkSlot;
use crate::coordination::{CoordinationError, Membership, View};
use crate::transport::{Queue, Session, Topology, TransportError, topology};

/// How long to wait before something is noted again while etcd does not answer.
const MARK_AGAIN: Duration = Duration::from_millis(500);

/// The layout, as this member knows it, and its membership.
pub(in crate::agent) struct Layouts {
    context: Arc<Context>,
    /// The layout of the group's pipeline queues, once it is known.
    pub known: Arc<SharedValue<Option<Arc<GroupLayout>>>>,
    /// The present membership.
    pub membership: watch::Sender<Option<Arc<dyn Membership>>>,
}

impl Layouts {
    /// Of a member that has not joined yet.
    pub(in crate::agent) fn new(context: &Arc<Context>) -> Arc<Self> {
        let (known, membership) = (SharedValue::new(None), watch::Sender::new(None));
        Arc::new(Layouts { context: Arc::clone(context), known, membership })
    }

    /// The layout as it was last looked at.
    pub(in crate::agent) fn get(&self) -> Option<Arc<GroupLayout>> {
        self.known.get()
    }

    /// The layout as the group has it now.
    pub(in crate::agent) async fn fresh(&self) -> Result<Arc<GroupLayout>, CoordinationError> {
        let not_joined = || CoordinationError::Lost(self.context.member.to_string());
        let membership = self.membership.borrow().clone().ok_or_else(not_joined)?;
        let asked = Instant::now();
        let mut view = membership.view().await?;
        // This process was frozen meanwhile, perhaps.
        if asked.elapsed() > NEWS {
            view = membership.view().await?;
        }
        self.take(&view);
        self.known.get().ok_or_else(not_joined)
    }

    /// Takes over the layout of a view; whether it is another.
    pub(in crate::agent) fn take(&self, view: &View) -> bool {
        let Some(group_layout) = GroupLayout::of(&self.context.group, view) else { return false };
        self.known.change(|known| match known {
            Some(known) if !known.is_older_than(&group_layout) => false,
            known => {
                let other = known.as_ref().is_none_or(|known| !known.is_like(&group_layout));
                *known = Some(Arc::new(group_layout));
                other
            }
        })
    }

    /// The pipeline queues of these sinks that are in use, as they are declared.
    pub(in crate::agent) fn queues(&self, sinks: &[Arc<SinkSlot>]) -> Vec<Queue> {
        let Some(group_layout) = self.known.get() else { return Vec::new() };
        let queues = sinks.iter().flat_map(|slot| group_layout.queues(slot));
        queues.map(|(queue, _)| topology::pipeline_queue(queue, self.context.options.queue_kind)).collect()
    }

    /// Notes something for the whole group, as often as it takes; `false` when the session was over before.
    pub(in crate::agent) async fn mark(&self, generation: u64, name: &str, over: &CancellationToken) -> bool {
        self.tell(generation, name, None, over).await
    }

    /// Forgets what the group notes of a queue that is no more, as often as it takes; `false` when the session was over before.
    pub(in crate::agent) async fn forget(
        &self,
        generation: u64,
        mark: &str,
        queue: &str,
        over: &CancellationToken,
    ) -> bool {
        self.tell(generation, mark, Some(queue), over).await
    }

    async fn tell(&self, generation: u64, mark: &str, gone: Option<&str>, over: &CancellationToken) -> bool {
        let told = over.run_until_cancelled(async {
            loop {
                let membership = self.membership.borrow().clone();
                if let Some(membership) = membership {
                    let told = match gone {
                        None => membership.mark(generation, mark, &self.context.member).await,
                        Some(queue) => membership.forget(generation, mark, queue).await,
                    };
                    match told {
                        Ok(()) => return,
                        Err(error) => self.context.metrics.group_silent(&error.to_string()),
                    }
                }
                tokio::time::sleep(MARK_AGAIN).await;
            }
        });
        told.await.is_some()
    }
}

#[async_trait]
impl CreateAgain for Layouts {
    /// Not a queue that is in use no more: whoever sends there has not heard yet that its main queue is another's.
    async fn create_again(&self, session: &dyn Session, queue: &str) -> Result<(), TransportError> {
        if !self.fresh().await.is_ok_and(|group_layout| group_layout.is_in_use(queue)) {
            return Err(TransportError::NoQueue(queue.to_owned()));
        }
        self.context.metrics.queue_gone(queue);
        let queues = vec![topology::pipeline_queue(queue.to_owned(), self.context.options.queue_kind)];
        session.declare(&Topology { queues, ..Topology::default() }).await
    }
}
