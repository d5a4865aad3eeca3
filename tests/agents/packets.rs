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

#[tokio::test(start_paused = true)]
async fn a_backlog_travels_in_full_packets() {
    // What waits in open packets counts against it.
    let more = "[oslo_messaging_rabbit]\nrabbit_qos_prefetch_count = 1000\n";
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
