//! What `test://` has taken, by name.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::publish::{Batch, PublishError};

/// What all `test://` publishers of one [`Context`](super::super::Context) have taken, by name; and what they shall answer next.
#[derive(Debug, Clone, Default)]
pub struct Shelf(Arc<Mutex<BTreeMap<String, Tray>>>);

#[derive(Debug, Default)]
struct Tray {
    taken: VecDeque<Batch>,
    answers: VecDeque<PublishError>,
    unreachable: bool,
    away: bool,
}

impl Shelf {
    /// What `test://name` has taken and still has, oldest first.
    pub fn batches(&self, name: &str) -> Vec<Batch> {
        self.lock().get(name).map(|tray| tray.taken.iter().cloned().collect()).unwrap_or_default()
    }

    /// The next call of `test://name` is answered so; several are answered in turn. Of a refused batch the records
    /// that are not refused are taken.
    pub fn answer_next(&self, name: &str, error: PublishError) {
        self.lock().entry(name.to_owned()).or_default().answers.push_back(error);
    }

    /// Whether `test://name` can be reached, as long as nobody says otherwise: it can.
    pub fn set_reachable(&self, name: &str, reachable: bool) {
        self.lock().entry(name.to_owned()).or_default().unreachable = !reachable;
    }

    /// Whether `test://name` answers every call with "away", as long as nobody says otherwise: it does not.
    pub fn set_away(&self, name: &str, away: bool) {
        self.lock().entry(name.to_owned()).or_default().away = away;
    }

    pub(super) fn take(&self, name: &str, batch: &Batch, records_max: usize) -> Result<(), PublishError> {
        let mut trays = self.lock();
        let tray = trays.entry(name.to_owned()).or_default();
        if tray.away {
            return Err(PublishError::retry("away"));
        }
        match tray.answers.pop_front() {
            None => tray.keep(batch.clone(), records_max),
            Some(PublishError::Partly(partly)) => {
                let refused = partly.refused.iter().map(|refused| refused.record);
                let left = partly.left.iter().flat_map(|left| left.records.iter().copied());
                let which: Vec<usize> = refused.chain(left).collect();
                let others = without(batch, &which);
                if !others.is_empty() {
                    tray.keep(others, records_max);
                }
                return Err(PublishError::Partly(partly));
            }
            Some(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn is_unreachable(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|tray| tray.unreachable)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Tray>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tray {
    fn keep(&mut self, batch: Batch, records_max: usize) {
        self.taken.push_back(batch);
        let mut records: usize = self.taken.iter().map(Batch::len).sum();
        while records > records_max && self.taken.len() > 1 {
            records -= self.taken.pop_front().map_or(0, |oldest| oldest.len());
        }
    }
}

/// The batch without some positions.
fn without(batch: &Batch, which: &[usize]) -> Batch {
    let others: Vec<usize> = (0..batch.len()).filter(|n| !which.contains(n)).collect();
    batch.only(&others)
}
