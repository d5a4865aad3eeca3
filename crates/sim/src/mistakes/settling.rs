//! Mistakes of settling: too early, or not where the broker is told to.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::seams::{Handed, Otherwise, pipeline_queue};
use nephoscope::model::{Receipt, Verdict};
use nephoscope::state::Record;
use nephoscope::tasks;
use nephoscope::transport::{Consumer, Delivery, Outgoing, TransportError, Why, topology};

/// How long a cancelled consumer's channel stays open.
const CANCELLED_CHANNEL: Duration = Duration::from_secs(1);

/// Settles what comes from a pipeline queue as soon as it is handed out.
pub(super) struct AtDelivery;

impl Otherwise for AtDelivery {
    fn consumes(self: &Arc<Self>, queue: &str, inner: Box<dyn Consumer>) -> Box<dyn Consumer> {
        if pipeline_queue(queue).is_none() {
            return inner;
        }
        let change = |mut delivery: Delivery| {
            std::mem::replace(&mut delivery.receipt, Receipt::new(|_| {})).settle(Verdict::Kept);
            delivery
        };
        Box::new(Handed { inner, change })
    }
}

/// Settles what was handed out of a pipeline queue just before a batch is sent to its state log.
#[derive(Default)]
pub(super) struct BeforeTheRecord {
    /// By state log, what is not settled.
    unsettled: Mutex<BTreeMap<String, Vec<Unsettled>>>,
}

/// A receipt that whoever comes first settles.
type Unsettled = Arc<Mutex<Option<Receipt>>>;

fn take(unsettled: &Unsettled) -> Option<Receipt> {
    unsettled.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl BeforeTheRecord {
    fn hand_out(&self, log: &str, mut delivery: Delivery) -> Delivery {
        let unsettled: Unsettled = Arc::default();
        let by_the_agent = Arc::clone(&unsettled);
        let settle = move |verdict| {
            if let Some(receipt) = take(&by_the_agent) {
                receipt.settle(verdict);
            }
        };
        let receipt = std::mem::replace(&mut delivery.receipt, Receipt::new(settle));
        *unsettled.lock().unwrap_or_else(PoisonError::into_inner) = Some(receipt);
        let mut all = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(log.to_owned()).or_default().push(unsettled);
        delivery
    }
}

impl Otherwise for BeforeTheRecord {
    fn consumes(self: &Arc<Self>, queue: &str, inner: Box<dyn Consumer>) -> Box<dyn Consumer> {
        let Some(queue) = pipeline_queue(queue) else { return inner };
        let (mistake, log) = (Arc::clone(self), topology::state_log_name(queue));
        Box::new(Handed { inner, change: move |delivery| mistake.hand_out(&log, delivery) })
    }

    fn publishes(&self, message: Outgoing) -> Outgoing {
        if let Ok(Record::Batch(_)) = Record::decode(&message.body) {
            let mut all = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
            let unsettled = all.remove(&message.routing_key).unwrap_or_default();
            drop(all);
            unsettled.iter().filter_map(take).for_each(|receipt| receipt.settle(Verdict::Kept));
        }
        message
    }
}

/// Ends a consumer by `basic.cancel`, and closes its channel only later.
pub(super) struct ByCancel;

impl Otherwise for ByCancel {
    fn consumes(self: &Arc<Self>, _: &str, inner: Box<dyn Consumer>) -> Box<dyn Consumer> {
        Box::new(Cancelled(inner))
    }
}

struct Cancelled(Box<dyn Consumer>);

#[async_trait]
impl Consumer for Cancelled {
    async fn next(&mut self) -> Option<Delivery> {
        self.0.next().await
    }

    fn ready(&mut self) -> Option<Delivery> {
        self.0.ready()
    }

    fn over(&self) -> CancellationToken {
        self.0.over()
    }

    fn why(&self) -> Why {
        self.0.why()
    }

    /// Leaves the queue to a successor; what was delivered and not taken goes back only later.
    async fn close(mut self: Box<Self>) -> Result<(), TransportError> {
        if self.0.over().is_cancelled() {
            return self.0.close().await;
        }
        self.0.cancel().await;
        tasks::spawn(async move {
            tokio::time::sleep(CANCELLED_CHANNEL).await;
            let _closed = self.0.close().await;
        });
        Ok(())
    }

    async fn cancel(&mut self) {
        self.0.cancel().await;
    }
}
