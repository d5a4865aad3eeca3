//! Pictures of groups in which something happens.

use super::*;
use crate::coordination::{MemberRecord, Move, Reason};
use std::time::Duration;

/// A beat of a member: its uptime in seconds and its counts.
struct Said<'s> {
    member: &'s str,
    uptime_s: u64,
    received: u64,
    queues: Vec<(&'s str, &'s str, u64)>,
}

fn hear(seen: &mut Seen, said: &Said<'_>) {
    let queue = |(name, state, taken): &(&str, &str, u64)| QueueBeat {
        queue: (*name).to_owned(),
        kind: "pipeline".to_owned(),
        state: (*state).to_owned(),
        taken: *taken,
        settled: taken.saturating_sub(2),
        held: 2,
        oldest_s: Some(1),
        ready: Some(5),
        ..QueueBeat::default()
    };
    let publisher = |n: u64| PublisherBeat {
        sink: "cpu".to_owned(),
        publisher: "http://collector/in".to_owned(),
        breaker: "closed".to_owned(),
        accepted: n,
        waiting: if said.member == "b" { 30 } else { 0 },
        held_since: (said.member == "b").then(|| "2026-03-01T10:00:00Z".to_owned()),
        why: (said.member == "b").then(|| "connection refused".to_owned()),
        ..PublisherBeat::default()
    };
    let minute =
        Minute { minute: 100, received: said.received, published: 1, p50_us: Some(500), p99_us: Some(said.uptime_s) };
    // Of a clock that is wrong, or of somebody who wishes no good.
    let later = [103, u64::MAX].map(|minute| Minute { minute, received: 7, ..Minute::default() });
    let beat = Beat {
        member: said.member.to_owned(),
        phase: "running".to_owned(),
        started: "1".to_owned(),
        uptime_ms: said.uptime_s * 1_000,
        totals: crate::observe::desk::beat::Totals { received: said.received, parked: 3, ..Default::default() },
        queues: said.queues.iter().map(queue).collect(),
        publishers: vec![publisher(said.received)],
        parked: BTreeMap::from([("unreadable".to_owned(), 2), ("refused".to_owned(), 1)]),
        minutes: [minute].into_iter().chain(later).collect(),
        ..Beat::default()
    };
    seen.hear(&beat.encode(), Instant::now(), |_| true);
}

/// The minute of the beats, by the watcher's clock.
fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(100 * 60, 0).unwrap()
}

fn record(id: &str) -> (String, MemberRecord) {
    let record = MemberRecord {
        format: 1,
        id: id.to_owned(),
        host: format!("host-{id}"),
        version: "1".to_owned(),
        weight: 10,
        config_digest: String::new(),
        ready: true,
        process: None,
    };
    (id.to_owned(), record)
}

fn group(members: &[&str], owners: &[(&str, &str)]) -> GroupSeen {
    let owner = |(queue, member): &(&str, &str)| ((*queue).to_owned(), ((*member).to_owned(), 7));
    let view = View {
        members: members.iter().map(|id| record(id)).collect(),
        owners: owners.iter().map(owner).collect(),
        ..View::default()
    };
    let one = Move { member: "b".to_owned(), epoch: 7, from: None, reason: Reason::First, at: "then".to_owned() };
    GroupSeen { view: Some(view), moves: vec![("q2".to_owned(), one)], away: None }
}

fn look(seen: &Seen, group: &GroupSeen) -> Picture {
    picture("g", at(), seen, group, true, Instant::now())
}

fn states(picture: &Picture) -> (Vec<String>, Vec<String>) {
    let members = picture.members.iter().map(|m| format!("{} {} {}", m.id, m.state, m.queues)).collect();
    let queues = picture.queues.iter();
    let queues = queues.map(|q| format!("{} {} {}", q.name, q.owner.as_deref().unwrap_or("-"), q.state)).collect();
    (members, queues)
}

