//! Putting parked messages back where they came from.
//!
//! A message goes to the main queue that it came to, as it came; a packet to its pipeline queue. A record that a publisher refused
//! must reach that publisher and no other, and not the sink's transformers again: it goes, in a packet, to that publisher's overflow
//! queue, from which an agent offers it to that publisher alone. Each is confirmed before it is taken out of the parking queue.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::walk::{Found, Walk};
use super::{Content, Label, Parked, ParkedError};
use crate::agent::packets::packet::{self, PacketBuilder};
use crate::agent::runtime::options::PacketBounds;
use crate::model::{Event, Sample, Value, json};
use crate::observe::ParkReason;
use crate::transport::{
    COMPRESSION_HEADER, Confirmation, NACKED, Outgoing, Session, Topology, TransportError, topology,
};

/// What is sent says that it is this.
const CONTENT_TYPE: &str = "application/json";
/// Messages to one queue that are sent before their confirms are waited for …
const WAITING_MAX: usize = 64;
/// … and bytes of their bodies.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// A sink as it is configured now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkPlan {
    /// Its name, as its queues have it.
    pub name: String,
    /// Its publishers: the URL without secrets, and the end of the name of its overflow queue.
    pub publishers: Vec<(String, String)>,
}

/// Where a message goes, or why it stays parked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// To a queue, as it came.
    AsItCame(String),
    /// To an overflow queue, in a packet.
    Packed(String),
}

/// Why a message stays parked, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// What became of the messages that were to be put back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// How many went (or would go) to which queue.
    pub to: BTreeMap<String, u64>,
    /// How many stay parked, and why.
    pub left: BTreeMap<Refusal, u64>,
}

/// Puts messages back.
pub struct Requeue {
    session: Arc<dyn Session>,
    group: String,
    sinks: Vec<SinkPlan>,
    /// Bytes of an overflow queue that has to be made; 0: agents have none.
    overflow_bytes_max: i64,
    bounds: PacketBounds,
    /// Who sends: another one in every run, for packets are numbered by sender.
    sender: String,
    queues: BTreeMap<String, Queue>,
    outcome: Outcome,
}

/// What is on its way to one queue.
#[derive(Default)]
struct Queue {
    as_it_came: Vec<(Outgoing, Confirmation, Found)>,
    packed: Vec<Found>,
    bytes: usize,
    /// The number of the last packet, and how often the sender had to begin anew.
    sequence: u64,
    renamed: u64,
    /// It takes nothing more.
    closed: Option<Refusal>,
}

impl Requeue {
    /// Nothing is put back yet. `sender` is used once in the life of the group.
    pub fn new(
        session: &Arc<dyn Session>,
        group: &str,
        sinks: Vec<SinkPlan>,
        overflow_bytes_max: i64,
        bounds: PacketBounds,
        sender: &str,
    ) -> Requeue {
        Requeue {
            session: Arc::clone(session),
            group: group.to_owned(),
            sinks,
            overflow_bytes_max,
            bounds,
            sender: sender.to_owned(),
            queues: BTreeMap::new(),
            outcome: Outcome::default(),
        }
    }

    /// Notes what would become of a message.
    pub fn plan(&mut self, parked: &Parked) {
        match self.way(parked) {
            Ok(Way::AsItCame(queue) | Way::Packed(queue)) => *self.outcome.to.entry(queue).or_default() += 1,
            Err(refusal) => *self.outcome.left.entry(refusal).or_default() += 1,
        }
    }

