//! The inside of a stream: records in segments, cut off at the front by whole segments.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

use super::super::{Argument, StreamRecord, StreamStart};

/// What RabbitMQ takes where nothing is said.
const SEGMENT_BYTES: usize = 500_000_000;

#[derive(Debug)]
pub(super) struct Log {
    bytes_max: usize,
    segment_bytes: usize,
    segments: VecDeque<Segment>,
    next: u64,
}

#[derive(Debug)]
struct Segment {
    first: u64,
    records: Vec<Bytes>,
    bytes: usize,
}

impl Log {
    /// The log of a queue with these arguments, if they make it a stream.
    pub(super) fn of(arguments: &BTreeMap<String, Argument>) -> Option<Log> {
        if arguments.get("x-queue-type") != Some(&Argument::Text("stream".to_owned())) {
            return None;
        }
        let number = |name| match arguments.get(name) {
            Some(Argument::Integer(number)) => usize::try_from(*number).ok(),
            _ => None,
        };
        let bytes_max = number("x-max-length-bytes").unwrap_or(usize::MAX);
        let segment_bytes = number("x-stream-max-segment-size-bytes").unwrap_or(SEGMENT_BYTES);
        Some(Log { bytes_max, segment_bytes, segments: VecDeque::new(), next: 0 })
    }

    pub(super) fn append(&mut self, body: Bytes) {
        if self.segments.back().is_none_or(|segment| segment.bytes >= self.segment_bytes) {
            self.segments.push_back(Segment { first: self.next, records: Vec::new(), bytes: 0 });
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += body.len();
            segment.records.push(body);
        }
        self.next += 1;
        // The segment that is written to stays.
        while self.segments.len() > 1 && self.segments.iter().map(|s| s.bytes).sum::<usize>() > self.bytes_max {
            self.segments.pop_front();
        }
    }

    /// The offset with which a follower begins.
    pub(super) fn place(&self, start: StreamStart) -> u64 {
        match start {
            StreamStart::First => self.first(),
            StreamStart::Next => self.next,
            StreamStart::Last => self.next.saturating_sub(1),
            StreamStart::Offset(offset) => offset.max(self.first()),
        }
    }

    /// The record at an offset, or the oldest one after it.
    pub(super) fn at(&self, offset: u64) -> Option<StreamRecord> {
        let offset = offset.max(self.first());
        let segment = self.segments.iter().rev().find(|segment| segment.first <= offset)?;
        let body = segment.records.get(usize::try_from(offset - segment.first).ok()?)?;
        Some(StreamRecord { offset, body: body.clone() })
    }

    pub(super) fn records(&self, from: u64) -> Vec<StreamRecord> {
        (self.first().max(from)..self.next).filter_map(|offset| self.at(offset)).collect()
    }

    /// Loses the newest records, as a broker does that was cut from power.
    pub(super) fn lose_newest(&mut self, count: usize) {
        for _ in 0..count {
            let Some(segment) = self.segments.back_mut() else { return };
            if let Some(record) = segment.records.pop() {
                segment.bytes -= record.len();
                self.next -= 1;
            }
            if segment.records.is_empty() {
                self.segments.pop_back();
            }
        }
    }

    fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first)
    }
}
