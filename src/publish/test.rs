//! `test://name`: keeps what it takes in memory, for tests and demonstrations.
//!
//! Options: `max_records` (100,000): past it the oldest batches go.

use async_trait::async_trait;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::schemes::{Built, Kind, LookAtBroker};
use super::target::{Row, Target};
use super::{Batch, Context, PublishError, Publisher};

/// Records kept under one name, unless `max_records` says otherwise.
const RECORDS_MAX: usize = 100_000;

/// What all `test://` publishers of one [`Context`] have taken, by name; and what they shall answer next.
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

    fn take(&self, name: &str, batch: &Batch, records_max: usize) -> Result<(), PublishError> {
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

struct TestPublisher {
    name: String,
    records_max: usize,
    shelf: Shelf,
}

#[async_trait]
impl Publisher for TestPublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        self.shelf.take(&self.name, batch, self.records_max)
    }

    async fn reach(&self) -> Result<(), String> {
        let away = self.shelf.lock().get(&self.name).is_some_and(|tray| tray.unreachable);
        if away { Err(format!("{} is away", self.name)) } else { Ok(()) }
    }
}

fn options(target: &Target) -> Result<usize, Vec<String>> {
    let mut options = target.options();
    let records_max = options.number("max_records", 1).unwrap_or(RECORDS_MAX);
    options.finish(records_max)
}

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] =
    &[&[Row::new("max_records", "number", "100000", "past it the oldest batches go")]];

pub(super) fn check(target: &Target, _: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    options(target).map(|_| Vec::new())
}

pub(super) fn build(target: &Target, _: Kind, context: &Context) -> Built {
    let records_max = options(target)?;
    let name = format!("{}{}", target.netloc, target.path);
    if let Some(test_publishers) = &context.test_publishers {
        return Ok(test_publishers(&name));
    }
    Ok(Arc::new(TestPublisher { name, records_max, shelf: context.shelf.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::build;
    use crate::publish::record::tests::sample;

    #[tokio::test]
    async fn what_was_taken_can_be_looked_at_by_name() {
        let context = Context::default();
        let publisher = build("test://a?max_records=3", Kind::Samples, &context).unwrap();
        let batch = |ids: &[&str]| Batch::Samples(ids.iter().map(|id| sample("cpu", id)).collect());
        context.shelf.answer_next("a", PublishError::retry("away"));
        context.shelf.answer_next("a", PublishError::refuse([0], "no"));
        assert!(matches!(publisher.publish(&batch(&["1"])).await, Err(PublishError::Retry { .. })));
        assert!(matches!(publisher.publish(&batch(&["1", "2"])).await, Err(PublishError::Partly(_))));
        publisher.publish(&batch(&["3"])).await.unwrap();
        assert_eq!(context.shelf.batches("a"), [batch(&["2"]), batch(&["3"])]);
        publisher.publish(&batch(&["4", "5"])).await.unwrap();
        assert_eq!(context.shelf.batches("a"), [batch(&["3"]), batch(&["4", "5"])], "the oldest goes");
        assert!(context.shelf.batches("b").is_empty());
    }
}
