//! What somebody asks to see.

use crate::model::Glob;

/// Lines in a second where nothing else is asked for.
pub(super) const RATE: u32 = 100;
/// Lines in a second, at most.
pub(super) const RATE_MAX: u32 = 10_000;
/// The longest text in a wish, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Notifications.
    Notifications,
    /// Samples.
    Samples,
    /// Events.
    Events,
}

/// What somebody asks to see. All that is asked must hold.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What.
    pub kind: Kind,
    /// Of notifications with such an event type.
    pub event_type: Option<Glob>,
    /// Of such a meter; of notifications and events: that made a sample of such a meter.
    pub meter: Option<Glob>,
    /// Of this resource.
    pub resource: Option<String>,
    /// From this queue, by its name at the broker. A pipeline queue: what its owner takes from it. Nothing: from all main queues.
    pub queue: Option<String>,
    /// Lines in a second, at most.
    pub rate: u32,
    /// Lines in all; nothing: without end.
    pub limit: Option<u64>,
}

/// Why nothing can be asked like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot tap with {name}={value:?}: expected {expected}")]
pub struct BadWish {
    name: String,
    value: String,
    expected: &'static str,
}

impl Default for Wish {
    fn default() -> Self {
        Wish {
            kind: Kind::Notifications,
            event_type: None,
            meter: None,
            resource: None,
            queue: None,
            rate: RATE,
            limit: None,
        }
    }
}

impl Wish {
    /// From the pairs of a query: `kind`, `event_type`, `meter`, `resource`, `queue`, `rate`, `limit`.
    pub fn of<'q>(pairs: impl Iterator<Item = (&'q str, &'q str)>) -> Result<Wish, BadWish> {
        let mut wish = Wish::default();
        for (name, value) in pairs {
            let bad = |expected| BadWish { name: short(name), value: short(value), expected };
            if value.len() > TEXT_BYTES_MAX {
                return Err(bad("at most 1024 bytes"));
            }
            match name {
                "kind" => {
                    wish.kind = match value {
                        "notifications" => Kind::Notifications,
                        "samples" => Kind::Samples,
                        "events" => Kind::Events,
                        _ => return Err(bad("notifications, samples or events")),
                    };
                }
                "event_type" => wish.event_type = Some(Glob::new(value)),
                "meter" => wish.meter = Some(Glob::new(value)),
                "resource" => wish.resource = Some(value.to_owned()),
                "queue" => wish.queue = Some(value.strip_prefix("main:").unwrap_or(value).to_owned()),
                "rate" => {
                    let rate = value.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate));
                    wish.rate = rate.ok_or_else(|| bad("lines per second, 1 to 10000"))?;
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| *limit > 0);
                    wish.limit = Some(limit.ok_or_else(|| bad("a number of lines, at least 1"))?);
                }
                _ => return Err(bad("kind, event_type, meter, resource, queue, rate or limit")),
            }
        }
        Ok(wish)
    }
}

fn short(text: &str) -> String {
    text[..text.floor_char_boundary(100)].to_owned()
}
