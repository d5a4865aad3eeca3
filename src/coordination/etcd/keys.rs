//! Keys and records in etcd, written and read (`docs/formats.md`, "In etcd").

use crate::cluster::Spec;
use crate::coordination::history::Move;
use crate::coordination::{CoordinationError, Drained, MemberRecord, View};
use etcd_client::KeyValue;
use serde::{Deserialize, Serialize};

/// The format of every record in this version.
pub const FORMAT: u32 = 1;

/// Keys of a group that are read, at most: 10,000 queues with everything that is written about them, four times over.
pub const KEYS_MAX: usize = 200_000;

/// The keys of one group.
#[derive(Debug, Clone)]
pub struct Keys {
    root: String,
}

/// The value of an owner key.
#[derive(Debug, Serialize, Deserialize)]
struct OwnerRecord {
    format: u32,
    member: String,
}

/// The value of a mark.
#[derive(Debug, Serialize, Deserialize)]
struct MarkRecord {
    format: u32,
    value: String,
}

/// The value of a member's drain.
#[derive(Debug, Serialize, Deserialize)]
struct DrainedRecord {
    format: u32,
    #[serde(flatten)]
    drained: Drained,
}

/// The value of a queue's history.
#[derive(Debug, Serialize, Deserialize)]
struct HistoryRecord {
    format: u32,
    moves: Vec<Move>,
}

/// Any record: only to see whether it is one of ours.
#[derive(Deserialize)]
struct AnyRecord {
    format: u32,
}

impl Keys {
    /// The keys under `/nephoscope/<group>/`.
    pub fn new(group: &str) -> Self {
        Keys { root: format!("/nephoscope/{group}/") }
    }

    /// What all keys of the group begin with.
    pub fn root(&self) -> &[u8] {
        self.root.as_bytes()
    }

    /// The first key after all of the group's.
    pub fn root_end(&self) -> Vec<u8> {
        prefix_end(self.root())
    }

    /// The key of a member.
    pub fn member(&self, id: &str) -> String {
        format!("{}members/{id}", self.root)
    }

    /// The key of a queue's owner.
    pub fn owner(&self, queue: &str) -> String {
        format!("{}owners/{queue}", self.root)
    }

    /// The key whose presence pauses moving.
    pub fn pause(&self) -> String {
        format!("{}pause", self.root)
    }

    /// The key of the specification.
    pub fn spec(&self) -> String {
        format!("{}spec", self.root)
    }

    /// What the keys of a generation's marks begin with.
    pub fn marks(&self, generation: u64) -> String {
        format!("{}marks/{generation}/", self.root)
    }

    /// The key of a queue's history; without a queue, the prefix of all such keys. Members read past them.
    pub fn history(&self, queue: &str) -> String {
        format!("{}history/{queue}", self.root)
    }

    /// The ranges that a view is read from: everything but the histories.
    pub(super) fn ranges(&self) -> [(Vec<u8>, Vec<u8>); 2] {
        let history = self.history("").into_bytes();
        let after = prefix_end(&history);
        [(self.root.clone().into_bytes(), history), (after, self.root_end())]
    }

    /// The moves in the value of a history key; what cannot be read is an error that names the key.
    pub(super) fn read_history(&self, pair: &KeyValue) -> Result<Vec<Move>, CoordinationError> {
        let key = std::str::from_utf8(pair.key()).unwrap_or_default();
        let key = key.strip_prefix(&self.root).unwrap_or_default();
        self.read::<HistoryRecord>(key, pair.value()).map(|record| record.moves)
    }

    /// The key of the member that a queue is pinned to.
    pub fn pin(&self, queue: &str) -> String {
        format!("{}pins/{queue}", self.root)
    }

    /// The key whose presence drains a member.
    pub fn drained(&self, member: &str) -> String {
        format!("{}drained/{member}", self.root)
    }

