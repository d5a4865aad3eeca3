//! The oracle of a stateful sink: the sink's own chain, run once by nobody else over everything that was sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use nephoscope::agent::Clock;
use nephoscope::config::Definitions;
use nephoscope::model::{Sample, Value, json};
use nephoscope::pipeline::transform::{CellKey, Chain, ChainOptions};
use nephoscope::pipeline::{Kind, Plan};

/// What must come out of the samples' sink.
pub(crate) struct Oracle {
    chain: Chain,
    pipeline: Arc<str>,
    clock: Clock,
}

impl Oracle {
    /// The oracle of the first sink of these definitions; `None` where they cannot be read.
    pub(crate) fn of(definitions: &Definitions, options: ChainOptions, clock: Clock) -> Option<Self> {
        let plan = Plan::read(Kind::Samples, definitions.pipeline.as_ref()?).ok()?;
        let (sink, pipeline) = (plan.sinks.first()?, plan.pipelines.first()?);
        let chain = Chain::new(Arc::clone(&sink.transformers), &sink.name, options);
        Some(Oracle { chain, pipeline: Arc::clone(&pipeline.name), clock })
    }

    /// What the samples of the next notification become.
    pub(crate) fn outputs(&mut self, message_id: &Value, samples: Vec<Sample>) -> Vec<Sample> {
        self.chain.take(&self.pipeline, message_id, samples, self.clock.now(), &mut Vec::new())
    }

    /// What the chain remembers.
    pub(crate) fn cells(&self) -> BTreeMap<CellKey, Vec<u8>> {
        self.chain.cells().into_iter().map(|cell| (cell.key, timeless(&cell.value))).collect()
    }
}

/// A cell's value without the time at which it was made, which is another one for each that makes it.
pub(crate) fn timeless(value: &[u8]) -> Vec<u8> {
    let Ok(Value::Dict(mut cell)) = json::read(value) else { return value.to_vec() };
    cell.remove("at");
    json::to_string(&Value::Dict(cell)).into_bytes()
}
