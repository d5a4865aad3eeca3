//! How many messages wait at the broker, in the queues of this member: asked by passive declaration, and only while somebody
//! watches.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

use crate::observe::Board;
use crate::observe::desk::beat::QUEUES_MAX;
use crate::observe::desk::gather::name_at_broker;
use crate::transport::Session;

/// Between two rounds of questions.
pub const PERIOD: Duration = Duration::from_secs(2);
/// A round takes no longer: what was not asked by then is asked first in the next.
const ROUND_MAX: Duration = Duration::from_secs(2);
/// A queue whose broker node is away does not keep the others from being asked.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// What was answered last.
#[derive(Debug, Default)]
pub struct Ready(Mutex<BTreeMap<String, u32>>);

impl Ready {
    /// Messages that wait, by the names of queues at the broker.
    pub fn read(&self) -> BTreeMap<String, u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets everything: it is old by the time that somebody watches again.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// One round over the queues that the board names, from the one behind `last` on; the last one that was asked.
    pub async fn ask(&self, session: &dyn Session, board: &Board, last: &str) -> String {
        let until = Instant::now() + ROUND_MAX;
        let names = asked(board);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|queue, _| names.contains(queue));
        let from = names.partition_point(|name| name.as_str() <= last);
        let mut reached = last.to_owned();
        for queue in names.iter().skip(from).chain(names.iter().take(from)).take(QUEUES_MAX) {
            let Ok(answer) = timeout_at(until, timeout(ANSWER_MAX, session.inspect(queue))).await else { break };
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(Ok(state)) => drop(known.insert(queue.clone(), state.messages)),
                Ok(Err(_)) | Err(_) => drop(known.remove(queue)),
            }
            reached.clone_from(queue);
        }
        reached
    }
}

/// The queues of the first broker that this member has, by their names there, in order.
fn asked(board: &Board) -> Vec<String> {
    let status = board.read();
    let at_first = |name: &&String| name.strip_prefix("main:").is_none_or(|main| main == name_at_broker(name));
    let mut names: Vec<String> = status.queues.keys().filter(at_first).map(|n| name_at_broker(n).to_owned()).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::status;
    use crate::transport::{Broker, MemoryBroker, Outgoing, Queue, Topology};

    #[tokio::test]
    async fn the_queues_of_the_first_broker_are_asked() {
        let (broker, board, ready) = (MemoryBroker::default(), Board::new(), Ready::default());
        let session = broker.connect().await.unwrap();
        let queue = |name: &str| Queue {
            name: name.to_owned(),
            exclusive: false,
            durable: true,
            auto_delete: false,
            arguments: BTreeMap::new(),
            fallback_transient: false,
        };
        let queues = ["notifications.info", "notifications.error"].map(queue).to_vec();
        session.declare(&Topology { queues, ..Topology::default() }).await.unwrap();
        let message = Outgoing::to_queue("notifications.info", "x".into(), "application/json");
        session.publish(message).await.unwrap().wait().await.unwrap();
        board.change(|status| {
            for name in ["main:notifications.info", "main:notifications.error@1", "nephoscope.g.gone.g1.0"] {
                let (since, state) = (String::new(), "running");
                status
                    .queues
                    .insert(name.to_owned(), status::Queue { kind: "main", state, since, epoch: None, error: None });
            }
        });
        let last = ready.ask(&*session, &board, "").await;
        assert_eq!(last, "notifications.info");
        assert_eq!(ready.read(), BTreeMap::from([("notifications.info".to_owned(), 1)]));
        board.change(|status| status.queues.clear());
        ready.ask(&*session, &board, &last).await;
        assert!(ready.read().is_empty());
    }
}
