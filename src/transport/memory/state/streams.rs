//! Who follows which stream, and what of it is read.

use std::sync::Arc;
use tokio::sync::Notify;

use super::{FollowerEntry, Read, State};
use crate::transport::{StreamRecord, StreamStart, TransportError};

impl State {
    pub(in crate::transport::memory) fn follow(
        &mut self,
        session: u64,
        stream: &str,
        start: StreamStart,
    ) -> Result<(u64, Arc<Notify>), TransportError> {
        let Some(entry) = self.queues.get(stream) else { return Err(TransportError::NoQueue(stream.to_owned())) };
        let Some(log) = &entry.log else {
            return Err(TransportError::Refused(format!("{stream} is a queue, expected a stream")));
        };
        let (next, wake) = (log.place(start), Arc::new(Notify::new()));
        let id = self.fresh_id();
        self.followers.insert(id, FollowerEntry { session, stream: stream.to_owned(), next, wake: wake.clone() });
        Ok((id, wake))
    }

    pub(in crate::transport::memory) fn read(&mut self, follower: u64) -> Read {
        let Some(entry) = self.followers.get_mut(&follower) else { return Read::Over };
        let log = self.queues.get(&entry.stream).and_then(|queue| queue.log.as_ref());
        match log.and_then(|log| log.at(entry.next)) {
            Some(record) => {
                entry.next = record.offset + 1;
                Read::Record(record)
            }
            None => Read::Nothing,
        }
    }

    pub(in crate::transport::memory) fn end_follower(&mut self, follower: u64) {
        self.followers.remove(&follower);
    }

    pub(super) fn end_followers(&mut self, which: impl Fn(&FollowerEntry) -> bool) {
        let over: Vec<u64> = self.followers.iter().filter(|(_, f)| which(f)).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(follower) = self.followers.remove(&id) {
                follower.wake.notify_one();
            }
        }
    }

    pub(in crate::transport::memory) fn stream_records(&self, stream: &str, from: u64) -> Vec<StreamRecord> {
        let log = self.queues.get(stream).and_then(|entry| entry.log.as_ref());
        log.map(|log| log.records(from)).unwrap_or_default()
    }

    pub(in crate::transport::memory) fn lose_newest(&mut self, stream: &str, count: usize) {
        self.end_followers(|follower| follower.stream == stream);
        if let Some(log) = self.queues.get_mut(stream).and_then(|entry| entry.log.as_mut()) {
            log.lose_newest(count);
        }
    }
}
