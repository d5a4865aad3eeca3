//! What a queue of a new generation begins with: its part of the states of the old ones.

use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::log::StreamLog;
use super::lost::Lost;
use super::read_back::next;
use crate::cluster::hash;
use crate::pipeline::transform::CellKey;
use crate::state::{Fold, State, WindowBounds, window};
use crate::transport::{Session, TransportError};

/// Logs of old queues that a new queue reads at once.
const LOGS_AT_ONCE: usize = 8;

/// Cells and ids that were other queues', and are the new queue's.
#[derive(Debug, Default)]
pub(in crate::agent) struct Inherited {
    /// The cells of its resources.
    pub cells: BTreeMap<CellKey, Vec<u8>>,
    /// The ids of what took effect of them.
    pub ids: Vec<(u64, i64)>,
    /// The old queues whose logs somebody has deleted: what they had is nowhere any more.
    pub gone: Vec<String>,
}

impl Inherited {
    /// Reads the logs of sealed queues; `mine` says which slots are the new queue's.
    pub(in crate::agent) async fn read(
        session: &Arc<dyn Session>,
        old: &[String],
        mine: impl Fn(u16) -> bool,
        bounds: WindowBounds,
    ) -> Result<Inherited, Lost> {
        let mut inherited = Inherited::default();
        let reads: Vec<_> = old.iter().map(|queue| sealed(Arc::clone(session), queue.clone(), bounds)).collect();
        let mut states = stream::iter(reads).buffered(LOGS_AT_ONCE);
        while let Some((queue, state)) = states.try_next().await? {
            let Some(state) = state else {
                inherited.gone.push(queue);
                continue;
            };
            inherited.ids.extend(state.window.entries().filter(|(id, _)| mine(window::slot(*id))));
            inherited
                .cells
                .extend(state.cells.into_iter().filter(|(key, _)| mine(hash::slot(key.resource.as_bytes()))));
        }
        Ok(inherited)
    }
}

/// The state of a sealed queue; `None` where its log is gone, for which nobody can wait.
async fn sealed(
    session: Arc<dyn Session>,
    queue: String,
    bounds: WindowBounds,
) -> Result<(String, Option<State>), Lost> {
    let mut log = match StreamLog::open_sealed(session, &queue).await {
        Err(TransportError::NoQueue(_)) => return Ok((queue, None)),
        opened => opened?,
    };
    let mut fold = Fold::new(bounds);
    while !fold.is_sealed() {
        let record = next(&mut log).await?;
        fold.take(record.offset, &record.body)?;
    }
    let (state, _) = fold.finish()?;
    log.close().await?;
    Ok((queue, Some(state)))
}
