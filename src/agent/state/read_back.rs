//! Reading a state log back, record by record, with an end to the patience.

use tokio::time::{Instant, timeout_at};

use super::log::StateLog;
use super::lost::{Lost, SILENCE_MAX};
use crate::state::{Head, Kind};
use crate::transport::StreamRecord;

/// Waits until a record of ours is read back; where it is.
pub(super) async fn see(log: &mut dyn StateLog, epoch: i64, kind: Kind) -> Result<u64, Lost> {
    loop {
        let record = next(log).await?;
        if look(&record, epoch)? == (Head { epoch, kind }) {
            return Ok(record.offset);
        }
    }
}

/// What a record is that comes behind our barrier: our own, void, or our end.
pub(super) fn look(record: &StreamRecord, epoch: i64) -> Result<Head, Lost> {
    let head = Head::of(&record.body).map_err(|error| Lost::Foreign(record.offset, error))?;
    if head.epoch > epoch || (head.kind == Kind::Barrier && head.epoch == epoch) {
        return Err(Lost::Fenced(head.epoch));
    }
    Ok(head)
}

/// The next record of a log that must come.
pub(super) async fn next(log: &mut dyn StateLog) -> Result<StreamRecord, Lost> {
    match timeout_at(Instant::now() + SILENCE_MAX, log.next()).await {
        Ok(Some(record)) => Ok(record),
        Ok(None) => Err(Lost::Over),
        Err(_) => Err(Lost::Slow),
    }
}
