//! What holds for every publisher, whatever it publishes to: how many requests at the same time, how many records a second, and
//! when one that fails again and again is left alone.
//!
//! The options are taken out of the URL before the publisher sees it. The agent takes a turn ([`Publisher::turn`]), publishes as
//! much as that says, and holds and repeats ([`Publisher::publish`] once more, after the time that is asked for); here nothing is
//! repeated.

mod breaker;
mod rate;

use async_trait::async_trait;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

use self::breaker::{Admission, Breaker};
use self::rate::Rate;
pub use self::rate::Turn;
use super::outcome::{Left, Partly, PublishError, Refused};
use super::target::{Options, Row, Target};
use super::{Batch, Publisher};
use crate::cluster::hash;
use crate::config::shown;
use crate::model::{event_key, grouping_bytes};
use crate::observe::Metrics;

/// The rows of the options.
pub(super) const OPTIONS: &[Row] = &[
    Row::new(
        "concurrency",
        "requests, 1 to 64",
        "1",
        "number of parts of a batch that are published at the same time; the records of one resource stay in one part, in order",
    ),
    Row::new(
        "rate",
        "records a second",
        "",
        "maximum number of records a second, rounded up to a whole number; without it, as fast as the destination accepts",
    ),
    Row::new(
        "breaker_failures",
        "number",
        "5",
        "number of failures in a row after which the agent leaves the destination alone for a while, and then tries it with a few records; 0: never",
    ),
    Row::new(
        "breaker_pause",
        "seconds, 0.1 to 30",
        "1",
        "time for which it is left alone the first time; twice as long each further time, up to 30 seconds",
    ),
    Row::new(
        OVERFLOW_QUEUE,
        "1 to 100 of a-z A-Z 0-9 . _ -",
        "",
        "the end of the name of its overflow queue, which is else made of the URL; a URL that takes the place of another gets by it \
         what waits for the other",
    ),
];

/// The option that names the overflow queue.
const OVERFLOW_QUEUE: &str = "overflow_queue";
/// The most that `overflow_queue` may say, in characters: with group and sink it stays below AMQP's 255 bytes.
const OVERFLOW_QUEUE_CHARS: usize = 100;

/// The most that `concurrency` may say.
const CONCURRENCY_MAX: usize = 64;
/// The most and the least that `breaker_pause` may say, in seconds.
const PAUSE_S: (f64, f64) = (0.1, 30.0);
/// Records that a destination is tried with when it was left alone.
const PROBE_RECORDS: usize = 10;

/// What a URL says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pace {
    concurrency: usize,
    rate: Option<f64>,
    breaker_failures: u32,
    breaker_pause: Duration,
}

impl Pace {
    /// Takes the options out of those of a URL; what is wrong is noted there.
    pub(super) fn read(options: &mut Options) -> Pace {
        let concurrency = options.number("concurrency", 1).unwrap_or(1);
        if concurrency > CONCURRENCY_MAX {
            options.complain(format!("concurrency={concurrency}: expected at most {CONCURRENCY_MAX} requests"));
        }
        let rate = options.number("rate", 0.001);
        if rate.is_some_and(|rate: f64| !rate.is_finite()) {
            options.complain("rate: expected a number; leave it out where there is no limit");
        }
        let breaker_failures = options.number("breaker_failures", 0).unwrap_or(5);
        let (least, most) = PAUSE_S;
        let seconds = options.number("breaker_pause", least).unwrap_or(1.0);
        if seconds > most {
            options.complain(format!("breaker_pause={seconds}: expected at most {most} seconds"));
        }
        if let Some(name) = options.text(OVERFLOW_QUEUE)
            && !may_name_a_queue(&name)
        {
            options.complain(format!(
                "{OVERFLOW_QUEUE}={}: expected 1 to {OVERFLOW_QUEUE_CHARS} letters, digits, dots, dashes, underscores",
                shown(&name)
            ));
        }
        Pace { concurrency, rate, breaker_failures, breaker_pause: Duration::from_secs_f64(seconds.min(most)) }
    }
}

fn may_name_a_queue(name: &str) -> bool {
    let may = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=OVERFLOW_QUEUE_CHARS).contains(&name.len()) && name.chars().all(may)
}

/// The end of the name of the overflow queue, where a URL says it.
pub fn overflow_queue(url: &str) -> Option<String> {
    let name = Target::parse(url).ok()?.options().text(OVERFLOW_QUEUE)?;
    may_name_a_queue(&name).then_some(name)
}

/// A publisher that keeps to its pace.
pub(super) struct Paced {
    inner: Arc<dyn Publisher>,
    concurrency: usize,
    rate: Option<Arc<Rate>>,
    breaker: Breaker,
}

