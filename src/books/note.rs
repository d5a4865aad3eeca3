//! Notes: what one agent settled since its last note, as bytes and back. The shape is written down in `docs/formats.md`.

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::ops::AddAssign;

/// The format written, and the newest one read.
pub const FORMAT: u32 = 1;
/// Bytes of a note at most, unpacked. An agent of 1,000 queues writes a fiftieth of that.
pub const NOTE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A note of more bytes is packed.
const PACKED_FROM_BYTES: usize = 512;

/// What one agent settled since its last note.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// [`FORMAT`].
    pub format: u32,
    /// The member id.
    pub member: String,
    /// Tells this process of the member from any other.
    pub process: String,
    /// Counts the notes of the process, from 1: one that comes twice is taken once.
    pub number: u64,
    /// When, in milliseconds since 1970, by the member's clock.
    pub time_ms: i64,
    /// By queue, where something was settled or its owner ended.
    pub entries: Vec<Entry>,
}

/// What a queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A main queue.
    #[default]
    Main,
    /// A pipeline queue.
    Pipeline,
    /// A pipeline queue of a former layout, whose packets go on to the queues of the next.
    Old,
    /// The overflow queue of one publisher.
    Overflow,
    /// No queue: a sink of an agent alone.
    Sink,
}

/// What the owner of one queue settled. All numbers are what was added since the last note, but `held`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The queue; for an agent alone, also a sink.
    pub queue: String,
    /// What it is.
    pub kind: Kind,
    /// The sink whose records are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// The epoch of its ownership.
    pub epoch: i64,
    /// The first that is noted of this ownership.
    #[serde(default, skip_serializing_if = "is_false")]
    pub begun: bool,
    /// Messages that the owner holds and has not settled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Messages that the broker lets it have unacknowledged; while it holds one, others may wait behind it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prefetch: u64,
    /// Nothing more comes of this ownership: all that it settled is noted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub over: bool,
    /// Messages that were settled: kept or parked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub settled: u64,
    /// Of these, messages that the broker had delivered before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub again: u64,
    /// Messages that went back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub returned: u64,
    /// Messages that nobody can read, and that are parked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread: u64,
    /// Notifications that gave nothing: unwanted, or no definition matched.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nothing: u64,
    /// Notifications that gave something, all of which went on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub went_on: u64,
    /// The records that these gave, by sink.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<String, u64>,
    /// Packets that were settled, by sender.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packets: Vec<Packets>,
    /// Packets that were settled beyond what is told apart by number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unnumbered: u64,
    /// What became of records.
    #[serde(default, skip_serializing_if = "Work::is_zero")]
    pub work: Work,
    /// What each publisher did with those that were delivered, by its key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub publishers: BTreeMap<String, Offered>,
    /// Packets that other queues confirmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<Sent>,
}

/// Packets of one sender, with all numbers from the first to the last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packets {
    /// As the packets name it.
    pub sender: String,
    /// The epoch in the packets.
    pub epoch: i64,
    /// The first number.
    pub from: u64,
    /// The last number.
    pub to: u64,
    /// What notifications gave, one for each and pipeline.
    pub fragments: u64,
    /// Samples and events.
    pub records: u64,
}

/// Packets that a queue confirmed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The queue.
    pub queue: String,
    /// Its sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// The publisher's key, where it is an overflow queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// Which they are.
    #[serde(flatten)]
    pub packets: Packets,
}

/// What became of records. `records + made = repeated + transformed + parked + forwarded + delivered`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// That came.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub records: u64,
    /// That transformers with state had taken before, and that were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// That went into transformers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub transformed: u64,
    /// That came out of transformers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub made: u64,
    /// That were parked before any publisher got them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parked: u64,
    /// That went on to the queues of another layout.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forwarded: u64,
    /// That the publishers were given.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delivered: u64,
}

/// What one publisher did with records. `offered = published + overflow + parked`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// That it was given.
    pub offered: u64,
    /// That it accepted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub published: u64,
    /// That its overflow queue has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overflow: u64,
    /// That it refused for good, and that are parked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parked: u64,
}

