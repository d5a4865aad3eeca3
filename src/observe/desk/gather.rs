//! From counters and board to a beat.

use std::collections::BTreeMap;

use super::beat::{Beat, Latency, PublisherBeat, QueueBeat};
use super::minutes::Minute;
use super::process::ProcessUse;
use crate::model::shown::without_secrets;
use crate::observe::metrics::Metrics;
use crate::observe::status::{Board, Link, Pipeline, Queue, Status};

/// What a beat is gathered from, beside counters and board.
#[derive(Debug, Default)]
pub struct Gathered<'g> {
    /// The member.
    pub member: &'g str,
    /// Its machine.
    pub host: &'g str,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Whether it has a lease that can run out.
    pub has_lease: bool,
    /// Messages that wait at the broker, by the names of queues there.
    pub ready: BTreeMap<String, u32>,
    /// Its last hour.
    pub minutes: Vec<Minute>,
}

/// What stands before the name of a main queue.
const MAIN: &str = "main:";

/// The name at the broker of a queue that the group knows by this one; a second broker's main queues share their counters with
/// the first one's.
pub fn name_at_broker(queue: &str) -> &str {
    let Some(main) = queue.strip_prefix(MAIN) else { return queue };
    match main.rsplit_once('@') {
        Some((name, broker)) if broker.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => main,
    }
}

impl Gathered<'_> {
    /// The message of a member that nobody is known to watch: that it is there.
    pub fn knock(&self) -> Beat {
        Beat { member: self.member.to_owned(), uptime_ms: self.uptime_ms, ..Beat::default() }
    }

    /// The whole beat.
    pub fn beat(self, metrics: &Metrics, board: &Board) -> Beat {
        let status = board.read();
        let tallies = metrics.tallies();
        let main_names: Vec<&str> = status
            .queues
            .iter()
            .filter(|(_, queue)| queue.kind == "main")
            .map(|(name, _)| name_at_broker(name))
            .collect();
        // A rescue queue is its main queue's.
        let is_main = |queue: &str| main_names.contains(&queue.strip_prefix("nephoscope.rescued.").unwrap_or(queue));
        let latency = Latency {
            main: tallies.latency(is_main).to_vec(),
            pipeline: tallies.latency(|queue| !is_main(queue)).to_vec(),
        };
        Beat {
            latency,
            totals: metrics.totals(),
            process: ProcessUse::now(),
            parked: metrics.parked_by_reason(),
            complaints: metrics.complaints_by_place(),
            publishers: publishers(metrics, &status),
            queues: queues(metrics, &status, &self.ready),
            links: status.links.iter().filter_map(broken).collect(),
            lease_margin_ms: self.has_lease.then(|| metrics.lease_margin_ms()),
            waiting_for: status.not_ready().iter().map(|why| shown(why)).collect(),
            host: self.host.to_owned(),
            version: status.version.to_owned(),
            started: status.started.clone(),
            phase: status.phase.to_owned(),
            minutes: self.minutes.clone(),
            ..self.knock()
        }
    }
}

/// A sentence of others, without the passwords in it.
fn shown(sentence: &str) -> String {
    without_secrets(sentence).into_owned()
}

fn queues(metrics: &Metrics, status: &Status, ready: &BTreeMap<String, u32>) -> Vec<QueueBeat> {
    let beat = |(name, queue): (&String, &Queue)| {
        let at_broker = name_at_broker(name);
        let tally = metrics.tallies().find(at_broker);
        let (counts, oldest_s) = tally.map(|tally| tally.read()).unwrap_or_default();
        QueueBeat {
            queue: name.clone(),
            kind: queue.kind.to_owned(),
            state: queue.state.to_owned(),
            since: queue.since.clone(),
            epoch: queue.epoch,
            error: queue.error.as_deref().map(shown),
            taken: counts.taken,
            settled: counts.settled,
            held: counts.held(),
            oldest_s,
            ready: ready.get(at_broker).copied(),
            log_bytes: counts.log_bytes,
        }
    };
    let mut queues: Vec<QueueBeat> = status.queues.iter().map(beat).collect();
    // The busiest find room in any case.
    queues.sort_by(|one, other| other.taken.cmp(&one.taken).then_with(|| one.queue.cmp(&other.queue)));
    queues
}

