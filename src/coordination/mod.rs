//! etcd, and an in-process group of the same semantics. The only room that names `etcd_client`.
//!
//! A lease gives liveness, compare-and-set gives one owner per queue; a watch is a hint, a range read is the truth.
//! Never here: who *should* own what (that is `cluster`).

pub mod etcd;
pub mod history;
pub mod lease;
pub mod memory;
pub mod process;

pub use etcd::{EndpointLook, EtcdGroup, EtcdLook, EtcdOptions, EtcdTls};
pub use history::{Move, Reason};
pub use memory::MemoryGroup;
pub use process::Process;

use crate::cluster::{Group, MemberState, Owner, Spec};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A backend in which members can meet: an etcd cluster, or the in-process twin.
#[async_trait]
pub trait Coordinator: Send + Sync + 'static {
    /// Joins under `record.id` with a lease. Refused with [`CoordinationError::IdTaken`] while another process holds the
    /// id, unless that is surely dead ([`Process::is_dead`]): then its lease ends at once. One attempt.
    async fn join(&self, record: MemberRecord) -> Result<Arc<dyn Membership>, CoordinationError>;
    /// Reads the group without joining it.
    async fn view(&self) -> Result<View, CoordinationError>;
    /// The newest moves of one queue, or of all, newest first. A move is missing if its claimer could not write it.
    async fn history(&self, queue: Option<&str>) -> Result<BTreeMap<String, Vec<Move>>, CoordinationError>;
    /// Writes the specification if the present one is of this revision (`None`: if there is none); whether the group
    /// has this one now.
    async fn put_spec(&self, spec: &Spec, expected: Option<i64>) -> Result<bool, CoordinationError>;
    /// Does what an operator asks for; members see it in their next view. To do it again changes nothing.
    async fn operate(&self, operation: &Operation) -> Result<(), CoordinationError>;
    /// How long the lease of a process that died may stand.
    fn ttl(&self) -> Duration;
    /// The backend in words for logs, without secrets.
    fn name(&self) -> &str;
}

/// One process's place in the group, for as long as its lease is kept alive. A lost membership is never resumed.
#[async_trait]
pub trait Membership: Send + Sync + 'static {
    /// The group as one linearizable range read sees it.
    async fn view(&self) -> Result<View, CoordinationError>;
    /// Returns when the group may have changed since the last call (or the last [`view`](Membership::view)); early
    /// or idle returns are allowed, a missed change is not beyond the caller's own period of reading.
    async fn changed(&self);
    /// Says anew what this member is, above all whether it can take work. The record's id is this member's.
    async fn describe(&self, record: MemberRecord) -> Result<(), CoordinationError>;
    /// Takes a queue if no other member has it: a new epoch, or `None` if one has. A queue that is mine already is
    /// taken anew: after a lost broker session it needs a new epoch, and an answer may have been lost on the way.
    /// Writes the move into the queue's history, perhaps a little later.
    async fn claim(&self, queue: &str) -> Result<Option<Epoch>, CoordinationError>;
    /// Releases a queue if it is still mine with this epoch; whether it was.
    async fn release(&self, queue: &str, epoch: Epoch) -> Result<bool, CoordinationError>;
    /// As [`Coordinator::put_spec`], in this member's name.
    async fn put_spec(&self, spec: &Spec, expected: Option<i64>) -> Result<bool, CoordinationError>;
    /// Notes something for all members of all times: `marks/<generation>/<name>`. Written over what was there.
    async fn mark(&self, generation: u64, name: &str, value: &str) -> Result<(), CoordinationError>;
    /// Forgets what is noted of a queue that is no more: its mark, its history and its pin.
    async fn forget(&self, generation: u64, mark: &str, queue: &str) -> Result<(), CoordinationError>;
    /// Forgets all marks of a generation.
    async fn clear_marks(&self, generation: u64) -> Result<(), CoordinationError>;
    /// Until when the lease is surely mine: send time of the last confirmed keepalive + 0.8 TTL. Past it the group is
    /// silent: nothing new may be begun in its name, and writes are refused with [`CoordinationError::Away`].
    fn deadline(&self) -> Instant;
    /// Cancelled when the backend says that the lease is gone, or has been silent for longer than the operator allows.
    fn lost(&self) -> CancellationToken;
    /// Leaves at once: revokes the lease; what it still owned is free.
    async fn leave(&self);
}

/// Rises with every change of owner of a queue: the `mod_revision` of the owner key.
pub type Epoch = i64;

