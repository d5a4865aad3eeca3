//! The end marker of an old pipeline queue. When the main queues have been quiet, everything that was acknowledged before by
//! this layout stands in the queue. So the queue's owner puts a marker behind it, and meets the marker when it has worked on
//! all of it. Where an owner dies before that, its successor puts another one; the first counts.
//!
//! Never here: holding what stands behind the marker (`arrivals`).

use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::layout::sealed_mark;
use super::layouts::Layouts;
use crate::agent::packets::packet::{CONTENT_TYPE, PacketBuilder};
use crate::agent::runtime::Context;
use crate::transport::{Outgoing, Session, TransportError};

/// How long to wait before a marker is offered again that the queue did not take.
const AGAIN: Duration = Duration::from_secs(1);

/// What the listener of a pipeline queue does at the queue's end.
pub(in crate::agent) struct EndMarker {
    layouts: Arc<Layouts>,
    queue: Arc<str>,
    over: CancellationToken,
    stop: CancellationToken,
    /// Ends the task that puts the marker.
    _putting: DropGuard,
}

impl EndMarker {
    /// Of a queue of a generation and its owner's epoch: the marker is put when it is due, until this is dropped.
    pub(in crate::agent) fn new(
        (context, layouts): (Arc<Context>, Arc<Layouts>),
        session: &Arc<dyn Session>,
        (queue, generation, epoch): (&str, u64, i64),
        stop: CancellationToken,
    ) -> Self {
        let putting = CancellationToken::new();
        let put = put_when_due(
            (Arc::clone(&context), Arc::clone(&layouts)),
            Arc::clone(session),
            queue.to_owned(),
            generation,
            epoch,
        );
        let dropped = putting.clone();
        context.tasks.spawn(&format!("end marker of {queue}"), async move {
            dropped.run_until_cancelled(put).await;
        });
        let (queue, over) = (queue.into(), session.over());
        EndMarker { layouts, queue, over, stop, _putting: putting.drop_guard() }
    }

    /// Notes for the group that the queue is sealed; `false` when there was no time for it: the next owner meets the marker
    /// again.
    pub(in crate::agent) async fn sealed(&self, generation: u64) -> bool {
        let name = sealed_mark(&self.queue);
        let marked = self.stop.run_until_cancelled(self.layouts.mark(generation, &name, &self.over)).await;
        marked.unwrap_or(false)
    }
}

async fn put_when_due(
    (context, layouts): (Arc<Context>, Arc<Layouts>),
    session: Arc<dyn Session>,
    queue: String,
    generation: u64,
    epoch: i64,
) {
    let mut layout = layouts.known.reader();
    let next = loop {
        if let Some(next) = layout.read().and_then(|layout| layout.ends(generation)) {
            break next;
        }
        layout.changed().await;
    };
    let marker = PacketBuilder::end_marker(&context.member, epoch, next);
    loop {
        let message = Outgoing::to_queue(&queue, marker.clone().into(), CONTENT_TYPE);
        let put = match session.publish(message).await {
            Ok(confirmation) => confirmation.wait().await,
            Err(error) => Err(error),
        };
        match put {
            Ok(()) | Err(TransportError::Away { .. }) => return,
            Err(error) => context.metrics.end_marker_not_put(&queue, &error.to_string()),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
