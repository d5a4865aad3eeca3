//! What travels on a pipeline queue: one packet, holding what notifications one after the other yield for that queue.
//!
//! JSON, format 1; `docs/formats.md` describes it. The broker's cost is per message, so packing is
//! what lets the second hop keep up with the first.

use crate::agent::runtime::options::PacketBounds;
use crate::model::json::Exact;
use crate::model::{Dict, Event, Sample, Text, Value, json};
use crate::publish::Batch;
use bytes::Bytes;
use std::sync::Arc;

/// Bytes at most of what one notification yields for one sink, where it travels to another agent. RabbitMQ 4 takes 16 MiB in
/// one message, and a state log has it together with as much again that was taken at once.
pub(in crate::agent) const FRAGMENT_BYTES_MAX: usize = 8 << 20;

/// The first guess of how many bytes a packet has.
const BODY_BYTES: usize = 4 * 1024;

/// What a message that holds a packet says it is.
pub(in crate::agent) const CONTENT_TYPE: &str = "application/json";

/// The format written, and the newest one read.
pub const FORMAT: i64 = 1;

/// What one notification yields for one pipeline, in emission order.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment {
    /// The notification's message id.
    pub message_id: Value,
    /// The pipeline that took it.
    pub pipeline: Arc<str>,
    /// The samples or events.
    pub batch: Batch,
}

/// Asks the owner of an overflow queue to say when everything before it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What the answer consists of.
    pub token: String,
    /// The queue that it is sent to.
    pub answer_to: String,
}

/// A packet being filled.
#[derive(Debug)]
pub struct PacketBuilder {
    body: Vec<u8>,
    notifications: usize,
}

impl PacketBuilder {
    /// An empty packet from a listener: its member id, the epoch of its main queue, and the number of this packet in
    /// that epoch on its queue.
    pub fn new(member: &str, epoch: i64, sequence: u64) -> Self {
        PacketBuilder::with_room(BODY_BYTES, member, epoch, sequence)
    }

