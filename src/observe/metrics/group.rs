//! The group: members, the lease, the number of queues.

use std::time::Duration;
use tracing::{debug, info, warn};

use super::families::{Metrics, Step, gauge_value, whole_ms};

impl Metrics {
    /// This member is in the group.
    pub fn member_joined(&self, member: &str, backend: &str) {
        info!(event = "cluster.member.joined", member, backend, "joined the group");
    }

    /// Joining failed and is tried again after `wait`. `said` is how often it failed, where it is news.
    pub fn join_failed(&self, cause: &str, wait: Duration, said: Option<u64>) {
        let wait = whole_ms(wait);
        if let Some(times) = said {
            warn!(event = "cluster.member.not_joined", cause, times, ?wait, "cannot join the group; trying again");
        } else {
            debug!(event = "cluster.member.not_joined", cause, ?wait, "still cannot join the group");
        }
        self.trouble(Step::Join);
    }

    /// The members changed: `members` are in the group now.
    pub fn members_changed(&self, members: usize, ids: &str) {
        info!(event = "cluster.members.changed", members, ids, "the members of the group changed; queues may move");
        self.0.members.set(gauge_value(members));
    }

    /// This member's lease ran out, or may have.
    pub fn membership_lost(&self, member: &str, cause: &str) {
        warn!(
            event = "cluster.membership.lost",
            member, cause, "the lease of this member ran out; closing its queues and joining again"
        );
        self.0.memberships_lost.inc();
    }

    /// How long the lease is still certain.
    pub fn lease_margin(&self, left: Duration) {
        self.0.lease_margin.set(left.as_secs_f64());
    }

    /// The group had no specification: it has this many queues per pipeline from now on.
    pub fn spec_made(&self, queues: u16) {
        info!(
            event = "cluster.spec.created",
            queues, "created the group's specification with this number of queues per pipeline"
        );
    }

    /// The configuration asks for another number of queues than the group has; the group's number is used.
    pub fn queues_differ(&self, configured: u16, queues: u16) {
        warn!(
            event = "cluster.spec.differs",
            configured,
            queues,
            "[notification] pipeline_processing_queues asks for another number of queues than the group has; the agent uses the \
             group's number; to change it for all members, run nephoscope partitions plan, then nephoscope partitions apply"
        );
    }

    /// A request to etcd failed: owners keep their queues, and nothing is taken over meanwhile.
    pub fn group_silent(&self, cause: &str) {
        warn!(
            event = "cluster.etcd.failed",
            cause, "a request to etcd failed; the agent keeps its queues, takes over none, and tries again"
        );
        self.trouble(Step::AskEtcd);
    }

    /// etcd has not confirmed this member's lease in time: it keeps its queues, and takes over none.
    pub fn silence_began(&self, member: &str) {
        warn!(
            event = "cluster.lease.unconfirmed",
            member,
            "etcd does not confirm the lease; the agent keeps its queues and takes over none until etcd answers"
        );
        self.trouble(Step::ConfirmLease);
    }

    /// etcd has confirmed the lease again.
    pub fn silence_ended(&self, member: &str) {
        info!(event = "cluster.lease.confirmed", member, "etcd confirms the lease again");
    }

    /// The number of pipeline queues is changed: the group uses these now.
    pub fn partitions_changed(&self, generation: u64, queues: u16) {
        info!(
            event = "cluster.partitions.changed",
            generation, queues, "the number of pipeline queues is changed; the group uses the new queues"
        );
    }

    /// All main queues have been closed for a change of the number of pipeline queues.
    pub fn main_queues_quiet(&self, queues: u16) {
        info!(
            event = "cluster.partitions.quiet",
            queues, "all main queues are closed; opening them again, routed to the new pipeline queues"
        );
    }

    /// A change of the number of pipeline queues is not made.
    pub fn partitions_withdrawn(&self, queues: u16, cause: &str) {
        warn!(
            event = "cluster.partitions.withdrawn",
            queues,
            cause,
            "withdrew the change of the number of pipeline queues, because not all main queues could be closed in time; going on as \
             before; nephoscope cluster queues and rabbitmqctl list_consumers show who keeps the queue; then run nephoscope partitions \
             apply again"
        );
        self.trouble(Step::ChangePartitions);
    }

    /// An old pipeline queue did not accept its end marker, which is offered again.
    pub fn end_marker_not_put(&self, queue: &str, cause: &str) {
        warn!(
            event = "cluster.end_marker.held",
            queue, cause, "the old pipeline queue does not accept its end marker; trying again every second"
        );
        self.trouble(Step::ChangePartitions);
    }

    /// The queues before this generation are deleted.
    pub fn old_queues_deleted(&self, generation: u64) {
        info!(event = "cluster.partitions.cleared", generation, "deleted the old pipeline queues");
    }
}
