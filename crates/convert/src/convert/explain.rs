//! For the operator who asks why: what every definition made of one notification.

use super::field::Field;
use super::sampling::shown;
use super::{Converted, Converter};
use crate::model::{Notification, Place, Value};
use std::fmt;

/// What became of one notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Its event type, null if it has none that is text.
    pub event_type: Value,
    /// Every meter definition in force in emission order, then every event definition, the one with the first say in
    /// front.
    pub considered: Vec<Considered>,
    /// What all of them gave together, built-in endpoints included.
    pub converted: Converted,
}

/// One definition and what it did.
#[derive(Debug, Clone, PartialEq)]
pub struct Considered {
    /// Whether it makes samples or events.
    pub maker: Maker,
    /// A meter's name as written; an event definition's event types.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// Whether it looked at the notification, and why not.
    pub outcome: Outcome,
    /// What each of its paths found; empty unless it looked.
    pub found: Vec<Finding>,
}

/// The kinds of definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// A meter definition.
    Meter,
    /// An event definition.
    Event,
}

/// Whether a definition looked at a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Matched,
    /// None of its event types (here as written) takes this one.
    OtherEventType(String),
    /// It would, but the definition at this place comes first.
    Beaten(Place),
    /// It would, but not at this priority.
    OtherPriority,
}

/// What one path found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The attribute, metadata key or trait.
    pub key: String,
    /// The path as compiled.
    pub path: String,
    /// Whether it is no path but the name, unit or type itself, as in most meters.
    pub literal: bool,
    /// All values it finds, as JSON; or what it raised.
    pub values: Result<Vec<String>, String>,
}

/// First what looked at the notification, with what it found; then what did not, and why; then the complaints.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", shown(&self.event_type))?;
        let (looked, others): (Vec<_>, Vec<_>) = self.considered.iter().partition(|c| c.outcome == Outcome::Matched);
        for one in looked {
            write!(f, "\n  {one} takes it")?;
            for finding in &one.found {
                write!(f, "\n    {finding}")?;
            }
        }
        for one in others {
            match &one.outcome {
                Outcome::Matched => {}
                Outcome::OtherEventType(types) if one.maker == Maker::Meter => {
                    write!(f, "\n  {one}: only for {types}")?;
                }
                Outcome::OtherEventType(_) => write!(f, "\n  {one}: not for this event type")?,
                Outcome::Beaten(by) => write!(f, "\n  {one}: the definition at {by} comes first")?,
                Outcome::OtherPriority => write!(f, "\n  {one}: not at this priority")?,
            }
        }
        for complaint in &self.converted.complaints {
            write!(f, "\n  complaint {complaint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Considered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let maker = match self.maker {
            Maker::Meter => "meter",
            Maker::Event => "event definition",
        };
        write!(f, "{maker} {} ({})", self.name, self.place)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.key, self.path)?;
        match &self.values {
            _ if self.literal => f.write_str("is the text itself"),
            Ok(values) if values.is_empty() => f.write_str("finds nothing"),
            Ok(values) => write!(f, "finds {}", values.join(", ")),
            Err(raised) => write!(f, "raises {raised}"),
        }
    }
}

pub(super) fn explain(converter: &Converter, notification: &Notification) -> Explanation {
    let event_type = notification.event_type();
    let mut considered = Vec::with_capacity(converter.meters.len() + converter.events.len());
    for meter in &converter.meters {
        let outcome = match event_type {
            Some(event_type) if meter.matches(event_type) => {
                if notification.priority().gives_samples() {
                    Outcome::Matched
                } else {
                    Outcome::OtherPriority
                }
            }
            _ => Outcome::OtherEventType(meter.event_types().collect::<Vec<_>>().join(", ")),
        };
        let fields = meter.fields();
        considered.push(Considered {
            maker: Maker::Meter,
            name: meter.shown_name(),
            place: meter.place.clone(),
            found: if outcome == Outcome::Matched { findings(fields, notification) } else { Vec::new() },
            outcome,
        });
    }
    let mut winner: Option<Place> = None;
    for event in &converter.events {
        let types = event.event_types().collect::<Vec<_>>().join(", ");
        let outcome = match (event_type, &winner) {
            (Some(event_type), beaten) if event.matches(event_type) => match beaten {
                Some(place) => Outcome::Beaten(place.clone()),
                None if notification.priority().gives_events() => Outcome::Matched,
                None => Outcome::OtherPriority,
            },
            _ => Outcome::OtherEventType(types.clone()),
        };
        if winner.is_none() && !matches!(outcome, Outcome::OtherEventType(_)) {
            winner = Some(event.place.clone());
        }
        considered.push(Considered {
            maker: Maker::Event,
            name: types,
            place: event.place.clone(),
            found: if outcome == Outcome::Matched { findings(event.fields(), notification) } else { Vec::new() },
            outcome,
        });
    }
    Explanation {
        event_type: event_type.map_or(Value::Null, Value::from),
        considered,
        converted: converter.convert(notification),
    }
}

fn findings<'f>(fields: impl Iterator<Item = (&'f str, &'f Field)>, notification: &Notification) -> Vec<Finding> {
    let root = |field: &Field| {
        if field.reads_priority() { notification.flat_root() } else { notification.root() }
    };
    let find = |field: &Field| match field.first(root(field)) {
        // A plugin may refuse to give all values; its first one then stands alone.
        Ok(first) => Ok(match field.all(root(field)) {
            Ok(all) => all.iter().map(|value| shown(value)).collect(),
            Err(_) => first.iter().map(|value| shown(value)).collect(),
        }),
        Err(raised) => Err(raised.to_string()),
    };
    fields
        .map(|(key, field)| Finding {
            key: key.to_owned(),
            path: field.text().to_owned(),
            literal: matches!(key, "name" | "unit" | "type") && field.is_literal(),
            values: find(field),
        })
        .collect()
}
