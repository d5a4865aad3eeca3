//! The notifier's own session with its broker: made when it is needed, declared as a sender declares, confirmed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::letter::Letter;
use crate::observe::Metrics;
use crate::publish::{Amqp, Context, PublishError};
use crate::transport::{Binding, Broker, Exchange, Queue, Session, Topology, TransportError};

/// How long a broker may take to confirm a batch, to declare, or to connect.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// After a failed attempt to connect, the next batches need not wait for another failure.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// A way to a broker.
pub(super) struct Link {
    broker: Arc<dyn Broker>,
    name: String,
    exchange: String,
    amqp: Amqp,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: Option<Live>,
    /// No attempt before this, for this reason.
    pause: Option<(Instant, String)>,
}

/// A session, and the queues that were declared in it.
struct Live {
    session: Arc<dyn Session>,
    declared: HashSet<String>,
}

impl Link {
    pub(super) fn new(broker: Arc<dyn Broker>, context: &Context) -> Self {
        Link {
            name: format!("notifier {}", broker.name()),
            broker,
            exchange: context.control_exchange.clone(),
            amqp: context.amqp.clone(),
            metrics: context.metrics.clone(),
            state: Mutex::default(),
        }
    }

    /// Sends all letters; `Ok` when the broker has confirmed each of them.
    pub(super) async fn send(&self, letters: &[Letter]) -> Result<(), PublishError> {
        let (session, confirmations) = {
            let mut state = self.state.lock().await;
            let session = self.session(&mut state).await?;
            let handed = match timeout(ANSWER_WAIT, self.hand_over(&mut state, letters)).await {
                Ok(handed) => handed,
                Err(_) => Err(TransportError::Slow(ANSWER_WAIT)),
            };
            match handed {
                Ok(confirmations) => (session, confirmations),
                Err(error) => return Err(self.failed(&mut state, &session, &error)),
            }
        };
        // Outside the lock: the batches of other pipelines go meanwhile.
        let confirmed = timeout(ANSWER_WAIT, async {
            for confirmation in confirmations {
                confirmation.wait().await?;
            }
            Ok(())
        });
        match confirmed.await.unwrap_or(Err(TransportError::Slow(ANSWER_WAIT))) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(&mut *self.state.lock().await, &session, &error)),
        }
    }

    /// Makes sure that there is a session.
    pub(super) async fn reach(&self) -> Result<(), PublishError> {
        self.session(&mut *self.state.lock().await).await.map(drop)
    }

    /// Ends the session in order.
    pub(super) async fn close(&self) {
        if let Some(live) = self.state.lock().await.live.take() {
            live.session.close().await;
            self.metrics.link_changed(&self.name, "up", "down", "closed");
        }
        self.metrics.link_forgotten(&self.name);
    }

    /// The session there is, or a new one.
    async fn session(&self, state: &mut State) -> Result<Arc<dyn Session>, PublishError> {
        if let Some(live) = &state.live {
            if !live.session.over().is_cancelled() {
                return Ok(live.session.clone());
            }
            let why = live.session.why();
            state.live = None;
            let said = why.get().map_or("the session is over", |why| why);
            self.metrics.link_changed(&self.name, "up", "down", said);
        }
        if let Some((until, cause)) = &state.pause {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Err(PublishError::Retry { cause: cause.clone(), after: Some(left) });
            }
        }
        match timeout(ANSWER_WAIT, self.broker.connect()).await.unwrap_or(Err(TransportError::Slow(ANSWER_WAIT))) {
            Ok(session) => {
                self.metrics.link_changed(&self.name, "down", "up", "connected");
                *state = State { live: Some(Live { session: session.clone(), declared: HashSet::new() }), pause: None };
                Ok(session)
            }
            Err(error) => {
                state.pause = Some((Instant::now() + CONNECT_PAUSE, error.to_string()));
                Err(PublishError::Retry { cause: error.to_string(), after: Some(CONNECT_PAUSE) })
            }
        }
    }

    /// Declares what is new and hands the letters to the session, in order.
    async fn hand_over(
        &self,
        state: &mut State,
        letters: &[Letter],
    ) -> Result<Vec<crate::transport::Confirmation>, TransportError> {
        let Some(live) = &mut state.live else { return Ok(Vec::new()) };
        let mut missing: Vec<&str> = letters.iter().map(|letter| letter.queue.as_str()).collect();
        missing.retain(|queue| !live.declared.contains(*queue));
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            live.session.declare(&self.topology(&missing)).await?;
            live.declared.extend(missing.into_iter().map(str::to_owned));
        }
        let mut confirmations = Vec::with_capacity(letters.len());
        for letter in letters {
            confirmations.push(live.session.publish(letter.outgoing(&self.exchange)).await?);
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

    /// What a failure of this session means for the next attempt.
    fn failed(&self, state: &mut State, session: &Arc<dyn Session>, error: &TransportError) -> PublishError {
        // Another pipeline may have found it out before and have a new session.
        if let Some(live) = state.live.as_mut().filter(|live| Arc::ptr_eq(&live.session, session)) {
            // Refused in any way: look again whether exchange and queue are there.
            live.declared.clear();
            if matches!(error, TransportError::Slow(_)) {
                live.session.cut();
            }
            if live.session.over().is_cancelled() {
                state.live = None;
                self.metrics.link_changed(&self.name, "up", "down", &error.to_string());
            }
        }
        PublishError::retry(error)
    }
}
