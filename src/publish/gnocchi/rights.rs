//! Finds out whether a denial is about one resource or about everything: a 403, or a 404 that is not Gnocchi's own.
//!
//! Gnocchi says 403 of a resource that belongs to somebody else in the words in which it says it of a user without any right. A
//! denial is about the resource if Gnocchi accepts a write of another one *afterwards*; what was accepted before may have been
//! accepted under rights that are taken away by now. Never here: what is written.

use reqwest::Method;
use std::sync::{Mutex, PoisonError};

use super::api::Api;
use super::api::answer::Denied;
use super::api::path;
use super::tally::Tally;
use crate::publish::outcome::Answer;

/// After so many denials without a write that is accepted, nothing more is asked before it is clear whether anything is.
const OPEN_MAX: usize = 8;

/// Which writes Gnocchi has accepted so far, from any batch.
#[derive(Debug, Default)]
pub(super) struct Rights(Mutex<Accepted>);

#[derive(Debug, Default)]
struct Accepted {
    writes: u64,
    /// A resource that could be written.
    witness: Option<Box<str>>,
}

impl Rights {
    /// Gnocchi has created or changed this resource.
    pub(super) fn wrote(&self, id: &str) {
        self.with(|accepted| {
            accepted.writes += 1;
            accepted.witness = Some(id.into());
        });
    }

    /// Gnocchi has taken measures of this resource. Whoever may do that may mostly change it too, but a change says it for sure.
    pub(super) fn measured(&self, id: &str) {
        self.with(|accepted| {
            accepted.writes += 1;
            accepted.witness.get_or_insert_with(|| id.into());
        });
    }

    fn writes(&self) -> u64 {
        self.with(|accepted| accepted.writes)
    }

    fn with<T>(&self, what: impl FnOnce(&mut Accepted) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a resource that could be written still can: a change of nothing, for which Gnocchi wants the same right.
    async fn stand(&self, api: &Api) -> bool {
        let witness = self.with(|accepted| accepted.witness.clone());
        // All types are `generic` too.
        let Some(path) = witness.and_then(|id| path::resource("generic", &id)) else { return false };
        match api.ask(Method::PATCH, &path, Some(b"{}".to_vec())).await {
            Ok(reply) if reply.status.is_success() => true,
            Ok(reply) if reply.status.as_u16() == 404 => {
                // It is deleted, and says nothing any more.
                self.with(|accepted| accepted.witness = None);
                false
            }
            _ => false,
        }
    }
}

/// Denials of a batch that are not understood yet.
#[derive(Debug, Default)]
pub(super) struct Doubts(Vec<Doubt>);

#[derive(Debug)]
struct Doubt {
    records: Vec<usize>,
    denied: Denied,
    /// How many writes had been accepted by then.
    writes: u64,
}

impl Doubts {
    /// These records are of a resource that was denied just now. An answer says that all are: nothing more can be asked.
    pub(super) async fn add(
        &mut self,
        records: Vec<usize>,
        denied: Denied,
        (api, rights): (&Api, &Rights),
        tally: &mut Tally,
    ) -> Option<Answer> {
        let writes = rights.writes();
        self.0.push(Doubt { records, denied, writes });
        let open = self.0.iter().filter(|doubt| doubt.writes == writes).count();
        if open < OPEN_MAX { None } else { self.settle(api, rights, tally).await }
    }

    /// Finds out what the denials are about: their records are parked, or wait. An answer says that all are denied.
    pub(super) async fn settle(&mut self, api: &Api, rights: &Rights, tally: &mut Tally) -> Option<Answer> {
        let doubts = std::mem::take(&mut self.0);
        let writes = rights.writes();
        let is_open = |doubt: &Doubt| doubt.writes == writes;
        let stand = !doubts.iter().any(is_open) || rights.stand(api).await;
        let mut all = None;
        for doubt in doubts {
            if stand || !is_open(&doubt) {
                doubt.records.iter().for_each(|record| tally.refuse(*record, &doubt.denied.parked));
            } else {
                let later = doubt.denied.later();
                tally.answered(doubt.records, &later);
                all = all.or(Some(later));
            }
        }
        all
    }
}
