//! What passes, which of it is wished, and how it is written.

use super::wish::{Kind, Wish};
use crate::model::json;
use crate::model::{Event, Glob, Notification, Sample, TraitValue, Value};

/// The trait that names the resource of an event.
const RESOURCE_TRAIT: &str = "resource_id";

/// What passes at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Passing<'p> {
    /// The queue that it came from, by its name at the broker.
    pub queue: &'p str,
    /// The notification; nothing behind a pipeline queue.
    pub notification: Option<&'p Notification>,
    /// The samples that were made of it, or came in a packet.
    pub samples: &'p [Sample],
    /// The events.
    pub events: &'p [Event],
}

/// One line of what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// The notification.
    Notification,
    /// The sample at this place.
    Sample(usize),
    /// The event at this place.
    Event(usize),
}

impl Passing<'_> {
    /// Gives every line that is wished.
    pub(super) fn items(&self, wish: &Wish, mut take: impl FnMut(Item)) {
        // Behind a pipeline queue is shown what was asked for by its name: what passes there was seen before.
        let is_of_queue = match &wish.queue {
            Some(queue) => queue == self.queue,
            None => self.notification.is_some(),
        };
        if !is_of_queue {
            return;
        }
        match wish.kind {
            Kind::Notifications => {
                let is_wished = self.notification.is_some()
                    && matches_name(wish.event_type.as_ref(), self.event_type())
                    && self.has_meter(wish.meter.as_ref())
                    && self.has_resource(wish.resource.as_deref());
                if is_wished {
                    take(Item::Notification);
                }
            }
            Kind::Samples => {
                if self.notification.is_some() && !matches_name(wish.event_type.as_ref(), self.event_type()) {
                    return;
                }
                for (n, sample) in self.samples.iter().enumerate() {
                    let is_wished = matches_name(wish.meter.as_ref(), Some(&sample.name))
                        && wish.resource.as_deref().is_none_or(|wanted| is_text(&sample.resource_id, wanted));
                    if is_wished {
                        take(Item::Sample(n));
                    }
                }
            }
            Kind::Events => {
                for (n, event) in self.events.iter().enumerate() {
                    let is_wished = matches_name(wish.event_type.as_ref(), Some(&event.event_type))
                        && self.has_meter(wish.meter.as_ref())
                        && wish.resource.as_deref().is_none_or(|wanted| is_of(event, wanted));
                    if is_wished {
                        take(Item::Event(n));
                    }
                }
            }
        }
    }

    /// Writes a line, with its end. Passwords, tokens and user data are not in it: whoever reads it may keep it.
    pub(super) fn write(&self, item: Item, out: &mut Vec<u8>) {
        match item {
            Item::Notification => {
                let Some(notification) = self.notification else { return };
                self.begin(self.event_type(), out);
                out.extend_from_slice(b",\"notification\":");
                json::write_without_secrets(notification.root(), out);
            }
            Item::Sample(n) => {
                let Some(sample) = self.samples.get(n) else { return };
                self.begin(self.event_type(), out);
                out.extend_from_slice(b",\"sample\":");
                // Its metadata may be a whole payload.
                json::write_without_secrets(&Value::Dict(sample.as_dict()), out);
            }
            Item::Event(n) => {
                let Some(event) = self.events.get(n) else { return };
                self.begin(Some(&event.event_type), out);
                out.extend_from_slice(b",\"event\":");
                event.write_json(out);
            }
        }
        out.extend_from_slice(b"}\n");
    }

    fn event_type(&self) -> Option<&str> {
        self.notification.and_then(Notification::event_type)
    }

    fn begin(&self, event_type: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"queue\":");
        json::write_str(self.queue, out);
        if let Some(event_type) = event_type {
            out.extend_from_slice(b",\"event_type\":");
            json::write_str(event_type, out);
        }
    }

    fn has_meter(&self, meter: Option<&Glob>) -> bool {
        meter.is_none_or(|meter| self.samples.iter().any(|sample| meter.matches(&sample.name)))
    }

    fn has_resource(&self, resource: Option<&str>) -> bool {
        resource.is_none_or(|wanted| {
            self.samples.iter().any(|sample| is_text(&sample.resource_id, wanted))
                || self.events.iter().any(|event| is_of(event, wanted))
        })
    }
}

fn matches_name(glob: Option<&Glob>, name: Option<&str>) -> bool {
    glob.is_none_or(|glob| name.is_some_and(|name| glob.matches(name)))
}

fn is_text(value: &Value, wanted: &str) -> bool {
    value.as_str() == Some(wanted)
}

fn is_of(event: &Event, wanted: &str) -> bool {
    let is = |value: &TraitValue| matches!(value, TraitValue::None(text) | TraitValue::Text(text) if *text == *wanted);
    event.traits.iter().any(|one| &*one.name == RESOURCE_TRAIT && is(&one.value))
}