    /// Puts a message back, or leaves it with the walk. It may be on its way until [`finish`](Requeue::finish).
    pub(super) async fn put(&mut self, found: Found, walk: &mut Walk) -> Result<(), ParkedError> {
        let way = match self.way(&found.parked) {
            Ok(way) => way,
            Err(refusal) => return self.leave(found, refusal, walk).await,
        };
        let (Way::AsItCame(name) | Way::Packed(name)) = &way;
        let (name, bytes) = (name.clone(), found.parked.body.len());
        let queue = self.queues.entry(name.clone()).or_default();
        if let Some(refusal) = queue.closed.clone() {
            return self.leave(found, refusal, walk).await;
        }
        let full = match way {
            Way::AsItCame(_) => {
                let message = as_it_came(&name, &found.parked);
                let confirmation = self.session.publish(message.clone()).await?;
                queue.as_it_came.push((message, confirmation, found));
                queue.bytes += bytes;
                queue.as_it_came.len() >= WAITING_MAX || queue.bytes >= WAITING_BYTES_MAX
            }
            Way::Packed(_) => {
                if queue.bytes + bytes > self.bounds.bytes_max && !queue.packed.is_empty() {
                    self.flush(&name, walk).await?;
                }
                let queue = self.queues.entry(name.clone()).or_default();
                if let Some(refusal) = queue.closed.clone() {
                    return self.leave(found, refusal, walk).await;
                }
                queue.packed.push(found);
                queue.bytes += bytes;
                queue.packed.len() >= self.bounds.notifications_max
            }
        };
        if full { self.flush(&name, walk).await } else { Ok(()) }
    }

    /// Waits until all of it is where it belongs.
    pub(super) async fn finish(mut self, walk: &mut Walk) -> Result<Outcome, ParkedError> {
        let names: Vec<String> = self.queues.keys().cloned().collect();
        for name in names {
            self.flush(&name, walk).await?;
        }
        Ok(self.outcome)
    }

    /// What was planned so far.
    pub fn planned(&self) -> &Outcome {
        &self.outcome
    }

    async fn leave(&mut self, found: Found, refusal: Refusal, walk: &mut Walk) -> Result<(), ParkedError> {
        *self.outcome.left.entry(refusal).or_default() += 1;
        walk.leave(found).await
    }

    /// Waits for the confirms of a queue, and settles what is confirmed.
    async fn flush(&mut self, name: &str, walk: &mut Walk) -> Result<(), ParkedError> {
        let Some(queue) = self.queues.get_mut(name) else { return Ok(()) };
        queue.bytes = 0;
        for (message, confirmation, found) in std::mem::take(&mut queue.as_it_came) {
            let taken = match confirmation.wait().await {
                // It may be that another one was meant.
                Err(TransportError::Rejected { .. }) => self.session.publish(message.alone()).await?.wait().await,
                taken => taken,
            };
            match refusal(name, taken)? {
                None => self.went(name, vec![found], walk),
                Some(refusal) => self.leave(found, refusal, walk).await?,
            }
        }
        self.send_packet(name, walk).await
    }

    /// Sends what is packed for an overflow queue, which is made where there is none.
    async fn send_packet(&mut self, name: &str, walk: &mut Walk) -> Result<(), ParkedError> {
        let Some(queue) = self.queues.get_mut(name) else { return Ok(()) };
        let packed = std::mem::take(&mut queue.packed);
        if packed.is_empty() {
            return Ok(());
        }
        queue.sequence += 1;
        let sender = format!("{} {}", self.sender, queue.renamed);
        let body = packet_of(&sender, queue.sequence, packed.iter().map(|found| &found.parked));
        let message = Outgoing::to_queue(name, body, CONTENT_TYPE).alone();
        let mut taken = self.session.publish(message.clone()).await?.wait().await;
        if matches!(taken, Err(TransportError::NotTaken { why, .. }) if why != NACKED) {
            let queues = vec![topology::overflow_queue(name.to_owned(), self.overflow_bytes_max)];
            taken = match self.session.declare(&Topology { queues, ..Topology::default() }).await {
                Ok(()) => self.session.publish(message).await?.wait().await,
                declared => declared,
            };
        }
        let Some(refusal) = refusal(name, taken)? else {
            self.went(name, packed, walk);
            return Ok(());
        };
        // A number that never comes would be waited for.
        queue.sequence = 0;
        queue.renamed += 1;
        queue.closed = Some(refusal.clone());
        for found in packed {
            self.leave(found, refusal.clone(), walk).await?;
        }
        Ok(())
    }

    fn went(&mut self, name: &str, all: Vec<Found>, walk: &mut Walk) {
        *self.outcome.to.entry(name.to_owned()).or_default() += all.len() as u64;
        all.into_iter().for_each(|found| walk.drop_for_good(found));
    }

