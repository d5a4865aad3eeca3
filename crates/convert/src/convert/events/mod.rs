//! Events: what `event_definitions.yaml` says (Ceilometer reference §4.2).
//!
//! The last definition that takes an event type makes the event, alone: definitions are never merged here. Any mistake
//! in the file keeps Ceilometer's workers from starting; ours refuses with all of them at once.

mod definition;
mod traits;

pub(crate) use definition::EventDefinition;

use super::options::ConvertOptions;
use crate::model::python::Raised;
use crate::model::{Complaint, Data, Node, Text, Value};

/// The definitions in force, the one with the first say in front. `None` if anything is wrong with any of them.
pub(crate) fn load(
    document: &Node,
    options: &ConvertOptions,
    complaints: &mut Vec<Complaint>,
) -> Option<Vec<EventDefinition>> {
    let entries: &[Node] = match &document.data {
        Data::List(entries) => entries,
        Data::Map(pairs) if pairs.is_empty() => &[],
        Data::Scalar(Value::Str(text)) if text.is_empty() => &[],
        _ => {
            let text = format!("expected a list of event definitions, this is {}", document.described());
            complaints.push(Complaint::error(&document.place, text));
            return None;
        }
    };
    let mut whole = true;
    let mut loaded: Vec<EventDefinition> = Vec::with_capacity(entries.len() + 1);
    for entry in entries.iter().rev() {
        match EventDefinition::load(entry) {
            Ok(definition) => {
                if let Some(why) = definition.never_used(&loaded) {
                    complaints.push(Complaint::warning(&definition.place, why));
                }
                loaded.push(definition);
            }
            Err(mut wrong) => {
                whole = false;
                complaints.append(&mut wrong);
            }
        }
    }
    if !options.drop_unmatched_notifications && !loaded.iter().any(EventDefinition::is_catch_all) {
        loaded.push(EventDefinition::catch_all());
    }
    whole.then_some(loaded)
}

/// What a trait or an event could not be made of.
pub(crate) struct Failed {
    /// The trait, if it is one.
    pub(crate) name: Option<Text>,
    /// Ceilometer's exception.
    pub(crate) raised: Raised,
}
