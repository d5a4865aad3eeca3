//! What the state logs of the group say, folded as they grow, by nobody who ever owned a queue.

use std::collections::{BTreeMap, BTreeSet};

use crate::oracle::timeless;
use nephoscope::agent::packet;
use nephoscope::pipeline::transform::CellKey;
use nephoscope::publish::Batch as Records;
use nephoscope::state::{Counted, Fold, FoldError, Record, State, WindowBounds};
use nephoscope::transport::MemoryBroker;
use nephoscope::transport::topology::state_log_name;

/// The ending of a state log's name.
const STATE: &str = ".state";

/// All state logs that there were so far.
pub(crate) struct Logs {
    broker: MemoryBroker,
    window: WindowBounds,
    /// By queue, those that are there.
    folds: BTreeMap<String, (Fold, u64)>,
    /// Ids of samples that are in a record that counts.
    committed: BTreeSet<u64>,
    /// Ids of what came of them.
    outputs: BTreeSet<String>,
}

/// A queue whose log cannot be used, and why.
pub(crate) type Unusable = (String, FoldError);

impl Logs {
    /// Of a broker without any.
    pub(crate) fn new(broker: MemoryBroker, window: WindowBounds) -> Self {
        let (committed, outputs) = (BTreeSet::new(), BTreeSet::new());
        Logs { broker, window, folds: BTreeMap::new(), committed, outputs }
    }

    /// Something was sent to this queue: if that is a log, what is new in it, in words.
    pub(crate) fn grown(&mut self, log: &str) -> Option<Result<Vec<String>, Unusable>> {
        let queue = log.strip_suffix(STATE)?;
        let (fold, next) = self.folds.entry(queue.to_owned()).or_insert_with(|| (Fold::new(self.window), 0));
        let mut said = Vec::new();
        for record in self.broker.stream_records_from(log, *next) {
            *next = record.offset + 1;
            let counted = match fold.take(record.offset, &record.body) {
                Ok(counted) => counted,
                Err(error) => return Some(Err((queue.to_owned(), error))),
            };
            let Ok(record) = Record::decode(&record.body) else { continue };
            let void = if counted == Counted::Void { " (void)" } else { "" };
            said.push(format!("{}{void}", name(&record)));
            if let (Record::Batch(batch), Counted::Yes) = (record, counted) {
                self.committed.extend(batch.ids);
                self.outputs.extend(ids(&batch.outputs));
            }
        }
        Some(Ok(said))
    }

    /// A log was deleted; one of the same name begins anew.
    pub(crate) fn deleted(&mut self, log: &str) {
        if let Some(queue) = log.strip_suffix(STATE) {
            self.folds.remove(queue);
        }
    }

    /// Whether this queue has a log, and may still commit to it.
    pub(crate) fn is_stateful(&self, queue: &str) -> bool {
        self.folds.get(queue).is_some_and(|(fold, _)| !fold.is_sealed())
    }

    /// Whether a sample is in a record that counts, by its id in the window.
    pub(crate) fn has_committed(&self, id: u64) -> bool {
        self.committed.contains(&id)
    }

    /// Whether an output is in a record that counts.
    pub(crate) fn has_output(&self, id: &str) -> bool {
        self.outputs.contains(id)
    }

    /// All cells of the logs that are there: what a new reader of each makes of it must be what it always said.
    pub(crate) fn cells(&mut self) -> Result<BTreeMap<CellKey, Vec<u8>>, String> {
        let mut all = BTreeMap::new();
        for (queue, (known, _)) in std::mem::take(&mut self.folds) {
            let (known, _) = known.finish().map_err(|error| format!("{queue}: {error}"))?;
            let found = self.read(&queue).map_err(|error| format!("{queue}: {error}"))?;
            if found != known {
                return Err(format!("{queue}: from what is left of its log comes another state than from all of it"));
            }
            for (key, value) in found.cells {
                if let Some(resource) = all.insert(key.clone(), timeless(&value)).map(|_| key.resource) {
                    return Err(format!("{queue}: {resource} has its state in another queue as well"));
                }
            }
        }
        Ok(all)
    }

    fn read(&self, queue: &str) -> Result<State, FoldError> {
        let mut fold = Fold::new(self.window);
        for record in self.broker.stream_records(&state_log_name(queue)) {
            fold.take(record.offset, &record.body)?;
        }
        fold.finish().map(|(state, _)| state)
    }
}

fn ids(outputs: &[u8]) -> Vec<String> {
    let fragments = packet::read(outputs).map(|packet| packet.fragments).unwrap_or_default();
    let samples = fragments.into_iter().flat_map(|fragment| match fragment.batch {
        Records::Samples(samples) => samples,
        Records::Events(_) => Vec::new(),
    });
    samples.map(|sample| sample.id.into_string()).collect()
}

fn name(record: &Record) -> String {
    match record {
        Record::Barrier { epoch, .. } => format!("a barrier of epoch {epoch}"),
        Record::Batch(batch) => format!("batch {} of {} samples", batch.number, batch.ids.len()),
        Record::Snapshot { part, parts, .. } => format!("part {} of {parts} of a snapshot", part + 1),
        Record::Released { .. } => "that it is released".to_owned(),
        Record::Sealed { generation, .. } => format!("that it is sealed for generation {generation}"),
    }
}
