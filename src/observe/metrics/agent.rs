//! The process: drain, configuration, reload.

use std::time::Duration;
use tracing::{error, info, warn};

use super::families::{Metrics, whole_ms};
use crate::model::{Complaint, Severity};

impl Metrics {
    /// Whether the member is ready, at the moment in which somebody asks.
    pub fn readiness(&self, ready: bool) {
        self.0.ready.set(i64::from(ready));
    }

    /// A drain goes on; these are still busy.
    pub fn drain_waits(&self, since: Duration, busy: &str) {
        let since = whole_ms(since);
        warn!(
            event = "agent.drain.waits",
            ?since,
            busy,
            "the drain waits for what is still busy; a second signal stops at once"
        );
    }

    /// Everything was finished and released in order.
    pub fn drained(&self, took: Duration) {
        let took = whole_ms(took);
        info!(event = "agent.drain.finished", ?took, "drained: everything that was taken is settled");
    }

    /// The configuration can be used, but the operator should know this.
    pub fn configuration_warned(&self, complaint: &Complaint) {
        warn!(event = "config.file.warned", "{complaint}");
    }

    /// The configuration was read again and is used from now on; `changed` pipelines differ.
    pub fn reload_taken(&self, changed: usize) {
        info!(event = "agent.reload.taken", changed, "reloaded the configuration");
        self.0.reloads.of([if changed == 0 { "unchanged" } else { "taken" }]).inc();
    }

    /// The configuration was read again and has errors: the agent keeps the configuration that runs.
    pub fn reload_refused(&self, complaints: &[Complaint]) {
        let (errors, warnings): (Vec<_>, Vec<_>) = complaints.iter().partition(|c| c.severity == Severity::Error);
        warnings.into_iter().for_each(|complaint| self.configuration_warned(complaint));
        for complaint in &errors {
            error!(event = "agent.reload.complained", "{complaint}");
        }
        error!(
            event = "agent.reload.refused",
            complaints = errors.len(),
            "the new configuration has errors; keeping the configuration that runs; correct the errors and reload again"
        );
        self.0.reloads.of(["refused"]).inc();
    }
}
