//! `accumulator`: samples held until there are enough of them.

use crate::model::{Dict, Sample, Value, grouping_text};
use crate::pipeline::transform::scope::Scope;
use crate::pipeline::transform::store::{Kept, Store, address};

/// A sample as it came.
#[derive(Debug)]
pub(in crate::pipeline::transform) struct Held(Sample);

impl Kept for Held {
    fn write(&self) -> Dict {
        Dict::from_iter([("sample", self.0.as_dict())])
    }

    fn read(mut dict: Dict) -> Option<Held> {
        match dict.remove("sample")? {
            Value::Dict(sample) => Sample::from_dict(sample).ok().map(Held),
            _ => None,
        }
    }
}

/// Holds a sample. The cell is its resource's; its key is the time that also is its place in the order.
pub(in crate::pipeline::transform) fn hold(held: &mut Store<Held>, sample: Sample, scope: &Scope<'_>) {
    let at = held.later(scope.now);
    let address = address(&grouping_text(&sample.resource_id), &at.to_string());
    held.put(&address, at, Held(sample.detached()));
}

/// Everything that is held, in the order in which it came.
pub(in crate::pipeline::transform) fn release(held: &mut Store<Held>) -> Vec<Sample> {
    held.take_all().into_iter().map(|Held(sample)| sample).collect()
}
