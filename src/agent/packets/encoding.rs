//! The encoding of a fragment in packets. A conversion task encodes it, on any core; the forwarder only copies records once it
//! knows their queues.

use std::collections::BTreeMap;

use super::packet::{self, Fragment};
use crate::cluster::hash::{self, SlotTable};
use crate::model::event_key;
use crate::publish::Batch;

/// The first guess of how many bytes a record has.
const RECORD_BYTES: usize = 1_024;

/// What a fragment is made into where it is converted.
pub(in crate::agent) trait Part: From<Fragment> + Send + 'static {
    /// Bytes that it has in a packet; none where it stays in this process.
    fn bytes_in_packet(&self) -> usize;
    /// Samples and events in it.
    fn count(&self) -> usize;
}

impl Part for Fragment {
    fn bytes_in_packet(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        self.batch.len()
    }
}

/// The JSON of a fragment, in parts.
pub(in crate::agent) struct EncodedFragment {
    /// Up to the first record.
    head: Vec<u8>,
    /// The records, one behind the other.
    records: Vec<u8>,
    /// The slot of each record, and where it ends.
    ends: Vec<(u16, usize)>,
}

impl From<Fragment> for EncodedFragment {
    fn from(fragment: Fragment) -> Self {
        EncodedFragment::of(&fragment)
    }
}

impl Part for EncodedFragment {
    fn bytes_in_packet(&self) -> usize {
        self.head.len() + self.records.len() + self.ends.len()
    }

    fn count(&self) -> usize {
        self.ends.len()
    }
}

impl EncodedFragment {
    /// Encodes a fragment.
    pub(in crate::agent) fn of(fragment: &Fragment) -> Self {
        let mut head = Vec::with_capacity(128);
        packet::write_head(fragment, &mut head);
        let mut records = Vec::with_capacity(RECORD_BYTES * fragment.batch.len());
        let mut ends = Vec::with_capacity(fragment.batch.len());
        match &fragment.batch {
            Batch::Samples(samples) => {
                for sample in samples {
                    sample.write_json(&mut records);
                    ends.push((hash::slot(&hash::grouping_bytes(&sample.resource_id)), records.len()));
                }
            }
            Batch::Events(events) => {
                for event in events {
                    event.write_json(&mut records);
                    ends.push((hash::slot(event_key(event)), records.len()));
                }
            }
        }
        EncodedFragment { head, records, ends }
    }

    /// Up to the first record.
    pub(in crate::agent) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The records, in order.
    pub(in crate::agent) fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.slots_and_records().map(|(_, record)| record)
    }

    /// The records by the number of the pipeline queue that they belong to, in order.
    pub(in crate::agent) fn by_queue(&self, slots: &SlotTable) -> BTreeMap<u16, Vec<&[u8]>> {
        let mut groups: BTreeMap<u16, Vec<&[u8]>> = BTreeMap::new();
        for (slot, record) in self.slots_and_records() {
            groups.entry(slots.queue(slot)).or_default().push(record);
        }
        groups
    }

    fn slots_and_records(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        self.ends.iter().zip(begins).map(|((slot, end), begin)| (*slot, &self.records[begin..*end]))
    }
}