/// What a member says of itself; JSON in etcd (format in `docs/formats.md`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemberRecord {
    /// Format version of this record: 1.
    pub format: u32,
    /// Stable id.
    pub id: String,
    /// The machine.
    pub host: String,
    /// Version of the program.
    pub version: String,
    /// Share of the work relative to others, 1 to 100.
    pub weight: u32,
    /// Digest of everything that members must agree on.
    pub config_digest: String,
    /// Whether it can take work.
    pub ready: bool,
    /// The process, where the system says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

impl MemberRecord {
    /// Whether the process that joined with it is surely dead.
    fn is_of_the_dead(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_dead)
    }
}

/// The group at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The backend's revision of this read.
    pub revision: i64,
    /// Members by id.
    pub members: BTreeMap<String, MemberRecord>,
    /// Owned queues: member ID and epoch.
    pub owners: BTreeMap<String, (String, Epoch)>,
    /// Whether an operator has paused rebalancing.
    pub paused: bool,
    /// What all members agree on, and the revision that wrote it. `None` until the first member has come.
    pub spec: Option<(Spec, i64)>,
    /// What members noted for all, by `<generation>/<name>`. A mark stays when its member goes.
    pub marks: BTreeMap<String, String>,
    /// Queues that an operator has pinned to a member.
    pub pins: BTreeMap<String, String>,
    /// Members that an operator wants without work, whether they are there or not.
    pub drained: BTreeMap<String, Drained>,
}

/// What an operator can ask of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// From now on no member releases a queue that it could keep.
    Pause,
    /// Queues move again.
    Resume,
    /// A queue belongs to this member, for as long as the member is there, ready and not drained.
    Pin {
        /// The queue.
        queue: String,
        /// The member's id.
        member: String,
    },
    /// Any member may own the queue again.
    Unpin {
        /// The queue.
        queue: String,
    },
    /// A member releases its queues and gets no others, but stays in the group.
    Drain {
        /// Its id.
        member: String,
        /// When and why.
        note: Drained,
    },
    /// A member gets work again.
    Undrain {
        /// Its id.
        member: String,
    },
}

/// When and why an operator has drained a member.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Drained {
    /// RFC 3339, UTC.
    pub since: String,
    /// In words, perhaps none.
    pub reason: String,
}

/// The longest name of a mark, in bytes.
pub const MARK_NAME_BYTES_MAX: usize = 512;
/// The longest value of a mark, in bytes.
pub const MARK_VALUE_BYTES_MAX: usize = 512;

/// Whether a mark is within its bounds.
fn check_mark(name: &str, value: &str) -> Result<(), CoordinationError> {
    for (what, bytes, most) in [("name", name.len(), MARK_NAME_BYTES_MAX), ("value", value.len(), MARK_VALUE_BYTES_MAX)]
    {
        if bytes > most {
            return Err(CoordinationError::TooLong { what, bytes, most });
        }
    }
    Ok(())
}

impl View {
    /// The same, in the terms of the pure rooms.
    pub fn group(&self) -> Group {
        let member = |record: &MemberRecord| MemberState { weight: record.weight, ready: record.ready };
        let owner = |(member, epoch): &(String, Epoch)| Owner { member: member.clone(), epoch: *epoch };
        Group {
            revision: self.revision,
            members: self.members.iter().map(|(id, record)| (id.clone(), member(record))).collect(),
            owners: self.owners.iter().map(|(queue, of)| (queue.clone(), owner(of))).collect(),
            paused: self.paused,
            pins: self.pins.clone(),
            drained: self.drained.keys().cloned().collect(),
        }
    }
}

/// What the group would not do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CoordinationError {
    /// The backend cannot be reached, or does not answer: try again.
    #[error("cannot reach the group at {backend}: {cause}")]
    Away {
        /// The backend, without secrets.
        backend: String,
        /// What the system said.
        cause: String,
    },
    /// The backend, or the way to it, refuses for good: wrong user or password, a right or a certificate that is missing. A
    /// person must act.
    #[error("cannot use the group at {backend}: {cause}")]
    Refused {
        /// The backend, without secrets.
        backend: String,
        /// What is wrong, and what to do.
        cause: String,
    },
    /// The lease is gone: join again.
    #[error("cannot keep {0} in the group: its lease ran out")]
    Lost(String),
    /// Another live process has this id.
    #[error(
        "cannot join as member {0}: a live process has this ID; set [nephoscope] member_id, or stop the other process"
    )]
    IdTaken(String),
    /// It would not be read back.
    #[error("cannot write a mark for the group: its {what} has {bytes} bytes, expected at most {most}")]
    TooLong {
        /// What of it.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
        /// The most.
        most: usize,
    },
    /// What stands in the backend is not ours to read.
    #[error("cannot read {key}: {why}")]
    Foreign {
        /// The key.
        key: String,
        /// Why.
        why: String,
    },
}
