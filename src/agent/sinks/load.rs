//! A batch on its way to the destinations of a sink, and what its records came in.

use std::sync::Arc;

use super::offer::Unwanted;
use super::sink::Destination;
use crate::agent::packets::packet::Fragment;
use crate::agent::parked::label::{Content, Label, Whose};
use crate::agent::parked::parking::{Case, Reason};
use crate::model::{Value, json};
use crate::observe::ParkReason;
use crate::publish::{Batch, Refused};

/// A batch for the destinations of a sink, and what it consists of.
pub(in crate::agent) struct Load {
    /// All records, in order.
    pub batch: Batch,
    /// The fragments that they came in, in order: where each ends in the batch.
    pub origins: Vec<Origin>,
}

/// The fragment that some records of a batch came in.
pub(in crate::agent) struct Origin {
    /// The notification's message id.
    pub message_id: Value,
    /// The pipeline that took it.
    pub pipeline: Arc<str>,
    /// The position behind its last record.
    pub end: usize,
}

impl Load {
    /// The position of the fragment that a record came in.
    pub(super) fn origin(&self, record: usize) -> usize {
        self.origins.partition_point(|origin| origin.end <= record)
    }

    /// A record that a destination refused, to be parked; `None` for a position that is not in the batch (a publisher's mistake).
    pub(super) fn refused(
        &self,
        unwanted: Unwanted,
        sink: &Arc<str>,
        destination: &Destination,
    ) -> Option<(Vec<u8>, Case)> {
        let Unwanted { refused: Refused { record, cause }, attempts } = unwanted;
        let origin = self.origins.get(self.origin(record))?;
        let mut body = Vec::new();
        let (content, event_type) = match &self.batch {
            Batch::Samples(samples) => {
                let sample = samples.get(record)?;
                sample.write_json(&mut body);
                (Content::Sample, &sample.name)
            }
            Batch::Events(events) => {
                let event = events.get(record)?;
                event.write_json(&mut body);
                (Content::Event, &event.event_type)
            }
        };
        let text = Label::refused(&destination.url, &cause);
        let case = Case {
            origin: Arc::clone(sink),
            reason: Reason { kind: ParkReason::Refused, text },
            content,
            attempts,
            event_type: Some(event_type.to_string()),
            whose: Whose {
                sink: sink.to_string(),
                publisher: Some(destination.url.to_string()),
                destination: Some(destination.key.to_string()),
                pipeline: Some(origin.pipeline.to_string()),
                message_id: Some(json::to_string(&origin.message_id)),
            },
        };
        Some((body, case))
    }

    /// Some of the records, in the fragments that they came in.
    pub(in crate::agent) fn fragments(&self, records: &[usize]) -> Vec<Fragment> {
        let fragment = |some: &[usize]| {
            let Origin { message_id, pipeline, .. } = self.origins.get(self.origin(*some.first()?))?;
            let (message_id, pipeline) = (message_id.clone(), Arc::clone(pipeline));
            Some(Fragment { message_id, pipeline, batch: self.batch.only(some) })
        };
        records.chunk_by(|one, other| self.origin(*one) == self.origin(*other)).filter_map(fragment).collect()
    }
}
