//! Notification in; samples, events and complaints out.
//!
//! A [`Converter`] is what the operator's definitions mean, and cannot be wrong: whatever is wrong with them was said
//! when it was built, each complaint with its file and line. Converting is total: a definition that fails on a
//! notification costs only itself, and says so in [`Converted::complaints`].
//!
//! Never here: files, clocks, logging; which pipeline takes what; whether a volume is a number (Ceilometer reference
//! §4.1.3 leaves that to the pipelines).

mod endpoints;
mod events;
mod explain;
pub mod field;
mod keys;
mod metadata;
mod meters;
mod options;
pub mod path;
pub mod plugins;

mod route;
mod sampling;

pub use explain::{Considered, Explanation, Finding, Maker, Outcome};
pub use options::{ConvertOptions, Repairs, Reserved, Verifier};

use crate::model::{Complaint, ContextMembers, Event, Node, Notification, Place, Sample, Value};
use events::EventDefinition;
use meters::MeterDefinition;
use route::{Route, Routes};
use sampling::Sampling;
use std::sync::Arc;

/// The operator's definition files, read but not yet understood.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The meter definition files: directory by directory as configured, by name within each.
    pub meters: Vec<Node>,
    /// The event definition file.
    pub events: Node,
}

/// Makes samples and events of notifications. One serves any number of threads.
pub struct Converter {
    meters: Vec<MeterDefinition>,
    events: Vec<EventDefinition>,
    options: ConvertOptions,
    routes: Routes,
}

/// What one notification gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Converted {
    /// In Ceilometer's order: polled samples, sensors, HTTP, classic listeners, then the meters in emission order.
    ///
    /// A sample's id is the UUIDv5, in the namespace `87f5969c-742e-51c4-814a-09f88de660fc`, of the compact JSON list
    /// `[message_id, event_type, timestamp, position in this list]`, so that a repeat of the notification gives the
    /// same ids; a polled sample keeps the id it came with.
    pub samples: Vec<Sample>,
    /// None or one.
    pub events: Vec<Event>,
    /// What could not be made: an error where Ceilometer raises, a warning where it only warns. The place is that
    /// of the definition.
    pub complaints: Vec<Complaint>,
}

impl Converter {
    /// Understands the definitions.
    ///
    /// An error complaint means that the agent must not start: Ceilometer would run on without any meter, or not
    /// start its workers (Ceilometer reference §4.1.4, §4.2). A warning tells what becomes of one definition: skipped,
    /// never used, or not what its author probably meant. There is a converter unless there is an error.
    pub fn build(sources: &Sources, options: ConvertOptions) -> (Option<Converter>, Vec<Complaint>) {
        let mut complaints = Vec::new();
        let meters = meters::load(&sources.meters, &options, &mut complaints);
        let events = events::load(&sources.events, &options, &mut complaints);
        keys::of_meters(&sources.meters, &mut complaints);
        keys::of_events(&sources.events, &mut complaints);
        complaints.sort_by(|a, b| a.place.cmp(&b.place));
        let converter = meters.zip(events).map(|(meters, events)| {
            let routes = Routes::default();
            Converter { meters, events, options, routes }
        });
        (converter, complaints)
    }

    /// The names of the meter definitions in force, as written, in emission order.
    pub fn meter_names(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.meters.iter().map(|meter| &meter.name)
    }

    /// What it looks at in a request context: enough to [open](crate::model::envelope::open_for) notifications for it.
    pub fn context_members(&self) -> ContextMembers {
        let mut members = ContextMembers::none();
        if !self.options.store_raw.is_empty() || !self.options.disable_non_metric_meters {
            return ContextMembers::All;
        }
        self.meters.iter().for_each(|meter| meter.add_context_members(&mut members));
        let traits = self.events.iter().flat_map(EventDefinition::fields);
        traits.for_each(|(_, field)| field.add_context_members(&mut members));
        members
    }

    /// Converts a notification: samples if its priority is info or sample, an event if it is info or error.
    ///
    /// Never fails as a whole and never panics, whatever the sender wrote.
    pub fn convert(&self, notification: &Notification) -> Converted {
        let mut converted = Converted::default();
        let priority = notification.priority();
        if !priority.gives_samples() && !priority.gives_events() {
            return converted;
        }
        let Some(event_type) = notification.event_type() else {
            let place = Place { file: "notification".into(), line: 0 };
            converted.complaints.push(Complaint::error(&place, "TypeError: the event type is no text"));
            return converted;
        };
        let route = self.route(event_type);
        if priority.gives_samples() {
            self.sample(notification, &route, &mut converted);
        }
        if let Some(definition) = route.event.filter(|_| priority.gives_events()).and_then(|n| self.events.get(n)) {
            self.event(notification, definition, &mut converted);
        }
        converted
    }

    /// What every definition made of a notification, and why.
    pub fn explain(&self, notification: &Notification) -> Explanation {
        explain::explain(self, notification)
    }

    fn route(&self, event_type: &str) -> Arc<Route> {
        self.routes.get(event_type, || {
            let meters = self.meters.iter().enumerate().filter(|(_, meter)| meter.matches(event_type));
            Route {
                endpoints: endpoints::Endpoint::matching(event_type, !self.options.disable_non_metric_meters),
                meters: meters.map(|(n, _)| n).collect(),
                event: self.events.iter().position(|event| event.matches(event_type)),
            }
        })
    }

    fn sample(&self, notification: &Notification, route: &Route, converted: &mut Converted) {
        let Converted { samples, complaints, .. } = converted;
        let mut sampling = Sampling::new(notification, &self.options.sample_source, samples, complaints);
        for endpoint in &route.endpoints {
            if let Err(raised) = endpoint.build(&mut sampling, &self.options) {
                sampling.complain(&endpoint.place(), "no sample", &raised);
            }
        }
        for meter in route.meters.iter().filter_map(|n| self.meters.get(*n)) {
            meter.sample(&mut sampling);
        }
    }

    fn event(&self, notification: &Notification, definition: &EventDefinition, converted: &mut Converted) {
        let store_raw = self.options.store_raw.contains(&notification.priority());
        let (event, failed) = definition.event(notification, store_raw, self.options.repairs.failed_traits);
        let lost = if event.is_some() { "left out" } else { "no event" };
        converted.events.extend(event);
        for failure in failed {
            let text = match failure.name {
                Some(name) => format!("{lost}: trait {name}: {}", failure.raised),
                None => format!("{lost}: {}", failure.raised),
            };
            converted.complaints.push(Complaint::error(&definition.place, text));
        }
    }
}

impl std::fmt::Debug for Converter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Converter({} meters, {} events)", self.meters.len(), self.events.len())
    }
}
