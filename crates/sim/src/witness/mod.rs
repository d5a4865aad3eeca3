//! The witness: notes what was promised and what came of it, and says which promise was broken.

mod books;
mod logs;
mod promises;
mod records;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

use crate::trace::Trace;
use nephoscope::agent::packet;
use nephoscope::model::{Sample, Value};
use nephoscope::pipeline::transform::CellKey;
use nephoscope::publish::Batch;
use nephoscope::state::window;
use nephoscope::transport::{Outgoing, topology};

use records::{Id, refused_id};

pub(crate) use logs::Logs;
pub use promises::{Invariant, Tally, Violation};
pub(crate) use records::{EVENTS, SAMPLES, id_text};

/// Violations kept; the first ones tell the story.
const VIOLATIONS_MAX: usize = 20;

/// The content type of records of state logs.
const LOG: &str = "application/octet-stream";

/// The witness. A clone is the same one.
#[derive(Clone)]
pub(crate) struct Witness {
    trace: Trace,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    /// How many destinations each sink has.
    destinations: usize,
    /// Whether an order is promised.
    ordered: bool,
    expected: BTreeMap<Id, Expected>,
    /// By destination, as is all that was published.
    published: BTreeMap<(usize, Id), usize>,
    last: BTreeMap<(usize, &'static str, String), i64>,
    /// Bodies that nobody can read, and how often each was parked.
    poison: BTreeMap<Vec<u8>, usize>,
    refused: BTreeMap<Id, usize>,
    /// What was sent, and what of it nobody can read.
    sent: (u64, u64),
    queue_of: BTreeMap<(String, String), String>,
    epochs: BTreeMap<String, i64>,
    /// Who consumes what, and whether it still knows of it.
    consumers: BTreeMap<(String, String), CancellationToken>,
    /// The state logs, in worlds that have some.
    logs: Option<Logs>,
    /// What the broker confirmed in the rescue queue of a stateful queue.
    rescued: BTreeSet<(String, Bytes)>,
    cells: BTreeMap<CellKey, Vec<u8>>,
    tally: Tally,
    violations: Vec<Violation>,
}

#[derive(Clone)]
struct Expected {
    resource: String,
    /// Rises with every notification of the resource.
    counter: i64,
    sample: Option<Sample>,
}

impl Witness {
    /// A witness that has seen nothing, of a world in which each sink has so many destinations; in some worlds no order is promised.
    pub(crate) fn new(trace: Trace, destinations: usize, ordered: bool) -> Self {
        Witness { trace, notes: Arc::new(Mutex::new(Notes { destinations, ordered, ..Notes::default() })) }
    }

    /// There are state logs in this world.
    pub(crate) fn watch(&self, logs: Logs) {
        self.notes().logs = Some(logs);
    }

    /// A sender was promised that this sample comes out.
    pub(crate) fn expect_sample(&self, sample: &Sample, counter: i64) {
        let (resource, id) = (id_text(&sample.resource_id), (SAMPLES, sample.id.to_string()));
        self.expect(id, Expected { resource, counter, sample: Some(sample.clone()) });
    }

    /// A sender was promised that this event comes out.
    pub(crate) fn expect_event(&self, id: &str, resource: &str, counter: i64) {
        self.expect((EVENTS, id.to_owned()), Expected { resource: resource.to_owned(), counter, sample: None });
    }

    fn expect(&self, id: Id, expected: Expected) {
        let mut notes = self.notes();
        notes.tally.records += 1;
        notes.expected.insert(id, expected);
    }

    /// What one chain alone remembers after everything that was sent.
    pub(crate) fn expect_cells(&self, cells: BTreeMap<CellKey, Vec<u8>>) {
        self.notes().cells = cells;
    }

    /// A sender sends one more notification.
    pub(crate) fn sends(&self) {
        self.notes().sent.0 += 1;
    }

    /// A sender was promised that this body is parked.
    pub(crate) fn expect_parked(&self, body: &[u8]) {
        self.notes().sent.1 += 1;
        self.notes().poison.insert(body.to_vec(), 0);
    }

