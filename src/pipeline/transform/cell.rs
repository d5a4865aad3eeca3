//! State as it is written down: cells, each of one transformer and one resource.

use serde::{Deserialize, Serialize};

/// What a cell is found by. The order of keys is the order of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellKey {
    /// `<position>:<digest>` of the transformer that keeps it: another definition finds no state of this one.
    pub transformer: String,
    /// The grouping value of its samples as text, as [`grouping_bytes`](crate::model::grouping_bytes) spells it: so a
    /// queue can be split and joined by moving cells.
    pub resource: String,
    /// Which of the resource's, as the transformer names it.
    pub key: String,
}

/// One piece of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Whose it is.
    pub key: CellKey,
    /// Compact JSON; its shapes stand in `docs/formats.md`.
    pub value: Vec<u8>,
}

/// What became of one piece of state. As it is written down: `docs/formats.md`, "In state logs".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellChange {
    /// Whose it is.
    pub key: CellKey,
    /// What it is now; `None` if it is no more.
    pub value: Option<Vec<u8>>,
}
