//! One broker: its connection, what is declared on it, and what stays declared while it is consumed.

use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::context::Context;
use super::troubles::Trouble;
use super::until::Until;
use crate::transport::link::Link;
use crate::transport::{Argument, ConsumeOptions, Queue, Session, Topology, TransportError};

/// Main queues that are not declared within this time are declared one by one, and those that then take as long are away for
/// now: nobody waits for a queue that RabbitMQ 4 looks for on a killed node for a minute.
const DECLARED_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether exchanges, bindings and queues are still there.
const GUARD_PERIOD: Duration = Duration::from_secs(3);

/// One broker with what is consumed from it.
pub struct BrokerPlace {
    /// The connection that keeps itself up.
    pub link: Link,
    /// Exchanges, main queues and bindings.
    pub topology: Topology,
    /// The main queues.
    pub main_queues: Vec<String>,
    /// Arguments of consumers on it.
    pub consume_arguments: BTreeMap<String, Argument>,
    /// After this time it has noticed the end of any connection.
    pub notices_within: Duration,
    /// Where and what was declared.
    prepared: Mutex<Option<Prepared>>,
    /// The main queues that are consumed now, with the listener's end.
    consumed: StdMutex<BTreeMap<String, Until>>,
}

/// What was declared on a broker.
struct Prepared {
    /// In this session.
    session: Arc<dyn Session>,
    /// The main queues that could not be: one that is there already and differs, or a classic queue of a cluster, which is on
    /// one node, and that is down. They keep nobody from the others.
    away: BTreeSet<String>,
    /// The queues of ours that were.
    own: BTreeSet<String>,
}

impl BrokerPlace {
    /// A broker on which nothing is declared yet.
    pub fn new(
        link: Link,
        topology: Topology,
        main_queues: Vec<String>,
        consume_arguments: BTreeMap<String, Argument>,
        notices_within: Duration,
    ) -> Self {
        BrokerPlace {
            link,
            topology,
            main_queues,
            consume_arguments,
            notices_within,
            prepared: Mutex::new(None),
            consumed: StdMutex::default(),
        }
    }

    /// Something that was declared is not there any more: everything is declared again before it is next used.
    pub(in crate::agent) async fn forget_declared(&self) {
        *self.prepared.lock().await = None;
    }

    /// Sees to it that a main queue stays declared and bound while it is consumed.
    pub(in crate::agent) fn guard(&self, queue: &str, until: &Until) {
        self.consumed().insert(queue.to_owned(), until.clone());
    }

    /// What must be there of the main queues that are consumed.
    pub(in crate::agent) fn guarded(&self) -> Topology {
        let mut consumed = self.consumed();
        consumed.retain(|_, until| !until.is_reached());
        let (mut queues, mut bindings) = (self.topology.queues.clone(), self.topology.bindings.clone());
        queues.retain(|queue| consumed.contains_key(&queue.name));
        bindings.retain(|binding| consumed.contains_key(&binding.queue));
        let exchanges = if queues.is_empty() { Vec::new() } else { self.topology.exchanges.clone() };
        Topology { exchanges, queues, bindings }
    }