/// Why bytes are no note of ours.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// Not JSON of this shape.
    #[error("cannot read the note: {0}")]
    Json(#[from] serde_json::Error),
    /// Packed otherwise, or larger than a note is.
    #[error("cannot unpack the note: {0}")]
    Packed(#[from] io::Error),
    /// A newer format.
    #[error("cannot read the note: it has format {0}, and this version reads up to {FORMAT}; use the newest version")]
    Newer(u32),
}

impl Note {
    /// The note as bytes: JSON, packed by zlib where it is long.
    pub fn encode(&self) -> Vec<u8> {
        // Keys are texts and numbers are finite: writing cannot fail.
        let json = serde_json::to_vec(self).unwrap_or_default();
        if json.len() <= PACKED_FROM_BYTES {
            return json;
        }
        let mut packed = ZlibEncoder::new(Vec::with_capacity(json.len() / 4), Compression::fast());
        match packed.write_all(&json).and_then(|()| packed.finish()) {
            Ok(packed) => packed,
            Err(_) => json,
        }
    }

    /// Reads a note.
    pub fn decode(bytes: &[u8]) -> Result<Note, NoteError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let mut unpacked = Vec::new();
        let json = if bytes.first() == Some(&b'{') {
            bytes
        } else {
            ZlibDecoder::new(bytes).take(NOTE_BYTES_MAX).read_to_end(&mut unpacked)?;
            &unpacked
        };
        match serde_json::from_slice(json)? {
            Head { format: newer } if newer > FORMAT => Err(NoteError::Newer(newer)),
            Head { .. } => Ok(serde_json::from_slice(json)?),
        }
    }
}

impl Work {
    /// Whether nothing was worked on.
    pub fn is_zero(&self) -> bool {
        *self == Work::default()
    }

    /// How many records are missing (above zero) or too many.
    pub fn difference(&self) -> i128 {
        let Work { records, repeated, transformed, made, parked, forwarded, delivered } = *self;
        let sum = |all: &[u64]| all.iter().map(|n| i128::from(*n)).sum::<i128>();
        sum(&[records, made]) - sum(&[repeated, transformed, parked, forwarded, delivered])
    }

    /// What was added since.
    pub(super) fn since(&self, before: &Work) -> Work {
        Work {
            records: self.records.saturating_sub(before.records),
            repeated: self.repeated.saturating_sub(before.repeated),
            transformed: self.transformed.saturating_sub(before.transformed),
            made: self.made.saturating_sub(before.made),
            parked: self.parked.saturating_sub(before.parked),
            forwarded: self.forwarded.saturating_sub(before.forwarded),
            delivered: self.delivered.saturating_sub(before.delivered),
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, more: Work) {
        // A note may hold anything: no number of it may overflow.
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.records, more.records);
        add(&mut self.repeated, more.repeated);
        add(&mut self.transformed, more.transformed);
        add(&mut self.made, more.made);
        add(&mut self.parked, more.parked);
        add(&mut self.forwarded, more.forwarded);
        add(&mut self.delivered, more.delivered);
    }
}

impl Offered {
    /// How many records are missing (above zero) or too many.
    pub fn difference(&self) -> i128 {
        i128::from(self.offered) - i128::from(self.published) - i128::from(self.overflow) - i128::from(self.parked)
    }

    /// What was added since.
    pub(super) fn since(&self, before: &Offered) -> Offered {
        Offered {
            offered: self.offered.saturating_sub(before.offered),
            published: self.published.saturating_sub(before.published),
            overflow: self.overflow.saturating_sub(before.overflow),
            parked: self.parked.saturating_sub(before.parked),
        }
    }
}

impl AddAssign for Offered {
    fn add_assign(&mut self, more: Offered) {
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.offered, more.offered);
        add(&mut self.published, more.published);
        add(&mut self.overflow, more.overflow);
        add(&mut self.parked, more.parked);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}
