//! The notifier's own link to its broker: begun when it is first needed, declared as a sender declares, confirmed.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::letter::Letter;
use crate::backoff::Backoff;
use crate::observe::Metrics;
use crate::publish::{Amqp, Context, PublishError};
use crate::transport::{
    Binding, Broker, Confirmation, Exchange, Link as BrokerLink, LinkState, Queue, Session, Topology, TransportError,
};

/// How long a broker may take to confirm a batch, to declare, or to connect.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Between two attempts to connect. Batches that come meanwhile fail at once, and are held by who sends them.
const CONNECT_AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));

/// A way to a broker.
pub(super) struct Link {
    broker: Arc<dyn Broker>,
    name: String,
    exchange: String,
    amqp: Amqp,
    metrics: Metrics,
    kept: OnceLock<BrokerLink>,
    declared: Mutex<Option<Declared>>,
}

/// The queues that were declared in a session.
struct Declared {
    session: Arc<dyn Session>,
    queues: HashSet<String>,
}

impl Link {
    pub(super) fn new(broker: Arc<dyn Broker>, context: &Context) -> Self {
        Link {
            name: format!("notifier {}", broker.name()),
            broker,
            exchange: context.control_exchange.clone(),
            amqp: context.amqp.clone(),
            metrics: context.metrics.clone(),
            kept: OnceLock::new(),
            declared: Mutex::default(),
        }
    }

    /// Sends all letters; `Ok` when the broker has confirmed each of them.
    pub(super) async fn send(&self, letters: &[Letter]) -> Result<(), PublishError> {
        let session = self.session().await?;
        let handed = timeout(ANSWER_WAIT, self.hand_over(&session, letters)).await;
        let confirmations = match handed.unwrap_or(Err(TransportError::Slow(ANSWER_WAIT))) {
            Ok(confirmations) => confirmations,
            Err(error) => return Err(self.failed(&session, &error).await),
        };
        // The batches of other pipelines go meanwhile.
        let confirmed = timeout(ANSWER_WAIT, async {
            for confirmation in confirmations {
                confirmation.wait().await?;
            }
            Ok(())
        });
        match confirmed.await.unwrap_or(Err(TransportError::Slow(ANSWER_WAIT))) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(&session, &error).await),
        }
    }

    /// Makes sure that there is a session.
    pub(super) async fn reach(&self) -> Result<(), PublishError> {
        self.session().await.map(drop)
    }

    /// Ends the session in order.
    pub(super) async fn close(&self) {
        if let Some(kept) = self.kept.get() {
            kept.stop().await;
        }
        self.metrics.link_forgotten(&self.name);
    }

    /// The session there is, or the one that is being begun; why there is none, and when the next attempt is.
    async fn session(&self) -> Result<Arc<dyn Session>, PublishError> {
        let begin = || BrokerLink::start_as(&self.name, Arc::clone(&self.broker), CONNECT_AGAIN, self.metrics.clone());
        let kept = self.kept.get_or_init(begin);
        let mut state = kept.state();
        let settled = async {
            loop {
                let now = state.borrow_and_update().clone();
                match now {
                    LinkState::Up(session) if !session.over().is_cancelled() => return Ok(session),
                    LinkState::Waiting { until, cause } | LinkState::Refused { until, cause } => {
                        let after = until.saturating_duration_since(Instant::now());
                        return Err(PublishError::Retry { cause, after: Some(after) });
                    }
                    LinkState::Up(_) | LinkState::Connecting { .. } => {}
                    LinkState::Stopped => return Err(PublishError::retry(kept.absence())),
                }
                if state.changed().await.is_err() {
                    return Err(PublishError::retry(kept.absence()));
                }
            }
        };
        let slow = || Err(PublishError::retry(TransportError::Slow(ANSWER_WAIT)));
        timeout(ANSWER_WAIT, settled).await.unwrap_or_else(|_| slow())
    }

    /// Declares what is new and hands the letters to the session, in order.
    async fn hand_over(
        &self,
        session: &Arc<dyn Session>,
        letters: &[Letter],
    ) -> Result<Vec<Confirmation>, TransportError> {
        let mut declared = self.declared.lock().await;
        let queues = match declared.take() {
            Some(known) if Arc::ptr_eq(&known.session, session) => known.queues,
            _ => HashSet::new(),
        };
        let known = declared.insert(Declared { session: Arc::clone(session), queues });
        let mut missing: Vec<&str> = letters.iter().map(|letter| letter.queue.as_str()).collect();
        missing.retain(|queue| !known.queues.contains(*queue));
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            session.declare(&self.topology(&missing)).await?;
            known.queues.extend(missing.into_iter().map(str::to_owned));
        }
        let mut confirmations = Vec::with_capacity(letters.len());
        for letter in letters {
            confirmations.push(session.publish(letter.outgoing(&self.exchange)).await?);
        }
        Ok(confirmations)
    }

    /// As every oslo.messaging sender: the exchange, a queue of the routing key's name, and the binding (Ceilometer
    /// reference §3.1).
    fn topology(&self, queues: &[&str]) -> Topology {
        let Amqp { durable, auto_delete, arguments } = &self.amqp;
        let (durable, auto_delete) = (*durable, *auto_delete);
        let queue = |name: &&str| Queue {
            name: (*name).to_owned(),
            durable,
            auto_delete,
            exclusive: false,
            arguments: BTreeMap::clone(arguments),
            fallback_transient: true,
        };
        let binding = |name: &&str| Binding {
            exchange: self.exchange.clone(),
            queue: (*name).to_owned(),
            routing_key: (*name).to_owned(),
        };
        Topology {
            exchanges: vec![Exchange { name: self.exchange.clone(), durable, auto_delete, fallback_transient: true }],
            queues: queues.iter().map(queue).collect(),
            bindings: queues.iter().map(binding).collect(),
        }
    }

    /// What a failure in this session means for the next attempt.
    async fn failed(&self, session: &Arc<dyn Session>, error: &TransportError) -> PublishError {
        if matches!(error, TransportError::Slow(_)) {
            session.cut();
        }
        // Refused in any way: look again whether exchange and queue are there.
        self.declared.lock().await.take_if(|known| Arc::ptr_eq(&known.session, session));
        PublishError::retry(error)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.get() {
            kept.cut();
        }
    }
}
