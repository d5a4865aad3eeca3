//! Opening the state of a queue: its log is found or made, and folded by a keeper.

use std::sync::Arc;
use tokio::time::Instant;

use super::keeper::{Keeper, Owner};
use super::log::StreamLog;
use super::lost::Lost;
use super::memory::QueueMemory;
use crate::agent::runtime::Context;
use crate::agent::runtime::clock::NEWS;
use crate::agent::sinks::sink::SinkSlot;
use crate::cluster::hash;
use crate::transport::{Session, TransportError};

/// Opens the log of a queue; `None` where there is none.
pub(in crate::agent) async fn open_log(
    context: &Arc<Context>,
    memory: &QueueMemory,
    queue: &str,
    session: &Arc<dyn Session>,
) -> Result<Option<StreamLog>, TransportError> {
    let log = match StreamLog::open(Arc::clone(session), queue).await {
        Ok(log) => log,
        Err(TransportError::NoQueue(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    if memory.is_new(queue) {
        // Nobody waits for what is only complained of.
        let (context, queue, session) = (Arc::clone(context), queue.to_owned(), Arc::clone(session));
        let tasks = context.tasks.clone();
        tasks.spawn(&format!("state log of {queue}"), async move {
            let _known_later = make_log(&context, &queue, &*session).await;
        });
    }
    Ok(Some(log))
}

/// The log of a queue, made where there still is none. Only its owner may, when nobody consumes the queue any more: RabbitMQ
/// answers with an internal error, which ends the connection, where several make one stream at the same time.
pub(in crate::agent) async fn made_log(
    context: &Context,
    queue: &str,
    session: &Arc<dyn Session>,
) -> Result<StreamLog, TransportError> {
    let asked = Instant::now();
    match StreamLog::open(Arc::clone(session), queue).await {
        // It is asked again at the next opening: the log may be another's by now, and deleted for good.
        Err(error @ TransportError::NoQueue(_)) if asked.elapsed() > NEWS => Err(error),
        Err(TransportError::NoQueue(_)) => {
            make_log(context, queue, &**session).await?;
            context.metrics.state_log_made(queue);
            StreamLog::new(Arc::clone(session), queue).await
        }
        opened => opened,
    }
}

/// Makes a log, or complains of one that was made otherwise.
async fn make_log(context: &Context, queue: &str, session: &dyn Session) -> Result<(), TransportError> {
    let (bytes_max, segment_bytes) = (context.options.state.log_bytes_max, context.options.state.segment_bytes);
    if !StreamLog::make(session, queue, (bytes_max, segment_bytes)).await? {
        context.metrics.state_log_otherwise(queue, bytes_max);
    }
    Ok(())
}

/// Begins as the owner of a queue's state, and restores it.
pub(in crate::agent) async fn restore(
    (context, memory): (&Context, &QueueMemory),
    slot: &SinkSlot,
    queue: &str,
    epoch: i64,
    log: StreamLog,
) -> Result<Keeper, Lost> {
    let owner = Owner {
        queue: queue.into(),
        sink: Arc::clone(&slot.name),
        epoch: memory.epoch(queue, epoch),
        member: Arc::clone(&context.member),
        // Another one at every opening, also where a group that was restored from a backup gives an epoch again.
        nonce: hash::stable(format!("{} {epoch} {}", context.member, context.options.clock.now()).as_bytes()),
    };
    let transformers = Arc::clone(&slot.current().transformers);
    let told = (context.metrics.clone(), Arc::clone(&context.troubles));
    let opened = Keeper::open(Box::new(log), owner, transformers, context.options.state.clone(), told).await;
    match &opened {
        Err(Lost::Fenced(by)) => memory.fenced(queue, *by),
        Err(_) => {}
        Ok(keeper) => {
            let missing = memory.committed(queue, keeper.number());
            if missing > 0 {
                context.metrics.state_regressed(queue, missing);
            }
        }
    }
    opened
}
