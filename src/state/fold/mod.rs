//! From the records of a log to the state of its queue: every reader comes to the same.

use std::collections::BTreeMap;

use super::record::{self, Batch, Record, RecordError, SNAPSHOT_PART_BYTES_MAX, Source, Whole};
use super::window::{Window, WindowBounds};
use crate::pipeline::transform::{CellChange, CellKey};

/// Senders of packets that are remembered, at most; the one that was silent longest goes first.
pub const SOURCES_MAX: usize = 64;

/// The state of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The last committed batch; 0 before the first.
    pub number: u64,
    /// The last batch whose outputs are known to be published.
    pub published: u64,
    /// The samples that took effect.
    pub window: Window,
    /// How far each sender of packets has come; who came last stands last.
    pub sources: Vec<Source>,
    /// The cells of the transformers.
    pub cells: BTreeMap<CellKey, Vec<u8>>,
    /// The generation of queues that took the state over, when the queue is closed for good.
    pub sealed: Option<u64>,
}

/// Outputs of a batch that is committed and perhaps not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The batch.
    pub number: u64,
    /// Its outputs.
    pub outputs: Vec<u8>,
}

/// Why a log cannot be folded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// One record is not what it should be.
    #[error("cannot use the record at offset {offset} of the state log: {cause}")]
    Record {
        /// Where.
        offset: u64,
        /// What.
        cause: RecordError,
    },
    /// What is needed has been cut off at the front.
    #[error(
        "cannot use the state log: it begins at offset {first} without a whole snapshot, because its bound cut it; delete the \
         stream to begin with empty state, and raise its bound with `state_log_bytes_max` or a policy (max-length-bytes)"
    )]
    Cut {
        /// The first offset that is still there.
        first: u64,
    },
    /// A batch is missing in the middle.
    #[error("cannot use the state log: it has batch {found} at offset {offset} where {expected} should follow")]
    Gap {
        /// Where.
        offset: u64,
        /// The batch that is there.
        found: u64,
        /// The batch that is not.
        expected: u64,
    },
}

/// Folds records one after the other.
#[derive(Debug)]
pub struct Fold {
    bounds: WindowBounds,
    state: State,
    pending: Option<Pending>,
    /// The highest epoch seen.
    highest: i64,
    first: Option<u64>,
    /// Whether the state is whole: from the log's beginning, or from a snapshot.
    whole: bool,
    parts: Parts,
    /// Where the last whole snapshot begins.
    snapshot: Option<u64>,
    /// Bytes of records since the last snapshot, and of that snapshot.
    since: usize,
    last_snapshot: usize,
}

/// The parts of a snapshot that is not complete yet.
#[derive(Debug, Default)]
struct Parts {
    epoch: i64,
    begin: u64,
    next: u32,
    bytes: Vec<u8>,
}

/// What a record turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It counts.
    Yes,
    /// It is a barrier.
    Barrier {
        /// Its epoch; not the highest if a later owner has begun before it.
        epoch: i64,
        /// Its nonce.
        nonce: u64,
    },
    /// A later owner has begun before it: it is void.
    Void,
}

impl State {
    /// No state.
    pub fn empty(bounds: WindowBounds) -> Self {
        State {
            number: 0,
            published: 0,
            window: Window::new(bounds),
            sources: Vec::new(),
            cells: BTreeMap::new(),
            sealed: None,
        }
    }

    /// Takes in what a batch did.
    pub fn apply(&mut self, batch: &Batch) {
        self.number = batch.number;
        self.published = batch.published;
        batch.ids.iter().for_each(|id| self.window.insert(*id, batch.now_ms));
        self.window.trim(batch.now_ms);
        batch.sources.iter().for_each(|source| self.came(source));
        for CellChange { key, value } in &batch.changes {
            match value {
                Some(value) => drop(self.cells.insert(key.clone(), value.clone())),
                None => drop(self.cells.remove(key)),
            }
        }
    }

    /// A sender has come so far.
    pub fn came(&mut self, source: &Source) {
        source.note_in(&mut self.sources);
        if self.sources.len() > SOURCES_MAX {
            self.sources.remove(0);
        }
    }

    /// The last packet that was taken of a sender.
    pub fn sequence_of(&self, member: &str, epoch: i64) -> Option<u64> {
        self.sources.iter().find(|s| s.member == member && s.epoch == epoch).map(|s| s.sequence)
    }

    /// A snapshot of everything, as records.
    pub fn snapshot(&self, epoch: i64) -> impl Iterator<Item = Record> + use<> {
        let cell = |(key, value): (&CellKey, &Vec<u8>)| CellChange { key: key.clone(), value: Some(value.clone()) };
        let numbers = (self.number, self.published);
        let cells = self.cells.iter().map(cell).collect();
        record::cut(epoch, Whole::new(numbers, &self.window, self.sources.clone(), cells))
    }

