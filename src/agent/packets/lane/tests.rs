use super::*;
use crate::model::Verdict;
use tokio::time::advance;

const BOUNDS: PacketBounds = PacketBounds { notifications_max: 3, bytes_max: 1_000 };

#[derive(Default)]
struct Bench(Waiting);

impl Bench {
    fn push(&mut self, queue: &str, count: usize, bytes: usize) {
        let sender = Sender { member: "m".into(), epoch: 7, bounds: BOUNDS };
        for _ in 0..count {
            let record = vec![b'1'; bytes];
            let left =
                self.0.push(&sender, queue, (b"{[", &Records { runs: vec![&record], count: 1 }), Receipt::new(|_| ()));
            assert!(left.is_none());
        }
    }

    /// What is sent now: the queue, the number, and how many notifications; it is on its way then.
    fn sent(&mut self) -> Vec<(String, u64, usize)> {
        std::iter::from_fn(|| self.0.next())
            .map(|(queue, bill)| {
                let notifications = bill.receipts.len();
                bill.receipts.into_iter().for_each(|receipt| receipt.settle(Verdict::Kept));
                let body = match bill.content {
                    Content::Filling(packet) => packet.finish(),
                    Content::Whole(body) => body.to_vec(),
                };
                let text = String::from_utf8(body).unwrap();
                let number = text.split("\"sequence\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
                (queue, number, notifications)
            })
            .collect()
    }
}

fn sent(queue: &str, number: u64, notifications: usize) -> (String, u64, usize) {
    (queue.to_owned(), number, notifications)
}

#[tokio::test(start_paused = true)]
async fn a_full_packet_goes_and_one_that_is_not_stays_open() {
    let mut bench = Bench::default();
    bench.push("a", 4, 10);
    bench.push("b", 2, 10);
    assert_eq!(bench.sent(), [sent("a", 1, 3)]);
    bench.0.is_free("a".to_owned());
    assert_eq!(bench.sent(), []);
    bench.push("a", 2, 10);
    assert_eq!(bench.sent(), [sent("a", 2, 3)]);
    bench.push("b", 1, 10);
    assert_eq!(bench.sent(), [sent("b", 1, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_packet_is_full_by_its_bytes() {
    let mut bench = Bench::default();
    bench.push("a", 2, 600);
    assert_eq!(bench.sent(), [sent("a", 1, 1)], "the second did not fit");
    bench.0.is_free("a".to_owned());
    bench.push("a", 1, 2_000);
    assert_eq!(bench.sent(), [sent("a", 2, 1)]);
    bench.0.is_free("a".to_owned());
    assert_eq!(bench.sent(), [sent("a", 3, 1)], "larger than a packet, and alone");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_open_for_too_long_goes_and_a_younger_one_waits_for_its_own_time() {
    let mut bench = Bench::default();
    bench.push("a", 1, 10);
    advance(OPEN_MAX / 2).await;
    bench.push("b", 1, 10);
    let first = bench.0.open_until().unwrap();
    assert_eq!(first - Instant::now(), OPEN_MAX / 2);
    advance(OPEN_MAX / 2).await;
    bench.0.end_open(Some(Instant::now()));
    assert_eq!(bench.sent(), [sent("a", 1, 1)]);
    assert_eq!(bench.0.open_until(), Some(first + OPEN_MAX / 2));
    advance(OPEN_MAX / 2).await;
    bench.0.end_open(Some(Instant::now()));
    assert_eq!((bench.sent(), bench.0.open_until()), (vec![sent("b", 1, 1)], None));
}

#[tokio::test(start_paused = true)]
async fn nothing_more_comes_soon() {
    let mut bench = Bench::default();
    bench.push("a", 1, 10);
    bench.push("b", 5, 10);
    bench.0.end_open(None);
    assert_eq!(bench.sent(), [sent("b", 1, 3), sent("a", 1, 1)]);
    bench.0.is_free("b".to_owned());
    assert_eq!((bench.sent(), bench.0.open_until()), (vec![sent("b", 2, 2)], None));
}

/// What keeps the oldest deliveries from being acknowledged keeps all of them.
#[tokio::test(start_paused = true)]
async fn a_packet_is_old_by_what_was_put_in_since() {
    let mut bench = Bench::default();
    bench.push("a", 1, 10);
    bench.push("b", 2, 10);
    bench.0.expect(Expected { more: true, at_once: 3 });
    assert_eq!(bench.sent(), []);
    bench.push("c", 1, 10);
    bench.0.expect(Expected { more: true, at_once: 3 });
    assert_eq!(bench.sent(), [sent("a", 1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_expected_is_waited_for() {
    let mut bench = Bench::default();
    bench.push("a", 1, 10);
    bench.0.expect(Expected { more: true, at_once: 100 });
    assert_eq!(bench.0.send_open(), Open::Nothing);
    assert_eq!(bench.sent(), []);
    bench.0.expect(Expected { more: false, at_once: 100 });
    assert_eq!(bench.0.send_open(), Open::Goes);
    assert_eq!(bench.sent(), [sent("a", 1, 1)]);
    assert_eq!(bench.0.send_open(), Open::Nothing, "none is open");
}

/// Much is open, first of all one for b, and the queue a has just confirmed a packet.
fn in_a_backlog() -> Bench {
    let mut bench = Bench::default();
    bench.push("b", 1, 10);
    bench.push("a", MUCH, 10);
    bench.0.expect(Expected { more: false, at_once: 1_000 });
    assert_eq!(bench.sent(), [sent("a", 1, 3)]);
    bench.0.is_free("a".to_owned());
    bench
}

#[tokio::test(start_paused = true)]
async fn much_that_is_open_waits_for_what_a_confirmation_lets_come() {
    let mut bench = in_a_backlog();
    let waits = Open::Waits(Instant::now() + LULL);
    assert_eq!(bench.0.send_open(), waits);
    advance(LULL / 2).await;
    assert_eq!(bench.0.send_open(), waits);
    bench.push("b", 2, 10);
    assert_eq!(bench.sent(), [sent("a", 2, 3), sent("b", 1, 3)]);
    bench.push("c", 1, 10);
    assert_eq!(bench.0.send_open(), Open::Goes, "little");
}

#[tokio::test(start_paused = true)]
async fn much_that_is_open_goes_after_a_lull() {
    let mut bench = in_a_backlog();
    advance(LULL).await;
    assert_eq!((bench.0.send_open(), bench.sent().last()), (Open::Goes, Some(&sent("b", 1, 1))));
}

#[tokio::test(start_paused = true)]
async fn an_open_packet_goes_before_what_is_put_behind_it() {
    let mut bench = Bench::default();
    bench.push("a", 1, 10);
    let (told, _hears) = oneshot::channel();
    let whole = |number| format!(r#"{{"sequence":{number},}}"#).into();
    assert!(bench.0.push_whole("a", whole, told));
    assert_eq!(bench.sent(), [sent("a", 1, 1)]);
    bench.push("a", 1, 10);
    bench.0.is_free("a".to_owned());
    assert_eq!(bench.sent(), [sent("a", 2, 0)], "what comes later is in a packet behind it");
    bench.0.is_free("a".to_owned());
    assert_eq!(bench.sent(), []);
    bench.0.end_open(None);
    assert_eq!(bench.sent(), [sent("a", 3, 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_open_while_its_queue_is_busy_goes_when_that_is_free() {
    let mut bench = Bench::default();
    bench.push("a", 3, 10);
    assert_eq!(bench.sent(), [sent("a", 1, 3)]);
    bench.push("a", 1, 10);
    bench.0.end_open(None);
    bench.push("a", 1, 10);
    assert_eq!(bench.sent(), [], "one packet is on its way at a time, and meanwhile the next is filled");
    bench.0.is_free("a".to_owned());
    assert_eq!(bench.sent(), [sent("a", 2, 2)]);
}

/// The carrier asks between any two calls whether it is done.
#[tokio::test(start_paused = true)]
async fn what_is_open_when_nothing_more_is_put_in_is_sent() {
    let mut bench = Bench::default();
    bench.push("a", 1, 10);
    assert_eq!(bench.sent(), []);
    assert!(!bench.0.is_closed_and_empty());
    bench.0.close();
    assert!(!bench.0.is_closed_and_empty(), "the open packet is not sent yet");
    assert_eq!(bench.sent(), [sent("a", 1, 1)]);
    assert!(bench.0.is_closed_and_empty());
}

#[tokio::test(start_paused = true)]
async fn a_listener_is_over() {
    let mut bench = Bench::default();
    bench.push("a", 1, 10);
    drop(bench.0.abandon());
    assert_eq!((bench.sent(), bench.0.open_until(), bench.0.is_abandoned()), (vec![], None, true));
}
