//! Records of a state log, as bytes and back. The shape is written down in `docs/formats.md`.
//!
//! ```text
//! "NSLG"  format (1 byte)  kind and body (postcard)  CRC32C of everything before (4 bytes, little endian)
//! ```

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use super::window::{self, Window};
use crate::pipeline::transform::CellChange;

/// The format written, and the newest one read.
pub const FORMAT: u8 = 1;
/// Snapshots are cut into parts of at most this many bytes.
pub const SNAPSHOT_PART_BYTES_MAX: usize = 512 * 1024;

/// What every record of ours begins with.
const MAGIC: [u8; 4] = *b"NSLG";
const CHECKSUM_BYTES: usize = 4;

/// One record. `epoch` is that of its writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// An owner begins: earlier epochs are over from here on.
    Barrier {
        /// Its epoch.
        epoch: i64,
        /// Its member id, for people.
        member: String,
        /// Tells this very beginning from others of the same epoch.
        nonce: u64,
    },
    /// What one batch of packets did.
    Batch(Batch),
    /// A part of everything there is at this place of the log.
    Snapshot {
        /// Its writer's epoch.
        epoch: i64,
        /// Which part, from 0.
        part: u32,
        /// Of how many.
        parts: u32,
        /// The part's bytes.
        bytes: Vec<u8>,
    },
    /// An owner ends in order.
    Released {
        /// Its epoch.
        epoch: i64,
        /// The last batch whose outputs were published.
        published: u64,
        /// Where the last snapshot begins: its offset.
        snapshot: Option<u64>,
    },
    /// The queue is closed for good: its state goes to the queues of a later generation.
    Sealed {
        /// Its writer's epoch.
        epoch: i64,
        /// That generation.
        generation: u64,
        /// Where its snapshot begins: its offset.
        snapshot: Option<u64>,
    },
}

/// What one batch of packets did to the state, and what came out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its writer's epoch.
    pub epoch: i64,
    /// Counts batches through all epochs, from 1.
    pub number: u64,
    /// The last batch whose outputs were published when this one was written.
    pub published: u64,
    /// When, in milliseconds since 1970, by the writer's clock.
    pub now_ms: i64,
    /// The samples that took effect (see [`Window`](super::Window)).
    pub ids: Vec<u64>,
    /// How far each sender of packets has come.
    pub sources: Vec<Source>,
    /// What changed in the transformers' state.
    pub changes: Vec<CellChange>,
    /// What is to be published; bytes that only the agent reads.
    pub outputs: Vec<u8>,
    /// Where the last snapshot begins: its offset. Whoever reads only the end of the log knows by it where to begin.
    pub snapshot: Option<u64>,
}

/// A main-queue listener, and the last of its packets that was taken from this queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its member id.
    pub member: String,
    /// The epoch of its main queue.
    pub epoch: i64,
    /// The packet's number.
    pub sequence: u64,
}

/// Everything there is, as a snapshot has it. Most of it is ids, of which there may be a million: they are bytes, which are
/// not unpacked into anything but the window.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Whole<'a> {
    pub number: u64,
    pub published: u64,
    /// When ids took effect, and how many at that time, oldest first.
    times: Vec<(i64, u32)>,
    /// The ids, little endian.
    #[serde(borrow)]
    ids: Cow<'a, [u8]>,
    pub sources: Vec<Source>,
    pub cells: Vec<CellChange>,
}

/// Bytes of an id.
const ID_BYTES: usize = size_of::<u64>();

/// Why bytes are not taken for a record. None of them is ever read in part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Something else writes here.
    #[error("it is not a record of a state log")]
    Foreign,
    /// It was cut or changed on its way.
    #[error("its checksum is wrong")]
    Torn,
    /// Written by a newer version.
    #[error("it has format {0}, this version reads up to {FORMAT}: update this agent")]
    Newer(u8),
}

/// What a follower needs to know of a record, without the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The writer's epoch.
    pub epoch: i64,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of records, as far as a follower tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A barrier.
    Barrier,
    /// The batch of this number.
    Batch(u64),
    /// This part of a snapshot.
    Snapshot(u32),
    /// The queue is closed for good.
    Sealed,
    /// Anything else.
    Other,
}