    fn from_whole(whole: Whole<'_>, bounds: WindowBounds) -> State {
        let mut state = State::empty(bounds);
        state.number = whole.number;
        state.published = whole.published;
        state.window.extend(whole.ids());
        state.sources = whole.sources;
        state.cells = whole.cells.into_iter().filter_map(|cell| Some((cell.key, cell.value?))).collect();
        state
    }
}

impl Fold {
    /// A fold that has seen nothing.
    pub fn new(bounds: WindowBounds) -> Self {
        Fold {
            bounds,
            state: State::empty(bounds),
            pending: None,
            highest: i64::MIN,
            first: None,
            whole: false,
            parts: Parts::default(),
            snapshot: None,
            since: 0,
            last_snapshot: 0,
        }
    }

    /// Takes in the next record. An error is final: the log cannot be used.
    pub fn take(&mut self, offset: u64, bytes: &[u8]) -> Result<Counted, FoldError> {
        let record = Record::decode(bytes).map_err(|cause| FoldError::Record { offset, cause })?;
        self.take_record(offset, record, bytes.len())
    }

    fn take_record(&mut self, offset: u64, record: Record, length: usize) -> Result<Counted, FoldError> {
        if self.first.is_none() {
            self.first = Some(offset);
            self.whole = offset == 0;
        }
        if !matches!(record, Record::Snapshot { .. }) {
            self.since += length;
        }
        let counted = match &record {
            Record::Barrier { epoch, nonce, .. } => Counted::Barrier { epoch: *epoch, nonce: *nonce },
            record if record.epoch() < self.highest => Counted::Void,
            _ => Counted::Yes,
        };
        if record.epoch() < self.highest {
            return Ok(counted);
        }
        // Its barrier may have been cut off at the front: the record itself tells of the epoch as well.
        self.highest = record.epoch();
        match record {
            Record::Barrier { .. } => self.parts = Parts::default(),
            Record::Batch(batch) => {
                self.parts = Parts::default();
                if self.whole {
                    self.batch(offset, batch)?;
                }
            }
            Record::Snapshot { epoch, part, parts, bytes } => self.part(offset, epoch, (part, parts), &bytes)?,
            Record::Released { published, .. } => self.published(published),
            Record::Sealed { generation, .. } => self.state.sealed = Some(generation),
        }
        Ok(counted)
    }

    fn batch(&mut self, offset: u64, batch: Batch) -> Result<(), FoldError> {
        let expected = self.state.number + 1;
        if batch.number != expected {
            return Err(FoldError::Gap { offset, found: batch.number, expected });
        }
        self.state.apply(&batch);
        self.pending = Some(Pending { number: batch.number, outputs: batch.outputs });
        Ok(())
    }

    fn part(&mut self, offset: u64, epoch: i64, (part, of): (u32, u32), bytes: &[u8]) -> Result<(), FoldError> {
        if part == 0 {
            self.parts = Parts { epoch, begin: offset, ..Parts::default() };
        }
        let parts = &mut self.parts;
        // The front of it may have been cut off, or its writer fenced half-way: not one to be used.
        if parts.next != part || parts.epoch != epoch || bytes.len() > SNAPSHOT_PART_BYTES_MAX {
            *parts = Parts { next: u32::MAX, ..Parts::default() };
            return Ok(());
        }
        parts.bytes.extend_from_slice(bytes);
        parts.next += 1;
        if parts.next == of {
            let Parts { bytes, begin, .. } = std::mem::take(&mut self.parts);
            let whole = record::join(&bytes).map_err(|cause| FoldError::Record { offset, cause })?;
            let sealed = self.state.sealed;
            self.state = State { sealed, ..State::from_whole(whole, self.bounds) };
            self.whole = true;
            self.snapshot = Some(begin);
            self.published(self.state.published);
            (self.since, self.last_snapshot) = (0, bytes.len());
        }
        Ok(())
    }

    fn published(&mut self, number: u64) {
        self.state.published = self.state.published.max(number);
        self.pending.take_if(|pending| pending.number <= number);
    }

    /// Whether the queue is closed for good.
    pub fn is_sealed(&self) -> bool {
        self.state.sealed.is_some()
    }

    /// The highest epoch that any record told of; `None` for an empty log.
    pub fn highest_epoch(&self) -> Option<i64> {
        (self.highest != i64::MIN).then_some(self.highest)
    }

    /// Where the last whole snapshot begins.
    pub fn snapshot(&self) -> Option<u64> {
        self.snapshot
    }

    /// Bytes of records since the last snapshot, and bytes of that snapshot.
    pub fn sizes(&self) -> (usize, usize) {
        (self.since, self.last_snapshot)
    }

    /// The state, and what may have to be published once more.
    pub fn finish(self) -> Result<(State, Option<Pending>), FoldError> {
        match self.first {
            Some(first) if !self.whole => Err(FoldError::Cut { first }),
            _ => Ok((self.state, self.pending)),
        }
    }
}

#[cfg(test)]
mod tests;
