//! One event definition: the event types it takes, and the traits of its events.

use super::Failed;
use super::traits::{TraitDefinition, entries, naive_utc};
use crate::convert::field::Field;
use crate::model::python::Raised;
use crate::model::{Complaint, Data, Dict, Event, Glob, Node, Notification, Place, Trait, Value};

/// The traits that every event has unless its definition says otherwise, with their paths (Ceilometer reference §4.2).
const DEFAULT_TRAITS: [(&str, &str); 5] = [
    ("service", "publisher_id"),
    ("request_id", "ctxt.request_id"),
    ("project_id", "(payload.tenant_id)|(ctxt.project_id)"),
    ("user_id", "(payload.user_id)|(ctxt.user_id)"),
    ("tenant_id", "(payload.tenant_id)|(ctxt.project_id)"),
];

/// An event definition in force.
pub(crate) struct EventDefinition {
    /// Where it is written.
    pub(crate) place: Place,
    included: Vec<(String, Glob)>,
    excluded: Vec<(String, Glob)>,
    traits: Vec<TraitDefinition>,
}

impl EventDefinition {
    /// Reads a definition; every mistake in it at once.
    pub(super) fn load(entry: &Node) -> Result<Self, Vec<Complaint>> {
        let Data::Map(_) = &entry.data else {
            let found = entry.described();
            let text = format!("expected an event definition: a mapping with event_type and traits; this is {found}");
            return Err(vec![Complaint::error(&entry.place, text)]);
        };
        let mut wrong = Vec::new();
        let mut definition = Self::bare(entry.place.clone());
        match (entry.get("event_type"), entry.get("traits")) {
            (Some(event_type), Some(traits)) => {
                definition.read_event_types(event_type, &mut wrong);
                definition.read_traits(traits, &mut wrong);
            }
            (event_type, traits) => {
                for (key, node) in [("event_type", event_type), ("traits", traits)] {
                    if node.is_none() {
                        wrong.push(Complaint::error(&entry.place, format!("{key} missing in this event definition")));
                    }
                }
            }
        }
        if wrong.is_empty() { Ok(definition) } else { Err(wrong) }
    }

    /// What takes every event type that no definition takes: the default traits alone.
    pub(super) fn catch_all() -> Self {
        let mut definition = Self::bare(Place { file: "built-in catch-all event definition".into(), line: 0 });
        definition.included.push(("*".to_owned(), Glob::new("*")));
        definition
    }

    fn bare(place: Place) -> Self {
        let traits = DEFAULT_TRAITS.iter().filter_map(|(name, path)| {
            let field = Field::path(path);
            debug_assert!(field.is_ok(), "{path} is a path");
            Some(TraitDefinition::text(name, field.ok()?))
        });
        EventDefinition { place, included: Vec::new(), excluded: Vec::new(), traits: traits.collect() }
    }

    fn read_event_types(&mut self, node: &Node, wrong: &mut Vec<Complaint>) {
        let globs: Vec<&Node> = match &node.data {
            Data::Scalar(Value::Str(_)) => vec![node],
            Data::List(items) => items.iter().collect(),
            Data::Map(pairs) => pairs.iter().map(|(key, _)| key).collect(),
            Data::Scalar(_) => {
                wrong.push(Complaint::error(
                    &node.place,
                    format!("event_type: expected a glob or a list of globs, this is {}", node.described()),
                ));
                return;
            }
        };
        for glob in globs {
            match glob.as_str() {
                Some(text) => match text.strip_prefix('!') {
                    Some(excluded) => self.excluded.push((excluded.to_owned(), Glob::new(excluded))),
                    None => self.included.push((text.to_owned(), Glob::new(text))),
                },
                None => wrong.push(Complaint::error(
                    &glob.place,
                    format!("event_type: expected a glob, as text; this is {}", glob.described()),
                )),
            }
        }
        if self.included.is_empty() && !self.excluded.is_empty() {
            self.included.push(("*".to_owned(), Glob::new("*")));
        }
    }

    /// The defined traits take the places of default traits of the same name, or follow them.
    fn read_traits(&mut self, node: &Node, wrong: &mut Vec<Complaint>) {
        let pairs = match entries(node) {
            Ok(pairs) => pairs,
            Err(complaint) => {
                wrong.push(complaint);
                return;
            }
        };
        for (key, value) in pairs {
            match TraitDefinition::load(&key.key_text(), value) {
                Ok(new) => match self.traits.iter_mut().find(|old| old.name == new.name) {
                    Some(old) => *old = new,
                    None => self.traits.push(new),
                },
                Err(complaint) => wrong.push(complaint),
            }
        }
    }