    /// The same, with room for so many bytes.
    pub(in crate::agent) fn with_room(bytes: usize, member: &str, epoch: i64, sequence: u64) -> Self {
        let mut body = Vec::with_capacity(bytes.max(BODY_BYTES));
        body.extend_from_slice(
            format!(r#"{{"format":{FORMAT},"epoch":{epoch},"sequence":{sequence},"member":"#).as_bytes(),
        );
        json::write_str(member, &mut body);
        body.extend_from_slice(br#","fragments":["#);
        PacketBuilder { body, notifications: 0 }
    }

    /// Adds a fragment.
    pub fn push(&mut self, fragment: &Fragment) {
        let out = self.next();
        write_head(fragment, out);
        match &fragment.batch {
            Batch::Samples(samples) => write_each(samples, Sample::write_json, out),
            Batch::Events(events) => write_each(events, Event::write_json, out),
        }
        out.extend_from_slice(FRAGMENT_END);
    }

    /// Adds a fragment that is encoded already: its head, and its records, each or several with commas between.
    pub(in crate::agent) fn push_encoded(&mut self, head: &[u8], records: &[&[u8]]) {
        let out = self.next();
        out.extend_from_slice(head);
        write_each(records, |record, out| out.extend_from_slice(record), out);
        out.extend_from_slice(FRAGMENT_END);
    }

    /// Where the next fragment is written to.
    fn next(&mut self) -> &mut Vec<u8> {
        if self.notifications > 0 {
            self.body.push(b',');
        }
        self.notifications += 1;
        &mut self.body
    }

    /// An end marker: everything that was acknowledged before the queues of this generation were used stands in front of it.
    pub fn end_marker(member: &str, epoch: i64, generation: u64) -> Vec<u8> {
        let mut body = PacketBuilder::new(member, epoch, 0).body;
        body.extend_from_slice(format!(r#"],"end":{generation}}}"#).as_bytes());
        body
    }

    /// A packet that holds a question and nothing else.
    pub fn question(member: &str, epoch: i64, sequence: u64, question: &Question) -> Vec<u8> {
        let mut body = PacketBuilder::new(member, epoch, sequence).body;
        body.extend_from_slice(br#"],"question":{"token":"#);
        json::write_str(&question.token, &mut body);
        body.extend_from_slice(br#","answer_to":"#);
        json::write_str(&question.answer_to, &mut body);
        body.extend_from_slice(b"}}");
        body
    }

    /// Whether a fragment of so many bytes belongs into this packet, and not into the next one.
    pub fn has_room(&self, bytes: usize, bounds: PacketBounds) -> bool {
        self.notifications == 0
            || self.notifications < bounds.notifications_max && self.body.len() + bytes <= bounds.bytes_max
    }

    /// Bytes that it has now.
    pub(in crate::agent) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Whether no further fragment belongs into this packet.
    pub fn is_full(&self, bounds: PacketBounds) -> bool {
        self.notifications >= bounds.notifications_max || self.body.len() >= bounds.bytes_max
    }

    /// The message body.
    pub fn finish(mut self) -> Vec<u8> {
        self.body.extend_from_slice(b"]}");
        self.body
    }
}

/// Behind the last record of a fragment.
const FRAGMENT_END: &[u8] = b"]}";

/// A fragment up to its first record.
pub(in crate::agent) fn write_head(fragment: &Fragment, out: &mut Vec<u8>) {
    let samples = matches!(fragment.batch, Batch::Samples(_));
    write_head_of(&fragment.message_id, &fragment.pipeline, samples, out);
}

/// The same from its parts; it holds samples, or events.
pub(in crate::agent) fn write_head_of(message_id: &Value, pipeline: &str, samples: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"message_id":"#);
    json::write(message_id, out);
    out.extend_from_slice(br#","pipeline":"#);
    json::write_str(pipeline, out);
    out.extend_from_slice(if samples { br#","samples":["# } else { br#","events":["#.as_slice() });
}

/// The inside of a JSON list.
fn write_each<T>(items: &[T], write: impl Fn(&T, &mut Vec<u8>), out: &mut Vec<u8>) {
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}

/// Why a message on a pipeline queue is no packet of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPacket {
    /// Not JSON, or not an object.
    #[error("cannot read the packet: it is not a JSON object")]
    NotJson,
    /// A newer format: this agent is older than the one that wrote it.
    #[error("cannot read the packet: it has format {0}, and this version reads up to {FORMAT}; update this agent")]
    Newer(i64),
    /// A part is missing or of another type.
    #[error("cannot read the packet: its {0} is missing or wrong")]
    Part(&'static str),
}

/// A packet that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    /// The member that sent it.
    pub member: String,
    /// The epoch of the main queue it owned.
    pub epoch: i64,
    /// The packet's number in that epoch on its queue, from 1.
    pub sequence: u64,
    /// What it holds, in order.
    pub fragments: Vec<Fragment>,
    /// It is an end marker: of what belongs to this queue and not to those of this generation, nothing stands behind it.
    pub end: Option<u64>,
    /// Whoever sent it wants to know when everything before it is published; in overflow queues only.
    pub question: Option<Question>,
}

/// Reads a packet.
pub fn read(body: &[u8]) -> Result<Packet, NotAPacket> {
    read_body(body.to_vec().into()).map_err(|(not, _)| not)
}

/// Reads a packet; what is none is given back. What is read at the first go is not copied, where nobody else has the body.
pub(in crate::agent) fn read_body(body: Bytes) -> Result<Packet, (NotAPacket, Bytes)> {
    let text = Text::from_utf8(body.into()).map_err(|bytes| (NotAPacket::NotJson, bytes.into()))?;
    let packet = read_exact(&text).map_or_else(|| read_any(text.as_bytes()), Ok);
    packet.map_err(|not| (not, text.into_string().into()))
}

/// Reads what [`PacketBuilder`] writes, if it is nothing but fragments.
fn read_exact(text: &Text) -> Option<Packet> {
    let mut from = Exact::new(text);
    let number = |from: &mut Exact<'_>, key: &[u8]| match from.literal(key).and_then(|()| from.value())? {
        Value::Int(number) => Some(number),
        _ => None,
    };
    if number(&mut from, br#"{"format":"#)? != FORMAT {
        return None;
    }
    let epoch = number(&mut from, br#","epoch":"#)?;
    let sequence = u64::try_from(number(&mut from, br#","sequence":"#)?).ok()?;
    from.literal(br#","member":"#)?;
    let member = from.string()?.into_string();
    from.literal(br#","fragments":"#)?;
    // Nearly always there is one.
    let mut known: Option<Arc<str>> = None;
    let fragments = from.list(|from| {
        from.literal(br#"{"message_id":"#)?;
        let message_id = from.value()?;
        from.literal(br#","pipeline":"#)?;
        let name = from.string()?;
        let pipeline = match &known {
            Some(known) if **known == *name => Arc::clone(known),
            _ => Arc::clone(known.insert(Arc::from(&*name))),
        };
        let batch = if from.literal(br#","samples":"#).is_some() {
            Batch::Samples(from.list(Sample::read_json)?)
        } else {
            from.literal(br#","events":"#)?;
            Batch::Events(from.list(Event::read_json)?)
        };
        from.literal(b"}")?;
        Some(Fragment { message_id, pipeline, batch })
    })?;
    from.literal(b"}")?;
    from.end()?;
    Some(Packet { member, epoch, sequence, fragments, end: None, question: None })
}

fn read_any(body: &[u8]) -> Result<Packet, NotAPacket> {
    let Ok(Value::Dict(mut packet)) = json::read(body) else { return Err(NotAPacket::NotJson) };
    match packet.get("format") {
        Some(Value::Int(FORMAT)) => {}
        Some(Value::Int(newer)) => return Err(NotAPacket::Newer(*newer)),
        _ => return Err(NotAPacket::Part("format")),
    }
    let Some(Value::Str(member)) = packet.remove("member") else { return Err(NotAPacket::Part("member")) };
    let Some(Value::Int(epoch)) = packet.remove("epoch") else { return Err(NotAPacket::Part("epoch")) };
    let sequence = match packet.get("sequence") {
        Some(Value::Int(sequence)) => u64::try_from(*sequence).map_err(|_| NotAPacket::Part("sequence"))?,
        _ => return Err(NotAPacket::Part("sequence")),
    };
    let Some(Value::List(fragments)) = packet.remove("fragments") else { return Err(NotAPacket::Part("fragments")) };
    let fragments = fragments.into_iter().map(read_fragment).collect::<Result<_, _>>()?;
    let end = packet.remove("end").map(read_end).transpose()?;
    let question = packet.remove("question").map(read_question).transpose()?;
    Ok(Packet { member: member.into_string(), epoch, sequence, fragments, end, question })
}

fn read_question(question: Value) -> Result<Question, NotAPacket> {
    let wrong = NotAPacket::Part("question");
    let Value::Dict(mut question) = question else { return Err(wrong) };
    match (question.remove("token"), question.remove("answer_to")) {
        (Some(Value::Str(token)), Some(Value::Str(answer_to))) => {
            Ok(Question { token: token.into_string(), answer_to: answer_to.into_string() })
        }
        _ => Err(wrong),
    }
}

fn read_end(generation: Value) -> Result<u64, NotAPacket> {
    let Value::Int(generation) = generation else { return Err(NotAPacket::Part("end")) };
    u64::try_from(generation).map_err(|_| NotAPacket::Part("end"))
}

fn read_fragment(fragment: Value) -> Result<Fragment, NotAPacket> {
    let Value::Dict(mut fragment) = fragment else { return Err(NotAPacket::Part("fragments")) };
    let pipeline = fragment.get("pipeline").and_then(Value::as_str).ok_or(NotAPacket::Part("pipeline"))?.into();
    let batch = match (fragment.remove("samples"), fragment.remove("events")) {
        (Some(Value::List(samples)), None) => Batch::Samples(each(samples, Sample::from_dict)?),
        (None, Some(Value::List(events))) => Batch::Events(each(events, Event::from_dict)?),
        _ => return Err(NotAPacket::Part("samples or events")),
    };
    Ok(Fragment { message_id: fragment.remove("message_id").unwrap_or_default(), pipeline, batch })
}

fn each<T>(items: Vec<Value>, read: impl Fn(Dict) -> Result<T, &'static str>) -> Result<Vec<T>, NotAPacket> {
    items
        .into_iter()
        .map(|item| match item {
            Value::Dict(dict) => read(dict).map_err(NotAPacket::Part),
            _ => Err(NotAPacket::Part("samples or events")),
        })
        .collect()
}

#[cfg(test)]
mod tests;
