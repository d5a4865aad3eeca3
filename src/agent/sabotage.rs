//! Mistakes on purpose: the simulator is worth something only if it finds them.

use std::time::Duration;

use crate::cluster::hash;
use crate::model::{Receipt, Verdict};
use crate::transport::Consumer;

/// How long a cancelled consumer's channel stays open.
const CANCELLED_CHANNEL: Duration = Duration::from_secs(1);

/// What an agent does wrong, for the simulator only: no configuration leads here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Packets are acknowledged when they are taken, not when everything of them is published.
    AckBeforePublish,
    /// A queue is given up after `basic.cancel`, while its channel is still open.
    CancelHandover,
    /// Every member has a hash of its own.
    RandomHash,
    /// An owner of state begins without a barrier of its epoch, and minds nobody else's.
    NoBarrier,
    /// A batch counts as committed when the broker has taken its record, whatever stands before it in the log.
    NoReadBack,
    /// Packets are acknowledged before what they did is committed.
    AckBeforeCommit,
    /// A destination is offered the youngest batch while older ones are in its overflow queue.
    NoQuestion,
    /// Main queues are said to be quiet when a change of the number of pipeline queues begins: end markers are put while their
    /// listeners still work by the old layout.
    NoQuiet,
}

impl Sabotage {
    /// All of them, with the names by which a person asks for one.
    pub const ALL: [(&'static str, Sabotage); 8] = [
        ("ack-before-publish", Sabotage::AckBeforePublish),
        ("cancel-handover", Sabotage::CancelHandover),
        ("random-hash", Sabotage::RandomHash),
        ("no-barrier", Sabotage::NoBarrier),
        ("no-read-back", Sabotage::NoReadBack),
        ("ack-before-commit", Sabotage::AckBeforeCommit),
        ("no-question", Sabotage::NoQuestion),
        ("no-quiet", Sabotage::NoQuiet),
    ];
}

/// Settles what hangs on a receipt, and leaves one that settles nothing.
pub(super) fn settle_early(receipt: &mut Receipt) {
    std::mem::replace(receipt, Receipt::new(|_| {})).settle(Verdict::Kept);
}

/// The queue that a member of its own hash would take.
pub(super) fn other_queue(member: &str, queue: u16, queues: u16) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "a remainder below the number of queues")]
    let shift = (hash::stable(member.as_bytes()) % u64::from(queues)) as u16;
    (queue + shift) % queues
}

/// Leaves the queue to a successor, and gives back what was delivered and not taken only later.
pub(super) async fn cancel(mut consumer: Box<dyn Consumer>) {
    consumer.cancel().await;
    tokio::time::sleep(CANCELLED_CHANNEL).await;
    let _closed = consumer.close().await;
}
