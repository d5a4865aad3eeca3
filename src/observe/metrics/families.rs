//! The metrics of one process: each is registered here, with its labels and its meaning.
//!
//! The table in `docs/metrics.md` is printed from these registrations; a test compares.

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tracing::error;

use crate::observe::desk::tally::Tallies;
use crate::observe::repeats::Repeats;
use crate::observe::series::{Registrar, Series, Tally, Traced};
use crate::observe::tap::Taps;

/// The counters of one process. Cheap to clone: all clones count into the same.
#[derive(Clone)]
pub struct Metrics(pub(super) Arc<Families>);

pub(super) struct Families {
    registry: Registry,
    rows: String,
    /// What may happen with every record, and is logged once and again after minutes.
    pub repeats: Repeats,
    /// What was done with each queue.
    pub tallies: Tallies,
    /// Those who ask to see what passes.
    pub taps: Arc<Taps>,

    pub received: Series<1, Counter>,
    pub redelivered: Series<1, Counter>,
    pub unwanted: Series<1, Counter>,
    pub parked: Series<2, Counter>,
    pub rescued: Series<1, Counter>,
    pub settled: Series<1, Counter>,
    pub handling: Series<1, Traced>,

    pub samples: Tally,
    pub events: Tally,
    pub complaints: Series<1, Counter>,

    pub published: Series<2, Counter>,
    pub publishing: Series<1, Histogram>,
    pub retries: Series<2, Counter>,
    pub refused: Series<2, Counter>,
    pub shed: Series<1, Counter>,
    pub overflowed: Series<2, Counter>,
    pub breaker: Series<1, Gauge>,

    pub packets_sent: Series<1, Counter>,
    pub packets_sent_bytes: Series<1, Counter>,
    pub packets_received: Series<1, Counter>,
    pub packets_missing: Series<1, Counter>,

    pub restored: Histogram,
    pub committed: Histogram,
    pub log_bytes: Counter,
    pub samples_again: Series<1, Counter>,

    pub ready: Gauge,
    pub opened: Counter,
    pub closed: Series<1, Counter>,
    pub owned: Gauge,
    pub members: Gauge,
    pub memberships_lost: Counter,
    pub lease_margin: Gauge<f64, AtomicU64>,

    pub link_up: Series<1, Gauge>,
    pub link_losses: Series<1, Counter>,
    pub link_blocked: Series<1, Gauge>,
    pub queue_up: Series<1, Gauge>,

    pub reloads: Series<1, Counter>,
    pub troubles: Series<1, Counter>,
}

/// Counters by sink and publisher.
pub(super) type Counters2 = Series<2, Counter>;

/// 0.5 ms to 16 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