    /// Whether it takes this event type.
    pub(crate) fn matches(&self, event_type: &str) -> bool {
        let takes = |globs: &[(String, Glob)]| globs.iter().any(|(_, glob)| glob.matches(event_type));
        takes(&self.included) && !takes(&self.excluded)
    }

    /// Whether it takes everything by saying so.
    pub(super) fn is_catch_all(&self) -> bool {
        self.excluded.is_empty() && self.included.iter().any(|(text, _)| text == "*")
    }

    /// Why no notification can ever reach it, if that is sure and anything is lost by it: `earlier` have the first say.
    ///
    /// A definition that only lends its traits to later ones, as YAML anchors are used, loses nothing.
    pub(super) fn never_used(&self, earlier: &[EventDefinition]) -> Option<String> {
        /// So many winners are named.
        const NAMED_MAX: usize = 3;
        let mut winners: Vec<String> = Vec::new();
        let mut lent = true;
        for (text, glob) in &self.included {
            if self.excluded.iter().any(|(_, excluded)| excluded.covers(glob)) {
                continue;
            }
            let winner = earlier
                .iter()
                .find(|other| other.excluded.is_empty() && other.included.iter().any(|(_, wide)| wide.covers(glob)))?;
            lent &= winner.has_traits_of(self);
            let (wide, _) = winner.included.iter().find(|(_, wide)| wide.covers(glob))?;
            winners.push(format!("{text} by {wide} at {}", winner.place));
        }
        if winners.is_empty() {
            return Some("this event definition takes no event type at all".to_owned());
        }
        let more = winners.len().saturating_sub(NAMED_MAX);
        winners.truncate(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!lent).then(|| {
            format!(
                "this event definition is never used, because later ones take everything it names: {}{more} (the last \
                 definition that takes an event type wins, alone)",
                winners.join(", ")
            )
        })
    }

    /// Whether every trait that the other defines is one of its own, found in the same way.
    fn has_traits_of(&self, other: &EventDefinition) -> bool {
        let mut defined = other.traits.iter().filter(|t| !DEFAULT_TRAITS.contains(&(&*t.name, t.field.text())));
        defined.all(|theirs| {
            self.traits.iter().any(|own| own.name == theirs.name && own.field.text() == theirs.field.text())
        })
    }

    /// The event types as written, exclusions with their `!`.
    pub(crate) fn event_types(&self) -> impl Iterator<Item = String> {
        let excluded = self.excluded.iter().map(|(text, _)| format!("!{text}"));
        self.included.iter().map(|(text, _)| text.clone()).chain(excluded)
    }

    /// Every trait with its path, for the operator's eyes.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.traits.iter().map(|t| (&*t.name, &t.field))
    }

    /// The event of a notification. What fails costs the event, or with `keep_going` (the repair `failed_traits`) only
    /// the trait.
    pub(crate) fn event(
        &self,
        notification: &Notification,
        store_raw: bool,
        keep_going: bool,
    ) -> (Option<Event>, Vec<Failed>) {
        let mut failed = Vec::new();
        let lost = |raised: Raised| (None, vec![Failed { name: None, raised }]);
        let Some(event_type) = notification.event_type_text().cloned() else {
            return lost(Raised::new("TypeError", "the event type is no text"));
        };
        let generated = match naive_utc(notification.timestamp()) {
            Ok(generated) => generated,
            Err(raised) => return lost(raised),
        };
        let mut traits: Vec<Trait> = Vec::with_capacity(self.traits.len());
        for definition in &self.traits {
            match definition.find(notification) {
                Ok(found) => traits.extend(found),
                Err(raised) => {
                    failed.push(Failed { name: Some(definition.name.clone()), raised });
                    if !keep_going {
                        return (None, failed);
                    }
                }
            }
        }
        let raw = if store_raw { notification.root().as_dict().cloned().unwrap_or_default() } else { Dict::new() };
        let message_id = notification.message_id().clone();
        (Some(Event { message_id, event_type, generated, traits: traits.into(), raw }), failed)
    }
}