    /// The destination never takes this record.
    pub(crate) fn expect_refused(&self, kind: &'static str, id: &str) {
        self.notes().refused.insert((kind, id.to_owned()), 0);
    }

    /// Whether the destination takes this record.
    pub(crate) fn refuses(&self, kind: &'static str, id: &str) -> bool {
        self.notes().refused.contains_key(&(kind, id.to_owned()))
    }

    /// Something happens after which up to so many records may come out again.
    pub(crate) fn fault(&self) {
        self.notes().tally.faults += 1;
    }

    /// How often.
    pub(crate) fn faults(&self) -> usize {
        self.notes().tally.faults
    }

    /// A destination took a batch.
    pub(crate) fn published(&self, agent: &str, destination: usize, batch: &Batch) {
        let records: Vec<(Id, Option<&Sample>)> = match batch {
            Batch::Samples(samples) => samples.iter().map(|s| ((SAMPLES, s.id.to_string()), Some(s))).collect(),
            Batch::Events(events) => events.iter().map(|e| ((EVENTS, id_text(&e.message_id)), None)).collect(),
        };
        let mut notes = self.notes();
        let mut spoken = Vec::new();
        for (id, sample) in records {
            let Some(expected) = notes.expected.get(&id).cloned() else {
                notes.broken(
                    Invariant::NothingInvented,
                    format!("{agent} published {} {}, which nobody sent", id.0, id.1),
                );
                continue;
            };
            if sample != expected.sample.as_ref() {
                let what = format!("{agent} published {sample:?}, to come out was {:?}", expected.sample);
                notes.broken(Invariant::NothingInvented, what);
            }
            if sample.is_some() && notes.logs.as_ref().is_some_and(|logs| !logs.has_output(&id.1)) {
                let what = format!("{agent} published {} of {} before it was committed", id.1, expected.resource);
                notes.broken(Invariant::Committed, what);
            }
            if destination == 0 && notes.refused.contains_key(&id) {
                notes.broken(Invariant::NothingInvented, format!("{agent}: {} {} was refused and taken", id.0, id.1));
            }
            let times = notes.published.entry((destination, id.clone())).or_default();
            *times += 1;
            let again = *times > 1;
            spoken.push(format!("{}:{}{}", expected.resource, expected.counter, if again { " (again)" } else { "" }));
            if again {
                notes.tally.repeats += 1;
                continue;
            }
            let stream = (destination, id.0, expected.resource.clone());
            let before = notes.last.insert(stream, expected.counter);
            if let Some(before) = before.filter(|before| notes.ordered && *before >= expected.counter) {
                let (kind, Expected { counter, resource, .. }) = (id.0, &expected);
                let what = format!("{agent} published {kind} {counter} of {resource} after {before} to {destination}");
                notes.broken(Invariant::Order, what);
            }
        }
        drop(notes);
        let kind = if matches!(batch, Batch::Samples(_)) { SAMPLES } else { EVENTS };
        self.trace.say(agent, format_args!("published {kind}s to {destination}: {}", spoken.join(" ")));
    }

    /// A message of an agent arrived at the broker.
    pub(crate) fn sent(&self, agent: &str, message: &Outgoing) {
        let Ok(packet::Packet { fragments, .. }) = packet::read(&message.body) else {
            if message.content_type == LOG {
                return;
            }
            return self
                .trace
                .say(agent, format_args!("sends {} bytes to {}", message.body.len(), message.routing_key));
        };
        let queue = &message.routing_key;
        let sink = queue.rsplit_once('.').map_or(&**queue, |(sink, _)| sink);
        let mut notes = self.notes();
        let mut resources = BTreeSet::new();
        for fragment in &fragments {
            match &fragment.batch {
                Batch::Samples(samples) => resources.extend(samples.iter().map(|sample| id_text(&sample.resource_id))),
                Batch::Events(events) => {
                    let known = |id: &Value| notes.expected.get(&(EVENTS, id_text(id))).map(|e| e.resource.clone());
                    resources.extend(events.iter().filter_map(|event| known(&event.message_id)));
                }
            }
        }
        // Of an overflow queue each destination has one.
        for resource in resources.iter().filter(|_| !topology::is_overflow_queue(queue)) {
            let key = (sink.to_owned(), resource.clone());
            let first = notes.queue_of.entry(key).or_insert_with(|| queue.clone()).clone();
            if first != *queue {
                notes.broken(Invariant::OneQueue, format!("{agent} sends {resource} to {queue}, it went to {first}"));
            }
        }
        drop(notes);
        let resources: Vec<String> = resources.into_iter().collect();
        self.trace
            .say(agent, format_args!("sends {} notifications of {} to {queue}", fragments.len(), resources.join(" ")));
    }

