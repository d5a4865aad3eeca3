//! The listener of an old pipeline queue, which is sealed. What still comes to it, from a sender that did not know, goes on to
//! the queues in use; their listeners know by its ids what took effect before. When the change is over and nothing has come
//! for a while, the queue is deleted, with its log and its mark.

use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::agent_context::AgentContext;
use super::unpack::{counted, read, records};
use crate::agent::packets::encoding::EncodedFragment;
use crate::agent::packets::lane::Expected;
use crate::agent::resize::{GroupLayout, sealed_mark};
use crate::agent::runtime::shared_value::Reader;
use crate::agent::sinks::deliver::SinkContext;
use crate::agent::stages::forward::Forwarder;
use crate::agent::stages::intake::{Ended, Intake, Taken};
use crate::agent::stages::route::Routes;
use crate::books::Work;
use crate::model::Verdict;
use crate::transport::{Session, TransportError, Why, topology};

/// One listener on one old queue.
pub(in crate::agent) struct OldQueue {
    /// The queue.
    pub queue: Arc<str>,
    /// The generation that its mark is of.
    pub generation: u64,
    /// Deliveries; nothing where the queue is deleted already, and what belongs to it is not yet.
    pub intake: Option<Intake>,
    /// The configuration.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// Where the queues in use are.
    pub layout: Reader<Option<Arc<GroupLayout>>>,
    /// The way there.
    pub forwarder: Forwarder,
    /// For what is no packet.
    pub context: SinkContext,
    /// The session with the broker.
    pub session: Arc<dyn Session>,
    /// What all listeners of the agent use.
    pub agent: Arc<AgentContext>,
}

impl OldQueue {
    /// Why its consumer is over, once it is.
    pub(in crate::agent) fn why(&self) -> Why {
        self.intake.as_ref().map(Intake::why).unwrap_or_default()
    }

    /// Runs until stopped or lost, or until the queue is deleted.
    pub(in crate::agent) async fn run(mut self, stop: &CancellationToken) -> Ended {
        let ended = match self.intake.take() {
            None => Ended::Deleted,
            Some(mut intake) => {
                let ended = self.work(&mut intake, stop).await;
                if ended == Ended::Lost {
                    self.forwarder.abandon();
                }
                self.forwarder.close();
                intake.end(ended).await
            }
        };
        if ended != Ended::Deleted {
            return ended;
        }
        let OldQueue { agent, session, queue, generation, .. } = self;
        match stop.run_until_cancelled(delete(&agent, &*session, &queue, generation)).await {
            None => Ended::Stopped,
            Some(Ok(true)) => Ended::Deleted,
            Some(Ok(false) | Err(_)) => Ended::Lost,
        }
    }

    /// Sends on what comes; [`Ended::Deleted`] when nothing has come for so long that nothing will.
    async fn work(&mut self, intake: &mut Intake, stop: &CancellationToken) -> Ended {
        // By then every member that reads the group has seen that there are others.
        let patience = 2 * self.agent.options.view_period;
        let mut idle_since = Instant::now();
        loop {
            let Some(layout) = self.layout.read() else { return Ended::Lost };
            // Until the change is over its log is read by the new queues.
            let is_needed = layout.is_in_use(&self.queue);
            if is_needed {
                idle_since = Instant::now();
            }
            let taken = tokio::select! {
                biased;
                taken = intake.next(stop) => taken,
                () = self.layout.changed() => continue,
                () = tokio::time::sleep_until(idle_since + patience), if !is_needed => return Ended::Deleted,
            };
            let batch = match taken {
                Taken::Batch(batch) => batch,
                Taken::Stopped => return Ended::Stopped,
                Taken::Lost => return Ended::Lost,
            };
            idle_since = Instant::now();
            let mut packets = read(&self.context, &self.agent.tasks, batch).await.into_iter();
            while let Some((packet, receipt)) = packets.next() {
                if packet.fragments.is_empty() {
                    // An end marker: the queue is sealed already.
                    receipt.settle(Verdict::Kept);
                    continue;
                }
                let routes = Arc::clone(&self.routes.borrow_and_update());
                let sink = routes
                    .sinks
                    .iter()
                    .position(|slot| topology::is_of_sink(&self.queue, &self.agent.group, &slot.name));
                let (Some(sink), Some(to)) = (sink, layout.routing()) else {
                    // A sink that is configured no more has nobody to take it: it is held until one has, and the queue stays.
                    let held: Vec<_> = std::iter::once(receipt).chain(packets.map(|(_, receipt)| receipt)).collect();
                    let over = self.context.offer.until.over.clone();
                    let ended = tokio::select! {
                        biased;
                        () = stop.cancelled() => Ended::Stopped,
                        () = over.cancelled() => Ended::Lost,
                        _ = self.routes.changed() => Ended::Lost,
                        () = self.layout.changed() => Ended::Lost,
                    };
                    drop(held);
                    return ended;
                };
                let forwarded = records(&packet) as u64;
                let work = Work { records: forwarded, forwarded, ..Work::default() };
                let receipt = counted(&self.context.account, &packet, receipt, Some(work));
                self.context.offer.metrics.packet_straggled(&routes.sinks[sink].name, packet.fragments.len());
                let part = |fragment| (sink, EncodedFragment::from(fragment), receipt.split());
                let yielded = packet.fragments.into_iter().map(part).collect();
                receipt.settle(Verdict::Kept);
                self.forwarder.forward(&routes, to, yielded, Expected { more: false, at_once: usize::MAX });
            }
        }
    }
}

/// Deletes the queue if it is empty and unused, then what belongs to it; whether it is gone. Its mark goes last: whoever finds
/// the mark goes on here.
async fn delete(
    agent: &AgentContext,
    session: &dyn Session,
    queue: &str,
    generation: u64,
) -> Result<bool, TransportError> {
    // A quorum queue learns of a consumer's end a moment later.
    match session.until_alone(queue, 0).await {
        Ok(_) | Err(TransportError::NoQueue(_)) => {}
        Err(error) => return Err(error),
    }
    // What was rescued from it is older than what is in it.
    if !session.delete_if_idle(&topology::rescue_queue_name(queue)).await? || !session.delete_if_idle(queue).await? {
        return Ok(false);
    }
    session.delete(&topology::state_log_name(queue)).await?;
    Ok(agent.layouts.forget(generation, &sealed_mark(queue), queue, &session.over()).await)
}
