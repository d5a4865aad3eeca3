//! Everything that can happen to a member, and everything it can be told to do.

use crate::cluster::group::{Epoch, Group};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Something happened. Answers name queue and epoch; one that does not fit what is under way is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The group was read. Views are given in the order in which they were read.
    Viewed(Group),
    /// These queues exist now: all of the group's, not only mine.
    Queues(BTreeSet<String>),
    /// Answer to [`Order::Claim`]: the queue is mine with this epoch.
    Claimed {
        /// The queue.
        queue: String,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Answer to [`Order::Claim`]: somebody else has it, or nobody could be asked. The next view decides.
    ClaimRefused {
        /// The queue.
        queue: String,
    },
    /// Answer to [`Order::Open`]: work has begun.
    Opened {
        /// The queue.
        queue: String,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Answer to [`Order::Open`]: it did not open (nothing of it is left open). Released, and tried again later.
    OpenFailed {
        /// The queue.
        queue: String,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Answer to [`Order::Close`], or it ended by itself: its channel is closed, everything taken is settled.
    Closed {
        /// The queue.
        queue: String,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Answer to [`Order::Release`]: the owner key with this epoch is gone (it may have been before).
    Released {
        /// The queue.
        queue: String,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Answer to [`Order::Release`]: nobody could be asked.
    ReleaseFailed {
        /// The queue.
        queue: String,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The lease is gone: everything of mine is somebody else's, who waits at the broker until I have ended. A second time:
    /// that takes too long.
    LeaseLost,
    /// The lease is past its deadline, and nobody says whether it is gone.
    Silent,
    /// The lease is confirmed again, after [`Happening::Silent`].
    Heard,
    /// The broker session is over.
    BrokerLost,
    /// There is a broker session, the first or a new one.
    BrokerBack,
    /// Answer to [`Order::Prepare`].
    Prepared,
    /// This member is to leave in order.
    Drain,
    /// Time has passed.
    Tick,
}

/// Something to do. Each is carried out once; the one about a queue before the next about the same queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Make this member able to take work: declare its queues, ask its publishers.
    Prepare,
    /// Say in the group that I can take work, or cannot.
    Ready {
        /// Which.
        ready: bool,
    },
    /// Make the queue mine by compare-and-set, with a new epoch even where it is mine already.
    Claim {
        /// The queue.
        queue: String,
    },
    /// Begin to work on it, when no former owner has it at the broker any more.
    Open {
        /// The queue.
        queue: String,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Stop taking, or waiting to be opened; finish what is in flight, settle it, close the channel.
    Close {
        /// The queue.
        queue: String,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Abandon at once, without a close: it may be another's by now. Not answered.
    Cut {
        /// The queue.
        queue: String,
    },
    /// Delete the owner key if it still has this epoch.
    Release {
        /// The queue.
        queue: String,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Nothing is mine any more, and this machine says nothing more.
    Done,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Prepare => f.write_str("prepare"),
            Order::Ready { ready: true } => f.write_str("ready"),
            Order::Ready { ready: false } => f.write_str("not ready"),
            Order::Claim { queue } => write!(f, "claim {queue}"),
            Order::Open { queue, epoch } => write!(f, "open {queue} @{epoch}"),
            Order::Close { queue, epoch } => write!(f, "close {queue} @{epoch}"),
            Order::Cut { queue } => write!(f, "cut {queue}"),
            Order::Release { queue, epoch } => write!(f, "release {queue} @{epoch}"),
            Order::Done => f.write_str("done"),
        }
    }
}

/// Bounds and waits of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnershipOptions {
    /// Hand-overs away from this member that may be under way at once; draining is not bound by it.
    pub moves_at_once: usize,
    /// Claims that may be under way at once.
    pub claims_at_once: usize,
    /// How long queues are kept without a broker session before others may have them.
    pub broker_grace: Duration,
    /// Wait before a release that could not be done is tried again.
    pub release_again: Duration,
    /// Wait before a queue that did not open is claimed again: the first time; doubled each further time.
    pub setback_min: Duration,
    /// The longest such wait.
    pub setback_max: Duration,
    /// A queue that did not open, or ended, so shortly before the loss of the session was told, did so because of it.
    pub loss_shows_within: Duration,
}

impl Default for OwnershipOptions {
    fn default() -> Self {
        OwnershipOptions {
            moves_at_once: 8,
            claims_at_once: 64,
            broker_grace: Duration::from_secs(5),
            release_again: Duration::from_secs(1),
            setback_min: Duration::from_secs(1),
            setback_max: Duration::from_secs(30),
            loss_shows_within: Duration::from_secs(1),
        }
    }
}