/// The same, with exemplars.
fn traced_seconds() -> Traced {
    Traced::new(exponential_buckets(0.0005, 2.0, 16))
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
            unwanted: r.counters("notifications_unwanted", ["priority"], "Notifications of a priority that nothing reads"),
            parked: r.counters(
                "parked",
                ["origin", "reason"],
                "Messages, samples and events that were parked; the origin is a queue, or a sink for samples and events",
            ),
            rescued: r.counters("rescued", ["queue"], "Messages moved to a rescue queue because they came back often"),
            settled: r.counters("settled", ["verdict"], "Deliveries settled: kept, parked, or returned to the broker"),
            handling: r.traced(
                "handling_seconds",
                ["queue"],
                "Time from delivery to settlement, in seconds; the exemplar is a message of each second",
                traced_seconds,
            ),
            samples: r.tally("samples", "meter", "Samples made of notifications"),
            events: r.tally("events", "event_type", "Events made of notifications"),
            complaints: r.counters("complaints", ["place"], "Times a definition gave nothing for a notification"),
            published: r.counters("published", ["sink", "publisher"], "Samples or events that a publisher accepted"),
            publishing: r.histograms("publish_seconds", ["publisher"], "Time of one publish call, in seconds", seconds),
            retries: r.counters("publish_retries", ["sink", "publisher"], "Publish calls that failed and are repeated"),
            refused: r.counters("publish_refused", ["sink", "publisher"], "Samples or events refused for good"),
            breaker: r.gauges(
                "breaker",
                ["publisher"],
                "Circuit breaker of a publisher: 0 closed (works), 1 half-open (tried with a few records), 2 open (left alone)",
            ),
            overflowed: r.counters(
                "overflowed",
                ["sink", "publisher"],
                "Samples or events put into the overflow queue of a publisher that did not accept them",
            ),
            shed: r.counters("shed", ["publisher"], "Samples or events lost by a publisher's own policy (drop, queue)"),
            packets_sent: r.counters("packets_sent", ["queue"], "Packets confirmed by a pipeline queue"),
            packets_sent_bytes: r.counters("packets_sent_bytes", ["queue"], "Size of the confirmed packets, in bytes"),
            packets_received: r.counters("packets_received", ["queue"], "Packets taken from a pipeline queue"),
            packets_missing: r.counters("packets_missing", ["queue"], "Packets whose number was sent and never came"),
            restored: r.histogram("state_restore_seconds", "Time to restore the state of a queue, in seconds", seconds),
            committed: r.histogram("state_commit_seconds", "Time to commit a batch to its state log, in seconds", seconds),
            log_bytes: r.counter("state_log_bytes", "Bytes written to state logs"),
            samples_again: r.counters("samples_again", ["queue"], "Samples left out because they had taken effect before"),
            ready: r.gauge("ready", "1 while the member is ready, as /readyz says, 0 while it is not"),
            opened: r.counter("queues_opened", "Main and pipeline queues taken over"),
            closed: r.counters("queues_closed", ["reason"], "Main and pipeline queues closed: handed_over, lost, sealed or deleted"),
            owned: r.gauge("queues_owned", "Main and pipeline queues owned now"),
            members: r.gauge("members", "Members of the group, as this member sees it"),
            memberships_lost: r.counter("memberships_lost", "Times this member's lease ran out"),
            lease_margin: r.gauge("lease_margin_seconds", "Time for which the lease is certain, in seconds"),
            link_up: r.gauges("link_up", ["link"], "1 while the connection to a server is up"),
            link_losses: r.counters("link_losses", ["link"], "Times a connection that was up went down"),
            link_blocked: r.gauges("link_blocked", ["link"], "1 while the broker blocks a connection because of an alarm"),
            queue_up: r.gauges("queue_up", ["queue"], "1 while a queue that this member owns is consumed, 0 while it is not"),
            troubles: r.counters("troubles", ["step"], "Steps of the agent that failed and are repeated"),
            reloads: r.counters("reloads", ["outcome"], "Reloads of the configuration: taken, unchanged or refused"),
            registry: Registry::default(),
            rows: String::new(),
            repeats: Repeats::default(),
            tallies: Tallies::default(),
            taps: Arc::default(),
        };
        let (registry, rows) = r.finish();
        Metrics(Arc::new(Families { registry, rows, ..families }))
    }

    /// The page for Prometheus, in the OpenMetrics text format.
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Only a metric's own Display could fail, and none of ours does.
        if let Err(error) = text::encode(&mut page, &self.0.registry) {
            error!(event = "observe.metrics.not_printed", %error, "cannot print all metrics; report this as a bug");
        }
        page
    }

    /// The rows of `docs/metrics.md`: name, kind, labels, meaning.
    pub fn reference(&self) -> &str {
        &self.0.rows
    }

    /// A step of the agent failed, and is repeated.
    pub(super) fn trouble(&self, step: Step) {
        self.0.troubles.of([step.name()]).inc();
    }
}

/// A step of the agent that can fail and is repeated: the values of the label `step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Reach a publisher before the member joins its group.
    ReachPublisher,
    /// Join the group.
    Join,
    /// A request to etcd.
    AskEtcd,
    /// Confirm the lease.
    ConfirmLease,
    /// Change the number of pipeline queues.
    ChangePartitions,
    /// Wait for the previous consumer of a queue.
    AwaitConsumer,
    /// Open a queue.
    OpenQueue,
    /// Consume a queue that somebody has deleted.
    FindQueue,
    /// Declare a queue, an exchange or a binding.
    Declare,
    /// Send a packet to a pipeline queue.
    SendPacket,
    /// Park a message.
    Park,
    /// Move a message to the rescue queue.
    Rescue,
    /// Keep a state log within its bound.
    BoundLog,
    /// Use a state log.
    UseLog,
    /// Find in a state log what was committed to it.
    ReadLog,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::ReachPublisher => "reach_publisher",
            Step::Join => "join",
            Step::AskEtcd => "ask_etcd",
            Step::ConfirmLease => "confirm_lease",
            Step::ChangePartitions => "change_partitions",
            Step::AwaitConsumer => "await_consumer",
            Step::OpenQueue => "open_queue",
            Step::FindQueue => "find_queue",
            Step::Declare => "declare",
            Step::SendPacket => "send_packet",
            Step::Park => "park",
            Step::Rescue => "rescue",
            Step::BoundLog => "bound_log",
            Step::UseLog => "use_log",
            Step::ReadLog => "read_log",
        }
    }
}

/// A time as a log line shows it: whole milliseconds.
pub(super) fn whole_ms(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A count as a gauge shows it.
pub(super) fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
