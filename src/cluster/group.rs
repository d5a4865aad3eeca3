//! The group as the pure rooms see it: who is there, who owns what, at one revision.

use std::collections::{BTreeMap, BTreeSet};

/// Rises with every change of owner of a queue; 0 and below never occur.
pub type Epoch = i64;

/// The group at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// The revision of the read: an owner key with an epoch up to it is in [`owners`](Group::owners), or gone.
    pub revision: i64,
    /// Members by id.
    pub members: BTreeMap<String, MemberState>,
    /// Owned queues.
    pub owners: BTreeMap<String, Owner>,
    /// Whether an operator has paused moving.
    pub paused: bool,
    /// Queues that an operator wants with a certain member.
    pub pins: BTreeMap<String, String>,
    /// Members that an operator wants without work, whether they are there or not.
    pub drained: BTreeSet<String>,
}

/// What placement has to know of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberState {
    /// Share of the work relative to others, 1 to 100; anything else is taken as the nearer end.
    pub weight: u32,
    /// Whether it can take work.
    pub ready: bool,
}

/// Who has a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The member's id.
    pub member: String,
    /// Since which change of owner.
    pub epoch: Epoch,
}
