//! `notifier://`: signed messages to other services over the message broker (Ceilometer reference §6.2, §3.3).
//!
//! `notifier://[[user:password@]host:port[/vhost]]?…`; without a host the default notification transport is used. Options:
//! `topic` (repeatable), `policy` (`default` holds, `queue` keeps the youngest in memory, `drop` loses),
//! `max_queue_length` (batches, 1,024), `per_meter_topic`, `nan`, `driver` (rabbit), `max_retry` (without effect); with a host
//! the other options are the transport's.
//!
//! What Ceilometer's documentation promises and its code does not do (policies, options beside a host, one topic
//! per meter) is done here. A batch counts as taken when the broker has confirmed it.

mod letter;
mod link;
mod options;

use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Mutex;

use self::letter::{Letter, Writer};
use self::link::Link;
use self::options::{Options, Policy};
use super::kind::{Built, Kind, LookAtBroker};
use super::target::{Row, Target};
use super::{Batch, Context, PublishError, Publisher};
use crate::model::nearest;
use crate::observe::Metrics;

/// What `policy=queue` keeps at most, in bytes, whatever `max_queue_length` says.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[options::OPTIONS];

pub(super) fn check(target: &Target, _: Kind, look: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    let options = Options::read(target)?;
    if let Some(url) = &options.transport {
        // What is none of ours is the transport's, which knows only its own names.
        let others = target.query.iter().filter(|(key, _)| !options::NAMES.contains(&key.as_str()));
        let meant =
            others.filter_map(|(key, _)| Some(format!("{key}: did you mean {}?", nearest(key, options::NAMES)?)));
        (look.broker)(url).map_err(|complaints| complaints.into_iter().chain(meant).collect::<Vec<_>>())?;
    }
    Ok(Vec::new())
}

pub(super) fn build(target: &Target, _: Kind, context: &Context) -> Built {
    let options = Options::read(target)?;
    let broker = match &options.transport {
        Some(url) => (context.connect)(url).map_err(|cause| vec![cause])?,
        None => context.broker.clone().ok_or_else(|| {
            vec!["there is no default transport; write notifier://user:password@host:5672/".to_owned()]
        })?,
    };
    Ok(Arc::new(NotifierPublisher {
        shown: target.shown(),
        writer: Writer::new(context, options.non_finite),
        link: Link::new(broker, context),
        waiting: Mutex::default(),
        metrics: context.metrics.clone(),
        options,
    }))
}

struct NotifierPublisher {
    /// The URL for labels.
    shown: String,
    options: Options,
    writer: Writer,
    link: Link,
    /// What `policy=queue` keeps, oldest first.
    waiting: Mutex<VecDeque<Parcel>>,
    metrics: Metrics,
}

/// One batch of `policy=queue`.
struct Parcel {
    letters: Vec<Letter>,
    records: usize,
    bytes: usize,
}

#[async_trait]
impl Publisher for NotifierPublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        let (letters, too_long) = self.writer.write(batch, &self.options.topics, self.options.per_meter_topic);
        let records = batch.len() - too_long.len();
        match self.options.policy {
            Policy::Hold => self.link.send(&letters).await?,
            Policy::Drop => {
                if let Err(error) = self.link.send(&letters).await {
                    self.metrics.records_shed(&self.shown, records, &error.to_string());
                }
            }
            Policy::Queue => {
                let bytes = letters.iter().map(|letter| letter.body.len()).sum();
                self.queue(Parcel { letters, records, bytes }).await;
            }
        }
        if too_long.is_empty() {
            return Ok(());
        }
        Err(PublishError::refuse(too_long, "too long for a message of the broker"))
    }

    async fn reach(&self) -> Result<(), String> {
        self.link.reach().await.map_err(|error| error.to_string())
    }

    async fn close(&self) {
        let mut waiting = self.waiting.lock().await;
        if let Err(error) = self.flush(&mut waiting).await {
            let records = waiting.drain(..).map(|parcel| parcel.records).sum();
            self.metrics.records_shed(&self.shown, records, &format!("stopping: {error}"));
        }
        self.link.close().await;
    }
}

impl NotifierPublisher {
    /// Keeps the parcel, sends what can be sent, and lets the oldest go where there are too many.
    async fn queue(&self, parcel: Parcel) {
        let mut waiting = self.waiting.lock().await;
        waiting.push_back(parcel);
        let Err(error) = self.flush(&mut waiting).await else { return };
        let mut bytes: usize = waiting.iter().map(|parcel| parcel.bytes).sum();
        let mut lost = 0;
        while waiting.len() > self.options.queue_batches_max || bytes > QUEUE_BYTES_MAX {
            let Some(oldest) = waiting.pop_front() else { break };
            bytes -= oldest.bytes;
            lost += oldest.records;
        }
        if lost > 0 {
            self.metrics.records_shed(&self.shown, lost, &format!("the queue is full: {error}"));
        }
    }

    /// Sends parcels in their order until one cannot be sent.
    async fn flush(&self, waiting: &mut VecDeque<Parcel>) -> Result<(), PublishError> {
        while let Some(oldest) = waiting.front() {
            self.link.send(&oldest.letters).await?;
            waiting.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
