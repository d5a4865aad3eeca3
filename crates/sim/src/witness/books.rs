//! The books that the agents keep, held against what this witness has seen itself.

use std::collections::BTreeMap;

use super::{EVENTS, Invariant, Notes, SAMPLES, Witness};
use nephoscope::books::{Entry, MainRow, Note, PublisherRow, Report, Sums, Waiting, audit};
use nephoscope::cluster::hash;
use nephoscope::transport::StreamRecord;

/// The sinks of a world, by what they publish.
const SINKS: [(&str, &str); 2] = [(SAMPLES, "sink"), (EVENTS, "event:sink")];

impl Witness {
    /// Judges the books, now that everything is at rest and everybody has stopped.
    pub(crate) fn judge_books(&self, records: &[StreamRecord]) {
        let mut sums = Sums::new(records.first().is_some_and(|first| first.offset > 0));
        let mut notes = self.notes();
        for record in records {
            match Note::decode(&record.body) {
                Ok(note) => sums.add(&note),
                Err(error) => notes.broken(Invariant::Books, error.to_string()),
            }
        }
        // Nothing waits, and nobody consumes.
        let queues = sums.queues();
        let waiting: BTreeMap<String, Waiting> =
            queues.keys().map(|queue| ((*queue).to_owned(), Waiting::default())).collect();
        let report = audit((&Sums::new(false), &sums, &sums), (0, i64::MAX), &waiting);
        let wrong = report.wrong_queues();
        let about =
            |entry: &Entry| wrong.contains(&&*entry.queue) || entry.sent.iter().any(|s| wrong.contains(&&*s.queue));
        let decoded = records.iter().filter(|_| !wrong.is_empty()).filter_map(|record| Note::decode(&record.body).ok());
        for note in decoded {
            for entry in note.entries.iter().filter(|entry| about(entry)) {
                let Note { member, number, time_ms, .. } = &note;
                self.trace.say("books", format_args!("note {number} of {member} at {time_ms} ms: {entry:?}"));
            }
        }
        for difference in &report.differences {
            notes.broken(Invariant::Books, format!("{}: {}", difference.queue, difference.what));
        }
        notes.compare(&report);
    }
}

impl Notes {
    /// What the books say cannot be more than what came out; where nothing went wrong, it is just that.
    fn compare(&mut self, report: &Report) {
        let is_exact = self.tally.faults == 0;
        let mut wrong = Vec::new();
        let mut hold = |what: &str, booked: u64, seen: u64| {
            if booked > seen || is_exact && booked != seen {
                wrong.push(format!("{what}: {booked} by the books, {seen} seen"));
            }
        };
        for (kind, sink) in SINKS {
            let row = report.sinks.iter().find(|row| row.sink == sink);
            let publishers = row.map(|row| row.publishers.as_slice()).unwrap_or_default();
            for destination in 0..self.destinations {
                let seen: usize = self
                    .published
                    .iter()
                    .filter(|((to, id), _)| *to == destination && id.0 == kind)
                    .map(|(_, times)| times)
                    .sum();
                let booked = booked(publishers, destination);
                hold(&format!("{kind}s published to {destination}"), booked, seen as u64);
            }
            if let (true, Some(row)) = (is_exact, row) {
                hold(&format!("{kind}s that came and were taken"), row.taken, row.came);
                // What comes to an old queue goes on to a present one, and came to both.
                hold(&format!("{kind}s that notifications gave"), row.given + row.work.forwarded, row.came);
            }
        }
        if is_exact {
            let (sent, poison) = self.sent;
            let of = |count: fn(&MainRow) -> u64| report.main_queues.iter().map(count).sum::<u64>();
            hold("notifications", of(|row| row.taken), sent);
            hold("parked notifications", of(|row| row.parked), poison);
            hold("owners that died, and packets that are not split", report.died + report.unsplit.len() as u64, 0);
            let refused = self.refused.keys().filter(|id| self.expected.contains_key(*id)).count();
            let parked = report.sinks.iter().flat_map(|row| &row.publishers);
            let parked = parked.map(|row| row.direct.parked + row.from_overflow.parked).sum::<u64>();
            hold("records that were refused", parked, refused as u64);
        }
        wrong.into_iter().for_each(|what| self.broken(Invariant::Books, what));
    }
}

/// How many records a destination accepted by the books, from the pipeline queues and from its overflow queue.
fn booked(publishers: &[PublisherRow], destination: usize) -> u64 {
    // As agents make it of the URL.
    let url = format!("test://{destination}");
    let key = format!("test-{:08x}", hash::stable(url.as_bytes()) >> 32);
    let rows = publishers.iter().filter(|row| row.publisher == key);
    rows.map(|row| row.direct.published + row.from_overflow.published).sum()
}
