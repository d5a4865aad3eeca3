//! `test://name`: keeps what it takes in memory, for tests and demonstrations.
//!
//! Options: `max_records` (100,000): bound, past which the oldest batches are lost.

mod shelf;

use async_trait::async_trait;
use std::sync::Arc;

pub use self::shelf::Shelf;
use super::kind::{Built, Kind, LookAtBroker};
use super::target::{Row, Target};
use super::{Batch, Context, PublishError, Publisher};

/// Records kept under one name, unless `max_records` says otherwise.
const RECORDS_MAX: usize = 100_000;

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
        if self.shelf.is_unreachable(&self.name) { Err(format!("{} is away", self.name)) } else { Ok(()) }
    }
}

fn options(target: &Target) -> Result<usize, Vec<String>> {
    let mut options = target.options();
    let records_max = options.number("max_records", 1).unwrap_or(RECORDS_MAX);
    options.finish(records_max)
}

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] =
    &[&[Row::new("max_records", "number", "100000", "bound, past which the oldest batches are lost")]];

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