    /// The group as a range read gave it. Keys of other kinds are passed over; a record of our kinds that is not of
    /// our format is an error that names it.
    pub fn view(&self, revision: i64, pairs: &[KeyValue]) -> Result<View, CoordinationError> {
        let mut view = View { revision, ..View::default() };
        for pair in pairs {
            let Some(key) = std::str::from_utf8(pair.key()).ok().and_then(|key| key.strip_prefix(&self.root)) else {
                continue;
            };
            if let Some(id) = key.strip_prefix("members/") {
                let record: MemberRecord = self.read(key, pair.value())?;
                if record.id != id {
                    return Err(self.foreign(key, format!("it is the record of member {}", record.id)));
                }
                view.members.insert(id.to_owned(), record);
            } else if let Some(queue) = key.strip_prefix("owners/") {
                let record: OwnerRecord = self.read(key, pair.value())?;
                view.owners.insert(queue.to_owned(), (record.member, pair.mod_revision()));
            } else if let Some(name) = key.strip_prefix("marks/") {
                let record: MarkRecord = self.read(key, pair.value())?;
                view.marks.insert(name.to_owned(), record.value);
            } else if let Some(queue) = key.strip_prefix("pins/") {
                let record: OwnerRecord = self.read(key, pair.value())?;
                view.pins.insert(queue.to_owned(), record.member);
            } else if let Some(member) = key.strip_prefix("drained/") {
                let record: DrainedRecord = self.read(key, pair.value())?;
                view.drained.insert(member.to_owned(), record.drained);
            } else if key == "pause" {
                view.paused = true;
            } else if key == "spec" {
                let spec = Spec::read(pair.value()).map_err(|error| self.foreign(key, error.to_string()))?;
                view.spec = Some((spec, pair.mod_revision()));
            }
        }
        Ok(view)
    }

    /// A member's record.
    pub(super) fn read_member(&self, pair: &KeyValue) -> Result<MemberRecord, CoordinationError> {
        let key = std::str::from_utf8(pair.key()).unwrap_or_default();
        self.read(key.strip_prefix(&self.root).unwrap_or_default(), pair.value())
    }

    fn read<T: serde::de::DeserializeOwned>(&self, key: &str, value: &[u8]) -> Result<T, CoordinationError> {
        match serde_json::from_slice::<AnyRecord>(value) {
            Ok(AnyRecord { format: FORMAT }) => {
                serde_json::from_slice(value).map_err(|error| self.foreign(key, error.to_string()))
            }
            Ok(AnyRecord { format }) => Err(self.foreign(key, format!("its format is {format}, expected {FORMAT}"))),
            Err(error) => Err(self.foreign(key, error.to_string())),
        }
    }

    /// The error about a group that has more keys than are read.
    pub(super) fn too_many(&self) -> CoordinationError {
        self.foreign("", format!("more than {KEYS_MAX} keys; see what else writes there"))
    }

    fn foreign(&self, key: &str, why: String) -> CoordinationError {
        CoordinationError::Foreign { key: format!("{}{key}", self.root), why }
    }
}

/// The first key after all that begin with this, which ends with `/`: the same with the last byte one higher.
pub(super) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix[..prefix.len().saturating_sub(1)].to_vec();
    end.push(b'/' + 1);
    end
}

/// The value of a history key.
pub fn write_history(moves: Vec<Move>) -> Vec<u8> {
    serde_json::to_vec(&HistoryRecord { format: FORMAT, moves }).unwrap_or_default()
}

/// The value of a member key.
pub fn write_member(record: &MemberRecord) -> Vec<u8> {
    // Strings and numbers only: writing them cannot fail.
    serde_json::to_vec(record).unwrap_or_default()
}

/// The value of the pause key.
pub fn write_pause() -> Vec<u8> {
    format!(r#"{{"format":{FORMAT}}}"#).into_bytes()
}

/// The value of a mark.
pub fn write_mark(value: &str) -> Vec<u8> {
    serde_json::to_vec(&MarkRecord { format: FORMAT, value: value.to_owned() }).unwrap_or_default()
}

/// The value of a drain.
pub fn write_drained(drained: &Drained) -> Vec<u8> {
    serde_json::to_vec(&DrainedRecord { format: FORMAT, drained: drained.clone() }).unwrap_or_default()
}

/// The value of an owner key, and of a pin.
pub fn write_owner(member: &str) -> Vec<u8> {
    serde_json::to_vec(&OwnerRecord { format: FORMAT, member: member.to_owned() }).unwrap_or_default()
}
