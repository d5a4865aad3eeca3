//! What everything in an agent has at hand: who it is, how it works, its counters and its tasks.

use std::sync::Arc;

use super::options::AgentOptions;
use super::task_group::TaskGroup;
use super::troubles::Troubles;
use crate::observe::Metrics;

/// What every room of an agent has at hand.
pub(in crate::agent) struct Context {
    /// The group's name.
    pub group: Arc<str>,
    /// This member's id.
    pub member: Arc<str>,
    /// How to work.
    pub options: AgentOptions,
    /// What the agent waits for, and why.
    pub troubles: Arc<Troubles>,
    /// Counters.
    pub metrics: Metrics,
    /// The agent's tasks.
    pub tasks: TaskGroup,
}
