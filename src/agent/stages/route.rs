//! Which pipeline takes what of a converted notification, and what its records are grouped by.

use std::sync::Arc;

use crate::agent::packets::packet::Fragment;
use crate::agent::sinks::sink::SinkSlot;
use crate::convert::{Converted, Converter};
use crate::model::{Complaint, ContextMembers, Event, Notification, Place, Sample};
use crate::pipeline::{NameFilter, volume};
use crate::publish::Batch;
use crate::transport::dispatch::Dispatcher;

/// Everything that the configuration says about the way of a notification. Replaced whole at a reload.
pub(in crate::agent) struct Routes {
    /// Notifications that are wanted at all.
    pub dispatcher: Dispatcher,
    /// Makes samples and events.
    pub converter: Converter,
    /// What the two look at in a request context.
    pub context: ContextMembers,
    /// The pipelines of `pipeline.yaml`, in its order.
    pub sample_pipelines: Vec<Pipeline>,
    /// The pipelines of `event_pipeline.yaml`, in its order.
    pub event_pipelines: Vec<Pipeline>,
    /// The sinks of both, by [`Pipeline::sink`].
    pub sinks: Vec<Arc<SinkSlot>>,
    /// How many pipeline queues the configuration gives a sink: what a new group begins with.
    pub queues_wanted: u16,
}

/// One source with one of its sinks.
pub(in crate::agent) struct Pipeline {
    /// `source:sink`, or the one name of both.
    pub name: Arc<str>,
    /// Meter names or event types it takes.
    pub filter: Arc<NameFilter>,
    /// Position in [`Routes::sinks`].
    pub sink: usize,
}

/// What one notification yields for one pipeline, with the position of its sink.
pub(in crate::agent) type Routed = (usize, Fragment);

impl AsRef<[Arc<SinkSlot>]> for Routes {
    fn as_ref(&self) -> &[Arc<SinkSlot>] {
        &self.sinks
    }
}

impl Routes {
    /// The fragments for the sinks, in pipeline order; samples whose volume cannot be published are left out with a
    /// complaint, as the original's `_validate_volume` does (Ceilometer reference §4.1.3).
    pub(in crate::agent) fn fragments(
        &self,
        notification: &Notification,
        converted: Converted,
        complaints: &mut Vec<Complaint>,
    ) -> Vec<Routed> {
        let Converted { mut samples, events, .. } = converted;
        samples.retain(|sample| match volume::check(&sample.volume) {
            Ok(()) => true,
            Err(why) => {
                complaints.push(dropped(sample, why));
                false
            }
        });
        let mut routed = Vec::new();
        select(
            &self.sample_pipelines,
            samples,
            |s: &Sample| &s.name,
            |pipeline, taken| {
                routed.push((pipeline.sink, fragment(notification, pipeline, Batch::Samples(taken))));
            },
        );
        select(
            &self.event_pipelines,
            events,
            |e: &Event| &e.event_type,
            |pipeline, taken| {
                routed.push((pipeline.sink, fragment(notification, pipeline, Batch::Events(taken))));
            },
        );
        routed
    }
}

/// The complaint about a sample that cannot be published.
pub fn dropped(sample: &Sample, why: &str) -> Complaint {
    let place = Place { file: format!("sample {}", sample.name).into(), line: 0 };
    Complaint::warning(&place, format!("left out: {why}"))
}

fn fragment(notification: &Notification, pipeline: &Pipeline, batch: Batch) -> Fragment {
    Fragment { message_id: notification.message_id().clone(), pipeline: Arc::clone(&pipeline.name), batch }
}

/// Gives every pipeline the records it takes; the last taker gets the originals, the others copies.
fn select<T: Clone>(
    pipelines: &[Pipeline],
    records: Vec<T>,
    name: impl Fn(&T) -> &str,
    mut take: impl FnMut(&Pipeline, Vec<T>),
) {
    if records.is_empty() {
        return;
    }
    let mut rest = Some(records);
    for (n, pipeline) in pipelines.iter().enumerate() {
        let taken: Vec<T> = if n + 1 == pipelines.len() {
            rest.take().into_iter().flatten().filter(|r| pipeline.filter.takes(name(r))).collect()
        } else {
            rest.iter().flatten().filter(|r| pipeline.filter.takes(name(r))).cloned().collect()
        };
        if !taken.is_empty() {
            take(pipeline, taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dict, Trait, Value, time};
    use crate::model::{TraitValue, event_key};

    fn event(event_type: &str, resource: Option<&str>) -> Event {
        let trait_of = |id: &str| Trait { name: "resource_id".into(), value: TraitValue::Text(id.into()) };
        Event {
            message_id: Value::Null,
            event_type: event_type.into(),
            generated: time::parse("2026-03-01").unwrap().naive_utc(),
            traits: resource.map(trait_of).into_iter().collect(),
            raw: Dict::new(),
        }
    }

    #[test]
    fn events_of_a_resource_share_a_queue_whatever_their_types() {
        assert_eq!(event_key(&event("volume.create.end", Some("v"))), b"v");
        assert_eq!(event_key(&event("volume.delete.end", Some("v"))), b"v");
        assert_eq!(event_key(&event("volume.delete.end", None)), b"volume.delete.end");
    }
}