fn publishers(metrics: &Metrics, status: &Status) -> Vec<PublisherBeat> {
    let of_sink = |(sink, pipeline): (&String, &Pipeline)| {
        let beat = |publisher: &String| {
            let held = pipeline.held.iter().find(|held| held.publisher == *publisher);
            PublisherBeat {
                waiting: held.map_or(0, |held| held.waiting as u64),
                held_since: held.map(|held| held.since.clone()),
                why: held.map(|held| shown(&held.why)),
                ..metrics.publisher_beat(sink, publisher)
            }
        };
        pipeline.publishers.iter().map(beat).collect::<Vec<_>>()
    };
    status.pipelines.iter().flat_map(of_sink).collect()
}

/// A connection that is not up, or blocked: in words.
fn broken((name, link): (&String, &Link)) -> Option<(String, String)> {
    match &link.blocked {
        Some(why) => Some((name.clone(), shown(&format!("blocked: {why}")))),
        None if link.state == "up" => None,
        None => Some((name.clone(), shown(&format!("{}: {}", link.state, link.detail)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verdict;
    use crate::observe::{ParkReason, status};
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn a_beat_is_gathered_from_counters_and_board() {
        let (metrics, board) = (Metrics::new(), Board::new());
        let queue = |kind| Queue { kind, state: "running", since: "then".to_owned(), epoch: Some(7), error: None };
        board.change(|status| {
            status.queues.insert("main:notifications.info".to_owned(), queue("main"));
            status.queues.insert("nephoscope.g.cpu.g1.0".to_owned(), queue("pipeline"));
            let held = |publisher: &str| status::Held {
                publisher: publisher.to_owned(),
                since: "noon".to_owned(),
                why: "refused".to_owned(),
                waiting: 3,
            };
            let pipeline = Pipeline {
                publishers: vec!["file:///a".to_owned(), "http://b".to_owned()],
                held_by: Some(held("http://b")),
                held: vec![held("http://b")],
            };
            status.pipelines.insert("cpu".to_owned(), pipeline);
        });
        metrics.notifications_received("notifications.info", 5, 0);
        let came = Instant::now();
        for _ in 0..5 {
            metrics.tally("notifications.info").taken(came);
        }
        metrics.tally("notifications.info").settled(came, Duration::from_millis(3));
        metrics.delivery_settled("notifications.info", Verdict::Kept, Duration::from_millis(3), None);
        metrics.published("cpu", "file:///a", 9, Duration::from_millis(1));
        metrics.message_parked("notifications.info", ParkReason::Unreadable, None, "no JSON");
        let ready = BTreeMap::from([("notifications.info".to_owned(), 40)]);
        let beat =
            Gathered { member: "a", host: "h", uptime_ms: 5, ready, ..Gathered::default() }.beat(&metrics, &board);
        assert_eq!((beat.totals.received, beat.totals.published, beat.totals.parked), (5, 9, 1));
        let main = &beat.queues[0];
        assert_eq!((&*main.queue, main.taken, main.settled, main.held), ("main:notifications.info", 5, 1, 4));
        assert_eq!((main.ready, main.oldest_s, beat.queues[1].ready), (Some(40), Some(0), None));
        assert_eq!((beat.latency.main[3], beat.latency.pipeline.iter().sum::<u64>()), (1, 0));
        let [file, http] = &beat.publishers[..] else { panic!("{:?}", beat.publishers) };
        assert_eq!((file.accepted, file.waiting, &*file.breaker), (9, 0, "closed"));
        assert_eq!((http.waiting, http.why.as_deref(), http.held_since.as_deref()), (3, Some("refused"), Some("noon")));
        assert_eq!(beat.parked["unreadable"], 1);
        assert!(!beat.is_knock() && beat.lease_margin_ms.is_none());
    }

    #[test]
    fn a_main_queue_of_a_second_broker_is_found() {
        assert_eq!(name_at_broker("main:notifications.info@1"), "notifications.info");
        assert_eq!(name_at_broker("main:notifications.info"), "notifications.info");
        assert_eq!(name_at_broker("nephoscope.g.a@b.g1.0"), "nephoscope.g.a@b.g1.0");
    }
}
