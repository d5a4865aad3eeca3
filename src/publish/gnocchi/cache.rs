//! The attributes that Gnocchi last got for each resource, so that they are sent only when they change.
//!
//! As in Ceilometer an entry expires after ten minutes: what somebody else changed is put right then. Never here: requests.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use crate::cluster::hash::stable;
use crate::model::{Dict, json};

/// How long an entry holds: oslo.cache's `expiration_time`.
pub(super) const EXPIRY: Duration = Duration::from_secs(600);
/// So many resources are remembered at most, at some 40 bytes each; older ones are told their attributes again.
const ENTRIES_MAX: usize = 65_536;

/// Hashes only: of the id, and of the attributes.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Generations>);

/// When the young ones fill their half, they become the old ones, and the old ones are forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Entry>,
    old: HashMap<u64, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    attributes: u64,
    told: Instant,
}

impl Cache {
    /// Whether Gnocchi was told just these attributes, not too long ago.
    pub(super) fn has(&self, id: &str, attributes: &Dict) -> bool {
        let (key, hash) = (stable(id.as_bytes()), hash(attributes));
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = generations.young.get(&key).or_else(|| generations.old.get(&key));
        entry.is_some_and(|entry| entry.attributes == hash && entry.told.elapsed() < EXPIRY)
    }

    /// Gnocchi was told these attributes now.
    pub(super) fn told(&self, id: &str, attributes: &Dict) {
        let entry = Entry { attributes: hash(attributes), told: Instant::now() };
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= ENTRIES_MAX / 2 {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(stable(id.as_bytes()), entry);
    }
}

/// By value and type, whatever the order.
fn hash(attributes: &Dict) -> u64 {
    let mut pairs: Vec<_> = attributes.iter().collect();
    pairs.sort_by_key(|(name, _)| *name);
    let mut text = Vec::with_capacity(256);
    for (name, value) in pairs {
        json::write_str(name, &mut text);
        text.push(b':');
        json::write(value, &mut text);
    }
    stable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    fn attributes(name: &str) -> Dict {
        Dict::from_iter([("name", Value::from(name)), ("size", Value::Int(1))])
    }

    #[tokio::test(start_paused = true)]
    async fn attributes_are_known_until_they_change_or_ten_minutes_have_passed() {
        let cache = Cache::default();
        assert!(!cache.has("r", &attributes("a")));
        cache.told("r", &attributes("a"));
        let reversed = Dict::from_iter([("size", Value::Int(1)), ("name", Value::from("a"))]);
        assert!(cache.has("r", &attributes("a")) && cache.has("r", &reversed));
        assert!(!cache.has("r", &attributes("b")) && !cache.has("q", &attributes("a")));
        tokio::time::advance(EXPIRY).await;
        assert!(!cache.has("r", &attributes("a")));
    }

    #[tokio::test]
    async fn it_stays_within_its_bound_and_forgets_the_oldest() {
        let cache = Cache::default();
        for n in 0..ENTRIES_MAX * 2 {
            cache.told(&n.to_string(), &Dict::new());
        }
        let generations = cache.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= ENTRIES_MAX);
        drop(generations);
        assert!(cache.has(&(ENTRIES_MAX * 2 - 1).to_string(), &Dict::new()) && !cache.has("0", &Dict::new()));
    }
}
