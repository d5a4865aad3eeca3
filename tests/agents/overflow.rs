//! A destination of several is away: it holds nobody but itself.

use super::*;
use rstest::rstest;

/// How long a destination is away in these tests: many times what one waits for.
const AWAY: Duration = Duration::from_mins(10);

/// A lab whose samples go to `samples` and to `other`.
async fn lab(partitioned: bool) -> Lab {
    let lab = Lab::new(partitioned).await;
    lab.write_pipeline("pipeline.yaml", "meters", &["test://samples", "test://other"]);
    lab
}

impl Lab {
    /// Messages in overflow queues.
    fn overflow(&self) -> usize {
        self.broker.queues().iter().filter(|q| q.name.contains(".overflow.")).map(|q| q.ready + q.unacked).sum()
    }

    /// The two destinations have the same of each resource, in the same order, once.
    fn same(&self) {
        self.same_as("other");
    }

    fn same_as(&self, name: &str) {
        let by_resource = |name: &str| {
            let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (resource, _, id) in self.taken(name) {
                all.entry(resource).or_default().push(id);
            }
            all
        };
        assert_eq!(by_resource("samples"), by_resource(name));
    }
}

#[rstest]
#[case::alone(false)]
#[case::in_a_group(true)]
#[tokio::test(start_paused = true)]
async fn others_get_everything_at_once_and_the_one_that_was_away_gets_it_in_order(#[case] partitioned: bool) {
    let mut lab = lab(partitioned).await;
    let agent = lab.start("a");
    lab.send(40).await;
    lab.settle().await;
    assert_eq!(lab.overflow(), 0, "nobody is away");
    lab.context.shelf.set_away("other", true);
    let began = tokio::time::Instant::now();
    for _ in 0..20 {
        lab.send(40).await;
        tokio::time::sleep(AWAY / 20).await;
    }
    assert_eq!(lab.taken("samples").len(), lab.sent);
    assert_eq!(lab.taken("other").len(), 40);
    assert!(began.elapsed() < AWAY + Duration::from_secs(5));
    assert!(lab.overflow() > 0);
    lab.context.shelf.set_away("other", false);
    lab.settle().await;
    lab.same();
    assert_eq!(lab.check(), 0);
    // It has caught up: what comes now goes straight.
    lab.send(40).await;
    lab.settle().await;
    let before = agent.1.read();
    lab.send(40).await;
    lab.until("it has it", || lab.taken("other").len() == lab.sent).await;
    assert_eq!(lab.overflow(), 0, "{before:?}");
    lab.settle().await;
    lab.same();
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_one_destination_outlives_whoever_put_it_there() {
    let mut lab = lab(true).await;
    let mut agents = BTreeMap::from(["a", "b", "c"].map(|id| (id, lab.start(id))));
    lab.until("all own some", || agents.values().all(|(_, board)| owned(board) > 0)).await;
    lab.context.shelf.set_away("other", true);
    for victim in ["a", "b"] {
        lab.send(200).await;
        tokio::time::sleep(AWAY / 10).await;
        agents.remove(victim).unwrap().0.kill();
        lab.group.kill(victim);
    }
    lab.send(200).await;
    tokio::time::sleep(AWAY / 10).await;
    let out: BTreeSet<_> = lab.taken("samples").into_iter().collect();
    assert_eq!(out.len(), lab.sent, "a crash repeats, and loses nothing");
    lab.context.shelf.set_away("other", false);
    lab.settle().await;
    let other: BTreeSet<_> = lab.taken("other").into_iter().collect();
    assert_eq!(other, out);
}

#[tokio::test(start_paused = true)]
async fn an_orderly_stop_while_one_destination_is_away_repeats_nothing() {
    for partitioned in [false, true] {
        let mut lab = lab(partitioned).await;
        let (first, _) = lab.start("a");
        lab.context.shelf.set_away("other", true);
        lab.send(30).await;
        lab.until("the others have some", || !lab.taken("samples").is_empty()).await;
        first.drain(TTL).await.unwrap();
        lab.context.shelf.set_away("other", false);
        let _second = lab.start("b");
        lab.send(30).await;
        lab.settle().await;
        lab.same();
        assert_eq!(lab.check(), 0, "partitioned: {partitioned}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_overflow_queue_holds_the_sink_and_loses_nothing() {
    for partitioned in [false, true] {
        let mut lab = lab(partitioned).await;
        lab.more = "overflow_max_bytes = 20000\npacket_notifications_max = 4\n";
        let _agent = lab.start("a");
        lab.context.shelf.set_away("other", true);
        lab.send(1_500).await;
        tokio::time::sleep(AWAY).await;
        assert!(lab.taken("samples").len() < lab.sent, "held at the bound");
        lab.context.shelf.set_away("other", false);
        lab.settle().await;
        lab.same();
        assert_eq!(lab.check(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn without_overflow_queues_all_wait_for_all() {
    let mut lab = lab(false).await;
    lab.more = "overflow_max_bytes = 0\n";
    let _agent = lab.start("a");
    lab.context.shelf.set_away("other", true);
    lab.send(10).await;
    tokio::time::sleep(AWAY / 10).await;
    lab.send(10).await;
    tokio::time::sleep(AWAY / 10).await;
    assert!(lab.taken("samples").len() < lab.sent);
    assert!(lab.broker.queues().iter().all(|queue| !queue.name.contains(".overflow.")));
    lab.context.shelf.set_away("other", false);
    lab.settle().await;
    lab.same();
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_is_written_again_gets_what_waited_for_it() {
    let mut lab = lab(true).await;
    let (agent, _) = lab.start("a");
    lab.context.shelf.set_away("other", true);
    lab.send(100).await;
    tokio::time::sleep(AWAY / 10).await;
    for publishers in [&["test://samples", "test://third"], &["test://samples", "test://other"]] {
        lab.write_pipeline("pipeline.yaml", "meters", publishers);
        lab.reload(&agent).await;
        lab.send(100).await;
        tokio::time::sleep(AWAY / 10).await;
    }
    assert_eq!(lab.taken("third").len(), 100);
    lab.context.shelf.set_away("other", false);
    lab.settle().await;
    assert_eq!(lab.taken("samples").len(), 300);
    assert_eq!(lab.taken("other").len(), 200);
}

#[rstest]
#[case::alone(false)]
#[case::in_a_group(true)]
#[tokio::test(start_paused = true)]
async fn a_publisher_that_takes_the_place_of_another_gets_what_waits_for_it_in_order(#[case] partitioned: bool) {
    let mut lab = lab(partitioned).await;
    let (agent, _) = lab.start("a");
    lab.context.shelf.set_away("other", true);
    lab.send(100).await;
    tokio::time::sleep(AWAY / 10).await;
    let queues = lab.broker.queues();
    let queue =
        queues.iter().find(|q| q.name.contains(".overflow.") && q.name.contains(".test-") && q.ready + q.unacked > 0);
    let name = queue.unwrap_or_else(|| panic!("{queues:?}")).name.clone();
    let end = name.rsplit('.').next().unwrap();
    lab.write_pipeline("pipeline.yaml", "meters", &["test://samples", &format!("test://mended?overflow_queue={end}")]);
    lab.reload(&agent).await;
    lab.send(100).await;
    lab.settle().await;
    assert_eq!(lab.taken("other").len(), 0);
    lab.same_as("mended");
    assert_eq!(lab.check(), 0);
}

#[rstest]
#[case::alone(false)]
#[case::in_a_group(true)]
#[tokio::test(start_paused = true)]
async fn one_of_several_that_a_reload_leaves_alone_gets_what_waits_for_it_first(#[case] partitioned: bool) {
    let mut lab = lab(partitioned).await;
    let (agent, _) = lab.start("a");
    lab.context.shelf.set_away("other", true);
    lab.send(100).await;
    tokio::time::sleep(AWAY / 10).await;
    lab.write_pipeline("pipeline.yaml", "meters", &["test://other"]);
    lab.reload(&agent).await;
    lab.send(100).await;
    tokio::time::sleep(AWAY / 10).await;
    lab.context.shelf.set_away("other", false);
    lab.settle().await;
    lab.check_order("other");
    assert_eq!(lab.taken("other").len(), lab.sent);
}

#[rstest]
#[case::both_say_it(["test://a?overflow_queue=k", "test://b?overflow_queue=k"])]
#[case::another_has_it(["test://a", "test://b?overflow_queue=test-KEY"])]
#[tokio::test(start_paused = true)]
async fn two_publishers_of_a_sink_with_one_overflow_queue_are_refused(#[case] publishers: [&str; 2]) {
    let lab = Lab::new(false).await;
    // As the agent makes it of `test://a`.
    let made = format!("test-{:08x}", nephoscope::cluster::hash::stable(b"test://a") >> 32);
    let publishers = publishers.map(|url| url.replace("test-KEY", &made));
    lab.write_pipeline("pipeline.yaml", "meters", &publishers.each_ref().map(String::as_str));
    let (blueprint, complaints) = Blueprint::build(&lab.settings(), &lab.context, None);
    assert!(blueprint.is_none());
    assert!(
        complaints.iter().any(|complaint| complaint.text.contains("is the overflow queue of test://a")),
        "{complaints:?}"
    );
}

/// The answers do not come: it can be told to no member that the overflow queue is empty.
#[tokio::test(start_paused = true)]
async fn a_destination_whose_owner_never_answers_still_gets_everything() {
    let mut lab = lab(true).await;
    let _agent = lab.start("a");
    lab.send(40).await;
    lab.settle().await;
    for queue in lab.broker.queues().iter().filter(|queue| queue.name.contains(".answers.")) {
        lab.broker.refuse(&queue.name, true);
    }
    lab.context.shelf.set_away("other", true);
    lab.send(40).await;
    tokio::time::sleep(AWAY / 20).await;
    lab.context.shelf.set_away("other", false);
    for _ in 0..5 {
        lab.send(40).await;
        tokio::time::sleep(AWAY / 20).await;
    }
    let (samples, other) = (lab.taken("samples").len(), lab.taken("other").len());
    assert_eq!(samples, lab.sent);
    assert!(other <= samples);
    for queue in lab.broker.queues().iter().filter(|queue| queue.name.contains(".answers.")) {
        lab.broker.refuse(&queue.name, false);
    }
    lab.settle().await;
    let all = |name: &str| lab.taken(name).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(all("samples"), all("other"));
}