    /// Where a message belongs.
    fn way(&self, parked: &Parked) -> Result<Way, Refusal> {
        let label = &parked.label;
        match label.content {
            Content::Message | Content::Packet if label.origin.is_empty() => {
                Err(Refusal("nothing says which queue it came from; export it".to_owned()))
            }
            Content::Message | Content::Packet => Ok(Way::AsItCame(label.origin.clone())),
            Content::Sample if label.reason == ParkReason::InternalError.name() => {
                let text = "a transformer failed over it, and nothing leads between the transformers; export it, and send its \
                            notification again when this is mended";
                Err(Refusal(text.to_owned()))
            }
            // What no agent can read would come back as a packet.
            Content::Sample | Content::Event => match self.publisher(label) {
                Ok(_) if !is_record(parked) => {
                    Err(Refusal(format!("its body is no {}; export it", label.content.name())))
                }
                queue => queue.map(Way::Packed),
            },
        }
    }

    /// The overflow queue of the publisher that refused a record.
    fn publisher(&self, label: &Label) -> Result<String, Refusal> {
        let whose = &label.whose;
        let (sink, url) = (&whose.sink, whose.publisher.as_deref().unwrap_or("that is not named"));
        if self.overflow_bytes_max == 0 {
            let text = "[nephoscope] overflow_max_bytes = 0 leaves no way to one publisher alone; set it, and restart the agents";
            return Err(Refusal(text.to_owned()));
        }
        let known = self.sinks.iter().find(|known| known.name == *sink);
        let Some(known) = known else {
            return Err(Refusal(format!("there is no sink {sink} now; write it again, or export and drop")));
        };
        let by_key = known.publishers.iter().find(|(_, key)| Some(key) == whose.destination.as_ref());
        // One that an earlier version parked says only how the publisher looks.
        let by_url = || known.publishers.iter().find(|(known, _)| whose.destination.is_none() && known == url);
        match by_key.or_else(by_url) {
            Some((_, key)) => Ok(topology::overflow_queue_name(&self.group, sink, key)),
            None => Err(Refusal(format!("sink {sink} has no publisher {url} now; write it again, or export and drop"))),
        }
    }
}

/// Whether the body is what is said of it.
fn is_record(parked: &Parked) -> bool {
    let Ok(Value::Dict(dict)) = json::read(&parked.body) else { return false };
    match parked.label.content {
        Content::Sample => Sample::from_dict(dict).is_ok(),
        Content::Event => Event::from_dict(dict).is_ok(),
        Content::Message | Content::Packet => false,
    }
}

/// A message for the queue that it came to.
fn as_it_came(queue: &str, parked: &Parked) -> Outgoing {
    let compression = parked.headers.get(COMPRESSION_HEADER);
    let headers = compression.map(|method| (COMPRESSION_HEADER.to_owned(), method.clone())).into_iter().collect();
    Outgoing { headers, ..Outgoing::to_queue(queue, parked.body.clone(), CONTENT_TYPE) }
}

/// Records as agents send them to each other, with the bytes that were parked.
fn packet_of<'p>(sender: &str, sequence: u64, records: impl Iterator<Item = &'p Parked>) -> Bytes {
    let mut packet = PacketBuilder::new(sender, 0, sequence);
    for Parked { label, body, .. } in records {
        let whose = &label.whose;
        let message_id = whose.message_id.as_deref().and_then(|id| json::read(id.as_bytes()).ok()).unwrap_or_default();
        let pipeline = whose.pipeline.as_deref().unwrap_or(&whose.sink);
        let mut head = Vec::with_capacity(128);
        packet::write_head_of(&message_id, pipeline, label.content == Content::Sample, &mut head);
        packet.push_encoded(&head, &[body]);
    }
    packet.finish().into()
}

/// Why a queue did not take something; an error where nothing can be sent any more.
fn refusal(queue: &str, taken: Result<(), TransportError>) -> Result<Option<Refusal>, ParkedError> {
    let text = match taken {
        Ok(()) => return Ok(None),
        Err(TransportError::NotTaken { why: NACKED, .. }) => {
            format!("{queue} takes nothing more now: it is full, or cannot keep it; put back the rest later")
        }
        Err(TransportError::NotTaken { .. }) => format!("there is no queue {queue} now; export and drop"),
        Err(
            error @ (TransportError::Rejected { .. } | TransportError::Differs { .. } | TransportError::Refused(_)),
        ) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Refusal(text)))
}
