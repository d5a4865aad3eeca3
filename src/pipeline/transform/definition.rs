//! What the transformers of a sink are.

use std::time::Duration;

/// The transformers of one sink in their order, read from `pipeline.yaml`. Never changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transformers {
    digest: String,
    count: usize,
    stateful: bool,
}

impl Transformers {
    /// Whether there are none: samples pass as they are.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether one of them keeps anything from one scope to the next.
    pub fn is_stateful(&self) -> bool {
        self.stateful
    }

    /// The same hex digits for the same definition, in every process and build.
    pub fn digest(&self) -> String {
        self.digest.clone()
    }
}

/// What the operator can choose about chains, beside their definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainOptions {
    /// `[DEFAULT] sample_source`: the `source` of samples made here.
    pub sample_source: String,
    /// After how long without a new sample the memory of a resource is forgotten; `None` is never, as in the original.
    pub state_ttl: Option<Duration>,
    /// The most cells that one chain keeps.
    pub state_cells_max: usize,
    /// Departures from the original; all off by default.
    pub repairs: TransformerRepairs,
}

impl Default for ChainOptions {
    fn default() -> Self {
        ChainOptions {
            sample_source: "openstack".to_owned(),
            state_ttl: None,
            state_cells_max: 1_000_000,
            repairs: TransformerRepairs::default(),
        }
    }
}

/// Known faults of the original's transformers that change what is produced when repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransformerRepairs {
    /// An aggregator of gauges with a new name publishes their mean. The original fails at every flush, for ever.
    pub renamed_gauge_aggregates: bool,
    /// What arithmetic makes has the newest timestamp of its own samples. In the original it has that of the last
    /// sample that came by, whatever its meter and resource.
    pub arithmetic_timestamps: bool,
}