#[tokio::test(start_paused = true)]
async fn two_members_are_one_picture_and_one_of_them_is_killed() {
    let mut seen = Seen::default();
    let two = group(&["a", "b"], &[("q1", "a"), ("q2", "b")]);
    for second in 1..=3 {
        let queues = vec![("q1", "running", 10 * second)];
        hear(&mut seen, &Said { member: "a", uptime_s: second, received: 100 * second, queues });
        let queues = vec![("q1", "waiting", 0), ("q2", "running", 20 * second)];
        hear(&mut seen, &Said { member: "b", uptime_s: second, received: 50 * second, queues });
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let whole = look(&seen, &two);
    assert!(whole.is_whole());
    let (members, queues) = states(&whole);
    assert_eq!(members, ["a running 1", "b running 1"]);
    assert_eq!(queues, ["q1 a running", "q2 b running"]);
    assert_eq!((whole.now.received, whole.now.held, whole.now.ready), (Some(150.0), 4, Some(10)));
    assert_eq!((whole.queues[0].taken, whole.queues[1].taken), (Some(10.0), Some(20.0)));
    let collector = &whole.publishers[0];
    assert_eq!((&*collector.state, collector.accepted, collector.waiting), ("held", Some(150.0), 30));
    assert_eq!((collector.held_at.join(" "), collector.why.as_deref()), ("b".to_owned(), Some("connection refused")));
    assert_eq!((whole.parked[0].what.as_str(), whole.parked[0].count, whole.now.parked), ("unreadable", 4, 6));
    assert_eq!(whole.minutes.len(), 1, "{:?}", whole.minutes);
    let minute = whole.minutes[0];
    assert_eq!((minute.received, minute.published, minute.p99_us), (450, 2, Some(3)));

    // b is killed; its lease stands.
    for second in 4..=7 {
        let queues = vec![("q1", "running", 10 * second)];
        hear(&mut seen, &Said { member: "a", uptime_s: second, received: 100 * second, queues });
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let (members, queues) = states(&look(&seen, &two));
    assert_eq!(members, ["a running 1", "b not heard 1"]);
    assert_eq!(queues, ["q1 a running", "q2 b not heard"]);
    assert_eq!(look(&seen, &two).now.received, Some(100.0));

    // The lease is over, and a has taken its queue.
    let one = group(&["a"], &[("q1", "a"), ("q2", "a")]);
    let queues = vec![("q1", "running", 80), ("q2", "opening", 0)];
    hear(&mut seen, &Said { member: "a", uptime_s: 8, received: 800, queues });
    let after = look(&seen, &one);
    let (members, queues) = states(&after);
    assert_eq!(members, ["a running 2", "b gone 0"]);
    assert_eq!(queues, ["q1 a running", "q2 a opening"]);
    assert!(after.is_whole());
    assert_eq!(after.moves[0].reason, "first");
}

#[tokio::test(start_paused = true)]
async fn agents_without_a_group_are_known_by_what_they_say() {
    let mut seen = Seen::default();
    for second in 1..=2 {
        let queues = vec![("main:notifications.info", "running", second)];
        hear(&mut seen, &Said { member: "a", uptime_s: second, received: second, queues });
    }
    let picture = picture("g", at(), &seen, &GroupSeen::default(), false, Instant::now());
    let (members, queues) = states(&picture);
    assert_eq!(
        (members, queues),
        (vec!["a running 1".to_owned()], vec!["main:notifications.info a running".to_owned()])
    );
    assert_eq!((picture.queues_per_sink, picture.paused, picture.members[0].weight), (None, false, None));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_nobody_owns_is_free_and_one_that_etcd_gives_to_another_is_that_ones() {
    let mut seen = Seen::default();
    let mut seen_group = group(&["a", "b"], &[("q1", "b")]);
    let pins = [("q9".to_owned(), "a".to_owned())];
    seen_group.view.as_mut().unwrap().pins = pins.into_iter().collect();
    // a works on while etcd has given the queue to b, which waits for its end.
    hear(&mut seen, &Said { member: "a", uptime_s: 1, received: 1, queues: vec![("q1", "closing", 9)] });
    hear(&mut seen, &Said { member: "b", uptime_s: 1, received: 1, queues: vec![("q1", "opening", 0)] });
    let (_, queues) = states(&look(&seen, &seen_group));
    assert_eq!(queues, ["q1 b opening", "q9 - free"]);
}

#[tokio::test(start_paused = true)]
async fn somebody_invents_publishers() {
    let mut seen = Seen::default();
    let beat = |member: &str, publishers: usize| {
        let publisher = |n: usize| PublisherBeat {
            sink: format!("{member}{n}"),
            publisher: "http://collector".to_owned(),
            ..PublisherBeat::default()
        };
        let (member, phase) = (member.to_owned(), "running".to_owned());
        Beat { member, phase, publishers: (0..publishers).map(publisher).collect(), ..Beat::default() }
    };
    for n in 0..12 {
        seen.hear(&beat(&format!("a{n:02}-"), 60).encode(), Instant::now(), |_| false);
    }
    seen.hear(&beat("z", 3).encode(), Instant::now(), |_| true);
    let picture = look(&seen, &group(&["z"], &[]));
    assert_eq!(picture.publishers.len(), PUBLISHERS_MAX);
    // What etcd names has its place before what it does not.
    assert_eq!(picture.publishers.iter().filter(|publisher| publisher.sink.starts_with('z')).count(), 3);
}