    fn consumed(&self) -> MutexGuard<'_, BTreeMap<String, Until>> {
        self.consumed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares what is consumed from it; the main queues that are away.
    async fn declare(&self, session: &dyn Session) -> Result<BTreeSet<String>, TransportError> {
        let mut away = BTreeSet::new();
        let declare = async |topology: &Topology| match timeout(DECLARED_WITHIN, session.declare(topology)).await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) if session.over().is_cancelled() => Err(error),
            Ok(Err(TransportError::QueueAway { .. } | TransportError::Differs { .. } | TransportError::Refused(_)))
            | Err(_) => Ok(false),
            Ok(Err(error)) => Err(error),
        };
        if declare(&self.topology).await? {
            return Ok(away);
        }
        let each = self.main_queues.iter().map(async |queue| (queue, declare(&self.topology.of_queue(queue)).await));
        for (queue, declared) in join_all(each).await {
            if !declared? {
                away.insert(queue.clone());
            }
        }
        Ok(away)
    }

    /// The present session, with everything declared in it that is consumed, and the queues of ours that `own` gives. It is told
    /// which of ours this session has already; nobody else declares meanwhile.
    pub(in crate::agent) async fn prepared<F: Future<Output = Vec<Queue>> + Send>(
        &self,
        own: impl FnOnce(&BTreeSet<String>) -> F + Send,
    ) -> Result<Arc<dyn Session>, TransportError> {
        let session = self.link.current().ok_or_else(|| self.link.absence())?;
        let mut prepared = self.prepared.lock().await;
        let mut now = match prepared.take() {
            Some(former) if Arc::ptr_eq(&former.session, &session) => former,
            _ => {
                let away = self.declare(&*session).await?;
                Prepared { session: Arc::clone(&session), away, own: BTreeSet::new() }
            }
        };
        let mut own = own(&now.own).await;
        let wanted = own.iter().map(|queue| queue.name.clone()).collect();
        own.retain(|queue| !now.own.contains(&queue.name));
        if !own.is_empty() {
            session.declare(&Topology { queues: own, ..Topology::default() }).await?;
        }
        now.own = wanted;
        *prepared = Some(now);
        Ok(session)
    }

    /// The same for a listener of a main queue: that is declared too, or it is said why not.
    pub(in crate::agent) async fn prepared_for<F: Future<Output = Vec<Queue>> + Send>(
        &self,
        queue: &str,
        own: impl FnOnce(&BTreeSet<String>) -> F + Send,
    ) -> Result<Arc<dyn Session>, TransportError> {
        let session = self.prepared(own).await?;
        let of_session = |now: &&mut Prepared| Arc::ptr_eq(&now.session, &session);
        let is_away =
            self.prepared.lock().await.as_mut().filter(of_session).is_some_and(|now| now.away.contains(queue));
        if is_away {
            // Nobody else waits for it.
            session.declare(&self.topology.of_queue(queue)).await?;
            if let Some(now) = self.prepared.lock().await.as_mut().filter(of_session) {
                now.away.remove(queue);
            }
        }
        Ok(session)
    }

    /// Whether a main queue is surely a classic one: only such a queue can be declared so. One that goes with its last consumer
    /// counts for none, as nobody may let go of it for a moment.
    pub(in crate::agent) async fn is_classic(&self, session: &dyn Session, queue: &str) -> bool {
        let Topology { mut queues, .. } = self.topology.of_queue(queue);
        let classic = Argument::Text("classic".to_owned());
        let differs = |queue: &mut Queue| {
            queue.auto_delete || queue.arguments.insert("x-queue-type".to_owned(), classic.clone()).is_some()
        };
        if queues.is_empty() || queues.iter_mut().any(differs) {
            return false;
        }
        session.declare(&Topology { queues, ..Topology::default() }).await.is_ok()
    }

    /// How a queue on it is consumed.
    pub(in crate::agent) fn consume_options(&self, prefetch_messages: u16, exclusive: bool) -> ConsumeOptions {
        ConsumeOptions { prefetch_messages, exclusive, arguments: self.consume_arguments.clone() }
    }

    /// Looks every few seconds whether what is consumed from a broker is still declared and bound: an exchange or a binding
    /// that an operator deletes says nothing. `own` is looked for too.
    pub(in crate::agent) async fn keep_declared(self: Arc<Self>, own: Option<Queue>, context: Arc<Context>) {
        loop {
            tokio::time::sleep(GUARD_PERIOD).await;
            let Some(session) = self.link.current() else { continue };
            let mut wanted = self.guarded();
            if wanted.queues.is_empty() {
                continue;
            }
            wanted.queues.extend(own.clone());
            let trouble = Trouble::Declared(self.link.name().to_owned());
            match session.declare(&wanted).await {
                Ok(()) => drop(context.troubles.over(&trouble)),
                // It hinders only when the queue is next opened, and that may be weeks after its cause.
                Err(error @ TransportError::Differs { .. }) => {
                    let said = context.troubles.note(&trouble, &error.to_string(), 0);
                    context.metrics.not_guarded(self.link.name(), &error.to_string(), said);
                }
                Err(error) => context.metrics.not_guarded(self.link.name(), &error.to_string(), None),
            }
        }
    }
}
