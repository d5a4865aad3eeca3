//! What the operator can choose about chains, beside their definition.

use crate::model::Text;
use std::time::Duration;

/// How chains work. The defaults are Ceilometer's, save that state has a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainOptions {
    /// `[DEFAULT] sample_source`: the `source` of samples made here.
    pub sample_source: Text,
    /// After how long without a new sample the memory of a resource is forgotten; `None` is never, as in Ceilometer.
    pub state_ttl: Option<Duration>,
    /// The most cells that one chain keeps after a scope; past it the oldest memory goes, and what is held is given out.
    pub state_cells_max: usize,
    /// Departures from Ceilometer; all off by default.
    pub repairs: TransformerRepairs,
}

impl Default for ChainOptions {
    fn default() -> Self {
        ChainOptions {
            sample_source: "openstack".into(),
            state_ttl: None,
            state_cells_max: 200_000,
            repairs: TransformerRepairs::default(),
        }
    }
}

/// Known faults of Ceilometer's transformers that change what is produced when repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransformerRepairs {
    /// An aggregator of gauges with a new name publishes their mean. Ceilometer fails at every flush, for ever.
    pub renamed_gauge_aggregates: bool,
    /// What arithmetic makes has the newest timestamp of its own samples. In Ceilometer it has that of the last
    /// sample that came by, whatever its meter and resource.
    pub arithmetic_timestamps: bool,
}
