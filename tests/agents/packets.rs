//! How many packets a group sends, and how long one waits to be filled.

use super::*;
use tokio::time::Instant;

impl Lab {
    /// Packets that pipeline queues have confirmed.
    fn packets(&self) -> usize {
        let page = self.context.metrics.page();
        let sent = page.lines().filter(|line| line.starts_with("nephoscope_packets_sent_total{"));
        sent.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    }
}

/// What waits in open packets counts against the prefetch. Where none is written it follows the sizes of the notifications.
#[rstest::rstest]
#[case::written("[oslo_messaging_rabbit]\nrabbit_qos_prefetch_count = 1000\n")]
#[case::by_size("")]
#[tokio::test(start_paused = true)]
async fn a_backlog_travels_in_full_packets(#[case] more: &'static str) {
    let mut lab = Lab { more, ..Lab::new(true).await };
    lab.send(3_000).await;
    let _agent = lab.start("a");
    lab.settle().await;
    assert_eq!(lab.check(), 0);
    // To 4 queues for samples and 4 for events: 0.04 of each notification if all are full.
    assert!(lab.packets() * 100 <= lab.sent * 6, "{} packets of {} notifications", lab.packets(), lab.sent);
}

/// Nothing more comes before what is open is confirmed.
#[tokio::test(start_paused = true)]
async fn a_prefetch_that_fills_no_packet_keeps_nothing_waiting() {
    for (more, sends) in [
        ("[oslo_messaging_rabbit]\nrabbit_qos_prefetch_count = 1\n", 100),
        ("[oslo_messaging_rabbit]\nrabbit_qos_prefetch_count = 3\n", 300),
    ] {
        let mut lab = Lab { more, ..Lab::new(true).await };
        let (_agent, board) = lab.start("a");
        lab.until("it consumes", || consumes_main(&board)).await;
        let began = Instant::now();
        lab.send(sends).await;
        lab.settle().await;
        assert_eq!(lab.check(), 0);
        assert!(began.elapsed() <= Duration::from_millis(200), "{sends} took {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_queue_is_not_waited_for() {
    let mut lab = Lab::new(true).await;
    let (_agent, board) = lab.start("a");
    lab.until("it consumes", || consumes_main(&board)).await;
    for n in 1..=20 {
        lab.send(1).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(lab.volumes().len(), n, "published before the next one comes");
    }
}

/// The sizes change while the agent works: it consumes with another prefetch, and nothing comes twice or out of order.
#[rstest::rstest]
#[tokio::test(start_paused = true)]
async fn sizes_change_under_load(#[values(false, true)] partitioned: bool) {
    let mut lab = Lab::new(partitioned).await;
    let (_agent, board) = lab.start("a");
    lab.until("it consumes", || consumes_main(&board)).await;
    for padding in [0, 500_000, 0, 1_500_000, 0] {
        for _ in 0..4 {
            lab.send_padded(40, padding).await;
        }
        // As long as a larger prefetch is not tried again.
        tokio::time::sleep(Duration::from_secs(11)).await;
    }
    lab.settle().await;
    assert_eq!(lab.check(), 0);
}

/// The publisher is away, and 1,000 messages may be on their way, because they were small: of large ones more come than may
/// wait. The queue is consumed again, with few, and goes on when the publisher is back.
#[tokio::test(start_paused = true)]
async fn more_waits_than_may() {
    let mut lab = Lab::new(false).await;
    lab.send(3_000).await;
    let (_agent, board) = lab.start("a");
    lab.settle().await;
    let away = || PublishError::Retry { cause: "503".to_owned(), after: Some(Duration::from_secs(20)) };
    (0..2).for_each(|_| lab.context.shelf.answer_next("samples", away()));
    lab.send_padded(100, 1_000_000).await;
    let lost = "nephoscope_queues_closed_total{reason=\"lost\"} 1\n";
    lab.until("too many wait", || lab.context.metrics.page().contains(lost)).await;
    lab.until("it consumes again", || consumes_main(&board)).await;
    let queues = lab.broker.queues();
    let held: usize = queues.iter().filter(|q| q.name == "notifications.info").map(|q| q.unacked).sum();
    assert!((1..=20).contains(&held), "{held} are held");
    lab.settle().await;
    lab.check();
    assert!(lab.context.metrics.page().contains(lost), "once");
}

/// To change the prefetch is to let go of the queue for a moment. Nobody who cannot ask the group for the layout does.
#[tokio::test(start_paused = true)]
async fn the_prefetch_stays_while_the_group_is_away() {
    let mut lab = Lab::new(true).await;
    let (_agent, board) = lab.start("a");
    lab.until("it consumes", || consumes_main(&board)).await;
    lab.group.set_away(true);
    for _ in 0..3 {
        let away = || PublishError::Retry { cause: "503".to_owned(), after: Some(Duration::from_secs(1)) };
        (0..8).for_each(|_| lab.context.shelf.answer_next("samples", away()));
        lab.send(1_000).await;
        lab.settle().await;
        tokio::time::sleep(Duration::from_mins(2)).await;
    }
    assert_eq!(lab.check(), 0);
    assert!(consumes_main(&board));
    assert!(!lab.context.metrics.page().contains("nephoscope_queues_closed_total{reason=\"lost\"} 1"), "it let go");
}

/// From a value on the page to the notification, at the main queue and behind the pipeline queue.
#[rstest::rstest]
#[tokio::test(start_paused = true)]
async fn one_message_of_each_second_is_named_on_the_page(#[values(false, true)] partitioned: bool) {
    let mut lab = Lab::new(partitioned).await;
    let (_agent, board) = lab.start("a");
    lab.until("it consumes", || consumes_main(&board)).await;
    lab.send(200).await;
    lab.settle().await;
    let page = lab.context.metrics.page();
    let traced = |queue: &str| {
        let of_queue = "nephoscope_handling_seconds_bucket{le=";
        let lines = page.lines().filter(|line| line.starts_with(of_queue) && line.contains(queue));
        lines.filter_map(|line| line.split_once(" # {message_id=\"m-")).count()
    };
    assert_eq!(traced("notifications.info"), 1, "{page}");
    assert_eq!(traced("nephoscope.") > 0, partitioned, "{page}");
}