impl Head {
    /// The head of a record; all of it is checked.
    pub fn of(bytes: &[u8]) -> Result<Head, RecordError> {
        // Every kind begins with its epoch; a batch goes on with its number, a snapshot with that of its part.
        let foreign = |_| RecordError::Foreign;
        let ((kind, epoch), rest) = postcard::take_from_bytes::<(u32, i64)>(body(bytes)?).map_err(foreign)?;
        let kind = match kind {
            0 => Kind::Barrier,
            1 => Kind::Batch(postcard::take_from_bytes::<u64>(rest).map_err(foreign)?.0),
            2 => Kind::Snapshot(postcard::take_from_bytes::<u32>(rest).map_err(foreign)?.0),
            4 => Kind::Sealed,
            _ => Kind::Other,
        };
        Ok(Head { epoch, kind })
    }
}

/// What stands between format and checksum, if both are right.
fn body(bytes: &[u8]) -> Result<&[u8], RecordError> {
    let (magic, rest) = bytes.split_at_checked(MAGIC.len()).ok_or(RecordError::Foreign)?;
    if magic != MAGIC {
        return Err(RecordError::Foreign);
    }
    // A newer version may check itself otherwise: asked before the checksum is.
    let format = *rest.first().ok_or(RecordError::Torn)?;
    if format > FORMAT {
        return Err(RecordError::Newer(format));
    }
    let at = bytes.len().checked_sub(CHECKSUM_BYTES).filter(|at| *at > MAGIC.len()).ok_or(RecordError::Torn)?;
    let (checked, checksum) = bytes.split_at(at);
    if crc32c::crc32c(checked).to_le_bytes() != *checksum {
        return Err(RecordError::Torn);
    }
    Ok(&checked[MAGIC.len() + 1..])
}

impl Source {
    /// Notes how far this sender has come, as the newest, in place of what was noted of it before.
    pub fn note_in(&self, sources: &mut Vec<Source>) {
        sources.retain(|known| known.member != self.member || known.epoch != self.epoch);
        sources.push(self.clone());
    }
}

impl Record {
    /// The writer's epoch.
    pub fn epoch(&self) -> i64 {
        match self {
            Record::Batch(batch) => batch.epoch,
            Record::Barrier { epoch, .. }
            | Record::Snapshot { epoch, .. }
            | Record::Released { epoch, .. }
            | Record::Sealed { epoch, .. } => *epoch,
        }
    }

    /// Where the last snapshot before it begins, if it says so.
    pub fn snapshot(&self) -> Option<u64> {
        match self {
            Record::Batch(Batch { snapshot, .. })
            | Record::Released { snapshot, .. }
            | Record::Sealed { snapshot, .. } => *snapshot,
            Record::Barrier { .. } | Record::Snapshot { .. } => None,
        }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(FORMAT);
        bytes = append(bytes, self);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
        match postcard::take_from_bytes(body(bytes)?) {
            Ok((record, [])) => Ok(record),
            _ => Err(RecordError::Foreign),
        }
    }
}

impl Whole<'_> {
    /// With the ids of this window.
    pub(super) fn new(
        (number, published): (u64, u64),
        window: &Window,
        sources: Vec<Source>,
        cells: Vec<CellChange>,
    ) -> Self {
        let ids = window.ids().flat_map(u64::to_le_bytes).collect();
        Whole { number, published, times: window.times().collect(), ids: Cow::Owned(ids), sources, cells }
    }

    /// Ids and when they took effect, oldest first.
    pub(super) fn ids(&self) -> impl Iterator<Item = (u64, i64)> {
        let ids = self.ids.as_chunks().0.iter().map(|id| u64::from_le_bytes(*id));
        window::timed(ids, self.times.iter().copied())
    }

    /// Whether every id has its time.
    fn is_sound(&self) -> bool {
        let times: u64 = self.times.iter().map(|(_, count)| u64::from(*count)).sum();
        self.ids.len().is_multiple_of(ID_BYTES) && times == (self.ids.len() / ID_BYTES) as u64
    }
}

/// A snapshot as records, of bounded size each, made one by one.
pub(super) fn cut(epoch: i64, whole: Whole<'_>) -> impl Iterator<Item = Record> {
    let bytes = append(Vec::new(), &whole);
    drop(whole);
    let parts = u32::try_from(bytes.len().div_ceil(SNAPSHOT_PART_BYTES_MAX)).unwrap_or(u32::MAX);
    let mut rest = Bytes::from(bytes);
    (0..parts).map(move |part| {
        let bytes = rest.split_to(rest.len().min(SNAPSHOT_PART_BYTES_MAX)).to_vec();
        Record::Snapshot { epoch, part, parts, bytes }
    })
}

