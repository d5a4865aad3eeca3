//! What an agent is made of.

use std::sync::Arc;

use super::blueprint::Blueprint;
use crate::agent::runtime::BrokerPlace;
use crate::agent::runtime::options::AgentOptions;
use crate::coordination::{Coordinator, MemberRecord};
use crate::observe::desk::Feed;
use crate::observe::{Board, Metrics};
use crate::transport::Broker;

/// What an agent is made of.
pub struct Parts {
    /// The group's name, part of the names of its queues.
    pub group: String,
    /// What it says of itself in the group.
    pub record: MemberRecord,
    /// The brokers; pipeline queues and the parking queue are on the first.
    pub brokers: Vec<BrokerPlace>,
    /// Where members meet; the in-process one for an agent alone.
    pub coordinator: Arc<dyn Coordinator>,
    /// Definitions, pipelines and publishers.
    pub blueprint: Blueprint,
    /// Bounds and waits.
    pub options: AgentOptions,
    /// Counters.
    pub metrics: Metrics,
    /// Where it says what it does.
    pub board: Board,
    /// How it tells those who watch; nothing where nobody can.
    pub desk: Option<DeskParts>,
}

/// How an agent tells those who watch what it does, and sees what the others tell.
pub struct DeskParts {
    /// The broker of the group's queues, for sessions beside those of the work.
    pub broker: Arc<dyn Broker>,
    /// Where the page has its pictures from.
    pub feed: Feed,
}
