//! What a queue of a new generation begins with: its part of the states of the old ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::keeper::{self, Lost};
use super::log::StreamLog;
use crate::pipeline::transform::CellKey;
use crate::state::{Fold, WindowBounds};
use crate::transport::Session;

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
        for queue in old {
            let mut log = StreamLog::open(Arc::clone(session), queue).await?;
            let mut fold = Fold::new(window);
            while !fold.is_sealed() {
                let record = keeper::next(&mut log).await?;
                fold.take(record.offset, &record.body)?;
            }
            let (state, _) = fold.finish()?;
            inherited.ids.extend(state.window.entries());
            inherited.cells.extend(state.cells.into_iter().filter(|(key, _)| mine(&key.resource)));
            log.close().await?;
        }
        Ok(inherited)
    }
}