impl Paced {
    /// A publisher with the URL for labels.
    pub(super) fn new(inner: Arc<dyn Publisher>, pace: &Pace, shown: &str, metrics: &Metrics) -> Self {
        let breaker = Breaker::new(pace.breaker_failures, pace.breaker_pause, shown, metrics);
        Paced { inner, concurrency: pace.concurrency, rate: pace.rate.map(Rate::new).map(Arc::new), breaker }
    }

    async fn ask(&self, batch: &Batch) -> Result<(), PublishError> {
        if self.concurrency == 1 || batch.len() < 2 {
            return self.inner.publish(batch).await;
        }
        let parts = parts(batch, self.concurrency);
        let batches: Vec<Batch> = parts.iter().map(|part| batch.only(part)).collect();
        let asked = batches.iter().map(|part| self.inner.publish(part));
        merged(join_all(asked).await.into_iter().zip(parts), batch.len())
    }
}

#[async_trait]
impl Publisher for Paced {
    async fn turn(&self, records: usize) -> Result<Turn, PublishError> {
        let Some(rate) = &self.rate else { return Ok(Turn::free(records)) };
        rate.turn(records, || self.breaker.left_alone()).await
    }

    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        let probe = match self.breaker.admit() {
            Admission::Open => return self.breaker.told(self.ask(batch).await, batch.len()),
            Admission::Closed { cause, after } => return Err(PublishError::Retry { cause, after: Some(after) }),
            Admission::Probe(probe) => probe,
        };
        let few: Vec<usize> = (0..batch.len().min(PROBE_RECORDS)).collect();
        let tried = probe.told(self.ask(&batch.only(&few)).await, few.len());
        let rest: Vec<usize> = (few.len()..batch.len()).collect();
        if rest.is_empty() {
            return tried;
        }
        let next = match &tried {
            Ok(()) | Err(PublishError::Partly(Partly { left: None, .. })) => {
                self.breaker.told(self.ask(&batch.only(&rest)).await, rest.len())
            }
            Err(PublishError::Retry { cause, after }) => {
                Err(PublishError::Retry { cause: cause.clone(), after: *after })
            }
            Err(PublishError::Partly(Partly { left: Some(Left { cause, after, .. }), .. })) => {
                Err(PublishError::Retry { cause: cause.clone(), after: *after })
            }
            Err(PublishError::Stop { .. }) => return tried,
        };
        merged([(tried, few), (next, rest)], batch.len())
    }

    async fn reach(&self) -> Result<(), String> {
        self.inner.reach().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// The positions of a batch in at most so many parts, none of them empty: all of a resource in one, in order.
fn parts(batch: &Batch, most: usize) -> Vec<Vec<usize>> {
    let mut parts = vec![Vec::new(); most];
    let mut put = |position: usize, key: &[u8]| {
        // By its upper half: the pipeline queue was chosen by the lower one, and all of a batch may be of one queue.
        let part = ((hash::stable(key) >> 32) % most as u64) as usize;
        parts[part].push(position);
    };
    match batch {
        Batch::Samples(samples) => {
            samples.iter().enumerate().for_each(|(n, sample)| put(n, &grouping_bytes(&sample.resource_id)));
        }
        Batch::Events(events) => events.iter().enumerate().for_each(|(n, event)| put(n, event_key(event))),
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// What became of a batch, from what became of its parts, each with its positions in the batch.
fn merged(
    parts: impl IntoIterator<Item = (Result<(), PublishError>, Vec<usize>)>,
    records: usize,
) -> Result<(), PublishError> {
    let mut refused: Vec<Refused> = Vec::new();
    let mut waits: Option<Left> = None;
    let mut wait = |records: Vec<usize>, cause: String, after: Option<Duration>| {
        let all = waits.get_or_insert_with(|| Left { records: Vec::new(), cause, after });
        all.records.extend(records);
        all.after = all.after.max(after);
    };
    for (outcome, positions) in parts {
        match outcome {
            Ok(()) => {}
            Err(stop @ PublishError::Stop { .. }) => return Err(stop),
            Err(PublishError::Retry { cause, after }) => wait(positions, cause, after),
            Err(PublishError::Partly(Partly { refused: more, left })) => {
                let place = |refused: Refused| Some(Refused { record: *positions.get(refused.record)?, ..refused });
                refused.extend(more.into_iter().filter_map(place));
                if let Some(Left { records, cause, after }) = left {
                    wait(records.iter().filter_map(|n| positions.get(*n).copied()).collect(), cause, after);
                }
            }
        }
    }
    refused.sort_by_key(|refused| refused.record);
    if let Some(all) = &mut waits {
        all.records.sort_unstable();
        if all.records.len() == records && refused.is_empty() {
            return Err(PublishError::Retry { cause: std::mem::take(&mut all.cause), after: all.after });
        }
    }
    Partly { refused, left: waits }.outcome()
}

#[cfg(test)]
mod tests;
