//! What everything in an agent has at hand: who it is, how it works, its counters and its tasks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::nursery::Nursery;
use super::options::AgentOptions;
use super::troubles::Troubles;
use crate::observe::Metrics;

/// The context of one agent.
pub(in crate::agent) struct Context {
    /// The group's name.
    pub group: Arc<str>,
    /// This member's id.
    pub member: Arc<str>,
    /// How to work.
    pub options: AgentOptions,
    /// What stands still, and why.
    pub troubles: Arc<Troubles>,
    /// Counters.
    pub metrics: Metrics,
    /// The agent's tasks.
    pub nursery: Nursery,
    /// The pipeline queues that this process has declared, with their generations.
    pub declared: Mutex<BTreeMap<String, u64>>,
}

impl Context {
    /// The pipeline queues that this process has declared, with their generations.
    pub(in crate::agent) fn declared(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
