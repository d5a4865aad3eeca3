//! Everything that can happen and is worth a number: one function per happening, which counts it and logs it.
//!
//! The page `docs/metrics.md` is printed from the registrations here; a test compares.

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tracing::{debug, error, info, trace, warn};

use super::repeats::Repeats;
use super::series::{Registrar, Series, Tally};
use crate::model::{Complaint, Event, Priority, Sample, Severity, Verdict};

/// The counters of one process. Cheap to clone: all clones count into the same.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

/// Why a message was put aside instead of handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkReason {
    /// The body is no notification.
    Unreadable,
    /// The body names a priority that does not exist.
    UnknownPriority,
    /// What it yields is more than fits into a message to a pipeline queue.
    TooLarge,
    /// A packet on a pipeline queue is not in our format.
    ForeignPacket,
    /// A publisher will never take it.
    Refused,
    /// It was delivered too often without getting through.
    Poison,
}

impl ParkReason {
    /// The value of the label `reason`, and of the header of a parked message.
    pub fn name(self) -> &'static str {
        match self {
            ParkReason::Unreadable => "unreadable",
            ParkReason::UnknownPriority => "unknown_priority",
            ParkReason::TooLarge => "too_large",
            ParkReason::ForeignPacket => "foreign_packet",
            ParkReason::Refused => "refused",
            ParkReason::Poison => "poison",
        }
    }
}

struct Families {
    registry: Registry,
    rows: String,
    /// What may happen with every record.
    repeats: Repeats,

    received: Series<1, Counter>,
    redelivered: Series<1, Counter>,
    unwanted: Series<1, Counter>,
    parked: Series<2, Counter>,
    rescued: Series<1, Counter>,
    settled: Series<1, Counter>,
    handling: Series<1, Histogram>,

    samples: Tally,
    events: Tally,
    complaints: Series<1, Counter>,

    published: Series<2, Counter>,
    publishing: Series<1, Histogram>,
    retries: Series<2, Counter>,
    refused: Series<2, Counter>,
    shed: Series<1, Counter>,
    overflowed: Series<2, Counter>,
    breaker: Series<1, Gauge>,

    packets_sent: Series<1, Counter>,
    packets_sent_bytes: Series<1, Counter>,
    packets_received: Series<1, Counter>,

    restored: Histogram,
    committed: Histogram,
    log_bytes: Counter,
    again: Series<1, Counter>,
    missing: Series<1, Counter>,

    opened: Counter,
    closed: Series<1, Counter>,
    owned: Gauge,
    members: Gauge,
    memberships_lost: Counter,
    lease_margin: Gauge<f64, AtomicU64>,

    link_up: Series<1, Gauge>,
    link_losses: Series<1, Counter>,
    link_blocked: Series<1, Gauge>,
    queue_up: Series<1, Gauge>,

    reloads: Series<1, Counter>,
    troubles: Series<1, Counter>,
}

