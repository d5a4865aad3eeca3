//! How fast, and how soon again: `rate`, and the waits for a publisher that is away.

use super::*;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

impl Lab {
    /// Watches the samples come in for a while: when there were more of them, and how many.
    async fn watch(&self, how_long: Duration) -> Vec<(Instant, usize)> {
        let until = Instant::now() + how_long;
        let (mut known, mut seen) = (self.volumes().len(), Vec::new());
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = self.volumes().len();
            if now > known {
                seen.push((Instant::now(), now - known));
                known = now;
            }
        }
        seen
    }
}

/// The most within a second, wherever it begins; it is looked every 10 ms.
fn most_in_a_second(seen: &[(Instant, usize)]) -> usize {
    let from = |begin: Instant| {
        let within = seen.iter().filter(|(at, _)| *at >= begin && *at < begin + SECOND - Duration::from_millis(10));
        within.map(|(_, records)| records).sum()
    };
    seen.iter().map(|(at, _)| from(*at)).max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn in_no_second_does_more_than_the_rate_go_also_after_an_outage_and_that_is_no_trouble() {
    for partitioned in [false, true] {
        let mut lab = Lab::new(partitioned).await;
        lab.write_pipeline("pipeline.yaml", "meters", &["test://samples?rate=50"]);
        let (agent, board) = lab.start("a");
        lab.send(200).await;
        let fresh = lab.watch(SECOND * 5).await;
        assert_eq!(lab.volumes().len(), 200);
        lab.context.shelf.set_away("samples", true);
        lab.send(400).await;
        tokio::time::sleep(Duration::from_mins(2)).await;
        lab.context.shelf.set_away("samples", false);
        lab.until("it takes again", || lab.volumes().len() > 210).await;
        let held = || board.read().pipelines.values().filter(|pipeline| pipeline.held_by.is_some()).count();
        lab.until("nothing is held", || held() == 0).await;
        let began = Instant::now();
        let more = lab.watch(SECOND * 4).await;
        assert_eq!((held(), lab.volumes().len() < 600), (0, true), "it waits for its rate only");
        let rest = lab.watch(SECOND * 8).await;
        assert_eq!(lab.volumes().len(), 600);
        let took = rest.last().unwrap().0 - began;
        assert!(took < SECOND * 10, "400 at 50 a second took {took:?}");
        for seen in [&fresh, &more, &rest] {
            assert!(most_in_a_second(seen) <= 50, "{} in a second", most_in_a_second(seen));
        }
        lab.settle().await;
        assert_eq!(lab.check(), 0);
        agent.drain(TTL).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_orderly_stop_while_a_publisher_keeps_to_its_rate_is_soon_over_and_repeats_nothing() {
    for partitioned in [false, true] {
        let mut lab = Lab::new(partitioned).await;
        lab.write_pipeline("pipeline.yaml", "meters", &["test://samples?rate=50"]);
        let (agent, _) = lab.start("a");
        lab.send(300).await;
        lab.until("some are out", || lab.volumes().len() > 60).await;
        let began = Instant::now();
        agent.drain(TTL).await.unwrap();
        assert!(began.elapsed() < SECOND * 6, "{:?}", began.elapsed());
        let _next = lab.start("b");
        lab.settle().await;
        assert_eq!(lab.check(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_below_what_comes_in_holds_no_other_publisher_and_repeats_nothing() {
    let mut lab = Lab::new(true).await;
    lab.write_pipeline("pipeline.yaml", "meters", &["test://samples", "test://other?rate=10"]);
    let _agent = lab.start("a");
    let began = Instant::now();
    lab.send(400).await;
    lab.until("the other has all", || lab.volumes().len() == 400).await;
    assert!(began.elapsed() < SECOND * 20, "{:?}", began.elapsed());
    lab.until("all is out", || lab.taken("other").len() == 400).await;
    assert!(began.elapsed() > SECOND * 38);
    lab.settle().await;
    assert_eq!(lab.taken("other").len(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_is_back_gets_something_within_thirty_seconds() {
    let mut lab = Lab::new(true).await;
    let _agent = lab.start("a");
    for minutes in [3, 5, 11] {
        let known = lab.volumes().len();
        lab.context.shelf.set_away("samples", true);
        lab.send(40).await;
        tokio::time::sleep(Duration::from_secs(60 * minutes + 7)).await;
        lab.context.shelf.set_away("samples", false);
        let back = Instant::now();
        lab.until("something comes", || lab.volumes().len() > known).await;
        assert!(back.elapsed() <= Duration::from_millis(30_050), "{:?}", back.elapsed());
        lab.settle().await;
        assert!(back.elapsed() <= SECOND * 32, "{:?}", back.elapsed());
    }
    assert_eq!(lab.check(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_wait_is_longer_than_the_longest() {
    let mut lab = Lab::new(true).await;
    lab.write_pipeline("pipeline.yaml", "meters", &["test://samples?breaker_failures=0"]);
    lab.more = "publish_retry_max = 20\n";
    let _agent = lab.start("a");
    lab.context.shelf.set_away("samples", true);
    lab.send(40).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    lab.context.shelf.set_away("samples", false);
    let back = Instant::now();
    lab.settle().await;
    assert!(back.elapsed() <= Duration::from_millis(20_050), "{:?}", back.elapsed());
}
