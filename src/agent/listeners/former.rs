//! An agent alone waits for the end of its own former consumer, as a group's owner does for its predecessor: what a dead
//! connection holds goes back to the queue only when the broker has noticed, behind whatever a new consumer took before.
//!
//! It must not wait for other agents. Without partitioning several may share the main queues, as Ceilometer's do, and the
//! broker tells how many consumers a queue has, never whose they are. So one waits long only for a queue that one had to oneself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use crate::transport::{Session, TransportError};

/// What an agent alone remembers of its main queues, by queue, from one opening to the next.
#[derive(Default)]
pub(in crate::agent) struct Former(Mutex<BTreeMap<String, Last>>);

/// What was found at the last opening of a queue.
#[derive(Clone, Copy)]
enum Last {
    /// Nobody else consumed it.
    Alone,
    /// A consumer, which may be the own former one: waited for since then.
    Waiting(Instant),
    /// Another agent consumes it too.
    Beside,
}

impl Former {
    /// Waits until a queue may be consumed (again). [`TransportError::Occupied`]: not yet, ask again; for `patience` at most,
    /// after which the broker has noticed the end of any connection, and the consumer that is there is another agent's.
    pub(in crate::agent) async fn ended(
        &self,
        session: &dyn Session,
        queue: &str,
        patience: Duration,
    ) -> Result<(), TransportError> {
        let last = self.known().get(queue).copied();
        let found = match last {
            None if session.inspect(queue).await?.consumers > 0 => Last::Beside,
            None => Last::Alone,
            Some(last) => match session.until_alone(queue).await {
                Ok(()) => Last::Alone,
                Err(TransportError::Occupied(_)) => match last {
                    Last::Alone => Last::Waiting(Instant::now()),
                    Last::Waiting(since) if since.elapsed() < patience => last,
                    Last::Waiting(_) | Last::Beside => Last::Beside,
                },
                Err(error) => return Err(error),
            },
        };
        self.known().insert(queue.to_owned(), found);
        match found {
            Last::Alone | Last::Beside => Ok(()),
            Last::Waiting(_) => Err(TransportError::Occupied(queue.to_owned())),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::topology::{self, QueueKind};
    use crate::transport::{ConsumeOptions, Consumer, MemoryBroker, Topology};
    use std::sync::Arc;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A session with the queue `q`.
    async fn session(broker: &MemoryBroker) -> Arc<dyn Session> {
        let (_, session) = broker.open().unwrap();
        let queues = vec![topology::pipeline_queue("q".to_owned(), QueueKind::Classic)];
        session.declare(&Topology { queues, ..Topology::default() }).await.unwrap();
        session
    }

    async fn consume(session: &Arc<dyn Session>) -> Box<dyn Consumer> {
        let options = ConsumeOptions { prefetch_messages: 1, exclusive: false, arguments: BTreeMap::new() };
        session.consume("q", options).await.unwrap()
    }

    /// Opens as a unit does, again and again; how long that took.
    async fn open(former: &Former, session: &Arc<dyn Session>) -> Duration {
        let began = Instant::now();
        loop {
            match former.ended(&**session, "q", PATIENCE).await {
                Ok(()) => return began.elapsed(),
                Err(TransportError::Occupied(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_own_former_consumer_is_waited_for() {
        let (broker, former) = (MemoryBroker::default(), Former::default());
        let lost = session(&broker).await;
        assert_eq!(open(&former, &lost).await, Duration::ZERO);
        let _held = consume(&lost).await;
        let next = session(&broker).await;
        let notices = async {
            tokio::time::sleep(PATIENCE / 2).await;
            lost.close().await;
        };
        let (waited, ()) = tokio::join!(open(&former, &next), notices);
        assert!(waited >= PATIENCE / 2 && waited < PATIENCE / 2 + Duration::from_millis(100), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn other_agents_are_not() {
        let (broker, former) = (MemoryBroker::default(), Former::default());
        let (other, lost) = (session(&broker).await, session(&broker).await);
        let _others = consume(&other).await;
        assert_eq!(open(&former, &lost).await, Duration::ZERO, "who comes beside another does not wait");
        lost.close().await;
        let waited = open(&former, &session(&broker).await).await;
        assert!(waited <= Duration::from_secs(1), "nor does who was beside another: {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_came_later_is_waited_for_once() {
        let (broker, former) = (MemoryBroker::default(), Former::default());
        let lost = session(&broker).await;
        open(&former, &lost).await;
        let other = session(&broker).await;
        let _others = consume(&other).await;
        lost.close().await;
        let waited = open(&former, &session(&broker).await).await;
        assert!(waited >= PATIENCE && waited < PATIENCE * 2, "it may be the own former consumer: {waited:?}");
        let waited = open(&former, &session(&broker).await).await;
        assert!(waited <= Duration::from_secs(1), "and is known now not to be: {waited:?}");
    }
}