/// 0.5 ms to 16 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut r = Registrar::new();
        let version: Series<1, Gauge> = r.gauges("build_info", ["version"], "1 for the version that runs");
        version.of([env!("CARGO_PKG_VERSION")]).set(1);
        let families = Families {
            received: r.counters("notifications_received", ["queue"], "Notifications taken from a main queue"),
            redelivered: r.counters("redelivered", ["queue"], "Messages that the broker delivered again"),
            unwanted: r.counters("notifications_unwanted", ["priority"], "Notifications that no endpoint looks at"),
            parked: r.counters("parked", ["queue", "reason"], "Messages put aside with their reason"),
            rescued: r.counters(
                "rescued",
                ["queue"],
                "Messages moved out of reach of the delivery limit because they came back often",
            ),
            settled: r.counters("settled", ["verdict"], "Deliveries settled: kept, parked, or returned to the broker"),
            handling: r.histograms("handling_seconds", ["queue"], "From delivery to settlement, in seconds", seconds),
            samples: r.tally("samples", "meter", "Samples made of notifications"),
            events: r.tally("events", "event_type", "Events made of notifications"),
            complaints: r.counters("complaints", ["place"], "Times a definition gave nothing for a message"),
            published: r.counters("published", ["pipeline", "publisher"], "Samples or events that a publisher took"),
            publishing: r.histograms("publish_seconds", ["publisher"], "Time of one publish call, in seconds", seconds),
            retries: r.counters("publish_retries", ["pipeline", "publisher"], "Publish calls to be repeated"),
            refused: r.counters("publish_refused", ["pipeline", "publisher"], "Samples or events refused for good"),
            breaker: r.gauges(
                "breaker",
                ["publisher"],
                "How a publisher is asked: 0 as ever, 1 tried with a few records, 2 left alone because it failed again and again",
            ),
            overflowed: r.counters(
                "overflowed",
                ["pipeline", "publisher"],
                "Samples or events that went to a publisher's overflow queue, because it did not take them",
            ),
            shed: r.counters("shed", ["publisher"], "Samples or events lost by a publisher's own policy (drop, queue)"),
            packets_sent: r.counters("packets_sent", ["pipeline"], "Packets confirmed by a pipeline queue"),
            packets_sent_bytes: r.counters("packets_sent_bytes", ["pipeline"], "Their size, in bytes"),
            packets_received: r.counters("packets_received", ["pipeline"], "Packets taken from a pipeline queue"),
            restored: r.histogram("state_restore_seconds", "Time to restore the state of a queue, in seconds", seconds),
            committed: r.histogram(
                "state_commit_seconds",
                "Time to commit a batch to its state log, in seconds",
                seconds,
            ),
            log_bytes: r.counter("state_log_bytes", "Bytes written to state logs"),
            again: r.counters("samples_again", ["queue"], "Samples that came again and had taken effect before"),
            missing: r.counters(
                "packets_missing",
                ["queue"],
                "Packets that never came, by the numbers of their sender",
            ),
            opened: r.counter("queues_opened", "Main and pipeline queues taken over"),
            closed: r.counters("queues_closed", ["why"], "Main and pipeline queues given up"),
            owned: r.gauge("queues_owned", "Main and pipeline queues owned now"),
            members: r.gauge("members", "Members of the group as this one sees it"),
            memberships_lost: r.counter("memberships_lost", "Times the group took this member for dead"),
            lease_margin: r.gauge("lease_margin_seconds", "Time left in which the lease is surely ours, in seconds"),
            link_up: r.gauges("link_up", ["link"], "1 while the link to a server is up"),
            link_losses: r.counters("link_losses", ["link"], "Times a link that was up went down"),
            link_blocked: r.gauges(
                "link_blocked",
                ["link"],
                "1 while the broker takes no messages over a link (an alarm)",
            ),
            queue_up: r.gauges("queue_up", ["queue"], "1 while a queue that this member should consume is consumed"),
            troubles: r.counters("troubles", ["what"], "Steps of the agent that failed and are tried again"),
            reloads: r.counters("reloads", ["outcome"], "Reloads of the configuration: taken, unchanged or refused"),
            registry: Registry::default(),
            rows: String::new(),
            repeats: Repeats::default(),
        };
        let (registry, rows) = r.finish();
        Metrics(Arc::new(Families { registry, rows, ..families }))
    }

    /// The page for Prometheus, in the OpenMetrics text format.
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Only a metric's own Display could fail, and none of ours does.
        if let Err(error) = text::encode(&mut page, &self.0.registry) {
            error!(event = "observe.metrics.unprintable", %error, "cannot print the metrics");
        }
        page
    }

    /// The rows of `docs/metrics.md`: name, kind, labels, meaning.
    pub fn reference(&self) -> &str {
        &self.0.rows
    }

    // --- main queues ---

    /// `count` notifications came from a main queue, `again` of them not for the first time.
    pub fn notifications_received(&self, queue: &str, count: u64, again: u64) {
        trace!(event = "main.received", queue, count, again);
        self.0.received.of([queue]).inc_by(count);
        if again > 0 {
            self.0.redelivered.of([queue]).inc_by(again);
        }
    }

    /// A notification of a priority that no endpoint looks at was acknowledged and forgotten.
    pub fn notification_unwanted(&self, priority: Priority) {
        trace!(event = "main.unwanted", %priority);
        self.0.unwanted.of([priority.name()]).inc();
    }

    /// A message of `queue` (of a record: the sink) was put aside, because of that publisher, if any. `detail` is what a person
    /// needs to know. Each reason is said once, and again after minutes with how often it was; counted always.
    pub fn message_parked(&self, queue: &str, reason: ParkReason, publisher: Option<&str>, detail: &str) {
        let name = reason.name();
        if let Some(times) = self.0.repeats.note(&format!("{queue}\n{name}\n{}", publisher.unwrap_or_default())) {
            warn!(event = "message.parked", queue, reason = name, times, detail, "put aside");
        } else {
            debug!(event = "message.parked", queue, reason = name, detail, "put aside");
        }
        self.0.parked.of([queue, name]).inc();
    }

    /// A delivery of `queue` was settled, so long after it came.
    pub fn delivery_settled(&self, queue: &str, verdict: Verdict, took: Duration) {
        let name = match verdict {
            Verdict::Kept => "kept",
            Verdict::Parked => "parked",
            Verdict::Returned => "returned",
        };
        trace!(event = "delivery.settled", queue, verdict = name, ?took);
        self.0.settled.of([name]).inc();
        self.0.handling.of([queue]).observe(took.as_secs_f64());
    }

    // --- conversion ---

    /// One notification gave these.
    pub fn converted(&self, samples: &[Sample], events: &[Event]) {
        for sample in samples {
            self.0.samples.bump(&sample.name);
        }
        for event in events {
            self.0.events.bump(&event.event_type);
        }
    }

    /// A definition gave nothing for one message. Said at the first, second, fourth, eighth … time; counted always.
    pub fn complained(&self, complaint: &Complaint) {
        let counter = self.0.complaints.of([&complaint.place.to_string()]);
        let times = counter.inc() + 1;
        if times.is_power_of_two() {
            warn!(event = "convert.complaint", place = %complaint.place, times, "{}", complaint.text);
        } else {
            debug!(event = "convert.complaint", place = %complaint.place, times, "{}", complaint.text);
        }
    }

    // --- publishers; `publisher` is the URL without its secrets ---

    /// A publisher was asked before this member counts in its group, and could not be reached.
    pub fn publisher_unreachable(&self, publisher: &str, cause: &str) {
        warn!(
            event = "publish.unreachable",
            publisher,
            cause,
            "the publisher cannot be reached; the member joins all the same, and its batches will wait"
        );
        self.0.troubles.of(["reach"]).inc();
    }

    /// A publisher took `records` samples or events of a pipeline.
    pub fn published(&self, pipeline: &str, publisher: &str, records: usize, took: Duration) {
        trace!(event = "publish.taken", pipeline, publisher, records, ?took);
        self.0.published.of([pipeline, publisher]).inc_by(records as u64);
        self.0.publishing.of([publisher]).observe(took.as_secs_f64());
    }

    /// A publisher is away or busy: its pipeline holds for `wait` and offers the same batch again. `said` is how often that
    /// happened, where it is news.
    pub fn publish_held(&self, pipeline: &str, publisher: &str, wait: Duration, cause: &str, said: Option<u64>) {
        let wait = whole_ms(wait);
        if let Some(times) = said {
            warn!(event = "publish.held", pipeline, publisher, times, ?wait, cause, "cannot publish now, holding");
        } else {
            debug!(event = "publish.held", pipeline, publisher, ?wait, cause, "still holding");
        }
        self.0.retries.of([pipeline, publisher]).inc();
    }

    /// A publisher that had been away takes again.
    pub fn publish_resumed(&self, pipeline: &str, publisher: &str, away: Duration) {
        let away = whole_ms(away);
        info!(event = "publish.resumed", pipeline, publisher, ?away, "publishing again");
    }

    /// A publisher will never take these `records`. Said once, and again after minutes; counted always.
    pub fn publish_refused(&self, pipeline: &str, publisher: &str, records: usize, cause: &str) {
        if let Some(times) = self.0.repeats.note(&format!("refused\n{pipeline}\n{publisher}")) {
            warn!(event = "publish.refused", pipeline, publisher, times, records, cause, "refused for good");
        } else {
            debug!(event = "publish.refused", pipeline, publisher, records, cause, "refused for good");
        }
        self.0.refused.of([pipeline, publisher]).inc_by(records as u64);
    }

    /// A publisher lost `records` because its own options say so (`policy=drop`, a full `policy=queue`).
    pub fn records_shed(&self, publisher: &str, records: usize, cause: &str) {
        warn!(event = "publish.shed", publisher, records, cause, "lost by the publisher's policy");
        self.0.shed.of([publisher]).inc_by(records as u64);
    }

    /// A publisher that failed again and again is left alone (`open`), tried with a few records (`half-open`), or asked as ever
    /// (`closed`).
    pub fn breaker(&self, publisher: &str, state: &'static str) {
        let level = match state {
            "open" => 2,
            "half-open" => 1,
            _ => 0,
        };
        debug!(event = "publish.breaker", publisher, state, "breaker");
        self.0.breaker.of([publisher]).set(level);
    }

    /// One of several destinations takes nothing for too long: what it does not take goes to its overflow queue.
    pub fn overflow_begun(&self, pipeline: &str, publisher: &str, queue: &str) {
        warn!(
            event = "publish.overflow",
            pipeline, publisher, queue, "not taken in time: what this publisher does not take waits in its own queue"
        );
    }

    /// So many records went to a destination's overflow queue.
    pub fn overflowed(&self, pipeline: &str, publisher: &str, records: usize) {
        trace!(event = "publish.overflowed", pipeline, publisher, records);
        self.0.overflowed.of([pipeline, publisher]).inc_by(records as u64);
    }

    /// A destination was taken out of the configuration while a batch was offered to it.
    pub fn publisher_gone(&self, pipeline: &str, publisher: &str) {
        info!(
            event = "publish.gone",
            pipeline, publisher, "not configured any more: what it did not take goes to those in its place"
        );
    }

    /// A destination was taken out of the configuration, and something waits for it.
    pub fn overflow_forsaken(&self, queue: &str, key: &str) {
        warn!(
            event = "publish.overflow.forsaken",
            queue,
            "its publisher is not configured any more, and what waits for it stays: write overflow_queue={key} into the URL that takes its place, or write the publisher again, or delete the queue"
        );
    }

    /// Somebody put records back for a destination that is alone in its sink.
    pub fn overflow_found(&self, queue: &str) {
        info!(
            event = "publish.overflow.found",
            queue, "there are records for one publisher alone, consuming their queue"
        );
    }

    /// What a listener had put into an overflow queue is published, and it offers to the destination itself again.
    pub fn overflow_over(&self, pipeline: &str, publisher: &str) {
        info!(event = "publish.overflow.over", pipeline, publisher, "has caught up");
    }

    // --- packets between members ---

    /// A pipeline queue confirmed a packet.
    pub fn packet_sent(&self, pipeline: &str, notifications: usize, bytes: usize) {
        trace!(event = "packet.sent", pipeline, notifications, bytes);
        self.0.packets_sent.of([pipeline]).inc();
        self.0.packets_sent_bytes.of([pipeline]).inc_by(bytes as u64);
    }

    /// A packet came from a pipeline queue.
    pub fn packet_received(&self, pipeline: &str, queue: &str, again: bool) {
        trace!(event = "packet.received", pipeline, queue, again);
        self.0.packets_received.of([pipeline]).inc();
        if again {
            self.0.redelivered.of([queue]).inc();
        }
    }

    // --- the state of transformers ---

    /// A queue's state is restored from its log.
    pub fn state_restored(&self, queue: &str, epoch: i64, cells: usize, took: Duration) {
        info!(event = "state.restored", queue, epoch, cells, took = ?whole_ms(took), "state restored");
        self.0.restored.observe(took.as_secs_f64());
    }

    /// A batch is in the log.
    pub fn state_committed(&self, queue: &str, bytes: usize, took: Duration) {
        trace!(event = "state.committed", queue, bytes, ?took);
        self.0.committed.observe(took.as_secs_f64());
        self.0.log_bytes.inc_by(bytes as u64);
    }

    /// Everything a queue's state holds is in the log anew.
    pub fn state_snapshot(&self, queue: &str, cells: usize, bytes: usize) {
        debug!(event = "state.snapshot", queue, cells, bytes);
        self.0.log_bytes.inc_by(bytes as u64);
    }

    /// A log was made with another bound than the configuration has now.
    pub fn state_log_otherwise(&self, queue: &str, configured: usize) {
        warn!(
            event = "state.log_otherwise",
            queue,
            configured,
            "the state log was made with another bound than [nephoscope] state_log_bytes_max says and keeps it; a policy of \
             the broker (max-length-bytes) can change it"
        );
    }

    /// A snapshot takes more than a third of what its log may hold: the next one may push the last one out.
    pub fn state_log_small(&self, queue: &str, bytes: usize, bound: usize) {
        error!(
            event = "state.log_small",
            queue,
            bytes,
            bound,
            "the state takes more than a third of its log: give the log more with a policy of the broker \
             (max-length-bytes); [nephoscope] state_log_bytes_max is for logs that are made anew"
        );
        self.0.troubles.of(["state_log"]).inc();
    }

    /// A queue's state log cannot be used although its session lives: the queue is opened anew, by this member or another.
    pub fn state_lost(&self, queue: &str, cause: &str) {
        warn!(event = "state.lost", queue, cause, "closing the queue's state log; the queue will be reopened");
        self.0.troubles.of(["state"]).inc();
    }

    /// Somebody deleted a state log: it is made again, with all that the state holds.
    pub fn state_log_made_again(&self, queue: &str, cells: usize) {
        warn!(
            event = "state.log_made_again",
            queue, cells, "the state log was deleted; it is made again with the state that is in memory"
        );
    }

    /// There was no state log: the first owner of a queue makes one, and whoever finds it deleted.
    pub fn state_log_made(&self, queue: &str) {
        info!(event = "state.log_made", queue, "the queue had no state log; it begins with empty state");
    }

    /// The log of an old queue is gone when a new queue is to have its state.
    pub fn state_log_gone(&self, queue: &str, old: &str) {
        error!(
            event = "state.log_gone",
            queue,
            old,
            "the state log of an old queue was deleted before a new queue had read it; what came from there begins with empty \
             state; rates have a gap"
        );
        self.0.troubles.of(["state_regressed"]).inc();
    }

    /// A state log is gone and could not be made again yet.
    pub fn state_log_missing(&self, queue: &str, cause: &str) {
        warn!(
            event = "state.log_missing",
            queue,
            cause,
            "the state log is gone and cannot be made again yet; its queue waits, and it is tried again every second"
        );
    }

    /// So many batches that this process saw committed are not in the log any more.
    pub fn state_regressed(&self, queue: &str, batches: u64) {
        error!(
            event = "state.regressed",
            queue,
            batches,
            "the state log ends before what this agent saw: it was deleted, or the broker lost its end; rates have a gap"
        );
        self.0.troubles.of(["state_regressed"]).inc();
    }

    /// So many samples had taken effect before.
    pub fn samples_again(&self, queue: &str, samples: usize) {
        if samples > 0 {
            debug!(event = "state.again", queue, samples);
            self.0.again.of([queue]).inc_by(samples as u64);
        }
    }

    /// So many packets of a sender never came.
    pub fn packets_missing(&self, queue: &str, member: &str, packets: u64) {
        error!(
            event = "packet.missing",
            queue,
            member,
            packets,
            "packets are missing: the broker lost them, or a purge, a time to live or a length limit took them; look at the \
             queue's policies"
        );
        self.0.missing.of([queue]).inc_by(packets);
    }

    /// Something came to a queue that is sealed; it goes on to the next generation.
    pub fn packet_straggled(&self, sink: &str, notifications: usize) {
        info!(event = "packet.straggled", sink, notifications, "sent on to the queues of the next generation");
    }

    /// The queues before this generation are deleted.
    pub fn old_queues_deleted(&self, generation: u64) {
        info!(event = "cluster.partitions.cleared", generation, "the old pipeline queues are deleted");
    }

    /// The number of pipeline queues is changed: the group works by these now.
    pub fn partitions_changed(&self, generation: u64, queues: u16) {
        info!(event = "cluster.partitions", generation, queues, "the number of pipeline queues is changed");
    }

    // --- ownership ---

    /// A main or pipeline queue was taken over.
    pub fn queue_opened(&self, queue: &str, epoch: i64) {
        info!(event = "agent.queue.opened", queue, epoch, "queue opened");
        self.0.opened.inc();
    }

    /// A main or pipeline queue was given up: `why` is one of `handed_over`, `lost`, `sealed`; `cause` is what the broker said
    /// when it ended the session.
    pub fn queue_closed(&self, queue: &str, why: &'static str, cause: Option<&str>) {
        info!(event = "agent.queue.closed", queue, why, cause, "queue closed");
        self.0.closed.of([why]).inc();
    }

    /// So many queues are owned now: opening, open or closing.
    pub fn queues_owned(&self, owned: usize) {
        self.0.owned.set(gauge_value(owned));
    }

    /// The group changed: so many members are in it now.
    pub fn members_changed(&self, members: usize, ids: &str) {
        info!(event = "cluster.members", members, ids, "members changed");
        self.0.members.set(gauge_value(members));
    }

    /// The group took this member for dead, or may have.
    pub fn membership_lost(&self, member: &str, cause: &str) {
        warn!(event = "cluster.membership.lost", member, cause, "membership lost, joining again");
        self.0.memberships_lost.inc();
    }

    /// How long the lease is still surely ours.
    pub fn lease_margin(&self, left: Duration) {
        self.0.lease_margin.set(left.as_secs_f64());
    }

    // --- links ---

    /// A link to a server went from one state to another (`down`, `connecting`, `up`).
    pub fn link_changed(&self, link: &str, from: &'static str, to: &'static str, detail: &str) {
        self.0.link_up.of([link]).set(i64::from(to == "up"));
        if from == "up" && to != "up" {
            self.0.link_losses.of([link]).inc();
        }
        match to {
            "up" | "stopped" => info!(event = "link.changed", link, from, to, detail, "{from} => {to}"),
            "connecting" if from != "up" => debug!(event = "link.changed", link, from, to, detail, "{from} => {to}"),
            _ => warn!(event = "link.changed", link, from, to, detail, "{from} => {to}"),
        }
    }

    /// A link is down (again) for a reason that it was down for before. `said` is how often, where it is news.
    pub fn link_still_down(&self, link: &str, from: &'static str, to: &'static str, detail: &str, said: Option<u64>) {
        self.0.link_up.of([link]).set(0);
        if from == "up" {
            self.0.link_losses.of([link]).inc();
        }
        if let Some(times) = said {
            warn!(event = "link.changed", link, from, to, times, detail, "{from} => {to}, as before");
        } else {
            debug!(event = "link.changed", link, from, to, detail, "{from} => {to}, as before");
        }
    }

    /// A link is up again whose loss was said before, and not said again.
    pub fn link_back(&self, link: &str) {
        self.0.link_up.of([link]).set(1);
        debug!(event = "link.changed", link, "up, as before");
    }

    /// Whether the broker takes no messages over a link, because of an alarm.
    pub fn link_blocked(&self, link: &str, blocked: bool) {
        self.0.link_blocked.of([link]).set(i64::from(blocked));
    }

    /// Whether a queue that this member should consume is consumed; `None` when it is another's.
    pub fn queue_up(&self, queue: &str, up: Option<bool>) {
        match up {
            Some(up) => drop(self.0.queue_up.of([queue]).set(i64::from(up))),
            None => self.0.queue_up.forget([queue]),
        }
    }

    /// A link is not used any more.
    pub fn link_forgotten(&self, link: &str) {
        debug!(event = "link.forgotten", link);
        self.0.link_up.forget([link]);
    }

    // --- the agent's own steps: what fails is tried again ---

    /// This member is in the group.
    pub fn member_joined(&self, member: &str, backend: &str) {
        info!(event = "cluster.member.joined", member, backend, "joined the group");
    }

    /// Joining failed and is tried again after `wait`. `said` is how often it failed, where it is news.
    pub fn join_failed(&self, cause: &str, wait: Duration, said: Option<u64>) {
        let wait = whole_ms(wait);
        if let Some(times) = said {
            warn!(event = "cluster.member.not_joined", cause, times, ?wait, "cannot join the group yet, trying again");
        } else {
            debug!(event = "cluster.member.not_joined", cause, ?wait, "still cannot join the group");
        }
        self.0.troubles.of(["join"]).inc();
    }

    /// The group had no specification: it has so many queues per pipeline from now on.
    pub fn spec_made(&self, queues: u16) {
        info!(event = "cluster.spec.made", queues, "the group has its number of queues");
    }

    /// The configuration asks for another number of queues than the group has; the group's holds.
    pub fn queues_differ(&self, configured: u16, queues: u16) {
        warn!(
            event = "cluster.spec.differs",
            configured,
            queues,
            "[notification] pipeline_processing_queues = {configured}, but the group works with {queues} queues per \
             pipeline: {queues} hold. To change the number for the whole group: nephoscope partitions plan \
             {configured}, then nephoscope partitions apply {configured}"
        );
    }

    /// The group did not answer: owners keep working, nothing is taken over meanwhile.
    pub fn group_silent(&self, cause: &str) {
        warn!(event = "cluster.silent", cause, "the group does not answer");
        self.0.troubles.of(["group"]).inc();
    }

    /// The group has not confirmed this member's lease in time: it keeps what it has, and begins nothing.
    pub fn silence_began(&self, member: &str) {
        warn!(
            event = "cluster.silence.began",
            member, "the group does not confirm the lease: queues are kept, none is taken over until it answers"
        );
        self.0.troubles.of(["silence"]).inc();
    }

    /// The group has confirmed the lease again.
    pub fn silence_ended(&self, member: &str) {
        info!(event = "cluster.silence.ended", member, "the group confirms the lease again");
    }

    /// A queue that is being opened still has another consumer, which is waited for.
    pub fn queue_occupied(&self, queue: &str) {
        warn!(
            event = "agent.queue.occupied",
            queue,
            "waiting for the previous consumer of this queue to disconnect (it may have lost etcd, or its connection may be \
             dead); asking again every second"
        );
        self.0.troubles.of(["occupied"]).inc();
    }

    /// While the group is silent somebody else has begun to consume a main queue: it is left to it.
    pub fn main_queue_yielded(&self, queue: &str) {
        warn!(
            event = "agent.queue.yielded",
            queue, "another consumes this main queue while the group is silent to us: left to it"
        );
    }

    /// A queue could not be opened; it is released and claimed again later. `said` is how often, where it is news.
    pub fn queue_not_opened(&self, queue: &str, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            warn!(event = "agent.queue.not_opened", queue, times, cause, "cannot open the queue yet, trying again");
        } else {
            debug!(event = "agent.queue.not_opened", queue, cause, "cannot open the queue yet");
        }
        self.0.troubles.of(["open"]).inc();
    }

    /// A queue that was declared is not there: somebody has deleted it, and it is declared again.
    pub fn queue_gone(&self, queue: &str) {
        warn!(event = "agent.queue.gone", queue, "the queue was deleted; declaring it again with its bindings");
        self.0.troubles.of(["gone"]).inc();
    }

    /// The broker ended the consumer of a queue, with these words. The queue is opened again.
    pub fn queue_lost(&self, queue: &str, cause: &str) {
        warn!(
            event = "agent.queue.closed",
            queue,
            why = "lost",
            cause,
            "the broker ended the consumer; opening the queue again"
        );
        self.0.closed.of(["lost"]).inc();
    }

    /// What is consumed from a broker could not be declared again. `said` is how often, where it is news.
    pub fn not_guarded(&self, broker: &str, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            warn!(
                event = "agent.declare.failed",
                broker,
                times,
                cause,
                "somebody has replaced it; it is consumed until the next connection, and not after that"
            );
        } else {
            debug!(event = "agent.declare.failed", broker, cause, "cannot declare what is consumed once more");
        }
        self.0.troubles.of(["declare"]).inc();
    }

    /// A pipeline queue that was deleted could not be made again.
    pub fn queue_not_declared(&self, queue: &str, cause: &str) {
        warn!(event = "agent.queue.not_declared", queue, cause, "cannot declare the queue again yet");
        self.0.troubles.of(["declare"]).inc();
    }

    /// A pipeline queue did not take a packet: it is held, and offered again before anything younger. `said` is how often,
    /// where it is news.
    pub fn packet_held(&self, queue: &str, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            warn!(
                event = "packet.held",
                queue, times, cause, "the queue did not take a packet; holding it and offering it again"
            );
        } else {
            debug!(event = "packet.held", queue, cause, "the queue still takes no packet");
        }
        self.0.troubles.of(["packet"]).inc();
    }

    /// A pipeline queue that refused takes packets again.
    pub fn packet_taken_again(&self, queue: &str) {
        info!(event = "packet.taken_again", queue, "the queue takes packets again");
    }

    /// A message could not be parked: it is held, and offered again. `cause` says what to do; `said` is how often that happened,
    /// where it is news.
    pub fn parking_failed(&self, queue: &str, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            error!(event = "message.not_parked", queue, times, cause, "cannot park a message, holding it");
        } else {
            debug!(event = "message.not_parked", queue, cause, "still cannot park a message");
        }
        self.0.troubles.of(["park"]).inc();
    }

    /// The broker drops a message of a main queue that comes back more often than this, because nobody set a limit.
    pub fn delivery_limit_default(&self, broker: &str, version: &str, limit: i64, policy: &str) {
        warn!(
            event = "transport.delivery_limit",
            broker,
            version,
            limit,
            policy,
            "RabbitMQ 4 drops a message of a quorum queue that came back {limit} times, unless a policy says otherwise; an agent \
             that is restarted moves what came back often out of the main queues. Lift the limit: {policy}"
        );
    }

    /// The services' own option makes the broker drop a message of a main queue that comes back more often than this.
    pub fn delivery_limit_declared(&self, broker: &str, limit: i64) {
        warn!(
            event = "transport.delivery_limit",
            broker,
            limit,
            "[oslo_messaging_rabbit] rabbit_quorum_delivery_limit = {limit} makes the broker drop a message of a main queue that \
             came back more often: set it to 0 for all services, and delete the queues that were declared with it"
        );
    }

    /// Messages that came back often were moved into the rescue queue, out of reach of the broker's delivery limit.
    pub fn rescued(&self, queue: &str, messages: u64) {
        if messages > 0 {
            info!(
                event = "message.rescued",
                queue,
                messages,
                "messages that came back often are moved into the rescue queue and taken from there first"
            );
            self.0.rescued.of([queue]).inc_by(messages);
        }
    }

    /// A message that came back often could not be moved: it is worked on where it is. `said` is how often that happened, where
    /// it is news.
    pub fn not_rescued(&self, queue: &str, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            warn!(
                event = "message.not_rescued",
                queue,
                times,
                cause,
                "cannot move messages that came back often into the rescue queue; a quorum queue drops them when its delivery \
                 limit is reached"
            );
        } else {
            debug!(event = "message.not_rescued", queue, cause, "still cannot move messages that came back often");
        }
        self.0.troubles.of(["rescue"]).inc();
    }

    /// Packets came twice to the same listener and were not worked on again.
    pub fn packets_repeated(&self, queue: &str, packets: u64) {
        if packets > 0 {
            debug!(event = "packet.repeated", queue, packets);
            self.0.redelivered.of([queue]).inc_by(packets);
        }
    }

    /// A drain goes on; these are still busy.
    pub fn drain_waits(&self, since: Duration, busy: &str) {
        let since = whole_ms(since);
        warn!(event = "agent.drain.waits", ?since, busy, "still busy");
    }

    /// Everything was finished and given up in order.
    pub fn drained(&self, took: Duration) {
        let took = whole_ms(took);
        info!(event = "agent.drained", ?took, "drained");
    }

    // --- configuration ---

    /// The configuration is usable, but the operator should know this.
    pub fn configuration_warned(&self, complaint: &Complaint) {
        warn!(event = "config.warning", "{complaint}");
    }

    /// The configuration was read again and taken; `changed` pipelines are others now.
    pub fn reload_taken(&self, changed: usize) {
        info!(event = "agent.reload.taken", changed, "configuration reloaded");
        self.0.reloads.of([if changed == 0 { "unchanged" } else { "taken" }]).inc();
    }

    /// The configuration was read again and is wrong: the old one stays.
    pub fn reload_refused(&self, complaints: &[Complaint]) {
        let (errors, warnings): (Vec<_>, Vec<_>) = complaints.iter().partition(|c| c.severity == Severity::Error);
        warnings.into_iter().for_each(|complaint| self.configuration_warned(complaint));
        for complaint in &errors {
            error!(event = "agent.reload.complaint", "{complaint}");
        }
        error!(event = "agent.reload.refused", complaints = errors.len(), "keeping the old configuration");
        self.0.reloads.of(["refused"]).inc();
    }
}

