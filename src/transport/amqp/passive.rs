//! Looking at queues over a connection of the agent: how many messages and consumers one has. A member of a group looks at each of its
//! queues before it opens it, all at once when it starts.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::super::{QueueState, TransportError};
use super::fields::short;
use super::reply::Line;
use super::request::RequestChannel;

/// Looks at once, beside slow ones, each over a channel of its own: a refusal closes it.
const AT_ONCE: usize = 4;
/// A look that takes longer holds up nobody else: RabbitMQ 4 looks for a queue on a killed node for a minute.
const SLOW: Duration = Duration::from_secs(1);

/// The looks at queues over one connection.
pub(super) struct Looks {
    /// Channels that no answer has closed.
    idle: Mutex<Vec<RequestChannel>>,
    turns: Semaphore,
}

impl Default for Looks {
    fn default() -> Self {
        Looks { idle: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Looks {
    /// A passive declaration, over a channel that is there, or another one.
    pub(super) async fn look(
        &self,
        line: &Line,
        another: impl Future<Output = Result<RequestChannel, TransportError>>,
        queue: &str,
    ) -> Result<QueueState, TransportError> {
        let name = short(queue)?;
        let turn = self.turns.acquire().await;
        let idle = self.idle().pop().filter(|channel| channel.status().connected());
        let looking = async {
            let channel = match idle {
                Some(channel) => channel,
                None => another.await?,
            };
            let options = QueueDeclareOptions { passive: true, ..Default::default() };
            let found = line.within(channel.queue_declare(name, options, FieldTable::default())).await;
            Ok::<_, TransportError>((channel, found.map_err(|refusal| refusal.about_queue(queue))?))
        };
        tokio::pin!(looking);
        let found = timeout(SLOW, &mut looking).await;
        drop(turn);
        let (channel, found) = match found {
            Ok(found) => found?,
            Err(_) => looking.await?,
        };
        let mut idle = self.idle();
        if idle.len() < AT_ONCE {
            idle.push(channel);
        }
        Ok(QueueState { messages: found.message_count(), consumers: found.consumer_count() })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<RequestChannel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
