//! The pipeline listener of a sink whose transformers keep state: every batch is committed to the queue's state log
//! before anything of it is published or acknowledged.

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::arrivals::Arrivals;
use super::fences::Fences;
use super::ground::Ground;
use super::intake::{Intake, Taken};
use super::main_listener::Ended;
use super::offer::Dead;
use super::packet::Fence;
use super::pipeline_listener::{in_turn, read, split};
use super::sink::{Parcel, SinkContext, SinkSlot};
use super::state::{Done, Keeper, Lost};
use crate::model::Receipt;
use crate::state::Source;
use crate::transport::{Delivery, Session, TransportError};

/// One listener on one stateful pipeline queue, with the state.
pub(super) struct StatefulListener {
    /// The queue.
    pub queue: Arc<str>,
    /// Deliveries.
    pub intake: Intake,
    /// The state.
    pub keeper: Keeper,
    /// The session of queue and log: cut when another owner has begun.
    pub session: Arc<dyn Session>,
    /// The sink of the queue.
    pub slot: Arc<SinkSlot>,
    /// What the sink needs; its `stop` is this listener's.
    pub context: SinkContext,
    /// When the queue is sealed.
    pub fences: Fences,
    /// What comes before its turn.
    pub arrivals: Arrivals,
    /// What listeners stand on.
    pub ground: Arc<Ground>,
}

impl StatefulListener {
    /// Runs until stopped or lost, or until a publisher says that it is at its end.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Ended, Dead> {
        let ended = self.work(stop).await?;
        let StatefulListener { intake, arrivals, fences, .. } = self;
        // What they hold goes back.
        drop((arrivals, fences));
        Ok(intake.end(ended).await)
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<Ended, Dead> {
        match self.keeper.resume(&self.slot, &self.context).await {
            Done::Published => {}
            done => return self.end(done, stop).await,
        }
        loop {
            if let Some(generation) = self.fences.due() {
                return Ok(self.seal(generation).await);
            }
            let taken = tokio::select! {
                biased;
                lost = self.keeper.fenced() => match self.keeper.mend(lost).await {
                    Ok(()) => continue,
                    Err(lost) => return Ok(self.lost(&lost)),
                },
                taken = self.intake.next(stop) => taken,
                () = self.arrivals.late() => Taken::Batch(Vec::new()),
                () = self.fences.changed() => continue,
            };
            let batch = match taken {
                Taken::Batch(batch) => batch,
                Taken::Stopped => return self.end(Done::Unpublished, stop).await,
                Taken::Lost => return Ok(Ended::Lost),
            };
            let sink = self.slot.current();
            if !sink.transformers.is_stateful() {
                // A reload took the state away: another kind of listener opens the queue.
                return Ok(Ended::Lost);
            }
            self.keeper.use_transformers(&sink.transformers);
            let (parcels, fences) = self.open(batch).await;
            let now = self.ground.options.clock.now();
            let done = self.keeper.handle(parcels, now, &self.slot, &self.context).await;
            self.ground.memory.committed(&self.queue, self.keeper.number());
            match done {
                Done::Published => {}
                done => return self.end(done, stop).await,
            }
            if !self.fences.pass(fences).await {
                // What is published is said to be, also where a fence goes to the next owner.
                return self.end(Done::Unpublished, stop).await;
            }
        }
    }

    /// Closes the queue for good: its state is whole in the log for those that inherit it.
    async fn seal(&mut self, generation: u64) -> Ended {
        if let Err(lost) = self.keeper.seal(generation).await {
            return self.lost(&lost);
        }
        if self.fences.sealed(generation).await { Ended::Sealed } else { Ended::Lost }
    }

    /// The parcels of the packets whose turn it is, in order, and the fences among them.
    async fn open(&mut self, batch: Vec<Delivery>) -> (Vec<Parcel>, Vec<(Fence, Receipt)>) {
        let (mut parcels, mut fences) = (Vec::new(), Vec::new());
        let read = read(&self.context, &self.ground.nursery, batch).await;
        let turn = if read.is_empty() {
            self.arrivals.give_up_late()
        } else {
            self.arrivals.take(read, |member, epoch| self.keeper.sequence_of(member, epoch))
        };
        let mut packets = in_turn(turn, &self.queue, &self.context);
        self.fences.take_behind(&mut packets);
        for (packet, receipt) in packets {
            let last = self.keeper.sequence_of(&packet.member, packet.epoch);
            let source = Source { member: packet.member, epoch: packet.epoch, sequence: packet.sequence };
            if last.is_none_or(|last| source.sequence > last) {
                self.keeper.came(&source);
            }
            match packet.fence {
                Some(fence) => fences.push((fence, receipt)),
                None => parcels.extend(split(packet.fragments, receipt)),
            }
        }
        (parcels, fences)
    }

    /// Ends in the order that the successor needs: the log says what is published, then the channel is closed.
    async fn end(&mut self, done: Done, stop: &CancellationToken) -> Result<Ended, Dead> {
        match done {
            Done::Published | Done::Unpublished => {}
            Done::Lost(lost) => return Ok(self.lost(&lost)),
            Done::Dead(dead) => return Err(dead),
        }
        if let Err(lost) = self.keeper.release().await {
            return Ok(self.lost(&lost));
        }
        Ok(if stop.is_cancelled() { Ended::Stopped } else { Ended::Lost })
    }

    fn lost(&self, lost: &Lost) -> Ended {
        // Nothing is lost with a session, and its link says that it is over, once for all queues.
        let with_session =
            matches!(lost, Lost::Transport(TransportError::Away { .. })) || self.session.over().is_cancelled();
        if let Lost::Fenced(by) = lost {
            self.context.metrics.state_lost(&self.queue, &lost.to_string());
            self.ground.memory.fenced(&self.queue, *by);
            // Without an orderly close: a quorum queue would give the waiting successor later messages first.
            self.session.cut();
        } else if !with_session {
            self.context.metrics.state_lost(&self.queue, &lost.to_string());
        }
        Ended::Lost
    }
}
