//! Before a queue is consumed, its former consumers are waited for: whoever still works on it, or whose dead connection still
//! holds some of it, would give that back behind what a new consumer took before.
//!
//! In a group an owner waits for as long as it takes: a former owner that has lost its lease works on until it hears of that.
//! An agent alone waits for its own dead connection only, until the broker has noticed its end. It must not wait for other
//! agents: without partitioning several may share the main queues, as Ceilometer's do, and the broker tells how many
//! consumers a queue has, never whose they are. So it waits until there are no more than were there before it.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::agent::state::QueueMemory;
use crate::coordination::Membership;
use crate::observe::Metrics;
use crate::transport::{Session, TransportError};

/// How long to wait before it is asked once more whether etcd confirms the lease.
const LEASE_AGAIN: Duration = Duration::from_millis(250);

/// For how long former consumers are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// Until they are gone: nobody else consumes the queue in order.
    Forever,
    /// For so long; then the broker has noticed the end of any connection, and whoever consumes is another agent.
    AtMost(Duration),
}

/// Waiting for the former consumers of one queue.
pub(super) struct Predecessor<'a> {
    /// The queue.
    pub queue: &'a str,
    /// Where it is asked for.
    pub session: &'a dyn Session,
    /// For how long.
    pub patience: Patience,
    /// What is known from earlier openings.
    pub memory: &'a QueueMemory,
    /// In whose name the queue is opened: past its deadline nothing begins, another may be the owner by then.
    pub membership: Option<Arc<dyn Membership>>,
    /// It is said there, once.
    pub metrics: &'a Metrics,
}

impl Predecessor<'_> {
    /// Returns when the queue may be consumed. May be dropped at any time.
    pub(super) async fn gone(self) -> Result<(), TransportError> {
        let Predecessor { queue, session, patience, memory, membership, metrics } = self;
        let (before, until) = match patience {
            Patience::Forever => (Some(0), None),
            Patience::AtMost(patience) => (memory.consumers_before_us(queue), Some(Instant::now() + patience)),
        };
        let mut said = false;
        loop {
            let found = match before {
                Some(before) => session.until_alone(queue, before).await,
                None => session.inspect(queue).await.map(|state| state.consumers),
            };
            match found {
                Ok(_) if membership.as_ref().is_some_and(|membership| Instant::now() >= membership.deadline()) => {
                    sleep(LEASE_AGAIN).await;
                }
                Ok(consumers) => {
                    memory.begins_beside(queue, consumers);
                    return Ok(());
                }
                Err(TransportError::Occupied(_)) if until.is_some_and(|until| Instant::now() >= until) => {
                    memory.begins_beside(queue, session.inspect(queue).await?.consumers);
                    return Ok(());
                }
                Err(TransportError::Occupied(_)) => {
                    if !said {
                        metrics.queue_occupied(queue);
                    }
                    said = true;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::topology::{self, QueueKind};
    use crate::transport::{ConsumeOptions, Consumer, MemoryBroker, Topology};
    use std::collections::BTreeMap;

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

    /// Waits as an opening does; how long that took.
    async fn open(memory: &QueueMemory, session: &Arc<dyn Session>) -> Duration {
        let (patience, metrics) = (Patience::AtMost(PATIENCE), Metrics::new());
        let began = Instant::now();
        let predecessor =
            Predecessor { queue: "q", session: &**session, patience, memory, membership: None, metrics: &metrics };
        predecessor.gone().await.unwrap();
        began.elapsed()
    }

    /// An opening waits until the broker has noticed the end of this session, which consumes.
    async fn is_waited_for(broker: &MemoryBroker, memory: &QueueMemory, lost: &Arc<dyn Session>) {
        let _held = consume(lost).await;
        let next = session(broker).await;
        let notices = async {
            sleep(PATIENCE / 2).await;
            lost.close().await;
        };
        let (waited, ()) = tokio::join!(open(memory, &next), notices);
        assert!(waited >= PATIENCE / 2 && waited < PATIENCE / 2 + Duration::from_millis(100), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_own_former_consumer_is_waited_for() {
        let (broker, memory) = (MemoryBroker::default(), QueueMemory::default());
        let lost = session(&broker).await;
        assert_eq!(open(&memory, &lost).await, Duration::ZERO);
        is_waited_for(&broker, &memory, &lost).await;
    }

    #[tokio::test(start_paused = true)]
    async fn other_agents_are_not() {
        let (broker, memory) = (MemoryBroker::default(), QueueMemory::default());
        let (other, lost) = (session(&broker).await, session(&broker).await);
        let _others = consume(&other).await;
        assert_eq!(open(&memory, &lost).await, Duration::ZERO, "who comes beside another does not wait");
        lost.close().await;
        let waited = open(&memory, &session(&broker).await).await;
        assert!(waited <= Duration::from_secs(1), "nor does who was beside another: {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_came_later_is_waited_for_once() {
        let (broker, memory) = (MemoryBroker::default(), QueueMemory::default());
        let lost = session(&broker).await;
        open(&memory, &lost).await;
        let other = session(&broker).await;
        let _others = consume(&other).await;
        lost.close().await;
        let waited = open(&memory, &session(&broker).await).await;
        assert!(waited >= PATIENCE && waited < PATIENCE * 2, "it may be the own former consumer: {waited:?}");
        let waited = open(&memory, &session(&broker).await).await;
        assert!(waited <= Duration::from_secs(1), "and is known now not to be: {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_own_one_is_waited_for_beside_other_agents_too() {
        let (broker, memory) = (MemoryBroker::default(), QueueMemory::default());
        let (other, lost) = (session(&broker).await, session(&broker).await);
        let _others = consume(&other).await;
        open(&memory, &lost).await;
        is_waited_for(&broker, &memory, &lost).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_waits_for_a_former_one_for_as_long_as_it_takes() {
        let (broker, memory, metrics) = (MemoryBroker::default(), QueueMemory::default(), Metrics::new());
        let (former, next) = (session(&broker).await, session(&broker).await);
        let _held = consume(&former).await;
        let (patience, began) = (Patience::Forever, Instant::now());
        let (queue, membership) = ("q", None);
        let predecessor =
            Predecessor { queue, session: &*next, patience, memory: &memory, membership, metrics: &metrics };
        let ends = async {
            sleep(100 * PATIENCE).await;
            former.close().await;
        };
        let (gone, ()) = tokio::join!(predecessor.gone(), ends);
        assert!(gone.is_ok() && began.elapsed() >= 100 * PATIENCE);
        assert!(metrics.page().contains("step=\"await_consumer\"} 1\n"), "it is said once: {}", metrics.page());
    }
}
