//! What a queue of a new generation begins with: its part of the states of the old ones.

use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::keeper::{self, Lost};
use super::log::StreamLog;
use crate::pipeline::transform::CellKey;
use crate::state::{Fold, State, WindowBounds};
use crate::transport::Session;

/// Logs of old queues that a new queue reads at once.
const LOGS_AT_ONCE: usize = 8;

/// Cells and ids that were other queues'.
#[derive(Debug, Default)]
pub(in crate::agent) struct Inherited {
    /// The cells of the resources that are the new queue's.
    pub cells: BTreeMap<CellKey, Vec<u8>>,
    /// What took effect in any of the old queues: an id does not tell whose resource it was.
    pub ids: Vec<(u64, i64)>,
}

impl Inherited {
    /// Reads the logs of sealed queues; `mine` says which resources, by their grouping text, go to the new queue.
    pub(in crate::agent) async fn read(
        session: &Arc<dyn Session>,
        old: &[String],
        mine: impl Fn(&str) -> bool,
        window: WindowBounds,
    ) -> Result<Inherited, Lost> {
        let mut inherited = Inherited::default();
        let reads: Vec<_> = old.iter().map(|queue| sealed(Arc::clone(session), queue.clone(), window)).collect();
        let mut states = stream::iter(reads).buffered(LOGS_AT_ONCE);
        while let Some(state) = states.try_next().await? {
            inherited.ids.extend(state.window.entries());
            inherited.cells.extend(state.cells.into_iter().filter(|(key, _)| mine(&key.resource)));
        }
        Ok(inherited)
    }
}

/// The state of a sealed queue.
async fn sealed(session: Arc<dyn Session>, queue: String, window: WindowBounds) -> Result<State, Lost> {
    let mut log = StreamLog::open_sealed(session, &queue).await?;
    let mut fold = Fold::new(window);
    while !fold.is_sealed() {
        let record = keeper::next(&mut log).await?;
        fold.take(record.offset, &record.body)?;
    }
    let (state, _) = fold.finish()?;
    log.close().await?;
    Ok(state)
}
