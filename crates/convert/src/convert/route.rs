//! Which definitions look at an event type: decided once, remembered, bounded.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::endpoints::Endpoint;

/// What looks at one event type.
pub(crate) struct Route {
    /// Built-in endpoints, in order.
    pub(crate) endpoints: Vec<&'static Endpoint>,
    /// Meter definitions, by place, in emission order.
    pub(crate) meters: Vec<usize>,
    /// The one event definition, by place.
    pub(crate) event: Option<usize>,
}

/// Senders invent event types: this many are remembered in each of two generations.
const REMEMBERED_MAX: usize = 4096;
/// A longer event type is looked up every time rather than kept.
const REMEMBERED_BYTES_MAX: usize = 256;

/// Remembered routes. When the young generation is full it becomes the old one, and what is still asked for comes back:
/// invented event types cannot push the real ones out for long.
#[derive(Default)]
pub(crate) struct Routes(RwLock<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<Route>>,
    old: HashMap<Box<str>, Arc<Route>>,
}

impl Routes {
    /// The route of an event type, found by `decide` if it is not remembered.
    pub(crate) fn get(&self, event_type: &str, decide: impl FnOnce() -> Route) -> Arc<Route> {
        if event_type.len() > REMEMBERED_BYTES_MAX {
            return Arc::new(decide());
        }
        let remembered = {
            // A panic elsewhere cannot leave a half-made map: a poisoned lock is as good as a clean one.
            let generations = self.0.read().unwrap_or_else(PoisonError::into_inner);
            match generations.young.get(event_type) {
                Some(route) => return Arc::clone(route),
                None => generations.old.get(event_type).map(Arc::clone),
            }
        };
        let route = remembered.unwrap_or_else(|| Arc::new(decide()));
        let mut generations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= REMEMBERED_MAX {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(event_type.into(), Arc::clone(&route));
        route
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.0.read().unwrap();
        generations.young.len() + generations.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_invents_event_types_without_end() {
        let routes = Routes::default();
        let mut decided = 0;
        for n in 0..3 * REMEMBERED_MAX {
            for event_type in [format!("invented.{n}"), "image.send".to_owned()] {
                routes.get(&event_type, || {
                    decided += usize::from(event_type == "image.send");
                    Route { endpoints: Vec::new(), meters: Vec::new(), event: None }
                });
            }
        }
        assert!(routes.len() <= 2 * REMEMBERED_MAX);
        assert_eq!(decided, 1, "what is asked for all the time stays remembered");
    }
}