/// A snapshot from the bytes of all its parts.
pub(super) fn join(bytes: &[u8]) -> Result<Whole<'_>, RecordError> {
    match postcard::take_from_bytes::<Whole<'_>>(bytes) {
        Ok((whole, [])) if whole.is_sound() => Ok(whole),
        _ => Err(RecordError::Torn),
    }
}

fn append(bytes: Vec<u8>, value: &impl Serialize) -> Vec<u8> {
    match postcard::to_extend(value, bytes) {
        Ok(bytes) => bytes,
        // Only a length that is not known beforehand could fail, and every list of ours knows its own.
        Err(error) => unreachable!("a record cannot be written: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::transform::CellKey;
    use proptest::prelude::*;

    fn batch() -> Record {
        Record::Batch(Batch {
            epoch: 7,
            number: 3,
            published: 2,
            now_ms: 1_700_000_000_000,
            ids: vec![1, u64::MAX],
            sources: vec![Source { member: "a".to_owned(), epoch: 5, sequence: 9 }],
            changes: vec![CellChange {
                key: CellKey { transformer: "0:ab".to_owned(), resource: "r".to_owned(), key: "k".to_owned() },
                value: Some(b"[1]".to_vec()),
            }],
            outputs: b"{}".to_vec(),
            snapshot: Some(300),
        })
    }

    #[test]
    fn a_record_of_format_1_is_these_bytes() {
        let hex = |record: &Record| record.encode().iter().map(|b| format!("{b:02x}")).collect::<String>();
        let barrier = Record::Barrier { epoch: 2, member: "m".to_owned(), nonce: 3 };
        assert_eq!(hex(&barrier), "4e534c47010004016d03b32294e9");
        assert_eq!(
            hex(&batch()),
            concat!(
                "4e534c4701010e030280a0abfef9620201ffffffffffffffffff010101610a090104303a61620172016b01035b315d027b7d",
                "01ac02769e1ec7"
            )
        );
    }

    #[test]
    fn a_head_is_the_beginning_of_its_record() {
        let barrier = Record::Barrier { epoch: -2, member: "m".to_owned(), nonce: 3 };
        let sealed = Record::Sealed { epoch: 300, generation: 1, snapshot: None };
        let released = Record::Released { epoch: 1, published: 9, snapshot: None };
        let part = Record::Snapshot { epoch: 1, part: 2, parts: 3, bytes: vec![7] };
        for (record, epoch, kind) in [
            (barrier, -2, Kind::Barrier),
            (batch(), 7, Kind::Batch(3)),
            (sealed, 300, Kind::Sealed),
            (part, 1, Kind::Snapshot(2)),
            (released, 1, Kind::Other),
        ] {
            assert_eq!(Head::of(&record.encode()), Ok(Head { epoch, kind }));
        }
    }

    #[test]
    fn what_is_no_record_says_what_it_is() {
        let whole = batch().encode();
        assert_eq!(Record::decode(b"{\"format\":1}"), Err(RecordError::Foreign));
        assert_eq!(Record::decode(b""), Err(RecordError::Foreign));
        assert_eq!(Record::decode(b"NSLG"), Err(RecordError::Torn));
        let mut newer = whole.clone();
        newer[4] = 2;
        assert_eq!(Record::decode(&newer), Err(RecordError::Newer(2)));
        // A body that is none of ours, under a checksum that fits.
        let mut foreign = b"NSLG\x01\xff".to_vec();
        let checksum = crc32c::crc32c(&foreign);
        foreign.extend_from_slice(&checksum.to_le_bytes());
        assert_eq!(Record::decode(&foreign), Err(RecordError::Foreign));
    }

    proptest! {
        /// Cut anywhere, or with any bit turned, it is refused whole.
        #[test]
        fn a_torn_record_is_never_half_loaded(cut in 0usize..200, bit in 0usize..1600) {
            let whole = batch().encode();
            prop_assert_eq!(Record::decode(&whole), Ok(batch()));
            let cut = cut % whole.len();
            prop_assert!(Record::decode(&whole[..cut]).is_err());
            let mut turned = whole.clone();
            let bit = bit % (whole.len() * 8);
            turned[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Record::decode(&turned).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = MAGIC.to_vec();
            framed.push(FORMAT);
            framed.extend_from_slice(&bytes);
            let checksum = crc32c::crc32c(&framed);
            framed.extend_from_slice(&checksum.to_le_bytes());
            let _either = (Record::decode(&framed), Head::of(&framed));
            let _either = Record::decode(&bytes);
            let _either = join(&bytes);
        }
    }
}
