//! The pipeline listener: packets of one pipeline queue in, batches to the publishers of its sink. Where the sink's transformers
//! keep state, every batch is committed to the queue's state log before anything of it is published or acknowledged.

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::agent_context::AgentContext;
use super::unpack::{counted, in_turn, read, show, split};
use super::worker::Worker;
use crate::agent::packets::arrivals::Arrivals;
use crate::agent::resize::EndMarker;
use crate::agent::sinks::deliver::SinkContext;
use crate::agent::sinks::offer::PublisherFailed;
use crate::agent::sinks::sink::{Parcel, SinkSlot};
use crate::agent::stages::intake::{Ended, Intake, Taken};
use crate::agent::state::{Done, Lost};
use crate::state::Source;
use crate::transport::{Delivery, Session, TransportError};

/// One listener on one pipeline queue. The queue has a single active consumer, and this member owns it.
pub(in crate::agent) struct PipelineListener {
    /// The queue.
    pub queue: Arc<str>,
    /// Deliveries.
    pub intake: Intake,
    /// Makes of them what is published; with the state, if there is one.
    pub worker: Worker,
    /// The session of the queue and of its log: cut when another owner has begun.
    pub session: Arc<dyn Session>,
    /// The sink of the queue.
    pub slot: Arc<SinkSlot>,
    /// What the sink needs; its `stop` is this listener's.
    pub context: SinkContext,
    /// How the queue ends.
    pub end_marker: EndMarker,
    /// What comes before its turn.
    pub arrivals: Arrivals,
    /// What all listeners of the agent use.
    pub agent: Arc<AgentContext>,
}

impl PipelineListener {
    /// Runs until stopped or lost, until its queue is sealed, or until a publisher says that it is at its end.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Ended, PublisherFailed> {
        let ended = self.work(stop).await?;
        let PipelineListener { intake, arrivals, .. } = self;
        // What they hold goes back.
        drop(arrivals);
        Ok(intake.end(ended).await)
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<Ended, PublisherFailed> {
        match self.worker.resume(&self.slot, &self.context).await {
            Done::Published => {}
            done => return self.end(done, stop).await,
        }
        loop {
            let taken = tokio::select! {
                biased;
                lost = self.worker.fenced() => match self.mend(lost).await {
                    Ok(()) => continue,
                    Err(lost) => return Ok(self.lost(&lost)),
                },
                taken = self.intake.next(stop) => taken,
                () = self.arrivals.late() => Taken::Batch(Vec::new()),
            };
            let batch = match taken {
                Taken::Batch(batch) => batch,
                Taken::Stopped => return self.end(Done::Unpublished, stop).await,
                Taken::Lost => return Ok(Ended::Lost),
            };
            let (parcels, end) = self.unpack(batch).await;
            let done = self.worker.handle(parcels, &self.slot, &self.context).await;
            if let Some(keeper) = self.worker.keeper() {
                self.agent.memory.committed(&self.queue, keeper.number());
            }
            match done {
                Done::Published => {}
                done => return self.end(done, stop).await,
            }
            if let Some(generation) = end {
                return Ok(self.seal(generation).await);
            }
        }
    }

    /// Goes on where the log alone was at its end; otherwise why it cannot.
    async fn mend(&mut self, lost: Lost) -> Result<(), Lost> {
        match self.worker.keeper_mut() {
            Some(keeper) => keeper.mend(lost).await,
            None => Err(lost),
        }
    }

    /// Closes the queue for good: its state is whole in the log for those that inherit it.
    async fn seal(&mut self, generation: u64) -> Ended {
        if let Some(keeper) = self.worker.keeper_mut()
            && let Err(lost) = keeper.seal(generation).await
        {
            return self.lost(&lost);
        }
        if self.end_marker.sealed(generation).await { Ended::Sealed } else { Ended::Lost }
    }

    /// The parcels of the packets whose turn it is, in order, and the generation that the queue ends for if that is all.
    async fn unpack(&mut self, batch: Vec<Delivery>) -> (Vec<Parcel>, Option<u64>) {
        let came = read(&self.context, &self.agent.tasks, batch).await;
        let keeper = self.worker.keeper();
        let last = |member: &str, epoch| keeper?.sequence_of(member, epoch);
        let (packets, end) = in_turn(&mut self.arrivals, &self.queue, came, last, &self.agent.metrics);
        let mut parcels = Vec::new();
        for (packet, receipt) in packets {
            let receipt = counted(&self.context.account, &packet, receipt, None);
            self.worker.came(&Source { member: packet.member, epoch: packet.epoch, sequence: packet.sequence });
            parcels.extend(split(packet.fragments, receipt));
        }
        show(self.agent.metrics.taps(), &self.queue, &parcels);
        (parcels, end)
    }

    /// Ends in the order that the successor needs: the log says what is published, then the channel is closed.
    async fn end(&mut self, done: Done, stop: &CancellationToken) -> Result<Ended, PublisherFailed> {
        match done {
            Done::Published | Done::Unpublished => {}
            Done::Lost(lost) => return Ok(self.lost(&lost)),
            Done::Failed(failed) => return Err(failed),
        }
        if let Some(keeper) = self.worker.keeper_mut()
            && let Err(lost) = keeper.release().await
        {
            return Ok(self.lost(&lost));
        }
        Ok(if stop.is_cancelled() { Ended::Stopped } else { Ended::Lost })
    }

    fn lost(&self, lost: &Lost) -> Ended {
        // Nothing is lost with a session, and its link says that it is over, once for all queues.
        let with_session =
            matches!(lost, Lost::Transport(TransportError::Away { .. })) || self.session.over().is_cancelled();
        if let Lost::Fenced(by) = lost {
            self.agent.metrics.state_lost(&self.queue, &lost.to_string());
            self.agent.memory.fenced(&self.queue, *by);
            // Without an orderly close: a quorum queue would give the waiting successor later messages first.
            self.session.cut();
        } else if !with_session {
            self.agent.metrics.state_lost(&self.queue, &lost.to_string());
        }
        Ended::Lost
    }
}
