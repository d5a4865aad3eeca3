//! One scope: what one notification yields for one pipeline of a sink, while it goes through the chain.

use super::options::ChainOptions;
use crate::model::{Complaint, Place, Sample, SampleType, Text, Value, grouping_text, json};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The namespace of the ids of samples made here: UUIDv5 of `nephoscope.transformed` in the OID namespace.
const TRANSFORMED_IDS: Uuid = Uuid::from_u128(0x211f_7b92_01ac_5886_8b49_e72e_30ed_ba25);

/// What transformers are told beside samples, and what they tell beside samples.
pub(super) struct Scope<'a> {
    pipeline: &'a str,
    message_id: &'a Value,
    /// Microseconds since 1970, by the caller's clock.
    pub(super) now: i64,
    pub(super) options: &'a ChainOptions,
    sink: &'a str,
    /// Whose turn it is: the position in the chain, its name, and where it is written.
    turn: (usize, &'a str, &'a Place),
    /// How many samples were made, by position and resource.
    made: BTreeMap<(usize, Box<str>), u64>,
    complaints: &'a mut Vec<Complaint>,
}

/// A sample that is to be made of another one.
pub(super) struct Draft {
    pub(super) name: Text,
    pub(super) kind: SampleType,
    pub(super) unit: Value,
    pub(super) volume: Value,
}

impl<'a> Scope<'a> {
    pub(super) fn new(
        pipeline: &'a str,
        message_id: &'a Value,
        now: DateTime<Utc>,
        options: &'a ChainOptions,
        sink: &'a str,
        nowhere: &'a Place,
        complaints: &'a mut Vec<Complaint>,
    ) -> Scope<'a> {
        let (now, made) = (now.timestamp_micros(), BTreeMap::new());
        Scope { pipeline, message_id, now, options, sink, turn: (0, "", nowhere), made, complaints }
    }

    /// Whose turn it is from now on.
    pub(super) fn turn(&mut self, position: usize, name: &'a str, place: &'a Place) {
        self.turn = (position, name, place);
    }

    /// A new sample: its own id, the default source, neither names nor a monotonic time; the rest is Ceilometer's.
    pub(super) fn make(&mut self, of: &Sample, draft: Draft) -> Sample {
        Sample {
            name: draft.name,
            kind: draft.kind,
            unit: draft.unit,
            volume: draft.volume,
            user_id: of.user_id.clone(),
            user_name: Value::Null,
            project_id: of.project_id.clone(),
            project_name: Value::Null,
            resource_id: of.resource_id.clone(),
            timestamp: of.timestamp.clone(),
            resource_metadata: of.resource_metadata.clone(),
            source: self.options.sample_source.clone(),
            id: self.next_id(&of.resource_id),
            monotonic_time: Value::Null,
        }
    }

    /// The same at every repeat: of the notification, the pipeline, the transformer, the resource, and how many samples
    /// that made of that resource before in this scope.
    fn next_id(&mut self, resource: &Value) -> Text {
        let position = self.turn.0;
        let made = self.made.entry((position, grouping_text(resource).into())).or_default();
        let (n, mut name) = (*made, Vec::new());
        *made += 1;
        let step = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let parts =
            [self.message_id.clone(), Value::from(self.pipeline), step(position as u64), resource.clone(), step(n)];
        json::write(&Value::List(parts.into()), &mut name);
        Sample::id_of(&TRANSFORMED_IDS, &name)
    }

    /// Something went wrong: what it cost is in the text.
    pub(super) fn complain(&mut self, text: &str) {
        let complaint = self.said(text);
        self.complaints.push(Complaint::error(self.turn.2, complaint));
    }

    /// Something was done that the operator may want to know.
    pub(super) fn warn(&mut self, text: &str) {
        let complaint = self.said(text);
        self.complaints.push(Complaint::warning(self.turn.2, complaint));
    }

    fn said(&self, text: &str) -> String {
        format!("sink {}, {}: {text}", self.sink, self.turn.1)
    }
}

/// What a sample is called in complaints; cut, since both are the sender's.
pub(super) fn shown(sample: &Sample) -> String {
    let cut = |text: &str| text.chars().take(80).collect::<String>();
    format!("{} of {}", cut(&sample.name), cut(&grouping_text(&sample.resource_id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_the_one_that_is_written_down() {
        assert_eq!(TRANSFORMED_IDS, Uuid::new_v5(&Uuid::NAMESPACE_OID, b"nephoscope.transformed"));
    }
}
