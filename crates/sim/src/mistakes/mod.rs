//! Mistakes on purpose: the simulator is worth something only if it finds the agents that make them.
//!
//! A mistake is made at a seam between an agent and the broker: the agent's session does something else than the agent
//! asks for. The agent itself knows nothing of it, and no code of the product is there for it.
//!
//! Never here: what finds a mistake. That is `witness`.

mod log;
mod routing;
mod seams;
mod settling;

use std::sync::Arc;

use nephoscope::transport::Broker;

/// What every agent of a world does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// Packets are acknowledged when they are taken, not when everything of them is published.
    AckBeforePublish,
    /// A queue is released after `basic.cancel`, while its channel is still open.
    CancelHandover,
    /// Every member has a hash of its own.
    RandomHash,
    /// An owner of state begins without a barrier of its epoch, and ignores those of others.
    NoBarrier,
    /// A batch counts as committed when its record is in the log, whatever barrier stands before it.
    NoReadBack,
    /// Packets are acknowledged before the record of what they did is sent to the log.
    AckBeforeCommit,
    /// A destination is offered the youngest batch while older ones are in its overflow queue.
    NoQuestion,
    /// Main queues are said to be quiet when a change of the number of pipeline queues begins: end markers are put while their
    /// listeners still work by the old layout. The operator makes this one, in the group's specification.
    NoQuiet,
}

impl Mistake {
    /// All of them, with the names by which a person asks for one.
    pub const ALL: [(&'static str, Mistake); 8] = [
        ("ack-before-publish", Mistake::AckBeforePublish),
        ("cancel-handover", Mistake::CancelHandover),
        ("random-hash", Mistake::RandomHash),
        ("no-barrier", Mistake::NoBarrier),
        ("no-read-back", Mistake::NoReadBack),
        ("ack-before-commit", Mistake::AckBeforeCommit),
        ("no-question", Mistake::NoQuestion),
        ("no-quiet", Mistake::NoQuiet),
    ];

    /// The broker as an agent reaches it that makes this mistake.
    pub(crate) fn at(self, broker: Arc<dyn Broker>, agent: &str) -> Arc<dyn Broker> {
        match self {
            Mistake::AckBeforePublish => seams::broker(broker, settling::AtDelivery),
            Mistake::CancelHandover => seams::broker(broker, settling::ByCancel),
            Mistake::RandomHash => seams::broker(broker, routing::OwnHash::of(agent)),
            Mistake::NoBarrier => seams::broker(broker, log::EqualEpochs::default()),
            Mistake::NoReadBack => seams::broker(broker, log::BarriersIgnored::default()),
            Mistake::AckBeforeCommit => seams::broker(broker, settling::BeforeTheRecord::default()),
            Mistake::NoQuestion => seams::broker(broker, routing::AnsweredAtOnce),
            Mistake::NoQuiet => broker,
        }
    }
}