    /// Something that an agent sent is in this queue; if that is a state log, it is looked at.
    pub(crate) fn grown(&self, agent: &str, queue: &str) {
        let mut notes = self.notes();
        match notes.logs.as_mut().and_then(|logs| logs.grown(queue)) {
            None => {}
            Some(Ok(said)) => {
                said.iter().for_each(|said| self.trace.say(agent, format_args!("writes {said} to {queue}")));
            }
            Some(Err((queue, error))) => notes.broken(Invariant::State, format!("{agent}, {queue}: {error}")),
        }
    }

    /// An agent had a queue deleted.
    pub(crate) fn deleted(&self, agent: &str, queue: &str) {
        self.trace.say(agent, format_args!("deletes {queue}"));
        self.notes().logs.iter_mut().for_each(|logs| logs.deleted(queue));
    }

    /// The broker confirmed a message: in a rescue queue it is a copy, and the message that it is of is not needed any more.
    pub(crate) fn rescued(&self, to: &str, body: Bytes) {
        let Some(queue) = to.strip_prefix(&topology::rescue_queue_name("")) else { return };
        let mut notes = self.notes();
        if notes.logs.as_ref().is_some_and(|logs| logs.is_stateful(queue)) {
            notes.rescued.insert((queue.to_owned(), body));
        }
    }

    /// The broker was told that what it delivered is done with. A message that has a copy in the rescue queue is done with;
    /// the copy must be committed before it is.
    pub(crate) fn acknowledged(&self, agent: &str, queue: &str, body: &Bytes) {
        let mut notes = self.notes();
        let of = queue.strip_prefix(&topology::rescue_queue_name(""));
        if of.is_none() && notes.rescued.contains(&(queue.to_owned(), body.clone())) {
            return;
        }
        let stateful = of.unwrap_or(queue);
        let Some(logs) = notes.logs.as_ref().filter(|logs| logs.is_stateful(stateful)) else { return };
        let fragments = packet::read(body).map(|packet| packet.fragments).unwrap_or_default();
        let mut early = Vec::new();
        for fragment in &fragments {
            let Batch::Samples(samples) = &fragment.batch else { continue };
            let new = samples.iter().filter(|sample| !logs.has_committed(window::id(&fragment.pipeline, sample)));
            early.extend(new.map(|sample| sample.id.to_string()));
        }
        if !early.is_empty() {
            let what = format!("{agent} acknowledged {} of {queue} before they were committed", early.join(" "));
            notes.broken(Invariant::Committed, what);
        }
    }

    /// The broker began to deliver from a queue to an agent.
    pub(crate) fn consumes(&self, agent: &str, queue: &str, over: &CancellationToken) {
        self.trace.say(agent, format_args!("consumes {queue}"));
        self.notes().consumers.insert((agent.to_owned(), queue.to_owned()), over.clone());
    }

    /// That consumer is over.
    pub(crate) fn consumes_no_more(&self, agent: &str, queue: &str) {
        self.trace.say(agent, format_args!("consumes {queue} no more"));
        self.notes().consumers.remove(&(agent.to_owned(), queue.to_owned()));
    }

