//! How a main queue is consumed: by one consumer, and where the number of its unacknowledged messages follows their sizes, by
//! another one when another number is better.

use std::sync::Arc;
use tokio_util::sync::CancellationToken;

use crate::agent::books::Account;
use crate::agent::listeners::agent_context::AgentContext;
use crate::agent::stages::intake::{Ended, Intake};
use crate::agent::stages::prefetch::Prefetch;
use crate::agent::stages::rescue;
use crate::transport::{Delivery, Session, TransportError};

/// A main queue that one listener consumes.
pub(in crate::agent) struct MainQueue {
    agent: Arc<AgentContext>,
    session: Arc<dyn Session>,
    /// Position of its broker in [`AgentContext::brokers`].
    broker: usize,
    queue: Arc<str>,
    account: Arc<Account>,
    /// Nothing where the number of unacknowledged messages is fixed.
    prefetch: Option<Prefetch>,
}

impl MainQueue {
    /// A queue that is declared in a session.
    pub(in crate::agent::listeners) async fn find(
        agent: &Arc<AgentContext>,
        session: Arc<dyn Session>,
        broker: usize,
        (queue, account): (&str, Arc<Account>),
    ) -> MainQueue {
        let prefetch = match agent.options.main_prefetch.by_size {
            Some(bounds) if agent.brokers[broker].is_classic(&*session, queue).await => {
                Some(Prefetch::new(bounds, agent.memory.prefetch(queue)))
            }
            _ => None,
        };
        MainQueue { agent: Arc::clone(agent), session, broker, queue: queue.into(), account, prefetch }
    }

    /// Begins to consume.
    pub(in crate::agent::listeners) async fn consume(
        &self,
        stop: &CancellationToken,
    ) -> Result<Intake, TransportError> {
        let MainQueue { agent, session, broker, queue, account, prefetch } = self;
        let (options, place) = (&agent.options, &agent.brokers[*broker]);
        let exclusive = options.partitioned && options.main_queue_exclusive;
        let rescued = rescue::look(&**session, queue).await?;
        let consume = place.consume_options(self.present(), exclusive);
        let intake = Intake::open(&agent.context, session, queue, consume, (rescued, account)).await?;
        // The fewest are taken whatever their size: more of them would wait each time.
        if let Some(prefetch) = prefetch.as_ref().filter(|prefetch| prefetch.messages() > prefetch.smallest()) {
            intake.hold_at_most(prefetch.waiting_bytes_max());
        }
        place.guard(queue, &intake.until(stop));
        Ok(intake)
    }

    fn present(&self) -> u16 {
        self.prefetch.as_ref().map_or(self.agent.options.main_prefetch.messages, Prefetch::messages)
    }

    /// How many messages may be unacknowledged now.
    pub(super) fn messages(&self) -> usize {
        self.present().into()
    }

    /// A batch was taken of it.
    pub(super) fn took(&mut self, batch: &[Delivery]) {
        if let Some(prefetch) = &mut self.prefetch {
            prefetch.took(batch.iter().map(|delivery| delivery.body.len()));
        }
    }

    /// Whether it is better consumed with another number of unacknowledged messages.
    pub(super) fn better(&self, intake: &Intake) -> Option<u16> {
        self.prefetch.as_ref()?.better(intake.in_flight())
    }

    /// Something is held, so that it cannot be consumed with another number for now.
    pub(super) fn not_now(&mut self) {
        if let Some(prefetch) = &mut self.prefetch {
            prefetch.not_now();
        }
    }

    /// Consumes with another number. Everything that was taken is settled.
    pub(super) async fn consume_with(
        &mut self,
        messages: u16,
        intake: Intake,
        stop: &CancellationToken,
    ) -> Result<Intake, Ended> {
        self.found(messages);
        match intake.end(Ended::Stopped).await {
            Ended::Stopped => self.consume(stop).await.map_err(|_| Ended::Lost),
            ended => Err(ended),
        }
    }

    /// The consumer is over. Why, where more waited than may: the next one begins with the fewest messages.
    pub(super) fn over(&mut self, intake: &Intake) -> Option<String> {
        let prefetch = self.prefetch.as_ref().filter(|_| intake.is_overfull())?;
        let (bytes, smallest) = (prefetch.waiting_bytes_max(), prefetch.smallest());
        self.found(smallest);
        Some(format!("more than {bytes} bytes of messages waited; it is consumed again, {smallest} messages at once"))
    }

    fn found(&mut self, messages: u16) {
        if let Some(prefetch) = &mut self.prefetch {
            prefetch.changed(messages);
            self.agent.memory.found_prefetch(&self.queue, messages);
        }
    }
}
