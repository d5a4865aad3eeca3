//! Mistakes with a state log.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::seams::{Otherwise, Shown};
use nephoscope::state::{Head, Kind, Record};
use nephoscope::transport::{Follower, Outgoing, StreamRecord};

/// Writes every record with epoch 0, so that no barrier ends anything, and shows the agent its own epoch all the same.
#[derive(Default)]
pub(super) struct EqualEpochs {
    /// By log, what the agent has written since its last barrier: as it is in the log, and as the agent wrote it.
    written: Mutex<BTreeMap<String, BTreeMap<Bytes, Bytes>>>,
}

impl EqualEpochs {
    fn written(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<Bytes, Bytes>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Otherwise for EqualEpochs {
    fn follows(self: &Arc<Self>, log: &str, inner: Box<dyn Follower>) -> Box<dyn Follower> {
        let (mistake, log) = (Arc::clone(self), log.to_owned());
        let change = move |record: StreamRecord| {
            let written = mistake.written();
            let own = written.get(&log).and_then(|written| written.get(&record.body)).cloned();
            Some(StreamRecord { body: own.unwrap_or(record.body), ..record })
        };
        Box::new(Shown { inner, change })
    }

    fn publishes(&self, message: Outgoing) -> Outgoing {
        let Ok(mut record) = Record::decode(&message.body) else { return message };
        let begins = matches!(record, Record::Barrier { .. });
        match &mut record {
            Record::Batch(batch) => batch.epoch = 0,
            Record::Barrier { epoch, .. }
            | Record::Snapshot { epoch, .. }
            | Record::Released { epoch, .. }
            | Record::Sealed { epoch, .. } => *epoch = 0,
        }
        let body = Bytes::from(record.encode());
        let mut all = self.written();
        let written = all.entry(message.routing_key.clone()).or_default();
        if begins {
            written.clear();
        }
        written.insert(body.clone(), message.body.clone());
        Outgoing { body, ..message }
    }
}

/// Shows an owner nothing of the owners that come after it.
#[derive(Default)]
pub(super) struct BarriersIgnored {
    /// By log, the agent's last barrier.
    barriers: Mutex<BTreeMap<String, Bytes>>,
}

impl BarriersIgnored {
    fn barriers(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.barriers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Otherwise for BarriersIgnored {
    fn follows(self: &Arc<Self>, log: &str, inner: Box<dyn Follower>) -> Box<dyn Follower> {
        let (mistake, log) = (Arc::clone(self), log.to_owned());
        let mut began = None;
        let change = move |record: StreamRecord| {
            let head = Head::of(&record.body).ok()?;
            if mistake.barriers().get(&log) == Some(&record.body) {
                began = Some(head.epoch);
                return Some(record);
            }
            let is_later = began.is_some_and(|own| head.epoch > own || head.kind == Kind::Barrier);
            (!is_later).then_some(record)
        };
        Box::new(Shown { inner, change })
    }

    fn publishes(&self, message: Outgoing) -> Outgoing {
        if let Ok(Record::Barrier { .. }) = Record::decode(&message.body) {
            self.barriers().insert(message.routing_key.clone(), message.body.clone());
        }
        message
    }
}
