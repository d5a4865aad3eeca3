//! Main queues: notifications come in, are converted, and are settled.

use std::time::{Duration, SystemTime};
use tracing::{debug, info, trace, warn};

use super::families::{Metrics, Step};
use crate::model::{Complaint, Event, Priority, Sample, Verdict};
use crate::observe::trace::Trace;

impl Metrics {
    /// `count` notifications came from a main queue, `again` of them not for the first time.
    pub fn notifications_received(&self, queue: &str, count: u64, again: u64) {
        trace!(event = "main.notification.received", queue, count, again);
        self.0.received.of([queue]).inc_by(count);
        if again > 0 {
            self.0.redelivered.of([queue]).inc_by(again);
        }
    }

    /// A notification of a priority that nothing reads was acknowledged and dropped.
    pub fn notification_unwanted(&self, priority: Priority) {
        trace!(event = "main.notification.unwanted", %priority);
        self.0.unwanted.of([priority.name()]).inc();
    }

    /// A delivery of `queue` was settled, `took` after it came. One of each second has a trace.
    pub fn delivery_settled(&self, queue: &str, verdict: Verdict, took: Duration, trace: Option<Trace>) {
        let name = match verdict {
            Verdict::Kept => "kept",
            Verdict::Parked => "parked",
            Verdict::Returned => "returned",
        };
        trace!(event = "agent.delivery.settled", queue, verdict = name, ?took);
        self.0.settled.of([name]).inc();
        let labels = trace.map(Trace::labels).filter(|labels| !labels.is_empty());
        let at = labels.is_some().then(SystemTime::now);
        self.0.handling.of([queue]).observe(took.as_secs_f64(), labels, at);
    }

    /// One notification gave these.
    pub fn converted(&self, samples: &[Sample], events: &[Event]) {
        for sample in samples {
            self.0.samples.bump(&sample.name);
        }
        for event in events {
            self.0.events.bump(&event.event_type);
        }
    }

    /// A definition gave nothing for one notification. Logged at the first, second, fourth, eighth … time; counted always.
    pub fn complained(&self, complaint: &Complaint) {
        let counter = self.0.complaints.of([&complaint.place.to_string()]);
        let times = counter.inc() + 1;
        if times.is_power_of_two() {
            warn!(event = "convert.definition.complained", place = %complaint.place, times, "{}", complaint.text);
        } else {
            debug!(event = "convert.definition.complained", place = %complaint.place, times, "{}", complaint.text);
        }
    }

    /// RabbitMQ drops a message of a main queue that comes back more often than `limit`, because nobody set another limit.
    pub fn delivery_limit_default(&self, broker: &str, version: &str, limit: i64, policy: &str) {
        // The command is in the sentence and not a field: a field is quoted, and a shell would not take it.
        warn!(
            event = "transport.delivery_limit.found",
            broker,
            version,
            limit,
            "RabbitMQ 4 drops a message of a quorum queue that comes back more often than its limit, and no policy lifts \
             that limit; a restarted agent moves messages that came back often to a rescue queue; to lift the limit, run: \
             {policy}"
        );
    }

    /// RabbitMQ drops a message of a main queue that comes back more often than an option of the services says.
    pub fn delivery_limit_declared(&self, broker: &str, limit: i64) {
        warn!(
            event = "transport.delivery_limit.found",
            broker,
            limit,
            "[oslo_messaging_rabbit] rabbit_quorum_delivery_limit makes RabbitMQ drop a message of a main queue that comes \
             back more often; set it to 0 in all services, and delete the queues that were declared with it"
        );
    }

    /// Messages that came back often were moved to the rescue queue, out of reach of the broker's delivery limit.
    pub fn rescued(&self, queue: &str, messages: u64) {
        if messages > 0 {
            info!(
                event = "agent.message.rescued",
                queue,
                messages,
                "moved messages that came back often to the rescue queue; the agent takes them from there first"
            );
            self.0.rescued.of([queue]).inc_by(messages);
        }
    }

    /// A message that came back often could not be moved: the agent takes it from where it is. `said` is how often that
    /// happened, where it is news.
    pub fn not_rescued(&self, queue: &str, cause: &str, said: Option<u64>) {
        if let Some(times) = said {
            warn!(
                event = "agent.message.not_rescued",
                queue,
                times,
                cause,
                "cannot move messages that came back often to the rescue queue; the agent takes them from the main queue; a \
                 quorum queue drops them at its delivery limit: lift that limit"
            );
        } else {
            debug!(event = "agent.message.not_rescued", queue, cause, "still cannot move messages to the rescue queue");
        }
        self.trouble(Step::Rescue);
    }
}
