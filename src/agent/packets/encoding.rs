//! The encoding of a fragment in packets. A conversion task encodes it, on any core; the forwarder only copies records once it
//! knows their queues.

use super::packet::{self, Fragment};
use crate::cluster::hash::{self, SlotTable};
use crate::model::event_key;
use crate::publish::Batch;

/// The first guess of how many bytes the head of a fragment has.
const HEAD_BYTES: usize = 128;
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

/// The JSON of a fragment, and where its records are.
pub(in crate::agent) struct EncodedFragment {
    /// The head, and the records behind it with a comma between two.
    json: Vec<u8>,
    /// Bytes of the head.
    head: usize,
    /// The slot of each record, and where it ends.
    ends: Vec<(u16, usize)>,
}

/// Those records of a fragment that go to one queue.
pub(in crate::agent) struct Records<'f> {
    /// Their JSON in order, with a comma between two in one run.
    pub runs: Vec<&'f [u8]>,
    /// How many records they are.
    pub count: usize,
}

impl From<Fragment> for EncodedFragment {
    fn from(fragment: Fragment) -> Self {
        EncodedFragment::of(&fragment)
    }
}

impl Part for EncodedFragment {
    fn bytes_in_packet(&self) -> usize {
        self.json.len() + 1
    }

    fn count(&self) -> usize {
        self.ends.len()
    }
}

impl EncodedFragment {
    /// Encodes a fragment.
    pub(in crate::agent) fn of(fragment: &Fragment) -> Self {
        let mut json = Vec::with_capacity(HEAD_BYTES + RECORD_BYTES * fragment.batch.len());
        packet::write_head(fragment, &mut json);
        let head = json.len();
        let mut encoded = EncodedFragment { json, head, ends: Vec::with_capacity(fragment.batch.len()) };
        match &fragment.batch {
            Batch::Samples(samples) => {
                for sample in samples {
                    let slot = hash::slot(&hash::grouping_bytes(&sample.resource_id));
                    encoded.push(slot, |out| sample.write_json(out));
                }
            }
            Batch::Events(events) => {
                for event in events {
                    encoded.push(hash::slot(event_key(event)), |out| event.write_json(out));
                }
            }
        }
        encoded
    }

    fn push(&mut self, slot: u16, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.ends.is_empty() {
            self.json.push(b',');
        }
        write(&mut self.json);
        self.ends.push((slot, self.json.len()));
    }

    /// Up to the first record.
    pub(in crate::agent) fn head(&self) -> &[u8] {
        &self.json[..self.head]
    }

    /// The records, in order.
    pub(in crate::agent) fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.places().map(|(_, begin, end)| &self.json[begin..end])
    }

    /// The records by the number of the pipeline queue that they belong to, in order.
    pub(in crate::agent) fn by_queue(&self, slots: &SlotTable) -> Vec<(u16, Records<'_>)> {
        let mut groups: Vec<(u16, Records<'_>)> = Vec::with_capacity(1);
        // The group of the record before, and where its run began.
        let mut run: Option<(usize, usize)> = None;
        for (slot, begin, end) in self.places() {
            let queue = slots.queue(slot);
            if let Some((at, first)) = run
                && let Some((of, Records { runs, count })) = groups.get_mut(at)
                && *of == queue
                && let Some(last) = runs.last_mut()
            {
                *last = &self.json[first..end];
                *count += 1;
                continue;
            }
            let at = groups.iter().position(|(known, _)| *known == queue).unwrap_or_else(|| {
                groups.push((queue, Records { runs: Vec::with_capacity(1), count: 0 }));
                groups.len() - 1
            });
            let Records { runs, count } = &mut groups[at].1;
            runs.push(&self.json[begin..end]);
            *count += 1;
            run = Some((at, begin));
        }
        groups
    }

    /// The slot of each record, where it begins and where it ends.
    fn places(&self) -> impl Iterator<Item = (u16, usize, usize)> {
        let begins = std::iter::once(self.head).chain(self.ends.iter().map(|(_, end)| end + 1));
        self.ends.iter().zip(begins).map(|((slot, end), begin)| (*slot, begin, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dict, Event, Trait, TraitValue, Value, time};

    fn event(resource: u16) -> Event {
        let resource = TraitValue::Text(resource.to_string().into());
        Event {
            message_id: Value::Null,
            event_type: "e".into(),
            generated: time::parse("2026-03-01").unwrap().naive_utc(),
            traits: vec![Trait { name: "resource_id".into(), value: resource }].into(),
            raw: Dict::new(),
        }
    }

    /// Whatever queues they go to: each once, in order, and as it is written alone.
    #[test]
    fn records_go_to_their_queues_in_order() {
        let slots = SlotTable::even(3).unwrap();
        for several in [vec![0; 3], (0..40).collect(), vec![1, 1, 2, 2, 2, 1, 7, 1], Vec::new()] {
            let events: Vec<Event> = several.iter().copied().map(event).collect();
            let fragment =
                Fragment { message_id: Value::Null, pipeline: "p".into(), batch: Batch::Events(events.clone()) };
            let encoded = EncodedFragment::of(&fragment);
            let mut came = 0;
            for (queue, Records { runs, count }) in encoded.by_queue(&slots) {
                let of_queue = events.iter().filter(|event| slots.queue_of(event_key(event)) == queue);
                let written: Vec<Vec<u8>> = of_queue
                    .map(|event| {
                        let mut out = Vec::new();
                        event.write_json(&mut out);
                        out
                    })
                    .collect();
                assert_eq!(runs.join(&b','), written.join(&b','));
                assert_eq!(count, written.len());
                came += count;
            }
            assert_eq!((came, encoded.records().count()), (events.len(), events.len()));
        }
    }
}
