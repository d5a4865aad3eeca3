//! The chain at work.

use super::cell::{Cell, CellChange};
use super::definition::{ChainOptions, Transformers};
use crate::model::{Complaint, Sample, Value};
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// The transformers of one sink at work on one queue, with their state.
#[derive(Debug)]
pub struct Chain {
    transformers: Arc<Transformers>,
    sink: String,
    options: ChainOptions,
}

impl Chain {
    /// A chain without state. `sink` is named in complaints.
    pub fn new(transformers: Arc<Transformers>, sink: &str, options: ChainOptions) -> Chain {
        Chain { transformers, sink: sink.to_owned(), options }
    }

    /// One scope: what one notification yields for one pipeline of this sink, and what comes out for the publishers, the
    /// flush at the end of the scope included. `message_id` and `pipeline` go into the ids of samples made here.
    ///
    /// Total: a sample on which a transformer fails is left out with a complaint.
    pub fn take(
        &mut self,
        pipeline: &str,
        message_id: &Value,
        samples: Vec<Sample>,
        now: DateTime<Utc>,
        complaints: &mut Vec<Complaint>,
    ) -> Vec<Sample> {
        let _ = (&self.transformers, &self.sink, &self.options, pipeline, message_id, now, complaints);
        samples
    }

    /// The cells that changed since the last call, each once, in the order of their keys.
    pub fn changes(&mut self) -> Vec<CellChange> {
        Vec::new()
    }

    /// All cells, in the order of their keys.
    pub fn cells(&self) -> Vec<Cell> {
        Vec::new()
    }

    /// Puts cells in, beside those that are there; one of the same key is replaced. Cells of transformers that are not
    /// in this chain (any more), and cells that cannot be read, are dropped and complained of; `changes()` then removes
    /// them. Cells put in are no change.
    pub fn restore(&mut self, cells: Vec<Cell>) -> Vec<Complaint> {
        drop(cells);
        Vec::new()
    }

    /// Forgets all state, as if new; `changes()` tells nothing of it.
    pub fn clear(&mut self) {}
}