    /// The group gave a queue to an agent.
    pub(crate) fn claimed(&self, agent: &str, queue: &str, epoch: i64) {
        let mut notes = self.notes();
        let before = notes.epochs.insert(queue.to_owned(), epoch);
        if let Some(before) = before.filter(|before| *before >= epoch) {
            notes.broken(Invariant::Handover, format!("{agent} owns {queue} by epoch {epoch} after {before}"));
        }
    }

    /// The group gave a queue back from an agent.
    pub(crate) fn released(&self, agent: &str, queue: &str) {
        let queue = queue.strip_prefix("main:").unwrap_or(queue);
        let mut notes = self.notes();
        let open = notes.consumers.get(&(agent.to_owned(), queue.to_owned())).is_some_and(|over| !over.is_cancelled());
        if open {
            notes.broken(Invariant::Handover, format!("{agent} gave up {queue} while it consumed it"));
        }
    }

    /// A message was found in the parking queue.
    pub(crate) fn parked(&self, kind: &str, body: &[u8]) {
        let mut notes = self.notes();
        notes.tally.parked += 1;
        let found = if kind == "refused" {
            refused_id(body).and_then(|id| notes.refused.get_mut(&id))
        } else {
            notes.poison.get_mut(body)
        };
        if let Some(times) = found {
            *times += 1;
        } else {
            let what = format!("parked as {kind}: {}", String::from_utf8_lossy(body));
            notes.broken(Invariant::Parking, what);
        }
    }

    /// A promise is broken.
    pub(crate) fn broken(&self, invariant: Invariant, what: String) {
        self.notes().broken(invariant, what);
    }

    /// Judges the state that is left when everybody has stopped.
    pub(crate) fn judge_state(&self) {
        let mut notes = self.notes();
        let Some(cells) = notes.logs.as_mut().map(Logs::cells) else { return };
        let expected = std::mem::take(&mut notes.cells);
        match cells {
            Err(what) => notes.broken(Invariant::State, what),
            Ok(cells) if cells == expected => {}
            Ok(cells) => {
                let keys: BTreeSet<&CellKey> = cells.keys().chain(expected.keys()).collect();
                let others = keys.into_iter().filter(|key| cells.get(key) != expected.get(key));
                let others: Vec<&str> = others.map(|key| key.resource.as_str()).collect();
                notes.broken(Invariant::State, format!("it is another one of {}", others.join(" ")));
            }
        }
    }

    /// Judges what is left to judge when all is over: `repeats_max` records may have come out again.
    pub(crate) fn judge(&self, repeats_max: usize) -> (Tally, Vec<Violation>) {
        let mut notes = self.notes();
        let parked_again: usize =
            notes.poison.values().chain(notes.refused.values()).map(|times| times.saturating_sub(1)).sum();
        let lost: Vec<String> = notes
            .expected
            .iter()
            .flat_map(|owed| (0..notes.destinations).map(move |destination| (destination, owed)))
            .filter(|(to, (id, _))| !notes.published.contains_key(&(*to, (*id).clone())))
            .filter(|(to, (id, _))| *to > 0 || !notes.refused.contains_key(*id))
            .map(|(to, ((kind, _), expected))| format!("{kind} {}:{} to {to}", expected.resource, expected.counter))
            .collect();
        if !lost.is_empty() {
            notes.broken(Invariant::NothingLost, format!("{} records: {}", lost.len(), lost.join(" ")));
        }
        let unparked = notes.poison.values().chain(notes.refused.values()).filter(|times| **times == 0).count();
        if unparked > 0 {
            notes.broken(Invariant::Parking, format!("{unparked} are not parked"));
        }
        let repeats = notes.tally.repeats + parked_again;
        if repeats > repeats_max {
            let faults = notes.tally.faults;
            notes.broken(Invariant::Repeats, format!("{repeats} after {faults} faults, at most {repeats_max} may be"));
        }
        (notes.tally, notes.violations.clone())
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn broken(&mut self, invariant: Invariant, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { invariant, what });
        }
    }
}
