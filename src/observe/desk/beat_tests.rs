//! Beats that are large, of many queues, or of somebody who wishes no good.

use super::*;

fn queue(n: usize) -> QueueBeat {
    let name = format!("nephoscope.ceilometer.{}.g1.{n}", "s".repeat(150));
    QueueBeat { queue: name, kind: "pipeline".to_owned(), taken: 2, held: 1, ready: Some(3), ..QueueBeat::default() }
}

fn beat(queues: usize) -> Beat {
    Beat { member: "a".to_owned(), queues: (0..queues).map(queue).collect(), ..Beat::default() }
}

#[test]
fn what_is_written_is_read() {
    let mut small = beat(3);
    small.latency.main = vec![1; BUCKETS];
    small.parked.insert("refused".to_owned(), 4);
    let read = Beat::decode(&small.clone().encode()).unwrap();
    assert_eq!(read, Beat { format: FORMAT, ..small });
}

#[test]
fn a_beat_of_too_many_queues_sums_the_last_ones_up_and_stays_within_its_bound() {
    let mut all = beat(10_000);
    for queue in &mut all.queues {
        queue.error = Some("x".repeat(10_000));
    }
    let bytes = all.encode();
    assert!(bytes.len() <= BEAT_BYTES_MAX, "{}", bytes.len());
    let read = Beat::decode(&bytes).unwrap();
    let other = read.queues.last().unwrap();
    let named = (read.queues.len() - 1) as u64;
    assert!(named > 20 && other.queue == OTHER, "{named}");
    assert_eq!(other.taken + 2 * named, 20_000);
    assert_eq!((other.held + named, u64::from(other.ready.unwrap()) + 3 * named), (10_000, 30_000));
}

#[test]
fn a_beat_whose_texts_are_all_long_stays_within_its_bound() {
    // Each character takes six bytes in JSON.
    let long = |n: usize| format!("{n}{}", "\u{1}".repeat(10_000));
    let publisher = |n: usize| PublisherBeat {
        sink: long(n),
        publisher: long(n),
        why: Some(long(n)),
        held_since: Some(long(n)),
        ..PublisherBeat::default()
    };
    let counts: BTreeMap<String, u64> = (0..100).map(|n| (long(n), 1)).collect();
    let all = Beat {
        host: long(0),
        version: long(0),
        started: long(0),
        phase: long(0),
        waiting_for: (0..100).map(long).collect(),
        publishers: (0..1_000).map(publisher).collect(),
        parked: counts.clone(),
        complaints: counts,
        links: (0..100).map(|n| (long(n), long(n))).collect(),
        minutes: vec![Minute { minute: u64::MAX, received: u64::MAX, ..Minute::default() }; 1_000],
        ..beat(1_000)
    };
    let bytes = all.encode();
    assert!(bytes.len() <= BEAT_BYTES_MAX, "{}", bytes.len());
    let read = Beat::decode(&bytes).unwrap();
    assert_eq!((read.parked.values().sum::<u64>(), read.complaints.values().sum::<u64>()), (100, 100));
}

#[test]
fn a_hostile_beat_is_cut_or_left() {
    let text = "\u{202e}é".repeat(10_000);
    let hostile = format!("{{\"format\":1,\"member\":\"{}\",\"queues\":[{{\"taken\":1}}]}}", &text[..text.len() / 2]);
    let read = Beat::decode(hostile.as_bytes()).unwrap();
    assert!(read.member.len() <= TEXT_BYTES_MAX && read.member.ends_with('…'));
    for (bytes, why) in [
        (vec![b' '; BEAT_BYTES_MAX + 1], NoBeat::Unreadable),
        (b"{\"format\":1}".to_vec(), NoBeat::Unreadable),
        (b"{\"format\":2,\"member\":7}".to_vec(), NoBeat::Format(2)),
        (b"[]".to_vec(), NoBeat::Format(0)),
        (b"{\"format\":1,\"member\":\"a\",\"queues\":7}".to_vec(), NoBeat::Unreadable),
        (format!("{{\"format\":1,\"x\":{}", "[".repeat(60_000)).into_bytes(), NoBeat::Unreadable),
    ] {
        assert_eq!(Beat::decode(&bytes), Err(why), "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
    }
}

#[test]
fn the_most_frequent_complaints_are_named() {
    let mut many = beat(0);
    many.complaints = (0..1_000u64).map(|n| (format!("meters.yaml:{n}"), n)).collect();
    many.encode_and(|read| {
        assert_eq!(read.complaints.len(), COMPLAINTS_MAX + 1);
        assert_eq!(read.complaints["meters.yaml:999"], 999);
        assert_eq!(read.complaints.values().sum::<u64>(), 499_500);
    });
}

impl Beat {
    fn encode_and(self, look: impl FnOnce(Beat)) {
        look(Beat::decode(&self.encode()).unwrap());
    }
}