/// For a person: nobody reads nanoseconds.
fn whole_ms(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Place;

    #[test]
    fn the_reference_page_lists_exactly_what_is_registered() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let page = std::fs::read_to_string(path).unwrap();
        let listed: String = page.lines().filter(|l| l.starts_with("| `nephoscope_")).flat_map(|l| [l, "\n"]).collect();
        assert_eq!(listed, Metrics::new().reference(), "docs/metrics.md: replace its rows by the right side");
    }

    #[test]
    fn happenings_show_on_the_page() {
        let metrics = Metrics::new();
        metrics.notifications_received("notifications.info", 3, 1);
        metrics.message_parked("notifications.info", ParkReason::UnknownPriority, None, "BOGUS");
        metrics.published("cpu_source:cpu_sink", "file:///x", 7, Duration::from_millis(3));
        metrics.link_changed("rabbit://h/", "up", "down", "cut");
        metrics.lease_margin(Duration::from_millis(2500));
        metrics.complained(&Complaint::error(&Place { file: "meters.yaml".into(), line: 3 }, "no volume"));
        let page = metrics.page();
        for line in [
            r#"nephoscope_notifications_received_total{queue="notifications.info"} 3"#,
            r#"nephoscope_redelivered_total{queue="notifications.info"} 1"#,
            r#"nephoscope_parked_total{queue="notifications.info",reason="unknown_priority"} 1"#,
            r#"nephoscope_published_total{pipeline="cpu_source:cpu_sink",publisher="file:///x"} 7"#,
            r#"nephoscope_link_up{link="rabbit://h/"} 0"#,
            r#"nephoscope_link_losses_total{link="rabbit://h/"} 1"#,
            r#"nephoscope_complaints_total{place="meters.yaml:3"} 1"#,
            "nephoscope_lease_margin_seconds 2.5",
            "# EOF",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
    }
}
