//! The owner of an overflow queue: offers what is in it to its destination alone, in order, and answers questions.

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use super::unpack::{counted, in_turn, read, split};
use crate::agent::packets::arrivals::Arrivals;
use crate::agent::packets::packet::Question;
use crate::agent::runtime::task_group::TaskGroup;
use crate::agent::sinks::deliver::SinkContext;
use crate::agent::sinks::offer::PublisherFailed;
use crate::agent::sinks::sink::SinkSlot;
use crate::agent::stages::intake::{Ended, Intake, Taken};
use crate::model::{Receipt, Verdict};
use crate::transport::{Outgoing, Session, TransportError, UNROUTABLE};

/// What an answer says it is.
const CONTENT_TYPE: &str = "text/plain";

/// One listener on one overflow queue.
pub(in crate::agent) struct OverflowListener {
    /// The queue.
    pub queue: Arc<str>,
    /// Deliveries.
    pub intake: Intake,
    /// The sink of the destination.
    pub slot: Arc<SinkSlot>,
    /// The destination's key.
    pub key: Arc<str>,
    /// What is offered until when.
    pub context: SinkContext,
    /// What comes before its turn.
    pub arrivals: Arrivals,
    /// For what cannot be parked at once.
    pub tasks: TaskGroup,
    /// For answers.
    pub session: Arc<dyn Session>,
}

impl OverflowListener {
    /// Runs until stopped or lost, or until the publisher says that it is at its end.
    pub(in crate::agent) async fn run(mut self, stop: &CancellationToken) -> Result<Ended, PublisherFailed> {
        let ended = self.work(stop).await?;
        let OverflowListener { intake, arrivals, .. } = self;
        // What it holds goes back.
        drop(arrivals);
        Ok(intake.end(ended).await)
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<Ended, PublisherFailed> {
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.intake.next(stop) => taken,
                () = self.arrivals.late() => Taken::Batch(Vec::new()),
            };
            let batch = match taken {
                Taken::Batch(batch) => batch,
                Taken::Stopped => return Ok(Ended::Stopped),
                Taken::Lost => return Ok(Ended::Lost),
            };
            let came = read(&self.context, &self.tasks, batch).await;
            let (packets, _) = in_turn(&mut self.arrivals, &self.queue, came, |_, _| None, &self.context.offer.metrics);
            let (mut parcels, mut questions) = (Vec::new(), Vec::new());
            for (packet, receipt) in packets {
                let receipt = counted(&self.context.account, &packet, receipt, None);
                match packet.question {
                    Some(question) => questions.push((question, receipt)),
                    None => parcels.extend(split(packet.fragments, receipt)),
                }
            }
            if !self.slot.deliver_to(&self.key, parcels, &self.context).await? {
                return Ok(if stop.is_cancelled() { Ended::Stopped } else { Ended::Lost });
            }
            for (question, receipt) in questions {
                if answer(&*self.session, &question, receipt).await.is_err() {
                    return Ok(Ended::Lost);
                }
            }
        }
    }
}

/// Everything before the question is published.
async fn answer(session: &dyn Session, question: &Question, receipt: Receipt) -> Result<(), TransportError> {
    let token = question.token.clone().into_bytes().into();
    match session.publish(Outgoing::to_queue(&question.answer_to, token, CONTENT_TYPE)).await?.wait().await {
        // Who asked is gone.
        Ok(()) | Err(TransportError::NotTaken { why: UNROUTABLE, .. }) => {}
        Err(error) => return Err(error),
    }
    receipt.settle(Verdict::Kept);
    Ok(())
}
