//! Samples or events: of which file a pipeline is.

/// Of which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `pipeline.yaml`
    Samples,
    /// `event_pipeline.yaml`
    Events,
}

impl Kind {
    /// What these are called.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Samples => "samples",
            Kind::Events => "events",
        }
    }

    /// What to write where none of these are wanted: a whole clause of a complaint.
    pub fn none_wanted(self) -> &'static str {
        match self {
            Kind::Samples => {
                "if no samples are wanted, write [notification] pipelines = event in ceilometer.conf, or sources: [] and \
                 sinks: [] in the pipeline file"
            }
            Kind::Events => {
                "if no events are wanted, write [notification] pipelines = meter in ceilometer.conf, or sources: [] and \
                 sinks: [] in the pipeline file"
            }
        }
    }

    /// The key of a source that says which names it takes.
    pub(super) fn filter_key(self) -> &'static str {
        match self {
            Kind::Samples => "meters",
            Kind::Events => "events",
        }
    }
}
