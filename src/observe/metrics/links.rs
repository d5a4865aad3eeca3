//! Links: connections to servers.

use tracing::{debug, info, warn};

use super::families::Metrics;

impl Metrics {
    /// A link went from one state to another: `connecting`, `up`, `waiting`, `refused`, `stopped`; of a publisher, `up` and
    /// `down`.
    pub fn link_changed(&self, link: &str, from: &'static str, to: &'static str, detail: &str) {
        self.0.link_up.of([link]).set(i64::from(to == "up"));
        if from == "up" && to != "up" {
            self.0.link_losses.of([link]).inc();
        }
        match to {
            "up" => info!(event = "agent.link.changed", link, from, to, detail, "connected"),
            "stopped" => info!(event = "agent.link.changed", link, from, to, detail, "disconnected: the agent stops"),
            "connecting" if from != "up" => debug!(event = "agent.link.changed", link, from, to, detail, "connecting"),
            "refused" => warn!(
                event = "agent.link.changed",
                link,
                from,
                to,
                detail,
                "the server refuses the connection; trying again; look at the address and the login"
            ),
            _ if from == "up" => {
                warn!(event = "agent.link.changed", link, from, to, detail, "lost the connection; connecting again");
            }
            _ => warn!(event = "agent.link.changed", link, from, to, detail, "cannot connect; trying again"),
        }
    }

    /// A link is down (again) for a reason that it was down for before. `said` is how often, where it is news.
    pub fn link_still_down(&self, link: &str, from: &'static str, to: &'static str, detail: &str, said: Option<u64>) {
        self.0.link_up.of([link]).set(0);
        if from == "up" {
            self.0.link_losses.of([link]).inc();
        }
        if let Some(times) = said {
            warn!(
                event = "agent.link.changed",
                link, from, to, times, detail, "still no lasting connection; trying again"
            );
        } else {
            debug!(event = "agent.link.changed", link, from, to, detail, "still no lasting connection; trying again");
        }
    }

    /// A link is up again whose loss was logged before, and not logged again.
    pub fn link_back(&self, link: &str) {
        self.0.link_up.of([link]).set(1);
        debug!(event = "agent.link.changed", link, to = "up", "connected again");
    }

    /// Whether the broker blocks a link because of an alarm.
    pub fn link_blocked(&self, link: &str, blocked: bool) {
        self.0.link_blocked.of([link]).set(i64::from(blocked));
    }

    /// A link is not used any more.
    pub fn link_forgotten(&self, link: &str) {
        debug!(event = "agent.link.removed", link);
        self.0.link_up.forget([link]);
    }

    /// The broker refuses what this member says once a second for those who watch. `said` is how often, where it is news.
    pub fn beats_refused(&self, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            warn!(
                event = "desk.beat.refused",
                times,
                cause,
                "the broker refuses what this agent tells those who watch: nephoscope top and the page do not see it; everything \
                 else goes on; give the user the rights of docs/rabbitmq.md"
            );
        } else {
            debug!(
                event = "desk.beat.refused",
                cause, "the broker still refuses what this agent tells those who watch"
            );
        }
    }
}
